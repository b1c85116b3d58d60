//! From an event to its answer: the stages in order, nothing else.

mod sort;

mod quarantine_rows;

mod land;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::deadline::Deadline;
use crate::outcome::{Outcome, RecordState};
use crate::record::Reject;
use crate::response;
use crate::route;
use crate::secret::{KeyError, Keyring};
use crate::source::{self, Event, Redelivery};
use crate::store::{Lake, LandReport, StoreError};
use crate::table_name::TableName;
use crate::time::Timestamp;

use land::{RejectLimit, land};
use sort::{Sorted, Sorter, keys_of, known_tables};

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
    /// What was done, one pass after the other: nearly always one.
    pub passes: Vec<Pass>,
    /// What became of each record, in the order of the event.
    pub records: Vec<RecordState>,
}

/// What was done with as many of an event's records as fit into memory at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pass {
    /// What became of the records.
    pub report: Report,
    /// How long its stages took.
    pub times: Times,
}

/// How long the stages of a pass took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// Decoding, keys, routes and transforms.
    pub sort: Duration,
    /// By table: its commits, from the first look at the head to the last.
    pub land: BTreeMap<String, Duration>,
}

/// What became of the records of one route that became rows. The cost of a commit counts for the
/// first of the routes that fill the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteCounts {
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

/// What became of the records of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Records that were handled.
    pub records: u64,
    /// By table, quarantine among them: rows that were meant for it, and what became of them.
    pub tables: BTreeMap<String, (u64, LandReport)>,
    /// Records that each route took, by its name.
    pub taken: BTreeMap<String, u64>,
    /// By route: what became of the records that became rows and are durable.
    pub routes: BTreeMap<String, RouteCounts>,
    /// Rejected records by route (empty: no route) and reason, whether quarantined or returned.
    pub rejected: BTreeMap<(String, String), u64>,
    /// Records discarded by `drop = true`.
    pub dropped: u64,
    /// Records left out by `filter`, and messages that carry no data, by route (empty: no route).
    pub filtered: BTreeMap<String, u64>,
    /// Records that are reported, so that Lambda redelivers them.
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

/// Handles an event: afterwards every record is in its table, in quarantine, dropped or filtered
/// on purpose, or not durable, so that Lambda redelivers it.
///
/// An event may unpack to more than fits into memory. Then it is handled in several passes, for as
/// long as there is time; what is left of it is [`Outcome::Deferred`].
///
/// # Errors
/// If no route names the event's source, its format changed, a key can't be fetched, or the store
/// took nothing: Lambda redelivers all of it.
pub async fn handle(
    app: &App,
    event: &Event<'_>,
    deadline: &Deadline,
) -> Result<Handled, InvocationError> {
    let mut handled = Handled {
        passes: Vec::new(),
        records: (0..event.len()).map(|_| RecordState::new(None, None)).collect(),
    };
    let mut open: Vec<usize> = (0..event.len()).collect();
    let mut longest = Duration::ZERO;
    loop {
        let began = Instant::now();
        let (pass, states) = match Box::pin(pass(app, event, &open, &handled, deadline)).await {
            Ok(done) => done,
            // What earlier passes have landed need not be redelivered.
            Err(error) => match handled.passes.last_mut() {
                Some(last) => {
                    last.report.trouble.push(error.to_string());
                    break;
                }
                None => return Err(error),
            },
        };
        longest = longest.max(began.elapsed());
        for (at, state) in open.iter().zip(states) {
            if let Some(record) = handled.records.get_mut(*at) {
                *record = state;
            }
        }
        handled.passes.push(pass);
        let before = open.len();
        open.retain(|at| handled.outcome(*at) == Some(Outcome::Deferred));
        let done = open.is_empty() || open.len() == before;
        // A stream redelivers everything behind a record that failed.
        let in_vain = event.redelivery() == Redelivery::FromFirstFailure
            && handled.records.iter().any(|it| it.outcome == Outcome::Failed);
        // A pass can't be stopped while it decodes, so there must be time for a whole one.
        if done || in_vain || !deadline.leaves(longest.saturating_mul(2)) {
            break;
        }
    }
    if let Some(last) = handled.passes.last_mut() {
        last.report.records += count(open.len());
        last.report.failed += count(open.len());
    }
    Ok(handled)
}

/// Takes the open records of an event through all stages, or as many as fit into memory.
async fn pass(
    app: &App,
    event: &Event<'_>,
    open: &[usize],
    so_far: &Handled,
    deadline: &Deadline,
) -> Result<(Pass, Vec<RecordState>), InvocationError> {
    let began = Instant::now();
    let routes = &app.config.routes;
    let redelivery = event.redelivery();
    let deliveries = event.decode(open, |arn| route::unwrap_of(routes, arn));
    let keys = app.keyring.keys(&keys_of(app, &deliveries)).await?;
    let known = known_tables(app, &deliveries).await?;
    let mut sorted = Sorter { app, redelivery, keys: &keys, known }.sort(deliveries)?;
    let limit = RejectLimit::of(app, so_far);
    limit.check(&sorted)?;
    let sort = began.elapsed();
    let land = land(app, &mut sorted, redelivery, &limit, deadline).await?;
    let Sorted { records, mut report, .. } = sorted;
    report.failed = count(records.iter().filter(|it| it.outcome == Outcome::Failed).count());
    Ok((Pass { report, times: Times { sort, land } }, records))
}

impl Handled {
    /// What became of a record of the event.
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        self.records.get(index).map(|it| it.outcome)
    }

    /// Why not all of it is durable; `None` if it is.
    pub fn trouble(&self) -> Option<String> {
        let lost = self.records.iter().filter(|it| !it.outcome.is_durable()).count();
        (lost > 0).then(|| format!("{lost} of its records did not land"))
    }
}

impl Report {
    fn note(&mut self, reject: &Reject, route: Option<&str>) {
        let key = (route.unwrap_or_default().to_owned(), reject.reason.to_owned());
        *self.rejected.entry(key).or_default() += 1;
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
