//! The cost of a table as it grows, and of many writers to one table: `tests/run growth`.
//!
//! The lake is in a folder without syncs, and its clock goes on by a minute with each commit.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program of the tests that prints tables"
)]

mod counted;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

use lakeward::deadline::Deadline;
use lakeward::number::Number;
use lakeward::record::{Lineage, Row};
use lakeward::store::clock::Clock;
use lakeward::store::files::Removal as _;
use lakeward::store::{Lake, LandReport, Offer};
use lakeward::table::layout::Policy;
use lakeward::table_name::TableName;
use lakeward::time::Timestamp;
use lakeward::value::Value;

use counted::CountedFiles;

/// 2026-11-23T10:00:00Z, in seconds.
const MORNING: u64 = 1_795_428_000;
/// Minutes between two upkeeps.
const UPKEEP: u64 = 15;
/// The time of a request in the test of several writers.
const REQUEST: Duration = Duration::from_millis(20);
/// The time for which they write, and the rows of each of their commits.
const WRITE_FOR: Duration = Duration::from_secs(15);
const BATCH: u64 = 100;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's own.
    arguments.retain(|it| it != "--bench");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["commits", count, folder] => {
            runtime.block_on(grow(count.parse().unwrap(), Path::new(folder), true));
        }
        ["commits-alone", count, folder] => {
            runtime.block_on(grow(count.parse().unwrap(), Path::new(folder), false));
        }
        ["writers", folder] => runtime.block_on(write(Path::new(folder))),
        ["compaction", rows, folder] => {
            runtime.block_on(compact(rows.parse().unwrap(), Path::new(folder)));
        }
        ["ids", minute, folder] => {
            runtime.block_on(look(minute.parse().unwrap(), Path::new(folder)));
        }
        _ => println!(
            "growth commits|commits-alone|compaction COUNT FOLDER, ids MINUTE FOLDER, writers FOLDER"
        ),
    }
}

/// Row `n`, which arrives in some minute.
fn row(n: u64, minute: u64) -> Row {
    let micros = i64::try_from((MORNING + 60 * minute) * 1_000_000).unwrap();
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

fn table() -> TableName {
    "web.clicks".parse().unwrap()
}

fn lake(files: &Arc<CountedFiles>, folder: &Path) -> Lake {
    let now = Arc::clone(files);
    let clock =
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(now.now.load(Ordering::Relaxed)));
    let location = format!("file://{}", folder.display());
    Lake::with(Arc::clone(files) as _, location, "growth".to_owned(), clock)
        .removing(Arc::clone(files) as _)
}

