//! The parts of a table: column types, cells, the columns of a head and their owners.
//!
//! [`layout`] describes the columns of a table, [`place`] decides where each value of a batch goes.
//! Both are pure: no I/O, no clock, no randomness.

pub mod declared;
pub mod layout;
pub mod lineage;

mod fit;
mod infer;
mod owner;
mod resolve;
mod tally;

pub mod judge;
pub mod place;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json;
use crate::time::{self, Timestamp};

/// The type of a column in a table; `Display` prints Iceberg's name of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// `boolean`
    Bool,
    /// `int`, 32 bits
    Int,
    /// `long`, 64 bits
    Long,
    /// `float`, 32 bits
    Float,
    /// `double`, 64 bits
    Double,
    /// `decimal(precision, scale)`, at most 38 digits
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u32,
        /// Digits after the point, 0 to `precision`.
        scale: u32,
    },
    /// `date`
    Date,
    /// `timestamp`, UTC, microseconds
    Timestamp,
    /// `timestamptz`, microseconds
    Timestamptz,
    /// `string`
    String,
    /// `binary`
    Binary,
    /// `list<…>`, elements nullable
    List(Box<ColumnType>),
    /// `struct<name: type, …>`, fields nullable
    Struct(Vec<(String, ColumnType)>),
    /// A type that Lakeward never writes, of a column that someone else added.
    Other(String),
}

impl ColumnType {
    /// Returns true if Iceberg v2 allows the promotion to `wider` (spec, "Schema Evolution").
    pub fn widens_to(&self, wider: &ColumnType) -> bool {
        match (self, wider) {
            (ColumnType::Int, ColumnType::Long) | (ColumnType::Float, ColumnType::Double) => true,
            (
                ColumnType::Decimal { precision: from, scale },
                ColumnType::Decimal { precision: to, scale: same },
            ) => from < to && scale == same,
            _ => false,
        }
    }
}

/// Prints Iceberg's name of the type: `boolean`, `decimal(12,2)`, `list<string>`, …
impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Bool => f.write_str("boolean"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::Long => f.write_str("long"),
            ColumnType::Float => f.write_str("float"),
            ColumnType::Double => f.write_str("double"),
            ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Timestamptz => f.write_str("timestamptz"),
            ColumnType::String => f.write_str("string"),
            ColumnType::Binary => f.write_str("binary"),
            ColumnType::List(element) => write!(f, "list<{element}>"),
            ColumnType::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, (name, ty)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}: {ty}")?;
                }
                f.write_str(">")
            }
            ColumnType::Other(name) => f.write_str(name),
        }
    }
}

/// One typed value of a column; `Null` belongs to every type.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// For `boolean`.
    Bool(bool),
    /// For `int`.
    Int(i32),
    /// For `long`.
    Long(i64),
    /// For `float`.
    Float(f32),
    /// For `double`.
    Double(f64),
    /// Unscaled value for `decimal`.
    Decimal(i128),
    /// Days since 1970-01-01 for `date`.
    Date(i32),
    /// Microseconds since the epoch for `timestamp` and `timestamptz`.
    Micros(i64),
    /// For `string`.
    Text(String),
    /// For `binary`.
    Binary(Vec<u8>),
    /// For `list`.
    List(Vec<Cell>),
    /// For `struct`, a cell for each field of the type, in its order.
    Struct(Vec<Cell>),
}

impl Cell {
    /// Appends the cell of a column of type `ty` as JSON: numbers shortest (`20.0` for a double),
    /// decimals as text with all digits of the scale, times in UTC without a zone, binary as
    /// base64. A float without a JSON number, and a time outside the years 1 to 9999, which only
    /// others write, become text.
    pub fn write_json(&self, ty: &ColumnType, out: &mut String) {
        match self {
            Cell::Null => out.push_str("null"),
            Cell::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
            Cell::Int(it) => write_display(it, out),
            Cell::Long(it) => write_display(it, out),
            Cell::Float(it) if it.is_finite() => write_display(&format_args!("{it:?}"), out),
            Cell::Double(it) if it.is_finite() => write_display(&format_args!("{it:?}"), out),
            Cell::Float(it) => json::write_string(&it.to_string(), out),
            Cell::Double(it) => json::write_string(&it.to_string(), out),
            Cell::Decimal(unscaled) => {
                let scale = if let ColumnType::Decimal { scale, .. } = ty { *scale } else { 0 };
                json::write_string(&decimal_text(*unscaled, scale), out);
            }
            Cell::Date(days) => json::write_string(&time::date_text(*days), out),
            Cell::Micros(micros) => {
                let text = Timestamp::from_micros(*micros)
                    .map_or_else(|| micros.to_string(), |it| it.to_string());
                json::write_string(&text, out);
            }
            Cell::Text(text) => json::write_string(text, out),
            Cell::Binary(bytes) => json::write_string(&BASE64.encode(bytes), out),
            Cell::List(items) => {
                let unknown = ColumnType::Other(String::new());
                let element = if let ColumnType::List(element) = ty { element } else { &unknown };
                write_joined('[', items, ']', out, |it, out| it.write_json(element, out));
            }
            Cell::Struct(cells) => {
                let fields =
                    if let ColumnType::Struct(fields) = ty { fields.as_slice() } else { &[] };
                write_joined('{', cells.iter().zip(fields), '}', out, |(cell, (name, ty)), out| {
                    json::write_string(name, out);
                    out.push(':');
                    cell.write_json(ty, out);
                });
            }
        }
    }
}

