//! Sorts records by their destination: a row of a table, quarantine, back to the queue, or left out on
//! purpose.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::arn::Arn;
use crate::handler::app::App;
use crate::handler::error::InvocationError;
use crate::handler::report::Report;
use crate::outcome::{Outcome, RecordState};
use crate::record::{Content, Delivery, Origin, Part, Raw, Record, Reject, Row};
use crate::route::{self, Route, Step, Target};
use crate::secret::{Keys, Reference};
use crate::source::{Redelivery, Unwrap};
use crate::table::layout::Policy;
use crate::table_name::TableName;
use crate::transform;

/// The reason of a record that no route takes.
pub(super) const NO_ROUTE: &str = "no_route";

/// Returns the keys that the routes of these records hash with.
pub(super) fn keys_of(app: &App, deliveries: &[Delivery<'_>]) -> BTreeSet<Reference> {
    let sources: HashSet<&Arn> = deliveries.iter().map(|it| &it.source).collect();
    let routes = sources.into_iter().flat_map(|it| route::of_source(&app.config.routes, it));
    let keys = routes.flat_map(|it| &it.steps).filter_map(|step| match step {
        Step::Hash { key, .. } => Some(key.clone()),
        _ => None,
    });
    keys.collect()
}

/// The origin of a row: the part of a delivered record that it is made of.
#[derive(Clone)]
pub(super) struct RowOrigin<'a> {
    /// Index of the delivered record in the pass.
    pub(super) record: usize,
    pub(super) raw: Raw<'a>,
    pub(super) origin: Origin,
    /// The route that took it, if one did.
    pub(super) route: Option<&'a Route>,
}

/// The rows for one table, and the origin of each.
pub(super) struct TableBatch<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rows: Vec<Row>,
    pub(super) origins: Vec<RowOrigin<'a>>,
}

impl TableBatch<'_> {
    /// Removes the rows of these records.
    pub(super) fn leave_out(&mut self, records: &BTreeSet<usize>) {
        let kept = self.origins.iter().map(|it| !records.contains(&it.record));
        let kept: Vec<bool> = kept.collect();
        let mut is_kept = kept.iter();
        self.rows.retain(|_| is_kept.next().is_none_or(|it| *it));
        let mut is_kept = kept.iter();
        self.origins.retain(|_| is_kept.next().is_none_or(|it| *it));
    }
}

/// A row of a table beyond `max_tables`, unless the table exists by now.
pub(super) struct CrowdedRow<'a> {
    pub(super) table: TableName,
    pub(super) row: Row,
    pub(super) origin: RowOrigin<'a>,
    pub(super) reject: Reject,
}

/// The records of a pass, sorted by their destination.
pub(super) struct SortedRecords<'a> {
    pub(super) records: Vec<RecordState>,
    pub(super) batches: BTreeMap<TableName, TableBatch<'a>>,
    /// The parts that go to quarantine, and why.
    pub(super) quarantine: Vec<(RowOrigin<'a>, Reject)>,
    /// The rows of tables that a placeholder may not add.
    pub(super) crowded: Vec<CrowdedRow<'a>>,
    pub(super) report: Report,
}

/// The destination of a part of a record.
enum Destination {
    Row(TableName, Row),
    Crowded(TableName, Row, Reject),
    Rejected(Reject),
    Filtered,
    Dropped,
}

/// A part of a record and its destination.
type SortedPart<'a> = (RowOrigin<'a>, Destination);

/// Sorts records by their destination.
pub(super) struct Sorter<'a> {
    pub(super) app: &'a App,
    pub(super) redelivery: Redelivery,
    pub(super) keys: &'a Keys,
    /// Tables that exist or are about to.
    pub(super) known: BTreeSet<TableName>,
}

