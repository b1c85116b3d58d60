//! `lakeward replay`

use std::io;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::events::{self, Trouble};
use crate::cli::{Failure, Summary, Terminal};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{self, App, InvocationError};

/// Handles the events of every file at `paths`, prints what became of them, and returns the exit
/// code. What is wrong with one file or event does not keep others from landing.
pub(super) async fn run(
    config: Config,
    paths: &[PathBuf],
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = App::open(config)?;
    let mut summary = Summary::default();
    let mut troubles = Vec::new();
    let files = events::find(paths, &mut troubles);
    let bar = progress(files.len(), terminal.progress);
    for file in &files {
        bar.set_message(file.display().to_string());
        replay(&app, file, &mut summary, &mut troubles).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for trouble in troubles {
        summary.trouble(&trouble.place, &trouble.what, &trouble.remedy);
    }
    let location = &app.config.lake.location;
    let printed = summary
        .print(&terminal.program, location, terminal.out)
        .and_then(|()| terminal.out.flush());
    // Where the summary goes to a file or a pipe, what failed is still seen.
    summary.print_troubles(terminal.err)?;
    match printed {
        // Whoever closed the pipe still learns from the exit code what became of the records.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(summary.exit_code()),
    }
}

async fn replay(app: &App, file: &Path, summary: &mut Summary, troubles: &mut Vec<Trouble>) {
    let text = match events::read(file) {
        Ok(text) => text,
        Err(trouble) => {
            troubles.push(trouble);
            return;
        }
    };
    for event in events::split(file, &text, troubles) {
        let place = match event.line {
            Some(line) => format!("{}:{line}", file.display()),
            None => file.display().to_string(),
        };
        match Box::pin(handler::handle(app, event.bytes, &Deadline::none())).await {
            Ok(handled) => summary.add(&place, &handled.report, &app.config.routes),
            Err(error) => troubles.push(Trouble {
                place,
                what: error.to_string(),
                remedy: remedy(&error).to_owned(),
            }),
        }
    }
}

fn remedy(error: &InvocationError) -> &'static str {
    match error {
        InvocationError::Event(_) => {
            "replay takes what Lambda hands to a function: {\"Records\": [ … ]} of one source"
        }
        InvocationError::Key(_) => "then replay it again",
        InvocationError::NoRoute { .. } => "then replay it again",
        InvocationError::RejectLimit { .. } => {
            "if not, raise reject_limit in [quarantine] and replay it again"
        }
        InvocationError::Store(_) => {
            "put it right and replay again; what has landed does not land again"
        }
        InvocationError::Unreportable(_) | InvocationError::Answer(_) => {
            "in Lambda the whole event would come again"
        }
    }
}

fn progress(files: usize, watched: bool) -> ProgressBar {
    let files = u64::try_from(files).unwrap_or(u64::MAX);
    let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(files), target);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} files  {elapsed}  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
