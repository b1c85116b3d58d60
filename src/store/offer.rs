//! A batch that is offered to a table.

use std::fmt;

use crate::record::Row;
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
    /// True if there is no time for a commit, because other tables have taken it.
    pub is_hurried: bool,
}

impl Offer<'_> {
    /// Returns true if its rows may be left to another commit: whichever of them that refuses can still be
    /// quarantined.
    pub fn may_be_left(&self, policy: &Policy) -> bool {
        !self.rows.is_empty()
            && (self.originals.is_some() || !self.rows.iter().any(|it| is_refusable(it, policy)))
    }

    /// Returns the row of quarantine of a row that the table may refuse.
    pub fn original(&self, index: usize, row: &Row, policy: &Policy) -> Option<Row> {
        self.originals.filter(|_| is_refusable(row, policy))?(index)
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
