//! Reading a shard again: the records of Kinesis and of DynamoDB streams, page by page, as Lambda
//! would deliver them.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodbstreams as dynamodb;
use aws_sdk_dynamodbstreams::types::AttributeValue;
use aws_sdk_kinesis as kinesis;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dynamodb::config::http::HttpResponse;
use dynamodb::error::{ProvideErrorMetadata, SdkError};
use dynamodb::primitives::DateTime;
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::arn::Arn;
use crate::aws;
use crate::source::{Kind, StreamKind};
use crate::time::Timestamp;

/// A page of Kinesis may have 10 MiB.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Records of a page; DynamoDB returns no more.
const MAX_PAGE_RECORDS: i32 = 1_000;
/// Kinesis answers five reads of a shard in a second, and a mapping reads it as well.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// Clients of the streams, made when the first shard is read.
#[derive(Debug, Default)]
pub struct Streams {
    config: OnceCell<SdkConfig>,
}

/// One shard of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shard<'a> {
    pub streams: &'a Streams,
    pub stream: &'a Arn,
    pub kind: StreamKind,
    pub name: &'a str,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// With this record.
    At(&'a str),
    /// After this record.
    After(&'a str),
    /// With the oldest that is left.
    Oldest,
}

/// Why a shard can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The stream no longer holds the record to begin with, or never did.
    Trimmed,
    /// There is no such stream or shard any more.
    Gone,
    /// It took too long to ask for the next page; an iterator is good for minutes.
    Expired,
    /// Anything else: it may do later.
    Refused(String),
}

/// A record as Lambda would deliver it.
#[derive(Debug)]
pub(crate) struct StreamRecord {
    /// Its sequence number.
    pub number: String,
    /// Its JSON text.
    pub text: String,
    /// When it arrived.
    pub arrived: Option<Timestamp>,
}

/// A page of a shard; an empty one says nothing about what follows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Its records, in order.
    pub records: Vec<StreamRecord>,
    /// Where the next page begins; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// Whether there was nothing newer in the shard. DynamoDB does not tell.
    pub newest: bool,
}

impl Streams {
    /// For where a stream is: another region has no such stream, which is no loss.
    async fn config(&self, stream: &Arn) -> SdkConfig {
        let builder = self.shared().await.to_builder();
        builder.region(Region::new(region(stream).to_owned())).build()
    }

    async fn shared(&self) -> &SdkConfig {
        let load = || async {
            let timeouts = TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
            aws::defaults().timeout_config(timeouts).load().await
        };
        self.config.get_or_init(load).await
    }

    async fn kinesis(&self, stream: &Arn) -> kinesis::Client {
        kinesis::Client::new(&self.config(stream).await)
    }

    /// Names of a Kinesis stream's shards, also of closed ones whose records are kept.
    pub(crate) async fn shards(&self, stream: &Arn) -> Result<Vec<String>, Problem> {
        let client = self.kinesis(stream).await;
        let (mut names, mut next) = (Vec::new(), None);
        loop {
            // A token stands for the stream; both at once are refused.
            let named = next.is_none().then(|| stream.as_str().to_owned());
            let page = client.list_shards().set_stream_arn(named).set_next_token(next).send().await;
            let page = page.map_err(|error| problem("kinesis:ListShards", &error))?;
            names.extend(page.shards.unwrap_or_default().into_iter().map(|it| it.shard_id));
            next = page.next_token;
            if next.is_none() {
                return Ok(names);
            }
        }
    }
}

impl Shard<'_> {
    /// Where to begin; `None` where a closed shard has nothing from there on.
    pub(crate) async fn iterator(&self, start: Start<'_>) -> Result<Option<String>, Problem> {
        let number = match start {
            Start::At(number) | Start::After(number) => Some(number.to_owned()),
            Start::Oldest => None,
        };
        let stream = self.stream.as_str();
        match self.kind {
            StreamKind::DynamoDb => {
                use dynamodb::types::ShardIteratorType as Type;
                let client = dynamodb::Client::new(&self.streams.config(self.stream).await);
                let kind = match start {
                    Start::At(_) => Type::AtSequenceNumber,
                    Start::After(_) => Type::AfterSequenceNumber,
                    Start::Oldest => Type::TrimHorizon,
                };
                let call = client.get_shard_iterator().stream_arn(stream);
                let call = call.shard_id(self.name).shard_iterator_type(kind);
                let answer = call.set_sequence_number(number).send().await;
                let answer = answer.map_err(|it| problem("dynamodb:GetShardIterator", &it))?;
                Ok(answer.shard_iterator)
            }
            StreamKind::Kinesis => {
                use kinesis::types::ShardIteratorType as Type;
                let kind = match start {
                    Start::At(_) => Type::AtSequenceNumber,
                    Start::After(_) => Type::AfterSequenceNumber,
                    Start::Oldest => Type::TrimHorizon,
                };
                let client = self.streams.kinesis(self.stream).await;
                let call = client.get_shard_iterator().stream_arn(stream);
                let call = call.shard_id(self.name).shard_iterator_type(kind);
                let answer = call.set_starting_sequence_number(number).send().await;
                let answer = answer.map_err(|it| problem("kinesis:GetShardIterator", &it))?;
                Ok(answer.shard_iterator)
            }
        }
    }

    /// The page that an iterator stands for.
    pub(crate) async fn page(&self, iterator: String) -> Result<Page, Problem> {
        match self.kind {
            StreamKind::DynamoDb => {
                let client = dynamodb::Client::new(&self.streams.config(self.stream).await);
                let call = client.get_records().shard_iterator(iterator).limit(MAX_PAGE_RECORDS);
                let answer = call.send().await;
                let answer = answer.map_err(|it| problem("dynamodb:GetRecords", &it))?;
                let records = answer.records.unwrap_or_default();
                let records = records.into_iter().map(|it| change(it, self.stream)).collect();
                Ok(Page { records, next: answer.next_shard_iterator, newest: false })
            }
            StreamKind::Kinesis => {
                tokio::time::sleep(BETWEEN_PAGES).await;
                let client = self.streams.kinesis(self.stream).await;
                let call = client.get_records().stream_arn(self.stream.as_str());
                let answer = call.shard_iterator(iterator).limit(MAX_PAGE_RECORDS).send().await;
                let answer = answer.map_err(|it| problem("kinesis:GetRecords", &it))?;
                let records = answer.records.into_iter();
                let records = records.map(|it| event(it, self.stream, self.name)).collect();
                let newest = answer.millis_behind_latest == Some(0);
                Ok(Page { records, next: answer.next_shard_iterator, newest })
            }
        }
    }
}

