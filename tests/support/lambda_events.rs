//! Events as Lambda delivers them, made of what a test cares about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// The stream of [`kinesis`] events.
pub const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
/// The stream of [`dynamodb`] events.
pub const CHANGES: &str =
    concat!("arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/", "2026-03-02T09:14:27.512");
/// The queue of [`fifo`] events.
pub const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:tasks.fifo";
/// 2026-11-23T10:00:00Z in seconds.
const MORNING: u32 = 1_795_428_000;

/// Sequence number of Kinesis record `n`.
pub fn kinesis_sequence(n: u32) -> String {
    format!("4967458219001122334455667788990011223344556677889{n:07}")
}

/// `_lw_id` of Kinesis record `n`.
pub fn kinesis_id(n: u32) -> String {
    format!("shardId-000000000000:{}", kinesis_sequence(n))
}

/// A Kinesis record whose `data` is given as it is delivered.
pub fn kinesis_raw(n: u32, data: &str) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": format!("key-{}", n % 7),
            "sequenceNumber": kinesis_sequence(n),
            "data": data,
            "approximateArrivalTimestamp": f64::from(MORNING) + f64::from(n) / 8.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": kinesis_id(n),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lakeward",
        "awsRegion": "eu-west-1",
        "eventSourceARN": STREAM,
    })
}

/// A Kinesis record with a JSON payload.
pub fn kinesis_record(n: u32, payload: &Value) -> Value {
    kinesis_raw(n, &BASE64.encode(payload.to_string()))
}

/// `eventID` of change `n`.
pub fn change_id(n: u32) -> String {
    format!("c81e728d9d4c2f636f067f89{n:08x}")
}

/// Sequence number of change `n`.
pub fn change_sequence(n: u32) -> String {
    format!("44215845000000000174{n:07}")
}

/// A new item, in DynamoDB's JSON; its key is `pk`.
pub fn change(n: u32, item: &Value) -> Value {
    json!({
        "eventID": change_id(n),
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": MORNING + n,
            "Keys": {"pk": item["pk"]},
            "NewImage": item,
            "SequenceNumber": change_sequence(n),
            "SizeBytes": 64,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": CHANGES,
    })
}

/// `messageId` of message `n`.
pub fn message_id(n: u32) -> String {
    format!("059f36b4-87a3-44ab-83d2-{n:012}")
}

/// A message of the FIFO queue.
pub fn fifo(n: u32, group: &str, body: &str) -> Value {
    json!({
        "messageId": message_id(n),
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": format!("{}000", MORNING + n),
            "SequenceNumber": format!("1884949615680{n:07}"),
            "MessageGroupId": group,
            "MessageDeduplicationId": format!("dedup-{n}"),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": format!("{}500", MORNING + n),
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": QUEUE,
        "awsRegion": "eu-west-1",
    })
}

/// An event of these records.
pub fn event(records: impl IntoIterator<Item = Value>) -> Value {
    json!({"Records": records.into_iter().collect::<Vec<_>>()})
}
