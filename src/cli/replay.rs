//! `lakeward replay`

use std::io;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::{FailOn, InputArgs};
use crate::cli::events;
use crate::cli::failure::Failure;
use crate::cli::payloads::PayloadSource;
use crate::cli::setup;
use crate::cli::summary::{LakeLocations, Summary};
use crate::cli::sweep::sweep;
use crate::cli::terminal::{CONDITION_MET, DONE, Terminal};
use crate::cli::trouble::{REPAIR_AND_RETRY, Trouble};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{self, App, InvocationError};
use crate::number::count;
use crate::source::{Event, EventError, event};

/// The input of a replay.
#[derive(Debug)]
pub(super) struct ReplayInput {
    pub paths: Vec<PathBuf>,
    /// The source of the payloads in the files; `None` if the files hold events.
    pub source: Option<PayloadSource>,
}

/// Reads the arguments that name the input of a replay.
pub(super) fn input(args: InputArgs) -> Result<ReplayInput, Failure> {
    let InputArgs { source, key, paths } = args;
    let source = source.map(|arn| PayloadSource::new(&arn, &key)).transpose();
    Ok(ReplayInput { paths, source: source.map_err(Failure::Usage)? })
}

/// The options of a replay.
#[derive(Debug)]
pub(super) struct ReplayOptions {
    pub input: ReplayInput,
    pub dry_run: bool,
    pub json: bool,
    pub fail_on: Vec<FailOn>,
}

/// Handles the events of every file, prints what became of them, and returns the exit code. A
/// broken file or event does not keep others from landing.
pub(super) async fn run(
    config: Config,
    options: &ReplayOptions,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = setup::open_app(config, options.dry_run)?;
    let mut summary = Summary::default();
    handle_all(&app, &options.input, &mut summary, terminal.progress).await;
    sweep(&app, &mut summary).await;
    let printed = if options.json {
        writeln!(terminal.out, "{}", summary.json(options.dry_run))
    } else {
        let locations = LakeLocations::of(&app.config);
        summary.print(&terminal.program, locations, options.dry_run, terminal.out)
    };
    let printed = printed.and_then(|()| terminal.out.flush());
    // If the summary goes to a file or a pipe, failures are still seen.
    summary.print_troubles(terminal.err)?;
    let is_met = options.fail_on.iter().any(|it| match it {
        FailOn::Quarantine => summary.quarantined() > 0,
        FailOn::Extra => summary.in_extra() > 0,
        FailOn::Sibling => summary.in_siblings() > 0,
    });
    let code = match summary.exit_code() {
        DONE if is_met => CONDITION_MET,
        code => code,
    };
    match printed {
        // If the reader of the pipe has gone, the exit code still says what became of the records.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(code),
    }
}

/// Handles the events of every file.
pub(super) async fn handle_all(
    app: &App,
    input: &ReplayInput,
    summary: &mut Summary,
    progress: bool,
) {
    let mut troubles = Vec::new();
    let files = events::find(&input.paths, &mut troubles);
    let bar = progress_bar(files.len(), progress);
    let is_export = input.source.as_ref().is_some_and(PayloadSource::is_export);
    let is_manifest = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        is_export && name.starts_with("manifest-")
    };
    for file in files.iter().filter(|it| !is_manifest(it)) {
        bar.set_message(file.display().to_string());
        handle_file(app, input.source.as_ref(), file, summary, &mut troubles).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for trouble in troubles {
        summary.add_trouble(trouble);
    }
}

async fn handle_file(
    app: &App,
    source: Option<&PayloadSource>,
    file: &Path,
    summary: &mut Summary,
    troubles: &mut Vec<Trouble>,
) {
    let text = match events::read(file) {
        Ok(text) => text,
        Err(trouble) => {
            troubles.push(trouble);
            return;
        }
    };
    let location = file.display().to_string();
    if let Some(source) = source {
        for batch in event::batches(source.records(file, &text, troubles), String::len) {
            let event = Event::of(batch.iter().map(String::as_bytes).collect());
            handle_event(app, event, &location, summary, troubles).await;
        }
        return;
    }
    for text in events::split(file, &text, troubles) {
        let location = match text.line {
            Some(line) => format!("{location}:{line}"),
            None => location.clone(),
        };
        handle_event(app, Event::read(text.bytes), &location, summary, troubles).await;
    }
}

async fn handle_event(
    app: &App,
    event: Result<Event<'_>, EventError>,
    location: &str,
    summary: &mut Summary,
    troubles: &mut Vec<Trouble>,
) {
    let handled = match event {
        Ok(event) => Box::pin(handler::handle(app, &event, &Deadline::none())).await,
        Err(error) => Err(error.into()),
    };
    match handled {
        Ok(handled) => {
            for pass in &handled.passes {
                summary.add(location, &pass.report, &app.config.routes);
            }
        }
        Err(error) => troubles.push(Trouble::new(location, error.to_string(), remedy(&error))),
    }
}

fn remedy(error: &InvocationError) -> &'static str {
    match error {
        InvocationError::Event(_) => {
            "replay takes what Lambda passes to a function, {\"Records\": [ … ]} of one source; for \
             plain lines, name their source with --as ARN"
        }
        InvocationError::Key(_) | InvocationError::NoRoute { .. } => "then replay it again",
        InvocationError::Store(_) => REPAIR_AND_RETRY,
        InvocationError::Unreportable(_)
        | InvocationError::Recovery(_)
        | InvocationError::Upkeep(_)
        | InvocationError::Answer(_) => "in Lambda the whole event would be redelivered",
    }
}

fn progress_bar(files: usize, visible: bool) -> ProgressBar {
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(count(files)), target);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} files  {elapsed}  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
