//! The properties of a table: the releases that may write to it, its types of times, its additional
//! columns, and its identity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use iceberg::spec::{FormatVersion, NestedField, PrimitiveType, TableMetadata, Transform};
use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::store::{Lake, Release, StoreError};
use lakeward::table::layout::Policy;
use lakeward::table::{Cell, ColumnType};

use super::{AT, TABLE_AT, changed, counts, meddle, newest, primitive, run, with};
use crate::support::lake::{
    MORNING, expect_rows, fields, lake_on, land, local, number, read, row, table, text, types,
};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

fn release(version: &str, format: u32, min_writer: &str) -> Release {
    Release { version: version.to_owned(), format, min_writer: min_writer.to_owned() }
}

async fn set_properties(files: &Arc<dyn Files>, properties: &[(&str, &str)]) {
    let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    meddle(files, TABLE_AT, |_, builder| builder.set_properties(properties.collect()).unwrap())
        .await;
}

fn one(n: u32) -> Vec<Row> {
    vec![row(n, fields([("a", text("x"))]))]
}

#[test]
fn a_new_table_may_be_written_by_every_release_of_its_format() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let newer = lake_on(Arc::clone(&files), AT).written_by(release("0.7.3", 1, "0.1.0"));
        land(&newer, one(1)).await.unwrap();
        let metadata = newest(&files, TABLE_AT).await;
        assert_eq!(metadata.properties()["lakeward.format"], "1");
        assert_eq!(metadata.properties()["lakeward.min-writer"], "0.1.0");
        // The rollback.
        let older = lake_on(Arc::clone(&files), AT).written_by(release("0.1.0", 1, "0.1.0"));
        land(&older, one(2)).await.unwrap();
        let metadata = newest(&files, TABLE_AT).await;
        let mut written: Vec<String> = Vec::new();
        for snapshot in metadata.snapshots() {
            let summary = &snapshot.summary().additional_properties;
            assert_eq!(summary["lakeward.config"], "test");
            written.push(summary["lakeward.version"].clone());
        }
        written.sort();
        assert_eq!(written, ["0.1.0", "0.7.3"]);
    });
}

#[test]
fn a_release_that_is_too_old_writes_nothing_and_still_reads() {
    for (properties, sentence) in [
        (
            &[("lakeward.min-writer", "0.2.0")][..],
            "use release 0.2.0 or newer; nothing was written",
        ),
        (&[("lakeward.format", "2")], "use a newer release; nothing was written"),
        (&[("lakeward.min-writer", "soon")], "nothing was written"),
    ] {
        run(async {
            let memory = Arc::new(Memory::default());
            let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
            let lake = lake_on(Arc::clone(&files), AT);
            land(&lake, one(1)).await.unwrap();
            set_properties(&files, properties).await;
            let before = memory.sizes(AT);
            // Rows that would land, rows that are there, and a process that has seen nothing.
            for lake in [&lake, &lake_on(Arc::clone(&files), AT)] {
                for batch in [one(2), one(1), vec![row(3, fields([("new", text("x"))]))]] {
                    let refused = land(lake, batch).await.unwrap_err().to_string();
                    assert!(refused.starts_with("table test.rows: "), "{refused}");
                    assert!(refused.contains("0.1.0") && refused.ends_with(sentence), "{refused}");
                }
                assert_eq!(memory.sizes(AT), before);
                assert_eq!(read(lake).await.len(), 1);
                assert_eq!(lake.describe(&table()).await.unwrap().unwrap().rows, 1);
            }
            let newer = release("0.2.0", 2, "0.2.0");
            let newer = lake_on(Arc::clone(&files), AT).written_by(newer);
            let landed = land(&newer, one(2)).await;
            assert_eq!(landed.is_ok(), !sentence.starts_with("nothing"), "soon is not a version");
            set_properties(&files, &[("lakeward.min-writer", "0.1.0"), ("lakeward.format", "1")])
                .await;
            assert_eq!(counts(&land(&lake, one(3)).await.unwrap()), (1, 0));
        });
    }
}

