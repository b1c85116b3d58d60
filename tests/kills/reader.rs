//! A reader that looks all the while.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Place;
use crate::support::compare::Object;
use crate::support::process::{lakeward, printed, run};

/// What a reader has seen.
#[derive(Debug, Default)]
pub struct Polls {
    pub polls: u32,
    pub problems: Vec<String>,
}

/// A thread that reads every table again and again.
pub struct Reader {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Polls>,
}

impl Reader {
    pub fn start(place: &Place) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (lake, variables) = (place.lake.clone(), place.variables.clone());
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
                match look(command, &lake) {
                    Ok(now) => {
                        let gone = seen.difference(&now).map(|it| format!("{it} has vanished"));
                        polls.problems.extend(gone);
                        seen = now;
                    }
                    Err(problem) => polls.problems.push(problem),
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            polls
        });
        Self { done, thread }
    }

    pub fn stop(self) -> Polls {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What is in the lake: table, source and id of each row.
fn look(command: impl Fn() -> Command, lake: &str) -> Result<BTreeSet<String>, String> {
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

/// All rows of a table, without nulls; none where there is no such table.
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
