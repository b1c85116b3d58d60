//! A file that the id check skips can't hold a record of the batch, with any bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lakeward::record::{Op, Row};
use lakeward::store::files::Files;
use lakeward::table::Cell;
use lakeward::time::Timestamp;
use proptest::prelude::*;

use crate::support::lake::{MORNING, fields, lake_on, land, number, read, row};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

const DAY: i64 = 86_400_000_000;

/// Lineage as sources deliver it, and as they should not: long names, no shard, no position of
/// sixty digits, no arrival, many days.
fn any_row() -> impl Strategy<Value = Row> {
    (
        any::<u16>(),
        prop::sample::select(vec![1_usize, 20, 64, 65, 200]),
        prop::option::of("[a-c]{1,3}"),
        prop::option::weighted(0.8, 0_i64..5_000_000_000_000),
        prop::sample::select(vec![Op::Event, Op::Insert]),
    )
        .prop_map(|(n, length, shard, arrived, op)| {
            let mut row = row(u32::from(n), fields([("n", number("1"))]));
            row.lineage.source = format!("arn:aws:sqs:r:1:{}", "q".repeat(length));
            row.lineage.shard = shard;
            row.lineage.position = Some(format!("{:060}", u32::from(n) * 7919 % 65_536));
            row.lineage.arrived_at = arrived.and_then(|it| Timestamp::from_micros(MORNING + it));
            row.lineage.op = op;
            row
        })
}

/// An event of a route with `id`: a few ids, a few things to say, over 20 days, of which the window
/// has at least as many.
fn any_event() -> impl Strategy<Value = Row> {
    let arrived = prop::option::weighted(0.9, 0_i64..20 * DAY);
    (0..4_u8, 0..3_u8, arrived, any::<bool>(), 20_i64..40, any_row()).prop_map(
        |(id, says, arrived, moved, window, mut row)| {
            row.lineage.source = "arn:aws:sqs:r:1:invoices".to_owned();
            row.lineage.id = format!("invoice {id}");
            row.lineage.digest = Some(format!("says {says}"));
            row.lineage.arrived_at = arrived.and_then(|it| Timestamp::from_micros(MORNING + it));
            row.lineage.moved = moved;
            row.lineage.id_window = Some(window * DAY);
            row
        },
    )
}

/// The cost of a commit does not grow with the age of the table.
#[test]
fn a_commit_reads_the_manifests_and_files_of_its_own_days_only() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let of_day = |day: i64| {
            let mut row = row(7, fields([("n", number("1"))]));
            row.lineage.id = format!("on day {day}");
            row.lineage.arrived_at = Timestamp::from_micros(MORNING + day * DAY);
            row
        };
        let old = lake_on(Arc::clone(&memory), "memory:/lake");
        for month in 0..5 {
            land(&old, vec![of_day(month * 30)]).await.unwrap();
        }
        let manifests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&manifests);
        let watched = ScriptedFiles::new(memory, move |step, location| {
            if step == Step::Read && location.contains("/metadata/m-") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Fault::None
        });
        let cold = lake_on(Arc::new(watched), "memory:/lake");
        let landed = land(&cold, vec![of_day(60)]).await.unwrap();
        assert_eq!((landed.landed, landed.duplicates, landed.files_read), (0, 1, 1));
        assert_eq!(manifests.load(Ordering::Relaxed), 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_has_landed_is_found_however_it_is_delivered_again(
        batches in prop::collection::vec(prop::collection::vec(any_row(), 1..8), 1..5),
        again in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..10),
        moved_first in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
            // Each record has one lineage: the number in its id decides, with its source.
            let mut all: Vec<Row> = Vec::new();
            for mut batch in batches {
                batch.retain(|row| {
                    let name = |it: &Row| (it.lineage.source.clone(), it.lineage.id.clone());
                    all.iter().all(|known| name(known) != name(row))
                });
                for row in &mut batch {
                    row.lineage.moved = moved_first;
                }
                all.extend(batch.iter().cloned());
                land(&lake, batch).await.unwrap();
            }
            for (index, moved) in again {
                let mut row = index.get(&all).clone();
                // A move to a DLQ, or the original after it, has another time and number.
                if moved || moved_first {
                    row.lineage.moved = moved;
                    row.lineage.position = Some(format!("{:060}", 99_999));
                    row.lineage.shard = row.lineage.shard.map(|it| it + "x");
                    // A move only makes a message later.
                    let day = if moved { 86_400_000_000 } else { -86_400_000_000 };
                    let other = |it: Timestamp| Timestamp::from_micros(it.micros() + day);
                    row.lineage.arrived_at = row.lineage.arrived_at.and_then(other);
                }
                let landed = land(&lake, vec![row]).await.unwrap();
                assert_eq!((landed.landed, landed.duplicates), (0, 1));
            }
        });
    }

    /// Nothing that is sent under an id of the route's own is lost or there twice, however often
    /// and in whatever company it comes.
    #[test]
    fn what_an_id_names_is_there_once_and_the_rest_is_refused(
        batches in prop::collection::vec(prop::collection::vec(any_event(), 1..8), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = lake_on(Arc::new(Memory::default()), "memory:/lake");
            let mut stays: BTreeMap<String, String> = BTreeMap::new();
            for batch in batches {
                let landed = land(&lake, batch.clone()).await.unwrap();
                let refused: Vec<usize> = landed.refused.iter().map(|(at, _)| *at).collect();
                for (at, row) in batch.iter().enumerate() {
                    let digest = row.lineage.digest.clone().unwrap();
                    let first = stays.entry(row.lineage.id.clone()).or_insert(digest.clone());
                    assert_eq!(refused.contains(&at), *first != digest, "{at} of {batch:?}");
                }
                let all = landed.landed + landed.duplicates;
                assert_eq!(all as usize + refused.len(), batch.len());
            }
            let rows = read(&lake).await;
            let there: BTreeMap<String, String> = rows
                .into_iter()
                .map(|(id, row)| match &row["_lw_digest"] {
                    Cell::Text(digest) => (id, digest.clone()),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(there, stays);
        });
    }
}
