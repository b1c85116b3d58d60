//! Landing what was sorted: table by table, then what is quarantined.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::handler::shelf::{Shelf, shelve};
use crate::handler::sort::{Load, NO_ROUTE, Sorted, Ticket};
use crate::handler::{App, InvocationError, Report, count, grow};
use crate::quarantine;
use crate::record::{Reject, Row};
use crate::source::Redelivery;
use crate::store::{LandReport, StoreError};
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// Records an invocation must have before `reject_limit` counts.
const REJECT_LIMIT_FROM: u64 = 100;

/// Lands the rows of each table, in name order, then what is quarantined, which tables may add to.
/// Returns how long each took. Fails as a whole when the store took nothing, so that Lambda backs
/// off; when only time is up, what is not durable is reported.
pub(super) async fn land(
    app: &App,
    sorted: &mut Sorted<'_>,
    redelivery: Redelivery,
    deadline: &Deadline,
) -> Result<BTreeMap<String, Duration>, InvocationError> {
    let mut times = BTreeMap::new();
    let mut refused = Vec::new();
    for (table, load) in std::mem::take(&mut sorted.loads) {
        let Load { policy, rows, tickets } = load;
        let began = Instant::now();
        let landed = land_one(app, &table, policy, rows, deadline, &mut sorted.report).await;
        times.insert(table.to_string(), began.elapsed());
        match landed {
            Ok(rejects) => {
                sorted.count(&table, &tickets, &rejects);
                app.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table);
                for (at, reject) in rejects {
                    if let Some(ticket) = tickets.get(at) {
                        sorted.reject(redelivery, ticket.clone(), reject);
                    }
                }
            }
            Err(error) => {
                sorted.fail(tickets.iter().map(|it| it.slip));
                refused.push(error);
            }
        }
    }
    check_reject_limit(app, sorted)?;
    let Shelf { rows, slips, later } = shelve(app, std::mem::take(&mut sorted.quarantine));
    sorted.fail(later);
    if !rows.is_empty() {
        let began = Instant::now();
        let zoned = app.config.undeclared.zoned;
        let (table, policy) = (TableName::quarantine(), Policy { zoned, ..quarantine::policy() });
        let landed = land_one(app, &table, &policy, rows, deadline, &mut sorted.report).await;
        times.insert(table.to_string(), began.elapsed());
        if let Err(error) = landed {
            sorted.fail(slips);
            refused.push(error);
        }
    }
    let systemic = |error: &StoreError| !matches!(error, StoreError::OutOfTime(_));
    if refused.len() == times.len()
        && let Some(error) = refused.into_iter().find(systemic)
    {
        return Err(error.into());
    }
    Ok(times)
}

impl Sorted<'_> {
    /// Counts for its route what became of each row of a table.
    fn count(&mut self, table: &TableName, tickets: &[Ticket<'_>], rejects: &[(usize, Reject)]) {
        let name = table.to_string();
        let Some((_, landed)) = self.report.tables.get(&name) else { return };
        let of = |ticket: &Ticket<'_>| ticket.route.map(|it| it.name.clone()).unwrap_or_default();
        let new: HashSet<usize> = landed.indexes.iter().copied().collect();
        let refused: HashSet<usize> = rejects.iter().map(|(place, _)| *place).collect();
        for (place, ticket) in tickets.iter().enumerate().filter(|(it, _)| !refused.contains(it)) {
            let fates = self.report.fates.entry(of(ticket)).or_default();
            grow(if new.contains(&place) { &mut fates.landed } else { &mut fates.duplicates }, 1);
            let arrived = ticket.origin.arrived_at;
            fates.oldest = fates.oldest.into_iter().chain(arrived).min();
        }
        if let Some(first) = tickets.first() {
            let fates = self.report.fates.entry(of(first)).or_default();
            grow(&mut fates.overflowed, landed.extra);
            fates.tables.push(name);
        }
    }
}

/// Lands the rows of one table and returns those that it does not take, by their place.
async fn land_one(
    app: &App,
    table: &TableName,
    policy: &Policy,
    rows: Vec<Row>,
    deadline: &Deadline,
    report: &mut Report,
) -> Result<Vec<(usize, Reject)>, StoreError> {
    let mut read = count(rows.len());
    let landing = app.lake_of(table).land(table, policy, rows, deadline);
    let landed = match deadline.last_call() {
        None => landing.await,
        // A call that hangs must not eat the time that the answer needs. Giving up is safe: what
        // lands after all is found when the records come again.
        Some(left) => tokio::time::timeout(left, landing)
            .await
            .unwrap_or_else(|_| Err(StoreError::OutOfTime(table.clone()))),
    };
    let (landed, outcome) = match landed {
        Ok(mut landed) => {
            let refused = std::mem::take(&mut landed.refused);
            read = read.saturating_sub(count(refused.len()));
            (landed, Ok(refused))
        }
        Err(error) => {
            report.trouble.push(error.to_string());
            (LandReport::default(), Err(error))
        }
    };
    report.tables.insert(table.to_string(), (read, landed));
    outcome
}

/// A format that changed is trouble for people, not a million rows of quarantine. What counts is
/// records as they were delivered: one that holds a thousand bad ones is one, because one record
/// must not stop a shard.
pub(super) fn check_reject_limit(app: &App, sorted: &Sorted<'_>) -> Result<(), InvocationError> {
    let records = count(sorted.slips.len());
    let rejected = count(sorted.slips.iter().filter(|it| it.rejected).count());
    let reasons = sorted.report.rejected.iter().filter(|((_, reason), _)| reason != NO_ROUTE);
    match reasons.max_by_key(|(_, count)| **count) {
        Some(((_, reason), _))
            if records >= REJECT_LIMIT_FROM
                && rejected > share(app.config.quarantine.reject_limit, records) =>
        {
            Err(InvocationError::RejectLimit { rejected, records, reason: reason.clone() })
        }
        _ => Ok(()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of at most some ten thousand records"
)]
fn share(share: f64, of: u64) -> u64 {
    (share.clamp(0.0, 1.0) * of as f64).floor() as u64
}
