//! The text of a record for quarantine: as Lambda delivered it, or would have delivered it alone.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::{self, Json};
use crate::record::{Piece, Raw};

/// The record as Lambda delivered it, byte for byte. One of several that a producer packed into
/// one record becomes a record of its own, with the packed one's members, its own id and its own
/// data: whoever reads it again gets the same record under the same id. (Of a list in a list,
/// which is no record, they get its items, under ids that begin with it.)
pub fn alone<'a>(raw: &Raw<'a>) -> Cow<'a, [u8]> {
    let Some(piece) = &raw.piece else { return Cow::Borrowed(raw.record) };
    let members = json::members(raw.record).unwrap_or_default();
    let id = |name: &str| {
        let id = members.iter().find(|(it, _)| it == name).and_then(|(_, it)| json::parse(it).ok());
        match id {
            Some(Json::String(id)) => format!("{id}{}", piece.sub),
            _ => String::new(),
        }
    };
    let kinesis = members.iter().find(|(name, _)| name == "kinesis").map(|(_, value)| *value);
    let text = match kinesis {
        Some(kinesis) => {
            let mut own = vec![("data", BASE64.encode(&piece.text))];
            own.extend(piece.key.clone().map(|it| ("partitionKey", it)));
            let inner = with(&json::members(kinesis).unwrap_or_default(), &own);
            let mut text = with(&members, &[("eventID", id("eventID"))]);
            if let Some(at) = find(&text, kinesis) {
                text.splice(at..at.saturating_add(kinesis.len()), inner);
            }
            text
        }
        None => with(&members, &[("messageId", id("messageId")), ("body", wrapped(piece))]),
    };
    Cow::Owned(text)
}

/// The piece in the notifications that were around the whole.
fn wrapped(piece: &Piece) -> String {
    let text = match std::str::from_utf8(&piece.text) {
        Ok(text) => text.to_owned(),
        Err(_) => BASE64.encode(&piece.text),
    };
    piece.wrappers.iter().rev().fold(text, |message, wrapper| {
        let members = json::members(wrapper).unwrap_or_default();
        String::from_utf8(with(&members, &[("Message", message)])).unwrap_or_default()
    })
}

/// An object with some members replaced by texts, or added.
fn with(members: &json::Members<'_>, own: &[(&str, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    let add = |name: &str, value: &[u8], out: &mut Vec<u8>| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        let mut key = String::new();
        json::write_string(name, &mut key);
        out.extend_from_slice(key.as_bytes());
        out.push(b':');
        out.extend_from_slice(value);
    };
    for (name, value) in members.iter().filter(|(name, _)| !own.iter().any(|(it, _)| it == name)) {
        add(name, value, &mut out);
    }
    for (name, value) in own {
        let mut text = String::new();
        json::write_string(value, &mut text);
        add(name, text.as_bytes(), &mut out);
    }
    out.push(b'}');
    out
}

/// Where `part` stands in `whole`.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|it| it == part)
}
