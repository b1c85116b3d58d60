//! Records that can't become rows, kept whole until a new config can make rows of them.
//!
//! A quarantined record counts as handled once it is durable: one record never blocks a stream.

use crate::digest::sha256_hex;
use crate::record::{Lineage, Origin, Reject, Row};
use crate::table::declared::DeclaredType;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::value::{self, Value};

/// The columns beside the lineage.
const COLUMNS: [(&str, DeclaredType, &str); 7] = [
    ("record", DeclaredType::String, "the record as Lambda delivered it, byte for byte"),
    ("record_binary", DeclaredType::Binary, "the record, if it is not UTF-8"),
    ("reason", DeclaredType::String, "why it is not a row, as a code"),
    ("detail", DeclaredType::String, "why it is not a row, as a sentence without its content"),
    ("route", DeclaredType::String, "the route that should have taken it"),
    ("binary_version", DeclaredType::String, "version of Lakeward that rejected it"),
    ("config_hash", DeclaredType::String, "SHA-256 of the config that rejected it"),
];

/// Returns the policy of the quarantine table.
pub fn policy() -> Policy {
    let columns = COLUMNS.map(|(name, ty, doc)| DeclaredColumn {
        name: name.to_owned(),
        ty,
        doc: Some(doc.to_owned()),
    });
    Policy { columns: columns.into(), ..Policy::default() }
}

/// The columns of the table of resolved records, beside the lineage.
const RESOLVED: [(&str, DeclaredType, &str); 3] = [
    ("reason", DeclaredType::String, "why it was in quarantine"),
    ("binary_version", DeclaredType::String, "version of Lakeward that resolved it"),
    ("config_hash", DeclaredType::String, "SHA-256 of the config that resolved it"),
];

/// Returns the policy of the table of resolved records.
pub fn resolved_policy() -> Policy {
    let columns = RESOLVED.map(|(name, ty, doc)| DeclaredColumn {
        name: name.to_owned(),
        ty,
        doc: Some(doc.to_owned()),
    });
    Policy { columns: columns.into(), ..Policy::default() }
}

/// Makes the row that marks a quarantined record as resolved. It has the record's own lineage, so
/// there is at most one.
pub fn resolved(lineage: Lineage, reason: &str, config_hash: &str) -> Row {
    let version = env!("CARGO_PKG_VERSION");
    let fields = vec![
        text("reason", reason),
        text("binary_version", version),
        text("config_hash", config_hash),
    ];
    Row { lineage, fields }
}

/// The extent to which a record is kept; `payload` of `[quarantine]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    #[default]
    Raw,
    /// Only its origin and its problem: enough to find it at its source.
    None,
}

/// Makes the quarantine row of a record, which holds as much of it as `keep` says, under the identity
/// that AWS gave it.
pub fn row(
    raw: &[u8],
    keep: Keep,
    origin: &Origin,
    reject: &Reject,
    route: Option<&str>,
    config_hash: &str,
) -> Row {
    refused(original(raw, keep, origin, route, config_hash), reject)
}

/// Makes the quarantine row of a record that may be refused later, without a reason.
pub fn original(
    raw: &[u8],
    keep: Keep,
    origin: &Origin,
    route: Option<&str>,
    config_hash: &str,
) -> Row {
    let mut fields = match (keep, std::str::from_utf8(raw)) {
        (Keep::None, _) => Vec::new(),
        (Keep::Raw, Ok(record)) => vec![text("record", record)],
        (Keep::Raw, Err(_)) => {
            vec![("record_binary".to_owned(), Value::Binary(raw.to_vec()))]
        }
    };
    fields.extend(route.map(|it| text("route", it)));
    fields.push(text("binary_version", env!("CARGO_PKG_VERSION")));
    fields.push(text("config_hash", config_hash));
    let origin = origin.vouched();
    let id = origin.id.clone().unwrap_or_else(|| digest(raw));
    let lineage = Lineage {
        shard: origin.shard.clone(),
        position: origin.position.clone(),
        arrived_at: origin.arrived_at,
        moved: origin.moved,
        ..Lineage::new(origin.source.clone(), id)
    };
    Row { lineage, fields }
}

/// Adds the reason to a row that [`original`] has made.
pub fn refused(mut original: Row, reject: &Reject) -> Row {
    original.fields.push(text("reason", reject.reason));
    original.fields.push(text("detail", &reject.detail));
    original
}

/// Returns the reason of a row of quarantine.
pub fn reason(row: &Row) -> String {
    text_of(row, "reason")
}

/// Returns the route of a row of quarantine; empty if there is none.
pub fn route(row: &Row) -> String {
    text_of(row, "route")
}

fn text(name: &str, it: &str) -> (String, Value) {
    (name.to_owned(), Value::Text(it.to_owned()))
}

fn text_of(row: &Row, name: &str) -> String {
    match value::get(&row.fields, name) {
        Some(Value::Text(it)) => it.clone(),
        _ => String::new(),
    }
}

/// Removes the record from a row of quarantine that is durable, so that it takes no memory.
pub fn forget_record(row: &mut Row) {
    row.fields.retain(|(name, _)| name != "record" && name != "record_binary");
}

/// Returns the identity of a record that has none: the same bytes are the same record.
fn digest(raw: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(raw))
}
