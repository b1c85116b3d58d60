//! Sending an event's records on their ways: a row of a table, quarantine, back to the queue, or
//! nowhere on purpose.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;

use crate::arn::Arn;
use crate::handler::{App, End, InvocationError, Report, grow};
use crate::record::{Content, Delivery, Origin, Part, Raw, Receipt, Record, Reject, Row};
use crate::route::{self, Route, Step, Target};
use crate::secret::{Keys, Reference};
use crate::source::Redelivery;
use crate::store::StoreError;
use crate::table::layout::Policy;
use crate::table_name::TableName;
use crate::transform;

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
    /// Whether one of its records is no row, which `reject_limit` counts.
    pub(super) rejected: bool,
    /// Whether one of its records goes to quarantine.
    pub(super) quarantined: bool,
    /// Whether one of its records goes nowhere, on purpose.
    left_out: bool,
    /// Whether it was not taken apart.
    deferred: bool,
}

impl Slip {
    /// What became of it, once everything has landed that could.
    pub(super) fn end(&self) -> End {
        match self {
            Slip { deferred: true, .. } => End::Deferred,
            Slip { durable: false, .. } => End::Failed,
            Slip { quarantined: true, .. } => End::Quarantined,
            Slip { left_out: true, .. } => End::LeftOut,
            _ => End::Landed,
        }
    }
}

/// A record on its way, as a row or to quarantine.
#[derive(Clone)]
pub(super) struct Ticket<'a> {
    pub(super) slip: usize,
    pub(super) raw: Raw<'a>,
    pub(super) origin: Origin,
    /// The route that took it, if one did.
    pub(super) route: Option<&'a Route>,
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
    /// What goes to quarantine, and why.
    pub(super) quarantine: Vec<(Ticket<'a>, Reject)>,
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
        let mut unrouted = BTreeSet::new();
        let mut sorted = Sorted {
            slips: Vec::with_capacity(deliveries.len()),
            loads: BTreeMap::new(),
            quarantine: Vec::new(),
            report: Report::default(),
        };
        for delivery in deliveries {
            let Delivery { receipt, group, source, content } = delivery;
            let of_source = routes
                .entry(source.clone())
                .or_insert_with(|| route::of_source(&self.app.config.routes, &source));
            sorted.slips.push(Slip {
                receipt,
                group,
                durable: true,
                rejected: false,
                quarantined: false,
                left_out: false,
                deferred: false,
            });
            match content {
                _ if of_source.is_empty() => {
                    sorted.wait();
                    unrouted.insert(source.as_str().to_owned());
                }
                Content::Deferred => {
                    sorted.wait();
                    sorted.last(|it| it.deferred = true);
                }
                Content::Parts(parts) if parts.is_empty() => {
                    grow(&mut sorted.report.records, 1);
                    grow(sorted.report.filtered.entry(String::new()).or_default(), 1);
                    sorted.last(|it| it.left_out = true);
                }
                Content::Parts(parts) => {
                    for part in parts {
                        self.send(part, of_source, &mut sorted);
                    }
                }
            }
        }
        let missing = unrouted.into_iter().map(|arn| InvocationError::NoRoute { arn });
        let mut missing: Vec<InvocationError> = missing.collect();
        // Several queues may share a DLQ, and those that have routes need not wait for one that has
        // none: its messages come again. A stream's records would come again all together.
        let all = missing.len() == routes.len();
        if (all || self.redelivery == Redelivery::FromFirstFailure)
            && let Some(error) = missing.pop()
        {
            return Err(error);
        }
        sorted.report.trouble.extend(missing.iter().map(ToString::to_string));
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
            let ticket = Ticket { slip, raw, origin, route };
            sorted.reject(self.redelivery, ticket, Reject::new(NO_ROUTE, detail));
            return;
        };
        if record.is_ok() {
            grow(sorted.report.taken.entry(route.name.clone()).or_default(), 1);
        }
        let fate = match record {
            Ok(record) => self.fate(route, &origin, record),
            Err(reject) => Fate::Rejected(reject),
        };
        let ticket = Ticket { slip, raw, origin, route: Some(route) };
        match fate {
            Fate::Row(table, row) => {
                let app = self.app;
                let policy = app.config.policy(&table);
                let empty = || Load { policy, rows: Vec::new(), tickets: Vec::new() };
                let load = sorted.loads.entry(table).or_insert_with(empty);
                load.rows.push(row);
                load.tickets.push(ticket);
            }
            Fate::Rejected(reject) => sorted.reject(self.redelivery, ticket, reject),
            Fate::Filtered => {
                grow(sorted.report.filtered.entry(route.name.clone()).or_default(), 1);
                sorted.last(|it| it.left_out = true);
            }
            Fate::Dropped => {
                grow(&mut sorted.report.dropped, 1);
                sorted.last(|it| it.left_out = true);
            }
        }
    }

    /// Where a record goes that a route has taken.
    fn fate(&mut self, route: &Route, origin: &Origin, record: Record) -> Fate {
        let (table, limit) = match &route.target {
            Target::Drop => return Fate::Dropped,
            Target::Table(table) => (table.clone(), None),
            Target::Tables(template, most) => match template.fill(&record) {
                Err(reject) => return Fate::Rejected(reject),
                Ok(table) => (table, Some((template, *most))),
            },
        };
        let policy = self.app.config.policy(&table);
        let row = match transform::row(route, policy, self.keys, origin, record) {
            Ok(Some(row)) => row,
            Ok(None) => return Fate::Filtered,
            Err(reject) => return Fate::Rejected(reject),
        };
        // What is no row makes no table.
        if let Some((template, most)) = limit
            && !self.known.contains(&table)
        {
            if self.known.iter().filter(|it| template.makes(it)).count() >= most {
                let detail = format!("{} has its {most} tables", template.as_str());
                return Fate::Rejected(Reject::new("too_many_tables", detail));
            }
            self.known.insert(table.clone());
        }
        Fate::Row(table, row)
    }
}

impl<'a> Sorted<'a> {
    /// Leaves the last delivery for later.
    fn wait(&mut self) {
        grow(&mut self.report.records, 1);
        self.last(|it| it.durable = false);
    }

    fn last(&mut self, note: impl FnMut(&mut Slip)) {
        self.slips.last_mut().into_iter().for_each(note);
    }

    /// Quarantines a record that is no row, or leaves it to its queue's own DLQ.
    pub(super) fn reject(&mut self, redelivery: Redelivery, ticket: Ticket<'a>, reject: Reject) {
        self.report.note(&reject, ticket.route.map(|it| it.name.as_str()));
        let Some(slip) = self.slips.get_mut(ticket.slip) else { return };
        // That no route takes it is a gap in the config, not a change of its format; and of what is
        // dropped nobody minds the format.
        slip.rejected |= ticket.route.is_some_and(|it| it.target != Target::Drop);
        // A stream has no DLQ for one record: reporting it would block its shard. A message
        // without id can't be reported by itself.
        let returnable = match redelivery {
            Redelivery::EachFailure | Redelivery::RestOfGroup => slip.receipt.is_some(),
            Redelivery::FromFirstFailure => false,
        };
        if returnable && ticket.route.is_some_and(|it| it.return_rejects) {
            slip.durable = false;
        } else {
            slip.quarantined = true;
            self.quarantine.push((ticket, reject));
        }
    }

    /// The records of these slips come again.
    pub(super) fn fail(&mut self, slips: impl IntoIterator<Item = usize>) {
        for at in slips {
            self.slips.get_mut(at).into_iter().for_each(|it| it.durable = false);
        }
    }
}
