//! A batch that is offered to a table.

use std::fmt;

use crate::record::Row;
use crate::store::batch::IndexedItem;
use crate::store::pending::object::PendingRow;
use crate::table::layout::Policy;

/// Makes the row of quarantine, without a reason, of the row at an index of a batch.
pub type Originals<'a> = &'a (dyn Fn(usize) -> Option<Row> + Send + Sync);

/// A batch that is offered to a table.
#[derive(Clone, Default)]
pub struct Offer<'a> {
    /// The rows, of which the first of each id counts.
    pub rows: Vec<Row>,
    /// The rows of quarantine of those that the table may refuse. Without them, such rows are not left to
    /// another commit.
    pub originals: Option<Originals<'a>>,
    /// Whether they may be left to another commit.
    pub leaving: Leaving,
}

/// The condition on which rows are left to another commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leaving {
    /// Never: whoever offers them needs them in the table.
    Never,
    /// If others are committing.
    #[default]
    Contended,
    /// At once: other tables have taken the time that a commit needs.
    Now,
}

impl Offer<'_> {
    /// Returns true if its rows may be left to another commit.
    pub fn may_be_left(&self) -> bool {
        self.leaving != Leaving::Never && !self.rows.is_empty()
    }

    /// Makes pending rows, or gives the rows back if one may be refused and has no row of quarantine: it
    /// could only be lost then.
    pub fn pending(
        &self,
        rows: Vec<IndexedItem>,
        policy: &Policy,
    ) -> Result<Vec<PendingRow>, Vec<IndexedItem>> {
        let mut originals = Vec::with_capacity(rows.len());
        for (index, row) in &rows {
            let original = match is_refusable(row, policy) {
                false => None,
                true => match self.originals.and_then(|it| it(*index)) {
                    Some(original) => Some(original),
                    None => return Err(rows),
                },
            };
            originals.push(original);
        }
        let all = rows.into_iter().zip(originals);
        Ok(all.map(|((_, row), original)| PendingRow { row, original }).collect())
    }
}

impl fmt::Debug for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// Returns whether a table may refuse a row: by its policy, or because another record has its id.
fn is_refusable(row: &Row, policy: &Policy) -> bool {
    policy.refuses() || row.lineage.digest.is_some()
}
