//! Several processes on one lake, and processes that die, which other tests can only imitate.
//!
//! The independent readers also count the rows of these lakes, from `expected.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::compare::Object;
use crate::support::fixture::fixtures;
use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{event, kinesis_id, kinesis_record};
use crate::support::process::{
    KillOnDrop, by_id, lakeward, next_release, printed, replay, rows, run,
};

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"
"#;

/// A lake of its own, with its config, and room for events beside it.
struct Workspace {
    folder: PathBuf,
    config: PathBuf,
    lake: PathBuf,
}

impl Workspace {
    fn new(name: &str) -> Self {
        let folder = fresh_folder(&format!("processes-{name}"));
        let config = folder.join("lakeward.toml");
        fs::write(&config, CONFIG).unwrap();
        Self { lake: folder.join("lake"), config, folder }
    }

    fn file(&self, name: &str, events: &[Value]) -> PathBuf {
        let events: Vec<String> = events.iter().map(Value::to_string).collect();
        let file = self.folder.join(format!("{name}.jsonl"));
        fs::write(&file, events.join("\n")).unwrap();
        file
    }

    /// Starts a process that replays events.
    fn replay(&self, name: &str, events: &[Value]) -> KillOnDrop {
        let mut command = replay(&self.config, &self.lake);
        start(command.arg(self.file(name, events)))
    }

    /// Starts a process of the next release that replays events.
    fn replay_as_next(&self, name: &str, events: &[Value]) -> KillOnDrop {
        let mut command = next_release();
        command.arg("replay").args([&self.config, &self.lake, &self.file(name, events)]);
        start(&mut command)
    }

    /// Sets a property of every table, as the next release.
    fn set(&self, property: &str, value: &str) {
        let mut command = next_release();
        command.arg("set").arg(&self.lake).args([property, value]);
        finish(vec![start(&mut command)]);
    }

