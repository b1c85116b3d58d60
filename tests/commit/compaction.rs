//! Compaction joins files, and every row stays, is found again, and reads as before.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::{
    DataContentType, DataFileBuilder, DataFileFormat, Literal, NestedField, PartitionSpec,
    PrimitiveType, Struct, Transform, Type,
};
use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::store::{Lake, UpkeepReport};
use lakeward::table::Cell;
use lakeward::time::Timestamp;
use lakeward::value::Value;

use super::{AT, TABLE_AT, before_swap, changed, counts, foreign, meddle, newest, run, with};
use crate::support::lake::{
    MORNING, ReadRow, expect_rows, fields, lake_after, lake_on, land, local, number, read, row,
    table, text,
};
use crate::support::store::{Fault, Memory, ScriptedFiles};

const MINUTE: i64 = 60_000_000;

/// Row `n`, which arrives in minute `n`.
fn minute(n: u32) -> Row {
    let mut row = row(n, fields([("n", number(&n.to_string())), ("a", text(&format!("a{n}")))]));
    row.lineage.arrived_at = Timestamp::from_micros(MORNING + i64::from(n) * MINUTE);
    row
}

/// A lake whose clock is days after the last row.
fn lake(files: &Arc<dyn Files>) -> Lake {
    lake_after(400, Arc::clone(files), AT)
}

async fn upkeep(lake: &Lake) -> UpkeepReport {
    lake.upkeep(&[table()], &Deadline::none(), |_, _| {}).await.remove(0)
}

async fn files_of(lake: &Lake) -> u64 {
    lake.describe(&table()).await.unwrap().unwrap().files
}

/// The summary of the current snapshot.
async fn summary(files: &Arc<dyn Files>, name: &str) -> String {
    let metadata = newest(files, TABLE_AT).await;
    let summary = metadata.current_snapshot().unwrap().summary();
    summary.additional_properties[name].clone()
}

#[test]
fn small_files_become_one_and_every_row_is_found_again() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake(&files);
        for n in 0..200 {
            land(&lake, vec![minute(n)]).await.unwrap();
        }
        let before = read(&lake).await;
        let report = upkeep(&lake).await;
        assert_eq!((report.files, report.rows, &report.trouble), (200, 200, &None));
        assert!(report.bytes_written > 0 && !report.is_unfinished);
        assert_eq!((files_of(&lake).await, read(&lake).await), (1, before.clone()));
        for (name, expected) in
            [("total-records", "200"), ("total-data-files", "1"), ("deleted-data-files", "200")]
        {
            assert_eq!(summary(&files, name).await, expected, "{name}");
        }
        for n in 0..200 {
            let landed = land(&lake, vec![minute(n)]).await.unwrap();
            assert_eq!((counts(&landed), landed.files_read), ((0, 1), 1), "{n}");
        }
        // What comes next is not looked for in it.
        let landed = land(&lake, vec![minute(300)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((1, 0), 0));
        assert_eq!(upkeep(&lake).await.units, 0);
        assert_eq!(read(&lake).await.len(), before.len() + 1);
    });
}

/// Whatever kinds of rows a table has, and whatever was joined with what: a row that was found is found.
#[test]
fn rows_of_every_kind_are_found_after_compaction_too() {
    const DAY: i64 = 24 * 60 * MINUTE;
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake(&files);
        let message = |n: u32, at: Option<i64>, moved: bool| {
            let mut row = row(n, fields([("n", number(&n.to_string()))]));
            row.lineage.source = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo".to_owned();
            row.lineage.moved = moved;
            row.lineage.position = Some(format!("{:060}", at.unwrap_or(0)));
            row.lineage.arrived_at = at.and_then(Timestamp::from_micros);
            row
        };
        // Plain, moved, without arrival, ten of each; in turns, some in one batch.
        for n in 0..10 {
            let at = MORNING + i64::from(n) * MINUTE;
            let rows = vec![
                minute(n),
                message(100 + n, Some(at), true),
                message(200 + n, None, false),
                message(300 + n, Some(at), false),
            ];
            for row in rows {
                land(&lake, vec![row]).await.unwrap();
            }
        }
        let before = read(&lake).await;
        let mut joined = 0;
        for _ in 0..2 {
            joined += upkeep(&lake).await.files;
            assert_eq!(read(&lake).await, before);
            for n in 0..10 {
                // A message that was moved was sent up to four weeks before.
                let sent = MORNING + i64::from(n) * MINUTE - i64::from(n) * 2 * DAY;
                let at = MORNING + i64::from(n) * MINUTE;
                for again in [
                    minute(n),
                    message(100 + n, Some(sent), false),
                    message(100 + n, Some(at + DAY), true),
                    message(200 + n, None, false),
                    message(300 + n, Some(at), false),
                    message(300 + n, Some(at + DAY), true),
                ] {
                    let landed = land(&lake, vec![again.clone()]).await.unwrap();
                    assert_eq!(counts(&landed), (0, 1), "{again:?}");
                }
            }
        }
        assert_eq!(joined, 40);
        // Today's traffic opens none of them.
        let landed = land(&lake, vec![message(999, Some(MORNING + DAY), false)]).await.unwrap();
        assert_eq!(landed.files_read, 0);
    });
}

