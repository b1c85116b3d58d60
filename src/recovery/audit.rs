//! The audit: it counts records that have landed, are in quarantine or are lost, and compares them
//! with the records that a Kinesis stream still holds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arn::Arn;
use crate::deadline::Deadline;
use crate::handler::{self, App};
use crate::recovery::shard::{Shard, ShardError, StartPosition, StreamRecord, Streams};
use crate::source::{Event, StreamKind, event};
use crate::store::clock::Clock;
use crate::store::inspect::Origin;
use crate::store::{Lake, StoreError};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// The options of an audit.
#[derive(Debug, Default)]
pub struct AuditOptions {
    /// Kinesis streams to compare with.
    pub streams: Vec<Arn>,
    /// The first day of arrival, in days since 1970.
    pub since: Option<i32>,
    /// The time that a record may take to land before it counts as missing.
    pub grace: Duration,
}

/// The counts of one source, shard and day.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sums {
    /// Rows in tables.
    pub landed: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Rows of quarantine that have landed since.
    pub resolved: u64,
    /// Ranges of records that no source holds any more.
    pub lost: u64,
    /// The counts of the stream, if it was compared.
    pub stream: Option<StreamSums>,
}

/// The counts of the records that a stream holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StreamSums {
    /// Delivered records.
    pub held: u64,
    /// The rows of these that would land now.
    pub missing: u64,
    /// Of the records, those that arrived too recently to count as missing.
    pub recent: u64,
}

/// The result of an audit.
#[derive(Debug, Default)]
pub struct Audit {
    /// The counts by source, shard and day of arrival.
    pub sums: BTreeMap<Origin, Sums>,
    /// The reasons why streams could not be compared.
    pub troubles: Vec<String>,
}

/// Returns true if a stream of this kind can be compared. A DynamoDB stream keeps its records for
/// only a day.
pub fn is_comparable(stream: &Arn) -> bool {
    match StreamKind::of(stream) {
        Some(StreamKind::Kinesis) => true,
        Some(StreamKind::DynamoDb) | None => false,
    }
}

/// Counts the rows in the lakes of an app, and sends the records of the streams through its config.
/// The lakes should only pretend to be written to.
///
/// # Errors
/// If the lakes can't be read.
pub async fn audit(app: &App, options: &AuditOptions) -> Result<Audit, StoreError> {
    let mut audit = Audit::default();
    audit.count(app, options).await?;
    let streams = Streams::default();
    for stream in &options.streams {
        audit.compare(app, &streams, stream, options).await;
    }
    Ok(audit)
}

impl Audit {
    /// Counts the rows in the lakes.
    async fn count(&mut self, app: &App, options: &AuditOptions) -> Result<(), StoreError> {
        let lakes: Vec<&Lake> = std::iter::once(&app.lake).chain(&app.quarantine).collect();
        for lake in &lakes {
            for name in lake.tables().await? {
                // The lake only pretends to be written to: pending rows count as if they were swept.
                handler::sweep(app, lake, &name, &Deadline::none()).await?;
            }
        }
        for lake in lakes {
            for name in lake.tables().await? {
                // A table may be dropped between the two reads, and a table of another engine has
                // no such columns.
                let Some(origins) = lake.origins(&name, options.since).await? else { continue };
                for (origin, rows) in origins {
                    let sums = self.sums.entry(origin).or_default();
                    let sum = match () {
                        () if name == TableName::quarantine() => &mut sums.quarantined,
                        () if name == TableName::resolved() => &mut sums.resolved,
                        () if name == TableName::gaps() => &mut sums.lost,
                        () => &mut sums.landed,
                    };
                    *sum += rows;
                }
            }
        }
        Ok(())
    }

    /// Sends the records that a stream holds through the config.
    async fn compare(
        &mut self,
        app: &App,
        streams: &Streams,
        stream: &Arn,
        options: &AuditOptions,
    ) {
        let shards = match streams.shards(stream).await {
            Ok(shards) => shards,
            Err(error) => return self.add_unreadable(stream.as_str(), &error),
        };
        for name in &shards {
            let shard = Shard { streams, stream, kind: StreamKind::Kinesis, name };
            if let Err(error) = self.compare_shard(app, shard, options).await {
                self.add_unreadable(&format!("{name} of {stream}"), &error);
            }
        }
    }

    fn add_unreadable(&mut self, what: &str, error: &ShardError) {
        self.troubles.push(format!("can't read {what}: {error}"));
    }

    async fn compare_shard(
        &mut self,
        app: &App,
        shard: Shard<'_>,
        options: &AuditOptions,
    ) -> Result<(), ShardError> {
        let grace = i64::try_from(options.grace.as_micros()).unwrap_or(i64::MAX);
        let recent_from = Clock::system().millis().saturating_mul(1000).saturating_sub(grace);
        let mut iterator = shard.iterator(StartPosition::Oldest).await?;
        while let Some(next) = iterator {
            let page = shard.page(next).await?;
            iterator = page.next.filter(|_| !(page.newest && page.records.is_empty()));
            let mut days: BTreeMap<Option<i32>, Vec<StreamRecord>> = BTreeMap::new();
            for record in page.records {
                let day = record.arrived.map(Timestamp::day);
                if day.zip(options.since).is_some_and(|(day, since)| day < since) {
                    continue;
                }
                let sums = self.stream_sums(shard, day);
                sums.held += 1;
                if record.arrived.is_some_and(|it| it.micros() > recent_from) {
                    sums.recent += 1;
                    iterator = None;
                    continue;
                }
                days.entry(day).or_default().push(record);
            }
            for (day, records) in days {
                let missing = self.missing(app, &records).await;
                self.stream_sums(shard, day).missing += missing;
            }
        }
        Ok(())
    }

    fn stream_sums(&mut self, shard: Shard<'_>, day: Option<i32>) -> &mut StreamSums {
        let origin = (shard.stream.as_str().to_owned(), Some(shard.name.to_owned()), day);
        self.sums.entry(origin).or_default().stream.get_or_insert_default()
    }

    /// Returns how many rows of these records would land, in tables or in quarantine.
    async fn missing(&mut self, app: &App, records: &[StreamRecord]) -> u64 {
        let mut missing = 0;
        for batch in event::batches(records, |it| it.text.len()) {
            let event = Event::of(batch.into_iter().map(|it| it.text.as_bytes()).collect());
            let handled = match event {
                Ok(event) => handler::handle(app, &event, &Deadline::none()).await,
                Err(error) => Err(error.into()),
            };
            match handled {
                Ok(handled) => {
                    self.troubles.extend(handled.trouble());
                    for report in handled.passes.into_iter().map(|it| it.report) {
                        missing += report.tables.values().map(|(_, it)| it.landed).sum::<u64>();
                        self.troubles.extend(report.trouble);
                    }
                }
                Err(error) => self.troubles.push(error.to_string()),
            }
        }
        missing
    }
}
