//! The report of a redrive, and the app that redrives.

use serde_json::Value;

use crate::cli::args::RedriveOptions;
use crate::cli::failure::Failure;
use crate::cli::setup;
use crate::cli::summary::{LakeLocations, Summary};
use crate::cli::sweep::sweep;
use crate::cli::terminal::Terminal;
use crate::cli::trouble::{REPAIR_AND_RETRY, Trouble};
use crate::config::Config;
use crate::handler::App;
use crate::number::count;
use crate::recovery::RecoveryReport;
use crate::store::Lake;

const LOST: &str = "send them again from their origin; lakeward.gaps keeps their range";

/// The report of a redrive.
#[derive(Debug, Default)]
pub(super) struct RedriveReport {
    pub summary: Summary,
    /// Members of the JSON object beside those of the summary.
    pub members: Vec<(&'static str, Value)>,
    /// Lines of text below the summary.
    pub lines: Vec<String>,
}

/// Opens the app that redrives. An operator asked for these very records, so no share of rejected
/// ones is too large.
pub(super) fn open(mut config: Config, options: RedriveOptions) -> Result<App, Failure> {
    config.quarantine.reject_limit = 1.0;
    let mut app = setup::open_app(config, options.dry_run)?;
    // A redrive says what is in the tables.
    app.lake = app.lake.never_leaving();
    app.quarantine = app.quarantine.map(Lake::never_leaving);
    Ok(app)
}

/// Adds the report of recovered batches to a summary. Returns how many of their ranges are lost.
pub(super) fn add(
    recovery: &RecoveryReport,
    location: &str,
    app: &App,
    summary: &mut Summary,
) -> u64 {
    for pass in &recovery.passes {
        summary.add(location, &pass.report, &app.config.routes);
    }
    for trouble in &recovery.troubles {
        summary.add_trouble(Trouble::new(location, trouble, REPAIR_AND_RETRY));
    }
    for gap in &recovery.gaps {
        summary.add_trouble(Trouble::new(location, gap.to_string(), LOST));
    }
    count(recovery.gaps.len())
}

impl RedriveReport {
    /// Lands what is pending, prints the report, the summary only if there were records, and returns the
    /// exit code.
    pub(super) async fn finish(
        mut self,
        app: &App,
        options: RedriveOptions,
        has_records: bool,
        terminal: &mut Terminal<'_>,
    ) -> Result<u8, Failure> {
        sweep(app, &mut self.summary).await;
        let Self { summary, members, lines } = &self;
        let out = &mut *terminal.out;
        if options.json {
            let mut json = summary.json(options.dry_run);
            if let Some(object) = json.as_object_mut() {
                object.extend(members.iter().map(|(name, it)| ((*name).to_owned(), it.clone())));
            }
            writeln!(out, "{json}")?;
        } else {
            if has_records {
                let locations = LakeLocations::of(&app.config);
                summary.print(&terminal.program, locations, options.dry_run, out)?;
                writeln!(out)?;
            }
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
        summary.print_troubles(terminal.err)?;
        Ok(summary.exit_code())
    }
}
