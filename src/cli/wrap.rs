//! `--as`: payload lines as the events in which Lambda would have delivered them.
//!
//! What a record is called follows from its bytes, the path of its file as it was given and how
//! often the same bytes came before it in the file: replaying a file again lands nothing, and an
//! edited line is a new record. Nobody knows when such a record arrived, so it has no arrival time.

use std::collections::HashMap;
use std::path::{Component, Path};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::arn::Arn;
use crate::cli::events::Trouble;
use crate::cli::export::Export;
use crate::digest::sha256_hex;
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
        if kind != Kind::DynamoDb && !keys.is_empty() {
            return Err("--key is for the items of a DynamoDB table: take it out".to_owned());
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

    /// An export whose keys do not matter.
    pub(super) fn of_any_export(arn: &str) -> Result<Self, String> {
        Ok(Self { keys: Vec::new(), ..Self::new(arn, &["any".to_owned()])? })
    }

    /// Whether lines are items of a table's export.
    pub(super) fn is_export(&self) -> bool {
        self.kind == Kind::DynamoDb
    }

    /// The events of a file's text. What is no payload of the source costs only itself.
    pub(super) fn events(
        &self,
        path: &Path,
        text: &[u8],
        troubles: &mut Vec<Trouble>,
    ) -> Vec<Vec<u8>> {
        let name = given(path);
        let export = (self.kind == Kind::DynamoDb).then(|| Export::of(path, &name));
        let mut seen: HashMap<&[u8], u64> = HashMap::new();
        let mut events = Vec::new();
        let mut event: Vec<String> = Vec::new();
        let mut bytes = 0_usize;
        for (at, line) in payloads(text) {
            let place = at.map_or_else(
                || path.display().to_string(),
                |line| format!("{}:{line}", path.display()),
            );
            let nth = seen.entry(line).or_default();
            let hash = identity(&name, line, *nth);
            *nth = nth.saturating_add(1);
            let record = match &export {
                Some(export) => self.item(export, line),
                None => self.record(&hash, line, &place),
            };
            let record = match record {
                Ok(record) => record,
                Err(what) => {
                    let remedy = "mend it and replay it; what has landed does not land again";
                    troubles.push(Trouble { place, what, remedy: remedy.to_owned() });
                    continue;
                }
            };
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

    /// A line as a record of a queue or a Kinesis stream. It says where the line is, which nobody
    /// reads but people who look for it in quarantine.
    fn record(&self, hash: &[u8; 32], line: &[u8], place: &str) -> Result<String, String> {
        let (arn, place) = (quoted(self.arn.as_str()), quoted(place));
        let number = u128::from_be_bytes(first(hash));
        if self.kind == Kind::Kinesis {
            let data = BASE64.encode(line);
            return Ok(format!(
                r#"{{"eventID":"shardId-000000000000:{number}","eventSource":"aws:kinesis","eventSourceARN":{arn},"replayedFrom":{place},"kinesis":{{"sequenceNumber":"{number}","data":"{data}"}}}}"#
            ));
        }
        let id = uuid::Builder::from_bytes(first(hash)).into_uuid();
        let body = std::str::from_utf8(line)
            .map_err(|_why| "it is not UTF-8, and SQS takes no such message".to_owned())?;
        let body = quoted(body);
        let attributes = if self.arn.is_fifo() {
            format!(r#"{{"MessageGroupId":"replay","SequenceNumber":"{number}"}}"#)
        } else {
            "{}".to_owned()
        };
        Ok(format!(
            r#"{{"messageId":"{id}","body":{body},"attributes":{attributes},"messageAttributes":{{}},"eventSource":"aws:sqs","eventSourceARN":{arn},"replayedFrom":{place}}}"#
        ))
    }

    /// A line of an export as the record of a stream that reads an item.
    fn item(&self, export: &Export, line: &[u8]) -> Result<String, String> {
        let members = json::members(line)
            .map_err(|why| format!("it is no JSON object ({why}), and lines of an export are"))?;
        let item = members.iter().find(|(name, _)| name == "Item").map(|(_, it)| *it);
        let item = item.ok_or_else(|| match members.iter().any(|(name, _)| name == "Items") {
            true => "it is the answer of a scan; jq -c '.Items[] | {Item: .}' makes lines of it",
            false => "it has no `Item`, as the lines of a table's export have",
        })?;
        let keys = self.keys_of(item)?;
        let arn = quoted(self.arn.as_str());
        let mut digest = sha256_hex(item);
        digest.truncate(32);
        let id = quoted(&format!("export:{}:{digest}", export.name));
        let time = export.time_ms;
        let created = if time > 0 {
            format!(r#""ApproximateCreationDateTime":{}.{:03},"#, time / 1000, time % 1000)
        } else {
            String::new()
        };
        let image = std::str::from_utf8(item).map_err(|_why| "it is not UTF-8".to_owned())?;
        Ok(format!(
            r#"{{"eventID":{id},"eventName":"READ","eventSource":"aws:dynamodb","eventSourceARN":{arn},"dynamodb":{{{created}"SequenceNumber":"{time}","Keys":{keys},"NewImage":{image}}}}}"#
        ))
    }

    /// The key attributes of an item, as they stand in it, sorted by name.
    fn keys_of(&self, item: &[u8]) -> Result<String, String> {
        let members =
            json::members(item).map_err(|why| format!("its `Item` is no JSON object ({why})"))?;
        let mut names: Vec<&String> = self.keys.iter().collect();
        names.sort();
        let each = names.into_iter().map(|name| {
            let found = members.iter().find(|(it, _)| it == name);
            let (_, value) = found.ok_or_else(|| {
                format!("its item has no attribute `{name}`, which --key says is one of its keys")
            })?;
            Ok(format!("{}:{}", quoted(name), String::from_utf8_lossy(value).trim()))
        });
        Ok(format!("{{{}}}", each.collect::<Result<Vec<_>, String>>()?.join(",")))
    }
}

/// A path as it was given, without what says nothing: `./a//b.jsonl.gz` is `a/b.jsonl`.
fn given(path: &Path) -> String {
    let parts = path.components().filter(|it| !matches!(it, Component::CurDir));
    let name = parts.map(|it| it.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let packed = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    packed.map(str::to_owned).unwrap_or(name)
}

/// The payloads of a text, one JSON value, the items of a list, or one a line, and the line of
/// each, from 1, where there are several.
pub(super) fn payloads(text: &[u8]) -> Vec<(Option<usize>, &[u8])> {
    let whole = text.trim_ascii();
    if whole.starts_with(b"[")
        && let Ok(items) = json::items(whole)
    {
        return items.into_iter().map(|it| (None, it)).collect();
    }
    if matches!(json::parse(whole), Ok(Json::Object(_))) {
        return vec![(None, whole)];
    }
    let lines = text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let lines = lines.filter(|(_, it)| !it.is_empty());
    lines.map(|(at, it)| (Some(at.saturating_add(1)), it)).collect()
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