/// Appends a value as it prints.
fn write_display(it: &impl std::fmt::Display, out: &mut String) {
    // Writing to a String does not fail.
    write!(out, "{it}").ok();
}

/// Appends items between brackets, with commas.
fn write_joined<T>(
    open: char,
    items: impl IntoIterator<Item = T>,
    close: char,
    out: &mut String,
    write: impl Fn(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

/// Prints a decimal with `scale` digits after the point: `1990` and 2 → `19.90`.
fn decimal_text(unscaled: i128, scale: u32) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs();
    match 10_u128.checked_pow(scale) {
        Some(one) if scale > 0 => {
            let width = usize::try_from(scale).unwrap_or(0);
            format!("{sign}{}.{:0width$}", digits / one, digits % one)
        }
        _ => format!("{sign}{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(cell: &Cell, ty: &ColumnType) -> String {
        let mut out = String::new();
        cell.write_json(ty, &mut out);
        out
    }

    #[test]
    fn cells_as_json() {
        let decimal = |scale| ColumnType::Decimal { precision: 38, scale };
        for (cell, ty, shown) in [
            (Cell::Null, ColumnType::Long, "null"),
            (Cell::Bool(true), ColumnType::Bool, "true"),
            (Cell::Int(-1), ColumnType::Int, "-1"),
            (Cell::Long(i64::MIN), ColumnType::Long, "-9223372036854775808"),
            (Cell::Float(0.1), ColumnType::Float, "0.1"),
            (Cell::Double(20.0), ColumnType::Double, "20.0"),
            (Cell::Double(1e300), ColumnType::Double, "1e300"),
            (Cell::Double(f64::NAN), ColumnType::Double, "\"NaN\""),
            (Cell::Double(f64::NEG_INFINITY), ColumnType::Double, "\"-inf\""),
            (Cell::Decimal(1990), decimal(2), "\"19.90\""),
            (Cell::Decimal(-5), decimal(2), "\"-0.05\""),
            (Cell::Decimal(7), decimal(0), "\"7\""),
            (Cell::Decimal(1), decimal(38), "\"0.00000000000000000000000000000000000001\""),
            (Cell::Date(0), ColumnType::Date, "\"1970-01-01\""),
            (Cell::Micros(1_500_000), ColumnType::Timestamp, "\"1970-01-01T00:00:01.5\""),
            (Cell::Micros(0), ColumnType::Timestamptz, "\"1970-01-01T00:00:00\""),
            (Cell::Micros(i64::MAX), ColumnType::Timestamp, "\"9223372036854775807\""),
            (Cell::Text("a\"b".into()), ColumnType::String, "\"a\\\"b\""),
            (Cell::Binary(vec![1, 2]), ColumnType::Binary, "\"AQI=\""),
        ] {
            assert_eq!(json(&cell, &ty), shown);
        }
    }

    #[test]
    fn nested_cells_as_json() {
        let ty = ColumnType::List(Box::new(ColumnType::Struct(vec![
            ("price".into(), ColumnType::Decimal { precision: 9, scale: 2 }),
            ("days".into(), ColumnType::List(Box::new(ColumnType::Date))),
        ])));
        let cell = Cell::List(vec![
            Cell::Struct(vec![Cell::Decimal(150), Cell::List(vec![Cell::Date(0), Cell::Null])]),
            Cell::Null,
        ]);
        let shown = r#"[{"price":"1.50","days":["1970-01-01",null]},null]"#;
        assert_eq!(json(&cell, &ty), shown);
        assert_eq!(json(&Cell::List(vec![]), &ty), "[]");
    }
}
