//! `lakeward tables`

use std::io::Write;

use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::print::{self, counted, share};
use crate::cli::setup::no_such_table;
use crate::cli::terminal::DONE;
use crate::config::Config;
use crate::store::{DescribedColumn, Description, Lake};
use crate::table_name::TableName;

/// Lists every table of the lake, and quarantine if it has its own lake.
pub(super) async fn all(
    config: &Config,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let mut found = Vec::new();
    let own = config.quarantine.lake.as_ref();
    for settings in std::iter::once(&config.lake).chain(own) {
        let lake = Lake::open(settings.clone())?;
        for name in lake.tables().await? {
            // It is not an error if a table is dropped between the two reads.
            if let Some(it) = lake.describe(&name).await? {
                found.push(it);
            }
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
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    let header = ["table", "rows", "files", "size", "snapshots", "last arrival"];
    print::table(out, &header, &rows, &[1, 2, 3, 4])?;
    Ok(DONE)
}

/// Lists the columns of a table.
pub(super) async fn one(
    lake: &Lake,
    name: &TableName,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let Some(found) = lake.describe(name).await? else {
        return Err(no_such_table(lake, name).await);
    };
    if as_json {
        let column = |it: &DescribedColumn| json!({"name": it.name, "type": it.ty.to_string(), "doc": it.doc, "nulls": it.nulls});
        let columns: Vec<Value> = found.columns.iter().map(column).collect();
        let mut table = json_of(&found);
        if let Value::Object(members) = &mut table {
            members.insert("columns".to_owned(), Value::Array(columns));
        }
        writeln!(out, "{table}")?;
        return Ok(DONE);
    }
    let rows: Vec<Vec<String>> = found.columns.iter().map(|it| column(it, &found)).collect();
    print::table(out, &["column", "type", "null", "share", "doc"], &rows, &[2])?;
    let last = found.last_arrival.map(|it| format!(", last arrival {it}")).unwrap_or_default();
    writeln!(
        out,
        "\n{}: {} in {}, {}, {}{last}",
        found.name,
        counted(found.rows, "row"),
        counted(found.files, "file"),
        print::bytes(found.bytes),
        counted(found.snapshots, "snapshot")
    )?;
    Ok(DONE)
}

/// Returns a table as JSON.
fn json_of(of: &Description) -> Value {
    json!({
        "table": of.name.to_string(),
        "location": of.location,
        "rows": of.rows,
        "files": of.files,
        "bytes": of.bytes,
        "snapshots": of.snapshots,
        "last_arrival": of.last_arrival.map(|it| it.to_string()),
    })
}

fn row(of: &Description) -> Vec<String> {
    vec![
        of.name.to_string(),
        of.rows.to_string(),
        of.files.to_string(),
        print::bytes(of.bytes),
        of.snapshots.to_string(),
        of.last_arrival.map(|it| it.to_string()).unwrap_or_default(),
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
