//! From an event to its answer: the stages in order, nothing else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::arn::Arn;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::name::TableName;
use crate::record::{Content, Delivery, Origin, Part, Receipt, Reject, Row};
use crate::response::{self, Outcome};
use crate::route::{self, Route, Step, Target};
use crate::secret::{Keyring, Keys, NoKey, Reference};
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

    fn lake_of(&self, table: &TableName) -> &Lake {
        let own = self.quarantine.as_ref().filter(|_| *table == TableName::quarantine());
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
}

/// What became of an event's records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Records in the event.
    pub records: u64,
    /// By table, quarantine among them: rows that were meant for it, and what became of them.
    pub tables: BTreeMap<String, (u64, Landed)>,
    /// Records that each route took, by its name.
    pub taken: BTreeMap<String, u64>,
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
    Key(#[from] NoKey),
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
            InvocationError::Key(_) => "Key",
            InvocationError::RejectLimit { .. } => "RejectLimit",
            InvocationError::Store(_) => "Store",
            InvocationError::Unreportable(_) => "Unreportable",
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
    let routes = &app.config.routes;
    let Event { redelivery, window_state, deliveries } =
        source::read(event, |arn| route::unwrap_of(routes, arn))?;
    let keys = app.keyring.keys(&keys_of(app, &deliveries)).await?;
    let known = known_tables(app, &deliveries).await?;
    let mut sorted = Sorter { app, redelivery, keys: &keys, known }.sort(deliveries)?;
    check_reject_limit(app, &sorted.report)?;
    land(app, &mut sorted, redelivery, deadline).await?;
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
    Ok(Handled { answer, report })
}

