//! The cost of a table as it grows: `tests/run growth`.
//!
//! A lake in memory counts the requests and the bytes of each commit, a minute apart by its clock.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program of the tests that prints a table"
)]

mod counted;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use lakeward::deadline::Deadline;
use lakeward::number::Number;
use lakeward::record::{Lineage, Row};
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::table::layout::Policy;
use lakeward::table_name::TableName;
use lakeward::time::Timestamp;
use lakeward::value::Value;

use counted::{CountedFiles, Counts};

/// 2026-11-23T10:00:00Z, in seconds.
const MORNING: u64 = 1_795_428_000;

fn main() {
    let commits: u64 = std::env::args().filter_map(|it| it.parse().ok()).next().unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(grow(commits));
}

/// Row `n`, which arrives in minute `n`.
fn row(n: u64) -> Row {
    let micros = i64::try_from((MORNING + 60 * n) * 1_000_000).unwrap();
    let source = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
    let lineage = Lineage {
        shard: Some("shardId-000000000000".to_owned()),
        key: Some("k".to_owned()),
        position: Some(format!("{n:060}")),
        arrived_at: Timestamp::from_micros(micros),
        ..Lineage::new(source, format!("shardId-000000000000:{n}"))
    };
    let number = |it: u64| Value::Number(Number::parse(&it.to_string()).unwrap());
    let fields = [("n", number(n)), ("page", Value::Text(format!("/page/{}", n % 17)))];
    Row { lineage, fields: fields.map(|(name, value)| (name.to_owned(), value)).into() }
}

async fn grow(commits: u64) {
    let files = Arc::new(CountedFiles::default());
    let minute = Arc::new(AtomicU64::new(0));
    let now = Arc::clone(&minute);
    let clock = Clock::from_fn(move || {
        UNIX_EPOCH + Duration::from_secs(MORNING + 60 * now.load(Ordering::Relaxed))
    });
    let lake =
        Lake::with(Arc::clone(&files) as _, "memory:/lake".to_owned(), "growth".to_owned(), clock);
    let table: TableName = "web.clicks".parse().unwrap();
    println!(
        "{:>9} {:>9} {:>9} {:>12} {:>12} {:>10}",
        "commits", "ms", "requests", "bytes read", "metadata", "peak MB"
    );
    let mut last = (Instant::now(), files.counts());
    for n in 1..=commits {
        minute.store(n, Ordering::Relaxed);
        lake.land(&table, &Policy::default(), vec![row(n)], &Deadline::none()).await.unwrap();
        if n % 1_000 == 0 {
            let (began, before) = last;
            let counts: Counts = files.counts() - before;
            println!(
                "{n:>9} {:>9.2} {:>9.1} {:>12} {:>12} {:>10}",
                began.elapsed().as_secs_f64(),
                counts.requests as f64 / 1_000.0,
                counts.bytes_read / 1_000,
                counts.metadata_written / 1_000,
                peak_mb(),
            );
            last = (Instant::now(), files.counts());
        }
    }
}

/// Returns the largest resident size of this process so far, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kb = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or(0) / 1_000
}
