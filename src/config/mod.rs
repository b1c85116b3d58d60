//! `lakeward.toml`: read once, at the start. All mistakes are reported together, each with its line
//! and what to do about it.
//!
//! A problem that [`check`] finds keeps the binary from starting; a note does not.
//! Only this module, `main.rs` and [`crate::secret`] read the environment.

use std::collections::BTreeMap;
use std::path::Path;

use crate::digest::sha256_hex;
use crate::quarantine;
use crate::route::{Route, Target};
use crate::store::{Retention, Settings};
use crate::table::layout::Policy;
use crate::table_name::TableName;

// Modules stand in flow order: a file uses only what is declared above its own.
mod problem;

mod keys;

mod values;

mod sources;

mod document;

mod conditions;
mod lake;
mod steps;

mod routes;
mod tables;

mod location;
mod overrides;

mod syntax;

mod draft;

mod checks;

pub use overrides::Overrides;
pub use problem::{ConfigError, Problem};

use draft::Draft;
use location::ConfigLocation;
use values::Scope;

/// Name of the file, in the current directory or beside the binary.
pub const FILE_NAME: &str = "lakeward.toml";

/// Default location of the lake.
pub const DEFAULT_LOCATION: &str = "./lake";

/// Default of `reject_limit`.
const DEFAULT_REJECT_LIMIT: f64 = 0.5;

/// A checked config.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[lake]`
    pub lake: Settings,
    /// `[[route]]` in file order.
    pub routes: Vec<Route>,
    /// `[table."…"]`
    pub tables: BTreeMap<TableName, Policy>,
    /// `[table."events.{type}"]`, by the name as it is written.
    pub templates: BTreeMap<String, Policy>,
    /// The policy of a table without a section.
    pub undeclared: Policy,
    /// `[quarantine]`
    pub quarantine: Quarantine,
}

/// `[quarantine]`
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// `location`, unless quarantine is in the lake itself.
    pub lake: Option<Settings>,
    /// `payload`
    pub keep: quarantine::Keep,
    /// `reject_limit`: share of rejected records above which an invocation with 100 records or
    /// more fails as a whole.
    pub reject_limit: f64,
}

/// The result of a check.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The config, or `None` if there are problems.
    pub config: Option<Config>,
    /// Mistakes that must be corrected, in line order.
    pub problems: Vec<Problem>,
    /// Possible mistakes, in line order.
    pub notes: Vec<Problem>,
}

impl CheckReport {
    fn failed(problems: Vec<Problem>) -> Self {
        Self { config: None, problems, notes: Vec::new() }
    }

    fn into_config(self, path: &Path) -> Result<Config, ConfigError> {
        let CheckReport { config, problems, notes: _ } = self;
        config.ok_or_else(|| ConfigError { path: path.to_owned(), problems })
    }
}

impl Config {
    /// Returns the policy of a table, whichever route fills it: that of its own section, else that
    /// of the first route whose placeholders make its name.
    pub fn policy(&self, table: &TableName) -> &Policy {
        let template = || {
            self.routes.iter().find_map(|it| match &it.target {
                Target::Tables(template, _) if template.makes(table) => {
                    self.templates.get(template.as_str())
                }
                _ => None,
            })
        };
        self.tables.get(table).or_else(template).unwrap_or(&self.undeclared)
    }

    /// Returns the lake of a table: quarantine may have its own.
    pub fn lake_of(&self, table: &TableName) -> &Settings {
        let own = self.quarantine.lake.as_ref();
        own.filter(|_| table.is_own()).unwrap_or(&self.lake)
    }

    /// Reads the file at `path`; the environment's `LAKEWARD_LAKE__…` override it.
    ///
    /// # Errors
    /// Every problem of the config.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path).into_config(path)
    }

    /// Returns the config without a file: the default lake, no routes, and the environment's
    /// `LAKEWARD_LAKE__…`.
    ///
    /// # Errors
    /// Every problem of the environment.
    pub fn without_file() -> Result<Self, ConfigError> {
        check("version = 1", &Overrides::from_environment()).into_config(Path::new(FILE_NAME))
    }

    /// Reads the config of a Lambda function: a path or an object in S3 from `LAKEWARD_CONFIG`,
    /// else the file beside the binary.
    ///
    /// # Errors
    /// Every problem of the config.
    pub async fn load_in_lambda() -> Result<Self, ConfigError> {
        let location = ConfigLocation::in_lambda();
        let checked = match location.read().await {
            Ok(text) => check(&text, &Overrides::from_environment()),
            Err(problem) => CheckReport::failed(vec![problem]),
        };
        let config = checked.into_config(location.path())?;
        let lakes = std::iter::once(&config.lake).chain(config.quarantine.lake.as_ref());
        let problems: Vec<Problem> =
            lakes.filter_map(|it| location::on_own_disk(&it.location)).collect();
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError { path: location.path().to_owned(), problems })
    }
}

/// Reads and checks the file at `path`; the environment's `LAKEWARD_LAKE__…` override it.
pub fn load(path: &Path) -> CheckReport {
    match location::read_file(path) {
        Ok(text) => check(&text, &Overrides::from_environment()),
        Err(problem) => CheckReport::failed(vec![problem]),
    }
}

/// Reads and checks the text of a config, of which `overrides` override keys.
pub fn check(text: &str, overrides: &Overrides) -> CheckReport {
    let (draft, mut problems) = draft::read(text, overrides);
    problems.extend(checks::problems(&draft));
    problems.sort_by_key(|it| it.line);
    if !problems.is_empty() {
        return CheckReport::failed(problems);
    }
    let mut notes = checks::notes(&draft);
    notes.sort_by_key(|it| it.line);
    CheckReport { config: Some(config(draft, &hash(text))), problems, notes }
}

/// Checks that a lake can be at `location`, as for `location` of `[lake]`.
///
/// # Errors
/// What is wrong with it.
pub fn check_location(location: &str) -> Result<(), Problem> {
    values::location(location).map(drop)
}

fn config(draft: Draft, hash: &str) -> Config {
    let Draft { lake, quarantine, routes, tables } = draft;
    let default = Retention::default();
    let retention = Retention {
        snapshots: lake.keep_snapshots_for.unwrap_or(default.snapshots),
        metadata: lake.keep_metadata_for.unwrap_or(default.metadata),
        data: lake.keep_data_for.unwrap_or(default.data),
    };
    let settings = |location| Settings { location, config_hash: hash.to_owned(), retention };
    let mut config = Config {
        lake: settings(lake.location.unwrap_or_else(|| DEFAULT_LOCATION.to_owned())),
        routes: routes.into_iter().map(|it| it.route).collect(),
        tables: BTreeMap::new(),
        templates: BTreeMap::new(),
        undeclared: lake.policy,
        quarantine: Quarantine {
            lake: quarantine.location.map(settings),
            keep: quarantine.keep,
            reject_limit: quarantine.reject_limit.unwrap_or(DEFAULT_REJECT_LIMIT),
        },
    };
    for table in tables {
        match table.scope {
            Scope::Table(name) => drop(config.tables.insert(name, table.policy)),
            Scope::Template(it) => {
                drop(config.templates.insert(it.as_str().to_owned(), table.policy));
            }
        }
    }
    config
}

/// Returns the SHA-256 in hex.
fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes())
}

#[cfg(test)]
mod tests;
