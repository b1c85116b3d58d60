//! `redrive dlq` lands the messages of a dead-letter queue and deletes them.

use std::fs;

use serde_json::json;

use super::{CONFIG, SHARD, Workspace, click, clicks, message, notice_of_clicks, packed};
use crate::support::lambda_events::{event, message_id};
use crate::support::process::printed;

#[test]
fn messages_of_a_dlq_are_deleted_when_they_have_landed() {
    let workspace = Workspace::new("dlq");
    workspace.aws.put(SHARD, (0..9).map(click));
    let messages = (0..25).map(|n| match n {
        3 => message(n, "notes-dlq", "no JSON"),
        4 => message(n, "notes-dlq", &notice_of_clicks(1, 4).to_string()),
        _ => message(n, "notes-dlq", &json!({"n": n}).to_string()),
    });
    workspace.aws.queue("notes-dlq", &["notes"], messages);
    // One had landed before its batch failed.
    let before = event([message(7, "notes", r#"{"n":7}"#)]);
    fs::write(workspace.folder.join("before.json"), before.to_string()).unwrap();
    assert!(workspace.lakeward(&["replay", "before.json"]).status.success());

    let counts = |received: u32, landed: u32, kept: u32| json!({"received": received, "landed": landed, "left_out": 0, "kept": kept});
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq", "--dry-run"]);
    assert_eq!((code, &said["dlq"]), (0, &counts(25, 24, 1)), "{said}");
    assert_eq!(workspace.aws.left("notes-dlq").len(), 25);
    assert_eq!(workspace.rows("office.notes").len(), 1);

    let arn = "arn:aws:sqs:eu-west-1:123456789012:notes-dlq";
    let (code, said, _) = workspace.json(&["redrive", "dlq", arn]);
    assert_eq!((code, &said["dlq"]), (0, &counts(25, 24, 1)), "{said}");
    assert_eq!(workspace.aws.left("notes-dlq"), [message_id(3)]);
    let notes: Vec<String> = (0..25).filter(|n| *n != 3).map(message_id).collect();
    assert_eq!(workspace.ids("office.notes"), notes);
    let quarantined = workspace.rows("lakeward.quarantine");
    assert_eq!(quarantined[0]["_lw_source"], "arn:aws:sqs:eu-west-1:123456789012:notes");

    let (_, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq"]);
    assert_eq!(said["dlq"], counts(1, 0, 1));
    assert_eq!(workspace.rows("lakeward.quarantine").len(), 1);

    // A failure notice is data unless it is in the DLQ of a queue that no route names.
    assert_eq!(workspace.rows("web.clicks").len(), 0);
    let notice = message(30, "failed-batches-dlq", &notice_of_clicks(1, 4).to_string());
    workspace.aws.queue("failed-batches-dlq", &["failed-batches"], [notice]);
    let (code, said, _) = workspace.json(&["redrive", "dlq", "failed-batches-dlq"]);
    assert_eq!((code, &said["dlq"]), (0, &counts(1, 1, 0)), "{said}");
    assert_eq!(workspace.ids("web.clicks"), clicks(1..5));
    let missing = workspace.lakeward(&["redrive", "dlq", "nothing"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(printed(&missing).contains("NonExistentQueue"), "{}", printed(&missing));
}

#[test]
fn messages_that_unpack_to_any_number_land_and_dropped_ones_stay() {
    let workspace = Workspace::new("dlq-packed");
    let all = packed();
    workspace.aws.queue("notes-dlq", &["notes"], (0..3).map(|n| message(n, "notes-dlq", &all)));
    let dropping = CONFIG.replace("table = \"office.notes\"", "drop = true");
    fs::write(workspace.folder.join("lakeward.toml"), dropping).unwrap();
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq"]);
    let counts = json!({"received": 3, "landed": 0, "left_out": 3, "kept": 3});
    assert_eq!((code, &said["dlq"]), (0, &counts), "{said}");
    assert_eq!(workspace.aws.left("notes-dlq").len(), 3);

    fs::write(workspace.folder.join("lakeward.toml"), CONFIG).unwrap();
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq"]);
    let counts = json!({"received": 3, "landed": 3, "left_out": 0, "kept": 0});
    assert_eq!((code, &said["dlq"]), (0, &counts), "{said}");
    assert_eq!(said["tables"]["office.notes"]["landed"], 135_000);
    assert!(workspace.aws.left("notes-dlq").is_empty());
}

/// SQS names only the queue that a message came from last. Of a DLQ it says whose it is.
#[test]
fn messages_of_a_dlq_of_a_dlq_are_of_the_queue_where_the_chain_begins() {
    let workspace = Workspace::new("dlq-chain");
    let from = |n: u32, queue: &str, source: &str| {
        let mut message = message(n, queue, &json!({"n": n}).to_string());
        message["attributes"]["DeadLetterQueueSourceArn"] =
            json!(format!("arn:aws:sqs:eu-west-1:123456789012:{source}"));
        message
    };
    // One had landed before its batch failed.
    let before = event([message(1, "notes", r#"{"n":1}"#)]);
    fs::write(workspace.folder.join("before.json"), before.to_string()).unwrap();
    assert!(workspace.lakeward(&["replay", "before.json"]).status.success());
    workspace.aws.queue("notes-dlq", &["notes"], []);
    let messages = [1, 2].map(|n| from(n, "notes-dlq-2", "notes-dlq"));
    let unnamed = message(3, "notes-dlq-2", r#"{"n":3}"#);
    workspace.aws.queue("notes-dlq-2", &["notes-dlq"], messages.into_iter().chain([unnamed]));
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq-2"]);
    assert_eq!((code, &said["tables"]["office.notes"]["landed"]), (0, &json!(2)), "{said}");
    assert_eq!(workspace.ids("office.notes"), [1, 2, 3].map(message_id));
    let rows = workspace.rows("office.notes");
    let notes = "arn:aws:sqs:eu-west-1:123456789012:notes";
    assert!(rows.iter().all(|it| it["_lw_source"] == notes), "{rows:?}");
}

/// A queue may be a DLQ and have senders of its own. Nothing in a message of its DLQ tells them apart, but
/// messages of a queue that has a route have landed as such.
#[test]
fn a_chain_of_dlqs_ends_at_a_queue_that_a_route_names() {
    let workspace = Workspace::new("dlq-routed");
    let mut message = message(1, "notes-dlq", r#"{"n":1}"#);
    message["attributes"]["DeadLetterQueueSourceArn"] =
        json!("arn:aws:sqs:eu-west-1:123456789012:notes");
    workspace.aws.queue("notes", &["orders"], []);
    workspace.aws.queue("notes-dlq", &["notes"], [message.clone()]);
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq"]);
    assert_eq!(code, 0, "{said}");
    let notes = "arn:aws:sqs:eu-west-1:123456789012:notes";
    assert_eq!(workspace.rows("office.notes")[0]["_lw_source"], notes);

    // SQS does not tell whose DLQ this is: the message stays.
    message["attributes"]["DeadLetterQueueSourceArn"] =
        json!("arn:aws:sqs:eu-west-1:123456789012:unknown");
    workspace.aws.queue("notes-dlq", &["unknown"], [message]);
    let (code, said, _) = workspace.json(&["redrive", "dlq", "notes-dlq"]);
    assert_eq!((code, &said["dlq"]["kept"]), (1, &json!(1)), "{said}");
    assert_eq!(workspace.rows("office.notes").len(), 1);
}
