//! Puts one file in the place of several, if all of them are live in the very head that is swapped.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use iceberg::spec::{
    DataFile, DataFileBuilder, ManifestContentType, ManifestEntry, ManifestFile, TableMetadata,
};

use crate::store::arrivals::Arrivals;
use crate::store::error::StoreError;
use crate::store::head::{HeadVersion, Swap};
use crate::store::manifest::Replacement;
use crate::store::merge::{Counts, MAX_ENTRIES};
use crate::store::pause::pause;
use crate::store::proposal::{self, CommitId};
use crate::store::retention::MAX_FILE_AGE;
use crate::store::schema;
use crate::store::table::Table;

/// Swaps that are tried for one unit.
const MAX_TRIES: u32 = 16;

/// A replacement of files.
#[derive(Debug)]
pub(super) struct Replace<'a> {
    table: &'a Table,
    /// The metadata that the output was written under.
    written_under: Arc<TableMetadata>,
    spec_id: i32,
    /// The files that go.
    inputs: HashSet<String>,
    /// The time from which on the output is written.
    began: SystemTime,
    /// The file that takes their place, and the arrivals of its rows.
    output: DataFile,
    arrivals: Arrivals,
    /// The manifests of delete files that were looked at: none of them applies to an input.
    deletes: BTreeSet<String>,
    commit: CommitId,
}

/// The outcome of a replacement in a head: its manifests.
struct Outcome {
    manifests: Vec<ManifestFile>,
    /// The entries of the inputs.
    removed: Vec<ManifestEntry>,
}

impl<'a> Replace<'a> {
    /// Prepares the replacement of `inputs` by `output`, which was written under `metadata`.
    pub(super) fn new(
        table: &'a Table,
        metadata: &Arc<TableMetadata>,
        spec_id: i32,
        inputs: HashSet<String>,
        began: SystemTime,
        (output, arrivals): (DataFile, Arrivals),
        deletes: BTreeSet<String>,
    ) -> Self {
        let (written_under, commit) = (Arc::clone(metadata), CommitId::random());
        Self { table, written_under, spec_id, inputs, began, output, arrivals, deletes, commit }
    }

    /// Makes it. Returns `false` if it can't be made any more, because an input or a column is gone, the
    /// output is old, or someone deletes rows; then the output is in no snapshot.
    ///
    /// # Errors
    /// If the table can't be read or written. The replacement may have happened.
    pub(super) async fn run(&self) -> Result<bool, StoreError> {
        for tries in 1..=MAX_TRIES {
            let Some(head) = self.table.head.load().await? else { return Ok(false) };
            let Some(snapshot) = head.metadata.current_snapshot() else { return Ok(false) };
            schema::layout(self.table, &head.metadata)?;
            let is_old = self.table.clock.is_older(self.began, MAX_FILE_AGE);
            if is_old || !self.fits(&head.metadata) {
                return Ok(false);
            }
            let list = self.table.manifests.list(snapshot).await?;
            if delete_manifests(&list) != self.deletes {
                return Ok(false);
            }
            let Some(replaced) = self.replaced(&head, list).await? else { return Ok(false) };
            let removed: Vec<&DataFile> = replaced.removed.iter().map(|it| &it.data_file).collect();
            let next = proposal::replace(
                self.table,
                &head,
                &self.commit,
                replaced.manifests,
                &self.output,
                &removed,
            )
            .await?;
            match self.table.head.swap(Some(&head), &next, &self.commit.id).await {
                Swap::Swapped => return Ok(true),
                Swap::TooOld | Swap::Conflict => {}
                Swap::Unknown(error) => {
                    tracing::warn!(table = %self.table.name, %error, "unknown outcome of a swap");
                    if self.has_happened().await? {
                        return Ok(true);
                    }
                    if tries == MAX_TRIES {
                        return Err(error);
                    }
                }
            }
            pause(tries).await;
        }
        Ok(false)
    }

