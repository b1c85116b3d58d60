//! Cleaning removes what no version names, a day after it was marked, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, Struct};
use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::files::{Call, Files, ListedObject, Removal};
use lakeward::store::{Lake, UpkeepReport};
use lakeward::time::Timestamp;

use super::{AT, TABLE_AT, before_swap, counts, foreign, run};
use crate::support::lake::{MORNING, fields, land, number, read, row, table};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A store whose clock begins in the morning.
fn store() -> Arc<Memory> {
    let memory = Arc::new(Memory::default());
    memory.now.store(MORNING.unsigned_abs() / 1_000_000, Ordering::Relaxed);
    memory
}

fn pass(memory: &Memory, seconds: u64) {
    memory.now.fetch_add(seconds, Ordering::Relaxed);
}

/// A process that has seen nothing yet, with a clock that is ahead by so many seconds.
fn ahead(memory: &Arc<Memory>, seconds: i64) -> Lake {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    Lake::with(files, AT.to_owned(), "test".to_owned(), memory.clock(seconds))
        .removing(Arc::clone(memory) as _)
}

fn lake(memory: &Arc<Memory>) -> Lake {
    ahead(memory, 0)
}

/// Row `n`, which arrives now.
fn arriving(memory: &Memory, n: u32) -> Row {
    let mut row = row(n, fields([("n", number(&n.to_string()))]));
    let micros = memory.now.load(Ordering::Relaxed).cast_signed() * 1_000_000;
    row.lineage.arrived_at = Timestamp::from_micros(micros);
    row
}

/// Lands a row every ten minutes, and returns the rows.
async fn traffic(memory: &Arc<Memory>, numbers: std::ops::Range<u32>) -> Vec<Row> {
    let lake = lake(memory);
    let mut rows = Vec::new();
    for n in numbers {
        let row = arriving(memory, n);
        land(&lake, vec![row.clone()]).await.unwrap();
        rows.push(row);
        pass(memory, HOUR / 6);
    }
    rows
}

async fn upkeep(lake: &Lake) -> UpkeepReport {
    lake.upkeep(&[table()], &Deadline::none(), |_, _| {}).await.remove(0)
}

