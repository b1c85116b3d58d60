//! The commit: rows enter a table's head only if that head does not hold their ids.
//!
//! The check and the swap use the same metadata, so whatever happens between them (a retry, a
//! bisected half, a zombie, another committer) makes the swap fail and the check run again.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use iceberg::spec::{DataFile, ManifestFile};
use uuid::Uuid;

use crate::deadline::Deadline;
use crate::record::{Reject, Row};
use crate::store::batch::{Batch, BatchReport};
use crate::store::candidates::Search;
use crate::store::data::{self, Written};
use crate::store::error::StoreError;
use crate::store::head::{Loaded, Swap};
use crate::store::proposal::{self, CommitId};
use crate::store::table::Table;
use crate::store::{read, schema};
use crate::table::layout::{Change, Layout, Policy, Spread};
use crate::table::lineage::BEFORE;
use crate::table::{judge, place};

/// Swaps of the schema alone before the batch is placed in the columns there are.
const SCHEMA_TRIES: u32 = 32;
/// Swaps of unknown outcome before the batch is given back.
const UNKNOWN_TRIES: u32 = 8;
/// Longest pause after a lost swap.
const LONGEST_PAUSE_MS: u64 = 250;

/// What became of a batch that is durable now.
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
    /// How often the rows were offered to the head.
    pub attempts: u64,
    /// How often another commit came first.
    pub conflicts: u64,
    /// The added rows, by index in the batch as it was offered.
    pub indexes: Vec<usize>,
    /// Names of columns added.
    pub new_columns: Vec<String>,
    /// Landed rows with something in `_lw_extra`.
    pub extra: u64,
    /// Rows that the table does not take, by their place in the batch, and why: their records are
    /// rejects.
    pub refused: Vec<(usize, Reject)>,
    /// By the name of a field's own column: where the values of landed rows went.
    pub spread: BTreeMap<String, Spread>,
}

/// One batch on its way into one table.
#[derive(Debug)]
pub struct Commit<'a> {
    table: &'a Table,
    policy: &'a Policy,
    id: CommitId,
    batch: Batch,
    /// Data files that need not be looked into again, and manifests whose files all need not.
    checked: HashSet<String>,
    /// Locations of data files that this commit has written.
    ours: HashSet<String>,
    written: Option<(Written, ManifestFile)>,
    landed: LandReport,
}

impl<'a> Commit<'a> {
    /// A commit of `rows`, of which the first of each id counts.
    pub fn new(table: &'a Table, policy: &'a Policy, rows: Vec<Row>) -> Self {
        Self {
            table,
            policy,
            id: CommitId::random(),
            batch: Batch::new(rows),
            checked: HashSet::new(),
            ours: HashSet::new(),
            written: None,
            landed: LandReport::default(),
        }
    }

    /// Makes the rows durable, each once.
    pub async fn run(mut self, deadline: &Deadline) -> Result<LandReport, StoreError> {
        let mut lost = 0_u32;
        while !self.batch.rows().is_empty() {
            if deadline.passed() {
                return Err(StoreError::OutOfTime(self.table.name.clone()));
            }
            let (head, layout) = self.agree(deadline).await?;
            let there = match head.metadata.current_snapshot() {
                Some(snapshot) => self.table.manifests.list(snapshot).await?,
                None => Vec::new(),
            };
            if self.look(&head, &there, deadline).await? {
                return Ok(self.done());
            }
            if self.judge(&layout) {
                // Other rows have come in, which may need other columns.
                continue;
            }
            if self.batch.rows().is_empty() {
                break;
            }
            let manifest = self.write(&head, &layout).await?;
            let entries = self.written.as_ref().map_or(&[][..], |(written, _)| &written.entries);
            let next =
                proposal::append(self.table, &head, &self.id, there, manifest, entries).await?;
            self.landed.attempts = self.landed.attempts.saturating_add(1);
            match self.table.head.swap(Some(&head), &next, &self.id.id).await {
                Swap::Swapped => return Ok(self.done()),
                Swap::TooOld => {}
                // What is in the table decides, at the next look.
                Swap::Conflict => {
                    self.landed.conflicts = self.landed.conflicts.saturating_add(1);
                }
                Swap::Unknown(error) => {
                    tracing::warn!(table = %self.table.name, %error, "a swap's outcome is unknown");
                    if lost >= UNKNOWN_TRIES {
                        return Err(error);
                    }
                }
            }
            lost = lost.saturating_add(1);
            pause(lost).await;
        }
        Ok(self.done())
    }

