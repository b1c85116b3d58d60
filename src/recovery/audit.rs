//! Is everything there? Counts what has landed, is in quarantine or lost, and compares it with what a
//! Kinesis stream still holds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::arn::Arn;
use crate::deadline::Deadline;
use crate::handler::{self, App};
use crate::recovery::shard::{Problem, Shard, Start, StreamRecord, Streams};
use crate::source::{Event, StreamKind, event};
use crate::store::clock::Clock;
use crate::store::inspect::Origin;
use crate::store::{Lake, StoreError};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// What is audited.
#[derive(Debug, Default)]
pub struct AuditOptions {
    /// Kinesis streams to compare with.
    pub streams: Vec<Arn>,
    /// The first day of arrival, in days since 1970.
    pub since: Option<i32>,
    /// How long ago a record must have arrived to be counted as missing.
    pub grace: Duration,
}

/// What is known of one source, shard and day.
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
    /// What the stream holds of it, if it was compared.
    pub stream: Option<StreamSums>,
}

/// Records that a stream holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StreamSums {
    /// Records, each with all that it holds.
    pub held: u64,
    /// Of these, what would land if it came now.
    pub missing: u64,
    /// Of these, records that arrived so lately that they need not be there.
    pub recent: u64,
}

/// What is known of every source, shard and day.
#[derive(Debug, Default)]
pub struct Audit {
    /// By source, shard and day of arrival.
    pub sums: BTreeMap<Origin, Sums>,
    /// What kept streams from being compared.
    pub troubles: Vec<String>,
}

/// Whether streams of this kind can be compared. The stream of a table keeps its records for a day
/// only.
pub fn is_comparable(stream: &Arn) -> bool {
    match StreamKind::of(stream) {
        Some(StreamKind::Kinesis) => true,
        Some(StreamKind::DynamoDb) | None => false,
    }
}

/// Counts what the lakes of an app hold, and sends the streams through its config. Its lakes should
/// only pretend to be written to.
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
    /// Counts what the lakes hold.
    async fn count(&mut self, app: &App, options: &AuditOptions) -> Result<(), StoreError> {
        let lakes: Vec<&Lake> = std::iter::once(&app.lake).chain(&app.quarantine).collect();
        for lake in lakes {
            for name in lake.tables().await? {
                // A table may go between the two reads; and another engine's has no such columns.
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

    /// Sends what a stream holds through the config.
    async fn compare(
        &mut self,
        app: &App,
        streams: &Streams,
        stream: &Arn,
        options: &AuditOptions,
    ) {
        let shards = match streams.shards(stream).await {
            Ok(shards) => shards,
            Err(problem) => return self.unreadable(stream.as_str(), &problem),
        };
        for name in &shards {
            let shard = Shard { streams, stream, kind: StreamKind::Kinesis, name };
            if let Err(problem) = self.compare_shard(app, shard, options).await {
                self.unreadable(&format!("{name} of {stream}"), &problem);
            }
        }
    }

    fn unreadable(&mut self, what: &str, problem: &Problem) {
        let why = match problem {
            Problem::Refused(why) => why,
            Problem::Gone => "there is no such stream or shard",
            Problem::Trimmed | Problem::Expired => "it changed while it was read; audit it again",
        };
        self.troubles.push(format!("can't read {what}: {why}"));
    }

    async fn compare_shard(
        &mut self,
        app: &App,
        shard: Shard<'_>,
        options: &AuditOptions,
    ) -> Result<(), Problem> {
        let grace = i64::try_from(options.grace.as_micros()).unwrap_or(i64::MAX);
        let settled = Clock::system().millis().saturating_mul(1000).saturating_sub(grace);
        let mut iterator = shard.iterator(Start::Oldest).await?;
        while let Some(at) = iterator {
            let page = shard.page(at).await?;
            iterator = page.next.filter(|_| !(page.newest && page.records.is_empty()));
            let mut days: BTreeMap<Option<i32>, Vec<StreamRecord>> = BTreeMap::new();
            for record in page.records {
                let day = record.arrived.map(Timestamp::day);
                if day.zip(options.since).is_some_and(|(day, since)| day < since) {
                    continue;
                }
                let sums = self.of_stream(shard, day);
                sums.held += 1;
                if record.arrived.is_some_and(|it| it.micros() > settled) {
                    sums.recent += 1;
                    iterator = None;
                    continue;
                }
                days.entry(day).or_default().push(record);
            }
            for (day, records) in days {
                let missing = self.missing(app, &records).await;
                self.of_stream(shard, day).missing += missing;
            }
        }
        Ok(())
    }

    fn of_stream(&mut self, shard: Shard<'_>, day: Option<i32>) -> &mut StreamSums {
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