    /// Reads the current metadata of the table.
    fn metadata(&self) -> Value {
        let folder = self.lake.join("web/clicks/metadata");
        let hint = fs::read_to_string(folder.join("version-hint.text")).unwrap();
        let text = fs::read_to_string(folder.join(format!("v{hint}.metadata.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Lists every file of the lake.
    fn files(&self) -> BTreeSet<PathBuf> {
        let (mut folders, mut files) = (vec![self.lake.clone()], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path);
                }
            }
        }
        files
    }

    fn expect(&self, rows: usize) {
        let expected = json!({"tables": {"web.clicks": {"rows": rows}}}).to_string();
        fs::write(self.folder.join("expected.json"), expected).unwrap();
    }
}

fn start(command: &mut std::process::Command) -> KillOnDrop {
    KillOnDrop::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Waits for all of them; each must have done its work.
fn finish(processes: Vec<KillOnDrop>) {
    for mut process in processes {
        let status = process.0.wait().unwrap();
        let mut text = String::new();
        for pipe in [
            process.0.stdout.take().map(std::io::read_to_string),
            process.0.stderr.take().map(std::io::read_to_string),
        ] {
            text += &pipe.unwrap().unwrap();
        }
        assert!(status.success(), "{status}: {text}");
    }
}

/// Returns a click whose fields depend only on its number. Some clicks have other fields, and some
/// amounts are whole, so processes disagree about the schema.
fn click(n: u32) -> Value {
    let mut payload = json!({"n": n, "amount": Value::from(n)});
    if n % 3 == 1 {
        payload["amount"] = json!(f64::from(n) + 0.25);
    }
    payload[format!("only_{}", n % 5)] = json!(format!("text {n}"));
    kinesis_record(n, &payload)
}

/// Fails unless the table holds exactly these clicks, each with its own values.
fn assert_clicks(workspace: &Workspace, numbers: std::ops::Range<u32>) {
    let found = by_id(rows(&workspace.lake, "web.clicks"));
    let ids: BTreeSet<String> = found.keys().cloned().collect();
    assert_eq!(ids, numbers.clone().map(kinesis_id).collect());
    for n in numbers {
        let row = &found[&kinesis_id(n)];
        assert_eq!(row["n"], json!(n), "{row:?}");
        assert_eq!(row[&format!("only_{}", n % 5)], json!(format!("text {n}")), "{row:?}");
        // The process that added the column decided between long and double.
        let amounts: Vec<f64> =
            ["amount", "amount__double"].iter().filter_map(|it| row.get(*it)?.as_f64()).collect();
        let expected = f64::from(n) + if n % 3 == 1 { 0.25 } else { 0.0 };
        assert_eq!(amounts, [expected], "{row:?}");
        let own = row.keys().filter(|name| !name.starts_with("_lw_")).count();
        assert_eq!(own, 3, "values of another row in {row:?}");
    }
}

#[test]
fn eight_processes_replay_overlapping_events_into_one_lake() {
    let workspace = Workspace::new("eight");
    let mut processes = Vec::new();
    for process in 0..8_u32 {
        // Each begins elsewhere and cuts its batches differently; most clicks come several times.
        let (from, size) = (process * 15, 11 + process);
        let batches: Vec<Value> = (0..5)
            .map(|at| from + at * size)
            .map(|from| event((from..from + size + 4).map(click)))
            .collect();
        processes.push(workspace.replay(&process.to_string(), &batches));
    }
    finish(processes);
    let last = 7 * 15 + 5 * (11 + 7) + 4;
    assert_clicks(&workspace, 0..last);
    workspace.expect(last as usize);
}

#[test]
fn five_processes_create_one_table_at_once() {
    for round in 0..3 {
        let workspace = Workspace::new(&format!("five-{round}"));
        let processes = (0..5_u32)
            .map(|process| {
                let numbers = process * 6..process * 6 + 10;
                workspace.replay(&process.to_string(), &[event(numbers.map(click))])
            })
            .collect();
        finish(processes);
        assert_clicks(&workspace, 0..34);
        workspace.expect(34);
    }
}

/// Returns the releases that wrote the kept snapshots of a table.
fn writers(metadata: &Value) -> BTreeSet<&str> {
    let snapshots = metadata["snapshots"].as_array().unwrap().iter();
    snapshots.map(|it| it["summary"]["lakeward.version"].as_str().unwrap()).collect()
}

fn columns(metadata: &Value) -> Vec<&str> {
    let current = &metadata["current-schema-id"];
    let schemas = metadata["schemas"].as_array().unwrap();
    let schema = schemas.iter().find(|it| it["schema-id"] == *current).unwrap();
    schema["fields"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

const THIS: &str = env!("CARGO_PKG_VERSION");

/// Returns five batches of clicks of one size.
fn batches(from: u32, size: u32) -> Vec<Value> {
    let starts = (0..5).map(|at| from + at * size);
    starts.map(|from| event((from..from + size + 4).map(click))).collect()
}

#[test]
fn two_releases_write_one_table_at_the_same_time_and_in_turns() {
    let workspace = Workspace::new("releases");
    // A deploy: both are at work, on records that overlap.
    let mut processes = Vec::new();
    for process in 0..4_u32 {
        let (from, size) = (process * 15, 11 + process);
        processes.push(workspace.replay(&format!("this-{process}"), &batches(from, size)));
        processes
            .push(workspace.replay_as_next(&format!("next-{process}"), &batches(from + 7, size)));
    }
    finish(processes);
    let last = 3 * 15 + 7 + 5 * 14 + 4;
    assert_clicks(&workspace, 0..last);
    let metadata = workspace.metadata();
    assert_eq!(writers(&metadata), BTreeSet::from([THIS, "9.9.9"]));
    assert_eq!(columns(&metadata).iter().filter(|it| **it == "next_release").count(), 1);
    // A rollback and another try.
    for turn in 0..3 {
        let from = last - 6 + turn * 10;
        finish(vec![workspace.replay("turn", &[event((from..from + 11).map(click))])]);
        finish(vec![workspace.replay_as_next("turn", &[event((from + 5..from + 16).map(click))])]);
    }
    let last = last - 6 + 20 + 16;
    assert_clicks(&workspace, 0..last);
    let metadata = workspace.metadata();
    assert_eq!(metadata["properties"]["lakeward.next-release"], "1", "unknown properties are kept");
    assert_eq!(columns(&metadata).iter().filter(|it| **it == "next_release").count(), 1);
    assert_eq!(metadata["properties"]["lakeward.min-writer"], "0.1.0", "no side effect");
    workspace.expect(last as usize);
}

#[test]
fn a_release_that_is_too_old_for_a_table_leaves_it_alone_until_it_is_lowered() {
    let workspace = Workspace::new("too-old");
    finish(vec![workspace.replay("first", &[event((0..5).map(click))])]);
    workspace.set("lakeward.min-writer", "9.9.0");
    let (metadata, files) = (workspace.metadata(), workspace.files());

    // Records that are there, and others.
    for clicks in [0..5, 3..9] {
        let file = workspace.file("refused", &[event(clicks.map(click))]);
        let output = run(replay(&workspace.config, &workspace.lake).arg(file));
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        // The summary breaks lines where it likes.
        let text = printed(&output);
        let words: Vec<&str> = text.split_whitespace().collect();
        let sentence = format!(
            "table web.clicks: only release 9.9.0 or newer may write to it, and this is release \
             {THIS}: use release 9.9.0 or newer; nothing was written"
        );
        assert!(words.join(" ").contains(&sentence), "{text}");
        assert_eq!(workspace.metadata(), metadata, "the head is as it was");
        assert_eq!(workspace.files(), files);
        assert_eq!(rows(&workspace.lake, "web.clicks").len(), 5, "it still reads");
        let output = run(lakeward().arg("tables").arg("--lake").arg(&workspace.lake));
        assert!(output.status.success() && printed(&output).contains("web.clicks"));
    }

    finish(vec![workspace.replay_as_next("next", &[event((3..12).map(click))])]);
    assert_clicks(&workspace, 0..12);
    workspace.set("lakeward.min-writer", "0.1.0");
    finish(vec![workspace.replay("lowered", &[event((10..15).map(click))])]);
    assert_clicks(&workspace, 0..15);
    workspace.expect(15);
}

/// Returns the events of the shop's first hours: all three sources, with retries.
fn shop_files() -> Vec<PathBuf> {
    let folder = fixtures().join("shop/events");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files.truncate(11);
    files
}

fn shop_config() -> PathBuf {
    fixtures().join("shop/lakeward.toml")
}

/// Reads all rows of a lake of the shop, by table and id.
fn shop_tables(lake: &Path) -> BTreeMap<&'static str, BTreeMap<String, Object>> {
    let tables = [
        "billing.invoices",
        "lakeward.quarantine",
        "shop.customers_changes",
        "shop.orders_changes",
        "web.clicks",
    ];
    tables.map(|table| (table, by_id(rows(lake, table)))).into()
}

#[test]
fn killed_replays_leave_what_a_clean_one_leaves() {
    let files = shop_files();
    let clean = fresh_folder("processes-clean").join("lake");
    let start = Instant::now();
    let output = run(replay(&shop_config(), &clean).args(&files));
    assert!(output.status.success(), "{}", printed(&output));
    let whole = u64::try_from(start.elapsed().as_millis()).unwrap().max(1);
    let expected = shop_tables(&clean);
    assert!(expected.values().filter(|rows| !rows.is_empty()).count() >= 4, "{expected:?}");

    let mut moments = fastrand::Rng::with_seed(11);
    // Short enough that a lake meets several kills on its way.
    let within = (whole / 3).max(1);
    let killed = fresh_folder("processes-killed");
    let (mut kills, mut round) = (0, 0);
    while kills < 20 {
        round += 1;
        assert!(round <= 20, "only {kills} processes were hit in {round} rounds");
        let folder = killed.join(format!("round-{round}"));
        let lake = folder.join("lake");
        for _ in 0..12 {
            let mut command = replay(&shop_config(), &lake);
            command.args(&files).stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = KillOnDrop::start(&mut command);
            std::thread::sleep(Duration::from_millis(moments.u64(0..within)));
            if !process.kill() {
                // It came to its end: this lake has nothing left to interrupt.
                break;
            }
            kills += 1;
            // All rows can be read, and none is there twice.
            let table = moments.choice(["shop.orders_changes", "web.clicks"]).unwrap();
            by_id(rows(&lake, table));
        }
        let output = run(replay(&shop_config(), &lake).args(&files));
        assert!(output.status.success(), "{}", printed(&output));
        assert_eq!(shop_tables(&lake), expected, "{}", lake.display());
        let counts = expected
            .iter()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(table, rows)| ((*table).to_owned(), json!({"rows": rows.len()})));
        let counts: serde_json::Map<String, Value> = counts.collect();
        let counts = json!({"tables": counts}).to_string();
        fs::write(folder.join("expected.json"), counts).unwrap();
    }
}

/// Whenever upkeep is killed, every row is there once, and the next upkeep does the rest.
#[test]
fn killed_upkeeps_lose_nothing_and_the_next_one_goes_on() {
    let workspace = Workspace::new("killed-upkeeps");
    let upkeep = || {
        let mut command = lakeward();
        command.arg("upkeep").arg("--lake").arg(&workspace.lake);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let clicks = |numbers: std::ops::Range<u32>| -> Vec<Value> {
        numbers.map(|n| event([kinesis_record(n, &json!({"n": n}))])).collect()
    };
    let land = |name: &str, numbers: std::ops::Range<u32>| {
        let output =
            run(replay(&workspace.config, &workspace.lake)
                .arg(workspace.file(name, &clicks(numbers))));
        assert!(output.status.success(), "{}", printed(&output));
    };
    land("first", 0..60);
    let began = Instant::now();
    assert!(run(&mut upkeep()).status.success());
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap().max(2);
    let mut moments = fastrand::Rng::with_seed(5);
    let (mut kills, mut sent, mut round) = (0, 60, 0);
    while kills < 10 {
        round += 1;
        assert!(round <= 60, "only {kills} were hit");
        land(&format!("round-{round}"), sent..sent + 30);
        sent += 30;
        let mut process = KillOnDrop::start(&mut upkeep());
        std::thread::sleep(Duration::from_millis(moments.u64(0..whole.div_ceil(2))));
        kills += u32::from(process.kill());
        let there = by_id(rows(&workspace.lake, "web.clicks"));
        assert_eq!(there.len(), sent as usize, "round {round}");
    }
    assert!(run(&mut upkeep()).status.success());
    // What was joined is still found.
    land("again", 0..sent);
    let there: BTreeSet<String> = by_id(rows(&workspace.lake, "web.clicks")).into_keys().collect();
    assert_eq!(there, (0..sent).map(kinesis_id).collect());
    let counts = json!({"tables": {"web.clicks": {"rows": sent}}}).to_string();
    fs::write(workspace.folder.join("expected.json"), counts).unwrap();
}
