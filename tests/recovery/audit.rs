//! `audit` compares a stream with the lake.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{SHARD, Workspace, click, packed};
use crate::support::lambda_events::{CHANGES, STREAM, event, kinesis_raw, kinesis_record};
use crate::support::process::printed;

#[test]
fn an_audit_compares_records_that_unpack_to_any_number() {
    let workspace = Workspace::new("audit-packed");
    let data = BASE64.encode(packed());
    workspace.aws.put(SHARD, (0..3).map(|n| kinesis_raw(n, &data)));
    let (code, said, errors) = workspace.json(&["audit", "--stream", STREAM, "--grace", "0"]);
    assert_eq!((code, errors.as_str()), (3, ""), "{said}");
    assert_eq!(said["audit"][0]["missing"], 135_000, "{said}");
}

#[test]
fn an_audit_counts_landed_records_and_finds_missing_ones() {
    let workspace = Workspace::new("audit");
    workspace.aws.put(SHARD, (0..12).map(click));
    workspace.aws.put(
        SHARD,
        [kinesis_raw(12, "e2Jyb2tlbg=="), kinesis_record(13, &json!({"hidden": true}))],
    );
    let delivered = (0..5).chain(8..12).map(click).chain([kinesis_raw(12, "e2Jyb2tlbg==")]);
    fs::write(workspace.folder.join("events.json"), event(delivered).to_string()).unwrap();
    assert!(workspace.lakeward(&["replay", "events.json"]).status.success());

    let (code, said, _) = workspace.json(&["audit"]);
    let line = |said: &Value, names: &[&str]| -> Vec<Value> {
        let lines = said["audit"].as_array().unwrap();
        assert_eq!(lines.len(), 1, "{said}");
        names.iter().map(|name| lines[0][name].clone()).collect()
    };
    let own = ["day", "shard", "landed", "quarantined", "lost", "missing"];
    let expected = [json!("2026-11-23"), json!(SHARD), json!(9), json!(1), json!(0), Value::Null];
    assert_eq!((code, line(&said, &own)), (0, expected.to_vec()));

    let compared = ["landed", "in_stream", "recent", "missing"];
    let (code, said, _) = workspace.json(&["audit", "--stream", STREAM, "--grace", "0"]);
    let expected = [json!(9), json!(14), json!(0), json!(3)];
    assert_eq!((code, line(&said, &compared)), (3, expected.to_vec()));
    // It has changed nothing, and once all records have landed none is missing.
    assert_eq!(workspace.rows("web.clicks").len(), 9);
    fs::write(workspace.folder.join("rest.json"), event((5..8).map(click)).to_string()).unwrap();
    assert!(workspace.lakeward(&["replay", "rest.json"]).status.success());
    let (code, said, _) = workspace.json(&["audit", "--stream", STREAM, "--grace", "0"]);
    assert_eq!((code, line(&said, &compared)[3].clone()), (0, json!(0)));
    let (_, said, _) = workspace.json(&["audit", "--since", "2026-11-23"]);
    assert_eq!(line(&said, &["landed", "quarantined"]), [json!(12), json!(1)]);
    let none = workspace.json(&["audit", "--since", "2026-11-24"]).1;
    assert_eq!(none["audit"], json!([]));
    let wrong = workspace.lakeward(&["audit", "--stream", CHANGES]);
    assert_eq!(wrong.status.code(), Some(2), "{}", printed(&wrong));
}
