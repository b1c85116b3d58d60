//! The records that are sent, and where each must end.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::world::{MORNING, World};
use crate::support::lambda_events::{change_id, change_sequence, kinesis_sequence, message_id};

pub const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
when = { kind = "noise" }
drop = true

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
when = { "envelope.tableName" = "app" }
table = "shop.orders_changes"

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
when = { kind = "view" }
table = "web.views"

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"

[[route]]
source = "arn:aws:dynamodb:*:*:table/app/stream/*"
table = "shop.orders_changes"

[[route]]
source = "arn:aws:sqs:*:*:tasks"
table = "jobs.tasks"

[[route]]
source = "arn:aws:sqs:*:*:strict"
table = "jobs.tasks"
on_reject = "return"

[[route]]
source = "arn:aws:sqs:*:*:calls.fifo"
when = { kind = "view" }
table = "jobs.calls"

[[route]]
source = "arn:aws:sqs:*:*:calls.fifo"
table = "jobs.tasks"
"#;

/// A source of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Kinesis,
    Dynamo,
    Tasks,
    Strict,
    Fifo,
}

impl Source {
    pub const ALL: [Self; 5] = [Self::Kinesis, Self::Dynamo, Self::Tasks, Self::Strict, Self::Fifo];

    /// The ARN in its events.
    fn arn(self) -> &'static str {
        match self {
            Source::Kinesis => "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
            Source::Dynamo => {
                "arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/2026-11-23T09:00:00.000"
            }
            Source::Tasks => "arn:aws:sqs:eu-west-1:123456789012:tasks",
            Source::Strict => "arn:aws:sqs:eu-west-1:123456789012:strict",
            Source::Fifo => "arn:aws:sqs:eu-west-1:123456789012:calls.fifo",
        }
    }

    /// The number of its first record.
    pub fn first(self) -> u32 {
        match self {
            Source::Kinesis => 0,
            Source::Dynamo => 1_000,
            Source::Tasks => 2_000,
            Source::Strict => 3_000,
            Source::Fifo => 4_000,
        }
    }

    /// `_lw_source` of its rows.
    fn table_arn(self) -> &'static str {
        match self {
            Source::Dynamo => "arn:aws:dynamodb:eu-west-1:123456789012:table/app",
            _ => self.arn(),
        }
    }

    /// Returns true if `_lw_position` tells the order in which records were sent.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Source::Tasks | Source::Strict)
    }
}

/// The place where a record must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Row(&'static str),
    Quarantine,
    Returned,
    Nothing,
}

/// The identity of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// `_lw_source`
    pub source: &'static str,
    /// `_lw_id`
    pub id: String,
    /// Whether the sender gave that id, which `_lw_digest` shows.
    pub is_claimed: bool,
}

/// A record as it is sent.
#[derive(Debug)]
pub struct Record {
    /// Unique in a run, and rising in each source.
    pub n: u32,
    pub source: Source,
    /// Partition key, key of the item, or message group.
    pub key: String,
    /// Milliseconds since 1970.
    pub at: u64,
    /// The item identifier that reports it.
    pub receipt: String,
    /// The identity of its row.
    pub row: RowId,
    pub fate: Fate,
    /// As it stands in an event.
    pub json: Value,
}

/// Records of a source in the order of their sending; `shard` tells the shard of each.
pub fn records(
    world: &World,
    source: Source,
    numbers: std::ops::Range<u32>,
    shard: impl Fn(u32) -> usize,
) -> Vec<Arc<Record>> {
    let mut at = MORNING * 1000 + world.number(0, 5_000) as u64;
    let sent = numbers.map(|n| {
        at += world.number(0, 4_000) as u64;
        let key = format!("k{}", world.number(0, 5));
        let (payload, fate) = payload(world, source, n);
        let record = record(source, n, key, at, payload.as_ref(), fate, shard(n));
        Arc::new(if source == Source::Kinesis { forge(world, record) } else { record })
    });
    sent.collect()
}

/// A change with which a producer deceives.
#[derive(Debug, Clone, Copy)]
enum Forgery {
    /// A change under the id that a change of the table's own stream has.
    Id,
    /// A change of a queue, under the id of one of its messages.
    Source,
    /// A change of 1970.
    Time,
}