fn problem<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Problem
where
    E: ProvideErrorMetadata,
{
    match error.code() {
        Some("TrimmedDataAccessException" | "InvalidArgumentException") => Problem::Trimmed,
        Some("ResourceNotFoundException") => Problem::Gone,
        Some("ExpiredIteratorException") => Problem::Expired,
        Some(code) => Problem::Refused(format!("{call} answers {code}")),
        None => Problem::Refused(format!("{call} was {}", aws::error_text(error))),
    }
}

/// A record of Kinesis.
fn event(record: kinesis::types::Record, stream: &Arn, shard: &str) -> StreamRecord {
    let number = record.sequence_number;
    let arrived = record.approximate_arrival_timestamp.as_ref();
    let text = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": number,
            "data": BASE64.encode(record.data.as_ref()),
            "approximateArrivalTimestamp": arrived.map(seconds),
        },
        "eventSource": format!("aws:{}", Kind::Kinesis.service()),
        "eventVersion": "1.0",
        "eventID": format!("{shard}:{number}"),
        "eventName": "aws:kinesis:record",
        "awsRegion": region(stream),
        "eventSourceARN": stream.as_str(),
    });
    StreamRecord { number, text: text.to_string(), arrived: arrived.and_then(timestamp) }
}

/// A record of a DynamoDB stream.
fn change(record: dynamodb::types::Record, stream: &Arn) -> StreamRecord {
    let change = record
        .dynamodb
        .unwrap_or_else(|| dynamodb::types::builders::StreamRecordBuilder::default().build());
    let number = change.sequence_number.unwrap_or_default();
    let arrived = change.approximate_creation_date_time.as_ref();
    let mut inner = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        value.into_iter().for_each(|it| drop(inner.insert(name.to_owned(), it)));
    };
    put("ApproximateCreationDateTime", arrived.map(seconds));
    put("Keys", change.keys.map(item));
    put("NewImage", change.new_image.map(item));
    put("OldImage", change.old_image.map(item));
    put("SequenceNumber", Some(json!(number)));
    put("SizeBytes", change.size_bytes.map(|it| json!(it)));
    put("StreamViewType", change.stream_view_type.map(|it| json!(it.as_str())));
    let mut outer = json!({
        "eventID": record.event_id,
        "eventName": record.event_name.map(|it| it.as_str().to_owned()),
        "eventVersion": record.event_version,
        "eventSource": format!("aws:{}", Kind::DynamoDb.service()),
        "awsRegion": region(stream),
        "dynamodb": inner,
        "eventSourceARN": stream.as_str(),
    });
    if let (Some(identity), Some(outer)) = (record.user_identity, outer.as_object_mut()) {
        let identity = json!({"principalId": identity.principal_id, "type": identity.r#type});
        outer.insert("userIdentity".to_owned(), identity);
    }
    StreamRecord { number, text: outer.to_string(), arrived: arrived.and_then(timestamp) }
}

/// An item as a stream delivers it.
fn item(attributes: HashMap<String, AttributeValue>) -> Value {
    Value::Object(attributes.into_iter().map(|(name, it)| (name, attribute(it))).collect())
}

/// An attribute; an empty object, which is quarantined, if the SDK does not know its type yet.
/// `serde_dynamo` would panic on it.
fn attribute(value: AttributeValue) -> Value {
    let known = is_known(&value).then(|| serde_dynamo::AttributeValue::from(value));
    known.and_then(|it| serde_json::to_value(it).ok()).unwrap_or_else(|| json!({}))
}

fn is_known(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::L(items) => items.iter().all(is_known),
        AttributeValue::M(members) => members.values().all(is_known),
        other => !other.is_unknown(),
    }
}

/// Seconds since 1970 with as many decimals as it takes.
fn seconds(time: &DateTime) -> Value {
    let micros = micros(time);
    let (whole, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format!("{whole}.{rest:06}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The API tells times as floating point numbers of seconds, which leave a microsecond intact and
/// nothing finer.
fn micros(time: &DateTime) -> i64 {
    let nanos = i64::from(time.subsec_nanos());
    time.secs().saturating_mul(1_000_000).saturating_add(nanos.saturating_add(500) / 1000)
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_micros(micros(time))
}

fn region(arn: &Arn) -> &str {
    arn.as_str().split(':').nth(3).unwrap_or_default()
}
