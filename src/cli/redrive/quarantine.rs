//! `lakeward redrive quarantine`: lands quarantined records.

use serde_json::json;

use crate::cli::args::RedriveOptions;
use crate::cli::failure::Failure;
use crate::cli::print::counted;
use crate::cli::redrive::report::{self, RedriveReport};
use crate::cli::setup::no_such_table;
use crate::cli::summary::Summary;
use crate::cli::terminal::Terminal;
use crate::cli::trouble::Trouble;
use crate::config::Config;
use crate::pattern::Pattern;
use crate::recovery::quarantine::{
    self, QuarantineCounts, QuarantineError, QuarantineRedrive, Selection,
};
use crate::table_name::TableName;

/// Reads the arguments that select rows of quarantine.
pub(in crate::cli) fn selection(
    config: &Config,
    table: Option<TableName>,
    conditions: &[String],
) -> Result<Selection, Failure> {
    if let Some(table) = &table
        && !config.routes.iter().any(|it| it.target.fills(table))
    {
        return Err(Failure::Usage(format!("no route of the config fills {table}")));
    }
    let conditions = conditions.iter().map(|text| match text.split_once('=') {
        Some((column, pattern)) => Ok((column.trim().to_owned(), Pattern::new(pattern.trim()))),
        None => Err(Failure::Usage(format!(
            "--where takes COLUMN=TEXT, such as reason=no_json, not `{text}`"
        ))),
    });
    Ok(Selection { table, conditions: conditions.collect::<Result<_, _>>()? })
}

/// Redrives rows of quarantine and prints what became of them.
pub(in crate::cli) async fn run(
    config: Config,
    selection: &Selection,
    options: RedriveOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = report::open(config, options)?;
    let redrive = match quarantine::redrive(&app, selection).await {
        Ok(redrive) => redrive,
        Err(QuarantineError::NoTable) => {
            let name = TableName::quarantine();
            return Err(no_such_table(app.lake_of(&name), &name).await);
        }
        Err(error @ QuarantineError::UnknownColumn { .. }) => {
            return Err(Failure::Usage(format!("--where: {error}")));
        }
        Err(QuarantineError::Store(error)) => return Err(error.into()),
    };
    let QuarantineRedrive { counts, passes, troubles } = redrive;
    let mut summary = Summary::default();
    for (source, pass) in &passes {
        summary.add(source_or_none(source), &pass.report, &app.config.routes);
    }
    for (source, why) in &troubles {
        let remedy = "repair this and run the command again; the records stay in quarantine";
        summary.add_trouble(Trouble::new(source_or_none(source), why, remedy));
    }
    let has_records = counts.resolved > 0 || counts.left_out > 0 || counts.unresolved > 0;
    let members = vec![("redrive", json!(counts))];
    let report = RedriveReport { summary, members, lines: lines(&counts, options.dry_run) };
    report.finish(&app, options, has_records, terminal).await
}

fn source_or_none(source: &str) -> &str {
    if source.is_empty() { "records that name no source" } else { source }
}

fn lines(counts: &QuarantineCounts, dry_run: bool) -> Vec<String> {
    let resolved = if dry_run { "would be resolved" } else { "are resolved now" };
    let mut lines = vec![format!("{} of quarantine:", counted(counts.asked, "record"))];
    for (count, what) in [
        (
            counts.resolved,
            format!("{resolved}: their rows are in the tables that today's config names"),
        ),
        (counts.left_out, "stay in quarantine: today's config drops or filters them".to_owned()),
        (counts.resolved_before, "resolved before".to_owned()),
        (counts.unresolved, "stay in quarantine".to_owned()),
        (counts.not_kept, "can't be decoded again: their payload was not kept".to_owned()),
    ] {
        if count > 0 {
            lines.push(format!("{count:9} {what}"));
        }
    }
    lines
}
