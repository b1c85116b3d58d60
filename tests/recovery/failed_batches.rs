//! Failed batches are read from their stream again, by a command and by the function.

use std::fs;

use serde_json::{Value, json};

use super::{
    SHARD, Workspace, click, clicks, message, notice, notice_of_clicks, notice_of_orders, order,
};
use crate::support::compare::Object;
use crate::support::lambda_events::{
    CHANGES, STREAM, change, change_id, event, kinesis_raw, kinesis_sequence, message_id,
};
use crate::support::process::{by_id, lakeward, printed, run};
use crate::support::s3::S3;

#[test]
fn a_batch_without_records_is_read_from_the_stream_again() {
    let workspace = Workspace::new("range");
    workspace.aws.put(SHARD, (0..20).map(click));
    workspace.aws.put(SHARD, (0..20).map(order));
    workspace.store("clicks", &notice_of_clicks(5, 12));
    workspace.store("orders", &notice_of_orders(3, 9));
    // Some of it had landed, as Lambda delivered it.
    let before = [event((5..8).map(click)), event((3..6).map(order))];
    let before = before.map(|it| it.to_string()).join("\n");
    fs::write(workspace.folder.join("before.jsonl"), before).unwrap();
    assert!(workspace.lakeward(&["replay", "before.jsonl"]).status.success());
    let rows_before: Vec<Object> = workspace.rows("shop.orders_changes");

    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert_eq!((&said["batches"], &said["gaps"]), (&json!(2), &json!(0)));
    assert_eq!(workspace.ids("web.clicks"), clicks(5..13));
    let orders = by_id(workspace.rows("shop.orders_changes"));
    assert_eq!(
        orders.keys().cloned().collect::<Vec<_>>(),
        (3..10).map(change_id).collect::<Vec<_>>()
    );
    // Read from the API or delivered by Lambda, a record makes the same row.
    for row in &rows_before {
        assert_eq!(orders.get(row["_lw_id"].as_str().unwrap()), Some(row));
    }
    let names = |row: &Object| row.keys().cloned().collect::<Vec<_>>();
    let (delivered, read) = (&orders[&change_id(3)], &orders[&change_id(9)]);
    assert_eq!(names(delivered), names(read));
    for name in ["_lw_source", "_lw_shard", "_lw_op"] {
        assert_eq!(delivered[name], read[name]);
    }

    let again = workspace.json(&["redrive", "failed", "failed"]).1;
    for table in ["web.clicks", "shop.orders_changes"] {
        assert_eq!(again["tables"][table]["landed"], 0, "{again}");
    }
}

#[test]
fn a_row_is_the_same_whether_lambda_delivered_it_or_its_stream_was_read_again() {
    let item = json!({
        "pk": {"S": "ORDER#1"}, "sk": {"N": "12345678901234567890123456789012345678"},
        "b": {"B": "AAEC"}, "t": {"BOOL": true}, "none": {"NULL": true},
        "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["1.50", "2"]}, "bs": {"BS": ["AAEC"]},
        "l": {"L": [{"S": "x"}, {"M": {"y": {"N": "1E+2"}}}]}, "empty": {"M": {}},
    });
    let mut removed = change(1, &item);
    removed["eventName"] = json!("REMOVE");
    removed["dynamodb"]["OldImage"] = removed["dynamodb"]["NewImage"].take();
    removed["dynamodb"].as_object_mut().unwrap().remove("NewImage");
    removed["dynamodb"]["Keys"] = json!({"pk": item["pk"], "sk": item["sk"]});
    removed["userIdentity"] = json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"});
    let packed = kinesis_raw(1, "H4sIAAAAAAACA6tWylOyMtRRSlSyijbUMYqtBQCEx3eUEQAAAA==");
    let twins = ["delivered", "read"].map(|name| {
        let workspace = Workspace::new(name);
        workspace.aws.put(SHARD, [removed.clone(), packed.clone()]);
        if name == "read" {
            workspace.store("clicks", &notice_of_clicks(1, 1));
            workspace.store("orders", &notice_of_orders(1, 1));
            assert!(workspace.lakeward(&["redrive", "failed", "failed"]).status.success());
        } else {
            let events = [event([removed.clone()]), event([packed.clone()])];
            let events = events.map(|it| it.to_string()).join("\n");
            fs::write(workspace.folder.join("events.jsonl"), events).unwrap();
            assert!(workspace.lakeward(&["replay", "events.jsonl"]).status.success());
        }
        ["web.clicks", "shop.orders_changes", "lakeward.quarantine"].map(|it| workspace.rows(it))
    });
    assert_eq!(twins[0], twins[1]);
    assert_eq!(twins[0][1][0]["_lw_deleted_by"], "ttl");
    assert_eq!(twins[0].each_ref().map(Vec::len), [1, 1, 0], "{twins:?}");
}

