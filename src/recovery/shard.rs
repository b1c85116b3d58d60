//! Reading a shard of a Kinesis or DynamoDB stream, page by page. Its records are returned as
//! Lambda would deliver them.

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

/// Time limit of a call. A page of Kinesis may have 10 MiB.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest number of records of a page; DynamoDB returns no more.
const MAX_PAGE_RECORDS: i32 = 1_000;
/// Pause between pages. Kinesis answers five reads of a shard a second, and event source mappings
/// need some of them.
const PAUSE_BETWEEN_PAGES: Duration = Duration::from_millis(250);

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

/// A position in a shard where reading begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StartPosition<'a> {
    /// At the record with this sequence number.
    At(&'a str),
    /// After the record with this sequence number.
    After(&'a str),
    /// At the oldest record that the stream still holds.
    Oldest,
}

/// An error that keeps a shard from being read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShardError {
    /// The stream no longer holds the record to begin with.
    #[error("the stream has dropped its oldest records meanwhile; try again")]
    Trimmed,
    /// The shard does not know the sequence number to begin with: it dropped the record long ago, or
    /// never had it.
    #[error("the shard does not know the sequence number to begin with")]
    Unknown,
    /// The stream or the shard does not exist any more.
    #[error("the stream or its shard does not exist any more; check its name and region")]
    Gone,
    /// The next page was asked for too late: an iterator is valid for minutes.
    #[error("the next records were asked for too late; try again")]
    Expired,
    /// Any other error, which may not occur again.
    #[error("{0}")]
    Failed(String),
}

/// A record of a stream, as Lambda would deliver it.
#[derive(Debug)]
pub(crate) struct StreamRecord {
    /// Its sequence number.
    pub number: String,
    /// Its JSON text.
    pub text: String,
    /// Its arrival.
    pub arrived: Option<Timestamp>,
}

/// A page of a shard; an empty one says nothing about what follows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Its records, in order.
    pub records: Vec<StreamRecord>,
    /// The iterator of the next page; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// Whether the shard holds nothing newer. DynamoDB does not say.
    pub newest: bool,
}

impl Streams {
    /// Returns the configuration for the region of a stream. In another region the stream would
    /// seem to be gone.
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

    /// Lists the shards of a Kinesis stream, including closed ones whose records are kept.
    pub(crate) async fn shards(&self, stream: &Arn) -> Result<Vec<String>, ShardError> {
        let shards = self.kinesis_shards(stream).await?;
        Ok(shards.into_iter().map(|it| it.shard_id).collect())
    }