#[test]
fn files_of_other_schemas_are_joined_by_field_id() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        // Someone else has the time of today.
        let lake = lake_on(Arc::clone(&files), AT);
        let with_fields = |n: u32, own: lakeward::value::Fields| Row { fields: own, ..minute(n) };
        let old = |n: u32| with_fields(n, fields([("a", text("x")), ("b", number("1"))]));
        for n in 0..3 {
            land(&lake, vec![old(n)]).await.unwrap();
        }
        meddle(&files, TABLE_AT, |metadata, builder| {
            let renamed = changed(metadata, |mut field| {
                if field.name == "a" {
                    field.name = "renamed".to_owned();
                }
                (field.name != "b").then_some(field)
            });
            builder.add_current_schema(renamed).unwrap()
        })
        .await;
        meddle(&files, TABLE_AT, |metadata, builder| {
            let int = Type::Primitive(PrimitiveType::Int);
            let schema = with(metadata, NestedField::optional(900, "small", int));
            builder.add_current_schema(schema).unwrap()
        })
        .await;
        for n in 3..6 {
            let list = Value::List(vec![number("1")]);
            let own = fields([("renamed", text("y")), ("c", list), ("small", number("7"))]);
            land(&lake, vec![with_fields(n, own)]).await.unwrap();
        }
        let before = read(&lake).await;
        assert_eq!(before["shardId-000000000000:0"]["renamed"], Cell::Text("x".to_owned()));
        let report = upkeep(&lake).await;
        assert_eq!((report.files, files_of(&lake).await, report.trouble), (6, 1, None));
        assert_eq!(read(&lake).await, before);
    });
}

/// A row in which a column has all values of its type.
fn of_all_types(n: u32) -> Row {
    let list = Value::List(vec![number(&n.to_string()), Value::Null]);
    let own = fields([
        ("long", number(&n.to_string())),
        ("double", number(&format!("{n}.5"))),
        ("text", text(&"é".repeat(n as usize % 90))),
        ("flag", Value::Bool(n.is_multiple_of(2))),
        ("list", list),
        ("none", Value::Null),
        ("bytes", Value::Binary(vec![255; n as usize % 90])),
    ]);
    Row { fields: own, ..minute(n) }
}

/// Other engines read this table as well.
#[test]
fn other_engines_read_compacted_files() {
    let (_, location, folder) = local("commit-compacted");
    let files: Arc<dyn Files> = Arc::new(lakeward::store::files::local::LocalFiles);
    let lake = lake_after(400, files, &location);
    let before: BTreeMap<String, ReadRow> = run(async {
        for n in 0..60 {
            land(&lake, (0..5).map(|part| of_all_types(5 * n + part)).collect()).await.unwrap();
        }
        read(&lake).await
    });
    run(async {
        let report = upkeep(&lake).await;
        assert_eq!((report.rows, report.trouble), (300, None));
        assert_eq!(read(&lake).await, before);
        for n in 300..305 {
            land(&lake, vec![of_all_types(n)]).await.unwrap();
        }
    });
    expect_rows(&folder, 305);
}

/// Writes between the look at the files and the swap.
#[test]
fn commits_meanwhile_neither_lose_rows_nor_void_the_unit() {
    for others in [1, 3, 12] {
        run(async {
            let memory: Arc<dyn Files> = Arc::new(Memory::default());
            for n in 0..25 {
                land(&lake(&memory), vec![minute(n)]).await.unwrap();
            }
            let other = Arc::clone(&memory);
            let script = before_swap(&memory, move || {
                run(async {
                    for n in 0..others {
                        land(&lake(&other), vec![minute(100 + n)]).await.unwrap();
                    }
                });
            });
            let report = upkeep(&lake(&script)).await;
            assert!(report.files >= 25, "{report:?}");
            assert_eq!(read(&lake(&memory)).await.len(), 25 + others as usize);
        });
    }
}

#[test]
fn two_upkeeps_at_once_join_each_file_once() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        for n in 0..40 {
            land(&lake(&memory), vec![minute(n)]).await.unwrap();
        }
        let other = Arc::clone(&memory);
        let script = before_swap(&memory, move || {
            assert_eq!(run(upkeep(&lake(&other))).files, 40);
        });
        let report = upkeep(&lake(&script)).await;
        assert_eq!((report.files, report.trouble), (0, None));
        let rows = read(&lake(&memory)).await;
        assert_eq!((rows.len(), files_of(&lake(&memory)).await), (40, 1));
    });
}

/// Someone's delete file, which applies to the rows of a day that are older than it.
async fn delete_rows(files: &Arc<dyn Files>, day: i32) {
    let file = DataFileBuilder::default()
        .content(DataContentType::EqualityDeletes)
        .file_path(format!("{TABLE_AT}/data/deletes.parquet"))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(day))]))
        .partition_spec_id(0)
        .record_count(1)
        .file_size_in_bytes(1)
        .equality_ids(Some(vec![1]))
        .build()
        .unwrap();
    foreign::delete(files, file).await;
}