#[test]
fn records_that_a_stream_no_longer_holds_are_reported_once_as_lost() {
    let workspace = Workspace::new("lost");
    workspace.aws.put(SHARD, (0..20).map(click));
    workspace.aws.put(SHARD, (0..20).map(order));
    workspace.aws.trim(STREAM, SHARD, 7);
    workspace.aws.trim(CHANGES, SHARD, 15);
    workspace.store("a", &notice_of_clicks(5, 12));
    workspace.store("b", &notice_of_orders(3, 9));
    let gone = STREAM.replace("clicks", "gone");
    let number = kinesis_sequence;
    workspace.store("c", &notice("KinesisBatchInfo", &gone, &number(1), &number(2)));
    for _ in 0..2 {
        let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
        assert_eq!((code, &said["gaps"]), (1, &json!(3)), "{said} {errors}");
        assert_eq!(errors.matches(" are lost: ").count(), 3, "{errors}");
        assert_eq!(workspace.ids("web.clicks"), clicks(7..13));
        let gaps = by_id(workspace.rows("lakeward.gaps"));
        let of = |it: &Object| {
            ["reason", "batch_size", "condition", "_lw_arrived_at"].map(|name| it[name].to_string())
        };
        let table = CHANGES.split("/stream/").next().unwrap();
        let known = |reason: &str| {
            [json!(reason), json!(6), json!("RetryAttemptsExhausted")].map(|it| it.to_string())
        };
        let mut found = gaps.values().map(|it| {
            let [reason, size, condition, arrived] = of(it);
            assert!(arrived.starts_with("\"2026-11-23T10:00:01"), "{arrived}");
            (it["_lw_source"].as_str().unwrap().to_owned(), [reason, size, condition])
        });
        let mut found: Vec<_> = found.by_ref().collect();
        found.sort();
        assert_eq!(
            found,
            [
                (table.to_owned(), known("trimmed")),
                (STREAM.to_owned(), known("trimmed")),
                (gone.clone(), known("stream_gone")),
            ]
        );
        let click = gaps.values().find(|it| it["_lw_source"] == STREAM).unwrap();
        assert_eq!(click["first_sequence_number"], number(5));
        assert!(click["last_sequence_number"].as_str().unwrap() < number(7).as_str());
        assert!(click["last_sequence_number"].as_str().unwrap() >= number(6).as_str());
    }
}

#[test]
fn records_that_can_not_be_read_now_are_not_lost() {
    let workspace = Workspace::new("refused");
    workspace.aws.put(SHARD, (0..9).map(click));
    workspace.aws.close(STREAM, SHARD);
    workspace.store("a", &notice_of_clicks(2, 8));
    // Iterators expire if a page takes long: the next one begins at the same position.
    workspace.aws.refuse("GetRecords", "ExpiredIteratorException", 2);
    let dry_run = workspace.json(&["redrive", "failed", "failed", "--dry-run"]);
    assert_eq!((dry_run.0, &dry_run.1["tables"]["web.clicks"]["landed"]), (0, &json!(7)));
    assert_eq!(workspace.rows("web.clicks").len(), 0);

    workspace.aws.refuse("GetRecords", "AccessDeniedException", 100);
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(errors.contains("kinesis:GetRecords answers AccessDeniedException"), "{errors}");
    assert_eq!(workspace.rows("lakeward.gaps").len(), 0);
    workspace.aws.refuse("GetRecords", "", 0);

    // A range whose beginning is there and whose end is not.
    workspace.store("a", &notice_of_clicks(2, 30));
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(errors.contains("the shard ends before"), "{errors}");
    workspace.store("a", &notice_of_clicks(2, 8));
    assert_eq!(workspace.json(&["redrive", "failed", "failed"]).0, 0);
    assert_eq!(workspace.ids("web.clicks"), clicks(2..9));
}

