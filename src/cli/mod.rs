//! The command line.
//!
//! What a command finds goes to `out`, what keeps it from its work to `err`. A reader that closes
//! the pipe early ends a command quietly.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::config::{self, Config, ConfigError, FILE_NAME};
use crate::store::Lake;
use crate::table_name::TableName;

mod args;
mod audit;
mod check;
mod events;
mod export;
mod infer;
mod init;
mod plan;
mod print;
mod redrive;
mod replay;
mod show;
mod sql;
mod summary;
mod tables;
mod wrap;

pub use summary::Summary;

use args::{Args, Command, Place, Redrive};

/// Done.
pub const DONE: u8 = 0;
/// Something failed; of a replay: a record neither landed nor is quarantined or dropped.
pub const FAILED: u8 = 1;
/// The arguments or the config are wrong.
pub const WRONG_USE: u8 = 2;

/// What `--fail-on` names has happened; of an audit: something is missing.
pub const HAPPENED: u8 = 3;

/// Where a command prints.
#[expect(missing_debug_implementations, reason = "writers have none")]
pub struct Terminal<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Why there is none.
    pub err: &'a mut dyn Write,
    /// What was typed to start this program; what to type next begins with it.
    pub program: String,
    /// Whether someone watches standard error, so that progress may be drawn there.
    pub progress: bool,
}

/// Why a command ends early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Use(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
}

/// Runs the command that `args` (the binary's name first) ask for, and returns the exit code.
pub async fn run(args: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return refuse(&error, terminal),
    };
    match Box::pin(dispatch(args.command, terminal)).await {
        Ok(code) => code,
        Err(Failure::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(failure) => {
            // Nobody is left to tell when this fails too.
            drop(writeln!(terminal.err, "error: {failure}"));
            match failure {
                Failure::Config(_) | Failure::Use(_) => WRONG_USE,
                Failure::Failed(_) | Failure::Store(_) | Failure::Print(_) => FAILED,
            }
        }
    }
}

async fn dispatch(command: Command, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    match command {
        Command::Replay { config, lake, input, dry_run, json, fail_on } => {
            let config = with_lake(Config::load(&config)?, lake)?;
            let how = replay::How { input: replay::input(input)?, dry_run, json, fail_on };
            replay::run(config, &how, terminal).await
        }
        Command::Plan { config, lake, input, json } => {
            let config = with_lake(Config::load(&config)?, lake)?;
            plan::run(config, &replay::input(input)?, json, terminal).await
        }
        Command::Redrive(Redrive::Quarantine { table, conditions, how }) => {
            let config = with_lake(Config::load(&how.config)?, how.lake.clone())?;
            let table = table.map(|it| table_name(&it)).transpose()?;
            let selection = redrive::selection(&config, table, &conditions)?;
            redrive::run(config, &selection, &how, terminal).await
        }
        Command::Redrive(Redrive::Failed { location, how }) => {
            let config = with_lake(Config::load(&how.config)?, how.lake.clone())?;
            redrive::failed::run(config, &location, &how, terminal).await
        }
        Command::Redrive(Redrive::Dlq { queue, how }) => {
            let config = with_lake(Config::load(&how.config)?, how.lake.clone())?;
            redrive::dlq::run(config, &queue, &how, terminal).await
        }
        Command::Infer { paths, table } => infer::run(&paths, &table, terminal),
        Command::Audit { stream, since, grace, config, lake, json } => {
            let config = with_lake(Config::load(&config)?, lake)?;
            let options = audit::options(&stream, since.as_deref(), grace)?;
            audit::run(config, &options, json, terminal).await
        }
        Command::Tables { table, json, place } => {
            let config = find_config(place)?;
            match table {
                None => tables::all(&config, json, terminal.out).await,
                Some(name) => {
                    let name = table_name(&name)?;
                    let lake = Lake::open(config.lake_of(&name).clone())?;
                    tables::one(&lake, &name, json, terminal.out).await
                }
            }
        }
        Command::Show { table, limit, format, place } => {
            let table = table_name(&table)?;
            let lake = Lake::open(find_config(place)?.lake_of(&table).clone())?;
            show::run(&lake, &table, limit, format, terminal.out).await
        }
        Command::Sql { table, latest, key, engine, place } => {
            let table = table_name(&table)?;
            let lake = Lake::open(find_config(place)?.lake_of(&table).clone())?;
            let latest = latest.then_some(key.as_slice());
            sql::run(&lake, &table, engine, latest, terminal.out).await
        }
        Command::Init { folder } => init::run(&folder, terminal),
        Command::Completions { shell } => {
            let mut command = <Args as clap::CommandFactory>::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "lakeward", &mut script);
            terminal.out.write_all(&script)?;
            Ok(DONE)
        }
        Command::Check { config } => Ok(check::run(&config, terminal)?),
    }
}

/// Prints what clap says: help and version where they were asked for, else what is wrong.
fn refuse(error: &clap::Error, terminal: &mut Terminal<'_>) -> u8 {
    let text = error.render().to_string();
    let (to, code) = if error.use_stderr() {
        (&mut *terminal.err, WRONG_USE)
    } else {
        (&mut *terminal.out, DONE)
    };
    // Nobody is left to tell when this fails.
    drop(writeln!(to, "{}", text.trim_end()).and_then(|()| to.flush()));
    code
}

fn with_lake(mut config: Config, lake: Option<String>) -> Result<Config, Failure> {
    let Some(lake) = lake else { return Ok(config) };
    config::check_location(&lake)
        .map_err(|problem| Failure::Use(format!("--lake: {}: {}", problem.what, problem.remedy)))?;
    config.lake.location = lake;
    Ok(config)
}

/// The config of a command that only needs to know where the lake is: none will do.
fn find_config(place: Place) -> Result<Config, Failure> {
    let beside = || Some(PathBuf::from(FILE_NAME)).filter(|it| it.exists());
    // With --lake, a config that happens to lie here decides nothing, not even by its mistakes.
    let path = match &place.lake {
        Some(_) => place.config,
        None => place.config.or_else(beside),
    };
    let config = match path {
        Some(path) => Config::load(&path)?,
        None => Config::without_file()?,
    };
    let config = with_lake(config, place.lake.clone())?;
    let is_missing = |it: &String| !it.contains("://") && !Path::new(it).is_dir();
    match place.lake.filter(is_missing) {
        Some(lake) => Err(Failure::Use(format!("--lake: there is no directory {lake}"))),
        None => Ok(config),
    }
}

fn table_name(text: &str) -> Result<TableName, Failure> {
    text.parse().map_err(|error| Failure::Use(format!("`{text}` is no table name: {error}")))
}

/// Says which tables there are when the one asked for is not.
async fn no_such_table(lake: &Lake, name: &TableName) -> Failure {
    let known = lake.tables().await.unwrap_or_default();
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    let remedy = if known.is_empty() {
        "it has none; name another lake with --lake".to_owned()
    } else {
        format!("its tables are {}", known.join(", "))
    };
    Failure::Failed(format!("the lake has no table {name}: {remedy}"))
}

/// A lake's location as it is typed: without `./`.
fn shown(location: &str) -> &Path {
    let path = Path::new(location);
    path.strip_prefix(".").ok().filter(|it| !it.as_os_str().is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests;
