//! Converts values to cells of existing columns without a declared type.
//!
//! A value enters a column only if it is exact there. Kinds do not convert: a text never enters a
//! `long`, not even `"5"`, and times are never guessed.

use crate::number::Number;
use crate::table::declared::{json_text, match_keys};
use crate::table::layout::Role;
use crate::table::{Cell, ColumnType};
use crate::value::{Set, Value};

/// Digits of a `__decimal` sibling: 38, nine of them after the point.
const SIBLING_DECIMAL: (u32, u32) = (38, 9);

/// Returns the cell of a value in a field's own column; `json` where the column is a string that
/// holds JSON text.
pub(super) fn cell(value: &Value, ty: &ColumnType, json: bool) -> Option<Cell> {
    match (value, ty) {
        (Value::Null, _) => Some(Cell::Null),
        (Value::Number(number), ty) => number_cell(number, ty),
        (&Value::Bool(it), ColumnType::Bool) => Some(Cell::Bool(it)),
        (Value::Text(text), ColumnType::String) if !json => Some(Cell::Text(text.clone())),
        (Value::Binary(bytes), ColumnType::Binary) => Some(Cell::Binary(bytes.clone())),
        (Value::Map(_) | Value::List(_) | Value::Set(_) | Value::Binary(_), ColumnType::String)
            if json =>
        {
            Some(Cell::Text(json_text(value)))
        }
        (Value::List(items), ColumnType::List(element)) => {
            list_cell(items.iter().map(|it| cell(it, element, false)))
        }
        (Value::Set(set), ColumnType::List(element)) => set_cell(set, element),
        (Value::Map(map), ColumnType::Struct(fields)) => {
            let values = match_keys(fields.iter().map(|(name, _)| name.as_str()), map)?;
            let cells = fields
                .iter()
                .zip(values)
                .map(|((_, ty), value)| value.map_or(Some(Cell::Null), |it| cell(it, ty, false)));
            Some(Cell::Struct(cells.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Returns the cell of a number, or a set of numbers, in a text column that holds their literals.
pub(super) fn literal(value: &Value, ty: &ColumnType) -> Option<Cell> {
    match (value, ty) {
        (Value::Number(number), ColumnType::String) => {
            Some(Cell::Text(number.literal().to_owned()))
        }
        (Value::Set(Set::Number(items)), ColumnType::List(element))
            if **element == ColumnType::String =>
        {
            Some(Cell::List(items.iter().map(|it| Cell::Text(it.literal().to_owned())).collect()))
        }
        _ => None,
    }
}

/// Returns whether [`cell`] gives one, without making it. May be `false` where it does.
pub(super) fn surely_fits(value: &Value, ty: &ColumnType, json: bool) -> bool {
    match (value, ty) {
        (Value::Null, _) | (Value::Bool(_), ColumnType::Bool) => true,
        (Value::Text(_), ColumnType::String) => !json,
        (Value::Map(_) | Value::List(_), ColumnType::String) => json,
        _ => false,
    }
}

/// Returns the role of the sibling column for a value that the field's own column can't hold.
pub(super) fn sibling_role(value: &Value) -> Option<Role> {
    let (precision, scale) = SIBLING_DECIMAL;
    match value {
        Value::Null => None,
        Value::Number(it) if it.as_f64().is_some() => Some(Role::Double),
        Value::Number(it) if it.as_decimal(precision, scale).is_some() => Some(Role::Decimal),
        Value::Number(_) | Value::Text(_) => Some(Role::Text),
        Value::Bool(_) => Some(Role::Bool),
        Value::Binary(_) | Value::Set(_) | Value::List(_) | Value::Map(_) => Some(Role::Json),
    }
}

/// Returns the type of a new sibling column.
pub(super) fn sibling_type(role: Role) -> ColumnType {
    let (precision, scale) = SIBLING_DECIMAL;
    match role {
        Role::Double => ColumnType::Double,
        Role::Decimal => ColumnType::Decimal { precision, scale },
        Role::Bool => ColumnType::Bool,
        Role::Main | Role::MainJson | Role::Text | Role::Json => ColumnType::String,
    }
}

/// Returns the cell of a value in a sibling column of type `ty`, which someone may have changed.
pub(super) fn sibling_cell(value: &Value, role: Role, ty: &ColumnType) -> Option<Cell> {
    match (role, value, ty) {
        (Role::Text, Value::Number(number), ColumnType::String) => {
            Some(Cell::Text(number.literal().to_owned()))
        }
        _ => cell(value, ty, role == Role::Json),
    }
}

fn number_cell(number: &Number, ty: &ColumnType) -> Option<Cell> {
    match ty {
        ColumnType::Int => Some(Cell::Int(i32::try_from(number.as_i64()?).ok()?)),
        ColumnType::Long => Some(Cell::Long(number.as_i64()?)),
        ColumnType::Float => Some(Cell::Float(number.as_f32()?)),
        ColumnType::Double => Some(Cell::Double(number.as_f64()?)),
        &ColumnType::Decimal { precision, scale } => {
            Some(Cell::Decimal(number.as_decimal(precision, scale)?))
        }
        _ => None,
    }
}

fn set_cell(set: &Set, element: &ColumnType) -> Option<Cell> {
    match set {
        Set::Number(items) => list_cell(items.iter().map(|it| number_cell(it, element))),
        Set::Text(items) => list_cell(items.iter().map(|it| match element {
            ColumnType::String => Some(Cell::Text(it.clone())),
            _ => None,
        })),
        Set::Binary(items) => list_cell(items.iter().map(|it| match element {
            ColumnType::Binary => Some(Cell::Binary(it.clone())),
            _ => None,
        })),
    }
}

fn list_cell(cells: impl Iterator<Item = Option<Cell>>) -> Option<Cell> {
    Some(Cell::List(cells.collect::<Option<_>>()?))
}