/// Whoever may send to a queue of failure notices can name any range of a stream.
#[test]
fn a_range_that_is_not_that_of_a_batch_is_neither_read_nor_lost() {
    let workspace = Workspace::new("forged");
    workspace.aws.put(SHARD, (4..40).step_by(2).map(click));
    workspace.aws.put(SHARD, (4..40).step_by(2).map(order));
    let number = kinesis_sequence;
    let longest = "9".repeat(56);
    for (name, first, last) in [
        ("a", "1", "2"),
        ("b", "0", &longest),
        ("c", &number(9), &number(7)),
        ("d", &number(3), &number(8)),
        ("f", &longest, &longest),
    ] {
        workspace.store(name, &notice("KinesisBatchInfo", STREAM, first, last));
    }
    workspace.store("e", &notice("DDBStreamBatchInfo", CHANGES, "1", "2"));
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)), "{said} {errors}");
    assert_eq!(errors.matches("the shard never had this range").count(), 6, "{errors}");
    assert_eq!(workspace.ids("web.clicks"), clicks(0..0));

    // Records that the shard never had are not lost.
    let workspace = Workspace::new("forged-between");
    workspace.aws.put(SHARD, (4..40).step_by(2).map(click));
    workspace.store("a", &notice_of_clicks(5, 11));
    workspace.store("b", &notice_of_clicks(13, 13));
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)), "{said} {errors}");
    assert_eq!(errors.matches("the shard never had this range").count(), 2, "{errors}");
    assert_eq!(workspace.ids("web.clicks").len(), 0);
    // Even if the stream has dropped others. What is older than the oldest one left is lost.
    workspace.aws.trim(STREAM, SHARD, 2);
    workspace.store("c", &notice_of_clicks(9, 15));
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(1)), "{said} {errors}");
    let gaps = workspace.rows("lakeward.gaps");
    assert_eq!(gaps[0]["first_sequence_number"], number(5));
    assert_eq!(workspace.ids("web.clicks").len(), 2);
}

