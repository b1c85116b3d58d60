//! Compaction: the small files of many commits become few large ones, a unit at a time.
//!
//! A unit is of one partition of one spec, and of files whose rows are found in one way. Nothing that was
//! found before is missed afterwards: the file that takes their place has no bound that one of them lacks.

mod conform;
mod plan;
mod replace;
mod rewrite;

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join_all;
use iceberg::spec::{DataFile, ManifestContentType, ManifestEntry, ManifestFile};

use crate::number::count;
use crate::store::arrivals::Arrivals;
use crate::store::error::StoreError;
use crate::store::live_file::SearchColumns;
use crate::store::schema;
use crate::store::table::Table;

use plan::{Deletes, Kind, PlannedFile};
use replace::{Replace, delete_manifests};
use rewrite::{Rewritten, rewrite};

/// The number of files of unknown form after which others of their kind are not tried, in one call.
const MAX_UNKNOWN: usize = 3;
/// The number of manifests that are read at a time.
const READ_AT_ONCE: usize = 16;

/// The compaction of one table.
#[derive(Debug)]
pub struct Compaction<'a> {
    table: &'a Table,
    /// The live files of each manifest that was read.
    read: HashMap<String, Vec<PlannedFile>>,
    /// Files that can't be joined.
    left_alone: HashSet<String>,
    /// Files of a form that is not known here, by spec and kind.
    unknown: HashMap<(i32, Kind), usize>,
    /// The damage of the first file that can't be read.
    damage: Option<String>,
}

/// A unit of compaction, as it is planned or done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitReport {
    /// Files that were joined into one.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// The bytes of the file that took their place; 0 if none did.
    pub bytes_written: u64,
}

impl<'a> Compaction<'a> {
    /// The compaction of a table, of which nothing is known yet.
    pub fn of(table: &'a Table) -> Self {
        let (read, left_alone, unknown) = (HashMap::new(), HashSet::new(), HashMap::new());
        Self { table, read, left_alone, unknown, damage: None }
    }

