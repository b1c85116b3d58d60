//! The rows of a commit: those that may still land, and the outcome of the others.
//!
//! Two records of one id can have different content, where AWS did not give the id: the first that landed
//! stays, and the others are refused, never dropped.

use std::collections::{HashMap, HashSet};

use crate::number::count;
use crate::record::{Reject, Row};
use crate::store::verdict::{Occurrences, RowId, Verdict, Verdicts, verdicts_within};

/// Reject reason of a row whose id is that of another record.
const ID_REUSED: &str = "id_reused";

/// A row, or its reject, with its index in the batch as it was offered. Rows that were taken along have the
/// indexes behind it.
pub type IndexedItem<T = Row> = (usize, T);

/// The rows of one commit.
#[derive(Debug, Default)]
pub struct Batch {
    /// At most one row of each id within the route's `id_window`.
    rows: Vec<Row>,
    /// The index of each of these rows in the batch as it was offered.
    indexes: Vec<usize>,
    /// Further rows of the same ids. Their verdict is known in the end: the rows of the table
    /// decide which of them came first.
    later: Vec<IndexedItem>,
    /// Rows that are left to another commit, and the later ones of their ids.
    rest: Vec<IndexedItem>,
    duplicates: u64,
    refused: Vec<IndexedItem<Reject>>,
    /// The number of rows that were offered.
    own: usize,
    /// The number of rows with those that were taken along.
    all: usize,
}

/// Where a row of a commit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The batch, by index as it was offered.
    Own(usize),
    /// Pending rows, by index among all that were taken along.
    Taken(usize),
}

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchReport {
    /// The rows that landed, by index in the batch as it was offered.
    pub indexes: Vec<usize>,
    /// The number of rows that were there already.
    pub duplicates: u64,
    /// The rows that the table does not take, by index, and the reasons.
    pub refused: Vec<IndexedItem<Reject>>,
    /// The rows that are left to another commit.
    pub rest: Vec<IndexedItem>,
    /// The rows that were taken along.
    pub taken: TakenRows,
}

/// The outcome of the rows that were taken along. What is not named here was there already.
#[derive(Debug, Default)]
pub struct TakenRows {
    /// The number of rows that landed.
    pub landed: u64,
    /// The rows that the table does not take, by index among those that were taken along.
    pub refused: Vec<IndexedItem<Reject>>,
    /// The rows that stay where they are, by the same index.
    pub left: Vec<usize>,
}

impl Batch {
    /// The batch of these rows. The first of each id counts.
    pub fn new(rows: Vec<Row>) -> Self {
        let (own, all) = (rows.len(), rows.len());
        let mut batch = Self { own, all, ..Self::default() };
        batch.arrange(rows.into_iter().enumerate().collect());
        batch
    }

    /// Takes other rows along, which come after all of the batch.
    pub fn take_along(&mut self, rows: impl IntoIterator<Item = Row>) {
        let mut all = self.take();
        all.append(&mut self.later);
        for row in rows {
            all.push((self.all, row));
            self.all += 1;
        }
        self.arrange(all);
    }

    /// Leaves the rows that were taken along where they are.
    pub fn leave_taken(&mut self) {
        let own = self.own;
        let mut rows = self.take();
        rows.append(&mut self.later);
        rows.retain(|(index, _)| *index < own);
        rows.sort_by_key(|(index, _)| *index);
        self.refused.retain(|(index, _)| *index < own);
        self.all = own;
        self.arrange(rows);
    }

    /// Takes the batch's own rows out, in their order, so that none of them lands.
    pub fn take_own(&mut self) -> Vec<IndexedItem> {
        self.leave_taken();
        let mut rows = self.take();
        rows.append(&mut self.later);
        rows.sort_by_key(|(index, _)| *index);
        rows
    }

    /// Puts back rows that [`Batch::take_own`] has taken out.
    pub fn put_back(&mut self, rows: Vec<IndexedItem>) {
        self.arrange(rows);
    }

    /// Returns where the row at a position of `rows` comes from.
    pub fn place(&self, position: usize) -> Option<Place> {
        self.indexes.get(position).map(|it| self.place_of(*it))
    }

    /// The rows that are sought in the table, and where they come from.
    pub fn sought_by_place(&self) -> impl Iterator<Item = (Place, &Row)> {
        let rows = self.indexes.iter().copied().zip(&self.rows);
        let later = self.later.iter().map(|(index, row)| (*index, row));
        rows.chain(later).map(|(index, row)| (self.place_of(index), row))
    }

    fn place_of(&self, index: usize) -> Place {
        match index.checked_sub(self.own) {
            None => Place::Own(index),
            Some(taken) => Place::Taken(taken),
        }
    }

    /// Returns whether rows of the batch itself may still land.
    pub fn has_own(&self) -> bool {
        self.indexes.iter().any(|it| self.is_own(*it))
    }

    fn is_own(&self, index: usize) -> bool {
        index < self.own
    }

