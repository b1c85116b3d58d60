//! Failure notices, which Lambda sends to an on-failure destination when the retries of a stream's
//! batch have run out, and notifications of the objects that hold them.
//!
//! The notice for a bucket holds the whole event in `payload`, as JSON or as its text; the notice
//! for a queue or a topic holds only the range of the records. Both are recognised by their shape:
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use std::borrow::Cow;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use aws_lambda_events::s3::S3Entity;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::arn::Arn;
use crate::json::{self, Json};
use crate::route::{self, Route};
use crate::source::{Event, Kind, StreamKind};
use crate::time::Timestamp;

/// The prefix of the objects in which Lambda stores failed batches:
/// `aws/lambda/<mapping>/<shard>/<day>/<time>-<uuid>`.
const PREFIX: &str = "aws/lambda/";
/// Length in bytes of the longest shard name and sequence number that is accepted.
const MAX_NAME_BYTES: usize = 128;
/// Attribute of a message that came through a DLQ: the queue it was first sent to.
pub(super) const DLQ_SOURCE: &str = "DeadLetterQueueSourceArn";
/// A part of the text of every failure notice.
const MARK: &[u8] = b"BatchInfo";

/// A batch of a stream whose retries have run out.
#[derive(Debug)]
pub enum FailedBatch {
    /// The batch with its event.
    Event(Vec<u8>),
    /// Only the range of its records.
    Range(Range),
}

/// A range of a shard's records, including the first and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The stream.
    pub stream: Arn,
    /// The kind of the stream.
    pub kind: StreamKind,
    /// The shard.
    pub shard: String,
    /// Sequence number of the first record.
    pub first: String,
    /// Sequence number of the last record.
    pub last: String,
    /// The number of records of the batch. The range may hold more, of other batches.
    pub records: Option<u64>,
    /// Arrival of the first record.
    pub from: Option<Timestamp>,
    /// Arrival of the last record.
    pub to: Option<Timestamp>,
    /// The reason why Lambda stopped retrying: `RetryAttemptsExhausted`, `RecordAgeExceeded`.
    pub condition: Option<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(rename = "requestContext")]
    context: Option<Context>,
    #[serde(rename = "KinesisBatchInfo")]
    kinesis: Option<BatchInfo>,
    #[serde(rename = "DDBStreamBatchInfo")]
    dynamodb: Option<BatchInfo>,
}

#[derive(Deserialize)]
struct Context {
    condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    stream_arn: String,
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    batch_size: Option<u64>,
    approximate_arrival_of_first_record: Option<String>,
    approximate_arrival_of_last_record: Option<String>,
}

impl FailedBatch {
    /// Reads a failure notice.
    ///
    /// # Errors
    /// Says why the text is not one, without any of its content.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let document: Document<'_> = serde_json::from_slice(text).map_err(|error| {
            format!(
                "it is not a failure notice of Lambda (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        if let Some(payload) = document.payload {
            // A text that holds the event, or the event itself.
            let text = serde_json::from_str::<String>(payload.get());
            let text = text.unwrap_or_else(|_| payload.get().to_owned());
            return Ok(FailedBatch::Event(text.into_bytes()));
        }
        let condition = document.context.and_then(|it| it.condition);
        let info = document.kinesis.or(document.dynamodb);
        let info = info.ok_or("it holds neither a failed batch nor the range of its records")?;
        range(info, condition).map(FailedBatch::Range)
    }
}

fn range(info: BatchInfo, condition: Option<String>) -> Result<Range, String> {
    let stream = info.stream_arn.parse::<Arn>().ok();
    let stream = stream.and_then(|it| StreamKind::of(&it).map(|kind| (it, kind)));
    let short = |text: &str| (1..=MAX_NAME_BYTES).contains(&text.len());
    let number = |text: &str| short(text) && text.bytes().all(|it| it.is_ascii_digit());
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    let shard = short(&info.shard_id) && info.shard_id.bytes().all(plain);
    match stream {
        Some((stream, kind))
            if shard
                && number(&info.start_sequence_number)
                && number(&info.end_sequence_number) =>
        {
            let time = |text: Option<String>| Timestamp::from_rfc3339(&text?);
            Ok(Range {
                stream,
                kind,
                shard: info.shard_id,
                first: info.start_sequence_number,
                last: info.end_sequence_number,
                records: info.batch_size,
                from: time(info.approximate_arrival_of_first_record),
                to: time(info.approximate_arrival_of_last_record),
                condition,
            })
        }
        _ => Err("it does not name a range of a Kinesis or DynamoDB stream".to_owned()),
    }
}

/// A message of an SQS event that is a failure notice.
#[derive(Debug)]
pub struct FailureNotice {
    /// Its index in the event.
    pub index: usize,
    /// The batch, as the range of its records.
    pub batch: FailedBatch,
}

/// Returns the messages of an SQS event that are failure notices, nearly always none.
///
/// Every sender of a queue could send such a text. So a message is a notice only if no route takes
/// the queue's messages as data, and if a route takes the stream that it names.
pub fn notices(event: &Event<'_>, routes: &[Route]) -> Vec<FailureNotice> {
    if event.kind() != Some(Kind::Sqs) {
        return Vec::new();
    }
    let each = event.records().enumerate().filter_map(|(index, text)| {
        memchr::memmem::find(text, MARK)?;
        Some(FailureNotice { index, batch: notice(text, routes)? })
    });
    each.collect()
}

