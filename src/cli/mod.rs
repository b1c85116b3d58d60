//! The command line.
//!
//! A command writes its results to `out`, and the reasons why there are none to `err`. If the
//! reader of a pipe closes it early, the command ends quietly.

use std::ffi::OsString;
use std::io;

use clap::Parser as _;

mod help;
mod terminal;

mod args;
mod failure;
mod print;
mod trouble;

mod setup;

mod events;
mod export;

mod payloads;
mod summary;

mod sweep;

mod replay;

mod audit;
mod check;
mod infer;
mod init;
mod plan;
mod redrive;
mod show;
mod sql;
mod tables;
mod upkeep;

pub use terminal::Terminal;

use args::{Args, Command, RedriveCommand};
use failure::Failure;
use terminal::{DONE, WRONG_USE};

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
            // If this write fails, there is nowhere left to report it.
            drop(writeln!(terminal.err, "error: {failure}"));
            failure.exit_code()
        }
    }
}

async fn dispatch(command: Command, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    match command {
        Command::Replay { config, input, dry_run, json, fail_on } => {
            let config = setup::load_config(config)?;
            let input = replay::input(input)?;
            let options = replay::ReplayOptions { input, dry_run, json, fail_on };
            replay::run(config, &options, terminal).await
        }
        Command::Plan { config, input, json } => {
            let config = setup::load_config(config)?;
            plan::run(config, &replay::input(input)?, json, terminal).await
        }
        Command::Redrive(RedriveCommand::Quarantine { table, conditions, config, options }) => {
            let config = setup::load_config(config)?;
            let table = table.map(|it| setup::table_name(&it)).transpose()?;
            let selection = redrive::quarantine::selection(&config, table, &conditions)?;
            redrive::quarantine::run(config, &selection, options, terminal).await
        }
        Command::Redrive(RedriveCommand::Failed { location, config, options }) => {
            let config = setup::load_config(config)?;
            redrive::failed::run(config, &location, options, terminal).await
        }
        Command::Redrive(RedriveCommand::Dlq { queue, config, options }) => {
            let config = setup::load_config(config)?;
            redrive::dlq::run(config, &queue, options, terminal).await
        }
        Command::Infer { paths, table } => infer::run(&paths, &table, terminal),
        Command::Audit { stream, since, grace, config, json } => {
            let config = setup::load_config(config)?;
            let options = audit::options(&stream, since.as_deref(), grace)?;
            audit::run(config, &options, json, terminal).await
        }
        Command::Upkeep { tables, dry_run, json, lake } => {
            let tables: Result<Vec<_>, _> = tables.iter().map(|it| setup::table_name(it)).collect();
            let options = upkeep::UpkeepOptions { dry_run, json };
            upkeep::run(setup::find_config(lake)?, &tables?, options, terminal).await
        }
        Command::Tables { table: None, json, lake } => {
            tables::all(&setup::find_config(lake)?, json, terminal.out).await
        }
        Command::Tables { table: Some(table), json, lake } => {
            let table = setup::table_name(&table)?;
            tables::one(&setup::open_lake(lake, &table)?, &table, json, terminal.out).await
        }
        Command::Show { table, limit, format, lake } => {
            let table = setup::table_name(&table)?;
            show::run(&setup::open_lake(lake, &table)?, &table, limit, format, terminal.out).await
        }
        Command::Sql { table, latest, key, engine, lake } => {
            let table = setup::table_name(&table)?;
            let latest = latest.then_some(key.as_slice());
            sql::run(&setup::open_lake(lake, &table)?, &table, engine, latest, terminal.out).await
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

/// Prints the text of clap: help and version if they were asked for, else what is wrong.
fn refuse(error: &clap::Error, terminal: &mut Terminal<'_>) -> u8 {
    let text = error.render().to_string();
    let (to, code) = if error.use_stderr() {
        (&mut *terminal.err, WRONG_USE)
    } else {
        (&mut *terminal.out, DONE)
    };
    // If this write fails, there is nowhere left to report it.
    drop(writeln!(to, "{}", text.trim_end()).and_then(|()| to.flush()));
    code
}

#[cfg(test)]
mod tests;
