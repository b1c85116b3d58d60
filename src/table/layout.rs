//! The columns of a head, their owners, and the changes that a batch needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::Names;
use crate::table::ColumnType;
use crate::table::declared::DeclaredType;

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

/// The field that a column was made for. The commit that adds the column writes it to the table, so
/// that names stay with their owners in whatever order batches arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name that the column was made with.
    pub name: String,
    /// The field id that it was made with, which the store fills in. It finds a column that someone
    /// renamed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<i32>,
    /// The record's name of the field, after transforms.
    pub original: String,
    /// The part of the field's values that it holds.
    pub role: Role,
    /// Whether the column was declared and no field has filled it yet: the first to fill it owns
    /// it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub open: bool,
}

impl Owner {
    /// Gives the column to a field for good.
    pub fn claim(&mut self, original: &str) {
        original.clone_into(&mut self.original);
        self.open = false;
    }
}

/// The part of its field's values that a column holds.
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
    /// Text, and literals of numbers that no other column holds.
    Text,
    /// Truth values.
    Bool,
    /// Nested values, sets and binary as JSON text.
    Json,
}

impl Role {
    /// Returns the suffix of a sibling column of this role (`price__double`); `None` for the column
    /// of the field itself.
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

/// The columns of a table as a batch finds it, without those of the lineage (`_lw_…`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// The record columns of the head's current schema.
    pub columns: Vec<Column>,
    /// All owners that were ever recorded, even those of columns that someone dropped since.
    pub owners: Vec<Owner>,
    /// The field id of `_lw_before`, where the table has it.
    pub before: Option<i32>,
}

/// A change of the schema that a batch needs before its files are written.
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
    /// The first field to fill a declared column becomes its owner.
    Claim {
        /// The name that the column was made with.
        name: String,
        /// The record's name of the field.
        original: String,
    },
    /// The column `_lw_before`.
    Before,
    /// An existing column gets a wider type, as Iceberg allows.
    Widen {
        /// Its field id.
        id: i32,
        /// The wider type.
        to: ColumnType,
    },
}

/// The columns that the values of a field went to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// Number of values, without nulls.
    pub values: u64,
    /// Number of values in each of its sibling columns, by name.
    pub siblings: BTreeMap<String, u64>,
    /// Number of values in `_lw_extra`.
    pub extra: u64,
}

impl Spread {
    /// Adds where other values of the field went.
    pub fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.extra += other.extra;
        for (sibling, count) in &other.siblings {
            *self.siblings.entry(sibling.clone()).or_default() += count;
        }
    }
}

/// The config of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Declared columns in file order.
    pub columns: Vec<DeclaredColumn>,
    /// Number of record columns up to which columns are inferred; declared columns are not limited.
    pub max_columns: usize,
    /// The rule for fields without a column.
    pub new_columns: NewColumns,
    /// The rule for values that do not fit their declared column.
    pub misfits: Misfits,
    /// `old_image = "json"`: rows of DynamoDB changes hold the old image in `_lw_before`.
    pub old_image: bool,
    /// The rule by which columns are named.
    pub names: Names,
    /// The column type of undeclared numbers.
    pub numbers: Numbers,
    /// `timestamps = "timestamptz"`: time columns are made with a zone, UTC.
    pub zoned: bool,
}

impl Policy {
    /// Returns true if the table may refuse rows.
    pub fn refuses(&self) -> bool {
        self.misfits != Misfits::Extra || self.new_columns == NewColumns::Reject
    }
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

/// `new_columns`: the rule for a field without a column, and for a value that needs a missing
/// sibling column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NewColumns {
    /// The column is added.
    #[default]
    Add,
    /// The value goes to `_lw_extra`.
    Extra,
    /// The record is rejected.
    Reject,
}

/// `misfits`: the rule for a value that does not fit its declared column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Misfits {
    /// The value goes to `_lw_extra`.
    #[default]
    Extra,
    /// The record is rejected.
    Reject,
}

/// `numbers`: the column type of undeclared numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Numbers {
    /// `long` where all numbers of the field in the batch that adds the column are whole, else
    /// `double`.
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
    /// The column name, or the original name of a field, from which it follows.
    pub name: String,
    /// The declared type.
    pub ty: DeclaredType,
    /// The doc of the column; by default the original name.
    pub doc: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables keep owners for ever, so every later release must read them.
    #[test]
    fn the_format_of_owners_is_fixed() {
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
        let without_id: Owner =
            serde_json::from_str(r#"{"name":"a","original":"A","role":"main"}"#).unwrap();
        assert_eq!(without_id.id, None);
    }
}