    async fn kinesis_shards(&self, stream: &Arn) -> Result<Vec<kinesis::types::Shard>, ShardError> {
        let client = self.kinesis(stream).await;
        let (mut shards, mut next) = (Vec::new(), None);
        loop {
            // A token stands for the stream; Kinesis refuses both at once.
            let arn = next.is_none().then(|| stream.as_str().to_owned());
            let page = client.list_shards().set_stream_arn(arn).set_next_token(next).send().await;
            let page = page.map_err(|error| shard_error("kinesis:ListShards", &error))?;
            shards.extend(page.shards.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    async fn dynamodb_shards(
        &self,
        stream: &Arn,
    ) -> Result<Vec<dynamodb::types::Shard>, ShardError> {
        let client = dynamodb::Client::new(&self.config(stream).await);
        let (mut shards, mut next) = (Vec::new(), None);
        loop {
            let call = client.describe_stream().stream_arn(stream.as_str());
            let page = call.set_exclusive_start_shard_id(next).send().await;
            let page = page.map_err(|error| shard_error("dynamodb:DescribeStream", &error))?;
            let Some(page) = page.stream_description else { return Ok(shards) };
            shards.extend(page.shards.unwrap_or_default());
            next = page.last_evaluated_shard_id;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }
}

impl Shard<'_> {
    /// Returns the sequence number that the shard began with; no record of it has a smaller one, even
    /// one that the stream has dropped.
    pub(crate) async fn first_number(&self) -> Result<String, ShardError> {
        let first = match self.kind {
            StreamKind::DynamoDb => {
                let shards = self.streams.dynamodb_shards(self.stream).await?;
                let shard = shards.into_iter().find(|it| it.shard_id() == Some(self.name));
                let range = shard.ok_or(ShardError::Gone)?.sequence_number_range;
                range.and_then(|it| it.starting_sequence_number)
            }
            StreamKind::Kinesis => {
                let shards = self.streams.kinesis_shards(self.stream).await?;
                let shard = shards.into_iter().find(|it| it.shard_id == self.name);
                let range = shard.ok_or(ShardError::Gone)?.sequence_number_range;
                range.map(|it| it.starting_sequence_number)
            }
        };
        Ok(first.unwrap_or_else(|| "0".to_owned()))
    }

    /// Returns the iterator of a position; `None` if a closed shard has nothing from there on.
    pub(crate) async fn iterator(
        &self,
        start: StartPosition<'_>,
    ) -> Result<Option<String>, ShardError> {
        let number = match start {
            StartPosition::At(number) | StartPosition::After(number) => Some(number.to_owned()),
            StartPosition::Oldest => None,
        };
        let stream = self.stream.as_str();
        match self.kind {
            StreamKind::DynamoDb => {
                use dynamodb::types::ShardIteratorType as Type;
                let client = dynamodb::Client::new(&self.streams.config(self.stream).await);
                let kind = match start {
                    StartPosition::At(_) => Type::AtSequenceNumber,
                    StartPosition::After(_) => Type::AfterSequenceNumber,
                    StartPosition::Oldest => Type::TrimHorizon,
                };
                let call = client.get_shard_iterator().stream_arn(stream);
                let call = call.shard_id(self.name).shard_iterator_type(kind);
                let answer = call.set_sequence_number(number).send().await;
                let answer = answer.map_err(|it| shard_error("dynamodb:GetShardIterator", &it))?;
                Ok(answer.shard_iterator)
            }
            StreamKind::Kinesis => {
                use kinesis::types::ShardIteratorType as Type;
                let kind = match start {
                    StartPosition::At(_) => Type::AtSequenceNumber,
                    StartPosition::After(_) => Type::AfterSequenceNumber,
                    StartPosition::Oldest => Type::TrimHorizon,
                };
                let client = self.streams.kinesis(self.stream).await;
                let call = client.get_shard_iterator().stream_arn(stream);
                let call = call.shard_id(self.name).shard_iterator_type(kind);
                let answer = call.set_starting_sequence_number(number).send().await;
                let answer = answer.map_err(|it| shard_error("kinesis:GetShardIterator", &it))?;
                Ok(answer.shard_iterator)
            }
        }
    }

    /// Reads the page of an iterator.
    pub(crate) async fn page(&self, iterator: String) -> Result<Page, ShardError> {
        match self.kind {
            StreamKind::DynamoDb => {
                let client = dynamodb::Client::new(&self.streams.config(self.stream).await);
                let call = client.get_records().shard_iterator(iterator).limit(MAX_PAGE_RECORDS);
                let answer = call.send().await;
                let answer = answer.map_err(|it| shard_error("dynamodb:GetRecords", &it))?;
                let records = answer.records.unwrap_or_default();
                let records =
                    records.into_iter().map(|it| dynamodb_record(it, self.stream)).collect();
                Ok(Page { records, next: answer.next_shard_iterator, newest: false })
            }
            StreamKind::Kinesis => {
                tokio::time::sleep(PAUSE_BETWEEN_PAGES).await;
                let client = self.streams.kinesis(self.stream).await;
                let call = client.get_records().stream_arn(self.stream.as_str());
                let answer = call.shard_iterator(iterator).limit(MAX_PAGE_RECORDS).send().await;
                let answer = answer.map_err(|it| shard_error("kinesis:GetRecords", &it))?;
                let records = answer.records.into_iter();
                let records =
                    records.map(|it| kinesis_record(it, self.stream, self.name)).collect();
                let newest = answer.millis_behind_latest == Some(0);
                Ok(Page { records, next: answer.next_shard_iterator, newest })
            }
        }
    }
}

fn shard_error<E>(call: &str, error: &SdkError<E, HttpResponse>) -> ShardError
where
    E: ProvideErrorMetadata,
{
    match error.code() {
        Some("TrimmedDataAccessException") => ShardError::Trimmed,
        Some("InvalidArgumentException") => ShardError::Unknown,
        Some("ResourceNotFoundException") => ShardError::Gone,
        Some("ExpiredIteratorException") => ShardError::Expired,
        Some(code) => ShardError::Failed(format!("{call} answers {code}")),
        None => ShardError::Failed(format!("{call} was {}", aws::error_text(error))),
    }
}

/// Returns a record of a Kinesis stream as Lambda would deliver it.
fn kinesis_record(record: kinesis::types::Record, stream: &Arn, shard: &str) -> StreamRecord {
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

/// Returns a record of a DynamoDB stream as Lambda would deliver it.
fn dynamodb_record(record: dynamodb::types::Record, stream: &Arn) -> StreamRecord {
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

/// Returns an item as a stream delivers it.
fn item(attributes: HashMap<String, AttributeValue>) -> Value {
    Value::Object(attributes.into_iter().map(|(name, it)| (name, attribute(it))).collect())
}

/// Returns an attribute as a stream delivers it; an empty object, which is quarantined, if the SDK
/// does not know its type. `serde_dynamo` would panic on it.
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

/// Returns the seconds since 1970, with as many decimals as needed.
fn seconds(time: &DateTime) -> Value {
    let micros = micros(time);
    let (whole, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format!("{whole}.{rest:06}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Returns the microseconds since 1970. The API returns seconds as floating point numbers, which
/// are exact to the microsecond and no finer.
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
