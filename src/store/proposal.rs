//! The metadata that a commit proposes: its head with one more snapshot, and less of the past.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{
    DataFile, MAIN_BRANCH, ManifestFile, Operation, Snapshot, SnapshotSummaryCollector, Summary,
    TableMetadata, TableMetadataBuilder,
};
use uuid::Uuid;

use crate::store::error::StoreError;
use crate::store::head::{COMMIT_PROPERTY, HeadVersion, commit_property};
use crate::store::table::Table;
use crate::store::{schema, trim};

/// The id of a commit in all its attempts, which the table shows as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitId {
    /// The UUID in the snapshot's summary.
    pub id: String,
    /// The id of its snapshot.
    pub snapshot: i64,
}

impl CommitId {
    /// Makes a new id.
    pub fn random() -> Self {
        let unique = Uuid::new_v4();
        Self {
            id: unique.to_string(),
            // Positive, and as random as the UUID.
            snapshot: i64::try_from(unique.as_u64_pair().0 >> 1).unwrap_or(i64::MAX),
        }
    }
}

/// Writes the manifest list of a new snapshot, and returns the metadata that makes it current. The
/// snapshot has the files of the head, in the manifests `old`, and in `new` those that the commit adds.
pub async fn append(
    table: &Table,
    head: &HeadVersion,
    commit: &CommitId,
    old: Vec<ManifestFile>,
    new: &[ManifestFile],
    entries: &[&DataFile],
) -> Result<TableMetadata, StoreError> {
    let metadata = &head.metadata;
    let manifests = new.iter().cloned().chain(old).collect();
    let mut summary = SnapshotSummaryCollector::default();
    for entry in entries {
        let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
        summary.add_file(entry, Arc::clone(schema), Arc::clone(spec));
    }
    next(table, head, commit, manifests, Operation::Append, summary.build()).await
}

/// The same with `added` in the place of the files `removed`.
pub async fn replace(
    table: &Table,
    head: &HeadVersion,
    commit: &CommitId,
    manifests: Vec<ManifestFile>,
    added: &DataFile,
    removed: &[&DataFile],
) -> Result<TableMetadata, StoreError> {
    // The library's sums panic for files of another spec than the default one.
    let sum =
        |of: fn(&DataFile) -> u64| removed.iter().map(|it| of(it)).fold(0, u64::saturating_add);
    let summary = [
        ("added-data-files", 1),
        ("added-records", added.record_count()),
        ("added-files-size", added.file_size_in_bytes()),
        ("deleted-data-files", sum(|_| 1)),
        ("deleted-records", sum(DataFile::record_count)),
        ("removed-files-size", sum(DataFile::file_size_in_bytes)),
    ];
    let summary = summary.map(|(name, number)| (name.to_owned(), number.to_string()));
    next(table, head, commit, manifests, Operation::Replace, summary.into()).await
}

/// Writes the manifest list of a new snapshot, and returns the metadata that makes it current.
async fn next(
    table: &Table,
    head: &HeadVersion,
    commit: &CommitId,
    manifests: Vec<ManifestFile>,
    operation: Operation,
    summary: HashMap<String, String>,
) -> Result<TableMetadata, StoreError> {
    let metadata = &head.metadata;
    let sequence = metadata.next_sequence_number();
    let parent_id = metadata.current_snapshot_id();
    let list = table.manifests.write_list(commit.snapshot, parent_id, sequence, manifests).await?;
    let now = table.time_after(head);
    let properties = properties(table, metadata, commit, summary);
    let snapshot = Snapshot::builder()
        .with_snapshot_id(commit.snapshot)
        .with_parent_snapshot_id(parent_id)
        .with_sequence_number(sequence)
        .with_timestamp_ms(now)
        .with_manifest_list(list)
        .with_schema_id(metadata.current_schema_id())
        .with_summary(Summary { operation, additional_properties: properties })
        .build();
    let trim = trim::trim(metadata, now, table.retention.snapshots)?;
    let failed = StoreError::metadata("make the next version of a table");
    table
        .builder(head)?
        .remove_snapshots(&trim.snapshots)
        .set_branch_snapshot(snapshot, MAIN_BRANCH)
        .and_then(|it| it.remove_schemas(&trim.schemas))
        .and_then(|it| it.set_properties(schema::missing_properties(metadata)))
        .and_then(|it| it.set_properties(commit_property(&commit.id)))
        .and_then(TableMetadataBuilder::build)
        .map(|it| it.metadata)
        .map_err(failed)
}

/// Returns the properties of a snapshot: what it adds and removes, the totals, and who made it.
fn properties(
    table: &Table,
    metadata: &TableMetadata,
    commit: &CommitId,
    mut properties: HashMap<String, String>,
) -> HashMap<String, String> {
    let before = metadata.current_snapshot().map(|it| it.summary());
    for (total, added, removed) in [
        ("total-records", "added-records", "deleted-records"),
        ("total-data-files", "added-data-files", "deleted-data-files"),
        ("total-files-size", "added-files-size", "removed-files-size"),
    ] {
        let number = |it: Option<&String>| it.and_then(|it| it.parse::<u64>().ok());
        let old = match before {
            // An unknown total stays unknown.
            Some(before) => number(before.additional_properties.get(total)),
            None => Some(0),
        };
        if let (Some(old), Some(added)) = (old, number(properties.get(added))) {
            let removed = number(properties.get(removed)).unwrap_or(0);
            let new = old.saturating_add(added).saturating_sub(removed);
            properties.insert(total.to_owned(), new.to_string());
        }
    }
    properties.insert(COMMIT_PROPERTY.to_owned(), commit.id.clone());
    properties.insert("lakeward.version".to_owned(), table.release.version.clone());
    properties.insert("lakeward.config".to_owned(), table.config_hash.clone());
    properties
}
