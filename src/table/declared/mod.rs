//! Declared column types: `decimal(12,2)`, `timestamp(ms)`, `list<string>`, `json`, …
//!
//! A declared type tells which values fit and what they become. Nothing is rounded and kinds never
//! convert: a value that does not fit is left to the caller.

mod grammar;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::name;
use crate::number::Number;
use crate::table::{Cell, ColumnType};
use crate::time::{self, TimeUnit, Timestamp};
use crate::value::{Fields, Set, Value};

/// A type that a config declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredType {
    /// `string`
    String,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `decimal(p,s)`
    Decimal {
        /// 1 to 38.
        precision: u32,
        /// 0 to `precision`.
        scale: u32,
    },
    /// `date`, from `YYYY-MM-DD`
    Date,
    /// `timestamp(s|ms|us|ns)`, from a number or its text
    Epoch(TimeUnit),
    /// `timestamp(rfc3339)`
    Rfc3339,
    /// `binary`, in JSON from base64
    Binary,
    /// `uuid`, checked, and stored as a lower-case string
    Uuid,
    /// `list<…>`
    List(Box<DeclaredType>),
    /// `struct<a: long, b: string>`
    Struct(Vec<(String, DeclaredType)>),
    /// `json`: any value as JSON text
    Json,
}

/// An error of a text that is not a declared type, with a suggestion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadType(pub String);

impl DeclaredType {
    /// Returns the column type that stores it.
    pub fn column_type(&self) -> ColumnType {
        match self {
            DeclaredType::String | DeclaredType::Uuid | DeclaredType::Json => ColumnType::String,
            DeclaredType::Bool => ColumnType::Bool,
            DeclaredType::Int => ColumnType::Int,
            DeclaredType::Long => ColumnType::Long,
            DeclaredType::Float => ColumnType::Float,
            DeclaredType::Double => ColumnType::Double,
            &DeclaredType::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
            DeclaredType::Date => ColumnType::Date,
            DeclaredType::Epoch(_) | DeclaredType::Rfc3339 => ColumnType::Timestamp,
            DeclaredType::Binary => ColumnType::Binary,
            DeclaredType::List(element) => ColumnType::List(Box::new(element.column_type())),
            DeclaredType::Struct(fields) => ColumnType::Struct(
                fields.iter().map(|(name, ty)| (field_name(name), ty.column_type())).collect(),
            ),
        }
    }

    /// Returns the exact cell of a value; `None` when the value does not fit. Kinds never convert:
    /// digits do not enter a `string`, nor `"true"` a `bool`. `Null` fits every type. A map enters
    /// a `struct` only whole: a key that the struct lacks makes the map a misfit.
    pub fn fit(&self, value: &Value) -> Option<Cell> {
        match (self, value) {
            (_, Value::Null) => Some(Cell::Null),
            (DeclaredType::Json, value) => Some(Cell::Text(json_text(value))),
            (DeclaredType::Bool, &Value::Bool(it)) => Some(Cell::Bool(it)),
            (DeclaredType::List(element), Value::List(items)) => {
                Some(Cell::List(items.iter().map(|it| element.fit(it)).collect::<Option<_>>()?))
            }
            (DeclaredType::List(element), Value::Set(set)) => element.fit_set(set),
            (DeclaredType::Struct(fields), Value::Map(map)) => fit_struct(fields, map),
            (_, Value::Number(number)) => self.fit_number(number),
            (_, Value::Text(text)) => self.fit_text(text),
            (DeclaredType::Binary, Value::Binary(bytes)) => Some(Cell::Binary(bytes.clone())),
            _ => None,
        }
    }

    fn fit_number(&self, number: &Number) -> Option<Cell> {
        match self {
            DeclaredType::Int => Some(Cell::Int(i32::try_from(number.as_i64()?).ok()?)),
            DeclaredType::Long => Some(Cell::Long(number.as_i64()?)),
            DeclaredType::Float => Some(Cell::Float(number.as_f32()?)),
            DeclaredType::Double => Some(Cell::Double(number.as_f64()?)),
            &DeclaredType::Decimal { precision, scale } => {
                Some(Cell::Decimal(number.as_decimal(precision, scale)?))
            }
            &DeclaredType::Epoch(unit) => {
                Some(Cell::Micros(Timestamp::from_number(number, unit)?.micros()))
            }
            _ => None,
        }
    }

    fn fit_text(&self, text: &str) -> Option<Cell> {
        match self {
            DeclaredType::String => Some(Cell::Text(text.to_owned())),
            DeclaredType::Date => Some(Cell::Date(time::date(text)?)),
            DeclaredType::Epoch(_) => self.fit_number(&Number::parse(text).ok()?),
            DeclaredType::Rfc3339 => Some(Cell::Micros(Timestamp::from_rfc3339(text)?.micros())),
            DeclaredType::Binary => Some(Cell::Binary(BASE64.decode(text).ok()?)),
            // 36 characters: the hyphenated form, not the others that the crate reads.
            DeclaredType::Uuid if text.len() == 36 => {
                Some(Cell::Text(uuid::Uuid::try_parse(text).ok()?.hyphenated().to_string()))
            }
            _ => None,
        }
    }

    /// Returns the elements of a set as a list of this type.
    fn fit_set(&self, set: &Set) -> Option<Cell> {
        let cells: Option<Vec<Cell>> = match set {
            Set::Text(items) => items.iter().map(|it| self.fit(&Value::Text(it.clone()))).collect(),
            Set::Number(items) => {
                items.iter().map(|it| self.fit(&Value::Number(it.clone()))).collect()
            }
            Set::Binary(items) => {
                items.iter().map(|it| self.fit(&Value::Binary(it.clone()))).collect()
            }
        };
        Some(Cell::List(cells?))
    }
}

/// Returns a value as JSON text, keys as delivered.
pub(in crate::table) fn json_text(value: &Value) -> String {
    let mut text = String::new();
    value.write_json(false, &mut text);
    text
}

/// Returns the name of a struct's field for a key: the key itself where it is a valid name, else
/// its short name. Iceberg's reserved names are reserved for columns only.
pub(in crate::table) fn field_name(key: &str) -> String {
    let plain = key.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !key.starts_with(|it: char| it.is_ascii_digit())
        && (1..=name::MAX_COLUMN_BYTES).contains(&key.len());
    if plain { key.to_owned() } else { name::snake(key) }
}

/// Pairs each field of a struct with its value in `map`; `None` where a key has no field or two
/// keys have the same field.
pub(in crate::table) fn match_keys<'a>(
    names: impl Iterator<Item = &'a str>,
    map: &'a Fields,
) -> Option<Vec<Option<&'a Value>>> {
    let mut keys: Vec<(String, &Value)> =
        map.iter().map(|(key, value)| (field_name(key), value)).collect();
    let mut found = Vec::new();
    for name in names {
        let index = keys.iter().position(|(key, _)| *key == name);
        found.push(index.map(|it| keys.swap_remove(it).1));
    }
    keys.is_empty().then_some(found)
}

fn fit_struct(fields: &[(String, DeclaredType)], map: &Fields) -> Option<Cell> {
    let names: Vec<String> = fields.iter().map(|(name, _)| field_name(name)).collect();
    let values = match_keys(names.iter().map(String::as_str), map)?;
    let cells = fields.iter().zip(values).map(|((_, ty), value)| match value {
        Some(value) => ty.fit(value),
        None => Some(Cell::Null),
    });
    Some(Cell::Struct(cells.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests;
