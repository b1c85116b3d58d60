//! `lakeward.toml`: read once, whole, at start; every mistake is named at once, with its line and
//! what to do about it.
//!
//! What [`check`] calls a problem keeps the binary from starting; what it calls a note does not.
//! Only this module, `main.rs` and [`crate::secret`] read the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::digest::sha256_hex;
use crate::quarantine;
use crate::route::{Route, Target};
use crate::store::Settings;
use crate::store::files::s3::S3Files;
use crate::table::layout::Policy;
use crate::table_name::TableName;

mod document;
mod findings;
mod hidden;
mod keys;
mod overrides;
mod read;
mod routes;
mod steps;
mod tables;
mod targets;

pub use overrides::Overrides;
use overrides::Place;

use tables::{DraftTable, Named};

/// Name of the file, in the current directory or beside the binary.
pub const FILE_NAME: &str = "lakeward.toml";

/// Where the lake is when nothing says otherwise.
pub const DEFAULT_LOCATION: &str = "./lake";

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
    /// What holds for a table that no section is about.
    pub undeclared: Policy,
    /// `[quarantine]`
    pub quarantine: Quarantine,
}

/// `[quarantine]`
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantine {
    /// `location`, where it is not in the lake itself.
    pub lake: Option<Settings>,
    /// `payload`
    pub keep: quarantine::Keep,
    /// `reject_limit`: share of rejected records above which an invocation of at least 100 fails
    /// as a whole.
    pub reject_limit: f64,
}

/// One thing that is wrong with a config, or that its author may not have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` when it belongs to no line.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// A config that was read as far as it could be.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The config; `None` when there are problems.
    pub config: Option<Config>,
    /// What must be put right, in line order.
    pub problems: Vec<Problem>,
    /// What is worth a second look, in line order.
    pub notes: Vec<Problem>,
}

/// Why there is no config; prints one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; never empty.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{}", problem.at(&self.path))?;
        }
        Ok(())
    }
}

impl Problem {
    /// The problem as a line that names its file: `lakeward.toml:3: what: remedy`.
    pub fn at(&self, path: &Path) -> String {
        let Problem { line, what, remedy } = self;
        match line {
            Some(line) => format!("{}:{line}: {what}: {remedy}", path.display()),
            None => format!("{what}: {remedy}"),
        }
    }
}

impl Config {
    /// What the config says of a table, whichever route fills it: the table's own section, else
    /// that of the first name with placeholders which makes this one.
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

    /// The lake that a table is in: quarantine may have one of its own.
    pub fn lake_of(&self, table: &TableName) -> &Settings {
        let own = self.quarantine.lake.as_ref();
        own.filter(|_| table.is_own()).unwrap_or(&self.lake)
    }

    /// Reads the file at `path` and the environment's `LAKEWARD_LAKE__…` over it.
    ///
    /// # Errors
    /// With every problem there is.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path).into_config(path)
    }

    /// What holds without a file: the default lake, no routes, and the environment's
    /// `LAKEWARD_LAKE__…`.
    ///
    /// # Errors
    /// With every problem of the environment.
    pub fn without_file() -> Result<Self, ConfigError> {
        check("version = 1", &Overrides::from_environment()).into_config(Path::new(FILE_NAME))
    }

    /// Reads what a Lambda function has: at `LAKEWARD_CONFIG`, a path or an object of S3, else
    /// beside the binary.
    ///
    /// # Errors
    /// With every problem there is.
    pub async fn load_in_lambda() -> Result<Self, ConfigError> {
        match overrides::lambda_place() {
            Place::File(path) => Self::load(&path),
            Place::Object { location, version } => {
                let path = Path::new(&location);
                match read_object(&location, version.as_deref()).await {
                    Ok(text) => check(&text, &Overrides::from_environment()).into_config(path),
                    Err(problem) => {
                        Err(ConfigError { path: path.to_owned(), problems: vec![problem] })
                    }
                }
            }
        }
    }
}

/// Reads and checks the file at `path`, with the environment's `LAKEWARD_LAKE__…` over it.
pub fn load(path: &Path) -> Checked {
    match read_text(path) {
        Ok(text) => check(&text, &Overrides::from_environment()),
        Err(problem) => Checked { config: None, problems: vec![problem], notes: Vec::new() },
    }
}

/// Reads and checks the text of a config, with `overrides` over its `[lake]`.
pub fn check(text: &str, overrides: &Overrides) -> Checked {
    let mut draft = read::read(text, overrides);
    findings::problems(&mut draft);
    let mut problems = draft.problems.list;
    problems.sort_by_key(|it| it.line);
    if !problems.is_empty() {
        return Checked { config: None, problems, notes: Vec::new() };
    }
    draft.problems.list = Vec::new();
    let mut notes = findings::notes(&draft.routes, &draft.tables);
    notes.sort_by_key(|it| it.line);
    let config_hash = sha256_hex(text.as_bytes());
    let at = |location: String| Settings { location, config_hash: config_hash.clone() };
    let mut config = Config {
        lake: at(draft.location),
        routes: draft.routes.into_iter().map(|it| it.route).collect(),
        tables: BTreeMap::new(),
        templates: BTreeMap::new(),
        undeclared: draft.undeclared,
        quarantine: Quarantine {
            lake: draft.quarantine.location.map(at),
            keep: draft.quarantine.keep,
            reject_limit: draft.reject_limit,
        },
    };
    for DraftTable { name, policy, .. } in draft.tables {
        match name {
            Named::Table(name) => drop(config.tables.insert(name, policy)),
            Named::Template(it) => {
                drop(config.templates.insert(it.as_str().to_owned(), policy));
            }
        }
    }
    Checked { config: Some(config), problems, notes }
}

/// Whether a lake can be at `location`, which is held to what `location` of `[lake]` is.
///
/// # Errors
/// What is wrong with it.
pub fn check_location(location: &str) -> Result<(), Problem> {
    read::set_location(&mut String::new(), location).map_err(|(what, remedy)| Problem {
        line: None,
        what,
        remedy,
    })
}

impl Checked {
    fn into_config(self, path: &Path) -> Result<Config, ConfigError> {
        let Checked { config, problems, notes: _ } = self;
        config.ok_or_else(|| ConfigError { path: path.to_owned(), problems })
    }
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let bytes = std::fs::read(path).map_err(|error| Problem {
        line: None,
        what: format!("can't read the config {}: {error}", path.display()),
        remedy: "name one with --config, or write version = 1 and a [[route]] into it".to_owned(),
    })?;
    text(bytes, &path.display().to_string())
}

/// The text of an object of S3.
async fn read_object(location: &str, version: Option<&str>) -> Result<String, Problem> {
    let problem = |what: String| Problem {
        line: None,
        what: format!("can't read the config {location}: {what}"),
        remedy: "LAKEWARD_CONFIG is a path, or s3://bucket/key of an object, with \
                 ?versionId=… for one of its versions, that the function may read"
            .to_owned(),
    };
    match S3Files::of(location).read_version(location, version).await {
        Ok(Some(bytes)) => text(bytes.to_vec(), location),
        Ok(None) => Err(problem("there is no such object".to_owned())),
        Err(error) => Err(problem(error.to_string())),
    }
}

fn text(bytes: Vec<u8>, name: &str) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| Problem {
        line: None,
        what: format!(
            "the config {name} is no UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        ),
        remedy: "save it as UTF-8".to_owned(),
    })
}

#[cfg(test)]
mod tests;