/// The keys that the routes of these records hash with.
fn keys_of(app: &App, deliveries: &[Delivery<'_>]) -> BTreeSet<Reference> {
    let sources: HashSet<&Arn> = deliveries.iter().map(|it| &it.source).collect();
    let routes = sources.into_iter().flat_map(|it| route::of_source(&app.config.routes, it));
    let keys = routes.flat_map(|it| &it.steps).filter_map(|step| match step {
        Step::Hash { key, .. } => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

/// The tables that exist, as far as it matters: where records name their tables themselves, all
/// of them.
async fn known_tables(
    app: &App,
    deliveries: &[Delivery<'_>],
) -> Result<BTreeSet<TableName>, StoreError> {
    let routes = &app.config.routes;
    let by_record = |it: &Route| matches!(it.target, Target::Tables(..));
    if !routes.iter().any(by_record) {
        return Ok(BTreeSet::new());
    }
    let known = app.tables.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut of_source: HashMap<&Arn, Vec<&Route>> = HashMap::new();
    let all_known = deliveries.iter().all(|delivery| {
        let of_source = of_source
            .entry(&delivery.source)
            .or_insert_with(|| route::of_source(routes, &delivery.source));
        let Content::Parts(parts) = &delivery.content else { return true };
        parts.iter().filter_map(|it| it.record.as_ref().ok()).all(|record| {
            match route::choose(of_source, record).map(|it| &it.target) {
                Some(Target::Tables(template, _)) => {
                    template.fill(record).is_ok_and(|it| known.contains(&it))
                }
                _ => true,
            }
        })
    });
    if all_known {
        return Ok(known);
    }
    let found: BTreeSet<TableName> = app.lake.tables().await?.into_iter().collect();
    app.tables.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
    Ok(found)
}

/// What is left of a delivery once its records are on their ways.
struct Slip {
    receipt: Option<Receipt>,
    group: Option<String>,
    /// False for what must come again.
    durable: bool,
}

/// A record whose row is on its way.
struct Ticket<'a> {
    slip: usize,
    raw: Cow<'a, [u8]>,
    origin: Origin,
    route: &'a Route,
}

/// The rows for one table, and their records.
struct Load<'a> {
    policy: &'a Policy,
    rows: Vec<Row>,
    tickets: Vec<Ticket<'a>>,
}

/// An event's records on their ways.
struct Sorted<'a> {
    slips: Vec<Slip>,
    loads: BTreeMap<TableName, Load<'a>>,
    /// Rows for quarantine, and the slip of each.
    quarantine: (Vec<Row>, Vec<usize>),
    report: Report,
}

/// Where a record goes.
enum Fate {
    Row(TableName, Row),
    Rejected(Reject),
    Filtered,
    Dropped,
}

/// Sends records on their ways.
struct Sorter<'a> {
    app: &'a App,
    redelivery: Redelivery,
    keys: &'a Keys,
    /// Tables that exist or are about to.
    known: BTreeSet<TableName>,
}

impl<'a> Sorter<'a> {
    /// Sends each record on its way.
    fn sort(mut self, deliveries: Vec<Delivery<'a>>) -> Result<Sorted<'a>, InvocationError> {
        let mut routes: HashMap<Arn, Vec<&'a Route>> = HashMap::new();
        let mut sorted = Sorted {
            slips: Vec::with_capacity(deliveries.len()),
            loads: BTreeMap::new(),
            quarantine: (Vec::new(), Vec::new()),
            report: Report::default(),
        };
        for delivery in deliveries {
            let Delivery { receipt, group, source, content } = delivery;
            let of_source = routes
                .entry(source.clone())
                .or_insert_with(|| route::of_source(&self.app.config.routes, &source));
            if of_source.is_empty() {
                return Err(InvocationError::NoRoute { arn: source.as_str().to_owned() });
            }
            sorted.slips.push(Slip { receipt, group, durable: true });
            match content {
                Content::Deferred => sorted.defer(),
                Content::Parts(parts) if parts.is_empty() => {
                    grow(&mut sorted.report.records, 1);
                    grow(sorted.report.filtered.entry(String::new()).or_default(), 1);
                }
                Content::Parts(parts) => {
                    for part in parts {
                        self.send(part, of_source, &mut sorted);
                    }
                }
            }
        }
        Ok(sorted)
    }

    /// Sends one record on its way.
    fn send(&mut self, part: Part<'a>, routes: &[&'a Route], sorted: &mut Sorted<'a>) {
        let Part { raw, origin, record } = part;
        let slip = sorted.slips.len().saturating_sub(1);
        grow(&mut sorted.report.records, 1);
        let route = match &record {
            Ok(record) => route::choose(routes, record),
            // Nobody knows which of the source's routes would have taken it: the first speaks.
            Err(_) => routes.first().copied(),
        };
        let Some(route) = route else {
            let detail = "the source has routes, and the `when` of none matches this record";
            let reject = Reject::new(NO_ROUTE, detail);
            sorted.quarantine(self.app, slip, &raw, &origin, &reject, None);
            return;
        };
        if record.is_ok() {
            grow(sorted.report.taken.entry(route.name.clone()).or_default(), 1);
        }
        let fate = match record {
            Ok(record) => self.fate(route, &origin, record),
            Err(reject) => Fate::Rejected(reject),
        };
        let ticket = Ticket { slip, raw, origin, route };
        match fate {
            Fate::Row(table, row) => {
                let app = self.app;
                let policy = app.config.policy(&table, &route.target);
                let empty = || Load { policy, rows: Vec::new(), tickets: Vec::new() };
                let load = sorted.loads.entry(table).or_insert_with(empty);
                load.rows.push(row);
                load.tickets.push(ticket);
            }
            Fate::Rejected(reject) => sorted.reject(self.app, self.redelivery, &ticket, &reject),
            Fate::Filtered => {
                grow(sorted.report.filtered.entry(route.name.clone()).or_default(), 1);
            }
            Fate::Dropped => grow(&mut sorted.report.dropped, 1),
        }
    }

    /// Where a record goes that a route has taken.
    fn fate(&mut self, route: &Route, origin: &Origin, record: crate::record::Record) -> Fate {
        let table = match &route.target {
            Target::Drop => return Fate::Dropped,
            Target::Table(table) => table.clone(),
            Target::Tables(template, most) => match template.fill(&record) {
                Err(reject) => return Fate::Rejected(reject),
                Ok(table) if self.known.contains(&table) => table,
                Ok(table) => {
                    if self.known.iter().filter(|it| template.makes(it)).count() >= *most {
                        let detail = format!("{} has its {most} tables", template.as_str());
                        return Fate::Rejected(Reject::new("too_many_tables", detail));
                    }
                    self.known.insert(table.clone());
                    table
                }
            },
        };
        let policy = self.app.config.policy(&table, &route.target);
        match transform::row(route, policy, self.keys, origin, record) {
            Ok(transform::Outcome::Row(row)) => Fate::Row(table, row),
            Ok(transform::Outcome::Filtered) => Fate::Filtered,
            Err(reject) => Fate::Rejected(reject),
        }
    }
}

impl Sorted<'_> {
    /// Leaves the last delivery to a later, smaller batch.
    fn defer(&mut self) {
        grow(&mut self.report.records, 1);
        if let Some(slip) = self.slips.last_mut() {
            slip.durable = false;
        }
    }

    /// Quarantines a record that is no row, or leaves it to its queue's own DLQ.
    fn reject(&mut self, app: &App, redelivery: Redelivery, ticket: &Ticket<'_>, reject: &Reject) {
        let Ticket { slip, raw, origin, route } = ticket;
        // A stream has no DLQ for one record: reporting it would block its shard. A message
        // without id can't be reported by itself.
        let returnable = match redelivery {
            Redelivery::EachFailure | Redelivery::RestOfGroup => true,
            Redelivery::FromFirstFailure => false,
        };
        match self.slips.get_mut(*slip).filter(|it| it.receipt.is_some()) {
            Some(slip) if returnable && route.return_rejects => {
                slip.durable = false;
                self.report.note(reject, Some(&route.name));
            }
            _ => self.quarantine(app, *slip, raw, origin, reject, Some(&route.name)),
        }
    }

    fn quarantine(
        &mut self,
        app: &App,
        slip: usize,
        raw: &[u8],
        origin: &Origin,
        reject: &Reject,
        route: Option<&str>,
    ) {
        self.report.note(reject, route);
        let config = &app.config;
        let (keep, hash) = (config.quarantine.keep, &config.lake.config_hash);
        self.quarantine.0.push(quarantine::row(raw, keep, origin, reject, route, hash));
        self.quarantine.1.push(slip);
    }

    /// The records of these slips come again.
    fn fail(&mut self, slips: impl IntoIterator<Item = usize>) {
        for at in slips {
            self.slips.get_mut(at).into_iter().for_each(|it| it.durable = false);
        }
    }
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

/// A format that changed is trouble for people, not a million rows of quarantine. A missing route
/// is a gap in the config and does not count.
fn check_reject_limit(app: &App, report: &Report) -> Result<(), InvocationError> {
    let counted = report.rejected.iter().filter(|((_, reason), _)| reason != NO_ROUTE);
    let rejected = counted.clone().map(|(_, count)| *count).fold(0, u64::saturating_add);
    let most = counted.max_by_key(|(_, count)| **count);
    match most {
        Some(((_, reason), _))
            if report.records >= REJECT_LIMIT_FROM
                && rejected > share(app.config.quarantine.reject_limit, report.records) =>
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

/// Lands the rows of each table, in name order, then what is quarantined, which tables may add to.
/// Fails as a whole when the store took nothing, so that Lambda backs off; when only time is up,
/// what is not durable is reported.
async fn land(
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
                        sorted.reject(app, redelivery, ticket, &reject);
                    }
                }
            }
            Err(error) => {
                sorted.fail(tickets.iter().map(|it| it.slip));
                refused.push(error);
            }
        }
    }
    check_reject_limit(app, &sorted.report)?;
    let (rows, slips) = std::mem::take(&mut sorted.quarantine);
    if !rows.is_empty() {
        tables = tables.saturating_add(1);
        let (table, policy) = (TableName::quarantine(), quarantine::policy());
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
    let read = count(rows.len());
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

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
