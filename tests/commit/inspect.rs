//! The read commands, on rows that are spread over files in any way.

use std::sync::Arc;

use lakeward::record::Row;
use lakeward::store::Lake;
use lakeward::store::files::Files;
use lakeward::table::Cell;
use lakeward::time::Timestamp;

use crate::support::lake::{MORNING, fields, lake_on, land, number, row, table, text};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

const DAY: i64 = 86_400_000_000;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn plain(n: u32) -> Row {
    row(n, fields([("n", number(&n.to_string()))]))
}

fn arrived(n: u32, micros: i64) -> Row {
    let mut row = plain(n);
    row.lineage.arrived_at = Timestamp::from_micros(micros);
    row
}

/// Ids of the newest rows, as they come.
async fn newest(lake: &Lake, limit: usize) -> Vec<u32> {
    let found = lake.newest(&table(), limit).await.unwrap().unwrap();
    let id = found.columns.iter().position(|(name, _)| name == "_lw_id").unwrap();
    let ids = found.rows.iter().map(|row| match &row[id] {
        Cell::Text(id) => id.rsplit(':').next().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    });
    ids.collect()
}

#[test]
fn the_newest_rows_come_in_order_whatever_files_they_are_in() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
        for batch in [&[1, 10][..], &[5, 7], &[2], &[9, 3, 6], &[8, 4]] {
            land(&lake, batch.iter().copied().map(plain).collect()).await.unwrap();
        }
        for limit in 0..=11_usize {
            let expected: Vec<u32> = (1..=10).rev().take(limit).collect();
            assert_eq!(newest(&lake, limit).await, expected, "of {limit}");
        }
    });
}

#[test]
fn rows_of_one_moment_come_by_position() {
    run(async {
        for order in [[3, 1, 2], [1, 2, 3], [2, 3, 1]] {
            let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
            for n in order {
                land(&lake, vec![arrived(n, MORNING)]).await.unwrap();
            }
            assert_eq!(newest(&lake, 1).await, [3], "{order:?}");
            assert_eq!(newest(&lake, 3).await, [3, 2, 1], "{order:?}");
        }
    });
}

/// A file of messages that came through a DLQ has no bounds of their arrival.
#[test]
fn a_newest_row_that_came_through_a_dlq_is_shown() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
        for n in 1..=3 {
            let mut row = plain(n);
            row.lineage.moved = n == 3;
            land(&lake, vec![row]).await.unwrap();
        }
        assert_eq!(newest(&lake, 1).await, [3]);
        assert_eq!(newest(&lake, 2).await, [3, 2]);
        let described = lake.describe(&table()).await.unwrap().unwrap();
        assert_eq!(described.last_arrival, plain(3).lineage.arrived_at);
    });
}

#[test]
fn files_that_hold_none_of_the_newest_rows_are_not_read() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        for n in 1..=5 {
            land(&lake_on(Arc::clone(&memory), "memory:/lake"), vec![plain(n)]).await.unwrap();
        }
        let read = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&read);
        let script = move |step, location: &str| {
            if step == Step::Read && location.ends_with(".parquet") {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Fault::None
        };
        let lake = lake_on(Arc::new(ScriptedFiles::new(memory, script)), "memory:/lake");
        assert_eq!(newest(&lake, 2).await, [5, 4]);
        assert_eq!(read.load(std::sync::atomic::Ordering::Relaxed), 2);
    });
}

#[test]
fn rows_are_counted_by_day_from_the_day_on_that_is_asked_for() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
        let day = Timestamp::from_micros(MORNING).unwrap().day();
        land(&lake, vec![arrived(1, MORNING - 2 * DAY)]).await.unwrap();
        land(&lake, vec![arrived(2, MORNING - DAY), arrived(3, MORNING)]).await.unwrap();
        land(&lake, vec![arrived(4, MORNING), arrived(5, MORNING + DAY)]).await.unwrap();
        let all = [(day - 2, 1), (day - 1, 1), (day, 2), (day + 1, 1)];
        for since in [None, Some(day - 2), Some(day - 1), Some(day), Some(day + 1), Some(day + 2)] {
            let found = lake.origins(&table(), since).await.unwrap().unwrap();
            let found: Vec<_> =
                found.into_iter().map(|((_, _, day), n)| (day.unwrap(), n)).collect();
            let expected = all.iter().copied().filter(|it| since.is_none_or(|day| it.0 >= day));
            assert_eq!(found, expected.collect::<Vec<_>>(), "since {since:?}");
        }
    });
}

/// Files from before a column was added have no count for it, and nothing but nulls.
#[test]
fn rows_from_before_a_column_was_added_count_as_nulls() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
        land(&lake, vec![plain(1), plain(2)]).await.unwrap();
        land(&lake, vec![row(3, fields([("later", text("x"))]))]).await.unwrap();
        let found = lake.describe(&table()).await.unwrap().unwrap();
        let nulls = |name: &str| found.columns.iter().find(|it| it.name == name).unwrap().nulls;
        assert_eq!((nulls("later"), nulls("n"), nulls("_lw_id")), (Some(2), Some(1), Some(0)));
    });
}
