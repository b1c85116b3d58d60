//! Hole 22: metadata stays small, and a tag's snapshot stays.

use std::sync::Arc;

use lakeward::store::files::Files;

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