    /// Joins the files of one unit of at most `max_bytes`; `None` if nothing is worth it any more.
    ///
    /// # Errors
    /// If the table can't be read or written. What was done may be in the table, and nothing is lost.
    pub async fn next(&mut self, max_bytes: u64) -> Result<Option<UnitReport>, StoreError> {
        loop {
            let Some(head) = self.table.head.load().await? else { return Ok(None) };
            let Some(snapshot) = head.metadata.current_snapshot() else { return Ok(None) };
            schema::layout(self.table, &head.metadata)?;
            let list = self.table.manifests.list(snapshot).await?;
            self.refresh(&list, SearchColumns::of(head.metadata.current_schema())).await?;
            let deletes = self.deletes(&list).await?;
            let unit = self.unit(&deletes, max_bytes);
            let Some(first) = unit.first() else { return Ok(None) };
            let (spec_id, kind) = (first.spec_id, first.kind);
            let inputs: HashSet<String> = unit.iter().map(|it| it.location.clone()).collect();
            let mut report = planned(&unit);
            let files = self.entries(&list, &inputs).await?;
            let (metadata, began) = (&head.metadata, self.table.clock.now());
            let rewritten = rewrite(self.table, metadata, &files, spec_id, kind).await;
            let (entry, arrivals) = match rewritten {
                Ok(Rewritten::File { entry, arrivals }) => (*entry, arrivals),
                Ok(Rewritten::Unreadable(location)) => {
                    tracing::warn!(%location, "its form is not known here, so it is left alone");
                    self.left_alone.insert(location);
                    *self.unknown.entry((spec_id, kind)).or_default() += 1;
                    continue;
                }
                // The others can be joined without it.
                Err(StoreError::Damaged { location, problem }) if inputs.contains(&location) => {
                    self.damage.get_or_insert(format!("can't read {location}: {problem}"));
                    self.left_alone.insert(location);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let bytes_written = entry.file_size_in_bytes();
            let output = (entry, arrivals);
            let deletes = delete_manifests(&list);
            let replace =
                Replace::new(self.table, metadata, spec_id, inputs, began, output, deletes);
            if replace.run().await? {
                report.bytes_written = bytes_written;
            }
            return Ok(Some(report));
        }
    }

    /// Returns the number of live files, as far as they were read.
    pub fn live_files(&self) -> u64 {
        count(self.read.values().map(Vec::len).sum())
    }

    /// Returns what is wrong with a file that can't be read. Its table needs a backup, or to do without it.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Returns what the next units of at most `max_bytes` would join, and joins nothing.
    ///
    /// # Errors
    /// If the table can't be read.
    pub async fn plan(&mut self, max_bytes: u64) -> Result<Vec<UnitReport>, StoreError> {
        let Some(head) = self.table.head.load().await? else { return Ok(Vec::new()) };
        let Some(snapshot) = head.metadata.current_snapshot() else { return Ok(Vec::new()) };
        let list = self.table.manifests.list(snapshot).await?;
        self.refresh(&list, SearchColumns::of(head.metadata.current_schema())).await?;
        let deletes = self.deletes(&list).await?;
        let mut units = Vec::new();
        loop {
            let unit = self.unit(&deletes, max_bytes);
            if unit.is_empty() {
                return Ok(units);
            }
            units.push(planned(&unit));
            let done: Vec<String> = unit.iter().map(|it| it.location.clone()).collect();
            self.left_alone.extend(done);
        }
    }

    fn unit(&self, deletes: &Deletes, max_bytes: u64) -> Vec<&PlannedFile> {
        let files = self.read.values().flatten();
        let is_open = |it: &&PlannedFile| {
            let unknown = self.unknown.get(&(it.spec_id, it.kind)).copied().unwrap_or(0);
            unknown < MAX_UNKNOWN && !self.left_alone.contains(&it.location)
        };
        let files = files.filter(is_open);
        let now = self.table.clock.millis().saturating_mul(1_000);
        plan::unit(files, deletes, now, max_bytes)
    }

    /// Reads the manifests of a list that were not read before, and forgets those that are not in it.
    async fn refresh(
        &mut self,
        list: &[ManifestFile],
        columns: SearchColumns,
    ) -> Result<(), StoreError> {
        let listed: HashSet<&str> = list.iter().map(|it| it.manifest_path.as_str()).collect();
        self.read.retain(|location, _| listed.contains(location.as_str()));
        let new: Vec<&ManifestFile> = list
            .iter()
            .filter(|it| it.content == ManifestContentType::Data)
            .filter(|it| !self.read.contains_key(&it.manifest_path))
            .collect();
        for some in new.chunks(READ_AT_ONCE) {
            // Of one manifest at a time all entries are held, of the others what the plan needs.
            let read = some.iter().map(async |manifest| {
                let entries = self.table.manifests.entries(manifest).await?;
                let is_ours = Arrivals::of_manifest(&manifest.manifest_path).is_some();
                let file = |it: &ManifestEntry| {
                    PlannedFile::new(&it.data_file, manifest.partition_spec_id, columns, is_ours)
                };
                Ok((manifest.manifest_path.clone(), entries.iter().map(file).collect()))
            });
            let read: Vec<(String, Vec<PlannedFile>)> = try_join_all(read).await?;
            self.read.extend(read);
        }
        Ok(())
    }

    /// Returns the partitions to which deletes apply.
    async fn deletes(&self, list: &[ManifestFile]) -> Result<Deletes, StoreError> {
        let mut deletes = Deletes::default();
        for manifest in list.iter().filter(|it| it.content == ManifestContentType::Deletes) {
            for entry in self.table.manifests.delete_entries(manifest).await? {
                let partition = entry.data_file.partition().clone();
                // Equality deletes without a partition apply to all of them.
                deletes.is_global |= partition.fields().is_empty();
                deletes.partitions.push((manifest.partition_spec_id, partition));
            }
        }
        Ok(deletes)
    }

    /// Returns the entries of these files, of manifests that held them when they were read.
    async fn entries(
        &self,
        list: &[ManifestFile],
        locations: &HashSet<String>,
    ) -> Result<Vec<DataFile>, StoreError> {
        let mut found = Vec::with_capacity(locations.len());
        for manifest in list {
            let files = self.read.get(&manifest.manifest_path);
            let holds =
                |files: &Vec<PlannedFile>| files.iter().any(|it| locations.contains(&it.location));
            if files.is_some_and(holds) {
                let entries = self.table.manifests.entries(manifest).await?.into_iter();
                let files = entries.map(|it| it.data_file);
                found.extend(files.filter(|it| locations.contains(it.file_path())));
            }
        }
        Ok(found)
    }
}

fn planned(unit: &[&PlannedFile]) -> UnitReport {
    let sum =
        |of: fn(&PlannedFile) -> u64| unit.iter().map(|it| of(it)).fold(0, u64::saturating_add);
    UnitReport {
        files: count(unit.len()),
        rows: sum(|it| it.rows),
        bytes_read: sum(|it| it.bytes),
        bytes_written: 0,
    }
}
