//! What Lambda tells of a batch that it has given up, and who tells the function of it.
//!
//! A bucket as on-failure destination gets the whole event in `payload`, as JSON or as its text; a
//! queue or a topic gets only where the records are. Both have been recognised by their shape:
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::arn::Arn;
use crate::json::{self, Json};
use crate::record::Receipt;
use crate::route::{self, Route};
use crate::time::Timestamp;

/// Where Lambda puts what it stores: `aws/lambda/<mapping>/<shard>/<day>/<time>-<uuid>`.
const STORED: &str = "aws/lambda/";
/// Letters of a shard's name, and digits of a sequence number, at most.
const MOST_LETTERS: usize = 128;
/// What a message that came through a DLQ tells of its queue.
const MOVED_FROM: &str = "DeadLetterQueueSourceArn";
/// What every text of a batch that was given up has in it.
const MARK: &[u8] = b"BatchInfo";

/// A batch that Lambda has given up.
#[derive(Debug)]
pub enum Given {
    /// With its event.
    Event(Vec<u8>),
    /// Only where its records are.
    Range(Range),
}

/// Records of a shard, the first and the last among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The stream, of Kinesis or of a DynamoDB table.
    pub stream: Arn,
    /// The shard.
    pub shard: String,
    /// Sequence number of the first record.
    pub first: String,
    /// Sequence number of the last record.
    pub last: String,
    /// How many records the batch had. There may be more in the range, of other batches.
    pub records: Option<u64>,
    /// Arrival of the first record.
    pub from: Option<Timestamp>,
    /// Arrival of the last record.
    pub to: Option<Timestamp>,
    /// Why Lambda gave up: `RetryAttemptsExhausted`, `RecordAgeExceeded`.
    pub condition: Option<String>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(rename = "requestContext")]
    context: Option<Context>,
    #[serde(rename = "KinesisBatchInfo")]
    kinesis: Option<Info>,
    #[serde(rename = "DDBStreamBatchInfo")]
    dynamodb: Option<Info>,
}

#[derive(Deserialize)]
struct Context {
    condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    stream_arn: String,
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    batch_size: Option<u64>,
    approximate_arrival_of_first_record: Option<String>,
    approximate_arrival_of_last_record: Option<String>,
}

impl Given {
    /// Reads what Lambda has stored or sent.
    ///
    /// # Errors
    /// What it is instead, without anything of its content.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let document: Document<'_> = serde_json::from_slice(text).map_err(|error| {
            format!(
                "it is not what Lambda tells of a batch that it has given up (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        if let Some(payload) = document.payload {
            // A text that holds the event, or the event itself.
            let text = serde_json::from_str::<String>(payload.get());
            let text = text.unwrap_or_else(|_| payload.get().to_owned());
            return Ok(Given::Event(text.into_bytes()));
        }
        let condition = document.context.and_then(|it| it.condition);
        let info = document.kinesis.or(document.dynamodb);
        let info = info.ok_or("it says neither what Lambda has given up nor where that is")?;
        range(info, condition).map(Given::Range)
    }
}

fn range(info: Info, condition: Option<String>) -> Result<Range, String> {
    let stream = info.stream_arn.parse::<Arn>().ok();
    let stream = stream.filter(|it| matches!(it.service(), "kinesis" | "dynamodb"));
    let short = |text: &str| (1..=MOST_LETTERS).contains(&text.len());
    let number = |text: &str| short(text) && text.bytes().all(|it| it.is_ascii_digit());
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    let shard = short(&info.shard_id) && info.shard_id.bytes().all(plain);
    match stream {
        Some(stream)
            if shard
                && number(&info.start_sequence_number)
                && number(&info.end_sequence_number) =>
        {
            let time = |text: Option<String>| Timestamp::from_rfc3339(&text?);
            Ok(Range {
                stream,
                shard: info.shard_id,
                first: info.start_sequence_number,
                last: info.end_sequence_number,
                records: info.batch_size,
                from: time(info.approximate_arrival_of_first_record),
                to: time(info.approximate_arrival_of_last_record),
                condition,
            })
        }
        _ => Err("it names no range of a Kinesis or DynamoDB stream".to_owned()),
    }
}

/// A message of an event that tells of a batch.
#[derive(Debug)]
pub struct Told {
    /// Its `messageId`.
    pub id: String,
    /// Its place in the event.
    pub place: usize,
    /// The batch, by its range.
    pub given: Given,
}

