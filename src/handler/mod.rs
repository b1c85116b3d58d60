//! Handles an event: the stages of a pass in their order.

mod app;
mod error;
mod report;

mod sort;

mod placeholder;
mod quarantine_rows;

mod land;
mod sweep;

use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::number::count;
use crate::outcome::{Outcome, RecordState};
use crate::route;
use crate::source::{Event, Redelivery};

pub use app::App;
pub use error::InvocationError;
pub use report::{HandledEvent, Pass, Report, RouteCounts, Times};
pub use sweep::sweep;

use land::{RejectLimit, land};
use placeholder::{admit, known_tables};
use sort::{SortedRecords, Sorter, keys_of};

/// Handles an event: afterwards every record is in its table, in quarantine, dropped or filtered
/// on purpose, or not durable, so that Lambda redelivers it.
///
/// An event may unpack to more than fits into memory. Then it is handled in several passes, for as
/// long as there is time; the records that are left are [`Outcome::Deferred`].
///
/// # Errors
/// If no route names the event's source, a key can't be fetched, or the store took nothing: Lambda
/// redelivers the whole event.
pub async fn handle(
    app: &App,
    event: &Event<'_>,
    deadline: &Deadline,
) -> Result<HandledEvent, InvocationError> {
    let mut handled = HandledEvent {
        passes: Vec::new(),
        records: (0..event.len()).map(|_| RecordState::new(None, None)).collect(),
    };
    let mut open: Vec<usize> = (0..event.len()).collect();
    let mut longest = Duration::ZERO;
    loop {
        let began = Instant::now();
        let (pass, states) = match Box::pin(pass(app, event, &open, &handled, deadline)).await {
            Ok(done) => done,
            // Records that earlier passes have landed need not be redelivered.
            Err(error) => match handled.passes.last_mut() {
                Some(last) => {
                    last.report.trouble.push(error.to_string());
                    break;
                }
                None => return Err(error),
            },
        };
        longest = longest.max(began.elapsed());
        for (index, state) in open.iter().zip(states) {
            if let Some(record) = handled.records.get_mut(*index) {
                *record = state;
            }
        }
        handled.passes.push(pass);
        let before = open.len();
        open.retain(|index| handled.outcome(*index) == Some(Outcome::Deferred));
        let is_done = open.is_empty() || open.len() == before;
        // A stream redelivers every record behind one that failed.
        let is_in_vain = event.redelivery() == Redelivery::FromFirstFailure
            && handled.records.iter().any(|it| it.outcome == Outcome::Failed);
        // A pass can't be stopped while it decodes, so there must be time for a whole one.
        if is_done || is_in_vain || !deadline.leaves(longest * 2) {
            break;
        }
    }
    let is_held_back = handled.passes.iter().any(|it| it.report.held_back);
    if is_held_back && event.redelivery() == Redelivery::FromFirstFailure {
        handled.records.iter_mut().for_each(|it| it.worsen(Outcome::Failed));
    }
    if let Some(last) = handled.passes.last_mut() {
        last.report.records += count(open.len());
        last.report.failed += count(open.len());
    }
    Ok(handled)
}

/// Takes the open records of an event through all stages, or as many of them as fit into memory.
async fn pass(
    app: &App,
    event: &Event<'_>,
    open: &[usize],
    so_far: &HandledEvent,
    deadline: &Deadline,
) -> Result<(Pass, Vec<RecordState>), InvocationError> {
    let began = Instant::now();
    let routes = &app.config.routes;
    let redelivery = event.redelivery();
    let deliveries = event.decode(open, |arn| route::unwrap_of(routes, arn));
    let keys = app.keyring.keys(&keys_of(app, &deliveries)).await?;
    let known = known_tables(app, &deliveries, deadline).await?;
    let mut sorted = Sorter { app, redelivery, keys: &keys, known }.sort(deliveries)?;
    admit(app, &mut sorted, redelivery, deadline).await?;
    let limit = RejectLimit::of(app, so_far);
    limit.hold_back(&mut sorted, redelivery);
    let sort = began.elapsed();
    let land = land(app, &mut sorted, redelivery, &limit, deadline).await?;
    let SortedRecords { records, mut report, .. } = sorted;
    report.failed = count(records.iter().filter(|it| it.outcome == Outcome::Failed).count());
    Ok((Pass { report, times: Times { sort, land } }, records))
}
