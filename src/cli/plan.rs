//! `lakeward plan`

use std::collections::BTreeMap;
use std::io::Write;

use crate::cli::replay::{Replayed, handle_all, places, pretend};
use crate::cli::{FAILED, Failure, Summary, Terminal, print};
use crate::config::Config;
use crate::handler::App;
use crate::name;
use crate::route::{Route, Target};
use crate::store::{DescribedColumn, Lake};
use crate::table::ColumnType;
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// Shows what a replay of these files would do to the lake.
pub(super) async fn run(
    config: Config,
    input: &Replayed,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let real = Lake::open(config.lake.clone())?;
    let app = pretend(config)?;
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
                .map(|(name, ty, what)| serde_json::json!({"name": name, "type": ty, "change": what}))
                .collect();
            let value = serde_json::json!({"new": it.new, "columns": columns, "clashes": it.clashes});
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
        summary.print(&terminal.program, &places(&app.config), true, terminal.out)?;
        print_changes(&changes, terminal.out)?;
    }
    for clash in &clashes {
        writeln!(terminal.err, "error: {clash}")?;
    }
    summary.print_troubles(terminal.err)?;
    Ok(if clashes.is_empty() { summary.exit_code() } else { FAILED })
}

/// What would become of a table's schema.
struct Changes {
    table: String,
    new: bool,
    /// Name, type and what would happen.
    columns: Vec<(String, String, String)>,
    /// Declared types that the table's can't be widened to.
    clashes: Vec<String>,
}

async fn changes(real: &Lake, app: &App) -> Result<Vec<Changes>, Failure> {
    let mut found = Vec::new();
    for table in app.lake.tables().await? {
        if table.is_own() {
            continue;
        }
        let Some(after) = app.lake.describe(&table).await? else { continue };
        let before = real.describe(&table).await?;
        let known: BTreeMap<&str, &ColumnType> =
            before.iter().flat_map(|it| &it.columns).map(|it| (it.name.as_str(), &it.ty)).collect();
        let columns = after.columns.iter().filter_map(|it| {
            let what = match known.get(it.name.as_str()) {
                None if name::is_lineage(&it.name) && before.is_none() => return None,
                None => "added".to_owned(),
                Some(ty) if **ty == it.ty => return None,
                Some(ty) => format!("widened from {ty}"),
            };
            Some((it.name.clone(), it.ty.to_string(), what))
        });
        let columns = columns.collect();
        let policy = app.config.policy(&table);
        let clashes = clashes(&table, &after.columns, policy);
        found.push(Changes { table: table.to_string(), new: before.is_none(), columns, clashes });
    }
    Ok(found)
}

/// Declared columns that the table has in another type, after all widenings.
fn clashes(table: &TableName, columns: &[DescribedColumn], policy: &Policy) -> Vec<String> {
    let each = policy.columns.iter().filter_map(|declared| {
        let name = name::declared(&declared.name, policy.names);
        let found = columns.iter().find(|it| it.name == name)?;
        let ty = declared.ty.column_type();
        let times = [ColumnType::Timestamp, ColumnType::Timestamptz];
        let same = found.ty == ty
            || (times.contains(&ty) && times.contains(&found.ty))
            || matches!((&found.ty, &ty), (ColumnType::List(_), ColumnType::List(_)))
            || matches!((&found.ty, &ty), (ColumnType::Struct(_), ColumnType::Struct(_)))
            || wider(&found.ty, &ty);
        (!same).then(|| {
            format!(
                "{table}.{name} is {} in the table and declared as {ty}: declare it as the table \
                 has it, or fill another table; until then its values go to sibling columns",
                found.ty
            )
        })
    });
    each.collect()
}

/// Whether a table's type is a widening of the declared one: an older config's.
fn wider(table: &ColumnType, declared: &ColumnType) -> bool {
    match (declared, table) {
        (ColumnType::Int, ColumnType::Long) | (ColumnType::Float, ColumnType::Double) => true,
        (
            ColumnType::Decimal { precision, scale },
            ColumnType::Decimal { precision: wide, scale: same },
        ) => precision < wide && scale == same,
        _ => false,
    }
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

fn print_changes(changes: &[Changes], out: &mut dyn Write) -> std::io::Result<()> {
    for it in changes.iter().filter(|it| it.new || !it.columns.is_empty()) {
        let new = if it.new { ", which would be created" } else { "" };
        writeln!(out, "\n{}{new}:", it.table)?;
        let rows: Vec<Vec<String>> = it
            .columns
            .iter()
            .map(|(name, ty, what)| {
                vec![format!("  {}", print::safe(name)), ty.clone(), what.clone()]
            })
            .collect();
        if !rows.is_empty() {
            print::table(out, &["  column", "type", "change"], &rows, &[])?;
        }
    }
    Ok(())
}
