//! The text of a record for quarantine: as Lambda delivered it, or would have delivered it alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::{self, Json, Members};
use crate::record::{Piece, Raw};
use crate::source::members::WRAPPERS;

/// A delivered record that holds several, without their data: what they have in common. It is
/// taken apart once for all of them.
#[derive(Debug)]
pub struct Carrier {
    /// Its members but those that each record has of its own: an object without its end.
    common: Vec<u8>,
    id: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Kinesis {
        /// The same of its `kinesis`.
        kinesis: Vec<u8>,
    },
    Sqs {
        /// The same of the notifications around the body, outermost first.
        wrappers: Vec<Vec<u8>>,
    },
}

impl Carrier {
    /// The record that holds this one and others.
    pub fn of(raw: &Raw<'_>) -> Self {
        let members = json::members(raw.record).unwrap_or_default();
        let id = |name: &str| match find(&members, name).and_then(|it| json::parse(it).ok()) {
            Some(Json::String(id)) => id.into_owned(),
            _ => String::new(),
        };
        match find(&members, "kinesis") {
            Some(kinesis) => {
                let own = json::members(kinesis).unwrap_or_default();
                let kinesis = without(&own, &["data", "partitionKey"]);
                Self {
                    common: without(&members, &["eventID", "kinesis"]),
                    id: id("eventID"),
                    kind: Kind::Kinesis { kinesis },
                }
            }
            None => {
                let wrappers = raw.piece.iter().flat_map(|it| it.wrappers.iter());
                let wrappers = wrappers.map(|wrapper| {
                    without(&json::members(wrapper).unwrap_or_default(), &["Message"])
                });
                Self {
                    common: without(&members, &["messageId", "body", WRAPPERS]),
                    id: id("messageId"),
                    kind: Kind::Sqs { wrappers: wrappers.collect() },
                }
            }
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// About how many bytes [`Carrier::alone`] makes of this record.
    pub fn weight(&self, piece: &Piece) -> usize {
        let own = match &self.kind {
            Kind::Kinesis { kinesis } => kinesis.len(),
            Kind::Sqs { wrappers } => wrappers.iter().map(Vec::len).fold(0, usize::saturating_add),
        };
        self.common.len().saturating_add(own).saturating_add(piece.text.len())
    }

    /// One of its records as a record of its own, with the members of this one, its own id and its
    /// own data: whoever reads it again gets the same record under the same id. (Of a list in a
    /// list, which is no record, they get its items, under ids that begin with it. Bytes that are
    /// no UTF-8 are base64 in a message.)
    pub fn alone(&self, piece: &Piece) -> Vec<u8> {
        let id = format!("{}{}", self.id, piece.sub);
        let mut out = self.common.clone();
        match &self.kind {
            Kind::Kinesis { kinesis } => {
                let mut own = kinesis.clone();
                if let Some(key) = &piece.key {
                    add_text("partitionKey", key, &mut own);
                }
                add_text("data", &BASE64.encode(&piece.text), &mut own);
                own.push(b'}');
                add_text("eventID", &id, &mut out);
                add("kinesis", &own, &mut out);
            }
            Kind::Sqs { wrappers } => {
                add_text("messageId", &id, &mut out);
                add(WRAPPERS, wrappers.len().to_string().as_bytes(), &mut out);
                let text = match std::str::from_utf8(&piece.text) {
                    Ok(text) => text.to_owned(),
                    Err(_) => BASE64.encode(&piece.text),
                };
                let body = wrappers.iter().rev().fold(text, |message, wrapper| {
                    let mut wrapper = wrapper.clone();
                    add_text("Message", &message, &mut wrapper);
                    wrapper.push(b'}');
                    String::from_utf8(wrapper).unwrap_or_default()
                });
                add_text("body", &body, &mut out);
            }
        }
        out.push(b'}');
        out
    }
}

fn find<'a>(members: &Members<'a>, name: &str) -> Option<&'a [u8]> {
    members.iter().find(|(it, _)| it == name).map(|(_, value)| *value)
}

/// An object without some of its members, and without its end.
fn without(members: &Members<'_>, own: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| !own.contains(&name.as_ref())) {
        add(name, value, &mut out);
    }
    out
}

/// Adds a member to an object without its end.
fn add(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    let mut key = String::new();
    json::write_string(name, &mut key);
    out.extend_from_slice(key.as_bytes());
    out.push(b':');
    out.extend_from_slice(value);
}

fn add_text(name: &str, value: &str, out: &mut Vec<u8>) {
    let mut text = String::new();
    json::write_string(value, &mut text);
    add(name, text.as_bytes(), out);
}