#[test]
fn a_table_that_is_raised_between_look_and_swap_is_not_written() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        land(&lake_on(Arc::clone(&memory), AT), one(1)).await.unwrap();
        let landed = super::land_meddled(&memory, AT, one(2), |_, builder| {
            let raised = [("lakeward.min-writer".to_owned(), "9.9.9".to_owned())];
            builder.set_properties(raised.into()).unwrap()
        })
        .await;
        let refused = landed.unwrap_err().to_string();
        assert!(refused.ends_with("use release 9.9.9 or newer; nothing was written"), "{refused}");
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 1);
    });
}

#[test]
fn a_table_of_a_newer_iceberg_format_is_left_alone() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let lake = lake_on(Arc::clone(&files), AT);
        land(&lake, one(1)).await.unwrap();
        meddle(&files, TABLE_AT, |_, builder| {
            builder.upgrade_format_version(FormatVersion::V3).unwrap()
        })
        .await;
        let before = memory.sizes(AT);
        let refused = land(&lake, one(2)).await.unwrap_err().to_string();
        assert!(refused.contains("Iceberg format v3"), "{refused}");
        assert_eq!(memory.sizes(AT), before);
    });
}

#[test]
fn a_table_without_any_of_our_properties_is_written_and_told_again_what_engines_need() {
    run(async {
        let (lake, location, folder) = local("commit-no-properties");
        let files: Arc<dyn Files> = Arc::new(lakeward::store::files::local::LocalFiles);
        let at = format!("{location}/test/rows");
        land(&lake, vec![row(1, fields([("a", text("x"))]))]).await.unwrap();
        let full = newest(&files, &at).await.properties().clone();
        meddle(&files, &at, |metadata, builder| {
            let names: Vec<String> = metadata.properties().keys().cloned().collect();
            let ours = [("write.parquet.compression-codec".to_owned(), "gzip".to_owned())];
            builder.remove_properties(&names).unwrap().set_properties(ours.into()).unwrap()
        })
        .await;
        let batch = vec![row(1, fields([("a", text("x"))])), row(2, fields([("a", text("y"))]))];
        let landed = land(&lake, batch).await.unwrap();
        assert_eq!((counts(&landed), landed.new_columns), ((1, 1), vec![]));
        let now = newest(&files, &at).await.properties().clone();
        for (name, value) in full.iter().filter(|(name, _)| name.starts_with("write.")) {
            let kept = name == "write.parquet.compression-codec";
            assert_eq!(now[name], if kept { "gzip" } else { value.as_str() }, "{name}");
        }
        assert_eq!(read(&lake).await["shardId-000000000000:2"]["a"], Cell::Text("y".into()));
        expect_rows(&folder, 2);
    });
}

// Holes of the head that only a new table at an old place shows.

#[test]
fn a_lake_that_is_rebuilt_under_a_running_process_is_another_lake() {
    for versions in 1..6 {
        run(async {
            let memory = Arc::new(Memory::default());
            let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
            let warm = lake_on(Arc::clone(&files), AT);
            for n in 1..=3 {
                land(&warm, one(n)).await.unwrap();
            }
            for (name, _) in memory.sizes(AT) {
                memory.remove(&name);
            }
            // The other lake's versions go to the same number, beyond it, or not as far.
            let other = lake_on(Arc::clone(&files), AT);
            for n in 1..=versions {
                let other_column = vec![row(10 * n, fields([("b", text("y"))]))];
                land(&other, other_column).await.unwrap();
            }
            // The warm process has landed these, in the lake that is gone.
            assert_eq!(counts(&land(&warm, one(3)).await.unwrap()), (1, 0), "{versions}");
            let fresh = lake_on(Arc::clone(&files), AT);
            assert_eq!(read(&fresh).await.len(), versions as usize + 1, "{versions}");
            assert_eq!(read(&warm).await, read(&fresh).await, "{versions}");
            assert!(types(&fresh).await.contains_key("b"), "{versions}");
        });
    }
}

