//! The commit: rows enter a table's head only if that head does not hold their ids.
//!
//! The check and the swap use the same metadata, so anything that happens between them (a retry, a
//! bisected half, a zombie, another committer) makes the swap fail and the check run again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::try_join_all;
use iceberg::spec::{DataFile, ManifestFile, Schema};
use uuid::Uuid;

use crate::deadline::Deadline;
use crate::number::count;
use crate::record::{Reject, Row};
use crate::store::batch::{Batch, BatchReport, IndexedItem};
use crate::store::candidates::{Look, Search};
use crate::store::data::{self, DataFiles, FileGroup};
use crate::store::error::StoreError;
use crate::store::head::{HeadVersion, Swap};
use crate::store::id_filter::IdFilter;
use crate::store::live_file::LiveFile;
use crate::store::merge::Merge;
use crate::store::pause::pause;
use crate::store::proposal::{self, CommitId};
use crate::store::read::IdColumns;
use crate::store::retention::MAX_FILE_AGE;
use crate::store::schema;
use crate::store::table::Table;
use crate::table::layout::{Change, Layout, Policy, Spread};
use crate::table::lineage::BEFORE;
use crate::table::{judge, place};

/// Swaps of the schema alone before the batch is placed in the existing columns.
const MAX_SCHEMA_TRIES: u32 = 32;
/// The number of files that are read at a time.
const READ_AT_ONCE: usize = 16;
/// Swaps of unknown outcome before the commit fails.
const MAX_UNKNOWN_TRIES: u32 = 8;

/// The outcome of a batch that is durable now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LandReport {
    /// Rows that this batch added.
    pub landed: u64,
    /// Rows that the table, or an earlier row of the batch, already held.
    pub duplicates: u64,
    /// Data files added.
    pub files: u64,
    /// Bytes of the data files added.
    pub bytes: u64,
    /// Data files whose ids were read to find duplicates.
    pub files_read: u64,
    /// The commit that added the rows, unless there was nothing to add.
    pub commit: Option<CommitId>,
    /// Number of swaps that were tried with the rows.
    pub attempts: u64,
    /// Number of swaps that were lost to another commit.
    pub conflicts: u64,
    /// The added rows, by index in the batch as it was offered.
    pub indexes: Vec<usize>,
    /// Names of columns added.
    pub new_columns: Vec<String>,
    /// Landed rows with something in `_lw_extra`.
    pub extra: u64,
    /// Rows that the table does not take, by index in the batch, and the reasons: their records are
    /// rejects.
    pub refused: Vec<(usize, Reject)>,
    /// The columns that the values of landed rows went to, by the name of the field's own column.
    pub spread: BTreeMap<String, Spread>,
}

impl LandReport {
    /// Returns the report of a part of a batch with the indexes of the whole: `indexes` has those of its
    /// rows.
    #[must_use]
    pub fn of_part(self, indexes: &[usize]) -> Self {
        let index = |it: usize| indexes.get(it).copied();
        Self {
            indexes: self.indexes.into_iter().filter_map(index).collect(),
            refused: self
                .refused
                .into_iter()
                .filter_map(|(it, why)| Some((index(it)?, why)))
                .collect(),
            ..self
        }
    }

    /// Adds what became of another batch of the same table, offered after this one.
    pub fn add(&mut self, other: Self) {
        self.landed += other.landed;
        self.duplicates += other.duplicates;
        self.files += other.files;
        self.bytes += other.bytes;
        self.files_read += other.files_read;
        self.commit = other.commit.or(self.commit.take());
        self.attempts += other.attempts;
        self.conflicts += other.conflicts;
        self.indexes.extend(other.indexes);
        self.new_columns.extend(other.new_columns);
        self.extra += other.extra;
        self.refused.extend(other.refused);
        for (field, spread) in other.spread {
            self.spread.entry(field).or_default().add(&spread);
        }
    }
}

