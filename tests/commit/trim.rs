//! Hole 22: metadata stays small, and a tag's snapshot stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::store::{Lake, Retention};

use super::{AT, TABLE_AT, meddle, newest, run};
use crate::support::lake::{fields, lake_on, land, number, read, row, text, types};
use crate::support::store::Memory;

#[test]
fn a_thousand_batches_with_a_new_attribute_each_keep_the_metadata_small() {
    let memory = Arc::new(Memory::default());
    let lake = lake_on(Arc::clone(&memory) as Arc<dyn Files>, AT);
    run(async {
        let mut largest = 0;
        for n in 0..1_000_u32 {
            let name = format!("attribute{n}");
            let batch = vec![row(n, vec![(name, number("1"))])];
            assert_eq!(land(&lake, batch).await.unwrap().landed, 1);
            let versions = memory.sizes(&format!("{TABLE_AT}/metadata/v"));
            largest = largest.max(versions.iter().map(|(_, size)| *size).max().unwrap());
            // No reader needs old versions here.
            for (name, _) in versions.iter().filter(|(name, _)| name.ends_with(".json")) {
                let number = name.rsplit("/v").next().unwrap().split('.').next().unwrap();
                let newest = memory.get(&format!("{TABLE_AT}/metadata/version-hint.text")).unwrap();
                if number.as_bytes() != newest {
                    memory.remove(name);
                }
            }
        }
        assert!(largest < 300_000, "{largest} bytes");
        let columns = types(&lake).await.keys().filter(|it| it.starts_with("attribute")).count();
        assert_eq!(columns, 200);
        assert_eq!(read(&lake).await.len(), 1_000);
    });
}

/// Commits of one minute each, and the snapshots that are left.
async fn snapshots_left(keep_for: Duration, commits: u32) -> usize {
    let memory: Arc<dyn Files> = Arc::new(Memory::default());
    let minutes = Arc::new(AtomicU64::new(29_900_000));
    let now = Arc::clone(&minutes);
    let clock =
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(60 * now.load(Ordering::Relaxed)));
    let lake = Lake::with(Arc::clone(&memory), AT.to_owned(), String::new(), clock);
    let lake = lake.keeping(Retention { snapshots: keep_for, ..Retention::default() });
    for n in 0..commits {
        minutes.fetch_add(1, Ordering::Relaxed);
        land(&lake, vec![row(n, fields([("a", text("x"))]))]).await.unwrap();
    }
    newest(&memory, TABLE_AT).await.snapshots().len()
}

#[test]
fn snapshots_are_kept_as_long_as_the_config_says() {
    const MINUTE: Duration = Duration::from_secs(60);
    run(async {
        // The last 20 are always kept, and none is dropped before 16 can be.
        assert!((20..=36).contains(&snapshots_left(MINUTE, 100).await));
        assert!((60..=77).contains(&snapshots_left(60 * MINUTE, 150).await));
        assert_eq!(snapshots_left(6 * 60 * MINUTE, 250).await, 250);
    });
}

#[test]
fn what_a_tag_names_is_never_trimmed() {
    let memory: Arc<dyn Files> = Arc::new(Memory::default());
    let lake = lake_on(Arc::clone(&memory), AT);
    run(async {
        land(&lake, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        let tagged = newest(&memory, TABLE_AT).await.current_snapshot_id().unwrap();
        meddle(&memory, TABLE_AT, |_, builder| {
            let reference = iceberg::spec::SnapshotReference::new(
                tagged,
                iceberg::spec::SnapshotRetention::Tag { max_ref_age_ms: None },
            );
            builder.set_ref("quarter_close", reference).unwrap()
        })
        .await;
        for n in 1..230 {
            land(&lake, vec![row(n, fields([("a", text("x"))]))]).await.unwrap();
        }
        let metadata = newest(&memory, TABLE_AT).await;
        assert_eq!(metadata.snapshot_for_ref("quarter_close").unwrap().snapshot_id(), tagged);
        assert!(metadata.snapshots().len() <= 220, "{}", metadata.snapshots().len());
    });
}