#[test]
fn a_table_that_comes_and_goes_costs_no_more_than_the_time_there_is() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        land(&lake_on(Arc::clone(&files), AT), one(9)).await.unwrap();
        let first = format!("{TABLE_AT}/metadata/v1.metadata.json");
        let others = memory.get(&first).unwrap();
        for (name, _) in memory.sizes(AT) {
            memory.remove(&name);
        }
        // At each creation another writer was faster; at each load the table is gone.
        let swaps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&swaps);
        let script = move |step, location: &str| {
            if step == Step::Create && location == first {
                counted.fetch_add(1, Ordering::Relaxed);
                memory.put(location, others.clone());
            }
            if step == Step::Read && location.ends_with("/version-hint.text") {
                memory.remove(&first);
            }
            Fault::None
        };
        let lake = lake_on(Arc::new(ScriptedFiles::new(files, script)), AT);
        let soon = Deadline::after(Duration::from_millis(500));
        let landed = lake.land(&table(), &Policy::default(), one(1), &soon).await;
        assert!(matches!(landed, Err(StoreError::OutOfTime(_))), "{landed:?}");
        let sent = swaps.load(Ordering::Relaxed);
        assert!((1..32).contains(&sent), "{sent} swaps in a quarter of a second");
        // With all the time there is, it ends as well.
        let error = land(&lake, one(1)).await.unwrap_err().to_string();
        assert!(error.contains("others create and remove it"), "{error}");
    });
}

// Columns that a policy asks for.

fn zoned() -> Policy {
    Policy { zoned: true, ..Policy::default() }
}

async fn land_as(lake: &Lake, policy: &Policy, rows: Vec<Row>) -> (u64, u64) {
    counts(&lake.land(&table(), policy, rows, &Deadline::none()).await.unwrap())
}

#[test]
fn times_have_a_zone_where_the_lake_says_so() {
    run(async {
        let (lake, location, folder) = local("commit-zoned");
        let batch: Vec<Row> = (0..3).map(|n| row(n * 86_400_000, fields([]))).collect();
        assert_eq!(land_as(&lake, &zoned(), batch.clone()).await, (3, 0));
        for name in ["_lw_arrived_at", "_lw_event_at"] {
            assert_eq!(types(&lake).await[name], ColumnType::Timestamptz, "{name}");
        }
        assert_eq!(types(&lake).await["_lw_id"], ColumnType::String);
        // Partitions, bounds and the search work by them.
        assert_eq!(land_as(&lake, &zoned(), batch).await, (0, 3));
        let far = vec![row(600_000_000, fields([]))];
        let landed = lake.land(&table(), &zoned(), far, &Deadline::none()).await.unwrap();
        assert_eq!((landed.landed, landed.files_read), (1, 0));
        let files: Arc<dyn Files> = Arc::new(lakeward::store::files::local::LocalFiles);
        let metadata = newest(&files, &format!("{location}/test/rows")).await;
        let [field] = metadata.default_partition_spec().fields() else { panic!() };
        assert_eq!(field.transform, Transform::Day);
        let found = lake.describe(&table()).await.unwrap().unwrap();
        assert_eq!((found.rows, found.files), (4, 4), "a day each");
        assert_eq!(found.last_arrival.unwrap().micros(), MORNING + 600_000_000_000);
        let newest = lake.newest(&table(), 1).await.unwrap().unwrap();
        assert!(newest.rows[0].contains(&Cell::Micros(MORNING + 600_000_000_000)));
        expect_rows(&folder, 4);
    });
}

#[test]
fn a_table_keeps_the_times_it_was_made_with() {
    for (first, then, ty) in [
        (zoned(), Policy::default(), ColumnType::Timestamptz),
        (Policy::default(), zoned(), ColumnType::Timestamp),
    ] {
        run(async {
            let (lake, _, folder) = local(&format!("commit-kept-{ty}"));
            assert_eq!(land_as(&lake, &first, one(1)).await, (1, 0));
            assert_eq!(land_as(&lake, &then, [one(1), one(2)].concat()).await, (1, 1));
            assert_eq!(types(&lake).await["_lw_arrived_at"], ty);
            expect_rows(&folder, 2);
        });
    }
}