impl<'a> Sorter<'a> {
    /// Sorts all records.
    pub(super) fn sort(
        mut self,
        deliveries: Vec<Delivery<'a>>,
    ) -> Result<SortedRecords<'a>, InvocationError> {
        let mut routes: HashMap<Arn, Vec<&'a Route>> = HashMap::new();
        let mut unrouted = BTreeSet::new();
        let mut sorted = SortedRecords {
            records: Vec::with_capacity(deliveries.len()),
            batches: BTreeMap::new(),
            quarantine: Vec::new(),
            crowded: Vec::new(),
            report: Report::default(),
        };
        for delivery in deliveries {
            let Delivery { receipt, group, source, content } = delivery;
            let of_source = routes
                .entry(source.clone())
                .or_insert_with(|| route::of_source(&self.app.config.routes, &source));
            sorted.records.push(RecordState::new(receipt, group));
            match content {
                _ if of_source.is_empty() => {
                    sorted.report.records += 1;
                    sorted.worsen_last(Outcome::Failed);
                    unrouted.insert(source.as_str().to_owned());
                }
                Content::Deferred => sorted.worsen_last(Outcome::Deferred),
                Content::Parts(parts) if parts.is_empty() => {
                    sorted.report.records += 1;
                    *sorted.report.filtered.entry(String::new()).or_default() += 1;
                    sorted.worsen_last(Outcome::LeftOut);
                }
                Content::Parts(parts) => {
                    let parts: Vec<SortedPart<'_>> = parts
                        .into_iter()
                        .map(|it| self.sort_part(it, of_source, &mut sorted))
                        .collect();
                    sorted.add(self.app, self.redelivery, parts);
                }
            }
        }
        let missing = unrouted.into_iter().map(|arn| InvocationError::NoRoute { arn });
        let mut missing: Vec<InvocationError> = missing.collect();
        // Several queues may share a DLQ: only the messages of a queue without a route are
        // redelivered. A stream redelivers all records.
        let all = missing.len() == routes.len();
        if (all || self.redelivery == Redelivery::FromFirstFailure)
            && let Some(error) = missing.pop()
        {
            return Err(error);
        }
        sorted.report.trouble.extend(missing.iter().map(ToString::to_string));
        Ok(sorted)
    }

    /// Sorts one part of the last record.
    fn sort_part(
        &mut self,
        part: Part<'a>,
        routes: &[&'a Route],
        sorted: &mut SortedRecords<'a>,
    ) -> SortedPart<'a> {
        let Part { raw, origin, record } = part;
        let index = sorted.records.len() - 1;
        sorted.report.records += 1;
        let route = match &record {
            Ok(record) => route::choose(routes, record),
            // The route that would have taken it can't be known: the source's first one decides.
            Err(_) => routes.first().copied(),
        };
        let destination = match (route, record) {
            (None, _) => Destination::Rejected(Reject::new(
                NO_ROUTE,
                "no route of its source has a `when` that matches this record; add a route, or one \
                 with drop = true",
            )),
            (Some(route), Ok(record)) => {
                *sorted.report.taken.entry(route.name.clone()).or_default() += 1;
                let unwraps =
                    || routes.iter().any(|it| it.unwrap.is_some_and(|it| it != Unwrap::None));
                match transform::closed_envelope(route, &record) {
                    Some(reject) if unwraps() => Destination::Rejected(reject),
                    _ => self.destination(route, &origin, record),
                }
            }
            (Some(_), Err(reject)) => Destination::Rejected(reject),
        };
        (RowOrigin { record: index, raw, origin, route }, destination)
    }

    /// Returns the destination of a record that a route has taken.
    fn destination(&mut self, route: &Route, origin: &Origin, record: Record) -> Destination {
        let (table, limit) = match &route.target {
            Target::Drop => return Destination::Dropped,
            Target::Table(table) => (table.clone(), None),
            Target::Tables(template, limit) => match template.fill(&record) {
                Err(reject) => return Destination::Rejected(reject),
                Ok(table) => (table, Some((template, *limit))),
            },
        };
        let policy = self.app.config.policy(&table);
        let row = match transform::row(route, policy, self.keys, origin, record) {
            Ok(Some(row)) => row,
            Ok(None) => return Destination::Filtered,
            Err(reject) => return Destination::Rejected(reject),
        };
        // Only a row makes a table.
        if let Some((template, limit)) = limit
            && !self.known.contains(&table)
        {
            if self.known.iter().filter(|it| template.makes(it)).count() >= limit {
                let detail = format!("{} already has its {limit} tables", template.as_str());
                let reject = Reject::new("too_many_tables", detail);
                return Destination::Crowded(table, row, reject);
            }
            self.known.insert(table.clone());
        }
        Destination::Row(table, row)
    }
}

