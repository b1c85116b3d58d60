//! Sending an event's records on their ways: a row of a table, quarantine, back to the queue, or
//! nowhere on purpose.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;

use crate::arn::Arn;
use crate::handler::{App, InvocationError, Report, grow};
use crate::name::TableName;
use crate::record::{Content, Delivery, Origin, Part, Raw, Receipt, Record, Reject, Row};
use crate::route::{self, Route, Step, Target};
use crate::secret::{Keys, Reference};
use crate::source::{self, Redelivery};
use crate::store::StoreError;
use crate::table::layout::Policy;
use crate::{quarantine, transform};

/// Reason of a record that no route takes.
pub(super) const NO_ROUTE: &str = "no_route";

/// The keys that the routes of these records hash with.
pub(super) fn keys_of(app: &App, deliveries: &[Delivery<'_>]) -> BTreeSet<Reference> {
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
pub(super) async fn known_tables(
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
pub(super) struct Slip {
    pub(super) receipt: Option<Receipt>,
    pub(super) group: Option<String>,
    /// False for what must come again.
    pub(super) durable: bool,
}

/// A record whose row is on its way.
pub(super) struct Ticket<'a> {
    pub(super) slip: usize,
    pub(super) raw: Raw<'a>,
    pub(super) origin: Origin,
    pub(super) route: &'a Route,
}

/// The rows for one table, and their records.
pub(super) struct Load<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rows: Vec<Row>,
    pub(super) tickets: Vec<Ticket<'a>>,
}

/// An event's records on their ways.
pub(super) struct Sorted<'a> {
    pub(super) slips: Vec<Slip>,
    pub(super) loads: BTreeMap<TableName, Load<'a>>,
    /// Rows for quarantine, and the slip of each.
    pub(super) quarantine: (Vec<Row>, Vec<usize>),
    pub(super) report: Report,
}

/// Where a record goes.
#[expect(clippy::large_enum_variant, reason = "taken apart as soon as it is made")]
enum Fate {
    Row(TableName, Row),
    Rejected(Reject),
    Filtered,
    Dropped,
}

/// Sends records on their ways.
pub(super) struct Sorter<'a> {
    pub(super) app: &'a App,
    pub(super) redelivery: Redelivery,
    pub(super) keys: &'a Keys,
    /// Tables that exist or are about to.
    pub(super) known: BTreeSet<TableName>,
}

impl<'a> Sorter<'a> {
    /// Sends each record on its way.
    pub(super) fn sort(
        mut self,
        deliveries: Vec<Delivery<'a>>,
    ) -> Result<Sorted<'a>, InvocationError> {
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
                let policy = app.config.policy(&table);
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
    fn fate(&mut self, route: &Route, origin: &Origin, record: Record) -> Fate {
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
        let policy = self.app.config.policy(&table);
        match transform::row(route, policy, self.keys, origin, record) {
            Ok(Some(row)) => Fate::Row(table, row),
            Ok(None) => Fate::Filtered,
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
    pub(super) fn reject(
        &mut self,
        app: &App,
        redelivery: Redelivery,
        ticket: &Ticket<'_>,
        reject: &Reject,
    ) {
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
        raw: &Raw<'_>,
        origin: &Origin,
        reject: &Reject,
        route: Option<&str>,
    ) {
        self.report.note(reject, route);
        let config = &app.config;
        let (keep, hash) = (config.quarantine.keep, &config.lake.config_hash);
        self.quarantine.0.push(quarantine::row(
            &source::alone(raw),
            keep,
            origin,
            reject,
            route,
            hash,
        ));
        self.quarantine.1.push(slip);
    }

    /// The records of these slips come again.
    pub(super) fn fail(&mut self, slips: impl IntoIterator<Item = usize>) {
        for at in slips {
            self.slips.get_mut(at).into_iter().for_each(|it| it.durable = false);
        }
    }
}
