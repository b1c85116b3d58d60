//! Lakes and rows for tests of the committer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lakeward::deadline::Deadline;
use lakeward::number::Number;
use lakeward::record::{Lineage, Row};
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::{Lake, LandReport, StoreError};
use lakeward::table::layout::Policy;
use lakeward::table::{Cell, ColumnType};
use lakeward::table_name::TableName;
use lakeward::time::Timestamp;
use lakeward::value::{Fields, Value};

/// 2026-11-23T10:00:00Z
pub const MORNING: i64 = 1_795_428_000_000_000;

/// Where test lakes are, for the independent readers to find: `target/lakes/<name>`, emptied.
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/lakes").join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The time now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

pub fn table() -> TableName {
    "test.rows".parse().unwrap()
}

/// A lake on `files` at a location.
pub fn lake_on(files: Arc<dyn Files>, location: &str) -> Lake {
    Lake::with(files, location.to_owned(), "test".to_owned(), Clock::system())
}

/// The same for a process that runs `days` later.
pub fn lake_after(days: u64, files: Arc<dyn Files>, location: &str) -> Lake {
    let now = move || SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60);
    Lake::with(files, location.to_owned(), "test".to_owned(), Clock::from_fn(now))
}

/// A lake in a fresh local folder, with its location and its folder.
pub fn local(name: &str) -> (Lake, String, PathBuf) {
    let folder = fresh_folder(name);
    let location = LocalFiles::location(folder.join("lake").to_str().unwrap()).unwrap();
    (lake_on(Arc::new(LocalFiles), &location), location, folder)
}

pub fn number(literal: &str) -> Value {
    Value::Number(Number::parse(literal).unwrap())
}

pub fn text(it: &str) -> Value {
    Value::Text(it.to_owned())
}

pub fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Row `n` of shard 0: its id, position and arrival follow from `n`.
pub fn row(n: u32, fields: Fields) -> Row {
    let source = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
    let lineage = Lineage {
        shard: Some("shardId-000000000000".to_owned()),
        key: Some("k".to_owned()),
        position: Some(format!("{n:060}")),
        arrived_at: Timestamp::from_micros(MORNING + i64::from(n) * 1_000),
        ..Lineage::new(source, format!("shardId-000000000000:{n}"))
    };
    Row { lineage, fields }
}

pub async fn land(lake: &Lake, rows: Vec<Row>) -> Result<LandReport, StoreError> {
    lake.land(&table(), &Policy::default(), rows, &Deadline::none()).await
}

/// One row as it reads: its non-null columns.
pub type ReadRow = BTreeMap<String, Cell>;

/// All rows by id; fails on an id that is there twice.
pub async fn read(lake: &Lake) -> BTreeMap<String, ReadRow> {
    let Some(read) = lake.all_rows(&table()).await.unwrap() else {
        return BTreeMap::new();
    };
    let mut rows = BTreeMap::new();
    for cells in read.rows {
        let names = read.columns.iter().map(|(name, _)| name.clone());
        let row: ReadRow = names.zip(cells).filter(|(_, cell)| *cell != Cell::Null).collect();
        let Some(Cell::Text(id)) = row.get("_lw_id").cloned() else { panic!("no _lw_id: {row:?}") };
        assert!(rows.insert(id.clone(), row).is_none(), "{id} is there twice");
    }
    rows
}

/// Column types of the table.
pub async fn types(lake: &Lake) -> BTreeMap<String, ColumnType> {
    let read = lake.newest(&table(), 0).await.unwrap().unwrap();
    read.columns.into_iter().collect()
}

/// Tells the independent readers how many rows the test table has.
pub fn expect_rows(folder: &std::path::Path, rows: usize) {
    let expected = serde_json::json!({"tables": {"test.rows": {"rows": rows}}});
    std::fs::write(folder.join("expected.json"), expected.to_string()).unwrap();
}