/// One batch on its way into one table.
#[derive(Debug)]
pub struct Commit<'a> {
    table: &'a Table,
    policy: &'a Policy,
    commit: CommitId,
    batch: Batch,
    /// Locations of data files whose ids were checked, and of manifests all of whose files were.
    checked: HashSet<String>,
    /// Locations of data files that this commit has written.
    own_files: HashSet<String>,
    /// The files of the rows and their manifests, unless the rows have changed since.
    written: Option<(DataFiles, Vec<ManifestFile>)>,
    /// The manifests that the first attempt has merged.
    merge: Option<Merge>,
    /// The time from which on files are written.
    began: SystemTime,
    /// The number of columns up to which one record may add some, as the first head had room.
    limit_of_one_record: Option<usize>,
    report: LandReport,
}

impl<'a> Commit<'a> {
    /// A commit of `rows`, of which the first of each id counts.
    pub fn new(table: &'a Table, policy: &'a Policy, rows: Vec<Row>) -> Self {
        Self {
            table,
            policy,
            commit: CommitId::random(),
            batch: Batch::new(rows),
            checked: HashSet::new(),
            own_files: HashSet::new(),
            written: None,
            merge: None,
            began: table.clock.now(),
            limit_of_one_record: None,
            report: LandReport::default(),
        }
    }

    /// Makes the rows durable, each once. Returns those that are left to another commit, because they
    /// are of too many partitions for one, by index in the batch as it was offered.
    pub async fn run(
        mut self,
        deadline: &Deadline,
    ) -> Result<(LandReport, Vec<IndexedItem>), StoreError> {
        let mut lost = 0_u32;
        while !self.batch.rows().is_empty() {
            if deadline.passed() {
                return Err(StoreError::OutOfTime(self.table.name.clone()));
            }
            if self.table.clock.is_older(self.began, MAX_FILE_AGE) {
                (self.written, self.merge, self.began) = (None, None, self.table.clock.now());
            }
            let (head, layout) = self.agree_on_schema(deadline).await?;
            let manifests = match head.metadata.current_snapshot() {
                Some(snapshot) => self.table.manifests.list(snapshot).await?,
                None => Vec::new(),
            };
            if self.find_duplicates(&head, &manifests, deadline).await? {
                return Ok(self.into_report());
            }
            if self.judge(&layout) {
                // Later rows have replaced refused ones, and may need other columns.
                continue;
            }
            if self.batch.rows().is_empty() {
                break;
            }
            self.leave_partitions(&head, &layout)?;
            self.write(&head, &layout).await?;
            let old = self.merged(&head, manifests, lost == 0).await?;
            let Some((files, new)) = &self.written else { continue };
            let entries: Vec<&DataFile> = files.entries().collect();
            let next =
                proposal::append(self.table, &head, &self.commit, old, new, &entries).await?;
            self.report.attempts += 1;
            match self.table.head.swap(Some(&head), &next, &self.commit.id).await {
                Swap::Swapped => return Ok(self.into_report()),
                Swap::TooOld => {}
                // The rows of the table decide, at the next check.
                Swap::Conflict => self.report.conflicts += 1,
                Swap::Unknown(error) => {
                    tracing::warn!(table = %self.table.name, %error, "unknown outcome of a swap");
                    if lost >= MAX_UNKNOWN_TRIES {
                        return Err(error);
                    }
                }
            }
            lost += 1;
            pause(lost).await;
        }
        Ok(self.into_report())
    }

    fn into_report(self) -> (LandReport, Vec<IndexedItem>) {
        let Self { batch, written, report, commit, .. } = self;
        let landed = count(batch.rows().len());
        let BatchReport { indexes, duplicates, refused, rest } = batch.into_report();
        let commit = (landed > 0).then_some(commit);
        let mut report = LandReport { landed, indexes, duplicates, refused, commit, ..report };
        if let Some((files, _)) = written {
            report.files = count(files.entries().count());
            report.bytes = files.entries().map(DataFile::file_size_in_bytes).sum();
            report.extra = files.extra;
            report.spread = files.spread;
        }
        (report, rest)
    }