    fn done(self) -> LandReport {
        let Self { batch, written, mut landed, id, .. } = self;
        landed.landed = count(batch.rows().len());
        landed.commit = (landed.landed > 0).then_some(id);
        if let Some((written, _)) = written {
            landed.files = count(written.entries.len());
            let bytes = written.entries.iter().map(DataFile::file_size_in_bytes);
            landed.bytes = bytes.fold(0, u64::saturating_add);
            landed.extra = written.extra;
            landed.spread = written.spread;
        }
        BatchReport {
            indexes: landed.indexes,
            duplicates: landed.duplicates,
            refused: landed.refused,
        } = batch.into_report();
        landed
    }

    /// Step 1: a head whose schema has what the rows need, and its layout.
    async fn agree(&mut self, deadline: &Deadline) -> Result<(Loaded, Layout), StoreError> {
        let table = self.table;
        let mut tries = 0;
        loop {
            let Some(head) = table.head.load().await? else {
                let changes = place::changes(self.batch.rows(), &Layout::default(), self.policy);
                if deadline.passed() {
                    return Err(StoreError::OutOfTime(table.name.clone()));
                }
                if tries >= SCHEMA_TRIES {
                    let problem = "others make and remove it at the same time; try again later";
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
            let changes = place::changes(self.batch.rows(), &layout, self.policy);
            // Placing is total: what still has no column after so many tries goes to _lw_extra.
            if changes.is_empty() || tries >= SCHEMA_TRIES {
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

    /// Notes how a swap of the schema went, and lets others go first where it was lost before.
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
                self.landed.new_columns.extend(added);
            }
            Swap::Conflict | Swap::TooOld => {}
            // The next load shows whether it happened.
            Swap::Unknown(_) if *tries < UNKNOWN_TRIES => {}
            Swap::Unknown(error) => return Err(error),
        }
        *tries = tries.saturating_add(1);
        if *tries > 1 {
            pause(*tries).await;
        }
        Ok(())
    }

    /// Step 2: takes out the rows that the head holds. `true` when it holds a file of this commit:
    /// an earlier attempt, whose answer was lost, has landed.
    async fn look(
        &mut self,
        head: &Loaded,
        there: &[ManifestFile],
        deadline: &Deadline,
    ) -> Result<bool, StoreError> {
        let table = self.table;
        let schema = head.metadata.current_schema();
        let search = Search::of(self.batch.sought());
        let mut occurrences = self.batch.occurrences();
        for manifest in there {
            let path = &manifest.manifest_path;
            if self.checked.contains(path) || !search.may_be_in_manifest(path) {
                continue;
            }
            for file in table.manifests.live(manifest).await?.iter() {
                if self.ours.contains(file.file_path()) {
                    return Ok(true);
                }
                if self.checked.contains(file.file_path()) || !search.may_be_in_file(schema, file) {
                    continue;
                }
                if deadline.passed() {
                    return Err(StoreError::OutOfTime(table.name.clone()));
                }
                read::ids(&table.files, schema, file, search.by_digest(), |id, occurrence| {
                    occurrences.add(id, occurrence);
                })
                .await?;
                self.landed.files_read = self.landed.files_read.saturating_add(1);
                self.checked.insert(file.file_path().to_owned());
            }
            self.checked.insert(path.clone());
        }
        let verdicts = self.batch.verdicts(&occurrences);
        if self.batch.settle(verdicts) {
            // The files have rows that do not land.
            self.written = None;
        }
        Ok(false)
    }

    /// Takes out the rows that the policy does not let in; only what is not there already is
    /// judged. Returns whether rows have taken their place.
    fn judge(&mut self, layout: &Layout) -> bool {
        let rejects = judge::judge(self.batch.rows(), layout, self.policy);
        if rejects.is_empty() {
            return false;
        }
        self.written = None;
        self.batch.refuse(rejects)
    }

    /// Writes the rows under the head's schema, unless files of an earlier attempt still fit it.
    async fn write(&mut self, head: &Loaded, layout: &Layout) -> Result<ManifestFile, StoreError> {
        if let Some((written, manifest)) = &self.written
            && written.fits(&head.metadata)
        {
            return Ok(manifest.clone());
        }
        let table = self.table;
        let metadata = &head.metadata;
        let written = data::write(table, metadata, layout, self.policy, self.batch.rows()).await?;
        self.ours.extend(written.entries.iter().map(|entry| entry.file_path().to_owned()));
        let spec = metadata.default_partition_spec();
        let manifest = table
            .manifests
            .write(
                self.id.snapshot,
                metadata.current_schema(),
                spec,
                &written.entries,
                written.arrivals,
            )
            .await?;
        self.written = Some((written, manifest.clone()));
        Ok(manifest)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Waits a random while, longer after each lost swap, so that contenders spread out.
async fn pause(lost: u32) {
    let most = 4_u64.saturating_mul(2_u64.saturating_pow(lost)).min(LONGEST_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
}
