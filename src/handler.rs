//! From an event to its answer: the stages in order, nothing else.

use std::collections::{BTreeMap, HashMap};

use crate::arn::Arn;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::name::TableName;
use crate::record::{Delivery, Receipt, Reject, Row};
use crate::response::{self, Outcome};
use crate::route::{self, Route, Target};
use crate::source::{self, Event, Redelivery};
use crate::store::{Lake, Landed, StoreError};
use crate::table::layout::Policy;
use crate::{quarantine, transform};

/// Records an invocation must have before `reject_limit` counts.
const REJECT_LIMIT_FROM: u64 = 100;
/// Reason of a record that no route takes.
const NO_ROUTE: &str = "no_route";

/// What an invocation needs, made once at start.
#[derive(Debug)]
pub struct App {
    /// The checked config.
    pub config: Config,
    /// The lake it writes to.
    pub lake: Lake,
}

/// A handled event.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    /// The JSON text for Lambda.
    pub answer: String,
    /// What became of the records.
    pub report: Report,
}

/// What became of an event's records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Records in the event.
    pub records: u64,
    /// By table, quarantine among them: rows that were meant for it, and what became of them.
    pub tables: BTreeMap<String, (u64, Landed)>,
    /// Rejected records by route (empty: no route) and reason, whether quarantined or returned.
    pub rejected: BTreeMap<(String, String), u64>,
    /// Records discarded by `drop = true`.
    pub dropped: u64,
    /// Records that were reported and come again.
    pub failed: u64,
    /// Why the store did not take some of them.
    pub trouble: Vec<String>,
}

/// Why a whole invocation fails; Lambda delivers the event again.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The event can't be taken apart.
    #[error(transparent)]
    Event(#[from] source::EventError),
    /// No route names the event's source.
    #[error(
        "no route for {arn}: add a [[route]] whose source matches it, or one with drop = true to \
         discard its records"
    )]
    NoRoute {
        /// The ARN.
        arn: String,
    },
    /// More records were rejected than `reject_limit` allows.
    #[error(
        "{rejected} of {records} records are no rows ({reason}), more than reject_limit allows, \
         so none was quarantined: did the format change?"
    )]
    RejectLimit {
        /// Rejected records.
        rejected: u64,
        /// Records of the event.
        records: u64,
        /// The most frequent reason.
        reason: String,
    },
    /// The store took nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that is not durable can't be reported by itself.
    #[error(transparent)]
    Unreportable(#[from] response::Unreportable),
    /// The answer can't be written.
    #[error("can't write the answer: {0}")]
    Answer(serde_json::Error),
}

impl InvocationError {
    /// Its kind, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            InvocationError::Event(_) => "BadEvent",
            InvocationError::NoRoute { .. } => "NoRoute",
            InvocationError::RejectLimit { .. } => "RejectLimit",
            InvocationError::Store(_) => "Store",
            InvocationError::Unreportable(_) => "Unreportable",
            InvocationError::Answer(_) => "Answer",
        }
    }
}

/// Handles one event: afterwards every record is in its table, in quarantine, dropped on purpose,
/// or reported so that it comes again.
///
/// # Errors
/// When the event is none, no route names its source, its format changed, or the store took
/// nothing: Lambda delivers all of it again.
pub async fn handle(
    app: &App,
    event: &[u8],
    deadline: &Deadline,
) -> Result<Handled, InvocationError> {
    let Event { redelivery, window_state, deliveries } = source::read(event)?;
    let Sorted { slips, loads, mut report } = sort(app, redelivery, deliveries)?;
    check_reject_limit(app, &report)?;
    let durable = land(app, loads, slips.len(), deadline, &mut report).await?;
    let outcomes = slips.iter().zip(durable).map(|(slip, durable)| Outcome {
        receipt: slip.receipt.as_ref(),
        group: slip.group.as_deref(),
        durable: durable && !slip.returned,
    });
    let outcomes: Vec<Outcome<'_>> = outcomes.collect();
    report.failed = count(outcomes.iter().filter(|it| !it.durable).count());
    let failures = response::failures(redelivery, &outcomes)?;
    let answer = response::answer(&failures, window_state).map_err(InvocationError::Answer)?;
    Ok(Handled { answer, report })
}

