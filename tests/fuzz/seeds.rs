//! Where fuzzing begins: what `fixtures/` holds, taken apart into what each target reads.
//!
//! Seeds are made anew each time, so a new fixture is a new seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::json;
use serde_json::{Value, json};

use super::bodies::canary::CANARY;
use super::bodies::kinesis::WAYS;

/// Longest seed; what is longer teaches no more.
const MOST: usize = 16 * 1024;

/// Magic number and digest of a KPL aggregate.
const MAGIC: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;

/// A target's seeds, named after the fixtures that they are of.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Seeds::default();
    match target {
        "config" => configs(&mut seeds),
        "names" => names(&mut seeds),
        _ => {
            for (name, event) in files("json") {
                let name = name.as_str();
                match target {
                    "envelope" => seeds.with_canary(name, &String::from_utf8_lossy(&event)),
                    "values" => values(&mut seeds, name, &event),
                    "kinesis" => kinesis(&mut seeds, name, &event),
                    "sqs" => sqs(&mut seeds, name, &event),
                    "recovery" => recovery(&mut seeds, name, &event),
                    _ => panic!("no seeds for {target}"),
                }
            }
        }
    }
    seeds.list
}

#[derive(Default)]
struct Seeds {
    list: Vec<(String, Vec<u8>)>,
    seen: BTreeSet<Vec<u8>>,
}

impl Seeds {
    fn add(&mut self, name: &str, seed: impl Into<Vec<u8>>) {
        let seed = seed.into();
        if seed.len() <= MOST && self.seen.insert(seed.clone()) {
            self.list.push((name.to_owned(), seed));
        }
    }

    /// A JSON text, and the same with payload that nothing may repeat.
    fn with_canary(&mut self, name: &str, text: &str) {
        self.add(name, text);
        for value in ["\"S\":\"", "\"N\":\"", "\"note\":\"", "\"body\":\""] {
            if text.contains(value) {
                self.add(name, text.replace(value, &format!("{value}{CANARY}")));
            }
        }
    }
}

/// The event as Lambda stores it when it gives it up, with and without its records, and what tells
/// the function of that.
fn recovery(seeds: &mut Seeds, name: &str, event: &[u8]) {
    let records = records(event);
    let of = |record: Option<&&[u8]>, path: &[&str]| {
        text(member(record?, path)?).filter(|it| !it.is_empty())
    };
    let (first, last) = (records.first(), records.last());
    for (kind, service) in [("KinesisBatchInfo", "kinesis"), ("DDBStreamBatchInfo", "dynamodb")] {
        let member = if service == "kinesis" { "sequenceNumber" } else { "SequenceNumber" };
        let number = |record| of(record, &[service, member]);
        let (Some(stream), Some(first), Some(last)) =
            (of(first, &["eventSourceARN"]), number(first), number(last))
        else {
            continue;
        };
        let pointer = json!({
            "requestContext": {"condition": "RetryAttemptsExhausted", "requestId": CANARY},
            "version": "1.0",
            kind: {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "approximateArrivalOfFirstRecord": "2026-11-23T10:00:01.5Z",
                "batchSize": records.len(),
                "streamArn": stream,
            },
        });
        seeds.with_canary(name, &pointer.to_string());
        let mut stored = pointer.clone();
        stored["payload"] = json!(String::from_utf8_lossy(event));
        seeds.with_canary(name, &stored.to_string());
        let topic = json!({"Type": "Notification", "Message": pointer.to_string()});
        let messages = [pointer, topic, json!({"note": CANARY})].map(|body| {
            json!({
                "messageId": "m",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:failed",
                "attributes": {"DeadLetterQueueSourceArn": "arn:aws:sqs:eu-west-1:1:other"},
                "body": body.to_string(),
            })
        });
        seeds.with_canary(name, &json!({"Records": messages}).to_string());
        let object = json!({
            "bucket": {"name": "failed"},
            "object": {"key": format!("aws/lambda/m/shardId-0/2026/11/23/{first}+%3A-a")},
        });
        let s3 = json!({"Records": [{"eventSource": "aws:s3", "s3": object}]});
        seeds.with_canary(name, &s3.to_string());
        let created = ["aws.s3", "Object Created"];
        let bus = json!({"source": created[0], "detail-type": created[1], "detail": object});
        seeds.with_canary(name, &bus.to_string());
    }
}

