//! `lakeward redrive dlq`: lands the messages of a dead-letter queue, and deletes them.

use serde_json::json;

use crate::cli::args::RedriveOptions;
use crate::cli::failure::Failure;
use crate::cli::print::counted;
use crate::cli::redrive::report::{self, RedriveReport};
use crate::cli::summary::Summary;
use crate::cli::terminal::Terminal;
use crate::cli::trouble::Trouble;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::intake::Intake;
use crate::outcome::Outcome;
use crate::recovery::dlq::{DlqCounts, DlqRedrive, Queue};
use crate::source::Event;

const STAY: &str = "repair this and run the command again; the messages stay in the queue";

/// Lands the messages and prints what became of them.
pub(in crate::cli) async fn run(
    config: Config,
    queue: &str,
    options: RedriveOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let intake = Intake::new(report::open(config, options)?);
    let queue = Queue::open(queue).await.map_err(Failure::Failed)?;
    let mut redrive = DlqRedrive::new(&queue, &intake.app.config.routes, options.dry_run);
    let mut summary = Summary::default();
    let end = loop {
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
    let members = vec![("dlq", json!(counts))];
    let report = RedriveReport { summary, members, lines: lines(&counts, options.dry_run) };
    let code = report.finish(&intake.app, options, counts.received > 0, terminal).await?;
    end.map(|()| code).map_err(Failure::Failed)
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
            summary.add_trouble(Trouble::new(queue, error.to_string(), STAY));
            return Vec::new();
        }
    };
    let invocation = Box::pin(intake.records(&event, &Deadline::none())).await;
    for pass in &invocation.passes {
        summary.add(queue, &pass.report, &intake.app.config.routes);
    }
    report::add(&invocation.recovery, queue, &intake.app, summary);
    if let Err(error) = &invocation.answer {
        summary.add_trouble(Trouble::new(queue, error.to_string(), STAY));
    }
    invocation.records.iter().map(|it| it.outcome).collect()
}

fn lines(counts: &DlqCounts, dry_run: bool) -> Vec<String> {
    let landed = if dry_run { "would land and be deleted" } else { "landed, and are deleted" };
    let mut lines = vec![
        format!("{} in the queue:", counted(counts.received, "message")),
        format!("{:9} {landed}", counts.landed),
    ];
    let others = counts.kept - counts.left_out;
    for (count, why) in [(others, ""), (counts.left_out, ": today's config drops or filters them")]
    {
        if count > 0 {
            lines.push(format!("{count:9} stay in the queue{why}"));
        }
    }
    lines
}
