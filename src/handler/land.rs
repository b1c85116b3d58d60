//! Lands the sorted records: table by table, and quarantine last.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::handler::app::App;
use crate::handler::error::InvocationError;
use crate::handler::quarantine_rows::{OriginalRows, QuarantineBatch, QuarantineRows};
use crate::handler::report::{HandledEvent, Report};
use crate::handler::sort::{NO_ROUTE, RowOrigin, SortedRecords, TableBatch};
use crate::number::count;
use crate::outcome::Outcome;
use crate::quarantine;
use crate::record::Reject;
use crate::source::Redelivery;
use crate::store::{Leaving, Offer, StoreError, TakenReport};
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// The number of records an event must have before `reject_limit` counts.
const MIN_RECORDS_FOR_REJECT_LIMIT: usize = 100;

/// Lands the rows of each table, in name order, then those of quarantine, because tables may refuse
/// rows. Returns the time that each table took. Fails as a whole if the store took nothing, so that
/// Lambda backs off; if only time is up, the records that are not durable are reported.
pub(super) async fn land<'a>(
    app: &'a App,
    sorted: &mut SortedRecords<'a>,
    redelivery: Redelivery,
    limit: &RejectLimit,
    deadline: &Deadline,
) -> Result<BTreeMap<String, Duration>, InvocationError> {
    let mut commits = Commits::new(app, deadline);
    for (table, batch) in std::mem::take(&mut sorted.batches) {
        let TableBatch { policy, rows, origins } = batch;
        // The rest of what was held back.
        if rows.is_empty() {
            continue;
        }
        let originals = OriginalRows::of(app, &origins);
        let original = |index: usize| originals.make(index);
        let offer = Offer { rows, originals: Some(&original), ..Offer::default() };
        let Some(rejects) = commits.land(&table, policy, offer, &mut sorted.report).await else {
            sorted.fail(origins.iter().map(|it| it.record));
            continue;
        };
        sorted.count(&table, &origins, &rejects);
        if rejects.len() < origins.len() {
            app.tables().add(table);
        }
        for (index, reject) in rejects {
            if let Some(origin) = origins.get(index) {
                sorted.reject(redelivery, origin.clone(), reject);
            }
        }
    }
    limit.hold_back(sorted, redelivery);
    let (table, zoned) = (TableName::quarantine(), app.config.undeclared.zoned);
    let policy = Policy { zoned, ..quarantine::policy() };
    let mut rejected = QuarantineRows::of(app, std::mem::take(&mut sorted.quarantine));
    let mut is_complete = true;
    while let Some(QuarantineBatch { rows, records }) = rejected.next_batch() {
        let offer = Offer { rows, ..Offer::default() };
        if commits.land(&table, &policy, offer, &mut sorted.report).await.is_none() {
            sorted.fail(records);
            is_complete = false;
        }
    }
    let taken = std::mem::take(&mut commits.taken);
    for (from, TakenReport { refused, unsettled, .. }) in taken {
        let offer = Offer { rows: refused.clone(), ..Offer::default() };
        let is_kept = refused.is_empty()
            || commits.land(&table, &policy, offer, &mut sorted.report).await.is_some();
        if is_complete && is_kept {
            refused.iter().for_each(|it| sorted.report.note_refused(it));
            app.lake_of(&from).settle(&from, &unsettled).await;
        }
    }
    commits.end()
}

/// The commits of a pass.
struct Commits<'a> {
    app: &'a App,
    deadline: &'a Deadline,
    /// By table: the time that its commits took.
    times: BTreeMap<String, Duration>,
    tried: usize,
    failed: Vec<StoreError>,
    /// Whether a table is contended, so that it takes the time of others.
    is_contended: bool,
    /// By table: pending rows that it has refused.
    taken: Vec<(TableName, TakenReport)>,
}

impl<'a> Commits<'a> {
    fn new(app: &'a App, deadline: &'a Deadline) -> Self {
        let (times, failed, taken) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { app, deadline, times, tried: 0, failed, is_contended: false, taken }
    }

    /// Lands rows of one table and returns the rejects of those that it refuses, by their index; `None`
    /// if no row is known to have landed.
    async fn land(
        &mut self,
        table: &TableName,
        policy: &Policy,
        offer: Offer<'_>,
        report: &mut Report,
    ) -> Option<Vec<(usize, Reject)>> {
        let began = Instant::now();
        let offered = count(offer.rows.len());
        let leaving = match self.is_contended && self.deadline.is_half_over() {
            true => Leaving::Now,
            false => Leaving::Contended,
        };
        let offer = Offer { leaving, ..offer };
        let landing = self.app.lake_of(table).offer(table, policy, offer, self.deadline);
        // A call that hangs must not use up the time that the answer needs. Ending it is safe: rows that
        // land even so are found when their records are redelivered.
        let landed = self.deadline.wait_for(landing).await;
        let landed = landed.unwrap_or_else(|| Err(StoreError::OutOfTime(table.clone())));
        self.tried += 1;
        *self.times.entry(table.to_string()).or_default() += began.elapsed();
        let (offered_rows, sum) = report.tables.entry(table.to_string()).or_default();
        match landed {
            Ok(mut landed) => {
                let refused = std::mem::take(&mut landed.refused);
                self.is_contended |= landed.conflicts > 0 || !landed.pending.is_empty();
                let unsettled = std::mem::take(&mut landed.taken.unsettled);
                if !unsettled.is_empty() {
                    let refused = std::mem::take(&mut landed.taken.refused);
                    let taken = TakenReport { refused, unsettled, ..TakenReport::default() };
                    self.taken.push((table.clone(), taken));
                }
                *offered_rows += offered - count(refused.len());
                sum.add(landed);
                Some(refused)
            }
            Err(error) => {
                *offered_rows += offered;
                self.is_contended |= matches!(error, StoreError::OutOfTime(_));
                report.trouble.push(error.to_string());
                self.failed.push(error);
                None
            }
        }
    }

