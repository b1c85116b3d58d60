//! `lakeward redrive`: here rows of quarantine, in [`failed`] failed batches, in [`dlq`] messages of
//! a dead-letter queue.

pub(super) mod failed;

pub(super) mod dlq;

use serde_json::{Value, json};

use crate::cli::args::How;
use crate::cli::print::counted;
use crate::cli::{Failure, Summary, Terminal, no_such_table, replay};
use crate::config::Config;
use crate::handler::App;
use crate::pattern::Pattern;
use crate::recovery::quarantine::{self, Counts, QuarantineError, QuarantineRedrive, Selection};
use crate::table_name::TableName;

/// Reads which rows of quarantine are asked for.
pub(super) fn selection(
    config: &Config,
    table: Option<TableName>,
    conditions: &[String],
) -> Result<Selection, Failure> {
    if let Some(table) = &table
        && !config.routes.iter().any(|it| it.target.fills(table))
    {
        return Err(Failure::Use(format!("no route of the config fills {table}")));
    }
    let conditions = conditions.iter().map(|text| match text.split_once('=') {
        Some((column, pattern)) => Ok((column.trim().to_owned(), Pattern::new(pattern.trim()))),
        None => Err(Failure::Use(format!(
            "--where takes COLUMN=TEXT, such as reason=no_json, not `{text}`"
        ))),
    });
    Ok(Selection { table, conditions: conditions.collect::<Result<_, _>>()? })
}

/// Redrives rows of quarantine and prints what became of them.
pub(super) async fn run(
    config: Config,
    selection: &Selection,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = open(config, how)?;
    let redrive = match quarantine::redrive(&app, selection).await {
        Ok(redrive) => redrive,
        Err(QuarantineError::NoTable) => {
            let name = TableName::quarantine();
            return Err(no_such_table(app.lake_of(&name), &name).await);
        }
        Err(error @ QuarantineError::UnknownColumn { .. }) => {
            return Err(Failure::Use(format!("--where: {error}")));
        }
        Err(QuarantineError::Store(error)) => return Err(error.into()),
    };
    let QuarantineRedrive { counts, passes, troubles } = redrive;
    let mut summary = Summary::default();
    for (source, pass) in &passes {
        summary.add(named(source), &pass.report, &app.config.routes);
    }
    for (source, why) in &troubles {
        summary.trouble(named(source), why, "they stay in quarantine");
    }
    print(&counts, &summary, &app.config, how, terminal)
}

fn named(source: &str) -> &str {
    if source.is_empty() { "records that name no source" } else { source }
}

/// The app that redrives. An operator asked for these very records, so no share of rejected ones is
/// too many.
fn open(mut config: Config, how: &How) -> Result<App, Failure> {
    config.quarantine.reject_limit = 1.0;
    Ok(if how.dry_run { replay::pretend(config)? } else { App::open(config)? })
}

/// What `--json` prints: what became of the records, and what a command has to say besides.
fn as_json(summary: &Summary, how: &How, more: &[(&str, Value)]) -> Value {
    let mut json = summary.json(how.dry_run);
    if let Some(object) = json.as_object_mut() {
        object.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    json
}

fn print(
    counts: &Counts,
    summary: &Summary,
    config: &Config,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let out = &mut *terminal.out;
    if how.json {
        writeln!(out, "{}", as_json(summary, how, &[("redrive", json!(counts))]))?;
    } else {
        if counts.resolved > 0 || counts.left_out > 0 || counts.unresolved > 0 {
            summary.print(&terminal.program, &replay::places(config), how.dry_run, out)?;
            writeln!(out)?;
        }
        let resolved = if how.dry_run { "would be resolved" } else { "resolved now" };
        writeln!(out, "{} of quarantine:", counted(counts.asked, "record"))?;
        for (count, what) in [
            (counts.resolved, format!("{resolved}: where today's config sends them")),
            (
                counts.left_out,
                "stay in quarantine: today's config drops or filters them".to_owned(),
            ),
            (counts.resolved_before, "resolved before".to_owned()),
            (counts.unresolved, "stay in quarantine".to_owned()),
            (counts.not_kept, "can't be decoded again: their payload was not kept".to_owned()),
        ] {
            if count > 0 {
                writeln!(out, "{count:9} {what}")?;
            }
        }
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}
