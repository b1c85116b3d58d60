//! Manifests merge in the commit, and no file, number or row is lost by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::ManifestEntry;
use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::time::Timestamp;

use super::foreign::manifests;
use super::{AT, counts, run};
use crate::support::lake::{
    MORNING, expect_rows, fields, lake_on, land, local, number, read, row, text,
};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

/// The entries of a table's head by file, as Iceberg's own reader sees them.
async fn entries(files: &Arc<dyn Files>) -> BTreeMap<String, ManifestEntry> {
    let memory = FileIO::new_with_memory();
    let mut entries = BTreeMap::new();
    for manifest in manifests(files).await {
        let bytes = files.read(&manifest.manifest_path).await.unwrap().unwrap();
        memory.new_output(&manifest.manifest_path).unwrap().write(bytes).await.unwrap();
        for entry in manifest.load_manifest(&memory).await.unwrap().entries() {
            let path = entry.file_path().to_owned();
            assert!(entries.insert(path.clone(), (**entry).clone()).is_none(), "{path} twice");
        }
    }
    entries
}

fn one(n: u32) -> Vec<Row> {
    vec![row(n, fields([("n", number(&n.to_string())), ("a", text(&format!("a{n}")))]))]
}

#[test]
fn a_list_stays_short_and_keeps_every_file_and_number() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&files), AT);
        let mut before = BTreeMap::new();
        for n in 0..230 {
            land(&lake, one(n)).await.unwrap();
            let now = entries(&files).await;
            assert_eq!(now.len(), n as usize + 1);
            // Whatever is merged: snapshot, numbers, bounds and counts of each file stay.
            for (path, old) in &before {
                let ManifestEntry { snapshot_id, sequence_number, file_sequence_number, .. } = old;
                let new: &ManifestEntry = &now[path];
                assert_eq!(
                    (&new.snapshot_id, &new.sequence_number, &new.file_sequence_number),
                    (snapshot_id, sequence_number, file_sequence_number),
                );
                assert_eq!(new.data_file, old.data_file);
            }
            before = now;
            let manifests = manifests(&files).await;
            assert!(manifests.len() <= 22, "{} manifests after {n}", manifests.len());
        }
        // A commit opens few of them: those whose names say that they may hold the record.
        let cold = lake_on(Arc::clone(&files), AT);
        let landed = land(&cold, one(17)).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read <= 230), ((0, 1), true));
        assert_eq!(read(&lake).await.len(), 230);
    });
}

#[test]
fn each_row_of_merged_manifests_is_found_again() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&files), AT);
        // Minutes apart, so that a redelivery looks into one file alone.
        let apart = |n: u32| {
            let mut rows = one(n);
            let at = MORNING + i64::from(n) * 60_000_000;
            rows[0].lineage.arrived_at = Timestamp::from_micros(at);
            rows
        };
        for n in 0..120 {
            assert_eq!(land(&lake, apart(n)).await.unwrap().files_read, 0);
        }
        assert!(manifests(&files).await.len() < 25);
        for n in 0..120 {
            let landed = land(&lake, apart(n)).await.unwrap();
            assert_eq!((counts(&landed), landed.files_read), ((0, 1), 1), "{n}");
        }
    });
}

/// Files of messages that came through a DLQ may hold any arrival of the weeks before: they must not be
/// opened for every batch from then on.
#[test]
fn moved_messages_widen_no_search_but_that_for_themselves() {
    const DAY: i64 = 24 * 3_600 * 1_000_000;
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&files), AT);
        let message = |n: u32, at: i64, moved: bool| {
            let mut row = row(n, fields([("n", number(&n.to_string()))]));
            row.lineage.source = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo".to_owned();
            row.lineage.moved = moved;
            row.lineage.position = Some(format!("{at:060}"));
            row.lineage.arrived_at = Timestamp::from_micros(at);
            row
        };
        for n in 0..30 {
            // Some in one batch with others.
            let others = (1_000 + n, MORNING + i64::from(n), false);
            let rows = [(n, MORNING, true), others].map(|(n, at, moved)| message(n, at, moved));
            land(&lake, rows.into()).await.unwrap();
        }
        for n in 0..30 {
            let at = MORNING + i64::from(n + 1) * 60_000_000;
            let landed = land(&lake, vec![message(2_000 + n, at, false)]).await.unwrap();
            assert_eq!((counts(&landed), landed.files_read), ((1, 0), 0), "{n}");
        }
        // The original of a message, sent 27 days before it was moved.
        let original = message(7, MORNING - 27 * DAY, false);
        assert_eq!(counts(&land(&lake, vec![original]).await.unwrap()), (0, 1));
        assert_eq!(read(&lake).await.len(), 90);
    });
}

#[test]
fn a_swap_that_is_lost_after_a_merge_loses_nothing() {
    for lost in 1..4 {
        run(async {
            let memory = Arc::new(Memory::default());
            let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
            for n in 0..10 {
                land(&lake_on(Arc::clone(&files), AT), one(n)).await.unwrap();
            }
            // The commit that merges is overtaken by others, which merge as well.
            let other = Arc::clone(&files);
            let mut overtaken = 0;
            let script = ScriptedFiles::new(Arc::clone(&files), move |step, _| {
                if step == Step::Create && overtaken < lost {
                    let (other, rows) = (Arc::clone(&other), one(100 + overtaken));
                    overtaken += 1;
                    let land =
                        move || run(async { land(&lake_on(other, AT), rows).await.unwrap() });
                    std::thread::spawn(land).join().unwrap();
                }
                Fault::None
            });
            let landed = land(&lake_on(Arc::new(script), AT), one(10)).await.unwrap();
            assert_eq!((counts(&landed), landed.conflicts), ((1, 0), u64::from(lost)));
            assert_eq!(entries(&files).await.len(), 11 + lost as usize);
            assert!(manifests(&files).await.len() <= 2 + lost as usize);
            assert_eq!(read(&lake_on(files, AT)).await.len(), 11 + lost as usize);
        });
    }
}

/// Other engines read this table as well.
#[test]
fn other_engines_read_merged_manifests() {
    let (lake, _, folder) = local("commit-merged-manifests");
    run(async {
        for n in 0..125 {
            land(&lake, one(n)).await.unwrap();
        }
    });
    expect_rows(&folder, 125);
}