fn names(memory: &Memory) -> BTreeSet<String> {
    memory.sizes(AT).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn what_nothing_names_goes_a_day_after_it_was_marked() {
    run(async {
        let memory = store();
        let mut rows = Vec::new();
        let mut sizes = Vec::new();
        for day in 0..12 {
            rows.extend(traffic(&memory, 144 * day..144 * (day + 1)).await);
            let report = upkeep(&lake(&memory)).await;
            assert_eq!(report.trouble, None, "day {day}");
            sizes.push(memory.sizes(AT).into_iter().map(|(_, size)| size).sum::<usize>());
            assert_eq!(read(&lake(&memory)).await.len(), rows.len());
        }
        // It grows by its rows alone.
        assert!(sizes[11] < sizes[6] + sizes[6] / 10, "{sizes:?}");
        let versions = names(&memory).into_iter().filter(|it| it.ends_with(".metadata.json"));
        let versions: Vec<String> = versions.collect();
        assert!(versions.contains(&format!("{TABLE_AT}/metadata/v1.metadata.json")));
        assert!((144..320).contains(&versions.len()), "{} versions", versions.len());
        for row in rows {
            let landed = land(&lake(&memory), vec![row]).await.unwrap();
            assert_eq!(counts(&landed), (0, 1));
        }
    });
}

/// A query that began on a snapshot may run for a day, even if the snapshot is dropped meanwhile.
#[test]
fn what_a_reader_has_begun_to_read_stays_for_a_day() {
    run(async {
        let memory = store();
        traffic(&memory, 0..300).await;
        upkeep(&lake(&memory)).await;
        pass(&memory, 5 * DAY);
        // It is old enough to go, and named until now.
        let named = names(&memory);
        let before = upkeep_names(&memory).await;
        traffic(&memory, 300..320).await;
        for hours in [1, 12, 22] {
            pass(&memory, hours * HOUR / 3);
            upkeep(&lake(&memory)).await;
            let gone: Vec<&String> =
                before.iter().filter(|it| !names(&memory).contains(*it)).collect();
            assert!(gone.is_empty(), "{gone:?}");
        }
        assert!(named.len() > before.len());
    });
}

/// The locations that a reader of the newest snapshot reads.
async fn upkeep_names(memory: &Arc<Memory>) -> BTreeSet<String> {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    let metadata = super::newest(&files, TABLE_AT).await;
    let list = metadata.current_snapshot().unwrap().manifest_list().to_owned();
    let bytes = files.read(&list).await.unwrap().unwrap();
    let version = iceberg::spec::FormatVersion::V2;
    let parsed = iceberg::spec::ManifestList::parse_with_version(&bytes, version).unwrap();
    let mut names = BTreeSet::from([list]);
    for manifest in parsed.entries() {
        names.insert(manifest.manifest_path.clone());
        let bytes = files.read(&manifest.manifest_path).await.unwrap().unwrap();
        let manifest = iceberg::spec::Manifest::parse_avro(&bytes).unwrap();
        names.extend(manifest.entries().iter().map(|it| it.file_path().to_owned()));
    }
    names
}

/// Other files lie beside those of a table, and below it.
#[test]
fn only_what_lakeward_has_made_goes() {
    run(async {
        let memory = store();
        traffic(&memory, 0..30).await;
        let unique = "4dbb9d2c-9b6b-4a53-9a60-2b1d0b9f4d11";
        let foreign: Vec<String> = [
            "data/export.csv",
            "data/_delta_log/0.json",
            &format!("data/copies/{unique}.parquet"),
            &format!("data/arrived_day=2026-11-23/copies/{unique}.parquet"),
            "data/arrived_day=2026-11-23/part-0.parquet",
            &format!("other/data/{unique}.parquet"),
            &format!("data/inner/metadata/m-1-2-{unique}.avro"),
            "metadata/notes.txt",
            "metadata/m-1-2-x.avro",
            &format!("metadata/{unique}-m0.avro"),
            "metadata/pending/1-x",
        ]
        .iter()
        .map(|it| format!("{TABLE_AT}/{it}"))
        .collect();
        let own: Vec<String> = [
            format!("data/arrived_day=2026-11-23/{unique}.parquet"),
            format!("metadata/m-1-2-{unique}.avro"),
            format!("metadata/w-1-2-{unique}.avro"),
            format!("metadata/m-any-{unique}.avro"),
            format!("metadata/f-{unique}.avro"),
            format!("metadata/snap-1-{unique}.avro"),
            format!("metadata/.tmp-{unique}"),
        ]
        .iter()
        .map(|it| format!("{TABLE_AT}/{it}"))
        .collect();
        foreign.iter().chain(&own).for_each(|it| memory.put(it, Bytes::from_static(b"x")));
        for _ in 0..6 {
            pass(&memory, DAY + HOUR);
            assert_eq!(upkeep(&lake(&memory)).await.trouble, None);
        }
        let left = names(&memory);
        assert!(foreign.iter().all(|it| left.contains(it)));
        let stay: Vec<&String> = own.iter().filter(|it| left.contains(*it)).collect();
        assert!(stay.is_empty(), "{stay:?}");
        assert_eq!(read(&lake(&memory)).await.len(), 30);
    });
}

/// A removal whose listings are not whole, or that fails.
#[derive(Debug)]
struct Faulty {
    memory: Arc<Memory>,
    /// The listing drops every object for which this number divides its place; 0 for none.
    drops: usize,
    /// The removal that fails, after half of it.
    fails: u32,
    removals: AtomicU32,
}

impl Removal for Faulty {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            let all = self.memory.list_all(folder).await?.into_iter().enumerate();
            let kept =
                all.filter(|(at, _)| self.drops == 0 || !(at + 1).is_multiple_of(self.drops));
            Ok(kept.map(|(_, it)| it).collect())
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            let nth = self.removals.fetch_add(1, Ordering::Relaxed);
            if nth != self.fails {
                return Removal::remove(&*self.memory, locations).await;
            }
            let (half, _) = locations.split_at(locations.len() / 2);
            Removal::remove(&*self.memory, half).await?;
            Err(io::Error::other("it is refused"))
        })
    }
}

