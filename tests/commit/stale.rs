//! Stale inputs: deliveries that come a year late, wrong clocks, heads that were replaced long ago.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use iceberg::spec::TableMetadata;
use lakeward::record::Row;
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::time::Timestamp;

use super::{AT, TABLE_AT, assert_hint_is_head, counts, newest, run};
use crate::support::lake::{MORNING, fields, land, number, read, row};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A wall clock that a test sets.
#[derive(Clone)]
struct Wall(Arc<Mutex<SystemTime>>);

impl Wall {
    fn new() -> Self {
        let morning = Duration::from_micros(u64::try_from(MORNING).unwrap());
        Self(Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + morning)))
    }

    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }

    fn go_back(&self, seconds: u64) {
        *self.0.lock().unwrap() -= Duration::from_secs(seconds);
    }

    /// A clock that is ahead of the wall by so many seconds.
    fn clock(&self, ahead: i64) -> Clock {
        let wall = self.clone();
        Clock::from_fn(move || {
            let now = *wall.0.lock().unwrap();
            let seconds = Duration::from_secs(ahead.unsigned_abs());
            if ahead < 0 { now - seconds } else { now + seconds }
        })
    }

    /// A process that has seen nothing yet.
    fn lake(&self, files: &Arc<Memory>) -> Lake {
        self.lake_on(Arc::clone(files) as Arc<dyn Files>)
    }

    fn lake_on(&self, files: Arc<dyn Files>) -> Lake {
        Lake::with(files, AT.to_owned(), "test".to_owned(), self.clock(0))
    }
}

/// Row `n`, which arrived so many seconds after the morning.
fn arrived(n: u32, seconds: u64) -> Row {
    let mut row = row(n, fields([("n", number("1"))]));
    let micros = MORNING + i64::try_from(seconds).unwrap() * 1_000_000;
    row.lineage.arrived_at = Timestamp::from_micros(micros);
    row
}

async fn metadata(memory: &Arc<Memory>) -> TableMetadata {
    newest(&(Arc::clone(memory) as Arc<dyn Files>), TABLE_AT).await
}

/// Commits of others, one row each and some seconds apart, in a process of their own: also from
/// within a script.
fn others(memory: &Arc<Memory>, wall: &Wall, numbers: std::ops::Range<u32>, apart: u64) {
    let (memory, wall) = (Arc::clone(memory), wall.clone());
    let commits = std::thread::spawn(move || {
        run(async {
            for n in numbers {
                wall.advance(apart);
                let landed = land(&wall.lake(&memory), vec![arrived(n, 0)]).await.unwrap();
                assert_eq!(counts(&landed), (1, 0));
            }
        });
    });
    commits.join().unwrap();
}

#[test]
fn a_batch_that_comes_again_after_a_year_and_many_commits_adds_no_row() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        let warm = wall.lake(&memory);
        let batch: Vec<Row> = (0..10).map(|n| arrived(n, 0)).collect();
        let landed = land(&warm, batch.clone()).await.unwrap();
        assert_eq!(counts(&landed), (10, 0));
        let snapshot = landed.commit.unwrap().snapshot;
        // A record every two hours: five days.
        for n in 1..=60 {
            wall.advance(2 * HOUR);
            let later = vec![arrived(1_000 + n, u64::from(n) * 2 * HOUR)];
            assert_eq!(counts(&land(&warm, later).await.unwrap()), (1, 0));
        }
        let now = metadata(&memory).await;
        assert!(now.snapshot_by_id(snapshot).is_none(), "the commit itself is forgotten");
        // As long as SQS keeps a message, and as long as Kinesis keeps a record.
        for days in [14, 365] {
            wall.advance(days * DAY);
            for lake in [&warm, &wall.lake(&memory)] {
                let again = land(lake, batch.clone()).await.unwrap();
                assert_eq!((counts(&again), again.files_read), ((0, 10), 1), "{days} days");
            }
        }
        assert_eq!(read(&wall.lake(&memory)).await.len(), 70);
    });
}

