//! The next release, for tests in which it and this release write to the same table.
//!
//! It writes as release 9.9.9, and adds a property and a column to every table, which this release
//! does not know.
//!
//! ```text
//! next_release replay CONFIG LAKE FILE…      replays events, one a line
//! next_release set LAKE NAME VALUE           sets a property of every table
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use iceberg::spec::{
    NestedField, PrimitiveType, Schema, TableMetadata, TableMetadataBuilder, Type,
};
use lakeward::config::Config;
use lakeward::deadline::Deadline;
use lakeward::handler::{App, handle, sweep};
use lakeward::source::Event;
use lakeward::store::clock::Clock;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::head::{Head as _, Swap, commit_property};
use lakeward::store::{Lake, Release};
use lakeward::table_name::TableName;

/// A property that only the next release knows.
const PROPERTY: &str = "lakeward.next-release";
/// A column that only the next release knows.
const COLUMN: &str = "next_release";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args.as_slice() {
        ["replay", config, lake, files @ ..] => runtime.block_on(replay(config, lake, files)),
        ["set", lake, name, value] => {
            let change = |_: &TableMetadata, builder: TableMetadataBuilder| {
                let properties = HashMap::from([((*name).to_owned(), (*value).to_owned())]);
                Ok(Some(builder.set_properties(properties)?))
            };
            runtime.block_on(change_all(&Lake::open(settings(lake)?)?, &change))
        }
        _ => Err("see the first lines of its source".into()),
    }
}

fn settings(lake: &str) -> Result<lakeward::store::Settings> {
    let mut settings = Config::without_file()?.lake;
    lake.clone_into(&mut settings.location);
    Ok(settings)
}

async fn replay(config: &str, lake: &str, files: &[&str]) -> Result<()> {
    let mut config = Config::load(Path::new(config))?;
    lake.clone_into(&mut config.lake.location);
    let next = Release { version: "9.9.9".to_owned(), ..Release::current() };
    let lake = Lake::open(config.lake.clone())?.written_by(next);
    let app = App::on(config, lake, None);
    for file in files {
        for event in std::fs::read_to_string(file)?.lines() {
            change_all(&app.lake, &add_novelties).await?;
            let event = Event::read(event.as_bytes())?;
            let handled = Box::pin(handle(&app, &event, &Deadline::none())).await?;
            if let Some(trouble) = handled.trouble() {
                return Err(trouble.into());
            }
        }
    }
    // As a replay does: no row stays pending.
    for table in app.lake.tables().await? {
        sweep(&app, &app.lake, &table, &Deadline::none()).await?;
    }
    change_all(&app.lake, &add_novelties).await
}

/// A change of a table; it returns `None` if there is nothing to change.
type Change<'a> =
    &'a dyn Fn(&TableMetadata, TableMetadataBuilder) -> Result<Option<TableMetadataBuilder>>;

/// Adds the property and the column, if a table lacks them.
fn add_novelties(
    metadata: &TableMetadata,
    builder: TableMetadataBuilder,
) -> Result<Option<TableMetadataBuilder>> {
    let schema = metadata.current_schema();
    if metadata.properties().contains_key(PROPERTY) && schema.field_by_name(COLUMN).is_some() {
        return Ok(None);
    }
    let id = metadata.last_column_id().saturating_add(1);
    let column = NestedField::optional(id, COLUMN, Type::Primitive(PrimitiveType::String));
    let fields = schema.as_struct().fields().iter().cloned().chain([Arc::new(column)]);
    let schema = Schema::builder().with_fields(fields).build()?;
    let property = HashMap::from([(PROPERTY.to_owned(), "1".to_owned())]);
    Ok(Some(builder.add_current_schema(schema)?.set_properties(property)?))
}

async fn change_all(lake: &Lake, change: Change<'_>) -> Result<()> {
    for table in lake.tables().await? {
        while !change_one(lake, &table, change).await? {}
    }
    Ok(())
}

/// Changes a table. Returns false if another commit was faster.
async fn change_one(lake: &Lake, table: &TableName, change: Change<'_>) -> Result<bool> {
    let location = format!("{}/{}/{}", lake.location(), table.namespace(), table.table());
    let head = VersionFiles::new(Arc::new(LocalFiles), Clock::system(), &location);
    let Some(base) = head.load().await? else { return Ok(true) };
    let builder = TableMetadata::clone(&base.metadata).into_builder(Some(base.location.clone()));
    let Some(builder) = change(&base.metadata, builder)? else { return Ok(true) };
    let commit = uuid::Uuid::new_v4().to_string();
    let new = builder.set_properties(commit_property(&commit))?.build()?.metadata;
    match head.swap(Some(&base), &new, &commit).await {
        Swap::Swapped => Ok(true),
        Swap::Conflict | Swap::TooOld => Ok(false),
        Swap::Unknown(error) => Err(error.into()),
    }
}