fn notice(message: &[u8], routes: &[Route]) -> Option<FailedBatch> {
    let members = json::members(message).ok()?;
    let text = |name: &str| text_of(&members, name);
    let is_routed = |arn: &Arn| !route::of_source(routes, arn).is_empty();
    let first_queue = members.iter().find(|(name, _)| name == "attributes");
    let first_queue = first_queue.and_then(|(_, it)| text_of(&json::members(it).ok()?, DLQ_SOURCE));
    let queues = [text("eventSourceARN"), first_queue];
    if queues.into_iter().flatten().filter_map(|it| it.parse().ok()).any(|it| is_routed(&it)) {
        return None;
    }
    // A message without an id could not be reported.
    text("messageId").filter(|it| !it.is_empty())?;
    let body = text("body")?;
    // A topic wraps the text in a notification. The event crate's type requires a signature, which
    // FIFO topics leave out.
    #[derive(Deserialize)]
    struct Notification {
        #[serde(rename = "Message")]
        message: String,
    }
    let inner = serde_json::from_str::<Notification>(&body).map(|it| it.message);
    let batch = FailedBatch::read(inner.unwrap_or(body).as_bytes()).ok()?;
    let is_notice = matches!(&batch, FailedBatch::Range(range) if is_routed(&range.stream));
    is_notice.then_some(batch)
}

fn text_of(members: &[(Cow<'_, str>, &[u8])], name: &str) -> Option<String> {
    let (_, value) = members.iter().find(|(it, _)| it == name)?;
    match json::parse(value) {
        Ok(Json::String(text)) => Some(text.into_owned()),
        _ => None,
    }
}

/// Returns the locations, `s3://bucket/key`, of the failed batches that an object notification
/// names: a notification of S3, or an event of EventBridge. `None` for any other event, and if an
/// object is not under Lambda's prefix for failed batches.
pub fn objects(event: &[u8]) -> Option<Vec<String>> {
    /// `detail` of EventBridge's event for a new object; the event crate has no type for it.
    #[derive(Deserialize, Serialize)]
    struct Detail {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize, Serialize)]
    struct Bucket {
        name: String,
    }
    #[derive(Deserialize, Serialize)]
    struct Object {
        key: String,
    }
    /// One record of a notification. The event crate's whole record requires fields that some
    /// S3-compatible stores leave out.
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "eventSource")]
        source: String,
        s3: S3Entity,
    }
    if let Ok(bus) = serde_json::from_slice::<EventBridgeEvent<Detail>>(event) {
        let is_new = bus.source == "aws.s3" && bus.detail_type == "Object Created";
        let Detail { bucket, object } = bus.detail;
        return is_new.then(|| location(&bucket.name, &object.key).map(|it| vec![it])).flatten();
    }
    let members = json::members(event).ok()?;
    let (_, records) = members.into_iter().find(|(name, _)| name == "Records")?;
    let records = json::items(records).ok().filter(|it| !it.is_empty())?;
    let each = records.into_iter().map(|record| {
        let Record { source, s3 } = serde_json::from_slice(record).ok()?;
        let (bucket, key) = (s3.bucket.name?, decoded(&s3.object.key?)?);
        (source == "aws:s3").then(|| location(&bucket, &key)).flatten()
    });
    each.collect()
}

fn location(bucket: &str, key: &str) -> Option<String> {
    let is_batch = key.starts_with(PREFIX) && !key.split('/').any(|it| it == "..");
    is_batch.then(|| format!("s3://{bucket}/{key}"))
}

