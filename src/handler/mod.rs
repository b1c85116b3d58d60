//! From an event to its answer: the stages in order, nothing else.

mod land;
mod shelf;
mod sort;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::record::{Receipt, Reject};
use crate::response::{self, Outcome};
use crate::route;
use crate::secret::{KeyError, Keyring};
use crate::source::{self, Event};
use crate::store::{Lake, LandReport, StoreError};
use crate::table_name::TableName;
use crate::time::Timestamp;

use land::{check_reject_limit, land};
use sort::{Sorter, keys_of, known_tables};

/// What an invocation needs, made once at start.
#[derive(Debug)]
pub struct App {
    /// The checked config.
    pub config: Config,
    /// The lake it writes to.
    pub lake: Lake,
    /// The lake that its quarantine is in, where that is another one.
    pub quarantine: Option<Lake>,
    keyring: Keyring,
    /// Tables that are known to exist; those of a placeholder are counted by it.
    tables: Mutex<BTreeSet<TableName>>,
}

impl App {
    /// The app of a config, on the lake that it names. Nothing is created or fetched yet.
    ///
    /// # Errors
    /// When the lake's location can't be made sense of.
    pub fn open(config: Config) -> Result<Self, StoreError> {
        let lake = Lake::open(config.lake.clone())?;
        let quarantine = config.quarantine.lake.clone().map(Lake::open).transpose()?;
        Ok(Self::on(config, lake, quarantine))
    }

    /// The app of a config, on other lakes than it names.
    pub fn on(config: Config, lake: Lake, quarantine: Option<Lake>) -> Self {
        Self { config, lake, quarantine, keyring: Keyring::default(), tables: Mutex::default() }
    }

    /// The lake that a table is in.
    pub fn lake_of(&self, table: &TableName) -> &Lake {
        let own = self.quarantine.as_ref().filter(|_| table.is_own());
        own.unwrap_or(&self.lake)
    }
}

/// A handled event.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    /// The JSON text for Lambda.
    pub answer: String,
    /// What became of the records.
    pub report: Report,
    /// How long its stages took.
    pub times: Times,
    /// What the answer reports.
    pub failures: Vec<Receipt>,
    /// Of each record as it was delivered, what became of it.
    pub ends: Vec<End>,
}

/// What became of a record as it was delivered, with all that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it is in tables.
    Landed,
    /// Some or all of it was dropped or filtered, and the rest is in tables.
    LeftOut,
    /// Some of it is in quarantine.
    Quarantined,
    /// It was not even taken apart, because what came before it was so much; it comes again.
    Deferred,
    /// Some of it is nowhere; it comes again.
    Failed,
}

/// How long the stages of an event took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// Decoding, keys, routes and transforms.
    pub sort: Duration,
    /// By table: its commit, from the first look at the head to the last.
    pub land: BTreeMap<String, Duration>,
}

/// What became of the records of one route that became rows. What commits cost counts for the
/// first of the routes that fill the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fates {
    /// Rows that are in the lake since now.
    pub landed: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Landed rows with something in `_lw_extra`.
    pub overflowed: u64,
    /// Names of the tables whose commits count for this route.
    pub tables: Vec<String>,
    /// Arrival of the oldest row.
    pub oldest: Option<Timestamp>,
}

/// What became of an event's records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Records in the event.
    pub records: u64,
    /// By table, quarantine among them: rows that were meant for it, and what became of them.
    pub tables: BTreeMap<String, (u64, LandReport)>,
    /// Records that each route took, by its name.
    pub taken: BTreeMap<String, u64>,
    /// By route: what became of the records that became rows and are durable.
    pub fates: BTreeMap<String, Fates>,
    /// Rejected records by route (empty: no route) and reason, whether quarantined or returned.
    pub rejected: BTreeMap<(String, String), u64>,
    /// Records discarded by `drop = true`.
    pub dropped: u64,
    /// Records left out by `filter`, and messages that carry no data, by route (empty: no route).
    pub filtered: BTreeMap<String, u64>,
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
    /// A key that a route hashes with can't be had.
    #[error(transparent)]
    Key(#[from] KeyError),
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
    /// A batch that Lambda had given up can't be recovered.
    #[error("{0}")]
    Recovery(String),
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
            InvocationError::Key(_) => "Key",
            InvocationError::RejectLimit { .. } => "RejectLimit",
            InvocationError::Store(_) => "Store",
            InvocationError::Unreportable(_) => "Unreportable",
            InvocationError::Recovery(_) => "Recovery",
            InvocationError::Answer(_) => "Answer",
        }
    }
}

/// Handles one event: afterwards every record is in its table, in quarantine, dropped or filtered
/// on purpose, or reported so that it comes again.
///
/// # Errors
/// When the event is none, no route names its source, its format changed, or the store took
/// nothing: Lambda delivers all of it again.
pub async fn handle(
    app: &App,
    event: &[u8],
    deadline: &Deadline,
) -> Result<Handled, InvocationError> {
    let began = Instant::now();
    let routes = &app.config.routes;
    let Event { redelivery, window_state, deliveries } =
        source::read(event, |arn| route::unwrap_of(routes, arn))?;
    let keys = app.keyring.keys(&keys_of(app, &deliveries)).await?;
    let known = known_tables(app, &deliveries).await?;
    let mut sorted = Sorter { app, redelivery, keys: &keys, known }.sort(deliveries)?;
    check_reject_limit(app, &sorted)?;
    let sort = began.elapsed();
    let land = land(app, &mut sorted, redelivery, deadline).await?;
    let outcomes = sorted.slips.iter().map(|slip| Outcome {
        receipt: slip.receipt.as_ref(),
        group: slip.group.as_deref(),
        durable: slip.durable,
    });
    let outcomes: Vec<Outcome<'_>> = outcomes.collect();
    let mut report = sorted.report;
    report.failed = count(outcomes.iter().filter(|it| !it.durable).count());
    let failures = response::failures(redelivery, &outcomes)?;
    let answer = response::answer(&failures, window_state).map_err(InvocationError::Answer)?;
    let ends = sorted.slips.iter().map(sort::Slip::end).collect();
    let failures = failures.into_iter().cloned().collect();
    Ok(Handled { answer, report, times: Times { sort, land }, failures, ends })
}

impl Report {
    fn note(&mut self, reject: &Reject, route: Option<&str>) {
        let key = (route.unwrap_or_default().to_owned(), reject.reason.to_owned());
        grow(self.rejected.entry(key).or_default(), 1);
    }
}

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
