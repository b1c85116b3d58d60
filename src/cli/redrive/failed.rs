//! `lakeward redrive failed`: failed batches of streams, as Lambda stored them.

use std::io::ErrorKind::{InvalidInput, IsADirectory, NotADirectory};
use std::sync::Arc;

use crate::cli::args::How;
use crate::cli::print::counted;
use crate::cli::{Failure, Summary, Terminal, redrive, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::App;
use crate::recovery::{FailedBatch, Recovered, Streams};
use crate::store::StoreError;
use crate::store::files::{self, Files};

const AGAIN: &str = "put it right and redrive again; what has landed does not land again";
const LOST: &str = "lakeward.gaps keeps what is known of them";

/// Lands the failed batches under a folder or prefix, or of one object, and prints what became of
/// them.
pub(in crate::cli) async fn run(
    config: Config,
    location: &str,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = redrive::open(config, how)?;
    let (files, root) = files::at(location).map_err(StoreError::files("open", location))?;
    let streams = Streams::default();
    let mut summary = Summary::default();
    let (mut objects_read, mut gaps) = (0_u64, 0_u64);
    for place in objects(&files, &root).await? {
        let text = match files.read(&place).await {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            // An empty folder, or an empty bucket.
            Err(error) if place == root && matches!(error.kind(), IsADirectory | InvalidInput) => {
                continue;
            }
            Err(error) => return Err(StoreError::files("read", &place)(error).into()),
        };
        objects_read += 1;
        let batch = match FailedBatch::read(&text) {
            Ok(batch) => batch,
            Err(problem) => {
                let remedy = "name the folder that holds nothing else, aws/lambda/…";
                summary.trouble(&place, &problem, remedy);
                continue;
            }
        };
        let mut recovered = Recovered::default();
        recovered.land(&app, &streams, &batch, &Deadline::none()).await;
        gaps += add(&recovered, &place, &app, &mut summary);
    }
    if objects_read == 0 {
        return Err(Failure::Failed(format!("there is no object under {location}")));
    }
    let out = &mut *terminal.out;
    if how.json {
        let more = [("batches", objects_read.into()), ("gaps", gaps.into())];
        writeln!(out, "{}", redrive::as_json(&summary, how, &more))?;
    } else {
        summary.print(&terminal.program, &replay::places(&app.config), how.dry_run, out)?;
        writeln!(out, "\n{} that Lambda had given up", counted(objects_read, "object"))?;
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}

/// Adds what became of a batch; returns how many of its ranges are lost.
pub(super) fn add(recovered: &Recovered, place: &str, app: &App, summary: &mut Summary) -> u64 {
    for pass in &recovered.passes {
        summary.add(place, &pass.report, &app.config.routes);
    }
    for trouble in &recovered.troubles {
        summary.trouble(place, trouble, AGAIN);
    }
    for gap in &recovered.gaps {
        summary.trouble(place, &gap.to_string(), LOST);
    }
    u64::try_from(recovered.gaps.len()).unwrap_or(u64::MAX)
}

/// Everything under a location, however deep, in the order of names; where nothing is under it, it
/// may be an object itself.
async fn objects(files: &Arc<dyn Files>, root: &str) -> Result<Vec<String>, Failure> {
    let (mut objects, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let names = match files.list(&folder).await {
            Ok(names) => names,
            Err(error) if error.kind() == NotADirectory => Vec::new(),
            Err(error) => return Err(StoreError::files("list", &folder)(error).into()),
        };
        if names.is_empty() {
            objects.push(folder);
        } else {
            folders.extend(names.iter().map(|name| format!("{folder}/{name}")));
        }
    }
    objects.sort();
    Ok(objects)
}
