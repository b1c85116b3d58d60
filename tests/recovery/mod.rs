//! The way back of what Lambda has given up and of what lies in a dead-letter queue, and whether all
//! is there: against services in memory that trim, refuse and give empty pages.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::aws::Aws;
use crate::support::compare::Object;
use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{
    CHANGES, STREAM, change, change_id, change_sequence, event, kinesis_id, kinesis_raw,
    kinesis_record, kinesis_sequence, message_id,
};
use crate::support::process::{Function, by_id, lakeward, printed, rows, run};
use crate::support::s3::S3;

const SHARD: &str = "shardId-000000000000";

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"
transform = [{ filter = { n = "*" } }]

[[route]]
source = "arn:aws:dynamodb:*:*:table/app/stream/*"
table = "shop.orders_changes"

[[route]]
source = "arn:aws:sqs:*:*:notes"
table = "office.notes"
"#;

/// A lake, and the services beside it.
struct Place {
    folder: PathBuf,
    aws: Aws,
}

impl Place {
    fn new(name: &str) -> Self {
        let place = Self { folder: fresh_folder(&format!("recovery-{name}")), aws: Aws::start() };
        fs::write(place.folder.join("lakeward.toml"), CONFIG).unwrap();
        place
    }

    fn lakeward(&self, arguments: &[&str]) -> Output {
        run(self.aws.asked_by(lakeward()).args(arguments).current_dir(&self.folder))
    }

    /// Runs a command with `--json`, and returns its exit code, what it says and what it complains of.
    fn told(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = self.lakeward(&[arguments, &["--json"]].concat());
        let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{arguments:?}: {}", printed(&output));
        });
        let complaints = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said, complaints)
    }

    fn start(&self, variables: &[(&str, &str)]) -> Function {
        let variables = [variables, &self.aws.environment()].concat();
        let (config, lake) = (self.folder.join("lakeward.toml"), self.folder.join("lake"));
        Function::start_in(&config, &lake, &variables)
    }

    /// Stores what Lambda tells of a batch.
    fn store(&self, name: &str, document: &Value) {
        let folder = self.folder.join("failed/aws/lambda/mapping").join(SHARD);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), document.to_string()).unwrap();
    }

    fn rows(&self, table: &str) -> Vec<Object> {
        rows(&self.folder.join("lake"), table)
    }

    fn ids(&self, table: &str) -> Vec<String> {
        by_id(self.rows(table)).into_keys().collect()
    }
}

fn click(n: u32) -> Value {
    kinesis_record(n, &json!({"n": n}))
}

fn order(n: u32) -> Value {
    change(n, &json!({"pk": {"S": format!("ORDER#{n}")}, "n": {"N": n.to_string()}}))
}

fn clicks(numbers: Range<u32>) -> Vec<String> {
    numbers.map(kinesis_id).collect()
}

/// What a queue or a topic is told of a batch.
fn pointer(kind: &str, stream: &str, first: &str, last: &str) -> Value {
    json!({
        "requestContext": {
            "requestId": "d95c4fc3-6b1b-4c0a-8f13-3c5f8f1f8f4e",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:lakeward",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 4,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "7", "functionError": null},
        "version": "1.0",
        "timestamp": "2026-11-23T10:05:00.000Z",
        kind: {
            "shardId": SHARD,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": "2026-11-23T10:00:01.000Z",
            "approximateArrivalOfLastRecord": "2026-11-23T10:00:02.000Z",
            "batchSize": 6,
            "streamArn": stream,
        },
    })
}

fn of_clicks(first: u32, last: u32) -> Value {
    pointer("KinesisBatchInfo", STREAM, &kinesis_sequence(first), &kinesis_sequence(last))
}

fn of_orders(first: u32, last: u32) -> Value {
    pointer("DDBStreamBatchInfo", CHANGES, &change_sequence(first), &change_sequence(last))
}

fn message(n: u32, queue: &str, body: &str) -> Value {
    json!({
        "messageId": message_id(n),
        "receiptHandle": "r",
        "body": body,
        "attributes": {"SentTimestamp": "1795428000000", "ApproximateReceiveCount": "4"},
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:eu-west-1:123456789012:{queue}"),
        "awsRegion": "eu-west-1",
    })
}

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

    // What can't be read now comes again alone, what is lost does not.
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

    // A queue that no route names may hold other messages too; only they come again.
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

    // What does not land is called again; what is no such object is not fetched at all.
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

    // What tells of a batch is what it looks like in the DLQ of a queue that no route names only.
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

/// More than can be held at once, in three records.
fn packed() -> String {
    (0..45_000).map(|n| format!("{{\"n\":{n}}}\n")).collect()
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

#[test]
fn an_audit_compares_records_that_unpack_to_any_number() {
    let place = Place::new("audit-packed");
    let data = BASE64.encode(packed());
    place.aws.put(SHARD, (0..3).map(|n| kinesis_raw(n, &data)));
    let (code, said, complaints) = place.told(&["audit", "--stream", STREAM, "--grace", "0"]);
    assert_eq!((code, complaints.as_str()), (3, ""), "{said}");
    assert_eq!(said["audit"][0]["missing"], 135_000, "{said}");
}

#[test]
fn an_audit_counts_what_is_there_and_finds_what_is_missing() {
    let place = Place::new("audit");
    place.aws.put(SHARD, (0..12).map(click));
    place.aws.put(
        SHARD,
        [kinesis_raw(12, "e2Jyb2tlbg=="), kinesis_record(13, &json!({"hidden": true}))],
    );
    let delivered = (0..5).chain(8..12).map(click).chain([kinesis_raw(12, "e2Jyb2tlbg==")]);
    fs::write(place.folder.join("events.json"), event(delivered).to_string()).unwrap();
    assert!(place.lakeward(&["replay", "events.json"]).status.success());

    let (code, said, _) = place.told(&["audit"]);
    let line = |said: &Value, names: &[&str]| -> Vec<Value> {
        let lines = said["audit"].as_array().unwrap();
        assert_eq!(lines.len(), 1, "{said}");
        names.iter().map(|name| lines[0][name].clone()).collect()
    };
    let own = ["day", "shard", "landed", "quarantined", "lost", "missing"];
    let expected = [json!("2026-11-23"), json!(SHARD), json!(9), json!(1), json!(0), Value::Null];
    assert_eq!((code, line(&said, &own)), (0, expected.to_vec()));

    let compared = ["landed", "in_stream", "recent", "missing"];
    let (code, said, _) = place.told(&["audit", "--stream", STREAM, "--grace", "0"]);
    let expected = [json!(9), json!(14), json!(0), json!(3)];
    assert_eq!((code, line(&said, &compared)), (3, expected.to_vec()));
    // It has changed nothing, and once all is there nothing is missing.
    assert_eq!(place.rows("web.clicks").len(), 9);
    fs::write(place.folder.join("rest.json"), event((5..8).map(click)).to_string()).unwrap();
    assert!(place.lakeward(&["replay", "rest.json"]).status.success());
    let (code, said, _) = place.told(&["audit", "--stream", STREAM, "--grace", "0"]);
    assert_eq!((code, line(&said, &compared)[3].clone()), (0, json!(0)));
    let (_, said, _) = place.told(&["audit", "--since", "2026-11-23"]);
    assert_eq!(line(&said, &["landed", "quarantined"]), [json!(12), json!(1)]);
    let none = place.told(&["audit", "--since", "2026-11-24"]).1;
    assert_eq!(none["audit"], json!([]));
    let wrong = place.lakeward(&["audit", "--stream", CHANGES]);
    assert_eq!(wrong.status.code(), Some(2), "{}", printed(&wrong));
}
