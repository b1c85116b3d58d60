//! The log of the function: one line for each event, and no payload.

use std::fs;

use serde_json::json;

use super::{ALL_GOOD, Workspace, click_ids};
use crate::support::compare::Object;
use crate::support::lambda_events::{event, kinesis_raw, kinesis_record};
use crate::support::process::{CANARY, leak};

#[test]
fn each_event_is_logged_in_one_line_and_metrics_by_route() {
    let workspace = Workspace::new("lines");
    let mut function = workspace.start();
    let bad_base64 = kinesis_raw(7, &format!("{CANARY}%%"));
    let clicks = |numbers: std::ops::Range<u32>| {
        let payload = |n| json!({"n": n, "type": "page_view", "note": CANARY});
        numbers.map(move |n| kinesis_record(n, &payload(n)))
    };
    for records in [clicks(0..4).collect::<Vec<_>>(), clicks(2..6).chain([bad_base64]).collect()] {
        assert_eq!(function.invoke(&event(records)).response(), ALL_GOOD);
    }
    assert!(!function.invoke(&json!({"no": "event"})).error_message().is_empty());
    let logs = function.kill();
    let invocations: Vec<_> = logs.iter().filter(|it| it.contains_key("request_id")).collect();
    let [first, second, third] = invocations[..] else { panic!("{invocations:?}") };
    let routes: Vec<_> = logs.iter().filter(|it| it.contains_key("Route")).collect();
    let [once, twice] = routes[..] else { panic!("{routes:?}") };

    let counts = |line: &Object| {
        ["Records", "Landed", "Duplicates", "Quarantined", "Filtered", "Overflowed", "Files"]
            .map(|name| line[name].as_f64().unwrap().to_string())
            .join(" ")
    };
    for (line, expected) in [
        (first, "4 4 0 0 0 0 1"),
        (once, "4 4 0 0 0 0 1"),
        (second, "5 2 2 1 0 0 1"),
        (twice, "4 2 2 1 0 0 1"),
    ] {
        assert_eq!(counts(line), expected, "{line:?}");
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Namespace"], "Lakeward");
        let is_route = line.contains_key("Route");
        let dimensions = if is_route { json!([["Route"]]) } else { json!([[], ["FunctionName"]]) };
        assert_eq!(metrics["Dimensions"], dimensions);
        assert_eq!(line.contains_key("FunctionName"), !is_route);
        for metric in metrics["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric}: {line:?}");
        }
        for name in
            ["CommitMs", "CommitAttempts", "CommitConflicts", "IdFilesRead", "LagMs", "Bytes"]
        {
            assert!(line[name].is_number(), "{name}: {line:?}");
        }
    }
    for (line, cold) in [(first, 1.0), (second, 0.0), (third, 0.0)] {
        assert_eq!(line["ColdStart"].as_f64(), Some(cold));
        assert_eq!(line["ms"].get("init").is_some(), cold > 0.0);
        assert!(line["ms"]["whole"].is_number() && line["config_hash"].is_string(), "{line:?}");
    }
    assert_eq!(second["rejected"], json!({once["Route"].as_str().unwrap(): {"bad_base64": 1}}));
    let table = &first["tables"]["web.clicks"];
    assert_eq!(table["routes"], json!([once["Route"]]));
    let metadata = fs::read_to_string(workspace.lake.join("web/clicks/metadata/v3.metadata.json"));
    let metadata = metadata.unwrap();
    for name in ["commit", "snapshot"] {
        let id = table[name].as_str().unwrap();
        assert!(metadata.contains(id), "{name} {id} is not in {metadata}");
    }
    assert_eq!((&third["kind"], &third["level"]), (&json!("BadEvent"), &json!("ERROR")));
    workspace.expect(&[("web.clicks", 6), ("lakeward.quarantine", 1)]);
}

/// [`Function::kill`] reads each line of the log as one JSON object.
#[test]
fn names_with_line_breaks_quotes_and_terminal_codes_break_no_line_of_the_log() {
    let workspace = Workspace::new("hostile-names");
    let mut function = workspace.start();
    let hostile = ["a\nb", "\u{1b}[31mred", "\"},{\"level\":\"ERROR", "\r", "\u{2028}", "`; --"];
    for (n, name) in (0..).zip(hostile) {
        let mut payload = json!({"note": CANARY});
        payload[name] = json!(1);
        assert_eq!(function.invoke(&event([kinesis_record(n, &payload)])).response(), ALL_GOOD);
        // The next type makes a sibling column, and the error would quote the name of the field.
        payload[name] = json!({"deep": CANARY});
        let drifted = event([kinesis_record(100 + n, &payload)]);
        assert_eq!(function.invoke(&drifted).response(), ALL_GOOD);
        let mut stray = kinesis_record(200 + n, &payload);
        let arn = format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{name}");
        stray["eventSourceARN"] = json!(arn);
        stray["eventID"] = json!(format!("shardId-{name}:1"));
        let error = function.invoke(&event([stray])).error_message();
        assert!(!error.contains(CANARY), "payload in {error}");
    }
    let hostile = hostile.len() as u32;
    assert_eq!(workspace.ids("web.clicks"), click_ids((0..hostile).chain(100..100 + hostile)));
    workspace.expect(&[("web.clicks", 2 * hostile as usize)]);
    let lines = function.kill();
    assert!(lines.len() >= 3 * hostile as usize, "{lines:?}");
}

#[test]
fn the_canary_is_found_in_whatever_form_it_leaks() {
    assert_eq!(leak("{\"level\":\"INFO\"}\n"), None);
    assert!(leak(&format!("{{\"error\":\"{CANARY}\"}}\n")).is_some());
    for before in ["", "a", "ab", "abc", "{\"type\":\"page_view\",\"note\":\""] {
        let data =
            kinesis_record(1, &json!(format!("{before}{CANARY}\"}}")))["kinesis"]["data"].clone();
        assert!(leak(data.as_str().unwrap()).is_some(), "missed behind {before}: {data}");
    }
}
