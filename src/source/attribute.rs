//! DynamoDB attribute values: `{"S":"text"}`, `{"N":"1.5"}`, `{"M":{…}}`, …

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::Json;
use crate::number::Number;
use crate::record::Reject;
use crate::source::members::Object;
use crate::value::{Fields, Set, Value};

/// The prefix of the attributes that global tables of version 2017.11.29 add.
const REPLICATION_PREFIX: &str = "aws:rep:";

/// Returns the attributes of an item or a key, without those of replication. One wrong value is
/// enough to reject the record: a row with a hole looks like a row without that attribute.
pub(super) fn item(members: Object<'_>) -> Result<Fields, Reject> {
    let ours = members.into_iter().filter(|(name, _)| !name.starts_with(REPLICATION_PREFIX));
    map(ours)
}

fn map<'a>(
    members: impl Iterator<Item = (std::borrow::Cow<'a, str>, Json<'a>)>,
) -> Result<Fields, Reject> {
    members.map(|(name, attribute)| Ok((name.into_owned(), value(attribute)?))).collect()
}

fn bad(detail: &'static str) -> Reject {
    Reject::new("bad_attribute", detail)
}

fn value(attribute: Json<'_>) -> Result<Value, Reject> {
    let Json::Object(members) = attribute else {
        return Err(bad("an attribute value is not an object"));
    };
    let mut members = members.into_iter();
    let (Some((ty, content)), None) = (members.next(), members.next()) else {
        return Err(bad("an attribute value does not have exactly one type"));
    };
    Ok(match (ty.as_ref(), content) {
        ("S", Json::String(it)) => Value::Text(it.into_owned()),
        ("N", it) => Value::Number(number(&it)?),
        ("B", it) => Value::Binary(binary(&it)?),
        ("BOOL", Json::Bool(it)) => Value::Bool(it),
        // NULL:false is legal and means the same.
        ("NULL", Json::Bool(_)) => Value::Null,
        ("M", Json::Object(it)) => Value::Map(map(it.into_iter())?),
        ("L", Json::Array(it)) => Value::List(it.into_iter().map(value).collect::<Result<_, _>>()?),
        ("SS", Json::Array(it)) => Value::Set(Set::Text(set(it, |it| match it {
            Json::String(it) => Ok(it.clone().into_owned()),
            _ => Err(bad("an element of a string set is not a string")),
        })?)),
        ("NS", Json::Array(it)) => Value::Set(Set::Number(set(it, number)?)),
        ("BS", Json::Array(it)) => Value::Set(Set::Binary(set(it, binary)?)),
        ("S" | "BOOL" | "NULL" | "M" | "L" | "SS" | "NS" | "BS", _) => {
            return Err(bad("an attribute value's content is not of its type"));
        }
        _ => return Err(bad("an attribute value has an unknown type")),
    })
}

fn set<T>(
    items: Vec<Json<'_>>,
    element: impl Fn(&Json<'_>) -> Result<T, Reject>,
) -> Result<Vec<T>, Reject> {
    items.iter().map(element).collect()
}

/// Reads a number, which is a JSON string. A JSON number is accepted, since its literal is as exact.
fn number(content: &Json<'_>) -> Result<Number, Reject> {
    let literal: &str = match content {
        Json::String(it) => it,
        Json::Number(it) => it,
        _ => return Err(bad("a number is neither a string nor a number")),
    };
    Number::parse(literal).map_err(|_why| bad("a number is not a valid decimal"))
}

fn binary(content: &Json<'_>) -> Result<Vec<u8>, Reject> {
    let Json::String(text) = content else { return Err(bad("a binary value is not a string")) };
    BASE64.decode(text.as_bytes()).map_err(|_payload| bad("a binary value is not valid base64"))
}