/// Decodes a key of S3's notifications: it is URL-encoded, with a blank as `+`.
fn decoded(key: &str) -> Option<String> {
    let blanks = key.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&blanks).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Overrides, check};

    fn info() -> serde_json::Value {
        json!({
            "shardId": "shardId-000000000003",
            "startSequenceNumber": "49590",
            "endSequenceNumber": "49599",
            "approximateArrivalOfFirstRecord": "2026-11-14T00:38:06.021Z",
            "approximateArrivalOfLastRecord": "2026-11-14T00:38:07Z",
            "batchSize": 9,
            "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
        })
    }

    fn notice_of_range() -> serde_json::Value {
        json!({
            "requestContext": {"requestId": "r", "condition": "RetryAttemptsExhausted"},
            "version": "1.0",
            "KinesisBatchInfo": info(),
        })
    }

    fn sqs(n: u32, body: &str) -> serde_json::Value {
        let message = json!({"messageId": format!("m{n}"), "eventSource": "aws:sqs", "body": body});
        sent_to("failed-batches", message)
    }

    fn sent_to(queue: &str, mut message: serde_json::Value) -> serde_json::Value {
        message["eventSourceARN"] = json!(format!("arn:aws:sqs:eu-west-1:123456789012:{queue}"));
        message
    }

    fn routes() -> Vec<Route> {
        let config = r#"
            version = 1
            [[route]]
            source = "arn:aws:kinesis:*:*:stream/clicks"
            table = "web.clicks"
            [[route]]
            source = "arn:aws:sqs:*:*:notes"
            table = "office.notes"
        "#;
        check(config, &Overrides::default()).config.unwrap().routes
    }

    /// Returns the indices of an event's failure notices.
    fn found(event: &str, routes: &[Route]) -> Vec<usize> {
        let event = Event::read(event.as_bytes()).unwrap();
        notices(&event, routes).iter().map(|it| it.index).collect()
    }

    #[test]
    fn a_payload_is_the_event_however_it_is_written() {
        let event = r#"{"Records":[]}"#;
        for payload in [json!({"Records": []}), json!(event)] {
            let text = json!({"KinesisBatchInfo": info(), "payload": payload}).to_string();
            let Ok(FailedBatch::Event(found)) = FailedBatch::read(text.as_bytes()) else {
                panic!("{text}")
            };
            assert_eq!(found, event.as_bytes());
        }
    }

    #[test]
    fn a_notice_without_payload_names_its_range() {
        let Ok(FailedBatch::Range(range)) =
            FailedBatch::read(notice_of_range().to_string().as_bytes())
        else {
            panic!()
        };
        assert_eq!((range.first.as_str(), range.last.as_str()), ("49590", "49599"));
        assert_eq!((range.records, range.shard.as_str()), (Some(9), "shardId-000000000003"));
        assert_eq!(range.from.map(|it| it.to_string()).unwrap(), "2026-11-14T00:38:06.021");
        assert_eq!(range.condition.as_deref(), Some("RetryAttemptsExhausted"));
        assert!(range.stream.as_str().ends_with("stream/clicks"));
    }

    #[test]
    fn errors_about_a_range_hold_nothing_of_its_content() {
        for (name, value) in [
            ("streamArn", json!("arn:aws:s3:::canary")),
            ("shardId", json!("canary/../x")),
            ("shardId", json!("")),
            ("startSequenceNumber", json!("LATEST canary")),
            ("endSequenceNumber", json!("")),
        ] {
            let mut document = notice_of_range();
            document["KinesisBatchInfo"][name] = value;
            let why = FailedBatch::read(document.to_string().as_bytes()).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
        assert!(FailedBatch::read(b"{}").is_err() && FailedBatch::read(b"canary").is_err());
    }

    #[test]
    fn only_failure_notices_are_taken_out_of_an_event() {
        let wrapped = json!({"Type": "Notification", "Message": notice_of_range().to_string()});
        let event = json!({"Records": [
            sqs(1, "{}"),
            sqs(2, &notice_of_range().to_string()),
            sqs(3, &wrapped.to_string()),
            sqs(4, &json!({"KinesisBatchInfo": "of another kind"}).to_string()),
        ]});
        let event = event.to_string();
        let routes = routes();
        assert_eq!(found(&event, &routes), [1, 2]);
        let none = json!({"Records": [sqs(1, "{}")]}).to_string();
        assert!(found(&none, &routes).is_empty());
        // Records of a stream are always data.
        let kinesis = event.replace("aws:sqs", "aws:kinesis").replace(":sqs:", ":kinesis:");
        assert!(found(&kinesis, &routes).is_empty());
    }

    #[test]
    fn a_sender_of_a_queue_can_not_choose_a_stream() {
        let mut other = notice_of_range();
        other["KinesisBatchInfo"]["streamArn"] =
            json!("arn:aws:kinesis:eu-west-1:123456789012:stream/others");
        let mut moved = sqs(4, &notice_of_range().to_string());
        moved["attributes"] = json!({(DLQ_SOURCE): "arn:aws:sqs:eu-west-1:123456789012:notes"});
        for (message, is_notice) in [
            (sqs(1, &notice_of_range().to_string()), true),
            (sqs(2, &other.to_string()), false),
            (sent_to("notes", sqs(3, &notice_of_range().to_string())), false),
            (moved, false),
        ] {
            let event = json!({"Records": [message]}).to_string();
            assert_eq!(!found(&event, &routes()).is_empty(), is_notice, "{event}");
        }
    }

    #[test]
    fn only_objects_that_lambda_stored_are_fetched() {
        let bus = |key: &str| {
            json!({
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "failed"}, "object": {"key": key}},
            })
        };
        let s3 = |key: &str| {
            json!({"Records": [{
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": "failed"}, "object": {"key": key}},
            }]})
        };
        let at = |key: &str| Some(vec![format!("s3://failed/{key}")]);
        for (event, expected) in [
            (bus("aws/lambda/m/s/a-b"), at("aws/lambda/m/s/a-b")),
            (s3("aws/lambda/m/s/a%3Ab+c"), at("aws/lambda/m/s/a:b c")),
            (bus("lake/x"), None),
            (s3("aws/lambda/%2e%2e/x"), None),
            (json!({"Records": []}), None),
            (json!({"key1": "value1"}), None),
        ] {
            assert_eq!(objects(event.to_string().as_bytes()), expected, "{event}");
        }
    }
}
