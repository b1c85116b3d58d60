//! The commit under attack: each test is a hole that an exactly-once commit can have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use iceberg::spec::{
    NestedField, PartitionSpec, PrimitiveType, Schema, TableMetadata, TableMetadataBuilder,
    Transform, Type,
};
use lakeward::record::Row;
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::head::{Head, Swap};
use lakeward::store::{Lake, Landed, StoreError};
use lakeward::table::{Cell, ColumnType};
use lakeward::value::Value;

use crate::support::lake::{
    expect_rows, fields, lake_on, land, local, number, read, row, text, types,
};
use crate::support::store::{Fault, Memory, Scripted, Step};

mod data_files;
mod files_contract;
mod ids;
mod inspect;
mod listing;
mod pruning;
mod s3;
mod stale;
mod tables;

const AT: &str = "memory:/lake";
const TABLE_AT: &str = "memory:/lake/test/rows";

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

fn counts(landed: &Landed) -> (u64, u64) {
    (landed.landed, landed.duplicates)
}

/// Someone else's commit: a change of the newest metadata, made the way we make ours.
async fn meddle(
    files: &Arc<dyn Files>,
    location: &str,
    change: impl FnOnce(&TableMetadata, TableMetadataBuilder) -> TableMetadataBuilder,
) {
    let head = VersionFiles::new(Arc::clone(files), Clock::system(), location);
    let base = head.load().await.unwrap().unwrap();
    let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.location.clone()));
    let new = change(&base.metadata, builder).build().unwrap().metadata;
    assert!(matches!(head.swap(Some(&base), &new, "someone else's").await, Swap::Swapped));
}

async fn newest(files: &Arc<dyn Files>, location: &str) -> TableMetadata {
    let head = VersionFiles::new(Arc::clone(files), Clock::system(), location);
    TableMetadata::clone(&head.load().await.unwrap().unwrap().metadata)
}

/// The schema with each record column changed, or dropped for `None`.
fn changed(
    metadata: &TableMetadata,
    mut change: impl FnMut(NestedField) -> Option<NestedField>,
) -> Schema {
    let fields = metadata.current_schema().as_struct().fields().iter().filter_map(|field| {
        let field = NestedField::clone(field);
        if field.name.starts_with("_lw_") { Some(field) } else { change(field) }
    });
    Schema::builder().with_fields(fields.map(Arc::new)).build().unwrap()
}

fn with(metadata: &TableMetadata, field: NestedField) -> Schema {
    let mut fields = metadata.current_schema().as_struct().fields().to_vec();
    fields.push(Arc::new(field));
    Schema::builder().with_fields(fields).build().unwrap()
}

fn primitive(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(ty))
}

/// Every writer's values are under their own names.
fn assert_own_names(rows: &BTreeMap<String, BTreeMap<String, Cell>>) {
    for (id, row) in rows {
        let n = id.rsplit(':').next().unwrap();
        let own: Vec<_> = row.iter().filter(|(name, _)| !name.starts_with("_lw_")).collect();
        assert!(!own.is_empty(), "{id} has lost its columns");
        for (name, cell) in own {
            assert_eq!(*cell, Cell::Text(format!("{name} of {n}")), "{id}, column {name}");
        }
    }
}

fn named_row(n: u32, names: &[String]) -> Row {
    let fields = names.iter().map(|name| (name.clone(), text(&format!("{name} of {n}"))));
    row(n, fields.collect())
}

/// Whether a column is the record's own. One named like ours has another name.
fn is_own(column: &str) -> bool {
    lakeward::table::lineage::RECORD.iter().all(|it| it.name != column)
}

// Hole 2: field ids are guessed before the swap.

#[test]
fn sixteen_writers_with_overlapping_attributes_create_one_table() {
    let (_, location, folder) = local("commit-first-batches");
    let files: Arc<dyn Files> = Arc::new(Scripted::new(Arc::new(LocalFiles), |_, _| Fault::None));
    run(async {
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..16_u32 {
            let lake = lake_on(Arc::clone(&files), &location);
            let mut names: Vec<String> = (n..n + 5).map(|it| format!("a{}", it % 19)).collect();
            fastrand::shuffle(&mut names);
            writers.spawn(async move { land(&lake, vec![named_row(n, &names)]).await.unwrap() });
        }
        while let Some(landed) = writers.join_next().await {
            assert_eq!(counts(&landed.unwrap()), (1, 0));
        }
        let rows = read(&lake_on(Arc::clone(&files), &location)).await;
        assert_eq!(rows.len(), 16);
        assert_own_names(&rows);
        assert!(rows.values().all(|row| row.keys().filter(|it| !it.starts_with('_')).count() == 5));
    });
    expect_rows(&folder, 16);
}

