//! Outcomes of the records of an event.

use std::fmt;

use crate::record::Receipt;

/// The outcome of a delivered record and of all its parts, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All of it is in tables.
    Landed,
    /// Some or all of it is pending: durable, and in its table with the next commit.
    Pending,
    /// Some or all of it was dropped or filtered on purpose; the rest is in tables, or pending.
    LeftOut,
    /// Some of it is in quarantine.
    Quarantined,
    /// Some of it is not durable: Lambda redelivers it.
    Failed,
    /// It is not decoded yet, because the records before it fill the memory of a pass. If it is still
    /// deferred when time is up, Lambda redelivers it.
    Deferred,
}

impl Outcome {
    /// Returns true if the record is handled: Lambda need not redeliver it.
    pub fn is_durable(self) -> bool {
        self < Outcome::Failed
    }
}

/// A delivered record on its way to the answer.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordState {
    /// Its identifier; `None` if it has none that can be reported.
    pub receipt: Option<Receipt>,
    /// Its message group, for records of a FIFO queue.
    pub group: Option<String>,
    /// The worst outcome of its parts.
    pub outcome: Outcome,
    /// True if a part of it could not become a row; `reject_limit` counts these records.
    pub rejected: bool,
}

/// Without the message group, which a producer writes.
impl fmt::Debug for RecordState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut state = f.debug_struct("RecordState");
        state.field("receipt", &self.receipt).field("outcome", &self.outcome);
        state.field("rejected", &self.rejected).finish_non_exhaustive()
    }
}

impl RecordState {
    /// Makes the state of a record of which nothing bad is known yet.
    pub fn new(receipt: Option<Receipt>, group: Option<String>) -> Self {
        Self { receipt, group, outcome: Outcome::Landed, rejected: false }
    }

    /// Keeps the worse of two outcomes.
    pub fn worsen(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_its_worst_outcome() {
        let mut state = RecordState::new(None, None);
        for (outcome, kept, durable) in [
            (Outcome::Pending, Outcome::Pending, true),
            (Outcome::LeftOut, Outcome::LeftOut, true),
            (Outcome::Pending, Outcome::LeftOut, true),
            (Outcome::Quarantined, Outcome::Quarantined, true),
            (Outcome::LeftOut, Outcome::Quarantined, true),
            (Outcome::Failed, Outcome::Failed, false),
            (Outcome::Quarantined, Outcome::Failed, false),
            (Outcome::Deferred, Outcome::Deferred, false),
        ] {
            state.worsen(outcome);
            assert_eq!((state.outcome, state.outcome.is_durable()), (kept, durable));
        }
    }
}
