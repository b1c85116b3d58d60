//! `lakeward audit`: is everything there?

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arn::Arn;
use crate::cli::print;
use crate::cli::{DONE, FAILED, Failure, HAPPENED, Terminal, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{App, Handled};
use crate::recovery::{self, Found, Problem, Shard, Start, Streams};
use crate::store::Lake;
use crate::store::clock::Clock;
use crate::store::inspect::Origin;
use crate::table_name::TableName;
use crate::time;

/// What is asked for.
#[derive(Debug)]
pub(super) struct What {
    streams: Vec<Arn>,
    /// The first day of arrival, in days since 1970.
    since: Option<i32>,
    grace: Duration,
}

impl What {
    /// Reads the arguments.
    pub(super) fn new(
        streams: &[String],
        since: Option<&str>,
        grace: u32,
    ) -> Result<Self, Failure> {
        let stream = |text: &String| {
            let arn = text.parse::<Arn>().ok().filter(|it| it.service() == "kinesis");
            arn.ok_or_else(|| {
                Failure::Use(format!(
                    "--stream takes the ARN of a Kinesis stream, not `{text}`; streams of tables \
                     keep their records for a day only and are not compared"
                ))
            })
        };
        let day = |text: &str| {
            time::date(text).ok_or_else(|| {
                Failure::Use(format!("--since takes a day, YYYY-MM-DD, not `{text}`"))
            })
        };
        Ok(Self {
            streams: streams.iter().map(stream).collect::<Result<_, _>>()?,
            since: since.map(day).transpose()?,
            grace: Duration::from_secs(u64::from(grace).saturating_mul(60)),
        })
    }
}

/// What is known of one source, shard and day.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Sums {
    landed: u64,
    quarantined: u64,
    resolved: u64,
    lost: u64,
    /// Compared with the stream.
    stream: Option<Compared>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Compared {
    /// Records that the stream holds, each with all that it holds.
    held: u64,
    /// Of these, what would land if it came now.
    missing: u64,
    /// Of these, what has arrived so lately that it need not be there.
    recent: u64,
}

type Audit = BTreeMap<Origin, Sums>;

/// Counts, compares and prints.
pub(super) async fn run(
    mut config: Config,
    what: &What,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    config.quarantine.reject_limit = 1.0;
    let app = replay::pretend(config)?;
    let mut audit = Audit::new();
    count(&app, what, &mut audit).await?;
    let mut troubles = Vec::new();
    let streams = Streams::default();
    for stream in &what.streams {
        compare(&app, &streams, stream, what, &mut audit, &mut troubles).await;
    }
    if json {
        writeln!(terminal.out, "{}", as_json(&audit, &troubles))?;
    } else {
        as_table(&audit, terminal)?;
    }
    terminal.out.flush()?;
    for trouble in &troubles {
        writeln!(terminal.err, "! {trouble}")?;
    }
    let missing = audit.values().filter_map(|it| it.stream.as_ref()).any(|it| it.missing > 0);
    Ok(match (troubles.is_empty(), missing) {
        (false, _) => FAILED,
        (true, true) => HAPPENED,
        (true, false) => DONE,
    })
}

/// Counts what the lakes hold.
async fn count(app: &App, what: &What, audit: &mut Audit) -> Result<(), Failure> {
    let lakes: Vec<&Lake> = std::iter::once(&app.lake).chain(&app.quarantine).collect();
    for lake in lakes {
        for name in lake.tables().await? {
            // A table may go between the two looks; and another engine's has no such columns.
            let Some(origins) = lake.origins(&name, what.since).await? else { continue };
            for (origin, rows) in origins {
                let sums = audit.entry(origin).or_default();
                let sum = match () {
                    () if name == TableName::quarantine() => &mut sums.quarantined,
                    () if name == TableName::resolved() => &mut sums.resolved,
                    () if name == TableName::gaps() => &mut sums.lost,
                    () => &mut sums.landed,
                };
                grow(sum, rows);
            }
        }
    }
    Ok(())
}

/// Sends what a stream holds through the config.
async fn compare(
    app: &App,
    streams: &Streams,
    stream: &Arn,
    what: &What,
    audit: &mut Audit,
    troubles: &mut Vec<String>,
) {
    let mut told = |place: &str, problem: &Problem| {
        let why = match problem {
            Problem::Refused(why) => why,
            Problem::Gone => "there is no such stream or shard",
            Problem::Trimmed | Problem::Expired => "it changed while it was read; audit it again",
        };
        troubles.push(format!("can't read {place}: {why}"));
    };
    let shards = match streams.shards(stream).await {
        Ok(shards) => shards,
        Err(problem) => return told(stream.as_str(), &problem),
    };
    let mut failed = Vec::new();
    for name in &shards {
        let shard = Shard { streams, stream, name };
        if let Err(problem) = compare_shard(app, shard, what, audit, &mut failed).await {
            told(&format!("{name} of {stream}"), &problem);
        }
    }
    troubles.append(&mut failed);
}

async fn compare_shard(
    app: &App,
    shard: Shard<'_>,
    what: &What,
    audit: &mut Audit,
    failed: &mut Vec<String>,
) -> Result<(), Problem> {
    let grace = i64::try_from(what.grace.as_micros()).unwrap_or(i64::MAX);
    let settled = Clock::system().millis().saturating_mul(1000).saturating_sub(grace);
    let mut iterator = shard.iterator(Start::Oldest).await?;
    while let Some(at) = iterator {
        let page = shard.page(at).await?;
        iterator = page.next.filter(|_| !(page.newest && page.records.is_empty()));
        let mut days: BTreeMap<Option<i32>, Vec<Found>> = BTreeMap::new();
        for record in page.records {
            let day = record.arrived.map(time::Timestamp::day);
            if day.zip(what.since).is_some_and(|(day, since)| day < since) {
                continue;
            }
            let origin = (shard.stream.as_str().to_owned(), Some(shard.name.to_owned()), day);
            let compared = audit.entry(origin).or_default().stream.get_or_insert_default();
            grow(&mut compared.held, 1);
            if record.arrived.is_some_and(|it| it.micros() > settled) {
                grow(&mut compared.recent, 1);
                iterator = None;
                continue;
            }
            days.entry(day).or_default().push(record);
        }
        for (day, records) in days {
            let origin = (shard.stream.as_str().to_owned(), Some(shard.name.to_owned()), day);
            let missing = missing(app, &records, failed).await;
            let sums = audit.entry(origin).or_default();
            grow(&mut sums.stream.get_or_insert_default().missing, missing);
        }
    }
    Ok(())
}

/// What of these records would land, in tables or in quarantine.
async fn missing(app: &App, records: &[Found], failed: &mut Vec<String>) -> u64 {
    let mut missing = 0;
    for event in recovery::events(records) {
        let whole = recovery::whole(app, &event, &Deadline::none()).await;
        failed.extend(whole.trouble());
        for Handled { report, .. } in whole.handled {
            report.tables.values().for_each(|(_, it)| grow(&mut missing, it.landed));
            failed.extend(report.trouble);
        }
    }
    missing
}

fn as_table(audit: &Audit, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    if audit.is_empty() {
        writeln!(terminal.out, "nothing has landed, and nothing was compared")?;
        return Ok(());
    }
    let number = |it: u64| if it == 0 { String::new() } else { it.to_string() };
    let compared = audit.values().any(|it| it.stream.is_some());
    let row = |(origin, sums): (&Origin, &Sums)| {
        let (source, shard, day) = origin;
        let mut row = vec![
            source.clone(),
            day.map(time::date_text).unwrap_or_default(),
            shard.clone().unwrap_or_default(),
            sums.landed.to_string(),
            number(sums.quarantined),
            number(sums.resolved),
            number(sums.lost),
        ];
        if compared {
            let stream = sums.stream.clone();
            let cell = |of: fn(&Compared) -> u64| stream.as_ref().map(|it| of(it).to_string());
            let cells = [cell(|it| it.held), cell(|it| it.recent), cell(|it| it.missing)];
            row.extend(cells.map(Option::unwrap_or_default));
        }
        row
    };
    let rows: Vec<Vec<String>> = audit.iter().map(row).collect();
    let all = [
        "source",
        "day",
        "shard",
        "landed",
        "quarantined",
        "resolved",
        "lost",
        "in the stream",
        "of these recent",
        "missing",
    ];
    let header = if compared { &all[..] } else { all.get(..7).unwrap_or(&all) };
    print::table(terminal.out, header, &rows, &[3, 4, 5, 6, 7, 8, 9])?;
    Ok(())
}

fn as_json(audit: &Audit, troubles: &[String]) -> Value {
    let each = audit.iter().map(|((source, shard, day), sums)| {
        let stream = sums.stream.as_ref();
        json!({
            "source": source,
            "shard": shard,
            "day": day.map(time::date_text),
            "landed": sums.landed,
            "quarantined": sums.quarantined,
            "resolved": sums.resolved,
            "lost": sums.lost,
            "in_stream": stream.map(|it| it.held),
            "recent": stream.map(|it| it.recent),
            "missing": stream.map(|it| it.missing),
        })
    });
    json!({"audit": each.collect::<Vec<_>>(), "troubles": troubles})
}

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}
