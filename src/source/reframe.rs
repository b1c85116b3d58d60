//! The text of a piece for quarantine: a record of its own, as Lambda would have delivered it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::json::{self, Json, Members};
use crate::record::{Piece, Raw};
use crate::source::members::WRAPPERS;

/// A delivered record that holds several, without their data. It is parsed once for all of them.
#[derive(Debug)]
pub struct Carrier {
    /// The members that its pieces have in common: a JSON object without its closing brace.
    common: Vec<u8>,
    id: String,
    frame: Frame,
}

/// The objects around the data, like [`Carrier::common`] without the members of each piece.
#[derive(Debug)]
enum Frame {
    Kinesis {
        /// The member `kinesis`.
        kinesis: Vec<u8>,
    },
    Sqs {
        /// The notifications around the body, outermost first.
        wrappers: Vec<Vec<u8>>,
    },
}

impl Carrier {
    /// Parses the delivered record that holds this piece and others.
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
                    frame: Frame::Kinesis { kinesis },
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
                    frame: Frame::Sqs { wrappers: wrappers.collect() },
                }
            }
        }
    }

    /// Returns its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns about how many bytes [`Carrier::reframe`] makes of this piece.
    pub fn weight(&self, piece: &Piece) -> usize {
        let own = match &self.frame {
            Frame::Kinesis { kinesis } => kinesis.len(),
            Frame::Sqs { wrappers } => wrappers.iter().map(Vec::len).sum(),
        };
        self.common.len() + own + piece.text.len()
    }

    /// Makes a record of a piece: with the members of the carrier, and with an id and data of its own.
    /// A reader gets the same record from it, under the same id. (From a list in a list, which is not
    /// a record, a reader gets its items, under ids that begin with that of the list. In a message,
    /// bytes that are not UTF-8 become base64.)
    pub fn reframe(&self, piece: &Piece) -> Vec<u8> {
        let id = format!("{}{}", self.id, piece.sub);
        let mut out = self.common.clone();
        match &self.frame {
            Frame::Kinesis { kinesis } => {
                let mut own = kinesis.clone();
                if let Some(key) = &piece.key {
                    add_text("partitionKey", key, &mut own);
                }
                add_text("data", &BASE64.encode(&piece.text), &mut own);
                own.push(b'}');
                add_text("eventID", &id, &mut out);
                add("kinesis", &own, &mut out);
            }
            Frame::Sqs { wrappers } => {
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

/// Returns an object without some of its members, and without its closing brace.
fn without(members: &Members<'_>, own: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| !own.contains(&name.as_ref())) {
        add(name, value, &mut out);
    }
    out
}

/// Adds a member to an object that has no closing brace yet.
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
