//! `lakeward tables`

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::print::{self, counted, share};
use crate::cli::setup::no_such_table;
use crate::cli::terminal::DONE;
use crate::config::Config;
use crate::store::{DescribedColumn, Description, Lake, PendingState};
use crate::table_name::TableName;

/// The place of the column of pending rows.
const PENDING: usize = 6;
/// The characters of a time to the second.
const SECONDS: usize = "2026-11-23T10:00:00".len();

/// Lists every table of the lake, and quarantine if it has its own lake.
pub(super) async fn all(
    config: &Config,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let mut found: Vec<Health> = Vec::new();
    let own = config.quarantine.lake.as_ref();
    for settings in std::iter::once(&config.lake).chain(own) {
        let lake = Lake::open(settings.clone())?;
        for name in lake.tables().await? {
            // It is not an error if a table is dropped between the two reads.
            found.extend(Health::of(&lake, &name).await?);
        }
    }
    if as_json {
        let tables: Vec<Value> = found.iter().map(json_of).collect();
        writeln!(out, "{}", json!({ "tables": tables }))?;
        return Ok(DONE);
    }
    if found.is_empty() {
        let location = print::location(&config.lake.location).display();
        writeln!(out, "the lake {location} has no tables yet")?;
        return Ok(DONE);
    }
    let mut rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let mut header =
        vec!["table", "rows", "files", "size", "median", "metadata", "pending", "last arrival"];
    if found.iter().all(|it| it.pending.rows == 0) {
        header.remove(PENDING);
        rows.iter_mut().for_each(|it| drop(it.remove(PENDING)));
    }
    print::table(
        out,
        &header,
        &rows,
        if header.len() > PENDING + 1 { &[1, 2, 3, 4, 5, 6] } else { &[1, 2, 3, 4, 5] },
    )?;
    Ok(DONE)
}

/// A table and its state, which upkeep keeps.
struct Health {
    table: Description,
    metadata_bytes: u64,
    pending: PendingState,
}

impl Health {
    /// Returns the health of a table; `None` if it does not exist.
    async fn of(lake: &Lake, name: &TableName) -> Result<Option<Self>, Failure> {
        let Some(table) = lake.describe(name).await? else { return Ok(None) };
        let metadata_bytes = lake.metadata_bytes(name).await?;
        Ok(Some(Self { table, metadata_bytes, pending: lake.pending(name).await? }))
    }
}

/// Lists the columns of a table.
pub(super) async fn one(
    lake: &Lake,
    name: &TableName,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let Some(health) = Health::of(lake, name).await? else {
        return Err(no_such_table(lake, name).await);
    };
    let found = &health.table;
    if as_json {
        let column = |it: &DescribedColumn| json!({"name": it.name, "type": it.ty.to_string(), "doc": it.doc, "nulls": it.nulls});
        let columns: Vec<Value> = found.columns.iter().map(column).collect();
        let mut table = json_of(&health);
        if let Value::Object(members) = &mut table {
            members.insert("columns".to_owned(), Value::Array(columns));
        }
        writeln!(out, "{table}")?;
        return Ok(DONE);
    }
    let rows: Vec<Vec<String>> = found.columns.iter().map(|it| column(it, found)).collect();
    print::table(out, &["column", "type", "null", "share", "doc"], &rows, &[2])?;
    let last = found.last_arrival.map(|it| format!(", last arrival {it}")).unwrap_or_default();
    writeln!(
        out,
        "\n{}: {} in {}, {} (median {})\n{}, {} of metadata{last}",
        found.name,
        counted(found.rows, "row"),
        counted(found.files, "file"),
        print::bytes(found.bytes),
        print::bytes(found.median_bytes),
        counted(found.snapshots, "snapshot"),
        print::bytes(health.metadata_bytes),
    )?;
    if health.pending.rows > 0 {
        let rows = counted(health.pending.rows, "row");
        let name = &found.name;
        writeln!(out, "{rows} pending: lakeward upkeep {name} --config FILE lands them now")?;
    }
    Ok(DONE)
}

/// Returns a table as JSON.
fn json_of(of: &Health) -> Value {
    let Health { table, metadata_bytes, pending } = of;
    json!({
        "table": table.name.to_string(),
        "location": table.location,
        "rows": table.rows,
        "files": table.files,
        "bytes": table.bytes,
        "median_bytes": table.median_bytes,
        "metadata_bytes": metadata_bytes,
        "pending": pending.rows,
        "pending_oldest_seconds": pending.oldest.map(|it| it.as_secs()),
        "snapshots": table.snapshots,
        "last_arrival": table.last_arrival.map(|it| it.to_string()),
    })
}

fn row(of: &Health) -> Vec<String> {
    let Health { table, metadata_bytes, pending } = of;
    // To the second, so that it fits.
    let last = table.last_arrival.map(|it| it.to_string().chars().take(SECONDS).collect());
    vec![
        table.name.to_string(),
        table.rows.to_string(),
        table.files.to_string(),
        print::bytes(table.bytes),
        print::bytes(table.median_bytes),
        print::bytes(*metadata_bytes),
        pending.rows.to_string(),
        last.unwrap_or_default(),
    ]
}

fn column(of: &DescribedColumn, table: &Description) -> Vec<String> {
    let nulls = of.nulls.map(|nulls| share(nulls, table.rows)).unwrap_or_default();
    // Docs are original names, which strangers chose.
    let doc = print::safe(of.doc.as_deref().unwrap_or_default());
    let of_field = sibling_share(of, table).unwrap_or_default();
    vec![print::safe(&of.name), of.ty.to_string(), nulls, of_field, doc]
}

/// Returns the share of a field's values that a sibling column holds: `38 % of price`.
fn sibling_share(of: &DescribedColumn, table: &Description) -> Option<String> {
    let (base, _) = of.name.rsplit_once("__")?;
    let values = |it: &DescribedColumn| Some(table.rows.saturating_sub(it.nulls?));
    let is_sibling = |it: &&DescribedColumn| {
        it.name.strip_prefix(base).is_some_and(|rest| rest.starts_with("__"))
    };
    let main = table.columns.iter().find(|it| it.name == base)?;
    let siblings = table.columns.iter().filter(is_sibling).map(values);
    let all = siblings.sum::<Option<u64>>()? + values(main)?;
    Some(format!("{} of {}", share(values(of)?, all), print::safe(base)))
}