/// A message of such an event that tells of none.
#[derive(Debug)]
pub struct Other<'a> {
    /// Its place in the event.
    pub place: usize,
    /// As it came.
    pub record: &'a [u8],
}

impl Other<'_> {
    /// Its `messageId`.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let members = json::members(self.record).ok()?;
        text_of(&members, "messageId").and_then(Receipt::new)
    }
}

/// The messages of an SQS event that only tell of batches, and all others as they came. `None`
/// where there are none: nearly always, and told without reading the event.
///
/// Whoever may send to a queue could send such a text. So it is only what it looks like where no
/// route takes the queue's messages as data, and where a route takes the stream that it names.
pub fn told<'a>(event: &'a [u8], routes: &[Route]) -> Option<(Vec<Told>, Vec<Other<'a>>)> {
    memchr::memmem::find(event, MARK)?;
    let (mut told, mut others) = (Vec::new(), Vec::new());
    for (place, raw) in records(event)?.into_iter().enumerate() {
        match message(raw, routes) {
            Some((id, given)) => told.push(Told { id, place, given }),
            None => others.push(Other { place, record: raw }),
        }
    }
    (!told.is_empty()).then_some((told, others))
}

/// All messages of an event in which none tells of a batch.
pub(super) fn others(event: &[u8]) -> Vec<Other<'_>> {
    let records = records(event).unwrap_or_default().into_iter().enumerate();
    records.map(|(place, record)| Other { place, record }).collect()
}

/// The records of an event as they came.
pub(super) fn records(event: &[u8]) -> Option<Vec<&[u8]>> {
    let members = json::members(event).ok()?;
    let (_, records) = members.into_iter().find(|(name, _)| name == "Records")?;
    json::items(records).ok()
}

fn text_of(members: &[(Cow<'_, str>, &[u8])], name: &str) -> Option<String> {
    let (_, value) = members.iter().find(|(it, _)| it == name)?;
    match json::parse(value) {
        Ok(Json::String(text)) => Some(text.into_owned()),
        _ => None,
    }
}

fn message(raw: &[u8], routes: &[Route]) -> Option<(String, Given)> {
    memchr::memmem::find(raw, MARK)?;
    let members = json::members(raw).ok()?;
    let text = |name: &str| text_of(&members, name);
    let routed = |arn: &Arn| !route::of_source(routes, arn).is_empty();
    text("eventSource").filter(|it| it == "aws:sqs")?;
    let moved = members.iter().find(|(name, _)| name == "attributes");
    let moved = moved.and_then(|(_, it)| text_of(&json::members(it).ok()?, MOVED_FROM));
    let queues = [text("eventSourceARN"), moved];
    if queues.into_iter().flatten().filter_map(|it| it.parse().ok()).any(|it| routed(&it)) {
        return None;
    }
    let (id, body) = (text("messageId").filter(|it| !it.is_empty())?, text("body")?);
    // A topic's notification has the text in it.
    #[derive(Deserialize)]
    struct Notification {
        #[serde(rename = "Message")]
        message: String,
    }
    let inner = serde_json::from_str::<Notification>(&body).map(|it| it.message);
    let given = Given::read(inner.unwrap_or(body).as_bytes()).ok()?;
    let is_told = matches!(&given, Given::Range(range) if routed(&range.stream));
    is_told.then_some((id, given))
}

/// Locations, `s3://bucket/key`, of the stored batches that an event tells of: a notification of
/// S3, or an event of EventBridge. `None` for any other event, and where an object is not one that
/// Lambda stores batches in.
pub fn objects(event: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Bus {
        source: String,
        #[serde(rename = "detail-type")]
        kind: String,
        detail: Detail,
    }
    #[derive(Deserialize)]
    struct Notification {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    }
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "eventSource")]
        source: String,
        s3: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Bucket {
        name: String,
    }
    #[derive(Deserialize)]
    struct Object {
        key: String,
    }
    let location = |detail: Detail, encoded: bool| {
        let key = if encoded { decoded(&detail.object.key)? } else { detail.object.key };
        let stored = key.starts_with(STORED) && !key.split('/').any(|it| it == "..");
        stored.then(|| format!("s3://{}/{key}", detail.bucket.name))
    };
    if let Ok(bus) = serde_json::from_slice::<Bus>(event) {
        let created = bus.source == "aws.s3" && bus.kind == "Object Created";
        return created.then(|| location(bus.detail, false).map(|it| vec![it])).flatten();
    }
    let notification: Notification = serde_json::from_slice(event).ok()?;
    if notification.records.is_empty() {
        return None;
    }
    let records = notification.records.into_iter();
    records.map(|it| (it.source == "aws:s3").then(|| location(it.s3, true)).flatten()).collect()
}

