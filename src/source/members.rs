//! Shared helpers of the decoders: members of a record's JSON, and the identities of records.

use std::borrow::Cow;

use crate::arn::Arn;
use crate::json::{self, Json, JsonError};
use crate::record::{Content, Delivery, Origin, Part, Raw, Receipt, Record, Reject};

/// The member of a message that [`Carrier`](crate::source::Carrier) adds: the number of
/// notifications around its record.
pub(super) const WRAPPERS: &str = "lakewardWrappers";

/// The number of digits that positions are padded to, so that they compare as text.
pub(super) const POSITION_DIGITS: usize = 60;

/// The largest length of a sequence number; real ones have 21 to 56 digits.
/// Source: Kinesis API reference, `Record`.
const MAX_SEQUENCE_DIGITS: usize = 129;

/// The members of a JSON object, in order.
pub(super) type Object<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// Returns the reject of a record that is not shaped as its source shapes records.
pub(super) fn malformed(detail: impl Into<String>) -> Reject {
    Reject::new("malformed_record", detail)
}

/// Reads a record, which must be a JSON object.
pub(super) fn object(raw: &[u8]) -> Result<Object<'_>, Reject> {
    match json::parse(raw) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(malformed("the record is not a JSON object")),
        Err(error) if error.is_too_deep() => Err(too_deep("the record", error)),
        Err(error) => Err(malformed(format!("the record can't be read: {error}"))),
    }
}

/// Returns the reject of a JSON text that is nested too deeply; `what` names the text.
pub(super) fn too_deep(what: &str, error: JsonError) -> Reject {
    Reject::new("too_deep", format!("{what} is {error}"))
}

/// Returns the value of a member.
pub(super) fn get<'a, 'j>(object: &'a Object<'j>, name: &str) -> Option<&'a Json<'j>> {
    object.iter().find(|(it, _)| it == name).map(|(_, value)| value)
}

/// Takes a member's value out; `null` counts as absent.
pub(super) fn take<'j>(object: &mut Object<'j>, name: &str) -> Option<Json<'j>> {
    let (_, value) = object.iter_mut().find(|(it, _)| it == name)?;
    Some(std::mem::replace(value, Json::Null)).filter(|it| *it != Json::Null)
}

/// Takes a member that is an object out.
pub(super) fn take_object<'j>(object: &mut Object<'j>, name: &str) -> Option<Object<'j>> {
    match take(object, name)? {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// Returns a member that is a string and not empty.
pub(super) fn text(object: &Object<'_>, name: &str) -> Option<String> {
    match get(object, name)? {
        Json::String(it) if !it.is_empty() => Some(it.clone().into_owned()),
        _ => None,
    }
}

/// Returns a member that is a string and not empty, or the literal of one that is a number: some
/// senders write numbers where AWS writes strings.
pub(super) fn text_or_number<'a>(object: &'a Object<'_>, name: &str) -> Option<&'a str> {
    match get(object, name)? {
        Json::String(it) if !it.is_empty() => Some(it),
        Json::Number(it) => Some(it),
        _ => None,
    }
}

/// Returns a member that is a sequence number: digits only, as many as Kinesis allows.
pub(super) fn sequence(object: &Object<'_>, name: &str) -> Option<String> {
    let it = text_or_number(object, name)?;
    let is_number = it.len() <= MAX_SEQUENCE_DIGITS && it.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| it.to_owned())
}

/// Returns the `_lw_position` of a sequence number.
pub(crate) fn padded(number: &str) -> String {
    format!("{number:0>POSITION_DIGITS$}")
}

/// Returns those members of an unreadable record that can be read by themselves, and those of its
/// member `nested`. They identify a malformed record for quarantine and for the answer.
pub(super) fn salvage<'a>(raw: &'a [u8], nested: Option<&str>) -> Object<'a> {
    let members = json::members(raw).unwrap_or_default();
    let mut found: Object<'a> = Vec::new();
    for (name, value) in members {
        if Some(name.as_ref()) == nested {
            found.push((name, Json::Object(salvage(value, None))));
        } else if let Ok(value @ (Json::String(_) | Json::Number(_))) = json::parse(value) {
            found.push((name, value));
        }
    }
    found
}

/// Returns the delivery of a record that holds one part: itself.
pub(super) fn single(
    raw: &[u8],
    source: Arn,
    receipt: Option<String>,
    origin: Origin,
    record: Result<Record, Reject>,
) -> Delivery<'_> {
    let raw = Raw { record: raw, piece: None };
    let content = Content::Parts(vec![Part { raw, origin, record }]);
    Delivery { receipt: receipt.and_then(Receipt::new), group: None, source, content }
}

/// Returns the origin of a piece of a record; `sub` is what the piece adds to the record's id.
pub(super) fn piece_origin(sub: &str, whole: &Origin) -> Origin {
    Origin { id: whole.id.as_ref().map(|it| format!("{it}{sub}")), ..whole.clone() }
}
