//! The commit under attack: each test is a hole that an exactly-once commit can have.

use std::sync::{Arc, Mutex};

use iceberg::spec::{
    NestedField, PrimitiveType, Schema, TableMetadata, TableMetadataBuilder, Type,
};
use lakeward::record::Row;
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::head::{Head, Swap};
use lakeward::store::{LandReport, StoreError};

use crate::support::lake::{lake_on, land};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

mod cleaning;
mod compaction;
mod data_files;
mod files_contract;
mod foreign;
mod head;
mod ids;
mod inspect;
mod listing;
mod merging;
mod names;
mod other_writers;
mod pending;
mod pruning;
mod redelivery;
mod s3;
mod stale;
mod swap;
mod tables;
mod trim;
mod values;
mod writers;

const AT: &str = "memory:/lake";
const TABLE_AT: &str = "memory:/lake/test/rows";

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// The files, on which something happens before the first swap.
fn before_swap(files: &Arc<dyn Files>, what: impl FnOnce() + Send + 'static) -> Arc<dyn Files> {
    let mut what = Some(what);
    Arc::new(ScriptedFiles::new(Arc::clone(files), move |step, _| {
        if step == Step::Create
            && let Some(what) = what.take()
        {
            // In a runtime of its own.
            std::thread::spawn(what).join().unwrap();
        }
        Fault::None
    }))
}

fn counts(landed: &LandReport) -> (u64, u64) {
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

/// Lands `batch` while `meddling` happens between its file and its swap, once.
async fn land_meddled<F>(
    files: &Arc<dyn Files>,
    location: &str,
    batch: Vec<Row>,
    meddling: F,
) -> Result<LandReport, StoreError>
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
    let lake = lake_on(Arc::new(ScriptedFiles::new(Arc::clone(files), script)), location);
    let meddler = async {
        reached.notified().await;
        meddle(files, &format!("{location}/test/rows"), meddling).await;
        *done.lock().unwrap() = true;
    };
    let (landed, ()) = tokio::join!(land(&lake, batch), meddler);
    landed
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
