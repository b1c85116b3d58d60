//! Redelivered, bisected and doubled batches.

use std::sync::Arc;
use std::time::Duration;

use lakeward::record::Row;
use lakeward::store::files::Files;

use super::{AT, counts, run};
use crate::support::lake::{expect_rows, fields, lake_on, land, local, number, read, row};
use crate::support::store::Memory;

#[test]
fn redelivered_bisected_and_doubled_batches_land_once() {
    let (lake, _, folder) = local("commit-redelivery");
    let batch = |range: std::ops::Range<u32>| -> Vec<Row> {
        range.map(|n| row(n, fields([("n", number(&n.to_string()))]))).collect()
    };
    run(async {
        assert_eq!(counts(&land(&lake, batch(0..10)).await.unwrap()), (10, 0));
        assert_eq!(counts(&land(&lake, batch(0..10)).await.unwrap()), (0, 10));
        assert_eq!(counts(&land(&lake, batch(0..5)).await.unwrap()), (0, 5));
        assert_eq!(counts(&land(&lake, batch(5..15)).await.unwrap()), (5, 5));
        let mut doubled = batch(15..18);
        doubled.extend(batch(15..18));
        assert_eq!(counts(&land(&lake, doubled).await.unwrap()), (3, 3));
        let next = land(&lake, batch(100_000..100_010)).await.unwrap();
        assert_eq!((next.landed, next.files_read), (10, 0), "nothing overlaps, nothing is read");
        assert_eq!(read(&lake).await.len(), 28);
    });
    expect_rows(&folder, 28);
}

#[test]
fn a_record_without_arrival_time_is_found_again() {
    run(async {
        let (lake, _, folder) = local("commit-no-arrival");
        let mut timeless = row(1, fields([("n", number("1"))]));
        timeless.lineage.arrived_at = None;
        let batch = vec![timeless, row(2, fields([("n", number("2"))]))];
        assert_eq!(counts(&land(&lake, batch.clone()).await.unwrap()), (2, 0));
        assert_eq!(counts(&land(&lake, batch[..1].to_vec()).await.unwrap()), (0, 1));
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 2));
        expect_rows(&folder, 2);
    });
}

#[test]
fn a_message_that_came_through_a_dlq_is_found_under_its_old_time() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(memory, AT);
        let original = row(1, fields([("n", number("1"))]));
        land(&lake, vec![original.clone()]).await.unwrap();
        let mut moved = original;
        moved.lineage.moved = true;
        moved.lineage.position = Some(format!("{:060}", 77));
        moved.lineage.shard = Some("another group".to_owned());
        let days = Duration::from_secs(10 * 24 * 3_600).as_micros() as i64;
        let at = crate::support::lake::MORNING + days;
        moved.lineage.arrived_at = lakeward::time::Timestamp::from_micros(at);
        assert_eq!(counts(&land(&lake, vec![moved]).await.unwrap()), (0, 1));
    });
}
