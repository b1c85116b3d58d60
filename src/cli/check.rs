//! `lakeward check`

use std::io;
use std::path::Path;

use crate::cli::print::counted;
use crate::cli::terminal::{DONE, Terminal, WRONG_USE};
use crate::config;

/// Prints every problem and note of the config at `path`.
pub(super) fn run(path: &Path, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    let checked = config::load(path);
    for problem in &checked.problems {
        writeln!(terminal.out, "error: {}", problem.at(path))?;
    }
    for note in &checked.notes {
        writeln!(terminal.out, "note: {}", note.at(path))?;
    }
    match &checked.config {
        Some(config) => {
            let (routes, tables) = (config.routes.len(), config.tables.len());
            writeln!(
                terminal.out,
                "{} is fine: {}, {}",
                path.display(),
                counted(routes, "route"),
                counted(tables, "declared table"),
            )?;
            Ok(DONE)
        }
        None => {
            let problems = counted(checked.problems.len(), "problem");
            writeln!(terminal.out, "{} has {problems}", path.display())?;
            Ok(WRONG_USE)
        }
    }
}