/// The events or configs of all fixtures. JSON without line breaks and indents.
fn files(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("fixtures"), root.join("src/cli/init")];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == kind)
                && (kind == "toml" || name.starts_with("event") || name.starts_with("sample"))
            {
                let mut bytes = std::fs::read(&path).unwrap();
                if kind == "json" {
                    let lines = bytes.split(|it| *it == b'\n').map(<[u8]>::trim_ascii);
                    bytes = lines.collect::<Vec<_>>().concat();
                    let text = String::from_utf8_lossy(&bytes);
                    bytes = text.replace("\": ", "\":").replace(", \"", ",\"").into_bytes();
                }
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, bytes);
            }
        }
    }
    assert!(found.len() > 100, "only {} fixtures", found.len());
    found
}

/// The bytes of a member.
fn member<'a>(object: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    path.iter().try_fold(object, |object, name| {
        let members = json::members(object).ok()?;
        Some(members.into_iter().find(|(it, _)| it == name)?.1)
    })
}

fn records(event: &[u8]) -> Vec<&[u8]> {
    let records = member(event, &["Records"]).and_then(|it| json::items(it).ok());
    records.unwrap_or_default()
}

fn text(of: &[u8]) -> Option<String> {
    serde_json::from_slice(of).ok()
}

fn data(record: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text(member(record, &["kinesis", "data"])?)?).ok()
}

fn values(seeds: &mut Seeds, name: &str, event: &[u8]) {
    for record in records(event) {
        for image in ["Keys", "NewImage", "OldImage"] {
            if let Some(item) = member(record, &["dynamodb", image]) {
                seeds.with_canary(name, &String::from_utf8_lossy(item));
            }
        }
        seeds.list.extend(data(record).map(|it| (name.to_owned(), it)));
        if let Some(body) = member(record, &["body"]).and_then(text) {
            seeds.add(name, body);
        }
    }
    seeds.list.retain(|(_, seed)| seed.len() <= MOST);
}

fn kinesis(seeds: &mut Seeds, name: &str, event: &[u8]) {
    for record in records(event) {
        let Some(data) = data(record) else { continue };
        let aggregate = data.strip_prefix(MAGIC).filter(|it| it.len() > DIGEST);
        match aggregate {
            Some(rest) => seeds.add(name, [&[1], &rest[..rest.len() - DIGEST]].concat()),
            // A way of their own each, so that every one is begun with.
            None => {
                let way = u8::try_from(seeds.list.len()).unwrap_or(0) % WAYS;
                seeds.add(name, [&[0], &data[..]].concat());
                seeds.add(name, [&[way], &data[..]].concat());
            }
        }
    }
}

fn sqs(seeds: &mut Seeds, name: &str, event: &[u8]) {
    for record in records(event) {
        let Some(body) = member(record, &["body"]).and_then(text) else { continue };
        let way = u8::try_from(seeds.list.len() % 24).unwrap();
        for way in [0, way] {
            seeds.add(name, [&[way], body.as_bytes()].concat());
        }
    }
}

fn configs(seeds: &mut Seeds) {
    for (name, text) in files("toml") {
        let lines = text.split(|it| *it == b'\n').filter(|it| !it.starts_with(b"#"));
        let without_comments = lines.collect::<Vec<_>>().join(&b'\n');
        seeds.add(&name, without_comments);
    }
}

/// Names, numbers and times of all fixtures, some at once.
fn names(seeds: &mut Seeds) {
    let mut found = BTreeSet::new();
    for (_, event) in files("json") {
        if let Ok(event) = serde_json::from_slice(&event) {
            collect(&event, &mut found);
        }
        for data in records(&event).into_iter().filter_map(data) {
            if let Ok(value) = serde_json::from_slice(&data) {
                collect(&value, &mut found);
            }
        }
    }
    for (_, text) in files("toml") {
        let text = String::from_utf8_lossy(&text).into_owned();
        found.extend(text.split('"').filter(|it| it.len() < 200).map(str::to_owned));
    }
    let found: Vec<String> = found.into_iter().filter(|it| !it.contains('\n')).collect();
    for some in found.chunks(6) {
        seeds.add(&format!("{:?}", some[0]), some.join("\n"));
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                found.insert(name.clone());
                collect(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
        Value::String(text) if text.len() < 200 => drop(found.insert(text.clone())),
        Value::Number(number) => drop(found.insert(number.to_string())),
        _ => {}
    }
}
