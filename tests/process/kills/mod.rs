//! The real process, killed before and after each call to the store, and at any time in between.
//! Several of them write to one lake while a reader reads it.
//!
//! Batches without a response are redelivered, whole or cut, and so are some with a response. At
//! the end every id is there once. `KILLS=500 KILL_SEED=7` and `tests/run kills` make longer runs.

mod batches;
mod reader;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::lake::fresh_folder;
use crate::support::lambda_events::event;
use crate::support::process::{Function, by_id, killable, lakeward, run};
use crate::support::s3::S3;
use batches::{Batch, Batches, CONFIG};
use reader::{Polls, Reader};

/// Functions that write to the lake at the same time.
const WRITERS: u32 = 2;
const TIME_LEFT: Duration = Duration::from_secs(60);

/// A lake, with the variables that its processes need.
pub struct Workspace {
    folder: PathBuf,
    config: PathBuf,
    lake: String,
    variables: Vec<(String, String)>,
}

impl Workspace {
    fn local(name: &str) -> Self {
        let folder = fresh_folder(&format!("kills-{name}"));
        let lake = folder.join("lake").to_str().unwrap().to_owned();
        Self::at(folder, lake, Vec::new())
    }

    fn s3(name: &str, lake: &str, endpoint: &str) -> Self {
        let variables = [
            ("AWS_ENDPOINT_URL_S3", endpoint),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let folder = std::env::temp_dir().join(format!("lakeward-kills-{name}"));
        fs::create_dir_all(&folder).unwrap();
        Self::at(folder, lake.to_owned(), variables.to_vec())
    }

    fn at(folder: PathBuf, lake: String, variables: Vec<(String, String)>) -> Self {
        let config = folder.join("lakeward.toml");
        fs::write(&config, CONFIG).unwrap();
        Self { folder, config, lake, variables }
    }

    fn variables<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.chain(more.iter().copied()).collect()
    }

    fn start(&self, death: &Death) -> Function {
        let lake = self.lake.as_ref();
        match death {
            Death::At(point, pass) => {
                let at = format!("{point}#{pass}");
                let variables = self.variables(&[("KILL_AT", &at)]);
                Function::start_as(killable(), &self.config, lake, &variables)
            }
            _ => Function::start_in(&self.config, lake, &self.variables(&[])),
        }
    }

    fn is_localstack(&self) -> bool {
        let here =
            |(name, value): &(String, String)| name.ends_with("_S3") && value.ends_with(":4566");
        self.variables.iter().any(here)
    }

    /// Reads all rows of a table.
    fn rows(&self, table: &str) -> Vec<crate::support::compare::Object> {
        reader::rows(lakeward().envs(self.variables(&[])), &self.lake, table).unwrap()
    }
}

/// The end of a process.
#[derive(Debug, Clone)]
enum Death {
    /// Killed at a pass of a failpoint.
    At(String, u32),
    /// Killed this long after it was given a batch.
    After(Duration),
    /// Not killed before all is done.
    Never,
}

/// The counts of a campaign.
#[derive(Debug, Default)]
struct Sums {
    by_point: BTreeMap<String, u32>,
    at_random: u32,
    invocations: u32,
    redelivered: u32,
    answered: u32,
}

/// One writer's deliveries.
struct Writer<'a> {
    workspace: &'a Workspace,
    batches: Batches,
    pending: VecDeque<Batch>,
    sums: &'a Mutex<Sums>,
}

