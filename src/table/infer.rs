//! The column that a field gets which nobody declared, from the values of the batch that adds it.

use crate::table::ColumnType;
use crate::table::layout::{Numbers, Role};
use crate::value::{Set, Value};

/// What a batch holds of one field.
#[derive(Debug, Default)]
pub(super) struct Sample<'a> {
    first: Option<&'a Value>,
    fractions: bool,
    fractions_in_sets: bool,
}

impl<'a> Sample<'a> {
    /// Takes the field's next value.
    pub(super) fn see(&mut self, value: &'a Value) {
        match value {
            Value::Null => return,
            Value::Number(it) => self.fractions |= it.as_i64().is_none(),
            Value::Set(Set::Number(items)) => {
                self.fractions_in_sets |= items.iter().any(|it| it.as_i64().is_none());
            }
            _ => {}
        }
        self.first.get_or_insert(value);
    }

    /// The column for it: its kind is the first value's, and numbers are as `numbers` says; by
    /// itself `long` where all of the field's numbers in the batch are, else `double`. `None` for a
    /// field that is only null.
    pub(super) fn column(&self, numbers: Numbers) -> Option<(ColumnType, Role)> {
        let number = |fractions| match numbers {
            Numbers::Auto if fractions => ColumnType::Double,
            Numbers::Auto => ColumnType::Long,
            Numbers::Double => ColumnType::Double,
            Numbers::Text => ColumnType::String,
            Numbers::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
        };
        let list = |element| ColumnType::List(Box::new(element));
        let ty = match self.first? {
            Value::Null => return None,
            Value::Map(_) | Value::List(_) => return Some((ColumnType::String, Role::MainJson)),
            Value::Text(_) => ColumnType::String,
            Value::Bool(_) => ColumnType::Bool,
            Value::Binary(_) => ColumnType::Binary,
            Value::Number(_) => number(self.fractions),
            Value::Set(Set::Text(_)) => list(ColumnType::String),
            Value::Set(Set::Binary(_)) => list(ColumnType::Binary),
            Value::Set(Set::Number(_)) => list(number(self.fractions_in_sets)),
        };
        Some((ty, Role::Main))
    }
}
