//! The columns that a head has, who owns them, and the changes a batch asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::Names;
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
    /// The column was declared, and no field has filled it yet; the first that does is its owner.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub open: bool,
}

impl Owner {
    /// Makes the column the field's for good.
    pub fn claim(&mut self, original: &str) {
        original.clone_into(&mut self.original);
        self.open = false;
    }
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
    /// Field id of `_lw_before`, where the table has it.
    pub before: Option<i32>,
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
    /// The first field that fills a declared column which was made before any record of it came.
    Claim {
        /// Name that the column was made with.
        name: String,
        /// The record's name for it.
        original: String,
    },
    /// The column `_lw_before`.
    Before,
    /// A legal widening of an existing column.
    Widen {
        /// Field id.
        id: i32,
        /// The wider type.
        to: ColumnType,
    },
}

/// Where the values of a field went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// Values in all, nulls not counted.
    pub values: u64,
    /// In each of its sibling columns, by name.
    pub siblings: BTreeMap<String, u64>,
    /// In `_lw_extra`.
    pub extra: u64,
}

/// What the config says about a table, whoever writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Declared columns in file order.
    pub columns: Vec<DeclaredColumn>,
    /// Most record columns inference may bring a table to; declared columns are not limited.
    pub max_columns: usize,
    /// What becomes of fields that have no column.
    pub new_columns: NewColumns,
    /// What becomes of values that do not fit their declared column.
    pub misfits: Misfits,
    /// `old_image = "json"`: rows of DynamoDB changes hold the old image in `_lw_before`.
    pub old_image: bool,
    /// How columns are named.
    pub names: Names,
    /// The column that an undeclared number gets.
    pub numbers: Numbers,
    /// `timestamps = "timestamptz"`: time columns are made with a zone, UTC.
    pub zoned: bool,
}

impl Default for Policy {
    /// Nothing declared: every column is inferred.
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            max_columns: 200,
            new_columns: NewColumns::default(),
            misfits: Misfits::default(),
            old_image: false,
            names: Names::default(),
            numbers: Numbers::default(),
            zoned: false,
        }
    }
}

/// `new_columns`: what becomes of a field that has no column, and of a value that needs a sibling
/// column which is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NewColumns {
    /// It gets one.
    #[default]
    Add,
    /// It goes to `_lw_extra`.
    Extra,
    /// Its record is rejected.
    Reject,
}

/// `misfits`: what becomes of a value that does not fit its declared column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Misfits {
    /// It goes to `_lw_extra`.
    #[default]
    Extra,
    /// Its record is rejected.
    Reject,
}

/// `numbers`: the column that a number gets which nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbers {
    /// `long` where all numbers of the field in the batch that adds it are whole, else `double`.
    #[default]
    Auto,
    /// `double`
    Double,
    /// `string`, with the literals as they were delivered.
    Text,
    /// `decimal(precision, scale)`
    Decimal {
        /// 1 to 38.
        precision: u32,
        /// 0 to `precision`.
        scale: u32,
    },
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
            let owner = Owner { name, id: Some(12), original, role, open: false };
            let json = format!(r#"{{"name":"a","id":12,"original":"A","role":"{text}"}}"#);
            assert_eq!(serde_json::to_string(&owner).unwrap(), json);
            assert_eq!(serde_json::from_str::<Owner>(&json).unwrap(), owner);
        }
        let asked: Owner =
            serde_json::from_str(r#"{"name":"a","original":"A","role":"main"}"#).unwrap();
        assert_eq!(asked.id, None);
    }
}
