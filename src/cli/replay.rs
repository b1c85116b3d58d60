//! `lakeward replay`

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::{FailOn, Input};
use crate::cli::events::{self, Trouble};
use crate::cli::summary::Places;
use crate::cli::wrap::Source;
use crate::cli::{Failure, HAPPENED, Summary, Terminal};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{self, App, InvocationError};
use crate::source::{Event, EventError, event};
use crate::store::clock::Clock;
use crate::store::files;
use crate::store::files::overlay::Overlay;
use crate::store::{Lake, Settings, StoreError};
use crate::table_name::TableName;

/// What is replayed.
#[derive(Debug)]
pub(super) struct Replayed {
    pub paths: Vec<PathBuf>,
    /// What lines are payloads of; `None` where files hold events.
    pub source: Option<Source>,
}

/// Reads the arguments of what is replayed.
pub(super) fn input(input: Input) -> Result<Replayed, Failure> {
    let Input { source, key, paths } = input;
    let source = source.map(|arn| Source::new(&arn, &key)).transpose().map_err(Failure::Use)?;
    Ok(Replayed { paths, source })
}

/// How it is replayed.
#[derive(Debug)]
pub(super) struct How {
    pub input: Replayed,
    pub dry_run: bool,
    pub json: bool,
    pub fail_on: Vec<FailOn>,
}

/// Handles the events of every file, prints what became of them, and returns the exit code. What
/// is wrong with one file or event does not keep others from landing.
pub(super) async fn run(
    config: Config,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = if how.dry_run { pretend(config)? } else { App::open(config)? };
    let mut summary = Summary::default();
    handle_all(&app, &how.input, &mut summary, terminal.progress).await;
    let printed = if how.json {
        writeln!(terminal.out, "{}", summary.json(how.dry_run))
    } else {
        summary.print(&terminal.program, &places(&app.config), how.dry_run, terminal.out)
    };
    let printed = printed.and_then(|()| terminal.out.flush());
    // Where the summary goes to a file or a pipe, what failed is still seen.
    summary.print_troubles(terminal.err)?;
    let happened = how.fail_on.iter().any(|it| match it {
        FailOn::Quarantine => summary.quarantined() > 0,
        FailOn::Extra => summary.in_extra() > 0,
        FailOn::Sibling => summary.in_siblings() > 0,
    });
    let code = match summary.exit_code() {
        super::DONE if happened => HAPPENED,
        code => code,
    };
    match printed {
        // Whoever closed the pipe still learns from the exit code what became of the records.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(code),
    }
}

/// Where the lakes of a config are.
pub(super) fn places(config: &Config) -> Places<'_> {
    let quarantine = &config.lake_of(&TableName::quarantine()).location;
    Places { lake: &config.lake.location, quarantine }
}

/// The app of a config on lakes that only pretend to be written to.
pub(super) fn pretend(config: Config) -> Result<App, StoreError> {
    let over = |settings: &Settings| {
        let (files, location) =
            files::at(&settings.location).map_err(StoreError::files("open", &settings.location))?;
        let files = Arc::new(Overlay::over(files));
        Ok(Lake::with(files, location, settings.config_hash.clone(), Clock::system()))
    };
    let lake = over(&config.lake)?;
    let quarantine = config.quarantine.lake.as_ref().map(over).transpose()?;
    Ok(App::on(config, lake, quarantine))
}

/// Handles the events of every file.
pub(super) async fn handle_all(app: &App, input: &Replayed, summary: &mut Summary, watched: bool) {
    let mut troubles = Vec::new();
    let files = events::find(&input.paths, &mut troubles);
    let bar = progress(files.len(), watched);
    // Beside the data of an export lie files that are about it.
    let about = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        input.source.as_ref().is_some_and(Source::is_export) && name.starts_with("manifest-")
    };
    for file in files.iter().filter(|it| !about(it)) {
        bar.set_message(file.display().to_string());
        handle_file(app, input.source.as_ref(), file, summary, &mut troubles).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for trouble in troubles {
        summary.trouble(&trouble.place, &trouble.what, &trouble.remedy);
    }
}

async fn handle_file(
    app: &App,
    source: Option<&Source>,
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
    let place = file.display().to_string();
    if let Some(source) = source {
        for batch in event::batches(source.records(file, &text, troubles), String::len) {
            let event = Event::of(batch.iter().map(String::as_bytes).collect());
            handle_event(app, event, &place, summary, troubles).await;
        }
        return;
    }
    for found in events::split(file, &text, troubles) {
        let place = found.line.map_or_else(|| place.clone(), |line| format!("{place}:{line}"));
        handle_event(app, Event::read(found.bytes), &place, summary, troubles).await;
    }
}

async fn handle_event(
    app: &App,
    event: Result<Event<'_>, EventError>,
    place: &str,
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
                summary.add(place, &pass.report, &app.config.routes);
            }
        }
        Err(error) => troubles.push(Trouble {
            place: place.to_owned(),
            what: error.to_string(),
            remedy: remedy(&error).to_owned(),
        }),
    }
}

fn remedy(error: &InvocationError) -> &'static str {
    match error {
        InvocationError::Event(_) => {
            "replay takes what Lambda hands to a function: {\"Records\": [ … ]} of one source; for \
             plain lines, say whose records they are with --as ARN"
        }
        InvocationError::Key(_) | InvocationError::NoRoute { .. } => "then replay it again",
        InvocationError::RejectLimit { .. } => {
            "if not, raise reject_limit in [quarantine] and replay it again"
        }
        InvocationError::Store(_) => {
            "put it right and replay again; what has landed does not land again"
        }
        InvocationError::Unreportable(_)
        | InvocationError::Recovery(_)
        | InvocationError::Answer(_) => "in Lambda the whole event would come again",
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
