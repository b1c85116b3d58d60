//! Pending rows: what a writer leaves to others is in the table once, whatever happens on the way.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::clock::Clock;
use lakeward::store::files::{Call, Files, ListedObject, Removal};
use lakeward::store::{Lake, LandReport, Offer, SweepReport};
use lakeward::table::declared::DeclaredType;
use lakeward::table::layout::{DeclaredColumn, Misfits, Policy};

use super::{AT, TABLE_AT, before_swap, counts, run};
use crate::support::lake::{fields, land, number, read, row, table, text};
use crate::support::store::{Fault, Hook, HookedFiles, Memory, ScriptedFiles, Step};

/// A lake of one process, on files over `memory`.
fn lake(files: &Arc<dyn Files>, memory: &Arc<Memory>) -> Lake {
    let removal = Arc::clone(memory);
    Lake::with(Arc::clone(files), AT.to_owned(), "test".to_owned(), Clock::system())
        .removing(removal)
}

fn rows(numbers: std::ops::Range<u32>) -> Vec<Row> {
    numbers.map(|n| row(n, fields([("a", number("1"))]))).collect()
}

/// A row whose id its route took, with this content.
fn claimed(n: u32, content: &str) -> Row {
    let mut row = row(n, fields([("a", text(content))]));
    row.lineage.digest = Some(content.repeat(32));
    row.lineage.id_window = Some(3_600_000_000);
    row
}

/// The row of quarantine of a row.
fn original(n: u32) -> Row {
    row(n, fields([("record", text(&format!("record {n}")))]))
}

async fn sweep(lake: &Lake, policy: &Policy) -> SweepReport {
    lake.sweep(&table(), policy, &Deadline::none()).await.unwrap()
}

/// A lake that has just lost a swap to another process, so that its next rows become pending.
async fn contended(memory: &Arc<Memory>) -> Lake {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    let other = Arc::new(lake(&files, memory));
    let meddling = Arc::clone(&other);
    let files = before_swap(&files, move || {
        run(async { land(&meddling, rows(0..1)).await.unwrap() });
    });
    // Its first rows see the table made, and lose.
    run_after(memory, &other).await;
    let lake = lake(&files, memory);
    let landed = land(&lake, rows(1..2)).await.unwrap();
    assert_eq!((landed.pending, landed.conflicts), (vec![0], 1), "left after the lost swap");
    lake
}

/// Makes the table, by another process.
async fn run_after(memory: &Arc<Memory>, other: &Lake) {
    land(other, rows(90..91)).await.unwrap();
    assert!(objects(memory).is_empty());
}

/// The objects of pending rows.
fn objects(memory: &Memory) -> Vec<String> {
    let found = memory.sizes(&format!("{TABLE_AT}/metadata/pending/"));
    found.into_iter().map(|(location, _)| location).collect()
}

#[test]
fn a_writer_that_lost_leaves_its_rows_and_the_next_commit_takes_them_along() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let left = contended(&memory).await;
        // Within the next second, it does not even look.
        let landed = land(&left, rows(2..4)).await.unwrap();
        assert_eq!((counts(&landed), landed.pending, landed.attempts), ((0, 0), vec![0, 1], 0));
        assert_eq!(objects(&memory).len(), 2);
        assert_eq!(left.pending(&table()).await.unwrap().rows, 3);
        assert_eq!(read(&left).await.len(), 2);

        let next = lake(&files, &memory);
        let landed = land(&next, rows(4..5)).await.unwrap();
        assert_eq!((counts(&landed), landed.taken.landed, landed.files), ((1, 0), 3, 1));
        assert_eq!(objects(&memory), Vec::<String>::new());
        assert_eq!(read(&next).await.len(), 6);
        // A redelivery of what was pending is a duplicate.
        assert_eq!(counts(&land(&next, rows(0..5)).await.unwrap()), (0, 5));
    });
}

