//! A config as it is written, before its parts are compared with each other.

use toml::de::{DeTable, DeValue};

use crate::config::document::{Reader, SectionReader};
use crate::config::keys::ROOT;
use crate::config::lake::{DraftLake, DraftQuarantine};
use crate::config::overrides::Overrides;
use crate::config::problem::Problem;
use crate::config::routes::{self, DraftRoute};
use crate::config::tables::{self, DraftTable};

/// The parts of a config that could be read; routes and tables with problems are left out.
#[derive(Default)]
pub(super) struct Draft {
    pub lake: DraftLake,
    pub quarantine: DraftQuarantine,
    pub routes: Vec<DraftRoute>,
    pub tables: Vec<DraftTable>,
}

/// Reads the whole text, with `overrides` over it, and returns every problem. If the text is not
/// valid TOML, nothing else is read.
pub(super) fn read(text: &str, overrides: &Overrides) -> (Draft, Vec<Problem>) {
    // The parser skips a byte order mark.
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(text);
    if !errors.is_empty() {
        let problem = |error: &toml::de::Error| {
            // The error's own print would quote the line, which may hold a secret.
            let line = match error.span() {
                Some(span) => reader.line(span.start),
                None => first_line_that_fails(text),
            };
            let what = format!("the config is not valid TOML: {}", error.message());
            Problem::new(what, "see https://toml.io for its syntax").on_line(line)
        };
        return (Draft::default(), errors.iter().map(problem).collect());
    }
    let root = root.get_ref();
    let mut keys = SectionReader::new(&mut reader, &ROOT, root, 0..0);
    keys.require("version", "the config has no `version`", ROOT.remedy);
    keys.value("version", version);
    let mut lake = DraftLake::read(&mut reader, root);
    let mut quarantine = DraftQuarantine::read(&mut reader, root);
    reader.problems.extend(overrides.apply(&mut lake, &mut quarantine));
    let routes = routes::read(&mut reader, root);
    let tables = tables::read(&mut reader, root, &lake.policy);
    (Draft { lake, quarantine, routes, tables }, reader.problems)
}

/// Returns the line, from 1, of an error without a position, such as one about nesting: the text
/// before that line has no such error.
fn first_line_that_fails(text: &str) -> usize {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let parses = |end: &usize| {
        let (_, errors) = DeTable::parse_recoverable(text.get(..*end).unwrap_or(text));
        errors.iter().all(|it| it.span().is_some())
    };
    ends.partition_point(parses) + 1
}

fn version(value: &DeValue<'_>) -> Result<(), Problem> {
    match value {
        DeValue::Integer(it) if it.radix() == 10 && it.as_str() == "1" => Ok(()),
        DeValue::Integer(it) => Err(Problem::new(
            format!("this release does not support version {it} of the config"),
            "write version = 1, or use a newer release",
        )),
        _ => Err(Problem::new("`version` must be a whole number", "write version = 1")),
    }
}
