//! Reports on the passes of an event, for the log, the metrics and the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outcome::{Outcome, RecordState};
use crate::quarantine;
use crate::record::{Reject, Row};
use crate::store::LandReport;
use crate::time::Timestamp;

/// A handled event.
#[derive(Debug, Clone, PartialEq)]
pub struct HandledEvent {
    /// Its passes in order: nearly always one.
    pub passes: Vec<Pass>,
    /// The state of each record, in the order of the event.
    pub records: Vec<RecordState>,
}

/// A pass over as many of an event's records as fit into memory at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pass {
    /// The outcomes of its records.
    pub report: Report,
    /// The durations of its stages.
    pub times: Times,
}

/// The durations of the stages of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// Decoding, keys, routes and transforms.
    pub sort: Duration,
    /// By table: its commits, from the first look at the head to the last.
    pub land: BTreeMap<String, Duration>,
}

/// The outcomes of those records of a route that became rows. The cost of a commit counts for the
/// first of the routes that fill the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Rows that this pass added to the lake.
    pub landed: u64,
    /// Rows that the lake already held.
    pub duplicates: u64,
    /// Rows that were left to another commit.
    pub pending: u64,
    /// Landed rows with something in `_lw_extra`.
    pub overflowed: u64,
    /// Names of the tables whose commits count for this route.
    pub tables: Vec<String>,
    /// Arrival of the oldest row.
    pub oldest: Option<Timestamp>,
}

/// The outcomes of the records of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Records that were handled.
    pub records: u64,
    /// By table, quarantine among them: the number of rows that were offered, and their outcomes.
    pub tables: BTreeMap<String, (u64, LandReport)>,
    /// Records that each route took, by its name.
    pub taken: BTreeMap<String, u64>,
    /// By route: the records that became rows and are durable.
    pub routes: BTreeMap<String, RouteCounts>,
    /// Rejected records by route (empty: no route) and reason, whether quarantined or returned.
    pub rejected: BTreeMap<(String, String), u64>,
    /// Records discarded by `drop = true`.
    pub dropped: u64,
    /// Records left out by `filter`, and messages without data, by route (empty: no route).
    pub filtered: BTreeMap<String, u64>,
    /// Records that are reported, so that Lambda redelivers them.
    pub failed: u64,
    /// Why some of them are not durable.
    pub trouble: Vec<String>,
    /// True if more records were rejected than `reject_limit` allows, so that they are redelivered.
    pub held_back: bool,
}

impl HandledEvent {
    /// Returns the outcome of a record of the event.
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        self.records.get(index).map(|it| it.outcome)
    }

    /// Returns why not all records are durable; `None` if they are.
    pub fn trouble(&self) -> Option<String> {
        let lost = self.records.iter().filter(|it| !it.outcome.is_durable()).count();
        (lost > 0).then(|| format!("{lost} of its records did not land"))
    }
}

impl Report {
    /// Counts a pending row that a table has refused, by its row of quarantine.
    pub(super) fn note_refused(&mut self, row: &Row) {
        let key = (quarantine::route(row), quarantine::reason(row));
        *self.rejected.entry(key).or_default() += 1;
    }

    /// Counts a rejected record.
    pub(super) fn note(&mut self, reject: &Reject, route: Option<&str>) {
        let key = (route.unwrap_or_default().to_owned(), reject.reason.to_owned());
        *self.rejected.entry(key).or_default() += 1;
    }
}