fn faulty(memory: &Arc<Memory>, drops: usize, fails: u32) -> Lake {
    let removals = AtomicU32::new(0);
    let faulty = Faulty { memory: Arc::clone(memory), drops, fails, removals };
    lake(memory).removing(Arc::new(faulty))
}

#[test]
fn a_listing_that_is_not_whole_removes_nothing() {
    run(async {
        for drops in [3, 10, 40] {
            let memory = store();
            traffic(&memory, 0..100).await;
            upkeep(&lake(&memory)).await;
            pass(&memory, 5 * DAY);
            let before = names(&memory);
            let report = upkeep(&faulty(&memory, drops, u32::MAX)).await;
            let trouble = report.trouble.unwrap();
            assert!(trouble.contains("a listing of its folder does not show"), "{trouble}");
            let after = names(&memory);
            assert!(before.iter().all(|it| after.contains(it)));
        }
    });
}

#[test]
fn a_lake_under_another_name_is_left_alone() {
    run(async {
        let memory = store();
        traffic(&memory, 0..50).await;
        let copy: BTreeMap<String, Bytes> = memory
            .objects()
            .into_iter()
            .map(|(name, bytes)| (name.replacen(AT, "memory:/copy", 1), bytes))
            .collect();
        let copied = Arc::new(Memory::default());
        copied.now.store(memory.now.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.into_iter().for_each(|(name, bytes)| copied.put(&name, bytes));
        let files: Arc<dyn Files> = Arc::clone(&copied) as _;
        for _ in 0..4 {
            pass(&copied, 2 * DAY);
            let lake = Lake::with(
                Arc::clone(&files),
                "memory:/copy".to_owned(),
                "test".to_owned(),
                copied.clock(0),
            );
            let lake = lake.removing(Arc::clone(&copied) as _);
            let before = copied.sizes("memory:/copy/test/rows/data").len();
            let trouble = upkeep(&lake).await.trouble.unwrap();
            assert!(
                trouble.contains("it is a copy, or has two names")
                    || trouble.contains("can't read"),
                "{trouble}"
            );
            assert_eq!(copied.sizes("memory:/copy/test/rows/data").len(), before);
        }
    });
}

/// A process whose clock is wrong by years neither removes too early nor never.
#[test]
fn only_the_clock_of_the_store_counts() {
    const YEAR: i64 = 365 * 24 * 3_600;
    run(async {
        for seconds in [-YEAR, YEAR] {
            let memory = store();
            traffic(&memory, 0..60).await;
            upkeep(&lake(&memory)).await;
            traffic(&memory, 60..70).await;
            let before = names(&memory);
            // Young files, marked a moment ago.
            for _ in 0..3 {
                upkeep(&ahead(&memory, seconds)).await;
                pass(&memory, HOUR);
            }
            let after = names(&memory);
            let gone: Vec<&String> = before.iter().filter(|it| !after.contains(*it)).collect();
            assert!(gone.is_empty(), "{gone:?}");
            assert_eq!(read(&lake(&memory)).await.len(), 70);
        }
    });
}

/// A process that was stopped while it wrote: what it wrote may be gone when it goes on.
#[test]
fn what_was_written_days_ago_is_not_added() {
    for stopped_at in 1..8 {
        run(async {
            let memory = store();
            traffic(&memory, 0..60).await;
            pass(&memory, 2 * HOUR);
            let (others, mut writes) = (Arc::clone(&memory), 0);
            let script = ScriptedFiles::new(Arc::clone(&memory) as _, move |step, _| {
                writes += u32::from(step == Step::Write);
                if step == Step::Write && writes == stopped_at {
                    let others = Arc::clone(&others);
                    let days = move || {
                        run(async {
                            for _ in 0..6 {
                                pass(&others, DAY + HOUR);
                                assert_eq!(clean_alone(&others).await, None);
                            }
                        });
                    };
                    std::thread::spawn(days).join().unwrap();
                }
                Fault::None
            });
            let script: Arc<dyn Files> = Arc::new(script);
            let stopped =
                Lake::with(Arc::clone(&script), AT.to_owned(), "test".to_owned(), memory.clock(0));
            upkeep(&stopped).await;
            land(&stopped, vec![arriving(&memory, 999)]).await.unwrap();
            assert_eq!(read(&lake(&memory)).await.len(), 61, "write {stopped_at}");
        });
    }
}

/// Cleans without compacting: what another process is about to join stays.
async fn clean_alone(memory: &Arc<Memory>) -> Option<String> {
    // By this clock every row arrived a moment ago.
    let past = memory.now.load(Ordering::Relaxed).cast_signed() - MORNING / 1_000_000;
    upkeep(&ahead(memory, -past)).await.trouble
}

/// The number of its version may be free again when its request goes out.
#[test]
fn a_swap_that_is_stopped_for_days_takes_no_number_that_is_free_again() {
    run(async {
        let memory = store();
        traffic(&memory, 0..30).await;
        let others = Arc::clone(&memory);
        let script = before_swap(&(Arc::clone(&memory) as _), move || {
            run(async {
                for day in 0..4 {
                    traffic(&others, 100 + 30 * day..130 + 30 * day).await;
                    pass(&others, DAY);
                    assert_eq!(upkeep(&lake(&others)).await.trouble, None);
                }
            });
        });
        let stopped = Lake::with(script, AT.to_owned(), "test".to_owned(), memory.clock(0));
        let landed = land(&stopped, vec![arriving(&memory, 999)]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake(&memory)).await.len(), 30 + 120 + 1);
    });
}

