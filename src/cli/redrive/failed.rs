//! `lakeward redrive failed`: batches of streams that Lambda has given up, as it stored them in S3.
//!
//! Each object tells of one batch, and holds the event in its `payload`, as JSON or as its text:
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::print::counted;
use crate::cli::{Failure, Summary, Terminal, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{self, App};
use crate::store::StoreError;
use crate::store::files::{self, Files};

/// What Lambda stores of a batch, as far as it matters.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, rename = "KinesisBatchInfo")]
    kinesis: Option<Info<'a>>,
    #[serde(borrow, rename = "DDBStreamBatchInfo")]
    dynamodb: Option<Info<'a>>,
}

/// Which records a batch was of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    #[serde(default)]
    stream_arn: &'a str,
    #[serde(default)]
    shard_id: &'a str,
    #[serde(default)]
    start_sequence_number: &'a str,
    #[serde(default)]
    end_sequence_number: &'a str,
}

/// Lands the batches under a folder or prefix, and prints what became of them.
pub(in crate::cli) async fn run(
    mut config: Config,
    location: &str,
    dry_run: bool,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    // People asked for these very records: no share of them is too many.
    config.quarantine.reject_limit = 1.0;
    let app = if dry_run { replay::pretend(config)? } else { App::open(config)? };
    let (files, root) = files::at(location).map_err(StoreError::files("open", location))?;
    let mut summary = Summary::default();
    let mut batches = 0_u64;
    for place in objects(&files, &root).await? {
        let found = files.read(&place).await.map_err(StoreError::files("read", &place))?;
        let Some(bytes) = found else { continue };
        batches = batches.saturating_add(1);
        match event(&bytes) {
            Ok(event) => handle(&app, &place, event.as_bytes(), &mut summary).await,
            Err(problem) => summary.trouble(&place, &problem.what, problem.remedy),
        }
    }
    if batches == 0 {
        return Err(Failure::Failed(format!("there is no object under {location}")));
    }
    let out = &mut *terminal.out;
    if json {
        writeln!(out, "{}", summary.json(dry_run))?;
    } else {
        summary.print(&terminal.program, &replay::places(&app.config), dry_run, out)?;
        writeln!(out, "\n{} that Lambda had given up", counted(batches, "object"))?;
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}

/// Everything under a location, however deep, in the order of names.
async fn objects(files: &Arc<dyn Files>, root: &str) -> Result<Vec<String>, Failure> {
    let (mut objects, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let names = match files.list(&folder).await {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Vec::new(),
            Err(error) => return Err(StoreError::files("list", &folder)(error).into()),
        };
        if names.is_empty() {
            objects.push(folder);
        } else {
            folders.extend(names.iter().map(|name| format!("{folder}/{name}")));
        }
    }
    objects.retain(|it| it != root);
    objects.sort();
    Ok(objects)
}

/// Why an object holds no event.
struct Problem {
    what: String,
    remedy: &'static str,
}

fn event(bytes: &[u8]) -> Result<String, Problem> {
    let given: Given<'_> = serde_json::from_slice(bytes).map_err(|error| Problem {
        what: format!(
            "it is not what Lambda stores of a batch that it has given up (line {}, column {})",
            error.line(),
            error.column()
        ),
        remedy: "name the folder that holds nothing else, aws/lambda/…",
    })?;
    if let Some(payload) = given.payload {
        // A text that holds the event, or the event itself.
        let text = serde_json::from_str::<String>(payload.get());
        return Ok(text.unwrap_or_else(|_| payload.get().to_owned()));
    }
    let info = given.kinesis.or(given.dynamodb);
    let what = info.map_or_else(
        || "it holds neither records nor where they are".to_owned(),
        |it| {
            format!(
                "it only says where its records are: {}, {}, from {} to {}",
                it.stream_arn, it.shard_id, it.start_sequence_number, it.end_sequence_number
            )
        },
    );
    let remedy = "a bucket as on-failure destination keeps the records; these must be read from the \
                  stream, by a mapping that starts before them";
    Err(Problem { what, remedy })
}

async fn handle(app: &App, place: &str, event: &[u8], summary: &mut Summary) {
    match Box::pin(handler::handle(app, event, &Deadline::none())).await {
        Ok(handled) => summary.add(place, &handled.report, &app.config.routes),
        Err(error) => {
            let remedy = "put it right and redrive again; what has landed does not land again";
            summary.trouble(place, &error.to_string(), remedy);
        }
    }
}
