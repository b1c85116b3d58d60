//! Landing what was sorted: table by table, then what is quarantined.

use std::sync::PoisonError;

use crate::deadline::Deadline;
use crate::handler::shelf::{Shelf, shelve};
use crate::handler::sort::{Load, NO_ROUTE, Sorted};
use crate::handler::{App, InvocationError, Report, count};
use crate::name::TableName;
use crate::quarantine;
use crate::record::{Reject, Row};
use crate::source::Redelivery;
use crate::store::{Landed, StoreError};
use crate::table::layout::Policy;

/// Records an invocation must have before `reject_limit` counts.
const REJECT_LIMIT_FROM: u64 = 100;

/// Lands the rows of each table, in name order, then what is quarantined, which tables may add to.
/// Fails as a whole when the store took nothing, so that Lambda backs off; when only time is up,
/// what is not durable is reported.
pub(super) async fn land(
    app: &App,
    sorted: &mut Sorted<'_>,
    redelivery: Redelivery,
    deadline: &Deadline,
) -> Result<(), InvocationError> {
    let mut tables = 0_usize;
    let mut refused = Vec::new();
    for (table, load) in std::mem::take(&mut sorted.loads) {
        let Load { policy, rows, tickets } = load;
        tables = tables.saturating_add(1);
        match land_one(app, &table, policy, rows, deadline, &mut sorted.report).await {
            Ok(rejects) => {
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
        tables = tables.saturating_add(1);
        let zoned = app.config.undeclared.zoned;
        let (table, policy) = (TableName::quarantine(), Policy { zoned, ..quarantine::policy() });
        let landed = land_one(app, &table, &policy, rows, deadline, &mut sorted.report).await;
        if let Err(error) = landed {
            sorted.fail(slips);
            refused.push(error);
        }
    }
    let systemic = |error: &StoreError| !matches!(error, StoreError::OutOfTime(_));
    if refused.len() == tables
        && let Some(error) = refused.into_iter().find(systemic)
    {
        return Err(error.into());
    }
    Ok(())
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
            (Landed::default(), Err(error))
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
