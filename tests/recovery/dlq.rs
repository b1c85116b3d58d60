//! `redrive dlq` lands the messages of a dead-letter queue and deletes them.

use std::fs;

use serde_json::json;

use super::{CONFIG, Place, SHARD, click, clicks, message, of_clicks, packed};
use crate::support::lambda_events::{event, message_id};
use crate::support::process::printed;

#[test]
fn messages_of_a_dlq_are_deleted_when_they_have_landed() {
    let place = Place::new("dlq");
    place.aws.put(SHARD, (0..9).map(click));
    let messages = (0..25).map(|n| match n {
        3 => message(n, "notes-dlq", "no JSON"),
        4 => message(n, "notes-dlq", &of_clicks(1, 4).to_string()),
        _ => message(n, "notes-dlq", &json!({"n": n}).to_string()),
    });
    place.aws.queue("notes-dlq", &["notes"], messages);
    // One had landed before it failed with others.
    let before = event([message(7, "notes", r#"{"n":7}"#)]);
    fs::write(place.folder.join("before.json"), before.to_string()).unwrap();
    assert!(place.lakeward(&["replay", "before.json"]).status.success());

    let counts = |received: u32, landed: u32, kept: u32| json!({"received": received, "landed": landed, "left_out": 0, "kept": kept});
    let (code, said, _) = place.told(&["redrive", "dlq", "notes-dlq", "--dry-run"]);
    assert_eq!((code, &said["dlq"]), (0, &counts(25, 24, 1)), "{said}");
    assert_eq!(place.aws.left("notes-dlq").len(), 25);
    assert_eq!(place.rows("office.notes").len(), 1);

    let arn = "arn:aws:sqs:eu-west-1:123456789012:notes-dlq";
    let (code, said, _) = place.told(&["redrive", "dlq", arn]);
    assert_eq!((code, &said["dlq"]), (0, &counts(25, 24, 1)), "{said}");
    assert_eq!(place.aws.left("notes-dlq"), [message_id(3)]);
    let notes: Vec<String> = (0..25).filter(|n| *n != 3).map(message_id).collect();
    assert_eq!(place.ids("office.notes"), notes);
    let quarantined = place.rows("lakeward.quarantine");
    assert_eq!(quarantined[0]["_lw_source"], "arn:aws:sqs:eu-west-1:123456789012:notes");

    let (_, said, _) = place.told(&["redrive", "dlq", "notes-dlq"]);
    assert_eq!(said["dlq"], counts(1, 0, 1));
    assert_eq!(place.rows("lakeward.quarantine").len(), 1);

    // Only in the DLQ of a queue that no route names is a failure notification taken for one.
    assert_eq!(place.rows("web.clicks").len(), 0);
    let pointer = message(30, "failed-batches-dlq", &of_clicks(1, 4).to_string());
    place.aws.queue("failed-batches-dlq", &["failed-batches"], [pointer]);
    let (code, said, _) = place.told(&["redrive", "dlq", "failed-batches-dlq"]);
    assert_eq!((code, &said["dlq"]), (0, &counts(1, 1, 0)), "{said}");
    assert_eq!(place.ids("web.clicks"), clicks(1..5));
    let missing = place.lakeward(&["redrive", "dlq", "nothing"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(printed(&missing).contains("NonExistentQueue"), "{}", printed(&missing));
}

#[test]
fn messages_that_unpack_to_any_number_land_and_what_is_dropped_stays() {
    let place = Place::new("dlq-packed");
    let all = packed();
    place.aws.queue("notes-dlq", &["notes"], (0..3).map(|n| message(n, "notes-dlq", &all)));
    let dropping = CONFIG.replace("table = \"office.notes\"", "drop = true");
    fs::write(place.folder.join("lakeward.toml"), dropping).unwrap();
    let (code, said, _) = place.told(&["redrive", "dlq", "notes-dlq"]);
    let counts = json!({"received": 3, "landed": 0, "left_out": 3, "kept": 3});
    assert_eq!((code, &said["dlq"]), (0, &counts), "{said}");
    assert_eq!(place.aws.left("notes-dlq").len(), 3);

    fs::write(place.folder.join("lakeward.toml"), CONFIG).unwrap();
    let (code, said, _) = place.told(&["redrive", "dlq", "notes-dlq"]);
    let counts = json!({"received": 3, "landed": 3, "left_out": 0, "kept": 0});
    assert_eq!((code, &said["dlq"]), (0, &counts), "{said}");
    assert_eq!(said["tables"]["office.notes"]["landed"], 135_000);
    assert!(place.aws.left("notes-dlq").is_empty());
}
