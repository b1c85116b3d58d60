//! `lakeward plan`

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::replay::{ReplayInput, handle_all};
use crate::cli::setup;
use crate::cli::summary::{LakeLocations, Summary};
use crate::cli::terminal::{FAILED, Terminal};
use crate::config::Config;
use crate::handler::App;
use crate::name;
use crate::route::{Route, Target};
use crate::store::{DescribedColumn, Lake};
use crate::table::ColumnType;
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// Prints what a replay of these files would do to the lake.
pub(super) async fn run(
    config: Config,
    input: &ReplayInput,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let real = Lake::open(config.lake.clone())?;
    let app = setup::open_app(config, true)?;
    let mut summary = Summary::default();
    handle_all(&app, input, &mut summary, terminal.progress).await;
    let changes = changes(&real, &app).await?;
    let clashes: Vec<String> = changes.iter().flat_map(|it| it.clashes.clone()).collect();
    if json {
        let mut value = summary.json(true);
        let tables = changes.iter().map(|it| {
            let columns: Vec<_> = it
                .columns
                .iter()
                .map(|it| serde_json::json!({"name": it.name, "type": it.ty, "change": it.change}))
                .collect();
            let value =
                serde_json::json!({"new": it.new, "columns": columns, "clashes": it.clashes});
            (it.table.clone(), value)
        });
        let tables = serde_json::Value::Object(tables.collect());
        if let Some(object) = value.as_object_mut() {
            object.insert("changes".to_owned(), tables);
        }
        writeln!(terminal.out, "{value}")?;
    } else {
        print_routes(&app.config.routes, summary.taken(), terminal.out)?;
        writeln!(terminal.out)?;
        summary.print(&terminal.program, LakeLocations::of(&app.config), true, terminal.out)?;
        print_changes(&changes, terminal.out)?;
    }
    for clash in &clashes {
        writeln!(terminal.err, "error: {clash}")?;
    }
    summary.print_troubles(terminal.err)?;
    Ok(if clashes.is_empty() { summary.exit_code() } else { FAILED })
}

/// The changes that a replay would make to the schema of a table.
struct TableChanges {
    table: String,
    new: bool,
    columns: Vec<ColumnChange>,
    /// Declared types that columns can't be widened to.
    clashes: Vec<String>,
}

/// The change that a replay would make to a column.
struct ColumnChange {
    name: String,
    ty: String,
    /// `added`, `widened from int`
    change: String,
}

/// Compares the tables of the app with those of the real lake.
async fn changes(real: &Lake, app: &App) -> Result<Vec<TableChanges>, Failure> {
    let mut changes = Vec::new();
    for table in app.lake.tables().await? {
        if table.is_own() {
            continue;
        }
        let Some(after) = app.lake.describe(&table).await? else { continue };
        let before = real.describe(&table).await?;
        let known: BTreeMap<&str, &ColumnType> =
            before.iter().flat_map(|it| &it.columns).map(|it| (it.name.as_str(), &it.ty)).collect();
        let columns = after.columns.iter().filter_map(|it| {
            let change = match known.get(it.name.as_str()) {
                None if name::is_lineage(&it.name) && before.is_none() => return None,
                None => "added".to_owned(),
                Some(ty) if **ty == it.ty => return None,
                Some(ty) => format!("widened from {ty}"),
            };
            Some(ColumnChange { name: it.name.clone(), ty: it.ty.to_string(), change })
        });
        let columns = columns.collect();
        let policy = app.config.policy(&table);
        let clashes = clashes(&table, &after.columns, policy);
        let (table, new) = (table.to_string(), before.is_none());
        changes.push(TableChanges { table, new, columns, clashes });
    }
    Ok(changes)
}

/// Names the declared columns that have another type in the table, after all widenings.
fn clashes(table: &TableName, columns: &[DescribedColumn], policy: &Policy) -> Vec<String> {
    let each = policy.columns.iter().filter_map(|declared| {
        let name = name::declared(&declared.name, policy.names);
        let column = columns.iter().find(|it| it.name == name)?;
        let ty = declared.ty.column_type();
        let times = [ColumnType::Timestamp, ColumnType::Timestamptz];
        let is_same = column.ty == ty
            || (times.contains(&ty) && times.contains(&column.ty))
            || matches!((&column.ty, &ty), (ColumnType::List(_), ColumnType::List(_)))
            || matches!((&column.ty, &ty), (ColumnType::Struct(_), ColumnType::Struct(_)))
            // The table was made by an older config.
            || ty.widens_to(&column.ty);
        (!is_same).then(|| {
            format!(
                "{table}.{name} is {} in the table and declared as {ty}: declare the table's type, \
                 or fill another table; until then its values go to sibling columns",
                column.ty
            )
        })
    });
    each.collect()
}

fn print_routes(
    routes: &[Route],
    taken: &BTreeMap<String, u64>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = routes
        .iter()
        .map(|route| {
            let target = match &route.target {
                Target::Table(table) => table.to_string(),
                Target::Tables(template, _) => template.as_str().to_owned(),
                Target::Drop => "(dropped)".to_owned(),
            };
            let taken = taken.get(&route.name).copied().unwrap_or(0);
            vec![route.name.clone(), taken.to_string(), target, route.source.as_str().to_owned()]
        })
        .collect();
    print::table(out, &["route", "takes", "table", "source"], &rows, &[1])
}

fn print_changes(changes: &[TableChanges], out: &mut dyn Write) -> std::io::Result<()> {
    for it in changes.iter().filter(|it| it.new || !it.columns.is_empty()) {
        let new = if it.new { ", which would be created" } else { "" };
        writeln!(out, "\n{}{new}:", it.table)?;
        let rows: Vec<Vec<String>> = it
            .columns
            .iter()
            .map(|it| {
                vec![format!("  {}", print::safe(&it.name)), it.ty.clone(), it.change.clone()]
            })
            .collect();
        if !rows.is_empty() {
            print::table(out, &["  column", "type", "change"], &rows, &[])?;
        }
    }
    Ok(())
}