/// A file that takes the place of others is younger than they were: a delete must not miss its rows.
#[test]
fn where_someone_deletes_rows_nothing_is_joined() {
    const MORNING_DAY: i32 = 20_780;
    for is_late in [false, true] {
        run(async {
            let memory: Arc<dyn Files> = Arc::new(Memory::default());
            let today = |files: &Arc<dyn Files>| lake_on(Arc::clone(files), AT);
            for n in 0..10 {
                let mut tomorrow = minute(100 + n);
                tomorrow.lineage.arrived_at = Timestamp::from_micros(MORNING + 1_440 * MINUTE);
                land(&today(&memory), vec![minute(n)]).await.unwrap();
                land(&today(&memory), vec![tomorrow]).await.unwrap();
            }
            let script = if is_late {
                let other = Arc::clone(&memory);
                before_swap(&memory, move || run(delete_rows(&other, MORNING_DAY)))
            } else {
                delete_rows(&memory, MORNING_DAY).await;
                Arc::clone(&memory)
            };
            let report = upkeep(&today(&script)).await;
            assert_eq!((report.files, report.trouble), (10, None), "late: {is_late}");
            assert_eq!(files_of(&today(&memory)).await, 11);
        });
    }
}

/// A table whose owner has divided it by another column since.
#[test]
fn files_of_an_older_spec_are_joined_under_their_own() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let today = lake_on(Arc::clone(&files), AT);
        for n in 0..5 {
            land(&today, vec![minute(n)]).await.unwrap();
        }
        meddle(&files, TABLE_AT, |metadata, builder| {
            let spec = PartitionSpec::builder(Arc::clone(metadata.current_schema()))
                .with_last_assigned_field_id(metadata.last_partition_id())
                .add_partition_field("_lw_arrived_at", "arrived_day", Transform::Day)
                .and_then(|it| it.add_partition_field("_lw_op", "op", Transform::Identity))
                .unwrap();
            builder.add_default_partition_spec(spec.build().unwrap().into_unbound()).unwrap()
        })
        .await;
        for n in 5..10 {
            land(&today, vec![minute(n)]).await.unwrap();
        }
        let before = read(&today).await;
        let report = upkeep(&today).await;
        assert_eq!((report.units, report.files, report.trouble), (2, 10, None));
        assert_eq!((files_of(&today).await, read(&today).await), (2, before));
    });
}

/// Another engine need not say the size of every column.
#[test]
fn a_column_whose_size_is_not_said_keeps_its_values() {
    run(async {
        let files: Arc<dyn Files> = Arc::new(Memory::default());
        let today = lake_on(Arc::clone(&files), AT);
        for n in 0..6 {
            land(&today, vec![minute(n)]).await.unwrap();
        }
        let before = read(&today).await;
        foreign::rewrite_without_sizes(&files, &[1, 2, 3]).await;
        let report = upkeep(&today).await;
        assert_eq!((report.files, report.trouble), (6, None));
        assert_eq!((files_of(&today).await, read(&today).await), (1, before));
        // It has no bounds that could hide a row.
        for n in 0..6 {
            assert_eq!(counts(&land(&today, vec![minute(n)]).await.unwrap()), (0, 1));
        }
    });
}

#[test]
fn a_damaged_file_is_named_and_the_others_are_joined() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as _;
        for n in 0..9 {
            land(&lake(&files), vec![minute(n)]).await.unwrap();
        }
        let (damaged, bytes) = memory.ending(".parquet").swap_remove(3);
        let mut broken = bytes.to_vec();
        broken[10..200].fill(0xff);
        memory.put(&damaged, broken);
        let report = upkeep(&lake(&files)).await;
        assert_eq!(report.files, 8);
        assert!(report.trouble.unwrap().contains(&damaged));
        memory.put(&damaged, bytes);
        assert_eq!(read(&lake(&files)).await.len(), 9);
    });
}

/// Whichever call fails, and however: the rows are there once, and the next upkeep does the rest.
#[test]
fn whichever_call_fails_every_row_is_there_once() {
    for fault in [Fault::Refuse, Fault::LoseAnswer, Fault::ExistsThoughDone] {
        for nth in 0.. {
            let is_over = run(async {
                let memory: Arc<dyn Files> = Arc::new(Memory::default());
                for n in 0..12 {
                    land(&lake(&memory), vec![minute(n)]).await.unwrap();
                }
                let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
                let counted = Arc::clone(&calls);
                let script = ScriptedFiles::new(Arc::clone(&memory), move |_, _| {
                    let call = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if call == nth { fault } else { Fault::None }
                });
                let script: Arc<dyn Files> = Arc::new(script);
                upkeep(&lake(&script)).await;
                assert_eq!(read(&lake(&memory)).await.len(), 12, "{fault:?} of call {nth}");
                upkeep(&lake(&memory)).await;
                let left = files_of(&lake(&memory)).await;
                assert_eq!((read(&lake(&memory)).await.len(), left), (12, 1));
                calls.load(std::sync::atomic::Ordering::Relaxed) <= nth
            });
            if is_over {
                break;
            }
        }
    }
}
