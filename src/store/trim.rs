//! Drops old snapshots and schemas from metadata, so that it stays small for every reader.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::Deserialize;

use crate::store::error::StoreError;

/// Number of snapshots that are always kept.
const MIN_SNAPSHOTS: usize = 20;
/// Younger snapshots than `keep_snapshots_for` are kept as well, up to this number for each hour: each is
/// some 700 bytes of metadata that every commit writes and every reader reads.
const MAX_SNAPSHOTS_AN_HOUR: u64 = 100;
/// The largest number of them, however long they are to be kept.
const MAX_SNAPSHOTS: u64 = 10_000;
/// Number of different schemas that kept snapshots may use; each is as large as the table is wide.
const MAX_SCHEMAS: usize = 6;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Number of droppable snapshots from which on it is worth looking up the table's references.
const MIN_DROPPED: usize = 16;

/// Snapshots and schemas that the next commit drops.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// Snapshot ids.
    pub snapshots: Vec<i64>,
    /// Schema ids.
    pub schemas: Vec<i32>,
}

/// Returns what to drop at `now_ms` if snapshots are kept for some time; nothing until there is enough.
/// Snapshots of tags and branches stay, and so does the current one.
pub fn trim(metadata: &TableMetadata, now_ms: i64, keep_for: Duration) -> Result<Trim, StoreError> {
    let trim = without(metadata, now_ms, keep_for, &HashSet::new());
    if trim.snapshots.len() < MIN_DROPPED && metadata.schemas_iter().len() <= MAX_SCHEMAS {
        return Ok(Trim::default());
    }
    Ok(without(metadata, now_ms, keep_for, &named(metadata)?))
}

/// Returns what to drop if the `named` snapshots must stay.
fn without(
    metadata: &TableMetadata,
    now_ms: i64,
    keep_for: Duration,
    named: &HashSet<i64>,
) -> Trim {
    let mut newest_first: Vec<&SnapshotRef> = metadata.snapshots().collect();
    newest_first.sort_by_key(|it| Reverse((it.sequence_number(), it.snapshot_id())));
    let keep_ms = i64::try_from(keep_for.as_millis()).unwrap_or(i64::MAX);
    let max_young = max_young(keep_for);
    let mut schemas = HashSet::from([metadata.current_schema_id()]);
    let mut trim = Trim::default();
    for (age, snapshot) in newest_first.iter().enumerate() {
        let young = snapshot.timestamp_ms().saturating_add(keep_ms) >= now_ms;
        let schema = snapshot.schema_id();
        let affordable =
            schema.is_none_or(|it| schemas.contains(&it)) || schemas.len() < MAX_SCHEMAS;
        let kept = age == 0
            || named.contains(&snapshot.snapshot_id())
            || (affordable && age < if young { max_young } else { MIN_SNAPSHOTS });
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

/// Returns the largest number of young snapshots.
fn max_young(keep_for: Duration) -> usize {
    let hours = keep_for.as_secs().div_ceil(HOUR.as_secs()).max(1);
    let young = hours.saturating_mul(MAX_SNAPSHOTS_AN_HOUR).min(MAX_SNAPSHOTS);
    usize::try_from(young).unwrap_or(usize::MAX)
}

/// Returns the snapshots of branches and tags. The library does not list references, so they are
/// taken from the metadata's JSON form.
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