#[test]
fn sixteen_writers_add_one_new_attribute_each_to_one_table() {
    let (lake, location, folder) = local("commit-new-attributes");
    let files: Arc<dyn Files> = Arc::new(Scripted::new(Arc::new(LocalFiles), |_, _| Fault::None));
    run(async {
        land(&lake, vec![named_row(100, &["common".to_owned()])]).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..16_u32 {
            let lake = lake_on(Arc::clone(&files), &location);
            let names = ["common".to_owned(), format!("new{n}")];
            writers.spawn(async move { land(&lake, vec![named_row(n, &names)]).await.unwrap() });
        }
        while let Some(landed) = writers.join_next().await {
            assert_eq!(counts(&landed.unwrap()), (1, 0));
        }
        let rows = read(&lake).await;
        assert_eq!(rows.len(), 17);
        assert_own_names(&rows);
    });
    expect_rows(&folder, 17);
}

// Hole 6: a refusal that is our own success.

#[test]
fn a_lost_answer_lands_the_rows_once_and_counts_no_duplicate() {
    for fault in [Fault::LoseAnswer, Fault::ExistsThoughDone, Fault::ExistsThoughNot, Fault::Refuse]
    {
        for foreign in [0_u32, 1, 7, 50] {
            run(async {
                let memory: Arc<dyn Files> = Arc::new(Memory::default());
                let others = Arc::new(lake_on(Arc::clone(&memory), AT));
                land(&others, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();

                let faults = Arc::new(AtomicU32::new(0));
                let seen = Arc::clone(&faults);
                // The first two sends of a swap go wrong.
                let script = move |step, location: &str| {
                    let swap = step == Step::Create && location.contains("/metadata/v");
                    if swap && seen.fetch_add(1, Ordering::Relaxed) < 2 {
                        fault
                    } else {
                        Fault::None
                    }
                };
                let files: Arc<dyn Files> = Arc::new(Scripted::new(Arc::clone(&memory), script));
                let ours = lake_on(Arc::clone(&files), AT);
                let batch: Vec<Row> = (1..=3).map(|n| row(n, fields([("a", text("y"))]))).collect();
                let racing = async {
                    for n in 0..foreign {
                        let other = row(1_000 + n, fields([("a", text("z"))]));
                        land(&others, vec![other]).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                };
                let (landed, ()) = tokio::join!(land(&ours, batch.clone()), racing);
                assert_eq!(counts(&landed.unwrap()), (3, 0), "{fault:?}, {foreign} foreign");
                assert!(faults.load(Ordering::Relaxed) >= 1, "the fault never happened");
                assert_eq!(read(&others).await.len(), 4 + foreign as usize);
                // The redelivery finds them.
                assert_eq!(counts(&land(&others, batch).await.unwrap()), (0, 3));
            });
        }
    }
}

#[test]
fn an_unknown_outcome_fails_and_the_redelivery_lands_what_is_missing() {
    for done in [true, false] {
        run(async {
            let memory: Arc<dyn Files> = Arc::new(Memory::default());
            let others = lake_on(Arc::clone(&memory), AT);
            land(&others, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
            // Once the swap is sent, the store is gone for good.
            let gone = Arc::new(Mutex::new(false));
            let script = move |step, location: &str| {
                let mut gone = gone.lock().unwrap();
                if *gone {
                    return Fault::Refuse;
                }
                if step == Step::Create && location.contains("/metadata/v") {
                    *gone = true;
                    return if done { Fault::LoseAnswer } else { Fault::Refuse };
                }
                Fault::None
            };
            let ours = lake_on(Arc::new(Scripted::new(Arc::clone(&memory), script)), AT);
            let batch = vec![row(1, fields([("a", text("y"))]))];
            land(&ours, batch.clone()).await.unwrap_err();
            let expected = if done { (0, 1) } else { (1, 0) };
            assert_eq!(counts(&land(&others, batch).await.unwrap()), expected);
            assert_eq!(read(&others).await.len(), 2);
        });
    }
}

// Hole 1: a version number that is free again, as far as a swap alone can be to blame.

#[test]
fn a_head_that_was_loaded_long_ago_is_not_swapped() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        land(&lake_on(Arc::clone(&memory), AT), vec![row(0, fields([("a", text("x"))]))])
            .await
            .unwrap();
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let told = Arc::clone(&now);
        let clock = Clock::from_fn(move || *told.lock().unwrap());
        let head = VersionFiles::new(Arc::clone(&memory), clock, TABLE_AT);
        let base = head.load().await.unwrap().unwrap();
        let new = TableMetadata::clone(&base.metadata);
        *now.lock().unwrap() += Duration::from_secs(301);
        assert!(matches!(head.swap(Some(&base), &new, "late").await, Swap::TooOld));
        // A clock that went back says nothing about the head's age either.
        *now.lock().unwrap() -= Duration::from_secs(600);
        assert!(matches!(head.swap(Some(&base), &new, "late").await, Swap::TooOld));
        let fresh = head.load().await.unwrap().unwrap();
        assert_eq!(fresh.token, base.token, "nothing was sent");
    });
}

