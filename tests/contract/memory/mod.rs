//! Events of the largest and worst shapes: the real process stays below the memory of a small
//! function, and every record ends as a row or in quarantine, however often it is redelivered.
//!
//! Memory is what Linux says of the process (`VmHWM`, begun anew for each event); elsewhere only the
//! records are counted. One process serves all events of a test, as a warm function does.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::lake::fresh_folder;
use crate::support::lambda_events::event;
use crate::support::process::Function;

mod shapes;

use shapes::Shape;

/// Memory of the function, in MB; what takes more, Lambda kills.
const MAX_MB: u64 = 512;
/// Most bytes that Lambda delivers at once.
const EVENT: usize = 6 * 1024 * 1024;
/// Deliveries of an event after which it counts as stuck.
const MAX_DELIVERIES: usize = 40;

/// Head of the printed table: memory in MB, time in seconds.
const HEAD: &str = "\
| shape | event | deliveries | rows | quarantined | peak | time |
|---|---|---|---|---|---|---|
";

/// A table for each shape, and sources that fill it.
fn config(shapes: usize) -> String {
    let mut text = "version = 1\n[quarantine]\nreject_limit = 1.0\n".to_owned();
    for at in 0..shapes {
        for source in ["kinesis:*:*:stream/s@", "dynamodb:*:*:table/s@/stream/*", "sqs:*:*:s@.fifo"]
        {
            write!(text, "[[route]]\nsource = \"arn:aws:{source}\"\ntable = \"limits.s@\"\n")
                .unwrap();
        }
        text.push_str("[table.\"limits.s@\"]\nold_image = \"json\"\n");
        text = text.replace('@', &at.to_string());
    }
    text
}

/// Puts a record into the source of a shape.
fn sent_from(record: &mut Value, shape: usize) {
    let arn = match record["eventSource"].as_str().unwrap() {
        "aws:kinesis" => format!("kinesis:eu-west-1:123456789012:stream/s{shape}"),
        "aws:dynamodb" => format!("dynamodb:eu-west-1:123456789012:table/s{shape}/stream/1"),
        _ => format!("sqs:eu-west-1:123456789012:s{shape}.fifo"),
    };
    record["eventSourceARN"] = json!(format!("arn:aws:{arn}"));
}

/// Rows of a table, as its newest snapshot counts them.
fn rows(lake: &Path, table: &str) -> u64 {
    let folder = lake.join(table).join("metadata");
    let Ok(version) = fs::read_to_string(folder.join("version-hint.text")) else { return 0 };
    let head = fs::read(folder.join(format!("v{}.metadata.json", version.trim()))).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    let current = &head["current-snapshot-id"];
    let snapshots = head["snapshots"].as_array().unwrap().iter();
    let current = snapshots.into_iter().find(|it| it["snapshot-id"] == *current);
    let total = current.map(|it| it["summary"]["total-records"].as_str().unwrap().parse());
    total.map_or(0, Result::unwrap)
}

/// Returns the records to redeliver, in the order of the batch.
fn left(records: &[Value], answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let told = answer["batchItemFailures"].as_array().unwrap().iter();
    let told: Vec<&Value> = told.map(|it| &it["itemIdentifier"]).collect();
    let is_told = |record: &Value| {
        let names = [
            &record["messageId"],
            &record["kinesis"]["sequenceNumber"],
            &record["dynamodb"]["SequenceNumber"],
        ];
        names.iter().any(|it| it.is_string() && told.contains(it))
    };
    if records[0]["messageId"].is_string() {
        return records.iter().filter(|it| is_told(it)).cloned().collect();
    }
    let from = records.iter().position(is_told);
    assert_eq!(from.is_none(), told.is_empty(), "{answer} names what was not delivered");
    from.map(|at| records[at..].to_vec()).unwrap_or_default()
}

/// Redelivers until every record is handled. Returns the number of deliveries.
fn deliver(function: &mut Function, mut records: Vec<Value>) -> usize {
    for delivered in 1..=MAX_DELIVERIES {
        let answer = function.invoke(&event(records.clone()));
        records = left(&records, answer.response());
        if records.is_empty() {
            return delivered;
        }
    }
    panic!("{} records come again and again", records.len());
}

#[expect(clippy::print_stdout, reason = "the table is for people, who run it with --no-capture")]
fn show(table: &str) {
    println!("{table}");
}

/// Runs shapes in one warm process and prints what became of each.
fn run(name: &str, shapes: Vec<Shape>) {
    let folder = fresh_folder(&format!("limits-{name}"));
    let (path, lake) = (folder.join("lakeward.toml"), folder.join("lake"));
    fs::write(&path, config(shapes.len())).unwrap();
    let mut function = Function::start(&path, &lake);
    let mut table = HEAD.to_owned();
    let mut wrong = Vec::new();
    for (at, mut shape) in shapes.into_iter().enumerate() {
        shape.records.iter_mut().for_each(|it| sent_from(it, at));
        let bytes = event(shape.records.clone()).to_string().len();
        assert!(bytes <= EVENT + 1024, "{} has {bytes} bytes", shape.name);
        let before = rows(&lake, "lakeward/quarantine");
        function.forget_peak();
        let began = std::time::Instant::now();
        let deliveries = deliver(&mut function, shape.records);
        let (seconds, peak) = (began.elapsed().as_secs_f64(), function.peak_mb());
        let landed = rows(&lake, &format!("limits/s{at}"));
        let quarantined = rows(&lake, "lakeward/quarantine") - before;
        let shown = peak.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let name = shape.name;
        writeln!(
            table,
            "| {name} | {bytes} | {deliveries} | {landed} | {quarantined} | {shown} | {seconds:.1} |"
        )
        .unwrap();
        if (landed, quarantined) != (shape.rows, shape.quarantined) {
            let (rows, quarantined) = (shape.rows, shape.quarantined);
            wrong.push(format!("{name}: expected {rows} rows and {quarantined} in quarantine"));
        }
        if peak.is_some_and(|it| it >= MAX_MB) {
            wrong.push(format!("{name}: {shown} MB are more than the function has"));
        }
    }
    show(&table);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
    function.kill();
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn wide_records_and_large_items_stay_within_memory() {
    run("wide", shapes::wide());
}

#[test]
fn packed_values_stay_within_memory() {
    run("packed", shapes::packed());
}

#[test]
fn packed_records_and_records_in_records_stay_within_memory() {
    run("several", shapes::several());
}

#[test]
fn deep_and_broken_records_stay_within_memory() {
    run("deep", shapes::deep());
}