/// Makes a Kinesis record one that deceives, from time to time.
fn forge(world: &World, record: Record) -> Record {
    let forgery = match world.number(0, 30) {
        0 => Forgery::Id,
        1 => Forgery::Source,
        2 => Forgery::Time,
        _ => return record,
    };
    world.note("sometimes: a producer writes a forged change");
    let Record { n, at, .. } = record;
    // Each is forged once.
    let (id, table, created) = match forgery {
        Forgery::Id => (change_id(Source::Dynamo.first() + n), "app", at),
        Forgery::Source => (message_id(Source::Tasks.first() + n), Source::Tasks.arn(), at),
        Forgery::Time => (change_id(Source::Dynamo.first() + n), "app", 5),
    };
    let data = json!({
        "eventID": id, "eventName": "INSERT", "eventSource": "aws:dynamodb", "tableName": table,
        "awsRegion": "eu-west-1", "recordFormat": "application/json", "userIdentity": null,
        "dynamodb": {
            "ApproximateCreationDateTime": created,
            "Keys": {"pk": {"S": "forged"}},
            "NewImage": {"pk": {"S": "forged"}, "n": {"N": n.to_string()}},
        },
    });
    let (row, fate) = match forgery {
        Forgery::Id => {
            let row = RowId { source: Source::Dynamo.table_arn(), id, is_claimed: true };
            (row, Fate::Row("shop.orders_changes"))
        }
        // Under the identity of the Kinesis record.
        Forgery::Source | Forgery::Time => (record.row, Fate::Quarantine),
    };
    let mut data = data;
    if matches!(forgery, Forgery::Id) {
        // As if it were forwarded from the table's own stream, so that the commit looks for it where
        // the real one is.
        data["eventSourceARN"] = json!(Source::Dynamo.arn());
        data["dynamodb"]["SequenceNumber"] = json!(change_sequence(Source::Dynamo.first() + n));
        data["dynamodb"]["ApproximateCreationDateTime"] = json!(at / 1000);
    }
    let mut json = record.json;
    json["kinesis"]["data"] = json!(BASE64.encode(data.to_string()));
    Record { row, fate, json, ..record }
}

/// A payload, `None` for one that is none.
fn payload(world: &World, source: Source, n: u32) -> (Option<BTreeMap<&'static str, Value>>, Fate) {
    let table = match source {
        Source::Kinesis => "web.clicks",
        Source::Dynamo => "shop.orders_changes",
        _ => "jobs.tasks",
    };
    let mut fields = BTreeMap::from([("n", json!(n)), ("v", json!(n))]);
    let mut fate = Fate::Row(table);
    match world.number(0, 20) {
        0 | 1 => drop(fields.insert(["c0", "c1", "c2", "c3"][world.number(0, 4)], json!("new"))),
        2 => drop(fields.insert("v", json!("no number"))),
        3 => drop(fields.insert("v", json!([1, "two"]))),
        4 => {
            let fate = if source == Source::Strict { Fate::Returned } else { Fate::Quarantine };
            return (None, fate);
        }
        5 if source == Source::Kinesis => {
            fields.insert("kind", json!("noise"));
            fate = Fate::Nothing;
        }
        6 | 7 if matches!(source, Source::Kinesis | Source::Fifo) => {
            fields.insert("kind", json!("view"));
            fate = Fate::Row(if source == Source::Fifo { "jobs.calls" } else { "web.views" });
        }
        _ => {}
    }
    (Some(fields), fate)
}

fn record(
    source: Source,
    n: u32,
    key: String,
    at: u64,
    payload: Option<&BTreeMap<&'static str, Value>>,
    fate: Fate,
    shard: usize,
) -> Record {
    let text = payload.map_or_else(|| format!("{{\"n\": {n}, broken"), |it| json!(it).to_string());
    let (receipt, id, json) = match source {
        Source::Kinesis => {
            let sequence = kinesis_sequence(n);
            let id = format!("shardId-{shard:012}:{sequence}");
            let json = json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": key,
                    "sequenceNumber": sequence,
                    "data": BASE64.encode(text),
                    "approximateArrivalTimestamp": seconds(at),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": id,
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lakeward",
                "awsRegion": "eu-west-1",
                "eventSourceARN": source.arn(),
            });
            (sequence, id, json)
        }
        Source::Dynamo => {
            let image = image(&key, payload);
            let json = json!({
                "eventID": change_id(n),
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "eu-west-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": at / 1000,
                    "Keys": {"pk": {"S": key}},
                    "NewImage": image,
                    "SequenceNumber": change_sequence(n),
                    "SizeBytes": 64,
                    "StreamViewType": "NEW_AND_OLD_IMAGES",
                },
                "eventSourceARN": source.arn(),
            });
            (change_sequence(n), change_id(n), json)
        }
        _ => {
            let mut attributes = json!({
                "ApproximateReceiveCount": "1",
                "SentTimestamp": at.to_string(),
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": (at + 5).to_string(),
            });
            if source == Source::Fifo {
                attributes["SequenceNumber"] = json!(format!("1884949615680{n:07}"));
                attributes["MessageGroupId"] = json!(key);
            }
            let json = json!({
                "messageId": message_id(n),
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": text,
                "attributes": attributes,
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": source.arn(),
                "awsRegion": "eu-west-1",
            });
            (message_id(n), message_id(n), json)
        }
    };
    let row = RowId { source: source.table_arn(), id, is_claimed: false };
    Record { n, source, key, at, receipt, row, fate, json }
}

/// The new image of an item; one without a payload is none.
fn image(key: &str, payload: Option<&BTreeMap<&'static str, Value>>) -> Value {
    let Some(fields) = payload else { return json!({"pk": {"Q": key}}) };
    let mut image = json!({"pk": {"S": key}});
    for (name, value) in fields {
        image[*name] = match value {
            Value::Number(number) => json!({"N": number.to_string()}),
            Value::String(text) => json!({"S": text}),
            _ => json!({"L": [{"N": "1"}, {"S": "two"}]}),
        };
    }
    image
}

/// Seconds with their thousandths, as Kinesis tells times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
