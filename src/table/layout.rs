//! The columns that a head has, who owns them, and the changes a batch asks for.

use serde::{Deserialize, Serialize};

use crate::table::ColumnType;
use crate::table::declared::Declared;

/// A column of the head's current schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Iceberg field id.
    pub id: i32,
    /// Name in the head's schema.
    pub name: String,
    /// Type in the head's schema.
    pub ty: ColumnType,
}

/// Who a column was made for. Written to the table by the commit that adds the column, so that
/// names stay with their owners whatever order batches arrive in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name the column was made with.
    pub name: String,
    /// Field id it was made with. The store fills it in; a column that someone renamed is still
    /// found by it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<i32>,
    /// The record's name for it, after transforms.
    pub original: String,
    /// What it holds.
    pub role: Role,
}

/// What a column holds of its original field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The field itself, in the column's own type.
    Main,
    /// The field itself, a `string` column that holds JSON text for life.
    MainJson,
    /// Numbers that are exact in a double.
    Double,
    /// Numbers that are exact in decimal(38,9).
    Decimal,
    /// Text, and literals of numbers that nothing else holds.
    Text,
    /// Truth values.
    Bool,
    /// Nested values, sets and binary as JSON text.
    Json,
}

impl Role {
    /// What a sibling column of this role is named by (`price__double`); `None` for the column of
    /// the field itself.
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Role::Main | Role::MainJson => None,
            Role::Double => Some("double"),
            Role::Decimal => Some("decimal"),
            Role::Text => Some("text"),
            Role::Bool => Some("bool"),
            Role::Json => Some("json"),
        }
    }
}

/// A table as a batch finds it. Columns of the lineage (`_lw_…`) are not part of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// The record columns of the head's current schema.
    pub columns: Vec<Column>,
    /// Every ownership that was ever recorded, also of columns that someone dropped since.
    pub owners: Vec<Owner>,
}

/// A change of the schema that a batch asks for before its files are written.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new optional column.
    Add {
        /// Its type.
        ty: ColumnType,
        /// Its doc.
        doc: String,
        /// Its name and owner; `owner.id` is `None`.
        owner: Owner,
    },
    /// A legal widening of an existing column.
    Widen {
        /// Field id.
        id: i32,
        /// The wider type.
        to: ColumnType,
    },
}

/// What the config says about a table, whoever writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Declared columns in file order.
    pub columns: Vec<DeclaredColumn>,
    /// Most record columns inference may bring a table to; declared columns are not limited.
    pub max_columns: usize,
}

impl Policy {
    /// Nothing declared: every column is inferred.
    pub const fn inferred() -> Self {
        Self { columns: Vec::new(), max_columns: 200 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::inferred()
    }
}

/// A column of `[table."…".columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredColumn {
    /// Column name, or an original name that maps to one.
    pub name: String,
    /// Declared type.
    pub ty: Declared,
    /// Column doc; default the original name.
    pub doc: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables keep owners for ever, so every release must read what this one writes.
    #[test]
    fn owners_are_written_as() {
        let roles = [
            (Role::Main, "main"),
            (Role::MainJson, "main_json"),
            (Role::Double, "double"),
            (Role::Decimal, "decimal"),
            (Role::Text, "text"),
            (Role::Bool, "bool"),
            (Role::Json, "json"),
        ];
        for (role, text) in roles {
            let (name, original) = ("a".to_owned(), "A".to_owned());
            let owner = Owner { name, id: Some(12), original, role };
            let json = format!(r#"{{"name":"a","id":12,"original":"A","role":"{text}"}}"#);
            assert_eq!(serde_json::to_string(&owner).unwrap(), json);
            assert_eq!(serde_json::from_str::<Owner>(&json).unwrap(), owner);
        }
        let asked: Owner =
            serde_json::from_str(r#"{"name":"a","original":"A","role":"main"}"#).unwrap();
        assert_eq!(asked.id, None);
    }
}