    /// Returns a head whose schema has the columns that the rows need, and its layout.
    async fn agree_on_schema(
        &mut self,
        deadline: &Deadline,
    ) -> Result<(HeadVersion, Layout), StoreError> {
        let table = self.table;
        let mut tries = 0;
        loop {
            let Some(head) = table.head.load().await? else {
                let changes = self.changes(&Layout::default());
                if deadline.passed() {
                    return Err(StoreError::OutOfTime(table.name.clone()));
                }
                if tries >= MAX_SCHEMA_TRIES {
                    let problem = "others create and remove it at the same time; try again later";
                    return Err(StoreError::Table {
                        table: table.name.clone(),
                        problem: problem.to_owned(),
                    });
                }
                let commit = Uuid::new_v4().to_string();
                let new = schema::create(table, &changes, self.policy.zoned, &commit)?;
                let swap = table.head.swap(None, &new, &commit).await;
                self.schema_swapped(swap, &changes, &mut tries).await?;
                continue;
            };
            let layout = schema::layout(table, &head.metadata)?;
            let changes = self.changes(&layout);
            // Placing is total: a value without a column after so many tries goes to _lw_extra.
            if changes.is_empty() || tries >= MAX_SCHEMA_TRIES {
                return Ok((head, layout));
            }
            if deadline.passed() {
                return Err(StoreError::OutOfTime(table.name.clone()));
            }
            let commit = Uuid::new_v4().to_string();
            let new = schema::changed(table, &head, &layout, &changes, &commit)?;
            let swap = table.head.swap(Some(&head), &new, &commit).await;
            self.schema_swapped(swap, &changes, &mut tries).await?;
        }
    }

    /// Returns the schema changes that the rows need.
    fn changes(&mut self, layout: &Layout) -> Vec<Change> {
        let limit = self.limit_of_one_record;
        let limit = limit.unwrap_or_else(|| place::limit_of_one_record(layout, self.policy));
        self.limit_of_one_record = Some(limit);
        place::changes(self.batch.rows(), layout, self.policy, limit)
    }

    /// Notes the outcome of a swap of the schema, and pauses where one was lost before.
    async fn schema_swapped(
        &mut self,
        swap: Swap,
        changes: &[Change],
        tries: &mut u32,
    ) -> Result<(), StoreError> {
        match swap {
            Swap::Swapped => {
                let added = changes.iter().filter_map(|change| match change {
                    Change::Add { owner, .. } => Some(owner.name.clone()),
                    Change::Before => Some(BEFORE.name.to_owned()),
                    Change::Claim { .. } | Change::Widen { .. } => None,
                });
                self.report.new_columns.extend(added);
            }
            Swap::Conflict | Swap::TooOld => {}
            // The next load shows whether it happened.
            Swap::Unknown(_) if *tries < MAX_UNKNOWN_TRIES => {}
            Swap::Unknown(error) => return Err(error),
        }
        *tries += 1;
        if *tries > 1 {
            pause(*tries).await;
        }
        Ok(())
    }

    /// Takes out the rows that the head holds. Returns `true` when it holds a file of this commit:
    /// an earlier attempt, whose answer was lost, has landed.
    async fn find_duplicates(
        &mut self,
        head: &HeadVersion,
        manifests: &[ManifestFile],
        deadline: &Deadline,
    ) -> Result<bool, StoreError> {
        let table = self.table;
        let schema = head.metadata.current_schema();
        let search = Search::new(self.batch.sought());
        let mut candidates: Vec<(LiveFile, Look)> = Vec::new();
        let to_open = |it: &&ManifestFile| {
            let location = &it.manifest_path;
            !self.checked.contains(location) && search.may_be_in_manifest(location)
        };
        let opened: Vec<&ManifestFile> = manifests.iter().filter(to_open).collect();
        for some in opened.chunks(READ_AT_ONCE) {
            let files = some.iter().map(|it| table.manifests.live_files(it, schema));
            for (manifest, files) in some.iter().zip(try_join_all(files).await?) {
                for file in files.iter() {
                    if self.own_files.contains(&file.location) {
                        return Ok(true);
                    }
                    if !self.checked.contains(&file.location)
                        && let Some(look) = search.look_into(&manifest.manifest_path, file)
                    {
                        candidates.push((file.clone(), look));
                    }
                }
            }
        }
        let mut occurrences = self.batch.occurrences();
        let ids = self.batch.sought().filter(|row| row.lineage.id_window.is_some());
        let ids: Vec<&str> = ids.map(|row| row.lineage.id.as_str()).collect();
        for some in candidates.chunks(READ_AT_ONCE) {
            if deadline.passed() {
                return Err(StoreError::OutOfTime(table.name.clone()));
            }
            let read = some.iter().map(|(file, look)| read_ids(table, schema, file, *look, &ids));
            for ((file, _), columns) in some.iter().zip(try_join_all(read).await?) {
                if let Some(columns) = columns {
                    columns.each(|id, occurrence| occurrences.add(id, occurrence));
                    self.report.files_read += 1;
                }
                self.checked.insert(file.location.clone());
            }
        }
        self.checked.extend(opened.iter().map(|it| it.manifest_path.clone()));
        let verdicts = self.batch.verdicts(&occurrences);
        if self.batch.settle(verdicts) {
            // The files have rows that do not land.
            self.written = None;
        }
        Ok(false)
    }

