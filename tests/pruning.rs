//! A file that the id check skips can't hold a record of the batch, whatever its bounds are.

use std::sync::Arc;

use lakeward::record::{Op, Row};
use lakeward::time::Timestamp;
use proptest::prelude::*;

use crate::support::lake::{MORNING, fields, lake_on, land, number, row};
use crate::support::store::Memory;

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
                    let later = |it: Timestamp| Timestamp::from_micros(it.micros() + 86_400_000_000);
                    row.lineage.arrived_at = row.lineage.arrived_at.and_then(later);
                }
                let landed = land(&lake, vec![row]).await.unwrap();
                assert_eq!((landed.landed, landed.duplicates), (0, 1));
            }
        });
    }
}