#[test]
fn an_environment_that_freezes_in_mid_commit_loads_again_and_lands_once() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let start = SystemTime::now();
        let frozen = Arc::new(Mutex::new(start));
        let told = Arc::clone(&frozen);
        let clock = Clock::from_fn(move || *told.lock().unwrap());
        let first = Arc::new(AtomicU32::new(0));
        let script = move |step, location: &str| {
            // While the manifest list is written, an hour passes: once.
            if step == Step::Write
                && location.contains("/snap-")
                && first.fetch_add(1, Ordering::Relaxed) == 0
            {
                *frozen.lock().unwrap() += Duration::from_secs(3_600);
            }
            Fault::None
        };
        let files: Arc<dyn Files> = Arc::new(Scripted::new(Arc::clone(&memory), script));
        let lake = Lake::with(files, AT.to_owned(), "test".to_owned(), clock);
        let landed = land(&lake, vec![row(1, fields([("a", text("y"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake).await.len(), 1);
    });
}

// Hole 7: the hint is gone, and the table is created again on top of itself.

#[test]
fn whatever_happens_to_the_hint_nothing_is_lost_and_nothing_is_created() {
    let hint = format!("{TABLE_AT}/metadata/version-hint.text");
    let damages: [(&str, Option<&str>); 9] = [
        ("first", Some("1")),
        ("deleted", None),
        ("emptied", Some("")),
        ("garbled", Some("\u{fffd}v7")),
        ("zero", Some("0")),
        ("behind", Some("2")),
        ("removed version", Some("3")),
        ("beyond the head", Some("4711")),
        ("too large", Some("99999999999999999999999")),
    ];
    for (damage, text_of_hint) in damages {
        run(async {
            let memory = Arc::new(Memory::default());
            let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
            for n in 0..12 {
                land(&lake_on(Arc::clone(&files), AT), vec![row(n, fields([("a", text("x"))]))])
                    .await
                    .unwrap();
            }
            let before = newest(&files, TABLE_AT).await;
            // Upkeep removes old versions in the long run, all but the first.
            for version in 2..=6 {
                if damage != "behind" {
                    memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
                }
            }
            match text_of_hint {
                None => memory.remove(&hint),
                Some(text) => memory.put(&hint, text.as_bytes().to_vec()),
            }
            // A process that has seen nothing yet.
            let lake = lake_on(Arc::clone(&files), AT);
            let again = vec![row(5, fields([("a", text("x"))]))];
            assert_eq!(counts(&land(&lake, again).await.unwrap()), (0, 1), "{damage}");
            let head = memory.get(&hint).unwrap();
            let all = memory.sizes(&format!("{TABLE_AT}/metadata/v")).into_iter();
            let versions = all.filter(|(name, _)| name.ends_with(".json")).count();
            let largest = versions + if damage == "behind" { 0 } else { 5 };
            assert_eq!(head, largest.to_string().as_bytes(), "{damage}: the hint is repaired");
            let landed = land(&lake, vec![row(99, fields([("a", text("y"))]))]).await.unwrap();
            assert_eq!(counts(&landed), (1, 0), "{damage}");
            assert_eq!(read(&lake).await.len(), 13, "{damage}");
            assert_eq!(newest(&files, TABLE_AT).await.uuid(), before.uuid(), "{damage}");
        });
    }
}

#[test]
fn what_a_process_has_seen_is_no_proof_when_the_hint_is_gone() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let warm = lake_on(Arc::clone(&files), AT);
        land(&warm, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        for n in 1..20 {
            land(&lake_on(Arc::clone(&files), AT), vec![row(n, fields([("a", text("x"))]))])
                .await
                .unwrap();
        }
        // The warm process has seen v2; its successors are gone, and so is the hint.
        for version in 3..=12 {
            memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
        }
        memory.remove(&format!("{TABLE_AT}/metadata/version-hint.text"));
        let landed = land(&warm, vec![row(99, fields([("a", text("x"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake_on(files, AT)).await.len(), 21);
        assert_hint_is_head(&memory);
    });
}

#[test]
fn a_lake_that_is_removed_under_a_running_process_begins_anew() {
    run(async {
        let memory = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&memory) as Arc<dyn Files>, AT);
        land(&lake, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        for (name, _) in memory.sizes(AT) {
            memory.remove(&name);
        }
        let landed = land(&lake, vec![row(1, fields([("a", text("x"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 1);
    });
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_the_others() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let ahead = Clock::from_fn(|| SystemTime::now() + Duration::from_secs(86_400));
        let fast = Lake::with(Arc::clone(&memory), AT.to_owned(), "test".to_owned(), ahead);
        land(&fast, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        let lake = lake_on(Arc::clone(&memory), AT);
        // A new column is a change of the schema alone first.
        for n in 1..4 {
            let batch = vec![row(n, vec![(format!("new{n}"), text("y"))])];
            assert_eq!(counts(&land(&lake, batch).await.unwrap()), (1, 0));
        }
        land(&fast, vec![row(9, fields([("b", text("x"))]))]).await.unwrap();
        land(&lake, vec![row(10, fields([("c", text("x"))]))]).await.unwrap();
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 6);
    });
}

#[test]
fn a_swap_that_was_never_answered_is_found_by_the_next_load() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        // Every swap is done and says that it failed: visible, and perhaps not durable.
        let script = |step, location: &str| {
            let swap = step == Step::Create && location.contains("/metadata/v");
            if swap { Fault::LoseAnswer } else { Fault::None }
        };
        let lake = lake_on(Arc::new(Scripted::new(Arc::clone(&memory), script)), AT);
        let batch = vec![row(1, fields([("a", text("y"))]))];
        // The next load finds it, and makes the hint, and with it the version's name, durable.
        assert_eq!(counts(&land(&lake, batch.clone()).await.unwrap()), (1, 0));
        let again = land(&lake_on(Arc::clone(&memory), AT), batch).await.unwrap();
        assert_eq!(counts(&again), (0, 1));
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 1);
    });
}

// Hole 8: the hint moves backwards or stays behind.

#[test]
fn after_the_last_answer_the_hint_is_the_head_however_hint_writes_are_delayed() {
    for seed in 0..8 {
        fastrand::seed(seed);
        let memory = Arc::new(Memory::default());
        let inner: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let files: Arc<dyn Files> = Arc::new(Scripted::new(inner, |_, _| Fault::None));
        run(async {
            let mut writers = tokio::task::JoinSet::new();
            for writer in 0..5_u32 {
                let lake = lake_on(Arc::clone(&files), AT);
                writers.spawn(async move {
                    for n in 0..4_u32 {
                        let rows = vec![row(writer * 100 + n, fields([("a", text("x"))]))];
                        land(&lake, rows).await.unwrap();
                    }
                });
            }
            while let Some(done) = writers.join_next().await {
                done.unwrap();
            }
            assert_hint_is_head(&memory);
        });
    }
}

#[test]
fn a_hint_that_could_not_be_written_is_repaired_by_the_next_load() {
    run(async {
        let memory = Arc::new(Memory::default());
        let inner: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let refuse = |step, _: &str| {
            if step == Step::ReplaceHint { Fault::Refuse } else { Fault::None }
        };
        let lake = lake_on(Arc::new(Scripted::new(Arc::clone(&inner), refuse)), AT);
        // Without a hint every load would fail to repair it, so the first is let through.
        land(&lake_on(Arc::clone(&inner), AT), vec![row(0, fields([("a", text("x"))]))])
            .await
            .unwrap();
        land(&lake, vec![row(1, fields([("a", text("x"))]))]).await.unwrap();
        // Nothing lands here; a load on the way is enough.
        let again = vec![row(1, fields([("a", text("x"))]))];
        assert_eq!(counts(&land(&lake_on(inner, AT), again).await.unwrap()), (0, 1));
        assert_hint_is_head(&memory);
    });
}

/// Steps get longer on the way, and shorter again before the end.
#[test]
fn the_head_is_found_however_far_behind_the_hint_is() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::<Memory>::clone(&memory);
        for n in 0..20 {
            let batch = vec![row(n, fields([("a", text("x"))]))];
            land(&lake_on(Arc::clone(&files), AT), batch).await.unwrap();
        }
        let head = newest(&files, TABLE_AT).await;
        for hint in 1_u32..=20 {
            memory.put(&format!("{TABLE_AT}/metadata/version-hint.text"), hint.to_string());
            assert_eq!(newest(&files, TABLE_AT).await, head, "from {hint}");
            assert_hint_is_head(&memory);
        }
    });
}

fn assert_hint_is_head(memory: &Memory) {
    let versions = memory.sizes(&format!("{TABLE_AT}/metadata/v")).into_iter();
    let numbers = versions.filter_map(|(name, _)| {
        let name = name.rsplit('/').next()?.to_owned();
        name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse::<u64>().ok()
    });
    let head = numbers.max().unwrap();
    let hint = memory.get(&format!("{TABLE_AT}/metadata/version-hint.text")).unwrap();
    assert_eq!(hint, head.to_string().as_bytes());
}

// Hole 12: a record that brings its own `_id`, `_source`, `arrived_day`, …

#[test]
fn no_name_of_a_record_can_make_a_batch_fail() {
    let (lake, _, folder) = local("commit-names");
    let mut names: Vec<String> = [
        "_id",
        "_ID",
        "_source",
        "_extra",
        "_file",
        "_pos",
        "_deleted",
        "_spec_id",
        "_partition",
        "_row_id",
        "_lw_id",
        "_lw_source",
        "_LW_ID",
        "_lw_extra",
        "_lw_arrived_at",
        "arrived_day",
        "arrivedDay",
        "pos",
        "file_path",
        "",
        " ",
        ".",
        "a.b",
        "/",
        "..",
        "\0",
        "é",
        "日本",
        "💥",
        "id",
        "Id",
        "ID",
        "iD",
        "select",
        "1",
        "1a",
        "n1",
        "price",
        "price__double",
        "Price",
    ]
    .map(str::to_owned)
    .into();
    let mut random = fastrand::Rng::with_seed(12);
    while names.len() < 1_040 {
        let length = random.usize(0..200);
        names.push((0..length).map(|_| random.char(..)).collect());
    }
    run(async {
        for (n, chunk) in names.chunks(20).enumerate() {
            let rows = chunk
                .iter()
                .enumerate()
                .map(|(at, name)| row((n * 20 + at) as u32, vec![(name.clone(), text(name))]));
            let landed = land(&lake, rows.collect()).await.unwrap();
            assert_eq!(counts(&landed), (chunk.len() as u64, 0));
        }
        let rows = read(&lake).await;
        assert_eq!(rows.len(), names.len());
        for (n, name) in names.iter().enumerate() {
            let row = &rows[&format!("shardId-000000000000:{n}")];
            assert_eq!(row["_lw_position"], Cell::Text(format!("{n:060}")), "identity is ours");
            let own: Vec<_> =
                row.iter().filter(|(column, _)| is_own(column) || *column == "_lw_extra").collect();
            let [(column, Cell::Text(value))] = own[..] else { panic!("{name:?}: {own:?}") };
            if column == "_lw_extra" {
                let extra: BTreeMap<String, String> = serde_json::from_str(value).unwrap();
                assert_eq!(extra, BTreeMap::from([(name.clone(), name.clone())]));
            } else {
                assert_eq!(value, name);
            }
        }
        let columns = types(&lake).await;
        let folded: BTreeSet<String> = columns.keys().map(|it| it.to_lowercase()).collect();
        assert_eq!(folded.len(), columns.len(), "columns that differ only in case");
    });
    expect_rows(&folder, names.len());
}

// Hole 16: writers that disagree about the schema.

/// Lands `batch` while `meddling` happens between its file and its swap, once.
async fn land_meddled<F>(
    files: &Arc<dyn Files>,
    location: &str,
    batch: Vec<Row>,
    meddling: F,
) -> Result<Landed, StoreError>
where
    F: FnOnce(&TableMetadata, TableMetadataBuilder) -> TableMetadataBuilder,
{
    let reached = Arc::new(tokio::sync::Notify::new());
    let done = Arc::new(Mutex::new(false));
    let (tell, stop) = (Arc::clone(&reached), Arc::clone(&done));
    // The script can't wait, so the swap is refused until the meddling is over.
    let script = move |step, location: &str| {
        let swap = step == Step::Create && location.contains("/metadata/v");
        if swap && !*stop.lock().unwrap() {
            tell.notify_one();
            return Fault::ExistsThoughNot;
        }
        Fault::None
    };
    let lake = lake_on(Arc::new(Scripted::new(Arc::clone(files), script)), location);
    let meddler = async {
        reached.notified().await;
        meddle(files, &format!("{location}/test/rows"), meddling).await;
        *done.lock().unwrap() = true;
    };
    let (landed, ()) = tokio::join!(land(&lake, batch), meddler);
    landed
}

async fn prepared(name: &str) -> (Arc<dyn Files>, Lake, String, std::path::PathBuf) {
    let (lake, location, folder) = local(name);
    let rows = vec![row(0, fields([("price", number("1")), ("name", text("one"))]))];
    land(&lake, rows).await.unwrap();
    (Arc::new(LocalFiles), lake, format!("{location}/test/rows"), folder)
}

fn lake_at(table: &str) -> String {
    table.strip_suffix("/test/rows").unwrap().to_owned()
}

#[test]
fn another_writer_adds_the_same_column_with_another_type() {
    let all = [
        ("boolean", PrimitiveType::Boolean),
        ("int", PrimitiveType::Int),
        ("long", PrimitiveType::Long),
        ("float", PrimitiveType::Float),
        ("double", PrimitiveType::Double),
        ("date", PrimitiveType::Date),
        ("timestamp", PrimitiveType::Timestamp),
        ("string", PrimitiveType::String),
        ("binary", PrimitiveType::Binary),
        ("decimal", PrimitiveType::Decimal { precision: 9, scale: 2 }),
        ("uuid", PrimitiveType::Uuid),
    ];
    for (name, ty) in all {
        run(async {
            let (files, lake, table, folder) = prepared(&format!("commit-other-type-{name}")).await;
            let batch = vec![row(1, fields([("price", number("2")), ("fresh", number("12.5"))]))];
            // The batch's own schema change comes first; theirs makes it conflict.
            let landed = land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
                let id = metadata.last_column_id() + 1;
                builder.add_current_schema(with(metadata, primitive(id, "fresh", ty))).unwrap()
            })
            .await
            .unwrap();
            assert_eq!(counts(&landed), (1, 0), "{name}");
            let rows = read(&lake).await;
            let row = &rows["shardId-000000000000:1"];
            assert_eq!(row["price"], Cell::Long(2), "{name}");
            let found: Vec<_> = row
                .iter()
                .filter(|(column, _)| column.starts_with("fresh") || *column == "_lw_extra")
                .collect();
            let exact = match found[..] {
                [(name, Cell::Text(it))] if name == "_lw_extra" => it == r#"{"fresh":12.5}"#,
                [(_, Cell::Double(it))] => (*it - 12.5).abs() < f64::EPSILON,
                [(_, Cell::Float(it))] => (*it - 12.5).abs() < f32::EPSILON,
                [(_, Cell::Decimal(it))] => *it == 1250,
                _ => false,
            };
            assert!(exact, "{name}: {found:?}");
            expect_rows(&folder, 2);
        });
    }
}