    /// Returns whether the output is live: an attempt whose answer was lost has made the replacement.
    async fn has_happened(&self) -> Result<bool, StoreError> {
        let Some(head) = self.table.head.load().await? else { return Ok(false) };
        let Some(snapshot) = head.metadata.current_snapshot() else { return Ok(false) };
        for manifest in self.table.manifests.list(snapshot).await? {
            let entries = self.table.manifests.entries(&manifest).await?;
            if entries.iter().any(|it| it.file_path() == self.output.file_path()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether a head has all columns as they were when the output was written, and the spec.
    fn fits(&self, metadata: &TableMetadata) -> bool {
        let (was, now) = (self.written_under.current_schema(), metadata.current_schema());
        let fields = was.as_struct().fields().iter();
        self.written_under.uuid() == metadata.uuid()
            && metadata.partition_spec_by_id(self.spec_id).is_some()
            && fields
                .filter(|it| {
                    self.output.column_sizes().contains_key(&it.id) || it.field_type.is_nested()
                })
                .all(|it| {
                    now.field_by_id(it.id)
                        .is_some_and(|now| now.name == it.name && now.field_type == it.field_type)
                })
    }

    /// Writes the manifests of a head without the inputs and with the output; `None` unless all inputs are
    /// live.
    async fn replaced(
        &self,
        head: &HeadVersion,
        list: Vec<ManifestFile>,
    ) -> Result<Option<Outcome>, StoreError> {
        let table = self.table;
        let (mut manifests, mut removed) = (Vec::new(), Vec::new());
        // What is left of the manifests that held inputs, those of one kind together.
        let mut left: HashMap<Option<u8>, (Option<Arrivals>, Vec<ManifestEntry>)> = HashMap::new();
        let mut touched = Counts::default();
        for manifest in list {
            let is_of_spec = manifest.partition_spec_id == self.spec_id;
            let is_data = manifest.content == ManifestContentType::Data;
            // A manifest never changes: one that held no input holds none.
            if !is_of_spec || !is_data || !self.may_hold(&manifest).await? {
                manifests.push(manifest);
                continue;
            }
            let entries = table.manifests.entries(&manifest).await?;
            let (gone, stay): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|it| self.inputs.contains(it.file_path()));
            if gone.is_empty() {
                manifests.push(manifest);
                continue;
            }
            for entry in gone.iter().chain(&stay) {
                touched =
                    [touched, Counts { files: 1, rows: entry.record_count() }].into_iter().sum();
            }
            removed.extend(gone);
            let name = Arrivals::of_manifest(&manifest.manifest_path);
            let (all, entries) = left.entry(name.map(Arrivals::kind)).or_insert((name, Vec::new()));
            *all = all.zip(name).map(|(all, name)| all.and(name));
            entries.extend(stay);
        }
        if removed.len() != self.inputs.len() {
            return Ok(None);
        }
        let written = self.write(head, left, &removed).await?;
        let after: Option<Counts> = written.iter().map(Counts::of).sum();
        let gone: Counts =
            removed.iter().map(|it| Counts { files: 1, rows: it.record_count() }).sum();
        let expected = Counts { files: touched.files - gone.files + 1, rows: touched.rows };
        if after != Some(expected) || gone.rows != self.output.record_count() {
            return Err(StoreError::Table {
                table: table.name.clone(),
                problem: "files and rows would not add up after a compaction, so nothing was \
                          written; report this as a bug"
                    .to_owned(),
            });
        }
        manifests.extend(written);
        Ok(Some(Outcome { manifests, removed }))
    }

    /// Writes the manifest that adds the output, and those of what is left of the touched ones.
    async fn write(
        &self,
        head: &HeadVersion,
        left: HashMap<Option<u8>, (Option<Arrivals>, Vec<ManifestEntry>)>,
        removed: &[ManifestEntry],
    ) -> Result<Vec<ManifestFile>, StoreError> {
        let (table, metadata) = (self.table, &head.metadata);
        let Some(spec) = metadata.partition_spec_by_id(self.spec_id) else { return Ok(Vec::new()) };
        let schema = Arc::clone(metadata.current_schema());
        let sequence = removed.iter().filter_map(|it| it.sequence_number).max();
        let replacement = Replacement {
            added: &self.output,
            // So that deletes apply to the same rows as before.
            sequence: sequence.unwrap_or_default(),
            removed: removed.iter().map(stripped).collect::<Result<_, _>>()?,
        };
        let snapshot = self.commit.snapshot;
        let added =
            table.manifests.write_replacement(snapshot, &schema, spec, replacement, self.arrivals);
        let mut written = vec![added.await?];
        for (arrivals, entries) in left.into_values() {
            for part in entries.chunks(usize::try_from(MAX_ENTRIES).unwrap_or(usize::MAX)) {
                let part = part.to_vec();
                let manifest = table.manifests.rewrite(snapshot, &schema, spec, part, arrivals);
                written.push(manifest.await?);
            }
        }
        Ok(written)
    }

    /// Returns whether a manifest may hold an input, by what is kept of manifests that were read.
    async fn may_hold(&self, manifest: &ManifestFile) -> Result<bool, StoreError> {
        let schema = self.written_under.current_schema();
        let files = self.table.manifests.live_files(manifest, schema).await?;
        Ok(files.iter().any(|it| self.inputs.contains(&it.location)))
    }
}

/// Returns the manifests of delete files that have live ones.
pub(super) fn delete_manifests(list: &[ManifestFile]) -> BTreeSet<String> {
    let deletes = list.iter().filter(|it| it.content == ManifestContentType::Deletes);
    let deletes = deletes.filter(|it| Counts::of(it).is_none_or(|it| it.files > 0));
    deletes.map(|it| it.manifest_path.clone()).collect()
}

/// Returns the entry of a removed file without its statistics, which no reader needs any more.
fn stripped(entry: &ManifestEntry) -> Result<ManifestEntry, StoreError> {
    let file = &entry.data_file;
    let data_file = DataFileBuilder::default()
        .content(file.content_type())
        .file_path(file.file_path().to_owned())
        .file_format(file.file_format())
        .partition(file.partition().clone())
        .partition_spec_id(0)
        .record_count(file.record_count())
        .file_size_in_bytes(file.file_size_in_bytes())
        .build()
        .map_err(StoreError::encode("describe a removed data file"))?;
    Ok(ManifestEntry { data_file, ..entry.clone() })
}