impl Writer<'_> {
    fn rng(&mut self) -> &mut Rng {
        &mut self.batches.rng
    }

    fn next(&mut self) -> Batch {
        if self.pending.is_empty() || self.rng().bool() {
            let batch = self.batches.next();
            self.pending.push_back(batch);
        }
        self.pending.pop_front().unwrap()
    }

    /// Redelivers a batch, as it was or in two halves, as Lambda bisects.
    fn redeliver(&mut self, mut batch: Batch) {
        self.sums.lock().unwrap().redelivered += 1;
        let cut = self.rng().usize(0..=batch.len());
        let rest = batch.split_off(cut);
        // The first half first: Lambda keeps the order of a shard and of a group.
        for half in [rest, batch].into_iter().filter(|it| !it.is_empty()) {
            self.pending.push_front(half);
        }
    }

    /// Runs a process that takes batches until it dies. It answers some of them before.
    fn live(&mut self, death: &Death) {
        let mut function = self.workspace.start(death);
        for _ in 0..6 {
            let batch = self.next();
            self.sums.lock().unwrap().invocations += 1;
            let event = event(batch.iter().cloned());
            if let Death::After(time) = death {
                function.hand_over(&event);
                std::thread::sleep(*time);
                self.sums.lock().unwrap().at_random += 1;
                // As Lambda ends an environment that has extensions.
                if self.rng().bool() {
                    assert_eq!(function.terminate().code(), None, "it waited for something");
                }
                self.redeliver(batch);
                break;
            }
            match function.try_invoke(&event, TIME_LEFT) {
                Ok(answer) => {
                    let answer: Value = serde_json::from_str(answer.response()).unwrap();
                    assert_eq!(answer["batchItemFailures"], json!([]));
                    self.sums.lock().unwrap().answered += 1;
                    if self.rng().u8(0..8) == 0 {
                        self.redeliver(batch);
                    }
                }
                Err(status) => {
                    assert_eq!(status.code(), None, "it was not killed: {status}");
                    let Death::At(point, _) = death else { panic!("{status}") };
                    let mut sums = self.sums.lock().unwrap();
                    *sums.by_point.entry(point.clone()).or_default() += 1;
                    drop(sums);
                    self.redeliver(batch);
                    break;
                }
            }
            if matches!(death, Death::Never) && self.pending.is_empty() {
                break;
            }
        }
        drop(function.kill());
    }

    fn finish(&mut self) {
        while !self.pending.is_empty() {
            self.live(&Death::Never);
        }
    }
}

/// Returns the failpoints that a function passes on a new lake, and how often.
fn points(workspace: &Workspace) -> Vec<(String, u32)> {
    let file = workspace.folder.join("points");
    drop(fs::remove_file(&file));
    let mut batches = Batches::new(1, 0);
    let variables = workspace.variables(&[("POINTS", file.to_str().unwrap())]);
    let lake = format!("{}-points", workspace.lake);
    let mut function = Function::start_as(killable(), &workspace.config, lake.as_ref(), &variables);
    for _ in 0..6 {
        drop(function.invoke(&event(batches.next())));
    }
    drop(function.kill());
    let mut passes: BTreeMap<String, u32> = BTreeMap::new();
    for point in fs::read_to_string(file).unwrap().lines() {
        *passes.entry(point.to_owned()).or_default() += 1;
    }
    passes.into_iter().collect()
}

/// Kills this many processes, and checks that every record is there once.
fn campaign(
    name: &str,
    workspace: &Workspace,
    kills: u32,
    seed: u64,
) -> BTreeMap<String, BTreeSet<String>> {
    let points = points(workspace);
    assert!(points.len() >= 20, "{points:?}");
    let (sums, reader) = (Mutex::new(Sums::default()), Reader::start(workspace));
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (sums, points) = (&sums, &points);
                scope.spawn(move || {
                    let batches = Batches::new(seed + u64::from(writer), writer * 1_000_000);
                    let mut it = Writer { workspace, batches, pending: VecDeque::new(), sums };
                    for kill in (0..kills).filter(|it| it % WRITERS == writer) {
                        // Each point in turn, and every third time any moment.
                        let (point, passes) =
                            &points[(kill as usize / 3 * 2 + kill as usize % 3) % points.len()];
                        let death = if kill % 3 == 2 {
                            Death::After(Duration::from_millis(it.rng().u64(0..250)))
                        } else {
                            Death::At(point.clone(), it.rng().u32(1..=(*passes).min(4)))
                        };
                        it.live(&death);
                    }
                    it.finish();
                    it.batches.expected
                })
            })
            .collect();
        for writer in writers {
            for (table, ids) in writer.join().unwrap() {
                expected.entry(table.to_owned()).or_default().extend(ids);
            }
        }
    });
    let (polls, duck) = reader.stop();
    let sums = sums.into_inner().unwrap();
    // Rows that were left to others wait for a commit.
    let mut upkeep = lakeward();
    upkeep.args(["upkeep", "--lake", &workspace.lake]).envs(workspace.variables(&[]));
    assert!(run(&mut upkeep).status.success());
    let mut found = 0;
    let mut wrong = polls.problems.clone();
    wrong.extend(duck.iter().flat_map(|it| it.problems.clone()));
    for (table, ids) in &expected {
        // Fails on one that is there twice.
        let there: BTreeSet<String> = by_id(workspace.rows(table)).into_keys().collect();
        found += there.len();
        let (lost, strange) = (ids.difference(&there).count(), there.difference(ids).count());
        if lost + strange > 0 {
            wrong.push(format!("{table}: {lost} lost, {strange} that were not sent"));
        }
    }
    let sent = expected.values().map(BTreeSet::len).sum();
    summary(
        name,
        seed,
        &sums,
        &[("a reader", Some(&polls)), ("DuckDB", duck.as_ref())],
        sent,
        found,
    );
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    assert!(polls.polls > 0 && sums.at_random > 0);
    expected
}