#[test]
fn another_writer_widens_drops_renames_or_replaces_a_column() {
    type Meddling = fn(&TableMetadata, TableMetadataBuilder) -> TableMetadataBuilder;
    let drop_price: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| (it.name != "price").then_some(it));
        builder.add_current_schema(schema).unwrap()
    };
    let rename: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| {
            let name = if it.name == "price" { "cost".to_owned() } else { it.name.clone() };
            Some(NestedField { name, ..it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let swap_names: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| {
            let name = if it.name == "price" { "name" } else { "price" }.to_owned();
            Some(NestedField { name, ..it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let replace: Meddling = |metadata, builder| {
        let id = metadata.last_column_id() + 1;
        let schema = changed(metadata, |it| {
            Some(if it.name == "price" { primitive(id, "price", PrimitiveType::Long) } else { it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let cases: [(&str, Meddling, &[(&str, Cell)]); 4] = [
        ("dropped", drop_price, &[("_lw_extra", Cell::Text(r#"{"price":2}"#.to_owned()))]),
        ("renamed", rename, &[("cost", Cell::Long(2))]),
        ("swapped", swap_names, &[("name", Cell::Long(2))]),
        ("replaced", replace, &[("price", Cell::Long(2))]),
    ];
    for (case, meddling, expected) in cases {
        run(async {
            let (files, lake, table, folder) = prepared(&format!("commit-{case}")).await;
            let batch = vec![row(1, fields([("price", number("2"))]))];
            let landed = land_meddled(&files, &lake_at(&table), batch, meddling).await.unwrap();
            assert_eq!(counts(&landed), (1, 0), "{case}");
            let rows = read(&lake).await;
            let own: Vec<(&str, Cell)> = rows["shardId-000000000000:1"]
                .iter()
                .filter(|(name, _)| !name.starts_with("_lw_") || *name == "_lw_extra")
                .map(|(name, cell)| (name.as_str(), cell.clone()))
                .collect();
            assert_eq!(own, expected, "{case}");
            // Inference does not bring it back.
            let more = vec![row(2, fields([("price", number("3"))]))];
            assert_eq!(
                land(&lake, more).await.unwrap().new_columns,
                Vec::<String>::new(),
                "{case}"
            );
            expect_rows(&folder, 3);
        });
    }
}

#[test]
fn another_writer_widens_a_column() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-widened").await;
        // Ours is a long; nothing is wider, so a narrow one is made first.
        meddle(&files, &table, |metadata, builder| {
            let id = metadata.last_column_id() + 1;
            let field = primitive(id, "count", PrimitiveType::Int);
            builder.add_current_schema(with(metadata, field)).unwrap()
        })
        .await;
        let batch = vec![row(1, fields([("count", number("7"))]))];
        land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
            let schema = changed(metadata, |it| {
                let wide = Box::new(Type::Primitive(PrimitiveType::Long));
                Some(if it.name == "count" { NestedField { field_type: wide, ..it } } else { it })
            });
            builder.add_current_schema(schema).unwrap()
        })
        .await
        .unwrap();
        assert_eq!(types(&lake).await["count"], ColumnType::Long);
        assert_eq!(read(&lake).await["shardId-000000000000:1"]["count"], Cell::Long(7));
        expect_rows(&folder, 2);
    });
}

/// Rows of one day and two hours are in two partitions, which readers prune by.
#[test]
fn another_writer_partitions_by_the_hour_of_arrival() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-by-hour").await;
        meddle(&files, &table, |metadata, builder| {
            let spec = PartitionSpec::builder(Arc::clone(metadata.current_schema()))
                .with_last_assigned_field_id(metadata.last_partition_id())
                .add_partition_field("_lw_arrived_at", "by_hour", Transform::Hour)
                .unwrap()
                .build()
                .unwrap();
            builder.add_default_partition_spec(spec.into_unbound()).unwrap()
        })
        .await;
        let hour = 3_600_000;
        let batch = [1, 2, hour].map(|n| row(n, fields([("name", text("x"))])));
        assert_eq!(land(&lake, batch.to_vec()).await.unwrap().files, 2);
        expect_rows(&folder, 4);
    });
}

#[test]
fn another_writer_changes_the_partition_spec() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-other-spec").await;
        let batch = vec![
            row(1, fields([("name", text("two"))])),
            row(2, fields([("name", text("three"))])),
        ];
        land_meddled(&files, &lake_at(&table), batch.clone(), |metadata, builder| {
            let spec = PartitionSpec::builder(Arc::clone(metadata.current_schema()))
                .with_last_assigned_field_id(metadata.last_partition_id())
                .add_partition_field("name", "by_name", Transform::Identity)
                .unwrap()
                .build()
                .unwrap();
            builder.add_default_partition_spec(spec.into_unbound()).unwrap()
        })
        .await
        .unwrap();
        assert_eq!(read(&lake).await.len(), 3);
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 2));
        meddle(&files, &table, |metadata, builder| {
            let field = primitive(metadata.last_column_id() + 1, "theirs", PrimitiveType::Uuid);
            builder.add_current_schema(with(metadata, field)).unwrap()
        })
        .await;
        // A new column may not be named like a partition field.
        let named = vec![row(3, fields([("by_name", text("four")), ("name", text("four"))]))];
        assert_eq!(counts(&land(&lake, named).await.unwrap()), (1, 0));
        let found = read(&lake).await["shardId-000000000000:3"].clone();
        assert!(
            found.values().filter(|it| **it == Cell::Text("four".to_owned())).count() == 2
                || found["_lw_extra"] == Cell::Text(r#"{"by_name":"four"}"#.to_owned()),
            "{found:?}"
        );
        // Three names, three partitions.
        assert_eq!(lake.describe(&crate::support::lake::table()).await.unwrap().unwrap().files, 4);
        expect_rows(&folder, 4);
    });
}

#[test]
fn a_required_column_of_someone_else_fails_the_batch_and_says_so() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-required").await;
        let batch = vec![row(1, fields([("price", number("2"))]))];
        let landed = land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
            let schema = changed(metadata, |it| {
                let required = it.name == "name";
                Some(NestedField { required, ..it })
            });
            builder.add_current_schema(schema).unwrap()
        })
        .await;
        let error = landed.unwrap_err().to_string();
        assert!(error.contains("test.rows") && error.contains("column name required"), "{error}");
        assert_eq!(read(&lake).await.len(), 1);
        expect_rows(&folder, 1);
    });
}

