//! `lakeward upkeep`

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::print::{self, counted};
use crate::cli::setup::no_such_table;
use crate::cli::terminal::{DONE, FAILED, Terminal};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::App;
use crate::store::{SweepReport, TakenReport, UnitReport, UpkeepReport};
use crate::table_name::TableName;
use crate::upkeep::{self, NamedReport};

/// The options of the command.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpkeepOptions {
    pub dry_run: bool,
    pub json: bool,
}

/// Does the upkeep of some tables, or of all, and prints what it did.
pub(super) async fn run(
    config: Config,
    names: &[TableName],
    options: UpkeepOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = App::open(config)?;
    for name in names {
        let lake = app.lake_of(name);
        if !lake.exists(name).await? {
            return Err(no_such_table(lake, name).await);
        }
    }
    let done = if options.dry_run {
        upkeep::plan(&app, names).await?
    } else {
        let target = match terminal.progress {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let (mut files, mut bytes) = (0, 0);
        let each = |name: &TableName, unit: &UnitReport| {
            (files, bytes) = (files + unit.files, bytes + unit.bytes_read);
            let joined = counted(files, "file");
            bar.set_message(format!("{name}: {joined} joined, {}", print::bytes(bytes)));
            bar.tick();
        };
        let done = upkeep::upkeep(&app, names, &Deadline::none(), each).await;
        bar.finish_and_clear();
        done?
    };
    if options.json {
        let tables: Vec<Value> = done.iter().map(json_of).collect();
        writeln!(terminal.out, "{}", json!({"dry_run": options.dry_run, "tables": tables}))?;
    } else {
        as_table(&app.config, &done, options, terminal)?;
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
    let mut rows: Vec<Vec<String>> = done.iter().map(row).collect();
    let mut header =
        vec!["table", "files", "→ files", "rows", "size", "removed", "freed", "waiting"];
    let pending = done.iter().map(|(_, it)| pending_rows(it, options.dry_run));
    if pending.clone().any(|it| it > 0) {
        header.insert(1, "pending rows");
        rows.iter_mut().zip(pending).for_each(|(row, it)| row.insert(1, number(it)));
    }
    let numbers: Vec<usize> = (1..header.len()).collect();
    print::table(terminal.out, &header, &rows, &numbers)?;
    let waiting = |(_, it): &NamedReport| it.sweep.as_ref().map_or(0, |it| it.waiting);
    let waiting: u64 = done.iter().map(waiting).sum();
    if waiting > 0 && config.routes.is_empty() {
        writeln!(
            terminal.out,
            "\n{} pending: name the config that lands them with --config",
            counted(waiting, "row")
        )?;
    }
    let is_idle = |(_, it): &NamedReport| {
        let is_swept = it.sweep.as_ref().is_none_or(|it| it.taken == TakenReport::default());
        is_swept && it.units == 0 && it.cleaned.is_none_or(|it| it.removed == 0)
    };
    if done.iter().all(is_idle) {
        writeln!(terminal.out, "\nnothing to do now")?;
    }
    if options.dry_run {
        writeln!(terminal.out, "\ndry run: nothing was written or removed")?;
    }
    Ok(())
}

/// Returns the pending rows that upkeep has landed, or would land.
fn pending_rows(report: &UpkeepReport, dry_run: bool) -> u64 {
    let count = |it: &SweepReport| if dry_run { it.waiting } else { it.taken.landed };
    report.sweep.as_ref().map_or(0, count)
}

fn json_of((name, report): &NamedReport) -> Value {
    json!({
        "table": name.to_string(),
        "pending_landed": report.sweep.as_ref().map(|it| it.taken.landed),
        "pending": report.sweep.as_ref().map(|it| it.waiting),
        "files": report.files,
        "live_files": report.live_files,
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