#[expect(clippy::print_stderr, reason = "the result of a long run")]
fn summary(
    name: &str,
    seed: u64,
    sums: &Sums,
    readers: &[(&str, Option<&Polls>)],
    expected: usize,
    found: usize,
) {
    let named: u32 = sums.by_point.values().sum();
    eprintln!("\nkills, {name}, seed {seed}");
    eprintln!("{:8} at {} failpoints", named, sums.by_point.len());
    eprintln!("{:8} at any time", sums.at_random);
    eprintln!("{:8} invocations, {} answered", sums.invocations, sums.answered);
    eprintln!("{:8} redelivered batches", sums.redelivered);
    eprintln!("{expected:8} rows expected");
    eprintln!("{found:8} rows found, each once");
    for (reader, polls) in readers {
        if let Some(Polls { polls, again, problems }) = polls {
            let failed = problems.len();
            eprintln!(
                "{polls:8} polls of all tables by {reader}, {failed} failed, {again} asked again"
            );
        }
    }
    if std::env::var("KILLS").is_ok() {
        for (point, kills) in &sums.by_point {
            eprintln!("{kills:8} {point}");
        }
    }
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().map_or(default, |it| it.parse().unwrap())
}

#[test]
fn whenever_a_function_on_a_local_lake_is_killed_every_record_lands_once() {
    let workspace = Workspace::local("local");
    let expected =
        campaign("local lake", &workspace, number("KILLS", 60), number("KILL_SEED", 1).into());
    let tables = expected.iter().map(|(table, ids)| (table.clone(), json!({"rows": ids.len()})));
    let tables: serde_json::Map<String, Value> = tables.collect();
    fs::write(workspace.folder.join("expected.json"), json!({"tables": tables}).to_string())
        .unwrap();
    drop(fs::remove_dir_all(workspace.folder.join("lake-points")));
}

#[test]
fn whenever_a_function_on_s3_is_killed_every_record_lands_once() {
    let store = S3::start();
    let workspace = Workspace::s3("s3", "s3://bucket/lake", &store.endpoint);
    campaign("S3 in memory", &workspace, number("KILLS", 30), number("KILL_SEED", 2).into());
}

#[test]
#[ignore = "needs LocalStack: tests/run kills"]
fn whenever_a_function_on_localstack_is_killed_every_record_lands_once() {
    let endpoint = crate::stack::endpoint();
    let lake = crate::stack::bucket_for("kills");
    let workspace = Workspace::s3("localstack", &lake, &endpoint);
    let expected = campaign("LocalStack", &workspace, number("KILLS", 60) / 3, 3);
    let tables = expected.iter().map(|(table, ids)| (table.clone(), json!({"rows": ids.len()})));
    let tables: serde_json::Map<String, Value> = tables.collect();
    crate::stack::leave("kills.json", &json!({"lake": lake, "tables": tables}).to_string());
}