#[test]
fn a_stream_is_read_where_it_is_and_over_any_number_of_empty_pages() {
    let workspace = Workspace::new("elsewhere");
    workspace.aws.put(SHARD, (0..3).map(click));
    workspace.aws.put(SHARD, (0..3).map(order));
    workspace.aws.sparse(32);
    workspace.store("a", &notice_of_clicks(0, 2));
    let mut command = workspace.aws.asked_by(lakeward());
    command.env("AWS_REGION", "us-east-1").args(["redrive", "failed", "failed"]);
    let output = run(command.current_dir(&workspace.folder));
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(workspace.ids("web.clicks"), clicks(0..3));

    // DynamoDB does not say whether a shard holds more. So nothing is known to be lost.
    workspace.store("a", &notice_of_orders(0, 2));
    let (code, said, errors) = workspace.json(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(errors.contains("after many empty pages"), "{errors}");
}

#[test]
fn a_failure_notice_makes_the_function_read_the_batch() {
    let workspace = Workspace::new("messages");
    workspace.aws.put(SHARD, (0..20).map(click));
    workspace.aws.trim(STREAM, SHARD, 4);
    let mut function = workspace.start(&[]);
    let of = |n, notice: &Value| message(n, "failed-batches", &notice.to_string());
    let note = message(9, "notes", r#"{"n":9}"#);
    let answer = function.invoke(&event([of(1, &notice_of_clicks(5, 8)), note.clone()]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(workspace.ids("web.clicks"), clicks(5..9));
    assert_eq!(workspace.ids("office.notes"), [message_id(9)]);

    // Only the notice of a batch that can't be read now is redelivered, not that of lost records.
    workspace.aws.refuse("GetShardIterator", "AccessDeniedException", 1);
    let answer = function.invoke(&event([
        note,
        of(2, &notice_of_clicks(10, 11)),
        of(3, &notice_of_clicks(2, 6)),
    ]));
    let failed = json!({"batchItemFailures": [{"itemIdentifier": message_id(2)}]});
    assert_eq!(serde_json::from_str::<Value>(answer.response()).unwrap(), failed);
    assert_eq!(workspace.rows("lakeward.gaps").len(), 1);
    let answer =
        function.invoke(&event([of(2, &notice_of_clicks(10, 11)), of(3, &notice_of_clicks(2, 6))]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(workspace.ids("web.clicks"), [clicks(4..9), clicks(10..12)].concat());
    assert_eq!(workspace.rows("lakeward.gaps").len(), 1);

    // A queue that no route names may hold other messages; only they are redelivered.
    let stray = message(4, "failed-batches", r#"{"requestPayload":{}}"#);
    let answer = function.invoke(&event([stray, of(5, &notice_of_clicks(13, 14))]));
    let failed = json!({"batchItemFailures": [{"itemIdentifier": message_id(4)}]});
    assert_eq!(serde_json::from_str::<Value>(answer.response()).unwrap(), failed);
    assert_eq!(
        workspace.ids("web.clicks"),
        [clicks(4..9), clicks(10..12), clicks(13..15)].concat()
    );

    // Every message of a queue that has a route is data.
    let answer =
        function.invoke(&event([message(6, "notes", &notice_of_clicks(15, 16).to_string())]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(workspace.ids("web.clicks").len(), 9);
    assert_eq!(workspace.ids("office.notes"), [message_id(6), message_id(9)]);

    let logs = function.kill();
    let lines: Vec<&Object> =
        logs.iter().filter(|it| it.get("message") == Some(&json!("recovered batches"))).collect();
    let found: Vec<_> = lines.iter().map(|it| (&it["level"], &it["Gaps"])).collect();
    let (info, warn, error) = (json!("INFO"), json!("WARN"), json!("ERROR"));
    assert_eq!(
        found,
        [(&info, &json!(0.0)), (&error, &json!(1.0)), (&error, &json!(1.0)), (&warn, &json!(0.0))]
    );
    assert!(lines[1]["gaps"][0].as_str().unwrap().contains("the stream no longer holds them"));
}

#[test]
fn a_new_object_of_lambda_makes_the_function_land_it() {
    let workspace = Workspace::new("objects");
    let store = S3::start();
    let mut function = workspace.start(&[("AWS_ENDPOINT_URL_S3", &store.endpoint)]);
    let key = format!("aws/lambda/mapping/{SHARD}/2026/11/23/2026-11-23T10.05.00-1");
    let mut document = notice_of_clicks(1, 3);
    document["payload"] = json!(event((1..4).map(click)).to_string());
    store.put(&format!("failed/{key}"), &document.to_string());
    let detail = json!({"bucket": {"name": "failed"}, "object": {"key": key}});
    let bus = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail});
    let notification = json!({"Records": [{"eventSource": "aws:s3", "s3": detail}]});
    for event in [bus, notification] {
        assert_eq!(function.invoke(&event).response(), r#"{"batchItemFailures":[]}"#);
        assert_eq!(workspace.ids("web.clicks"), clicks(1..4));
    }

    // If a batch does not land, the invocation fails; objects elsewhere are not fetched.
    document["payload"] = json!({"Records": [{"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:unknown"}]});
    store.put(&format!("failed/{key}"), &document.to_string());
    let created = |key: &str| {
        let detail = json!({"bucket": {"name": "failed"}, "object": {"key": key}});
        json!({"Records": [{"eventSource": "aws:s3", "s3": detail}]})
    };
    assert!(function.invoke(&created(&key)).error_message().contains("redrive failed"));
    store.requests();
    assert!(!function.invoke(&created("secrets/key")).error_message().is_empty());
    assert!(function.invoke(&created("aws/lambda/nothing")).response().contains("[]"));
    assert!(store.requests().iter().all(|(_, path)| !path.contains("secrets")));
    drop(function.kill());
}
