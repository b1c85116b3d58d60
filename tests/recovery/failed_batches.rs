//! Failed batches are read from their stream again, by a command and by the function.

use std::fs;

use serde_json::{Value, json};

use super::{Place, SHARD, click, clicks, message, of_clicks, of_orders, order, pointer};
use crate::support::compare::Object;
use crate::support::lambda_events::{
    CHANGES, STREAM, change, change_id, event, kinesis_raw, kinesis_sequence, message_id,
};
use crate::support::process::{by_id, lakeward, printed, run};
use crate::support::s3::S3;

#[test]
fn what_only_says_where_records_are_is_read_from_the_stream_again() {
    let place = Place::new("range");
    place.aws.put(SHARD, (0..20).map(click));
    place.aws.put(SHARD, (0..20).map(order));
    place.store("clicks", &of_clicks(5, 12));
    place.store("orders", &of_orders(3, 9));
    // Some of it had landed, as Lambda delivered it.
    let before = [event((5..8).map(click)), event((3..6).map(order))];
    let before = before.map(|it| it.to_string()).join("\n");
    fs::write(place.folder.join("before.jsonl"), before).unwrap();
    assert!(place.lakeward(&["replay", "before.jsonl"]).status.success());
    let rows_before: Vec<Object> = place.rows("shop.orders_changes");

    let (code, said, complaints) = place.told(&["redrive", "failed", "failed"]);
    assert_eq!((code, complaints.as_str()), (0, ""), "{said}");
    assert_eq!((&said["batches"], &said["gaps"]), (&json!(2), &json!(0)));
    assert_eq!(place.ids("web.clicks"), clicks(5..13));
    let orders = by_id(place.rows("shop.orders_changes"));
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

    let again = place.told(&["redrive", "failed", "failed"]).1;
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
        let place = Place::new(name);
        place.aws.put(SHARD, [removed.clone(), packed.clone()]);
        if name == "read" {
            place.store("clicks", &of_clicks(1, 1));
            place.store("orders", &of_orders(1, 1));
            assert!(place.lakeward(&["redrive", "failed", "failed"]).status.success());
        } else {
            let events = [event([removed.clone()]), event([packed.clone()])];
            let events = events.map(|it| it.to_string()).join("\n");
            fs::write(place.folder.join("events.jsonl"), events).unwrap();
            assert!(place.lakeward(&["replay", "events.jsonl"]).status.success());
        }
        ["web.clicks", "shop.orders_changes", "lakeward.quarantine"].map(|it| place.rows(it))
    });
    assert_eq!(twins[0], twins[1]);
    assert_eq!(twins[0][1][0]["_lw_deleted_by"], "ttl");
    assert_eq!(twins[0].each_ref().map(Vec::len), [1, 1, 0], "{twins:?}");
}

