//! `lakeward redrive dlq`: messages of a dead-letter queue, on to where they were meant to go.

use serde_json::json;

use crate::cli::args::How;
use crate::cli::print::counted;
use crate::cli::redrive::failed;
use crate::cli::{Failure, Summary, Terminal, redrive, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::intake::Intake;
use crate::outcome::Outcome;
use crate::recovery::dlq::{Counts, DlqRedrive, Queue};
use crate::source::Event;

const STAYS: &str = "the messages stay in the queue";

/// Lands the messages and prints what became of them.
pub(in crate::cli) async fn run(
    config: Config,
    queue: &str,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let intake = Intake::new(redrive::open(config, how)?);
    let queue = Queue::open(queue).await.map_err(Failure::Failed)?;
    let mut redrive = DlqRedrive::new(&queue, how.dry_run);
    let mut summary = Summary::default();
    let ended = loop {
        let records = match redrive.receive().await {
            Ok(records) if records.is_empty() => break Ok(()),
            Ok(records) => records,
            Err(error) => break Err(error),
        };
        let outcomes = land(&intake, &queue.arn, &records, &mut summary).await;
        if let Err(error) = redrive.settle(&outcomes).await {
            break Err(error);
        }
    };
    let counts = redrive.end().await;
    let printed = print(&counts, &summary, &intake.app.config, how, terminal);
    printed.and_then(|code| ended.map(|()| code).map_err(Failure::Failed))
}

/// Lands messages, and returns what became of each.
async fn land(
    intake: &Intake,
    queue: &str,
    records: &[String],
    summary: &mut Summary,
) -> Vec<Outcome> {
    let event = match Event::of(records.iter().map(String::as_bytes).collect()) {
        Ok(event) => event,
        Err(error) => {
            summary.trouble(queue, &error.to_string(), STAYS);
            return Vec::new();
        }
    };
    let processed = Box::pin(intake.records(&event, &Deadline::none())).await;
    for pass in &processed.passes {
        summary.add(queue, &pass.report, &intake.app.config.routes);
    }
    failed::add(&processed.recovered, queue, &intake.app, summary);
    if let Err(error) = &processed.answer {
        summary.trouble(queue, &error.to_string(), STAYS);
    }
    processed.records.iter().map(|it| it.outcome).collect()
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
        writeln!(out, "{}", redrive::as_json(summary, how, &[("dlq", json!(counts))]))?;
    } else {
        if counts.received > 0 {
            summary.print(&terminal.program, &replay::places(config), how.dry_run, out)?;
            writeln!(out)?;
        }
        writeln!(out, "{} in the queue:", counted(counts.received, "message"))?;
        let landed =
            if how.dry_run { "would land and be deleted" } else { "landed, and are deleted" };
        writeln!(out, "{:9} {landed}", counts.landed)?;
        let others = counts.kept.saturating_sub(counts.left_out);
        for (count, why) in
            [(others, ""), (counts.left_out, ": today's config drops or filters them")]
        {
            if count > 0 {
                writeln!(out, "{count:9} stay in the queue{why}")?;
            }
        }
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}