/// What is left of a delivery once its record is on its way.
struct Slip {
    receipt: Option<Receipt>,
    group: Option<String>,
    /// Rejected, and left to the queue's own DLQ.
    returned: bool,
}

/// The rows for one table and the places of their records in the event.
#[derive(Default)]
struct Load {
    rows: Vec<Row>,
    records: Vec<usize>,
}

/// An event's records on their ways.
struct Sorted {
    slips: Vec<Slip>,
    loads: BTreeMap<TableName, Load>,
    report: Report,
}

/// Where a record goes.
enum Fate {
    Row(TableName, Row),
    Rejected(Reject, Option<String>),
    Returned(Reject, String),
    Dropped,
}

/// Sends each record on its way.
fn sort(
    app: &App,
    redelivery: Redelivery,
    deliveries: Vec<Delivery<'_>>,
) -> Result<Sorted, InvocationError> {
    let mut routes: HashMap<Arn, Vec<&Route>> = HashMap::new();
    let mut sorted = Sorted {
        slips: Vec::with_capacity(deliveries.len()),
        loads: BTreeMap::new(),
        report: Report { records: count(deliveries.len()), ..Report::default() },
    };
    for (at, mut delivery) in deliveries.into_iter().enumerate() {
        let of_source = routes
            .entry(delivery.source.clone())
            .or_insert_with(|| route::of_source(&app.config.routes, &delivery.source));
        if of_source.is_empty() {
            return Err(InvocationError::NoRoute { arn: delivery.source.as_str().to_owned() });
        }
        let report = &mut sorted.report;
        let fate = fate(app, redelivery, of_source, &mut delivery);
        let mut slip = Slip {
            receipt: delivery.receipt.take(),
            group: delivery.group.take(),
            returned: false,
        };
        let (table, row) = match fate {
            Fate::Row(table, row) => (table, row),
            Fate::Rejected(reject, route) => {
                report.note(&reject, route.as_deref());
                let hash = &app.config.lake.config_hash;
                let row = quarantine::row(&delivery, &reject, route.as_deref(), hash);
                (TableName::quarantine(), row)
            }
            Fate::Returned(reject, route) => {
                report.note(&reject, Some(&route));
                slip.returned = true;
                sorted.slips.push(slip);
                continue;
            }
            Fate::Dropped => {
                report.dropped = report.dropped.saturating_add(1);
                sorted.slips.push(slip);
                continue;
            }
        };
        let load = sorted.loads.entry(table).or_default();
        load.rows.push(row);
        load.records.push(at);
        sorted.slips.push(slip);
    }
    Ok(sorted)
}

/// Where one record goes. Takes the record out of its delivery.
fn fate(app: &App, redelivery: Redelivery, routes: &[&Route], delivery: &mut Delivery<'_>) -> Fate {
    // A stream has no DLQ for one record: reporting it would block its shard. A message without
    // id can't be reported by itself.
    let returnable = match redelivery {
        Redelivery::EachFailure | Redelivery::RestOfGroup => delivery.receipt.is_some(),
        Redelivery::FromFirstFailure => false,
    };
    let rejected = |route: &Route, reject| {
        if returnable && route.return_rejects {
            Fate::Returned(reject, route.name.clone())
        } else {
            Fate::Rejected(reject, Some(route.name.clone()))
        }
    };
    let taken = Err(Reject::new("taken", "the record is on its way"));
    let record = match std::mem::replace(&mut delivery.record, taken) {
        Ok(record) => record,
        // Nobody knows which of the source's routes would have taken it: the first speaks.
        Err(reject) => {
            return match routes.first() {
                Some(route) => rejected(route, reject),
                None => Fate::Rejected(reject, None),
            };
        }
    };
    let Some(route) = route::choose(routes, &record) else {
        let detail = "the source has routes, and the `when` of none matches this record";
        return Fate::Rejected(Reject::new(NO_ROUTE, detail), None);
    };
    match &route.target {
        Target::Drop => Fate::Dropped,
        Target::Table(table) => {
            match transform::row(route, policy(app, table), &delivery.origin, record) {
                Ok(row) => Fate::Row(table.clone(), row),
                Err(reject) => rejected(route, reject),
            }
        }
    }
}

