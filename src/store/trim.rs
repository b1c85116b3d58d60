//! What a commit leaves behind of the past, so that metadata stays small for every reader.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::Deserialize;

use crate::store::error::StoreError;

/// Snapshots that are always kept.
const NEWEST: usize = 20;
/// Snapshots younger than this are kept as well, so that incremental readers keep their place…
const KEEP_FOR: Duration = Duration::from_secs(60 * 60);
/// …up to so many: each is some 700 bytes of metadata that every commit writes and every reader
/// reads.
const MOST: usize = 200;
/// Different schemas that kept snapshots may use; each is as large as the table is wide.
const SCHEMAS: usize = 6;

/// Snapshots that must be able to go before the table's references are looked up.
const WORTHWHILE: usize = 16;

/// Snapshots and schemas that go with the next commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// Snapshot ids.
    pub snapshots: Vec<i64>,
    /// Schema ids.
    pub schemas: Vec<i32>,
}

/// What may go at `now_ms`; nothing until there is enough of it. What a tag or branch names stays,
/// and so does the current snapshot.
pub fn trim(metadata: &TableMetadata, now_ms: i64) -> Result<Trim, StoreError> {
    let trim = without(metadata, now_ms, &HashSet::new());
    if trim.snapshots.len() < WORTHWHILE && metadata.schemas_iter().len() <= SCHEMAS {
        return Ok(Trim::default());
    }
    Ok(without(metadata, now_ms, &named(metadata)?))
}

/// What may go when only `named` snapshots must stay.
fn without(metadata: &TableMetadata, now_ms: i64, named: &HashSet<i64>) -> Trim {
    let mut newest_first: Vec<&SnapshotRef> = metadata.snapshots().collect();
    newest_first.sort_by_key(|it| Reverse((it.sequence_number(), it.snapshot_id())));
    let keep_ms = i64::try_from(KEEP_FOR.as_millis()).unwrap_or(i64::MAX);
    let mut schemas = HashSet::from([metadata.current_schema_id()]);
    let mut trim = Trim::default();
    for (age, snapshot) in newest_first.iter().enumerate() {
        let young = snapshot.timestamp_ms().saturating_add(keep_ms) >= now_ms;
        let schema = snapshot.schema_id();
        let affordable = schema.is_none_or(|it| schemas.contains(&it)) || schemas.len() < SCHEMAS;
        let kept = age == 0
            || named.contains(&snapshot.snapshot_id())
            || (affordable && age < if young { MOST } else { NEWEST });
        if kept {
            schemas.extend(schema);
        } else {
            trim.snapshots.push(snapshot.snapshot_id());
        }
    }
    let all = metadata.schemas_iter().map(|it| it.schema_id());
    trim.schemas = all.filter(|it| !schemas.contains(it)).collect();
    trim
}

/// Snapshots that a branch or tag names. The library has no list of references, so they are taken
/// from the metadata's JSON form.
fn named(metadata: &TableMetadata) -> Result<HashSet<i64>, StoreError> {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        refs: HashMap<String, Reference>,
    }
    #[derive(Deserialize)]
    struct Reference {
        #[serde(rename = "snapshot-id")]
        snapshot_id: i64,
    }
    let failed = StoreError::encode("read the table's branches and tags");
    let text = serde_json::to_string(metadata).map_err(&failed)?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(&failed)?;
    Ok(metadata.refs.into_values().map(|it| it.snapshot_id).collect())
}
