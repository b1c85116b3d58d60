//! `lakeward upkeep`

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::print::{self, counted};
use crate::cli::setup::no_such_table;
use crate::cli::terminal::{DONE, FAILED, Terminal};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::store::{Lake, Settings, UpkeepReport};
use crate::table_name::TableName;

/// The options of the command.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpkeepOptions {
    pub dry_run: bool,
    pub json: bool,
}

/// A table, and the report of its upkeep.
type NamedReport = (TableName, UpkeepReport);

/// Does the upkeep of some tables, or of all, and prints what it did.
pub(super) async fn run(
    config: &Config,
    names: &[TableName],
    options: UpkeepOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let mut done: Vec<NamedReport> = Vec::new();
    for (settings, names) in lakes(config, names) {
        let lake = Lake::open(settings.clone())?;
        let names = match names {
            Some(names) => {
                for name in &names {
                    if !lake.exists(name).await? {
                        return Err(no_such_table(&lake, name).await);
                    }
                }
                names
            }
            None => lake.tables().await?,
        };
        done.extend(upkeep(&lake, names, options, terminal).await);
    }
    done.sort_by(|(one, _), (other, _)| one.cmp(other));
    if options.json {
        let tables: Vec<Value> = done.iter().map(json_of).collect();
        writeln!(terminal.out, "{}", json!({"dry_run": options.dry_run, "tables": tables}))?;
    } else {
        as_table(config, &done, options, terminal)?;
    }
    let mut code = DONE;
    for (name, report) in &done {
        if let Some(trouble) = &report.trouble {
            writeln!(terminal.err, "! {name}: {trouble}")?;
            code = FAILED;
        }
    }
    Ok(code)
}

/// Returns the lakes of a config, each with the tables that are named; `None` for all of it.
fn lakes<'c>(
    config: &'c Config,
    names: &[TableName],
) -> Vec<(&'c Settings, Option<Vec<TableName>>)> {
    let all = std::iter::once(&config.lake).chain(config.quarantine.lake.as_ref());
    if names.is_empty() {
        return all.map(|it| (it, None)).collect();
    }
    let of = |lake: &Settings| {
        let names = names.iter().filter(|it| config.lake_of(it) == lake);
        names.cloned().collect::<Vec<_>>()
    };
    all.map(|it| (it, Some(of(it)))).collect()
}

async fn upkeep(
    lake: &Lake,
    names: Vec<TableName>,
    options: UpkeepOptions,
    terminal: &Terminal<'_>,
) -> Vec<NamedReport> {
    let reports = if options.dry_run {
        let mut reports = Vec::with_capacity(names.len());
        for name in &names {
            let planned = lake.plan_upkeep(name).await;
            reports.push(planned.unwrap_or_else(|error| UpkeepReport {
                trouble: Some(error.to_string()),
                ..UpkeepReport::default()
            }));
        }
        reports
    } else {
        let target = match terminal.progress {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let (mut files, mut bytes) = (0, 0);
        let reports = lake
            .upkeep(&names, &Deadline::none(), |index, unit| {
                (files, bytes) = (files + unit.files, bytes + unit.bytes_read);
                let name = names.get(index).map(ToString::to_string).unwrap_or_default();
                let joined = counted(files, "file");
                bar.set_message(format!("{name}: {joined} joined, {}", print::bytes(bytes)));
                bar.tick();
            })
            .await;
        bar.finish_and_clear();
        reports
    };
    names.into_iter().zip(reports).collect()
}

fn as_table(
    config: &Config,
    done: &[NamedReport],
    options: UpkeepOptions,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    if done.is_empty() {
        let location = print::location(&config.lake.location).display();
        writeln!(terminal.out, "the lake {location} has no tables yet")?;
        return Ok(());
    }
    let number = |it: u64| if it == 0 { String::new() } else { it.to_string() };
    let size = |it: u64| if it == 0 { String::new() } else { print::bytes(it) };
    let row = |(name, report): &NamedReport| {
        let cleaned = report.cleaned.unwrap_or_default();
        vec![
            name.to_string(),
            number(report.files),
            number(report.units),
            number(report.rows),
            size(report.bytes_read),
            number(cleaned.removed),
            size(cleaned.bytes),
            number(cleaned.waiting),
        ]
    };
    let rows: Vec<Vec<String>> = done.iter().map(row).collect();
    let header = ["table", "files", "→ files", "rows", "size", "removed", "freed", "waiting"];
    print::table(terminal.out, &header, &rows, &[1, 2, 3, 4, 5, 6, 7])?;
    let is_idle =
        |(_, it): &NamedReport| it.units == 0 && it.cleaned.is_none_or(|it| it.removed == 0);
    if done.iter().all(is_idle) {
        writeln!(terminal.out, "\nnothing to do now")?;
    }
    if options.dry_run {
        writeln!(terminal.out, "\ndry run: nothing was written or removed")?;
    }
    Ok(())
}

fn json_of((name, report): &NamedReport) -> Value {
    json!({
        "table": name.to_string(),
        "files": report.files,
        "units": report.units,
        "rows": report.rows,
        "bytes_read": report.bytes_read,
        "bytes_written": report.bytes_written,
        "removed": report.cleaned.map(|it| it.removed),
        "bytes_removed": report.cleaned.map(|it| it.bytes),
        "waiting": report.cleaned.map(|it| it.waiting),
        "metadata_bytes": report.cleaned.map(|it| it.metadata_bytes),
        "trouble": report.trouble,
    })
}
