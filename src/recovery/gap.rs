//! Gaps: ranges of records that are lost, because no source holds them any more and no table has
//! them.

use crate::deadline::Deadline;
use crate::handler::App;
use crate::number::Number;
use crate::record::{Lineage, Row};
use crate::recovery::notice::Range;
use crate::store::StoreError;
use crate::table::declared::DeclaredType;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::table_name::TableName;
use crate::value::Value;

/// The columns beside those of the lineage.
const COLUMNS: [(&str, DeclaredType, &str); 8] = [
    ("first_sequence_number", DeclaredType::String, "the first record that is lost"),
    ("last_sequence_number", DeclaredType::String, "the last record that may be lost"),
    ("batch_size", DeclaredType::Long, "how many records the failed batch had, lost or not"),
    ("last_arrived_at", DeclaredType::String, "when the last record of that batch arrived"),
    ("condition", DeclaredType::String, "why Lambda stopped retrying the batch"),
    ("reason", DeclaredType::String, "why they can't be read any more, as a code"),
    ("binary_version", DeclaredType::String, "version of Lakeward that looked for them"),
    ("config_hash", DeclaredType::String, "SHA-256 of its config"),
];

/// The reason why records can't be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// They are older than what the stream keeps.
    Trimmed,
    /// The stream or the shard does not exist any more.
    StreamGone,
}

impl Reason {
    fn code(self) -> &'static str {
        match self {
            Reason::Trimmed => "trimmed",
            Reason::StreamGone => "stream_gone",
        }
    }
}

/// A range of records that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first and the last of them, with their batch.
    pub range: Range,
    /// The reason why they can't be read any more.
    pub reason: Reason,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Range { stream, shard, first, last, .. } = &self.range;
        let why = match self.reason {
            Reason::Trimmed => "the stream no longer holds them",
            Reason::StreamGone => "the stream or its shard is gone",
        };
        write!(f, "records of {stream}, {shard}, from {first} to {last} are lost: {why}")
    }
}

/// Lands a gap as a row of `lakeward.gaps`, once.
pub(super) async fn note(app: &App, gap: &Gap, deadline: &Deadline) -> Result<(), StoreError> {
    let name = TableName::gaps();
    let columns = COLUMNS.map(|(name, ty, doc)| DeclaredColumn {
        name: name.to_owned(),
        ty,
        doc: Some(doc.to_owned()),
    });
    let zoned = app.config.undeclared.zoned;
    let policy = Policy { columns: columns.into(), zoned, ..Policy::default() };
    let row = row(gap, &app.config.lake.config_hash);
    app.lake_of(&name).land(&name, &policy, vec![row], deadline).await?;
    Ok(())
}

fn row(gap: &Gap, config_hash: &str) -> Row {
    let Range { stream, kind: _, shard, first, last, records, from, to, condition } = &gap.range;
    // The same as in the rows of these records, so that they can be compared.
    let table = stream.table_and_label();
    let (source, shard_or_label) = match &table {
        Some((table, label)) => (table.as_str(), *label),
        None => (stream.as_str(), shard.as_str()),
    };
    let text = |name: &str, it: &str| (name.to_owned(), Value::Text(it.to_owned()));
    let mut fields = vec![
        text("first_sequence_number", first),
        text("last_sequence_number", last),
        text("reason", gap.reason.code()),
        text("binary_version", env!("CARGO_PKG_VERSION")),
        text("config_hash", config_hash),
    ];
    let number = |it: u64| Number::parse(&it.to_string()).ok().map(Value::Number);
    fields.extend(records.and_then(number).map(|it| ("batch_size".to_owned(), it)));
    fields.extend(to.map(|it| text("last_arrived_at", &format!("{it}Z"))));
    fields.extend(condition.as_deref().map(|it| text("condition", it)));
    let lineage = Lineage {
        shard: Some(shard_or_label.to_owned()),
        position: Some(crate::source::padded(first)),
        arrived_at: *from,
        ..Lineage::new(source, format!("{shard}:{first}-{last}"))
    };
    Row { lineage, fields }
}