/// A restored bucket, or a process that was stopped, leaves some over.
#[test]
fn a_hole_in_the_versions_keeps_none_of_them() {
    run(async {
        let memory = store();
        let version = |n: u32| format!("{TABLE_AT}/metadata/v{n}.metadata.json");
        traffic(&memory, 0..30).await;
        memory.remove(&version(7));
        for _ in 0..2 {
            pass(&memory, DAY + HOUR);
            assert_eq!(upkeep(&lake(&memory)).await.trouble, None);
        }
        let left = names(&memory);
        let kept: Vec<u32> = (1..40).filter(|n| left.contains(&version(*n))).collect();
        assert!(kept.len() <= 4 && kept[0] == 1 && kept.len() > 1, "{kept:?}");
        assert_eq!(read(&lake(&memory)).await.len(), 30);
    });
}

/// Another engine may write where it likes.
#[test]
fn a_file_outside_the_table_s_folder_does_not_stop_a_run() {
    run(async {
        let memory = store();
        traffic(&memory, 0..60).await;
        let elsewhere = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path("memory:/elsewhere/x.parquet".to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::from_iter([None]))
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .unwrap();
        // Its clock is that of today.
        memory.now.store(today(), Ordering::Relaxed);
        foreign::append(&(Arc::clone(&memory) as _), elsewhere).await;
        let versions = memory.sizes(&format!("{TABLE_AT}/metadata/v")).len();
        for _ in 0..3 {
            pass(&memory, DAY + HOUR);
            assert_eq!(upkeep(&lake(&memory)).await.trouble, None);
        }
        assert!(memory.sizes(&format!("{TABLE_AT}/metadata/v")).len() < versions / 4);
    });
}

fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Whichever removal fails, the rows stay, and the next runs do the rest.
#[test]
fn an_interrupted_run_is_gone_on_with() {
    run(async {
        for fails in 0..12 {
            let memory = store();
            traffic(&memory, 0..150).await;
            upkeep(&lake(&memory)).await;
            pass(&memory, 4 * DAY);
            upkeep(&lake(&memory)).await;
            pass(&memory, DAY);
            upkeep(&faulty(&memory, 0, fails * fails)).await;
            assert_eq!(read(&lake(&memory)).await.len(), 150);
            // A table keeps its last 20 snapshots.
            traffic(&memory, 1_000..1_040).await;
            for _ in 0..4 {
                pass(&memory, 2 * DAY);
                assert_eq!(upkeep(&lake(&memory)).await.trouble, None);
            }
            assert_eq!(read(&lake(&memory)).await.len(), 190);
            let left = memory.sizes(&format!("{TABLE_AT}/data")).len();
            assert!(left < 60, "{left} data files");
        }
    });
}