fn policy<'a>(app: &'a App, table: &TableName) -> &'a Policy {
    static NOTHING_DECLARED: Policy = Policy::inferred();
    app.config.tables.get(table).unwrap_or(&NOTHING_DECLARED)
}

impl Report {
    fn note(&mut self, reject: &Reject, route: Option<&str>) {
        let key = (route.unwrap_or_default().to_owned(), reject.reason.to_owned());
        let seen = self.rejected.entry(key).or_default();
        *seen = seen.saturating_add(1);
    }
}

/// A format that changed is trouble for people, not a million rows of quarantine. A missing route
/// is a gap in the config and does not count.
fn check_reject_limit(app: &App, report: &Report) -> Result<(), InvocationError> {
    let counted = report.rejected.iter().filter(|((_, reason), _)| reason != NO_ROUTE);
    let rejected = counted.clone().map(|(_, count)| *count).fold(0, u64::saturating_add);
    let most = counted.max_by_key(|(_, count)| **count);
    match most {
        Some(((_, reason), _))
            if report.records >= REJECT_LIMIT_FROM
                && rejected > share(app.config.reject_limit, report.records) =>
        {
            let (records, reason) = (report.records, reason.clone());
            Err(InvocationError::RejectLimit { rejected, records, reason })
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

/// Lands the rows of each table, in name order, and says which records are durable. Fails as a
/// whole when the store took nothing, so that Lambda backs off; when only time is up, what is not
/// durable is reported.
async fn land(
    app: &App,
    loads: BTreeMap<TableName, Load>,
    records: usize,
    deadline: &Deadline,
    report: &mut Report,
) -> Result<Vec<bool>, InvocationError> {
    let mut durable = vec![true; records];
    let quarantine = (TableName::quarantine(), quarantine::policy());
    let (tables, mut refused) = (loads.len(), Vec::new());
    for (table, load) in loads {
        let read = count(load.rows.len());
        let policy = if table == quarantine.0 { &quarantine.1 } else { policy(app, &table) };
        let landed = match land_one(app, &table, policy, load.rows, deadline).await {
            Ok(landed) => landed,
            Err(error) => {
                for at in load.records {
                    durable.get_mut(at).into_iter().for_each(|it| *it = false);
                }
                report.trouble.push(error.to_string());
                refused.push(error);
                Landed::default()
            }
        };
        report.tables.insert(table.to_string(), (read, landed));
    }
    let systemic = |error: &StoreError| !matches!(error, StoreError::OutOfTime(_));
    if refused.len() == tables
        && let Some(error) = refused.into_iter().find(systemic)
    {
        return Err(error.into());
    }
    Ok(durable)
}

async fn land_one(
    app: &App,
    table: &TableName,
    policy: &Policy,
    rows: Vec<Row>,
    deadline: &Deadline,
) -> Result<Landed, StoreError> {
    let landing = app.lake.land(table, policy, rows, deadline);
    match deadline.last_call() {
        None => landing.await,
        // A call that hangs must not eat the time that the answer needs. Giving up is safe: what
        // lands after all is found when the records come again.
        Some(left) => tokio::time::timeout(left, landing)
            .await
            .unwrap_or_else(|_| Err(StoreError::OutOfTime(table.clone()))),
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