/// A key as S3's notifications write it: URL-encoded, a blank as `+`.
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

    fn pointer() -> serde_json::Value {
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

    #[test]
    fn a_payload_is_the_event_however_it_is_written() {
        let event = r#"{"Records":[]}"#;
        for payload in [json!({"Records": []}), json!(event)] {
            let text = json!({"KinesisBatchInfo": info(), "payload": payload}).to_string();
            let Ok(Given::Event(found)) = Given::read(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(found, event.as_bytes());
        }
    }

    #[test]
    fn a_pointer_names_its_range() {
        let Ok(Given::Range(range)) = Given::read(pointer().to_string().as_bytes()) else {
            panic!()
        };
        assert_eq!((range.first.as_str(), range.last.as_str()), ("49590", "49599"));
        assert_eq!((range.records, range.shard.as_str()), (Some(9), "shardId-000000000003"));
        assert_eq!(range.from.map(|it| it.to_string()).unwrap(), "2026-11-14T00:38:06.021");
        assert_eq!(range.condition.as_deref(), Some("RetryAttemptsExhausted"));
        assert!(range.stream.as_str().ends_with("stream/clicks"));
    }

    #[test]
    fn what_is_no_range_is_told_without_its_content() {
        for (name, value) in [
            ("streamArn", json!("arn:aws:s3:::canary")),
            ("shardId", json!("canary/../x")),
            ("shardId", json!("")),
            ("startSequenceNumber", json!("LATEST canary")),
            ("endSequenceNumber", json!("")),
        ] {
            let mut document = pointer();
            document["KinesisBatchInfo"][name] = value;
            let told = Given::read(document.to_string().as_bytes()).unwrap_err();
            assert!(!told.contains("canary"), "{told}");
        }
        assert!(Given::read(b"{}").is_err() && Given::read(b"canary").is_err());
    }

    #[test]
    fn only_messages_that_tell_of_batches_are_taken_out_of_an_event() {
        let wrapped = json!({"Type": "Notification", "Message": pointer().to_string()});
        let event = json!({"Records": [
            sqs(1, "{}"),
            sqs(2, &pointer().to_string()),
            sqs(3, &wrapped.to_string()),
            sqs(4, &json!({"KinesisBatchInfo": "of another kind"}).to_string()),
        ]});
        let event = event.to_string();
        let routes = routes();
        let (told, others) = told(event.as_bytes(), &routes).unwrap();
        let told: Vec<_> = told.iter().map(|it| (it.place, it.id.as_str())).collect();
        assert_eq!(told, [(1, "m2"), (2, "m3")]);
        assert_eq!(others.iter().map(|it| it.place).collect::<Vec<_>>(), [0, 3]);
        let none = json!({"Records": [sqs(1, "{}")]}).to_string();
        assert!(super::told(none.as_bytes(), &routes).is_none());
        // Data of a stream is data.
        let kinesis = event.replace("aws:sqs", "aws:kinesis");
        assert!(super::told(kinesis.as_bytes(), &routes).is_none());
    }

    #[test]
    fn who_may_send_to_a_queue_chooses_no_stream() {
        let mut other = pointer();
        other["KinesisBatchInfo"]["streamArn"] =
            json!("arn:aws:kinesis:eu-west-1:123456789012:stream/others");
        let mut moved = sqs(4, &pointer().to_string());
        moved["attributes"] = json!({(MOVED_FROM): "arn:aws:sqs:eu-west-1:123456789012:notes"});
        for (message, is_told) in [
            (sqs(1, &pointer().to_string()), true),
            (sqs(2, &other.to_string()), false),
            (sent_to("notes", sqs(3, &pointer().to_string())), false),
            (moved, false),
        ] {
            let event = json!({"Records": [message]}).to_string();
            assert_eq!(told(event.as_bytes(), &routes()).is_some(), is_told, "{event}");
        }
    }

    #[test]
    fn only_what_lambda_has_stored_is_fetched() {
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