    /// Fails if every commit failed, and at least one of them for another reason than time.
    fn end(self) -> Result<BTreeMap<String, Duration>, InvocationError> {
        let systemic = |error: &StoreError| !matches!(error, StoreError::OutOfTime(_));
        if self.failed.len() == self.tried
            && let Some(error) = self.failed.into_iter().find(systemic)
        {
            return Err(error.into());
        }
        Ok(self.times)
    }
}

impl SortedRecords<'_> {
    /// Counts the outcome of each row of a table for its route.
    fn count(&mut self, table: &TableName, origins: &[RowOrigin<'_>], rejects: &[(usize, Reject)]) {
        let name = table.to_string();
        let Some((_, landed)) = self.report.tables.get(&name) else { return };
        let route = |it: &RowOrigin<'_>| it.route.map(|it| it.name.clone()).unwrap_or_default();
        let new: HashSet<usize> = landed.indexes.iter().copied().collect();
        let pending: HashSet<usize> = landed.pending.iter().copied().collect();
        let refused: HashSet<usize> = rejects.iter().map(|(index, _)| *index).collect();
        let mut waiting = Vec::new();
        let taken = origins.iter().enumerate().filter(|(it, _)| !refused.contains(it));
        for (index, origin) in taken {
            let counts = self.report.routes.entry(route(origin)).or_default();
            if new.contains(&index) {
                counts.landed += 1;
            } else if pending.contains(&index) {
                counts.pending += 1;
                waiting.push(origin.record);
                continue;
            } else {
                counts.duplicates += 1;
            }
            let arrived = origin.origin.arrived_at;
            counts.oldest = counts.oldest.into_iter().chain(arrived).min();
        }
        if let Some(first) = origins.first() {
            let counts = self.report.routes.entry(route(first)).or_default();
            counts.overflowed += landed.extra;
            counts.landed += landed.taken.landed;
            counts.tables.push(name);
        }
        for record in waiting {
            if let Some(record) = self.records.get_mut(record) {
                record.worsen(Outcome::Pending);
            }
        }
    }
}

/// `reject_limit` of an event. After a change of format an operator must act; a million rows of
/// quarantine would not help. Records count as they were delivered: one that holds a thousand bad
/// pieces counts as one, because one record must not block a shard.
pub(super) struct RejectLimit {
    share: f64,
    /// Records of the event.
    records: usize,
    /// Rejected records of earlier passes.
    rejected: usize,
}

impl RejectLimit {
    /// Returns the limit for the next pass of an event.
    pub(super) fn of(app: &App, so_far: &HandledEvent) -> Self {
        Self {
            share: app.config.quarantine.reject_limit,
            records: so_far.records.len(),
            rejected: so_far.records.iter().filter(|it| it.rejected).count(),
        }
    }

    /// Quarantines no record if too many are rejected: Lambda redelivers them. Of a stream, it redelivers
    /// the whole event, because of a part of it the limit would say something else.
    pub(super) fn hold_back(&self, sorted: &mut SortedRecords<'_>, redelivery: Redelivery) {
        let Some(trouble) = self.excess(sorted) else { return };
        match redelivery {
            Redelivery::FromFirstFailure => sorted.hold_back_all(),
            Redelivery::EachFailure | Redelivery::RestOfGroup => sorted.hold_back_rejected(),
        }
        if !std::mem::replace(&mut sorted.report.held_back, true) {
            sorted.report.trouble.push(trouble);
        }
    }

    /// Returns what is wrong if too many records are rejected.
    fn excess(&self, sorted: &SortedRecords<'_>) -> Option<String> {
        let rejected = sorted.records.iter().filter(|it| it.rejected).count() + self.rejected;
        let reasons = sorted.report.rejected.iter().filter(|((_, reason), _)| reason != NO_ROUTE);
        let ((_, reason), _) = reasons.max_by_key(|(_, count)| **count)?;
        let is_too_many = self.records >= MIN_RECORDS_FOR_REJECT_LIMIT
            && count(rejected) > share(self.share, self.records);
        is_too_many.then(|| {
            format!(
                "{rejected} of {} records can't become rows ({reason}), more than reject_limit \
                 allows, so they are redelivered and not quarantined: find out whether the \
                 format changed; then fix the producer, or raise reject_limit in [quarantine]",
                self.records
            )
        })
    }
}

impl SortedRecords<'_> {
    /// Leaves all records to be redelivered.
    fn hold_back_all(&mut self) {
        self.batches.clear();
        self.quarantine.clear();
        self.fail(0..self.records.len());
    }

    /// Leaves the rejected records to be redelivered, but for those that can't be reported.
    fn hold_back_rejected(&mut self) {
        let is_held = |record: &usize| {
            self.records.get(*record).is_some_and(|it| it.rejected && it.receipt.is_some())
        };
        let rejected = self.quarantine.iter().map(|(from, _)| from.record);
        let held: BTreeSet<usize> = rejected.filter(is_held).collect();
        self.quarantine.retain(|(from, _)| !held.contains(&from.record));
        // Of a message of several records, none lands before all do.
        for batch in self.batches.values_mut() {
            batch.leave_out(&held);
        }
        self.fail(held);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of at most some ten thousand records"
)]
fn share(share: f64, of: usize) -> u64 {
    (share.clamp(0.0, 1.0) * of as f64).floor() as u64
}