/// Records may be redelivered before their rows are taken: directly, and as pending rows of any number.
#[test]
fn rows_that_are_pending_several_times_and_land_directly_are_there_once() {
    for seed in 0..40 {
        fastrand::seed(seed);
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as _;
        run(async {
            let left = contended(&memory).await;
            for batch in [5..9, 5..7, 7..9, 6..8] {
                let landed = land(&left, rows(batch.clone())).await.unwrap();
                assert_eq!(landed.pending.len(), batch.len(), "still within the second");
            }
            let takers = [lake(&files, &memory), lake(&files, &memory)];
            let direct = land(&takers[0], rows(4..7)).await.unwrap();
            assert_eq!(counts(&direct).1, 0);
            let policy = Policy::default();
            let both = (sweep(&takers[0], &policy), sweep(&takers[1], &policy));
            let (one, other) = tokio::join!(both.0, both.1);
            assert_eq!((one.waiting, other.waiting), (0, 0));
            assert_eq!(objects(&memory), Vec::<String>::new());
            let ids: Vec<String> = read(&takers[0]).await.into_keys().collect();
            assert_eq!(ids.len(), 8, "{ids:?}");
        });
    }
}

#[test]
fn sixteen_writers_of_one_table_land_everything_once() {
    for seed in 0..3 {
        fastrand::seed(seed);
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> =
            Arc::new(ScriptedFiles::new(Arc::clone(&memory) as _, |_, _| Fault::None));
        run(async {
            land(&lake(&files, &memory), rows(10_000..10_001)).await.unwrap();
            let mut writers = tokio::task::JoinSet::new();
            for n in 0..16_u32 {
                let lake = lake(&files, &memory);
                writers.spawn(async move {
                    let mut sum = LandReport::default();
                    for batch in 0..6 {
                        let first = n * 100 + batch * 10;
                        sum.add(land(&lake, rows(first..first + 10)).await.unwrap());
                    }
                    sum
                });
            }
            let mut sum = LandReport::default();
            while let Some(landed) = writers.join_next().await {
                sum.add(landed.unwrap());
            }
            let reader = lake(&files, &memory);
            let swept = sweep(&reader, &Policy::default()).await;
            assert_eq!(objects(&memory), Vec::<String>::new());
            assert_eq!(read(&reader).await.len(), 961);
            assert_eq!(sum.landed + sum.pending.len() as u64, 960);
            assert_eq!(sum.landed + sum.taken.landed + swept.taken.landed, 960);
            assert!(!sum.pending.is_empty() && sum.conflicts <= sum.attempts, "{sum:?}");
        });
    }
}

/// Another commit may land the rows that a taker has along, and not its batch.
#[test]
fn a_taker_whose_company_another_has_landed_still_lands_its_own_rows() {
    let memory = Arc::new(Memory::default());
    let plain: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        contended(&memory).await;
        let (under, store) = (Arc::clone(&plain), Arc::clone(&memory));
        let files = before_swap(&plain, move || {
            run(async {
                let swept = sweep(&lake(&under, &store), &Policy::default()).await;
                assert_eq!(swept.taken.landed, 1);
            });
        });
        let taker = lake(&files, &memory);
        let landed = land(&taker, rows(5..6)).await.unwrap();
        let left = landed.pending.len() as u64;
        assert_eq!((landed.landed + left, landed.taken.landed), (1, 0));
        sweep(&lake(&plain, &memory), &Policy::default()).await;
        assert_eq!(read(&taker).await.len(), 4);
    });
}

/// The answer to a swap is lost, and the swap is done later, after all: nothing that went along with it may
/// be gone before it is in the head.
#[test]
fn an_object_stays_until_the_head_shows_its_rows() {
    for late in [false, true] {
        let memory = Arc::new(Memory::default());
        let plain: Arc<dyn Files> = Arc::clone(&memory) as _;
        run(async {
            contended(&memory).await;
            let is_swap = |step, at: &str| step == Step::Create && at.contains("/metadata/v");
            let files: Arc<dyn Files> =
                Arc::new(ScriptedFiles::new(Arc::clone(&plain), move |step, at| {
                    match (is_swap(step, at), late) {
                        (true, true) => Fault::LoseAnswer,
                        (true, false) => Fault::Refuse,
                        (false, _) => Fault::None,
                    }
                }));
            let taker = lake(&files, &memory);
            let landed = land(&taker, rows(5..6)).await;
            assert_eq!(landed.is_err(), !late);
            assert_eq!(objects(&memory).is_empty(), late, "late: {late}");
            sweep(&lake(&plain, &memory), &Policy::default()).await;
            assert_eq!(read(&taker).await.len(), 3 + usize::from(late));
        });
    }
}

