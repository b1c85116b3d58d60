//! Pending rows: what a writer leaves to others is in the table once, whatever happens on the way.

mod refusal;
mod sweep;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::clock::Clock;
use lakeward::store::files::{Call, Files};
use lakeward::store::{Lake, LandReport, Leaving, Offer, StoreError, SweepReport, TakenReport};
use lakeward::table::layout::Policy;

use super::{AT, TABLE_AT, before_swap, counts, run};
use crate::support::lake::{fields, number, read, row, table};
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

/// Sweeps, and quarantines nothing.
async fn sweep(lake: &Lake, policy: &Policy) -> SweepReport {
    let mut sweep = lake.begin_sweep(&table()).await.unwrap();
    let mut sum = TakenReport::default();
    while let Some(taken) = sweep.next(policy, &Deadline::none()).await.unwrap() {
        sum.add(taken);
    }
    sweep.end(sum)
}

/// Lands rows, or leaves them to others.
async fn land(lake: &Lake, rows: Vec<Row>) -> Result<LandReport, StoreError> {
    let offer = Offer { rows, ..Offer::default() };
    lake.offer(&table(), &Policy::default(), offer, &Deadline::none()).await
}

/// A lake that has just lost a swap to another process, so that its next rows become pending.
async fn contended(memory: &Arc<Memory>) -> Lake {
    // The clock of the store.
    let now = u64::try_from(crate::support::lake::now().micros()).unwrap() / 1_000_000;
    memory.now.store(now, Ordering::Relaxed);
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
        let offer = Offer { rows: rows(0..1), leaving: Leaving::Now, ..Offer::default() };
        let landed = left.offer(&table(), &Policy::default(), offer, &Deadline::none()).await;
        assert!(landed.unwrap_err().to_string().contains("it does not"));
    });
}

/// A redrive and an audit say what is in the tables.
#[test]
fn a_lake_that_never_leaves_rows_commits_them() {
    let memory = Arc::new(Memory::default());
    run(async {
        let left = contended(&memory).await.never_leaving();
        let offer = Offer { rows: rows(4..5), leaving: Leaving::Now, ..Offer::default() };
        let landed =
            left.offer(&table(), &Policy::default(), offer, &Deadline::none()).await.unwrap();
        assert_eq!((landed.landed, landed.taken.landed), (1, 1));
    });
}
