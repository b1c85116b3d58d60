//! Values before they have a column, from DynamoDB attributes and JSON.
//!
//! Numbers keep the literal they were delivered with; nothing is rounded here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::{self, Json};
use crate::number::Number;

/// Named values in delivered order; no name occurs twice.
pub type Fields = Vec<(String, Value)>;

/// A value of a record, exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON `null`, DynamoDB `NULL`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number with all its digits.
    Number(Number),
    /// Text.
    Text(String),
    /// Bytes; only DynamoDB has them.
    Binary(Vec<u8>),
    /// A DynamoDB set.
    Set(Set),
    /// A list of values of any kind.
    List(Vec<Value>),
    /// A map; keys are unique.
    Map(Fields),
}

/// A DynamoDB set, elements in delivered order.
#[derive(Debug, Clone, PartialEq)]
pub enum Set {
    /// `SS`
    Text(Vec<String>),
    /// `NS`
    Number(Vec<Number>),
    /// `BS`
    Binary(Vec<Vec<u8>>),
}

impl Value {
    /// Converts JSON. Every number of JSON is a valid number.
    pub fn from_json(json: Json<'_>) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(it) => Value::Bool(it),
            Json::Number(it) => {
                Number::parse(it).map_or_else(|_| Value::Text(it.to_owned()), Value::Number)
            }
            Json::String(it) => Value::Text(it.into_owned()),
            Json::Array(items) => Value::List(items.into_iter().map(Value::from_json).collect()),
            Json::Object(members) => Value::Map(fields(members)),
        }
    }

    /// Appends the value as JSON text: number literals with all digits, binary as base64, sets as
    /// arrays, without white space. With `sorted`, object keys are in byte order (canonical).
    pub fn write_json(&self, sorted: bool, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(it) => out.push_str(&it.json_literal()),
            Value::Text(it) => json::write_string(it, out),
            Value::Binary(it) => write_base64(it, out),
            Value::Set(Set::Text(items)) => {
                write_array(items, out, |it, out| json::write_string(it, out));
            }
            Value::Set(Set::Number(items)) => {
                write_array(items, out, |it, out| out.push_str(&it.json_literal()));
            }
            Value::Set(Set::Binary(items)) => {
                write_array(items, out, |it, out| write_base64(it, out));
            }
            Value::List(items) => write_array(items, out, |it, out| it.write_json(sorted, out)),
            Value::Map(members) => {
                let mut members: Vec<&(String, Value)> = members.iter().collect();
                if sorted {
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                }
                out.push('{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json::write_string(name, out);
                    out.push(':');
                    value.write_json(sorted, out);
                }
                out.push('}');
            }
        }
    }
}

/// Converts the members of a JSON object to fields.
pub fn fields(members: Vec<(Cow<'_, str>, Json<'_>)>) -> Fields {
    let each =
        members.into_iter().map(|(name, value)| (name.into_owned(), Value::from_json(value)));
    each.collect()
}

/// Returns the value of a field.
pub fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.iter().find(|(it, _)| it == name).map(|(_, value)| value)
}

/// Returns the value at a path of names; `None` when a name on the way is missing or not a map.
pub fn find<'a>(path: &[String], fields: &'a Fields) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    match get(fields, first)? {
        value if rest.is_empty() => Some(value),
        Value::Map(inner) => find(rest, inner),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Binary(_)
        | Value::Set(_)
        | Value::List(_) => None,
    }
}

fn write_base64(bytes: &[u8], out: &mut String) {
    out.push('"');
    BASE64.encode_string(bytes, out);
    out.push('"');
}

fn write_array<T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}
