//! `--as`: payload lines as the events in which Lambda would have delivered them.
//!
//! What a record is called follows from its bytes, the name of its file and how often the same
//! bytes came before it in the file: replaying a file again lands nothing, and an edited line is a
//! new record. Nobody knows when such a record arrived, so it has no arrival time.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::arn::Arn;
use crate::cli::export::Export;
use crate::json::{self, Json};

/// Most records and bytes of an event.
const MOST_RECORDS: usize = 1_000;
const MOST_BYTES: usize = 4_000_000;

/// The source that lines stand for.
#[derive(Debug, Clone)]
pub(super) struct Source {
    arn: Arn,
    kind: Kind,
    /// Key attributes of a DynamoDB table.
    keys: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    DynamoDb,
    Kinesis,
    Sqs,
}

impl Source {
    /// Reads `--as` and `--key`; says what is wrong with them.
    pub(super) fn new(arn: &str, keys: &[String]) -> Result<Self, String> {
        let examples = "arn:aws:sqs:eu-west-1:123456789012:my-queue, \
                        arn:aws:kinesis:eu-west-1:123456789012:stream/my-stream or \
                        arn:aws:dynamodb:eu-west-1:123456789012:table/my-table";
        let parsed = arn.parse::<Arn>().ok().filter(|it| !it.as_str().contains('*'));
        let Some(parsed) = parsed else {
            return Err(format!("--as takes the ARN of one source, such as {examples}"));
        };
        let (kind, resource) = match parsed.service() {
            "dynamodb" => (Kind::DynamoDb, "table/"),
            "kinesis" => (Kind::Kinesis, "stream/"),
            "sqs" => (Kind::Sqs, ""),
            other => return Err(format!("--as takes no source of {other}; write {examples}")),
        };
        if !parsed.resource().starts_with(resource) {
            return Err(format!(
                "--as: the last part of this ARN begins with {resource}; write {examples}"
            ));
        }
        if kind == Kind::DynamoDb && keys.is_empty() {
            return Err("--as of a DynamoDB table needs its key attributes: --key pk,sk".to_owned());
        }
        // Routes name the stream of a table.
        let arn = match kind {
            Kind::DynamoDb if parsed.table_and_label().is_none() => {
                let stream = format!("{}/stream/export", parsed.as_str());
                stream.parse().map_err(|_why| "--as: this is no table's ARN".to_owned())?
            }
            _ => parsed,
        };
        Ok(Self { arn, kind, keys: keys.to_vec() })
    }

    /// Whether lines are items of a table's export.
    pub(super) fn is_export(&self) -> bool {
        self.kind == Kind::DynamoDb
    }

    /// The events of a file's text.
    pub(super) fn events(&self, path: &Path, text: &[u8]) -> Vec<Vec<u8>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let export = (self.kind == Kind::DynamoDb).then(|| Export::of(path));
        let mut seen: HashMap<&[u8], u64> = HashMap::new();
        let mut events = Vec::new();
        let mut event: Vec<String> = Vec::new();
        let mut bytes = 0_usize;
        for line in payloads(text) {
            let nth = seen.entry(line).or_default();
            let record = self.record(&identity(name, line, *nth), line, export.as_ref());
            *nth = nth.saturating_add(1);
            if event.len() >= MOST_RECORDS || bytes.saturating_add(record.len()) > MOST_BYTES {
                events.push(whole(&std::mem::take(&mut event)));
                bytes = 0;
            }
            bytes = bytes.saturating_add(record.len());
            event.push(record);
        }
        if !event.is_empty() {
            events.push(whole(&event));
        }
        events
    }

    fn record(&self, hash: &[u8; 32], line: &[u8], export: Option<&Export>) -> String {
        let arn = quoted(self.arn.as_str());
        let number = u128::from_be_bytes(first(hash));
        match self.kind {
            Kind::Sqs => {
                let id = uuid::Builder::from_bytes(first(hash)).into_uuid();
                let body = quoted(&String::from_utf8_lossy(line));
                let attributes = if self.arn.is_fifo() {
                    format!(r#"{{"MessageGroupId":"replay","SequenceNumber":"{number}"}}"#)
                } else {
                    "{}".to_owned()
                };
                format!(
                    r#"{{"messageId":"{id}","body":{body},"attributes":{attributes},"messageAttributes":{{}},"eventSource":"aws:sqs","eventSourceARN":{arn}}}"#
                )
            }
            Kind::Kinesis => {
                let data = BASE64.encode(line);
                format!(
                    r#"{{"eventID":"shardId-000000000000:{number}","eventSource":"aws:kinesis","eventSourceARN":{arn},"kinesis":{{"sequenceNumber":"{number}","data":"{data}"}}}}"#
                )
            }
            Kind::DynamoDb => {
                let item = json::members(line).unwrap_or_default();
                let item = item.iter().find(|(name, _)| name == "Item").map(|(_, it)| *it);
                let item = item.unwrap_or(b"null");
                let keys = self.keys_of(item);
                let time = export.map_or(0, |it| it.time_ms);
                let name = export.map_or("", |it| it.name.as_str());
                let hash: String = Sha256::digest(keys.as_bytes())
                    .iter()
                    .take(16)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let id = quoted(&format!("export:{name}:{hash}"));
                let created = export.filter(|it| it.time_ms > 0).map_or(String::new(), |it| {
                    format!(
                        r#""ApproximateCreationDateTime":{}.{:03},"#,
                        it.time_ms / 1000,
                        it.time_ms % 1000
                    )
                });
                let image = String::from_utf8_lossy(item);
                format!(
                    r#"{{"eventID":{id},"eventName":"READ","eventSource":"aws:dynamodb","eventSourceARN":{arn},"dynamodb":{{{created}"SequenceNumber":"{time}","Keys":{keys},"NewImage":{image}}}}}"#
                )
            }
        }
    }

    /// The key attributes of an item, as they stand in it, sorted by name.
    fn keys_of(&self, item: &[u8]) -> String {
        let members = json::members(item).unwrap_or_default();
        let mut keys: Vec<_> =
            members.iter().filter(|(name, _)| self.keys.iter().any(|it| it == name)).collect();
        keys.sort_by_key(|(name, _)| name.as_ref());
        let each = keys.iter().map(|(name, value)| {
            format!("{}:{}", quoted(name), String::from_utf8_lossy(value).trim())
        });
        format!("{{{}}}", each.collect::<Vec<_>>().join(","))
    }
}

/// The payloads of a text: one JSON value, the items of a list, or one a line.
pub(super) fn payloads(text: &[u8]) -> Vec<&[u8]> {
    let text = text.trim_ascii();
    if text.starts_with(b"[")
        && let Ok(items) = json::items(text)
    {
        return items;
    }
    if matches!(json::parse(text), Ok(Json::Object(_))) {
        return vec![text];
    }
    text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii).filter(|it| !it.is_empty()).collect()
}

fn identity(file: &str, line: &[u8], nth: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(file.as_bytes());
    hash.update([0]);
    hash.update(nth.to_be_bytes());
    hash.update(line);
    hash.finalize().into()
}

fn first(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

fn whole(records: &[String]) -> Vec<u8> {
    format!("{{\"Records\":[{}]}}", records.join(",")).into_bytes()
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::write_string(text, &mut out);
    out
}