/// A source that was told "done" never sends its record again: what the table refuses then is kept.
#[test]
fn what_the_table_refuses_later_goes_to_quarantine_before_the_object_goes() {
    for direct_first in [false, true] {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as _;
        run(async {
            let left = contended(&memory).await;
            let original = |index: usize| Some(original(70 + index as u32));
            let offer = |rows| Offer { rows, originals: Some(&original), ..Offer::default() };
            let (policy, none) = (Policy::default(), Deadline::none());
            let batch = vec![claimed(7, "b"), claimed(8, "c")];
            let landed = left.offer(&table(), &policy, offer(batch), &none).await.unwrap();
            assert_eq!(landed.pending, [0, 1]);
            let taker = lake(&files, &memory);
            if direct_first {
                let landed = land(&taker, vec![claimed(7, "a")]).await.unwrap();
                assert_eq!(landed.landed, 1);
                // The object stays: its second row landed, and its first is not in quarantine yet.
                let TakenOutcome { landed, refused, objects } = TakenOutcome::of(landed);
                assert_eq!((landed, refused.len(), objects.len()), (2, 1, 2));
            } else {
                let swept = sweep(&taker, &policy).await;
                assert_eq!((swept.taken.landed, swept.taken.refused.len()), (3, 0));
                let landed = land(&taker, vec![claimed(7, "a")]).await.unwrap();
                assert_eq!(landed.refused.len(), 1);
                return;
            }
            assert_eq!(objects(&memory).len(), 2);
            let swept = sweep(&taker, &policy).await;
            let refused = &swept.taken.refused[0].fields;
            assert_eq!(refused[0], ("record".to_owned(), text("record 70")));
            assert_eq!(refused[1], ("reason".to_owned(), text("id_reused")));
            taker.settle(&table(), &swept.taken.unsettled).await;
            assert_eq!(objects(&memory), Vec::<String>::new());
        });
    }
}

struct TakenOutcome {
    landed: u64,
    refused: Vec<Row>,
    objects: Vec<String>,
}

impl TakenOutcome {
    fn of(report: LandReport) -> Self {
        let taken = report.taken;
        Self { landed: taken.landed, refused: taken.refused, objects: taken.unsettled }
    }
}

/// A row without its record could only be lost.
#[test]
fn rows_that_may_be_refused_and_have_no_record_are_never_left() {
    let memory = Arc::new(Memory::default());
    run(async {
        let left = contended(&memory).await;
        let landed = land(&left, vec![claimed(7, "b")]).await.unwrap();
        assert_eq!((landed.landed, landed.pending.len()), (1, 0));
        let strict = Policy { misfits: Misfits::Reject, ..Policy::default() };
        let landed = left.land(&table(), &strict, rows(8..9), &Deadline::none()).await.unwrap();
        assert_eq!((landed.landed, landed.pending.len()), (1, 0));
    });
}

/// The policy may have become stricter since the row was left: it has nothing that could be quarantined.
#[test]
fn a_row_without_its_record_is_not_refused_later() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let left = contended(&memory).await;
        let misfit = row(7, fields([("a", text("x")), ("b", text("y"))]));
        land(&left, vec![misfit]).await.unwrap();
        let column = DeclaredColumn { name: "b".to_owned(), ty: DeclaredType::Long, doc: None };
        let strict =
            Policy { columns: vec![column], misfits: Misfits::Reject, ..Policy::default() };
        let taker = lake(&files, &memory);
        let swept = sweep(&taker, &strict).await;
        assert_eq!((swept.taken.landed, swept.taken.refused.len()), (2, 0));
        assert_eq!(objects(&memory), Vec::<String>::new());
        assert!(read(&taker).await["shardId-000000000000:7"].contains_key("_lw_extra"));
    });
}

#[test]
fn damaged_and_unknown_objects_stay_and_keep_nothing_else_from_landing() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let left = contended(&memory).await;
        land(&left, rows(2..4)).await.unwrap();
        let [first, second] = &objects(&memory)[..] else { panic!("two objects") };
        let whole = memory.get(first).unwrap();
        let next = String::from_utf8_lossy(&whole).replace("pending\":1", "pending\":2");
        let bad = [
            whole.slice(..whole.len() - 1),
            whole.slice(..10),
            next.clone().into(),
            String::from_utf8_lossy(&whole).replace("test.rows", "test.other").into(),
            bytes::Bytes::new(),
        ];
        for n in 0..2_000_usize {
            let name = format!("{n}-00000000-0000-4000-8000-{n:012}-0-1");
            memory.put(&format!("{TABLE_AT}/metadata/pending/{name}"), bad[n % 5].clone());
        }
        assert!(memory.get(second).is_some());
        let taker = lake(&files, &memory);
        let swept = sweep(&taker, &Policy::default()).await;
        assert_eq!((swept.taken.landed, swept.unreadable, swept.waiting), (3, 2_000, 2_000));
        assert_eq!(objects(&memory).len(), 2_000);
        // A writer passes them by, and leaves no more beside so many.
        let landed = land(&left, rows(20..21)).await.unwrap();
        assert_eq!(landed.pending.len(), 1, "it does not look within the second");
        assert_eq!(land(&taker, rows(30..31)).await.unwrap().landed, 1);
        assert_eq!(read(&taker).await.len() as u64 + taker_waits(&taker).await, 2_007);
    });
}