/// Kinesis never gives a number twice; stores that stand in for it do.
#[test]
fn records_of_a_stream_that_is_made_again_land_though_it_counts_from_the_start() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        let lake = wall.lake(&memory);
        let (before, after): (Vec<Row>, Vec<Row>) =
            (0..3).map(|n| (arrived(n, 0), arrived(n, 3 * DAY))).unzip();
        assert_eq!(counts(&land(&lake, before.clone()).await.unwrap()), (3, 0));
        assert_eq!(counts(&land(&lake, after.clone()).await.unwrap()), (3, 0));
        for again in [before, after] {
            assert_eq!(counts(&land(&lake, again).await.unwrap()), (0, 3));
        }
        let found = lake.describe(&crate::support::lake::table()).await.unwrap().unwrap();
        assert_eq!(found.rows, 6);
    });
}

#[test]
fn clocks_that_are_days_apart_double_nothing_and_move_no_row() {
    let day = i64::try_from(DAY).unwrap();
    for (first, second) in [(-day, day), (day, -day), (0, -day), (0, 400 * day)] {
        run(async {
            let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
            let lake = |ahead: i64| {
                let files = Arc::clone(&memory) as Arc<dyn Files>;
                Lake::with(files, AT.to_owned(), "test".to_owned(), wall.clock(ahead))
            };
            let batch = |numbers: std::ops::Range<u32>| -> Vec<Row> {
                numbers.map(|n| arrived(n, u64::from(n))).collect()
            };
            for (ahead, numbers, expected) in [
                (first, 0..6, (6, 0)),
                (second, 3..9, (3, 3)),
                (first, 0..10, (1, 9)),
                (second, 0..10, (0, 10)),
            ] {
                let landed = land(&lake(ahead), batch(numbers)).await.unwrap();
                assert_eq!(counts(&landed), expected, "{first} and {second} seconds ahead");
            }
            let found = lake(0).describe(&crate::support::lake::table()).await.unwrap().unwrap();
            assert_eq!(found.last_arrival.unwrap().micros(), MORNING + 9_000_000);
        });
    }
}

#[test]
fn a_clock_that_jumps_in_mid_commit_costs_another_look() {
    for back in [true, false] {
        run(async {
            let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
            let (jumping, jumps) = (wall.clone(), Arc::new(AtomicU32::new(0)));
            let counted = Arc::clone(&jumps);
            let script = move |step, location: &str| {
                let list = step == Step::Write && location.contains("/snap-");
                if list && counted.fetch_add(1, Ordering::Relaxed) == 0 {
                    if back { jumping.go_back(DAY) } else { jumping.advance(DAY) }
                }
                Fault::None
            };
            land(&wall.lake(&memory), vec![arrived(0, 0)]).await.unwrap();
            let inner = Arc::clone(&memory) as Arc<dyn Files>;
            let lake = wall.lake_on(Arc::new(ScriptedFiles::new(inner, script)));
            let batch = vec![arrived(0, 0), arrived(1, 0)];
            assert_eq!(counts(&land(&lake, batch).await.unwrap()), (1, 1), "back: {back}");
            assert_eq!(jumps.load(Ordering::Relaxed), 2, "the list was written again");
            assert_eq!(read(&wall.lake(&memory)).await.len(), 2);
        });
    }
}

// Hole 1: a version number that is free again.

#[test]
fn a_process_that_slept_while_versions_were_removed_takes_no_number_that_is_free_again() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        land(&wall.lake(&memory), vec![arrived(0, 0)]).await.unwrap();
        let (slept, asleep) = (Arc::new(AtomicU32::new(0)), Arc::clone(&memory));
        let (sleeping, passing) = (Arc::clone(&slept), wall.clone());
        // The sleeper is about to swap v3 for v2. Two days later v3 is free again.
        let script = move |step, location: &str| {
            let list = step == Step::Write && location.contains("/snap-");
            if list && sleeping.fetch_add(1, Ordering::Relaxed) == 0 {
                others(&asleep, &passing, 100..140, 1);
                passing.advance(2 * DAY);
                for version in 2..=30 {
                    asleep.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
                }
            }
            Fault::None
        };
        let inner = Arc::clone(&memory) as Arc<dyn Files>;
        let sleeper = wall.lake_on(Arc::new(ScriptedFiles::new(inner, script)));
        let batch = vec![arrived(1, 0), arrived(120, 0)];
        assert_eq!(counts(&land(&sleeper, batch).await.unwrap()), (1, 1));
        assert_eq!(slept.load(Ordering::Relaxed), 2);
        for version in 2..=30 {
            let free = memory.get(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
            assert!(free.is_none(), "v{version} was taken");
        }
        assert_eq!(read(&wall.lake(&memory)).await.len(), 42);
        assert_hint_is_head(&memory);
    });
}

