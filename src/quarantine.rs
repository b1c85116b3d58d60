//! Records that are no rows, kept whole until someone can make rows of them.
//!
//! A quarantined record counts as handled once it is durable here: no stream is ever blocked by
//! one record.

use crate::digest::sha256_hex;
use crate::record::{Lineage, Op, Origin, Reject, Row};
use crate::table::declared::Declared;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::value::Value;

/// The columns beside the lineage.
const COLUMNS: [(&str, Declared, &str); 7] = [
    ("record", Declared::String, "the record as Lambda delivered it, byte for byte"),
    ("record_binary", Declared::Binary, "the same where it is not UTF-8"),
    ("reason", Declared::String, "why it is no row, as a code"),
    ("detail", Declared::String, "why, as a sentence, without any of its content"),
    ("route", Declared::String, "the route that should have taken it"),
    ("binary_version", Declared::String, "version of Lakeward that rejected it"),
    ("config_hash", Declared::String, "SHA-256 of the config that rejected it"),
];

/// The policy of the quarantine table.
pub fn policy() -> Policy {
    let columns = COLUMNS.map(|(name, ty, doc)| DeclaredColumn {
        name: name.to_owned(),
        ty,
        doc: Some(doc.to_owned()),
    });
    Policy { columns: columns.into(), ..Policy::default() }
}

/// The columns of what is resolved, beside the lineage.
const RESOLVED: [(&str, Declared, &str); 3] = [
    ("reason", Declared::String, "why it was in quarantine"),
    ("binary_version", Declared::String, "version of Lakeward that settled it"),
    ("config_hash", Declared::String, "SHA-256 of the config that settled it"),
];

/// The policy of the table of what is resolved.
pub fn resolved_policy() -> Policy {
    let columns = RESOLVED.map(|(name, ty, doc)| DeclaredColumn {
        name: name.to_owned(),
        ty,
        doc: Some(doc.to_owned()),
    });
    Policy { columns: columns.into(), ..Policy::default() }
}

/// The mark that a quarantined record is where it belongs by now. It has the record's own lineage,
/// so there is one at most.
pub fn resolved(lineage: Lineage, reason: &str, config_hash: &str) -> Row {
    let text = |name: &str, it: &str| (name.to_owned(), Value::Text(it.to_owned()));
    let version = env!("CARGO_PKG_VERSION");
    let fields = vec![
        text("reason", reason),
        text("binary_version", version),
        text("config_hash", config_hash),
    ];
    Row { lineage, fields }
}

/// How much of a record is kept; `payload` of `[quarantine]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    #[default]
    Raw,
    /// Where it is from and what is wrong with it: enough to find it at its source.
    None,
}

/// The quarantine row of a record, of which it holds as much as `keep` says.
pub fn row(
    raw: &[u8],
    keep: Keep,
    origin: &Origin,
    reject: &Reject,
    route: Option<&str>,
    config_hash: &str,
) -> Row {
    let text = |name: &str, it: &str| (name.to_owned(), Value::Text(it.to_owned()));
    let mut fields = match (keep, std::str::from_utf8(raw)) {
        (Keep::None, _) => Vec::new(),
        (Keep::Raw, Ok(record)) => vec![text("record", record)],
        (Keep::Raw, Err(_)) => {
            vec![("record_binary".to_owned(), Value::Binary(raw.to_vec()))]
        }
    };
    fields.push(text("reason", reject.reason));
    fields.push(text("detail", &reject.detail));
    fields.extend(route.map(|it| text("route", it)));
    fields.push(text("binary_version", env!("CARGO_PKG_VERSION")));
    fields.push(text("config_hash", config_hash));
    Row {
        lineage: Lineage {
            id: origin.id.clone().unwrap_or_else(|| digest(raw)),
            source: origin.source.clone(),
            shard: origin.shard.clone(),
            key: None,
            position: origin.position.clone(),
            op: Op::Event,
            deleted_by: None,
            event_at: None,
            arrived_at: origin.arrived_at,
            digest: None,
            moved: origin.moved,
            id_window: None,
            before: None,
        },
        fields,
    }
}

/// Identity of a record that has none: the same bytes are the same record.
fn digest(raw: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(raw))
}