/// Commits a row a minute, with upkeep on schedule or without, and prints what a commit costs.
async fn grow(commits: u64, folder: &Path, with_upkeep: bool) {
    let files = Arc::new(CountedFiles::default());
    let (lake, upkeep) = (lake(&files, folder), lake(&files, folder));
    println!(
        "| commits | ms a commit | requests | KB of metadata | all metadata, MB | files | peak, MB | upkeep, ms | its requests |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let (mut spent, mut kept_up, mut calls) = (Duration::ZERO, Duration::ZERO, 0_u32);
    let mut of_upkeep = 0_u64;
    let (mut before, mut since) = (files.counts(), 0_u64);
    for n in 1..=commits {
        files.now.store(MORNING + 60 * n, Ordering::Relaxed);
        let began = Instant::now();
        lake.land(&table(), &Policy::default(), vec![row(n, n)], &Deadline::none()).await.unwrap();
        spent += began.elapsed();
        since += 1;
        if with_upkeep && n % UPKEEP == 0 {
            // What upkeep requests does not count.
            let spent_before = files.counts();
            let began = Instant::now();
            let report = upkeep.upkeep(&[table()], &Deadline::none(), |_, _| {}).await;
            assert!(report.iter().all(|it| it.trouble.is_none()), "{report:?}");
            kept_up += began.elapsed();
            calls += 1;
            of_upkeep += files.counts().requests - spent_before.requests;
            before.requests += files.counts().requests - spent_before.requests;
            before.metadata += files.counts().metadata - spent_before.metadata;
        }
        let is_milestone = [10, 100, 1_000, 10_000].contains(&n) || n % 20_000 == 0 || n == commits;
        if is_milestone {
            let counts = files.counts() - before;
            let metadata = format!("file://{}/web/clicks/metadata", folder.display());
            let metadata = files.list_all(&metadata).await.unwrap();
            let metadata: u64 = metadata.iter().map(|it| it.bytes).sum();
            let live = lake.describe(&table()).await.unwrap().unwrap().files;
            println!(
                "| {n} | {:.2} | {:.1} | {:.1} | {:.1} | {live} | {} | {:.1} | {} |",
                spent.as_secs_f64() * 1_000.0 / since as f64,
                counts.requests as f64 / since as f64,
                counts.metadata as f64 / 1_000.0 / since as f64,
                metadata as f64 / 1e6,
                peak_mb(),
                kept_up.as_secs_f64() * 1_000.0 / f64::from(calls.max(1)),
                of_upkeep / u64::from(calls.max(1)),
            );
            (spent, kept_up, calls, since, before) =
                (Duration::ZERO, Duration::ZERO, 0, 0, files.counts());
            of_upkeep = 0;
        }
    }
}

/// Lets several writers commit to one table at once, and prints how many rows it takes.
async fn write(folder: &Path) {
    println!(
        "| writers | rows a second | left to others | commits a second | swaps a commit | last \
         sweep, ms |\n|---:|---:|---:|---:|---:|---:|"
    );
    for writers in [1_u64, 2, 4, 8, 16, 32] {
        let files = Arc::new(CountedFiles::taking(REQUEST));
        let folder = folder.join(writers.to_string());
        let began = Instant::now();
        let now = move || Duration::from_secs(MORNING) + began.elapsed();
        let open = || {
            let clock = Clock::from_fn(move || UNIX_EPOCH + now());
            let location = format!("file://{}", folder.display());
            Lake::with(Arc::clone(&files) as _, location, "growth".to_owned(), clock)
                .removing(Arc::clone(&files) as _)
        };
        let (first, name, policy, none) = (open(), table(), Policy::default(), Deadline::none());
        files.now.store(now().as_secs(), Ordering::Relaxed);
        first.land(&name, &policy, vec![row(0, 0)], &none).await.unwrap();
        let began = Instant::now();
        let each = (0..writers).map(|writer| {
            let (lake, name, policy) = (open(), &name, &policy);
            async move {
                let (mut rows, mut sum) = (0, LandReport::default());
                while began.elapsed() < WRITE_FOR {
                    let from = (writer << 32) + 1 + rows;
                    let mut batch: Vec<Row> = (from..from + BATCH).map(|n| row(n, 0)).collect();
                    let micros = i64::try_from(now().as_micros()).unwrap();
                    for row in &mut batch {
                        row.lineage.arrived_at = Timestamp::from_micros(micros);
                    }
                    let offer = Offer { rows: batch, ..Offer::default() };
                    sum.add(lake.offer(name, policy, offer, &none).await.unwrap());
                    rows += BATCH;
                }
                (rows, sum)
            }
        });
        let clock = async {
            loop {
                files.now.store(now().as_secs(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let all = tokio::select! {
            all = futures_util::future::join_all(each) => all,
            () = clock => unreachable!("it never ends"),
        };
        let sweep = Instant::now();
        let (mut last, mut swept) = (first.begin_sweep(&name).await.unwrap(), 0);
        while let Some(taken) = last.next(&policy, &none).await.unwrap() {
            swept += taken.landed;
        }
        let (sweep, seconds) = (sweep.elapsed(), began.elapsed().as_secs_f64());
        let rows: u64 = all.iter().map(|(rows, _)| rows).sum();
        let mut sum = LandReport::default();
        all.into_iter().for_each(|(_, it)| sum.add(it));
        let there = first.describe(&name).await.unwrap().unwrap().rows;
        assert_eq!(there, rows + 1, "none lost, none doubled");
        assert_eq!(sum.landed + sum.taken.landed + swept, rows);
        let commits = (sum.attempts - sum.conflicts) as f64;
        println!(
            "| {writers} | {:.0} | {:.0} % | {:.1} | {:.2} | {:.0} |",
            rows as f64 / seconds,
            sum.pending.len() as f64 * 100.0 / rows as f64,
            commits / seconds,
            sum.attempts as f64 / commits,
            sweep.as_secs_f64() * 1_000.0,
        );
    }
}

/// Compacts rows that have landed in files of 5,000, and prints what that takes.
async fn compact(rows: u64, folder: &Path) {
    const FILE_ROWS: u64 = 5_000;
    let files = Arc::new(CountedFiles::default());
    files.now.store(MORNING, Ordering::Relaxed);
    let day = |n: u64| n / (rows / 600).max(1);
    for from in (0..rows).step_by(usize::try_from(FILE_ROWS).unwrap()) {
        let batch = (from..from + FILE_ROWS).map(|n| row(n, day(n))).collect();
        let lake = lake(&files, folder);
        lake.land(&table(), &Policy::default(), batch, &Deadline::none()).await.unwrap();
    }
    files.now.store(MORNING + 3 * 24 * 3_600, Ordering::Relaxed);
    // The peak from now on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let began = Instant::now();
    let reports = lake(&files, folder).upkeep(&[table()], &Deadline::none(), |_, _| {}).await;
    let seconds = began.elapsed().as_secs_f64();
    for report in reports {
        println!(
            "{} files of {:.1} MB became {} of {:.1} MB in {:.1} s a million rows; peak {} MB",
            report.files,
            report.bytes_read as f64 / 1e6,
            report.units,
            report.bytes_written as f64 / 1e6,
            seconds * 1e6 / report.rows as f64,
            peak_mb(),
        );
    }
}

/// Lands rows in a table that `commits` has made, whose last row arrived in some minute, on a store of 20 ms
/// a request: of a route without `id`, then of one with it, by a process that has seen nothing and then by
/// the same one.
async fn look(minute: u64, folder: &Path) {
    let files = Arc::new(CountedFiles::taking(REQUEST));
    files.now.store(MORNING + 60 * minute, Ordering::Relaxed);
    let lake = lake(&files, folder);
    println!("| commit | ms | requests | files read |\n|---|---:|---:|---:|");
    let days = 15 * 24 * 3_600 * 1_000_000;
    let kinds = [
        ("without id, first", None),
        ("without id", None),
        ("with id, first", Some(days)),
        ("with id", Some(days)),
        ("with id", Some(days)),
    ];
    for (nth, (name, window)) in (1..).zip(kinds) {
        let mut row = row((1 << 40) + nth, minute + nth);
        row.lineage.id_window = window;
        row.lineage.digest = window.map(|_| "0".repeat(64));
        let (policy, deadline) = (Policy::default(), Deadline::none());
        let (before, began) = (files.counts(), Instant::now());
        let landed = lake.land(&table(), &policy, vec![row], &deadline).await.unwrap();
        println!(
            "| {name} | {:.0} | {} | {} |",
            began.elapsed().as_secs_f64() * 1_000.0,
            (files.counts() - before).requests,
            landed.files_read
        );
    }
}

/// Returns the largest resident size of this process so far, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kb = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or(0) / 1_000
}
