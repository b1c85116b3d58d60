//! The report on the rows of a batch.

use std::collections::BTreeMap;

use crate::record::{Reject, Row};
use crate::store::proposal::CommitId;
use crate::table::layout::Spread;

/// The outcome of a batch that is durable now.
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// The rows that were left to another commit, because the table is contended, by index in the batch:
    /// they are durable, and not in the table yet.
    pub pending: Vec<usize>,
    /// Names of columns added.
    pub new_columns: Vec<String>,
    /// Landed rows with something in `_lw_extra`.
    pub extra: u64,
    /// Rows that the table does not take, by index in the batch, and the reasons: their records are
    /// rejects.
    pub refused: Vec<(usize, Reject)>,
    /// The columns that the values of landed rows went to, by the name of the field's own column.
    pub spread: BTreeMap<String, Spread>,
    /// The pending rows that the commit took along.
    pub taken: TakenReport,
}

/// The outcome of pending rows that a commit took along.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TakenReport {
    /// Rows that were added with the batch.
    pub landed: u64,
    /// The rows of quarantine of those that the table does not take.
    pub refused: Vec<Row>,
    /// Objects of pending rows all of whose rows were added, or were there.
    pub settled: Vec<String>,
    /// Objects of pending rows that may be removed once [`TakenReport::refused`] is durable in quarantine.
    pub unsettled: Vec<String>,
}

impl TakenReport {
    /// Adds the outcome of other rows.
    pub fn add(&mut self, other: Self) {
        self.landed += other.landed;
        self.refused.extend(other.refused);
        self.settled.extend(other.settled);
        self.unsettled.extend(other.unsettled);
    }
}

impl LandReport {
    /// Returns the report of a part of a batch with the indexes of the whole: `indexes` has those of its
    /// rows.
    #[must_use]
    pub fn of_part(self, indexes: &[usize]) -> Self {
        let index = |it: usize| indexes.get(it).copied();
        Self {
            indexes: self.indexes.into_iter().filter_map(index).collect(),
            pending: self.pending.into_iter().filter_map(index).collect(),
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
        self.pending.extend(other.pending);
        self.new_columns.extend(other.new_columns);
        self.extra += other.extra;
        self.refused.extend(other.refused);
        for (field, spread) in other.spread {
            self.spread.entry(field).or_default().add(&spread);
        }
        self.taken.add(other.taken);
    }
}