/// Someone adds `_lw_before` as a release does that the policy asks to.
fn with_before(metadata: &TableMetadata) -> iceberg::spec::Schema {
    let id = metadata.last_column_id() + 1;
    with(metadata, primitive(id, "_lw_before", PrimitiveType::String))
}

#[test]
fn the_old_image_is_in_a_column_where_the_table_has_one() {
    run(async {
        let (lake, location, folder) = local("commit-before");
        let files: Arc<dyn Files> = Arc::new(lakeward::store::files::local::LocalFiles);
        let changed = |n: u32| {
            let mut row = row(n, fields([("a", number("2"))]));
            row.lineage.before = Some(r#"{"a":1}"#.to_owned());
            row
        };
        // A table without that setting stays as it is.
        land(&lake, vec![changed(1)]).await.unwrap();
        assert!(!types(&lake).await.contains_key("_lw_before"));
        let at = format!("{location}/test/rows");
        meddle(&files, &at, |metadata, builder| {
            builder.add_current_schema(with_before(metadata)).unwrap()
        })
        .await;
        land(&lake, vec![changed(2), row(3, fields([("a", number("3"))]))]).await.unwrap();
        let rows = read(&lake).await;
        let before = |n: u32| rows[&format!("shardId-000000000000:{n}")].get("_lw_before");
        assert_eq!(before(1), None);
        assert_eq!(before(2), Some(&Cell::Text(r#"{"a":1}"#.to_owned())));
        assert_eq!(before(3), None);
        expect_rows(&folder, 3);
    });
}

/// Tables of Lakeward's own have no `_lw_extra` for what has no column any more.
#[test]
fn a_column_of_quarantine_that_someone_dropped_fails_the_batch_and_says_so() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&files), AT);
        let quarantine = "lakeward.quarantine".parse().unwrap();
        let (policy, unlimited) = (Policy::default(), Deadline::none());
        let land = |rows| lake.land(&quarantine, &policy, rows, &unlimited);
        land(one(1)).await.unwrap_or_else(|error| panic!("{error}"));
        meddle(&files, &format!("{AT}/lakeward/quarantine"), |metadata, builder| {
            let schema = changed(metadata, |it| (it.name != "a").then_some(it));
            builder.add_current_schema(schema).unwrap()
        })
        .await;
        let refused = land(one(2)).await.unwrap_err().to_string();
        assert!(refused.contains("someone dropped one of its columns"), "{refused}");
        let rows = lake.newest(&quarantine, 9).await.unwrap().unwrap().rows;
        assert_eq!(rows.len(), 1);
    });
}

#[test]
fn a_lineage_column_that_someone_replaced_fails_the_batch_and_says_so() {
    let other_type = |name: &str| primitive(900, name, PrimitiveType::Long);
    let cases: [(&str, NestedField, &str); 3] = [
        ("_lw_before", other_type("_lw_before"), "_lw_before is of type long"),
        ("_lw_key", other_type("_lw_key"), "_lw_key is of type long"),
        (
            "_lw_key",
            NestedField { required: true, ..primitive(4, "_lw_key", PrimitiveType::String) },
            "_lw_key required",
        ),
    ];
    for (name, field, problem) in cases {
        run(async {
            let files: Arc<dyn Files> = Arc::new(Memory::default());
            let lake = lake_on(Arc::clone(&files), AT);
            land(&lake, one(1)).await.unwrap();
            meddle(&files, TABLE_AT, |metadata, builder| {
                let kept = metadata.current_schema().as_struct().fields().iter();
                let kept = kept.filter(|it| it.name != name).cloned().chain([Arc::new(field)]);
                let schema = iceberg::spec::Schema::builder().with_fields(kept).build().unwrap();
                builder.add_current_schema(schema).unwrap()
            })
            .await;
            let refused = land(&lake, one(2)).await.unwrap_err().to_string();
            assert!(refused.contains(problem), "{refused}");
            assert_eq!(read(&lake).await.len(), 1);
        });
    }
}
