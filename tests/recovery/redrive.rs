//! Redriving quarantined records and failed batches: each lands later, once.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::compare::Object;
use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{event, kinesis_id, kinesis_raw, kinesis_record, message_id};
use crate::support::process::{by_id, lakeward, printed, rows, run};

const STRICT: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"
transform = [{ require = ["customer"] }]

[[route]]
source = "arn:aws:sqs:*:*:notes"
when = { kind = "note" }
table = "office.notes"
"#;

const MILD: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"

[[route]]
source = "arn:aws:sqs:*:*:notes"
table = "office.notes"
"#;

struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str) -> Self {
        Self(fresh_folder(&format!("redrive-{name}")))
    }

    fn lakeward(&self, config: &str, arguments: &[&str]) -> Output {
        fs::write(self.0.join("lakeward.toml"), config).unwrap();
        run(lakeward().args(arguments).current_dir(&self.0))
    }

    fn redrive(&self, config: &str, arguments: &[&str]) -> Value {
        let output = self.lakeward(config, &[&["redrive"], arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", printed(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn rows(&self, table: &str) -> Vec<Object> {
        let folder = self.0.join("lake").join(table.replace('.', "/"));
        if folder.exists() { rows(&self.0.join("lake"), table) } else { Vec::new() }
    }
}

fn note(n: u32, body: &str) -> Value {
    json!({
        "messageId": message_id(n),
        "receiptHandle": "r",
        "body": body,
        "attributes": {"SentTimestamp": "1795428000000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:notes",
        "awsRegion": "eu-west-1",
    })
}

/// Quarantines two clicks that the strict config rejects, a broken one, and a note that no route
/// takes. One click lands.
fn quarantined(name: &str) -> Workspace {
    let workspace = Workspace::new(name);
    let clicks = event([
        kinesis_record(1, &json!({"n": 1})),
        kinesis_record(2, &json!({"n": 2, "customer": "c"})),
        kinesis_record(3, &json!({"n": 3})),
        kinesis_raw(4, "e2Jyb2tlbg=="),
    ]);
    fs::write(workspace.0.join("clicks.json"), clicks.to_string()).unwrap();
    let notes = event([note(5, r#"{"kind":"letter"}"#)]);
    fs::write(workspace.0.join("notes.json"), notes.to_string()).unwrap();
    let output = workspace.lakeward(STRICT, &["replay", "clicks.json", "notes.json"]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(workspace.rows("lakeward.quarantine").len(), 4);
    workspace
}

#[test]
fn quarantined_records_land_under_their_old_ids_once_the_route_takes_them() {
    let workspace = quarantined("quarantine");
    let said = workspace.redrive(MILD, &["quarantine"]);
    let counts = json!({
        "asked": 4, "resolved": 3, "resolved_before": 0, "left_out": 0, "unresolved": 1, "not_kept": 0
    });
    assert_eq!(said["redrive"], counts);
    let clicks = by_id(workspace.rows("web.clicks"));
    let ids: Vec<String> = (1..4).map(kinesis_id).collect();
    assert_eq!(clicks.keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    assert_eq!(
        by_id(workspace.rows("office.notes")).into_keys().collect::<Vec<_>>(),
        [message_id(5)]
    );

    // Landed records are marked, and the next redrive changes nothing.
    let marks = workspace.rows("lakeward.resolved");
    let mut reasons: Vec<&Value> = marks.iter().map(|it| &it["reason"]).collect();
    reasons.sort_by_key(ToString::to_string);
    assert_eq!(reasons, ["missing_field", "missing_field", "no_route"]);
    let again = workspace.redrive(MILD, &["quarantine"]);
    let counts = json!({
        "asked": 4, "resolved": 0, "resolved_before": 3, "left_out": 0, "unresolved": 1, "not_kept": 0
    });
    assert_eq!(again["redrive"], counts);
    for (table, rows) in [("web.clicks", 3), ("lakeward.quarantine", 4), ("lakeward.resolved", 3)] {
        assert_eq!(by_id(workspace.rows(table)).len(), rows, "{table}");
    }
}

/// One config takes a record and another rejects it, in turns, as in a deploy and its rollback.
#[test]
fn a_record_in_quarantine_and_in_its_table_is_in_each_once_and_counts_as_resolved() {
    for order in [[MILD, STRICT, MILD, STRICT], [STRICT, MILD, STRICT, MILD]] {
        let workspace = Workspace::new("both");
        let click = event([kinesis_record(1, &json!({"n": 1}))]);
        fs::write(workspace.0.join("click.json"), click.to_string()).unwrap();
        for config in order {
            let output = workspace.lakeward(config, &["replay", "click.json"]);
            assert!(output.status.success(), "{}", printed(&output));
        }
        for (resolved, before) in [(1, 0), (0, 1)] {
            let said = workspace.redrive(MILD, &["quarantine"]);
            let counts = json!({
                "asked": 1, "resolved": resolved, "resolved_before": before, "left_out": 0,
                "unresolved": 0, "not_kept": 0,
            });
            assert_eq!(said["redrive"], counts);
            for table in ["web.clicks", "lakeward.quarantine", "lakeward.resolved"] {
                let ids: Vec<String> = by_id(workspace.rows(table)).into_keys().collect();
                assert_eq!(ids, [kinesis_id(1)], "{table}");
            }
        }
    }
}

#[test]
fn records_that_today_s_config_drops_or_filters_are_not_marked_and_can_land_later() {
    let workspace = quarantined("dropped");
    let filter = r#"transform = [{ filter = { customer = "*" } }]"#;
    let table = |name: &str, more: &str| MILD.replace(name, more);
    let drop_notes = table("table = \"office.notes\"", "drop = true");
    let filter_clicks =
        table("table = \"web.clicks\"", &format!("table = \"web.clicks\"\n{filter}"));
    for (config, counts) in [
        (drop_notes.as_str(), [2, 0, 1, 1]),
        (filter_clicks.as_str(), [1, 2, 0, 1]),
        (MILD, [0, 3, 0, 1]),
    ] {
        let said = workspace.redrive(config, &["quarantine"])["redrive"].clone();
        let names = ["resolved", "resolved_before", "left_out", "unresolved"];
        assert_eq!(names.map(|it| said[it].as_u64().unwrap()), counts, "{said}");
    }
}

/// Records that unpack to more than fits into one pass are handled one after the other.
#[test]
fn packed_records_of_any_number_land_from_where_they_were_stored() {
    let workspace = Workspace::new("packed");
    let lines: String = (0..45_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let packed = BASE64.encode(lines);
    let batch = event((1..4).map(|n| kinesis_raw(n, &packed)));
    fs::write(workspace.0.join("failed-batch"), failed_batch(batch).to_string()).unwrap();
    for (landed, duplicates) in [(135_000, 0), (0, 135_000)] {
        let said = workspace.redrive(MILD, &["failed", "failed-batch"]);
        let table = &said["tables"]["web.clicks"];
        assert_eq!(table["landed"], landed, "{said}");
        assert_eq!(table["duplicates"], duplicates, "{said}");
    }
}

#[test]
fn only_selected_records_are_redriven() {
    let workspace = quarantined("some");
    let first = format!("_lw_id={}", kinesis_id(1));
    for (arguments, asked, resolved) in [
        (vec!["quarantine", "--dry-run"], 4, 3),
        (vec!["quarantine", "--where", "_lw_arrived_at=2026-*", "--dry-run"], 4, 3),
        (vec!["quarantine", "--where", "_lw_arrived_at=2025-*"], 0, 0),
        (vec!["quarantine", "web.clicks", "--where", &first], 1, 1),
        (
            vec![
                "quarantine",
                "--where",
                "reason=missing_*",
                "--where",
                "_lw_source=*:stream/clicks",
            ],
            2,
            1,
        ),
        // No route took it, and one that fills this table does now.
        (vec!["quarantine", "office.notes"], 1, 1),
        (vec!["quarantine", "web.clicks"], 3, 0),
    ] {
        let said = workspace.redrive(MILD, &arguments);
        let counts = (&said["redrive"]["asked"], &said["redrive"]["resolved"]);
        assert_eq!(counts, (&json!(asked), &json!(resolved)), "{arguments:?}: {said}");
    }
    for (condition, problem) in
        [("color=red", "quarantine has no column `color`"), ("reason", "--where takes COLUMN=TEXT")]
    {
        let output = workspace.lakeward(MILD, &["redrive", "quarantine", "--where", condition]);
        assert_eq!(output.status.code(), Some(2));
        assert!(printed(&output).contains(problem), "{}", printed(&output));
    }
}

/// Returns the failure notice that Lambda stores with a batch of clicks.
fn failed_batch(payload: Value) -> Value {
    let info = json!({
        "shardId": "shardId-000000000000",
        "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        "startSequenceNumber": "1",
        "endSequenceNumber": "2",
    });
    json!({"KinesisBatchInfo": info, "payload": payload})
}

#[test]
fn failed_batches_land_from_where_lambda_stored_them() {
    let workspace = Workspace::new("failed");
    let folder = workspace.0.join("failed/aws/lambda/mapping/shardId-000000000000/2026/11/23");
    fs::create_dir_all(&folder).unwrap();
    let batch =
        |numbers: std::ops::Range<u32>| event(numbers.map(|n| kinesis_record(n, &json!({"n": n}))));
    let as_json = failed_batch(batch(1..4));
    let as_text = failed_batch(batch(3..6).to_string().into());
    fs::write(folder.join("a"), as_json.to_string()).unwrap();
    fs::write(folder.join("b"), as_text.to_string()).unwrap();
    for _ in 0..2 {
        workspace.redrive(MILD, &["failed", "failed"]);
        assert_eq!(by_id(workspace.rows("web.clicks")).len(), 5);
    }

    // An object that is not a failed batch is reported, and the others land.
    fs::write(folder.join("c"), "canary of someone else").unwrap();
    let output = workspace.lakeward(MILD, &["redrive", "failed", "failed"]);
    assert_eq!(output.status.code(), Some(1));
    let said = printed(&output);
    assert!(said.contains("it is not a failure notice of Lambda"), "{said}");
    assert!(!said.contains("canary"), "{said}");

    // One of them, by its name. A location without objects is reported.
    fs::remove_file(folder.join("c")).unwrap();
    workspace.redrive(MILD, &["failed", folder.join("b").to_str().unwrap()]);
    fs::create_dir(workspace.0.join("empty")).unwrap();
    for none in ["nowhere", "empty"] {
        let output = workspace.lakeward(MILD, &["redrive", "failed", none]);
        assert_eq!(output.status.code(), Some(1));
        assert!(printed(&output).contains("there is no object under"), "{}", printed(&output));
    }
}

/// Returns the output that docs/OPERATING.md shows below a command with this beginning.
fn shown(command: &str) -> Vec<&'static str> {
    let (_, rest) = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATING.md"))
        .split_once(&format!("$ {command}"))
        .unwrap();
    rest.lines().skip(1).take_while(|it| !it.starts_with("```")).collect()
}

#[test]
fn the_runbook_shows_what_is_printed() {
    let workspace = Workspace::new("runbook");
    let strict = STRICT.replace("web.clicks", "billing.invoices");
    let three = event([
        kinesis_record(1, &json!({"n": 1})),
        kinesis_record(2, &json!({"n": 2, "customer": "c"})),
        kinesis_record(3, &json!({"n": 3})),
    ]);
    fs::write(workspace.0.join("three.json"), three.to_string()).unwrap();
    assert!(workspace.lakeward(&strict, &["replay", "three.json"]).status.success());
    let batch = event((4..8).map(|n| kinesis_record(n, &json!({"n": n, "page": "/"}))));
    fs::write(workspace.0.join("failed-batch"), failed_batch(batch).to_string()).unwrap();

    let mild = MILD.replace("web.clicks", "billing.invoices");
    let quarantine = "redrive quarantine billing.invoices --where reason=missing_field";
    for (config, command, arguments) in [
        (mild.as_str(), quarantine, quarantine),
        (MILD, "redrive failed s3://", "redrive failed failed-batch"),
    ] {
        let output = workspace.lakeward(config, &arguments.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{}", printed(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        // The page leaves out the commands to type next, which are between two empty lines.
        let hint =
            |it: &&str| ["look:", "rows:", "query:", "tables:"].iter().any(|at| it.starts_with(at));
        let mut said: Vec<&str> = said.lines().map(str::trim_end).filter(|it| !hint(it)).collect();
        said.dedup();
        assert_eq!(said, shown(&format!("lakeward {command}")), "{command}");
    }
}
