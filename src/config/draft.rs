//! A config as it is written, before its parts are compared with each other.

use toml::de::{DeTable, DeValue};

use crate::config::document::{Reader, SectionReader};
use crate::config::keys::ROOT;
use crate::config::lake::{DraftLake, DraftQuarantine};
use crate::config::overrides::Overrides;
use crate::config::problem::Problem;
use crate::config::routes::{self, DraftRoute};
use crate::config::syntax;
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
        return (Draft::default(), syntax::problems(text, &errors));
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