// Hole 22: schema history makes metadata grow with the square of the columns.

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
            // Nobody looks at old versions here.
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

// The ledger in everyday use.

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

#[test]
fn values_of_every_kind_come_back() {
    run(async {
        let (lake, _, folder) = local("commit-kinds");
        let all = fields([
            ("t", text("x")),
            ("b", Value::Bool(true)),
            ("l", number("-9223372036854775808")),
            ("d", number("19.99")),
            ("bin", Value::Binary(vec![0, 255])),
            ("tags", Value::Set(lakeward::value::Set::Text(vec!["a".into(), "b".into()]))),
            ("nested", Value::Map(fields([("a", number("1.50"))]))),
        ]);
        land(&lake, vec![row(1, all)]).await.unwrap();
        let rows = read(&lake).await;
        let row = &rows["shardId-000000000000:1"];
        assert_eq!(row["l"], Cell::Long(i64::MIN));
        assert_eq!(row["d"], Cell::Double(19.99));
        assert_eq!(row["bin"], Cell::Binary(vec![0, 255]));
        let tags = ["a", "b"].map(|it| Cell::Text(it.to_owned()));
        assert_eq!(row["tags"], Cell::List(tags.into()));
        assert_eq!(row["nested"], Cell::Text(r#"{"a":1.50}"#.to_owned()));
        expect_rows(&folder, 1);
    });
}

#[test]
fn the_null_share_of_nested_columns_is_not_made_up() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let tags = Value::Set(lakeward::value::Set::Text(vec!["a".into()]));
        land(&lake, vec![row(1, fields([("tags", tags), ("n", number("1"))]))]).await.unwrap();
        land(&lake, vec![row(2, fields([("n", number("2"))]))]).await.unwrap();
        let found = lake.describe(&crate::support::lake::table()).await.unwrap().unwrap();
        let nulls = |name: &str| found.columns.iter().find(|it| it.name == name).unwrap().nulls;
        assert_eq!((nulls("tags"), nulls("n"), nulls("_lw_digest")), (None, Some(0), Some(2)));
    });
}
