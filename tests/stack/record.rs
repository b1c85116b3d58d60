//! Events as LocalStack really delivers them, kept in `fixtures/recorded`.
//!
//! `tests/run record` writes them anew. Every other run compares their shape with what is delivered
//! now: names and types, not values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Map, Value, json};

use super::streams::{number, text};
use super::support::{Cloud, repository, run_async, wait_for};
use crate::support::compare::Object;
use crate::support::lake::fresh_folder;
use crate::support::process::run;

/// A function that prints its events and takes whatever comes.
const PRINTING: &str = r#"#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
headers=$(mktemp)
while event=$(curl --silent --show-error --dump-header "$headers" "$api/next"); do
  id=$(tr -d '\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //Ip')
  printf '%s\n' "$event"
  curl --silent --show-error --data '{"batchItemFailures":[]}' "$api/$id/response" >/dev/null
done
"#;

/// Case, part of its source's ARN, and how many records are sent.
const CASES: [(&str, &str, usize); 4] = [
    ("changes-of-a-dynamodb-table", ":table/", 3),
    ("records-of-a-kinesis-stream", ":stream/", 2),
    ("messages-of-a-fifo-queue", "-notes.fifo", 2),
    ("messages-of-a-standard-queue", "-notes", 2),
];

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn events_have_the_shape_of_the_recorded_ones() {
    run_async(async {
        let cloud = Cloud::of("record").await;
        let (table, table_stream) = cloud.table("orders").await;
        let (stream, stream_arn) = cloud.stream("clicks", 1).await;
        let queue = cloud.queue("notes", None).await;
        let fifo = cloud.queue("notes.fifo", None).await;
        let sources = [
            ("TableStreams", table_stream.as_str()),
            ("KinesisStreams", &stream_arn),
            ("Queues", &queue.arn),
            ("FifoQueues", &fifo.arn),
        ];
        let stack = cloud.deploy_zip("stack", printing_zip(), "", &sources).await;

        change(&cloud, &table).await;
        let records = [r#"{"page":"/"}"#, "no JSON"].map(|it| ("user".to_owned(), it.into()));
        cloud.put_records(&stream, &records).await;
        let attribute = MessageAttributeValue::builder().data_type("String").string_value("till");
        let send = cloud.sqs.send_message().queue_url(&queue.url).message_body(r#"{"note":1}"#);
        send.message_attributes("from", attribute.build().unwrap()).send().await.unwrap();
        cloud.send(&queue, &[(None, "no JSON".to_owned())]).await;
        let in_group = |n: u32| (Some("till"), json!({"note": n}).to_string());
        cloud.send(&fifo, &[in_group(1), in_group(2)]).await;

        let delivered = wait_for("all events", async || {
            let events = of_cases(stack.log().await);
            let counts =
                CASES.iter().all(|(case, _, count)| records_of(&events, case).len() == *count);
            counts.then_some(events)
        })
        .await;
        for (case, events) in delivered {
            let folder = repository().join("fixtures/recorded").join(case);
            if env::var_os("UPDATE_FIXTURES").is_some() {
                // Names of this run's own would make each recording another one.
                write(&folder, &events, &cloud.name(""));
            }
            assert_eq!(shapes(&events), shapes(&recorded(&folder)), "{case}");
        }
    });
}

/// Makes, changes and deletes an item.
async fn change(cloud: &Cloud, table: &str) {
    let put = cloud.dynamodb.put_item().table_name(table).item("id", text("a"));
    let put = put.item("total", number("19.90")).item("paid", AttributeValue::Bool(false));
    let put = put.item("tags", AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]));
    let put = put.item("sizes", AttributeValue::Ns(vec!["1".to_owned(), "2.5".to_owned()]));
    let put = put.item("photo", AttributeValue::B(Blob::new([0, 159, 255])));
    let lines = AttributeValue::L(vec![text("milk"), AttributeValue::Null(true)]);
    let place = AttributeValue::M([("zip".to_owned(), text("10115"))].into());
    put.item("lines", lines).item("place", place).send().await.unwrap();
    let update = cloud.dynamodb.update_item().table_name(table).key("id", text("a"));
    let update = update.update_expression("SET paid = :paid");
    update.expression_attribute_values(":paid", AttributeValue::Bool(true)).send().await.unwrap();
    cloud.dynamodb.delete_item().table_name(table).key("id", text("a")).send().await.unwrap();
}

fn printing_zip() -> Vec<u8> {
    let folder = fresh_folder("printing");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bootstrap"), PRINTING).unwrap();
    let made = run(Command::new("sh")
        .args(["-c", "chmod 755 bootstrap && python3 -m zipfile -c printing.zip bootstrap"])
        .current_dir(&folder));
    assert!(made.status.success(), "{made:?}");
    fs::read(folder.join("printing.zip")).unwrap()
}

type Events = BTreeMap<&'static str, Vec<Value>>;

fn of_cases(log: Vec<Object>) -> Events {
    let mut cases = Events::new();
    for event in log.into_iter().map(Value::Object).filter(|it| it["Records"].is_array()) {
        let source = event["Records"][0]["eventSourceARN"].as_str().unwrap().to_owned();
        let (case, ..) = CASES.iter().find(|(_, part, _)| source.contains(part)).unwrap();
        cases.entry(case).or_default().push(event);
    }
    cases
}

fn records_of<'a>(events: &'a Events, case: &str) -> Vec<&'a Value> {
    let events = events.get(case).into_iter().flatten();
    events.flat_map(|it| it["Records"].as_array().unwrap()).collect()
}

fn write(folder: &Path, events: &[Value], own: &str) {
    fs::create_dir_all(folder).unwrap();
    for old in fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
        if old.extension().is_some_and(|it| it == "json") {
            fs::remove_file(old).unwrap();
        }
    }
    for (n, event) in events.iter().enumerate() {
        let text = serde_json::to_string_pretty(event).unwrap().replace(own, "recorded-");
        fs::write(folder.join(format!("event-{}.json", n + 1)), text + "\n").unwrap();
    }
}

fn recorded(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let events = files.filter(|it| it.file_name().unwrap().to_str().unwrap().starts_with("event"));
    events.map(|it| serde_json::from_str(&fs::read_to_string(it).unwrap()).unwrap()).collect()
}

/// Returns the shapes of records, whichever event they came in.
fn shapes(events: &[Value]) -> BTreeSet<String> {
    let records = events.iter().flat_map(|it| it["Records"].as_array().unwrap());
    records.map(|it| shape(it).to_string()).collect()
}

fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}
