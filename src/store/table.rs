//! One table of the lake: its head, its files, and the builder of its next version.

use std::sync::Arc;

use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use serde_json::Value;

use crate::store::clock::Clock;
use crate::store::error::StoreError;
use crate::store::files::Files;
use crate::store::head::{Head, HeadVersion};
use crate::store::id_filter::IdFilters;
use crate::store::manifest::Manifests;
use crate::store::pending::Pending;
use crate::store::release::Release;
use crate::store::retention::Retention;
use crate::table::lineage::LineageColumn;
use crate::table_name::TableName;

/// The lead of another clock from which on times are brought back. Iceberg allows a minute.
const MAX_LEAD_MS: i64 = 30_000;

/// A table, whether it exists yet or not.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// `<lake>/<namespace>/<table>`
    pub location: String,
    /// Its lineage columns.
    pub lineage: &'static [LineageColumn],
    /// Its current metadata.
    pub head: Box<dyn Head>,
    /// The files of the lake.
    pub files: Arc<dyn Files>,
    /// Its manifests.
    pub manifests: Manifests,
    /// The filters of the ids in its files.
    pub id_filters: IdFilters,
    /// Its pending rows; `None` if none are left, because they could not be removed.
    pub pending: Option<Pending>,
    /// Whether rows may be left to other commits.
    pub may_leave: bool,
    /// The clock of its commits.
    pub clock: Clock,
    /// The release that writes to it.
    pub release: Release,
    /// The hash of the config, for every snapshot's summary.
    pub config_hash: String,
    /// The time for which it keeps what it no longer needs.
    pub retention: Retention,
}

impl Table {
    /// Returns the time of a commit after `head`: a clock that is a little behind must not make a
    /// snapshot older than its parent, and one that was far ahead does not count.
    pub(crate) fn time_after(&self, head: &HeadVersion) -> i64 {
        let now = self.clock.millis();
        let last = head.metadata.last_updated_ms();
        if last > now.saturating_add(MAX_LEAD_MS) { now } else { now.max(last) }
    }

    /// Returns a builder of the version after `head`.
    ///
    /// Where another clock was far ahead, the head's times are brought back to this clock: Iceberg
    /// refuses metadata whose times go backwards, and a commit must not wait for that time.
    pub(crate) fn builder(&self, head: &HeadVersion) -> Result<TableMetadataBuilder, StoreError> {
        let now = self.clock.millis();
        let metadata = if head.metadata.last_updated_ms() > now.saturating_add(MAX_LEAD_MS) {
            not_after(&head.metadata, now)?
        } else {
            TableMetadata::clone(&head.metadata)
        };
        Ok(metadata.into_builder(Some(head.location.clone())))
    }
}

/// Returns the metadata without any time of an update after `now`.
fn not_after(metadata: &TableMetadata, now: i64) -> Result<TableMetadata, StoreError> {
    let failed = StoreError::encode("correct the times of a table");
    let mut json = serde_json::to_value(metadata).map_err(&failed)?;
    let clamp = |time: Option<&mut Value>| {
        if let Some(time) = time
            && time.as_i64().is_some_and(|it| it > now)
        {
            *time = Value::from(now);
        }
    };
    clamp(json.get_mut("last-updated-ms"));
    for log in ["snapshot-log", "metadata-log"] {
        let entries = json.get_mut(log).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            clamp(entry.get_mut("timestamp-ms"));
        }
    }
    serde_json::from_value(json).map_err(failed)
}