    /// Refuses the rows that the policy does not let in. Rows that the table holds are not judged.
    /// Returns whether later rows have replaced refused ones.
    fn judge(&mut self, layout: &Layout) -> bool {
        let rejects = judge::judge(self.batch.rows(), layout, self.policy);
        if rejects.is_empty() {
            return false;
        }
        self.written = None;
        self.batch.refuse(rejects)
    }

    /// Leaves rows to another commit where they are of too many partitions for one.
    fn leave_partitions(&mut self, head: &HeadVersion, layout: &Layout) -> Result<(), StoreError> {
        let (table, rows) = (self.table, self.batch.rows());
        let beyond = data::beyond_partitions(table, &head.metadata, layout, self.policy, rows)?;
        if !beyond.is_empty() {
            self.written = None;
            self.batch.leave(&beyond);
        }
        Ok(())
    }

    /// Writes the rows under the head's schema, unless the files of an earlier attempt still fit
    /// it.
    async fn write(&mut self, head: &HeadVersion, layout: &Layout) -> Result<(), StoreError> {
        if self.written.as_ref().is_some_and(|(files, _)| files.fit(&head.metadata)) {
            return Ok(());
        }
        let table = self.table;
        let metadata = &head.metadata;
        let files = data::write(table, metadata, layout, self.policy, self.batch.rows()).await?;
        self.own_files.extend(files.entries().map(|entry| entry.file_path().to_owned()));
        let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
        let mut manifests = Vec::with_capacity(files.groups.len());
        for FileGroup { entries, arrivals } in &files.groups {
            let snapshot = self.commit.snapshot;
            let manifest = table.manifests.write(snapshot, schema, spec, entries, *arrivals);
            manifests.push(manifest.await?);
        }
        self.written = Some((files, manifests));
        Ok(())
    }

    /// Returns the head's manifests, ten of them merged if there are ten alike. Only the first attempt
    /// merges: a writer that loses swaps must not spend its time on it.
    async fn merged(
        &mut self,
        head: &HeadVersion,
        manifests: Vec<ManifestFile>,
        is_first: bool,
    ) -> Result<Vec<ManifestFile>, StoreError> {
        if is_first {
            self.merge = match Merge::of(self.table, head, &manifests, self.commit.snapshot).await {
                Ok(merge) => merge,
                Err(error) => {
                    // The rows can land without it.
                    tracing::warn!(table = %self.table.name, %error, "can't merge manifests");
                    None
                }
            };
        }
        Ok(match &self.merge {
            Some(merge) => merge.apply(manifests),
            None => manifests,
        })
    }
}

/// Reads what identifies the rows of a file; `None` if its filter tells that it has none of these ids.
async fn read_ids(
    table: &Table,
    schema: &Schema,
    file: &LiveFile,
    look: Look,
    ids: &[&str],
) -> Result<Option<IdColumns>, StoreError> {
    if look == Look::ById {
        let filter = match table.id_filters.get(&file.location) {
            Some(filter) => filter,
            None => {
                let filter = Arc::new(IdFilter::read(&table.files, schema, file).await?);
                table.id_filters.keep(&file.location, &filter);
                filter
            }
        };
        if !filter.may_hold(ids) {
            return Ok(None);
        }
    }
    IdColumns::read(&table.files, schema, file).await.map(Some)
}