async fn taker_waits(lake: &Lake) -> u64 {
    lake.pending(&table()).await.unwrap().rows
}

/// Counts the listings of pending rows.
#[derive(Debug, Default)]
struct Listings(Mutex<u64>);

#[derive(Debug)]
struct CountedRemoval(Arc<Memory>, Arc<Listings>);

impl Removal for CountedRemoval {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        *self.1.0.lock().unwrap() += 1;
        self.0.list_all(folder)
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Removal::remove(&*self.0, locations)
    }
}

#[test]
fn a_writer_without_company_lists_once() {
    let (memory, listings) = (Arc::new(Memory::default()), Arc::new(Listings::default()));
    let removal = Arc::new(CountedRemoval(Arc::clone(&memory), Arc::clone(&listings)));
    let lake =
        Lake::with(Arc::clone(&memory) as _, AT.to_owned(), "test".to_owned(), Clock::system())
            .removing(removal);
    run(async {
        for n in 0..100 {
            land(&lake, rows(n..n + 1)).await.unwrap();
        }
    });
    assert_eq!(*listings.0.lock().unwrap(), 1);
}

/// At the first swap, its answer is lost, and an object appears.
#[derive(Debug)]
struct Appears {
    armed: AtomicBool,
    memory: Arc<Memory>,
    object: Mutex<(String, bytes::Bytes)>,
}

impl Hook for Appears {
    fn around<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        location: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        let is_swap = name == "create" && location.contains("/metadata/v");
        if !is_swap || !self.armed.swap(false, Ordering::Relaxed) {
            return call;
        }
        let (location, bytes) = self.object.lock().unwrap().clone();
        self.memory.put(&location, bytes);
        Box::pin(async { Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was lost")) })
    }
}

/// The first attempt may still be on its way, and has the same id: rows that a later one takes along would
/// be lost with their object if the first one's content stands in the head.
#[test]
fn a_later_attempt_takes_nothing_more_along() {
    let memory = Arc::new(Memory::default());
    let plain: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        contended(&memory).await;
        let location = objects(&memory).remove(0);
        let object = Mutex::new((location.clone(), memory.get(&location).unwrap()));
        memory.remove(&location);
        let hook = Appears { armed: AtomicBool::new(false), memory: Arc::clone(&memory), object };
        let files = Arc::new(HookedFiles { memory: Arc::clone(&memory), hook });
        let taker = lake(&(Arc::clone(&files) as _), &memory);
        land(&taker, rows(4..5)).await.unwrap();
        files.hook.armed.store(true, Ordering::Relaxed);
        let landed = land(&taker, rows(5..6)).await.unwrap();
        assert_eq!((landed.landed, landed.taken.landed), (1, 0));
        assert_eq!(objects(&memory), [location]);
        sweep(&lake(&plain, &memory), &Policy::default()).await;
        assert_eq!(read(&taker).await.len(), 5);
    });
}

/// S3 may say that an object exists, and it does not: then the rows are nowhere.
#[test]
fn rows_that_only_the_answer_calls_durable_are_not() {
    let memory = Arc::new(Memory::default());
    let plain: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let files: Arc<dyn Files> =
            Arc::new(ScriptedFiles::new(Arc::clone(&plain), move |step, at| {
                let is_object = step == Step::Create && at.contains("/pending/");
                if is_object { Fault::ExistsThoughNot } else { Fault::None }
            }));
        land(&lake(&plain, &memory), rows(90..91)).await.unwrap();
        let left = lake(&files, &memory);
        let offer = Offer { rows: rows(0..1), is_hurried: true, ..Offer::default() };
        let landed = left.offer(&table(), &Policy::default(), offer, &Deadline::none()).await;
        assert!(landed.unwrap_err().to_string().contains("it does not"));
    });
}
