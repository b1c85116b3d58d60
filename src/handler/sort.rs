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
use crate::source::Redelivery;
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
                    for part in parts {
                        self.sort_part(part, of_source, &mut sorted);
                    }
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
    fn sort_part(&mut self, part: Part<'a>, routes: &[&'a Route], sorted: &mut SortedRecords<'a>) {
        let Part { raw, origin, record } = part;
        let index = sorted.records.len() - 1;
        sorted.report.records += 1;
        let route = match &record {
            Ok(record) => route::choose(routes, record),
            // The route that would have taken it can't be known: the source's first one decides.
            Err(_) => routes.first().copied(),
        };
        let Some(route) = route else {
            let detail = "the source has routes, and the `when` of none matches this record";
            let origin = RowOrigin { record: index, raw, origin, route };
            sorted.reject(self.redelivery, origin, Reject::new(NO_ROUTE, detail));
            return;
        };
        if record.is_ok() {
            *sorted.report.taken.entry(route.name.clone()).or_default() += 1;
        }
        let destination = match record {
            Ok(record) => self.destination(route, &origin, record),
            Err(reject) => Destination::Rejected(reject),
        };
        let origin = RowOrigin { record: index, raw, origin, route: Some(route) };
        match destination {
            Destination::Row(table, row) => sorted.add_row(self.app, table, row, origin),
            Destination::Crowded(table, row, reject) => {
                sorted.crowded.push(CrowdedRow { table, row, origin, reject });
            }
            Destination::Rejected(reject) => sorted.reject(self.redelivery, origin, reject),
            Destination::Filtered => {
                *sorted.report.filtered.entry(route.name.clone()).or_default() += 1;
                sorted.worsen_last(Outcome::LeftOut);
            }
            Destination::Dropped => {
                sorted.report.dropped += 1;
                sorted.worsen_last(Outcome::LeftOut);
            }
        }
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

    /// Quarantines a part that can't become a row, or leaves it to its queue's own DLQ.
    pub(super) fn reject(&mut self, redelivery: Redelivery, from: RowOrigin<'a>, reject: Reject) {
        self.report.note(&reject, from.route.map(|it| it.name.as_str()));
        let Some(record) = self.records.get_mut(from.record) else { return };
        // A record that no route takes is a gap in the config, not a change of format, and the format
        // of dropped records does not matter.
        record.rejected |= from.route.is_some_and(|it| it.target != Target::Drop);
        // A stream has no DLQ for one record: reporting it would block its shard. A message
        // without an id can't be reported.
        let returnable = match redelivery {
            Redelivery::EachFailure | Redelivery::RestOfGroup => record.receipt.is_some(),
            Redelivery::FromFirstFailure => false,
        };
        if returnable && from.route.is_some_and(|it| it.return_rejects) {
            record.worsen(Outcome::Failed);
        } else {
            record.worsen(Outcome::Quarantined);
            self.quarantine.push((from, reject));
        }
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
