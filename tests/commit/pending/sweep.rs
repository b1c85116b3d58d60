//! The look for pending rows, and the sweep of all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use lakeward::deadline::Deadline;
use lakeward::store::clock::Clock;
use lakeward::store::files::{Call, Files, ListedObject, Removal};
use lakeward::store::{Lake, Leaving, Offer};
use lakeward::table::layout::Policy;
use lakeward::time::Timestamp;

use super::{contended, lake, land, objects, rows, sweep};
use crate::commit::{AT, TABLE_AT, run};
use crate::support::lake::{MORNING, read, table};
use crate::support::store::Memory;

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

/// A commit writes to at most 64 partitions.
#[test]
fn a_sweep_lands_objects_of_many_days() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let left = contended(&memory).await;
        let day = |n: u32| {
            let mut row = rows(n..n + 1).remove(0);
            let micros = MORNING - i64::from(n) * 24 * 3_600 * 1_000_000;
            row.lineage.arrived_at = Timestamp::from_micros(micros);
            row
        };
        let landed = land(&left, (100..250).map(day).collect()).await.unwrap();
        assert_eq!(landed.pending.len(), 150);
        let swept = sweep(&lake(&files, &memory), &Policy::default()).await;
        assert_eq!((swept.taken.landed, swept.waiting), (151, 0));
        assert_eq!(objects(&memory), Vec::<String>::new());
        // Beside rows of its own, a commit leaves them where they are.
        let landed = land(&left, (300..370).map(day).collect()).await.unwrap();
        assert_eq!(landed.pending.len(), 70);
        let taker = lake(&files, &memory);
        let landed = land(&taker, rows(4..5)).await.unwrap();
        assert_eq!((landed.landed, landed.taken.landed, objects(&memory).len()), (1, 0, 1));
        sweep(&taker, &Policy::default()).await;
        assert_eq!(read(&taker).await.len(), 2 + 151 + 70 + 1);
    });
}

/// Traffic may end with the rows that a process has left itself.
#[test]
fn a_process_takes_along_what_it_has_left() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let alone = lake(&files, &memory);
        land(&alone, rows(0..1)).await.unwrap();
        let offer = Offer { rows: rows(1..2), leaving: Leaving::Now, ..Offer::default() };
        let landed = alone.offer(&table(), &Policy::default(), offer, &Deadline::none()).await;
        assert_eq!(landed.unwrap().pending, [0]);
        let landed = land(&alone, rows(2..3)).await.unwrap();
        assert_eq!((landed.landed, landed.taken.landed), (1, 1));
    });
}

/// Cleaning removes what no snapshot names, and pending rows are in none.
#[test]
fn cleaning_never_removes_pending_rows() {
    const DAY: u64 = 24 * 3_600;
    let memory = Arc::new(Memory::default());
    memory.now.store(MORNING.unsigned_abs() / 1_000_000, Ordering::Relaxed);
    let open = || {
        let clock = memory.clock(0);
        Lake::with(Arc::clone(&memory) as _, AT.to_owned(), "test".to_owned(), clock)
            .removing(Arc::clone(&memory) as _)
    };
    run(async {
        for n in 0..6 {
            land(&open(), rows(n..n + 1)).await.unwrap();
        }
        let offer = Offer { rows: rows(6..7), leaving: Leaving::Now, ..Offer::default() };
        let landed = open().offer(&table(), &Policy::default(), offer, &Deadline::none()).await;
        assert_eq!(landed.unwrap().pending, [0]);
        let mut removed = 0;
        for _ in 0..8 {
            memory.now.fetch_add(DAY, Ordering::Relaxed);
            let done = open().upkeep(&[table()], &Deadline::none(), |_, _| {}).await;
            assert_eq!(done[0].trouble, None);
            removed += done[0].cleaned.unwrap_or_default().removed;
        }
        assert!(removed > 0, "it has removed versions");
        assert_eq!(objects(&memory).len(), 1);
        let swept = sweep(&open(), &Policy::default()).await;
        assert_eq!((swept.taken.landed, objects(&memory).len()), (1, 0));
    });
}

/// A lake without upkeep has no one else to take old rows.
#[test]
fn the_first_commit_of_a_process_takes_rows_of_any_age_along() {
    let memory = Arc::new(Memory::default());
    memory.now.store(MORNING.unsigned_abs() / 1_000_000, Ordering::Relaxed);
    let open = || {
        let clock = memory.clock(0);
        Lake::with(Arc::clone(&memory) as _, AT.to_owned(), "test".to_owned(), clock)
            .removing(Arc::clone(&memory) as _)
    };
    run(async {
        let old = open();
        land(&old, rows(0..1)).await.unwrap();
        let offer = Offer { rows: rows(1..2), leaving: Leaving::Now, ..Offer::default() };
        old.offer(&table(), &Policy::default(), offer, &Deadline::none()).await.unwrap();
        memory.now.fetch_add(3_600, Ordering::Relaxed);
        let landed = land(&old, rows(2..3)).await.unwrap();
        assert_eq!(landed.taken.landed, 0, "it looks at the last minutes");
        let landed = land(&open(), rows(3..4)).await.unwrap();
        assert_eq!((landed.taken.landed, objects(&memory).len()), (1, 0));
    });
}
