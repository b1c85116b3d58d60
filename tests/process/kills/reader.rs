//! Readers that read all the time: Lakeward's own, and in long runs DuckDB.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lakeward::store::files;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::files::overlay::Overlay;
use lakeward::table::lineage;

use super::Workspace;
use crate::support::compare::Object;
use crate::support::lake::lake_on;
use crate::support::process::{lakeward, printed, run};

/// The polls of a reader.
#[derive(Debug, Default)]
pub struct Polls {
    pub polls: u32,
    /// Tables that had to be read again, because their hint was replaced meanwhile.
    pub again: u32,
    pub problems: Vec<String>,
}

/// A thread that reads every table again and again, and a process of DuckDB that does the same.
pub struct Reader {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Polls>,
    duck: Option<Child>,
}

impl Reader {
    pub fn start(workspace: &Workspace) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (lake, variables) = (workspace.lake.clone(), workspace.variables.clone());
        let end = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let (mut polls, mut seen) = (Polls::default(), BTreeSet::new());
            while !end.load(Ordering::Relaxed) {
                let command = || {
                    let mut command = lakeward();
                    command.envs(variables.iter().map(|(name, value)| (name, value)));
                    command
                };
                polls.polls += 1;
                let rows = match lake.starts_with("s3:") {
                    true => read_with_commands(command, &lake),
                    false => read_local(&lake),
                };
                match rows {
                    Ok(rows) => {
                        let gone = seen.difference(&rows).map(|it| format!("{it} has vanished"));
                        polls.problems.extend(gone);
                        seen = rows;
                    }
                    Err(problem) => polls.problems.push(problem),
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            polls
        });
        let duck = std::env::var_os("KILLS").and_then(|_| start_duck(workspace));
        Self { done, thread, duck }
    }

    /// Stops both, and returns the polls of Lakeward's reader and those of DuckDB, if it ran.
    pub fn stop(self) -> (Polls, Option<Polls>) {
        self.done.store(true, Ordering::Relaxed);
        let own = self.thread.join().unwrap();
        (own, self.duck.map(stop_duck))
    }
}

/// Starts `tests/readers/poll.py`, if `tests/run readers` has installed its packages.
fn start_duck(workspace: &Workspace) -> Option<Child> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/tools/readers/bin/python");
    let mut command = Command::new(&python);
    command.arg(root.join("tests/readers/poll.py")).arg(&workspace.lake);
    for (name, value) in &workspace.variables {
        command.env(name.trim_end_matches("_S3"), value);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    // The store in memory does not have enough of S3's API for DuckDB.
    let reachable = !workspace.lake.starts_with("s3:") || workspace.is_localstack();
    (python.exists() && reachable).then(|| command.spawn().unwrap())
}

fn stop_duck(mut duck: Child) -> Polls {
    drop(duck.stdin.take());
    let output = duck.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", printed(&output));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problems = said["problems"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let number = |name: &str| u32::try_from(said[name].as_u64().unwrap()).unwrap();
    Polls { polls: number("polls"), again: number("again"), problems }
}

/// Reads the table, source and id of each row of a lake on this machine. Changes nothing, not even
/// hints.
fn read_local(lake: &str) -> Result<BTreeSet<String>, String> {
    let text = |error: std::io::Error| error.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(text)?;
    let location = LocalFiles::location(lake).map_err(text)?;
    let lake = lake_on(Arc::new(Overlay::over(&files::at(&location).map_err(text)?)), &location);
    let names = [lineage::SOURCE, lineage::ID];
    let mut found = BTreeSet::new();
    for table in runtime.block_on(lake.tables()).map_err(|it| it.to_string())? {
        let rows = runtime.block_on(lake.all_rows(&table));
        let Some(rows) = rows.map_err(|it| it.to_string())? else { continue };
        let at = names.map(|name| rows.columns.iter().position(|(it, _)| it == name).unwrap());
        for row in rows.rows {
            let id = format!("{table} {:?}", at.map(|at| &row[at]));
            if !found.insert(id.clone()) {
                return Err(format!("{id} is there twice"));
            }
        }
    }
    Ok(found)
}

/// Reads the table, source and id of each row of a lake with the commands of Lakeward.
fn read_with_commands(
    command: impl Fn() -> Command,
    lake: &str,
) -> Result<BTreeSet<String>, String> {
    let tables = run(command().args(["tables", "--json", "--lake", lake]));
    if !tables.status.success() {
        // Before anything has landed there is no lake.
        let said = printed(&tables);
        return if said.contains("there is no directory") {
            Ok(BTreeSet::new())
        } else {
            Err(said)
        };
    }
    let tables: serde_json::Value =
        serde_json::from_slice(&tables.stdout).map_err(|error| error.to_string())?;
    let mut found = BTreeSet::new();
    for table in tables["tables"].as_array().into_iter().flatten() {
        let name = table["table"].as_str().unwrap_or_default();
        for row in rows(&mut command(), lake, name)? {
            let id = format!("{name} {} {}", row["_lw_source"], row["_lw_id"]);
            if !found.insert(id.clone()) {
                return Err(format!("{id} is there twice"));
            }
        }
    }
    Ok(found)
}

/// Reads all rows of a table, without nulls; none if there is no such table.
pub fn rows(command: &mut Command, lake: &str, table: &str) -> Result<Vec<Object>, String> {
    let arguments = ["show", table, "--format", "json", "--limit", "1000000", "--lake", lake];
    let output = run(command.args(arguments));
    if !output.status.success() {
        let said = printed(&output);
        return if said.contains("has no table") { Ok(Vec::new()) } else { Err(said) };
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| {
        let row: Object = serde_json::from_str(line).map_err(|error| error.to_string())?;
        Ok(row.into_iter().filter(|(_, value)| !value.is_null()).collect())
    });
    lines.collect()
}
