//! Infers the column of an undeclared field from the values of the batch that adds it.

use crate::table::ColumnType;
use crate::table::layout::{Numbers, Role};
use crate::value::{Set, Value};

/// The values of one field in a batch, as far as they decide its column.
#[derive(Debug, Default)]
pub(super) struct Sample<'a> {
    first: Option<&'a Value>,
    fractions: bool,
    fractions_in_sets: bool,
}

impl<'a> Sample<'a> {
    /// Adds the field's next value.
    pub(super) fn add(&mut self, value: &'a Value) {
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

    /// Returns the type and role of the column. The first value decides its kind, `numbers` the
    /// type of numbers: by default `long` where all of the field's numbers in the batch are whole,
    /// else `double`. `None` for a field with only nulls.
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