#[test]
fn what_a_stream_no_longer_holds_is_told_once_as_lost() {
    let place = Place::new("lost");
    place.aws.put(SHARD, (0..20).map(click));
    place.aws.put(SHARD, (0..20).map(order));
    place.aws.trim(STREAM, SHARD, 7);
    place.aws.trim(CHANGES, SHARD, 15);
    place.store("a", &of_clicks(5, 12));
    place.store("b", &of_orders(3, 9));
    let gone = STREAM.replace("clicks", "gone");
    let number = kinesis_sequence;
    place.store("c", &pointer("KinesisBatchInfo", &gone, &number(1), &number(2)));
    for _ in 0..2 {
        let (code, said, complaints) = place.told(&["redrive", "failed", "failed"]);
        assert_eq!((code, &said["gaps"]), (1, &json!(3)), "{said} {complaints}");
        assert_eq!(complaints.matches(" are lost: ").count(), 3, "{complaints}");
        assert_eq!(place.ids("web.clicks"), clicks(7..13));
        let gaps = by_id(place.rows("lakeward.gaps"));
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
fn what_can_not_be_read_now_is_no_loss() {
    let place = Place::new("refused");
    place.aws.put(SHARD, (0..9).map(click));
    place.aws.close(STREAM, SHARD);
    place.store("a", &of_clicks(2, 8));
    // Iterators run out when a page takes long: the next one begins where it was.
    place.aws.refuse("GetRecords", "ExpiredIteratorException", 2);
    let pretended = place.told(&["redrive", "failed", "failed", "--dry-run"]);
    assert_eq!((pretended.0, &pretended.1["tables"]["web.clicks"]["landed"]), (0, &json!(7)));
    assert_eq!(place.rows("web.clicks").len(), 0);

    place.aws.refuse("GetRecords", "AccessDeniedException", 100);
    let (code, said, complaints) = place.told(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(
        complaints.contains("kinesis:GetRecords answers AccessDeniedException"),
        "{complaints}"
    );
    assert_eq!(place.rows("lakeward.gaps").len(), 0);
    place.aws.refuse("GetRecords", "", 0);

    // A range whose end is not there, though its beginning is.
    place.store("a", &of_clicks(2, 30));
    let (code, said, complaints) = place.told(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(complaints.contains("the shard ended before"), "{complaints}");
    place.store("a", &of_clicks(2, 8));
    assert_eq!(place.told(&["redrive", "failed", "failed"]).0, 0);
    assert_eq!(place.ids("web.clicks"), clicks(2..9));
}

#[test]
fn a_stream_is_read_where_it_is_and_over_any_number_of_empty_pages() {
    let place = Place::new("elsewhere");
    place.aws.put(SHARD, (0..3).map(click));
    place.aws.put(SHARD, (0..3).map(order));
    place.aws.sparse(32);
    place.store("a", &of_clicks(0, 2));
    let mut command = place.aws.asked_by(lakeward());
    command.env("AWS_REGION", "us-east-1").args(["redrive", "failed", "failed"]);
    let output = run(command.current_dir(&place.folder));
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(place.ids("web.clicks"), clicks(0..3));

    // A stream of DynamoDB does not tell whether there is more. So nothing is known, and not lost.
    place.store("a", &of_orders(0, 2));
    let (code, said, complaints) = place.told(&["redrive", "failed", "failed"]);
    assert_eq!((code, &said["gaps"]), (1, &json!(0)));
    assert!(complaints.contains("after many empty pages"), "{complaints}");
}

#[test]
fn a_message_that_tells_of_a_batch_makes_the_function_read_it() {
    let place = Place::new("messages");
    place.aws.put(SHARD, (0..20).map(click));
    place.aws.trim(STREAM, SHARD, 4);
    let mut function = place.start(&[]);
    let of = |n, pointer: &Value| message(n, "failed-batches", &pointer.to_string());
    let note = message(9, "notes", r#"{"n":9}"#);
    let answer = function.invoke(&event([of(1, &of_clicks(5, 8)), note.clone()]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(place.ids("web.clicks"), clicks(5..9));
    assert_eq!(place.ids("office.notes"), [message_id(9)]);

    // Only the message of an unreadable range is redelivered, that of a lost range is not.
    place.aws.refuse("GetShardIterator", "AccessDeniedException", 1);
    let answer =
        function.invoke(&event([note, of(2, &of_clicks(10, 11)), of(3, &of_clicks(2, 6))]));
    let failed = json!({"batchItemFailures": [{"itemIdentifier": message_id(2)}]});
    assert_eq!(serde_json::from_str::<Value>(answer.response()).unwrap(), failed);
    assert_eq!(place.rows("lakeward.gaps").len(), 1);
    let answer = function.invoke(&event([of(2, &of_clicks(10, 11)), of(3, &of_clicks(2, 6))]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(place.ids("web.clicks"), [clicks(4..9), clicks(10..12)].concat());
    assert_eq!(place.rows("lakeward.gaps").len(), 1);

    // A queue that no route names may hold other messages; only these are redelivered.
    let stray = message(4, "failed-batches", r#"{"requestPayload":{}}"#);
    let answer = function.invoke(&event([stray, of(5, &of_clicks(13, 14))]));
    let failed = json!({"batchItemFailures": [{"itemIdentifier": message_id(4)}]});
    assert_eq!(serde_json::from_str::<Value>(answer.response()).unwrap(), failed);
    assert_eq!(place.ids("web.clicks"), [clicks(4..9), clicks(10..12), clicks(13..15)].concat());

    // What comes to a queue that has a route is data, whatever it looks like.
    let answer = function.invoke(&event([message(6, "notes", &of_clicks(15, 16).to_string())]));
    assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(place.ids("web.clicks").len(), 9);
    assert_eq!(place.ids("office.notes"), [message_id(6), message_id(9)]);

    let logs = function.kill();
    let of_batches: Vec<&Object> =
        logs.iter().filter(|it| it.get("message") == Some(&json!("recovered batches"))).collect();
    let told: Vec<_> = of_batches.iter().map(|it| (&it["level"], &it["Gaps"])).collect();
    let (info, warn, error) = (json!("INFO"), json!("WARN"), json!("ERROR"));
    assert_eq!(
        told,
        [(&info, &json!(0.0)), (&error, &json!(1.0)), (&error, &json!(1.0)), (&warn, &json!(0.0))]
    );
    assert!(of_batches[1]["gaps"][0].as_str().unwrap().contains("the stream no longer holds them"));
}

#[test]
fn a_new_object_of_lambda_s_makes_the_function_land_it() {
    let place = Place::new("objects");
    let store = S3::start();
    let mut function = place.start(&[("AWS_ENDPOINT_URL_S3", &store.endpoint)]);
    let key = format!("aws/lambda/mapping/{SHARD}/2026/11/23/2026-11-23T10.05.00-1");
    let mut document = of_clicks(1, 3);
    document["payload"] = json!(event((1..4).map(click)).to_string());
    store.put(&format!("failed/{key}"), &document.to_string());
    let detail = json!({"bucket": {"name": "failed"}, "object": {"key": key}});
    let bus = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail});
    let notification = json!({"Records": [{"eventSource": "aws:s3", "s3": detail}]});
    for event in [bus, notification] {
        assert_eq!(function.invoke(&event).response(), r#"{"batchItemFailures":[]}"#);
        assert_eq!(place.ids("web.clicks"), clicks(1..4));
    }

    // Lambda retries an object that does not land; no other object is fetched.
    document["payload"] = json!({"Records": [{"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:nobody"}]});
    store.put(&format!("failed/{key}"), &document.to_string());
    let told = |key: &str| {
        let detail = json!({"bucket": {"name": "failed"}, "object": {"key": key}});
        json!({"Records": [{"eventSource": "aws:s3", "s3": detail}]})
    };
    assert!(function.invoke(&told(&key)).error_message().contains("redrive failed"));
    store.requests();
    assert!(!function.invoke(&told("secrets/key")).error_message().is_empty());
    assert!(function.invoke(&told("aws/lambda/nothing")).response().contains("[]"));
    assert!(store.requests().iter().all(|(_, path)| !path.contains("secrets")));
    drop(function.kill());
}