#[test]
fn a_warm_process_whose_version_is_gone_lands_in_the_one_head() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        let warm = wall.lake(&memory);
        land(&warm, vec![arrived(0, 0)]).await.unwrap();
        others(&memory, &wall, 100..140, 1);
        wall.advance(2 * DAY);
        for version in 2..=30 {
            memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
        }
        let batch = vec![arrived(0, 0), arrived(1, 0), arrived(139, 0)];
        assert_eq!(counts(&land(&warm, batch).await.unwrap()), (1, 2));
        assert_eq!(read(&wall.lake(&memory)).await.len(), 42);
        assert!(memory.get(&format!("{TABLE_AT}/metadata/v3.metadata.json")).is_none());
        assert_hint_is_head(&memory);
    });
}

// Hole 6: a refusal that is the commit's own success, when its id is gone from the table.

#[test]
fn a_commit_whose_answer_was_lost_is_known_by_its_file_when_its_snapshot_is_trimmed() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        land(&wall.lake(&memory), vec![arrived(0, 0)]).await.unwrap();
        let (theirs, passing) = (Arc::clone(&memory), wall.clone());
        let lost = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&lost);
        // The swap is done and not answered; nor can its version be read. Meanwhile others commit,
        // so often that the table forgets the snapshot.
        let script = move |step, location: &str| {
            let ours = location.ends_with("/metadata/v3.metadata.json");
            match step {
                Step::Create if ours => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Fault::LoseAnswer
                }
                Step::Read if ours && counted.load(Ordering::Relaxed) == 1 => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    others(&theirs, &passing, 100..160, 120);
                    Fault::Refuse
                }
                _ => Fault::None,
            }
        };
        let inner = Arc::clone(&memory) as Arc<dyn Files>;
        let lake = wall.lake_on(Arc::new(ScriptedFiles::new(inner, script)));
        let batch: Vec<Row> = (1..4).map(|n| arrived(n, 0)).collect();
        let landed = land(&lake, batch.clone()).await.unwrap();
        assert_eq!(counts(&landed), (3, 0), "landed by this commit, and no duplicates");
        assert_eq!(lost.load(Ordering::Relaxed), 2, "it went as it was meant to");
        let snapshot = landed.commit.unwrap().snapshot;
        assert!(metadata(&memory).await.snapshot_by_id(snapshot).is_none(), "it is not trimmed");
        assert_eq!(counts(&land(&wall.lake(&memory), batch).await.unwrap()), (0, 3));
        assert_eq!(read(&wall.lake(&memory)).await.len(), 64);
    });
}

// Hole 23: readers that follow a table keep their place.

#[test]
fn snapshots_of_the_last_hour_stay_for_readers_that_follow_them() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        let lake = wall.lake(&memory);
        let mut snapshots = Vec::new();
        for n in 0..99 {
            wall.advance(20);
            let landed = land(&lake, vec![arrived(n, 0)]).await.unwrap();
            snapshots.push(landed.commit.unwrap().snapshot);
        }
        let now = metadata(&memory).await;
        for (age, snapshot) in snapshots.iter().rev().enumerate() {
            assert!(now.snapshot_by_id(*snapshot).is_some(), "{age} commits ago");
        }
        wall.advance(2 * HOUR);
        land(&lake, vec![arrived(99, 0)]).await.unwrap();
        let now = metadata(&memory).await;
        let kept = snapshots.iter().filter(|it| now.snapshot_by_id(**it).is_some()).count();
        assert_eq!(kept, 20, "beside the new one");
    });
}

/// A schema is as large as the table is wide, and a kept snapshot keeps its schema.
#[test]
fn kept_snapshots_share_six_schemas_and_none_goes_before() {
    run(async {
        let (memory, wall) = (Arc::new(Memory::default()), Wall::new());
        let lake = wall.lake(&memory);
        for n in 0..30_u32 {
            wall.advance(20);
            let name = format!("column_{n}");
            let mut row = arrived(n, 0);
            row.fields.push((name, number("1")));
            land(&lake, vec![row]).await.unwrap();
            let now = metadata(&memory).await;
            let used: BTreeSet<_> = now.snapshots().filter_map(|it| it.schema_id()).collect();
            assert_eq!(used.len(), usize::try_from(n + 1).unwrap().min(6), "{n}");
            assert!(now.schemas_iter().len() <= 8, "{n}: {}", now.schemas_iter().len());
        }
    });
}