    /// Takes in rows in their order in the batch.
    fn arrange(&mut self, all: Vec<IndexedItem>) {
        let verdicts = verdicts_within(all.iter().map(|(_, row)| row));
        for ((index, row), verdict) in all.into_iter().zip(verdicts) {
            if verdict == Verdict::Stays {
                self.push(index, row);
            } else if row.lineage.digest.is_some() || !self.is_own(index) {
                // A row that was taken along is done only if the one before it is.
                self.later.push((index, row));
            } else {
                // Without a digest, the id alone identifies a record.
                self.count_duplicate(index);
            }
        }
    }

    fn count_duplicate(&mut self, index: usize) {
        self.duplicates += u64::from(self.is_own(index));
    }

    fn push(&mut self, index: usize, row: Row) {
        self.rows.push(row);
        self.indexes.push(index);
    }

    /// The rows that may still land.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that are sought in the table: those that may still land, then the later ones.
    pub fn sought(&self) -> impl Iterator<Item = &Row> + Clone {
        self.rows.iter().chain(self.later.iter().map(|(_, row)| row))
    }

    /// An empty collection of occurrences of the ids that are sought.
    pub fn occurrences(&self) -> Occurrences<'_> {
        Occurrences::of(self.sought())
    }

    /// The verdicts on the rows that are sought, given what the table holds.
    pub fn verdicts(&self, occurrences: &Occurrences<'_>) -> Verdicts {
        self.sought().map(|row| occurrences.verdict(row)).collect()
    }

    /// Takes out the rows that the table holds, and refuses those whose ids it holds with other
    /// content. Returns whether `rows` has changed.
    pub fn settle(&mut self, verdicts: Verdicts) -> bool {
        if verdicts.iter().all(|it| *it == Verdict::Stays) {
            return false;
        }
        let before = self.indexes.clone();
        let mut all = self.take();
        all.append(&mut self.later);
        let mut left = Vec::with_capacity(all.len());
        for ((index, row), verdict) in all.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Stays => left.push((index, row)),
                Verdict::Duplicate => self.count_duplicate(index),
                Verdict::Reused => {
                    let detail = "the table has another record of this id, with other content";
                    self.refused.push((index, Reject::new(ID_REUSED, detail)));
                }
            }
        }
        // A later row may have been held against one that has left.
        self.arrange(left);
        self.indexes != before
    }

    /// Refuses rows, by index in `rows`. A later row of the same id replaces a refused one. Returns
    /// whether any did.
    pub fn refuse(&mut self, rejects: Vec<(usize, Reject)>) -> bool {
        let mut rejects: HashMap<usize, Reject> = rejects.into_iter().collect();
        let mut left = Vec::with_capacity(self.rows.len());
        for (position, (index, row)) in self.take().into_iter().enumerate() {
            match rejects.remove(&position) {
                Some(reject) => self.refused.push((index, reject)),
                None => left.push((index, row)),
            }
        }
        let before = left.len();
        left.append(&mut self.later);
        self.arrange(left);
        self.rows.len() > before
    }

    /// Leaves rows, by index in `rows`, to another commit.
    pub fn leave(&mut self, positions: &[usize]) {
        let positions: HashSet<usize> = positions.iter().copied().collect();
        let mut left = Vec::with_capacity(positions.len());
        for (position, (index, row)) in self.take().into_iter().enumerate() {
            if positions.contains(&position) {
                left.push((index, row));
            } else {
                self.push(index, row);
            }
        }
        let ids: HashSet<RowId<'_>> = left.iter().map(|(_, row)| RowId::of(row)).collect();
        let (follow, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|(_, row)| ids.contains(&RowId::of(row)));
        self.later = later;
        self.rest.extend(left);
        self.rest.extend(follow);
    }

    fn take(&mut self) -> Vec<IndexedItem> {
        std::mem::take(&mut self.indexes).into_iter().zip(std::mem::take(&mut self.rows)).collect()
    }

    /// Returns the outcome, once `rows` are in the table.
    pub fn into_report(mut self) -> BatchReport {
        let verdicts = verdicts_within(self.sought()).split_off(self.rows.len());
        for ((index, _), verdict) in std::mem::take(&mut self.later).into_iter().zip(verdicts) {
            if verdict == Verdict::Duplicate {
                self.count_duplicate(index);
                continue;
            }
            let detail = "an earlier record has this id, and other content";
            self.refused.push((index, Reject::new(ID_REUSED, detail)));
        }
        self.refused.sort_by_key(|(index, _)| *index);
        self.rest.sort_by_key(|(index, _)| *index);
        let Self { indexes, duplicates, mut refused, mut rest, own, .. } = self;
        let mut taken = TakenRows::default();
        let landed = indexes.len();
        let indexes: Vec<usize> = indexes.into_iter().filter(|it| *it < own).collect();
        taken.landed = count(landed - indexes.len());
        let behind = refused.partition_point(|(index, _)| *index < own);
        let of_taken = refused.split_off(behind).into_iter();
        taken.refused = of_taken.map(|(index, reject)| (index - own, reject)).collect();
        let behind = rest.partition_point(|(index, _)| *index < own);
        taken.left = rest.split_off(behind).into_iter().map(|(index, _)| index - own).collect();
        BatchReport { indexes, duplicates, refused, rest, taken }
    }
}

#[cfg(test)]
mod tests;