impl<'a> SortedRecords<'a> {
    fn worsen_last(&mut self, outcome: Outcome) {
        if let Some(record) = self.records.last_mut() {
            record.worsen(outcome);
        }
    }

    /// Adds the parts of the last record. If one of them is a reject that is left to the queue's own DLQ,
    /// so is the message, and none of its parts lands: SQS gives a message that is moved back a new id,
    /// under which the other parts would land twice.
    fn add(&mut self, app: &'a App, redelivery: Redelivery, parts: Vec<SortedPart<'a>>) {
        let is_returned = parts.iter().any(|(from, destination)| {
            matches!(destination, Destination::Rejected(_)) && self.is_returnable(redelivery, from)
        });
        for (origin, destination) in parts {
            match destination {
                Destination::Rejected(reject) if is_returned => self.hand_back(&origin, &reject),
                Destination::Row(..) | Destination::Crowded(..) if is_returned => {}
                Destination::Row(table, row) => self.add_row(app, table, row, origin),
                Destination::Crowded(table, row, reject) => {
                    self.crowded.push(CrowdedRow { table, row, origin, reject });
                }
                Destination::Rejected(reject) => self.reject(redelivery, origin, reject),
                Destination::Filtered => {
                    let route = origin.route.map(|it| it.name.clone()).unwrap_or_default();
                    *self.report.filtered.entry(route).or_default() += 1;
                    self.worsen_last(Outcome::LeftOut);
                }
                Destination::Dropped => {
                    self.report.dropped += 1;
                    self.worsen_last(Outcome::LeftOut);
                }
            }
        }
    }

    /// Returns true if the route leaves rejects to the queue's own DLQ, and can. A stream has no DLQ for
    /// one record: reporting it would block its shard. A message without an id can't be reported.
    fn is_returnable(&self, redelivery: Redelivery, from: &RowOrigin<'_>) -> bool {
        let has_receipt = self.records.get(from.record).is_some_and(|it| it.receipt.is_some());
        let reports_each = match redelivery {
            Redelivery::EachFailure | Redelivery::RestOfGroup => true,
            Redelivery::FromFirstFailure => false,
        };
        reports_each && has_receipt && from.route.is_some_and(|it| it.return_rejects)
    }

    /// Leaves a rejected part, and with it its message, to its queue's own DLQ.
    fn hand_back(&mut self, from: &RowOrigin<'a>, reject: &Reject) {
        self.note(from, reject);
        if let Some(record) = self.records.get_mut(from.record) {
            record.worsen(Outcome::Failed);
        }
    }

    /// Counts a reject. A record that no route takes is a gap in the config, not a change of format, and
    /// the format of dropped records does not matter.
    fn note(&mut self, from: &RowOrigin<'a>, reject: &Reject) {
        self.report.note(reject, from.route.map(|it| it.name.as_str()));
        if let Some(record) = self.records.get_mut(from.record) {
            record.rejected |= from.route.is_some_and(|it| it.target != Target::Drop);
        }
    }

    /// Adds a row to the batch of its table.
    pub(super) fn add_row(
        &mut self,
        app: &'a App,
        table: TableName,
        row: Row,
        origin: RowOrigin<'a>,
    ) {
        let policy = app.config.policy(&table);
        let empty = || TableBatch { policy, rows: Vec::new(), origins: Vec::new() };
        let batch = self.batches.entry(table).or_insert_with(empty);
        batch.rows.push(row);
        batch.origins.push(origin);
    }

    /// Quarantines a part that can't become a row, or leaves its message to its queue's own DLQ. Of
    /// several parts, others may have landed: then it is always quarantined.
    pub(super) fn reject(&mut self, redelivery: Redelivery, from: RowOrigin<'a>, reject: Reject) {
        if self.is_returnable(redelivery, &from) && from.raw.piece.is_none() {
            self.hand_back(&from, &reject);
            return;
        }
        self.note(&from, &reject);
        if let Some(record) = self.records.get_mut(from.record) {
            record.worsen(Outcome::Quarantined);
        }
        self.quarantine.push((from, reject));
    }

    /// Marks these records as not durable.
    pub(super) fn fail(&mut self, records: impl IntoIterator<Item = usize>) {
        for index in records {
            if let Some(record) = self.records.get_mut(index) {
                record.worsen(Outcome::Failed);
            }
        }
    }
}
