//! `--as`: payload lines as the records that Lambda would have delivered.
//!
//! The id of a record follows from its bytes, the path of its file as it was given and how often
//! the same bytes came before it in the file: replaying a file again lands nothing, and an edited
//! line is a new record. When such a record arrived is not known, so it has no arrival time.

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
use crate::source::Kind;

/// The source that lines stand for.
#[derive(Debug, Clone)]
pub(super) struct Source {
    arn: Arn,
    kind: Kind,
    /// Key attributes of a DynamoDB table.
    keys: Vec<String>,
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
        let Some(kind) = Kind::of(&parsed) else {
            let service = parsed.service();
            return Err(format!("--as does not take a source of {service}; write {examples}"));
        };
        let resource = match kind {
            Kind::DynamoDb => "table/",
            Kind::Kinesis => "stream/",
            Kind::Sqs => "",
        };
        if !parsed.resource().starts_with(resource) {
            return Err(format!(
                "--as: the last part of this ARN begins with {resource}; write {examples}"
            ));
        }
        let arn = match kind {
            Kind::DynamoDb if keys.is_empty() => {
                let what = "--as of a DynamoDB table needs its key attributes: --key pk,sk";
                return Err(what.to_owned());
            }
            // Routes name the stream of a table.
            Kind::DynamoDb if parsed.table_and_label().is_none() => {
                let stream = format!("{}/stream/export", parsed.as_str());
                stream.parse().map_err(|_why| "--as: this is not a table's ARN".to_owned())?
            }
            Kind::Kinesis | Kind::Sqs if !keys.is_empty() => {
                let what = "--key is for the items of a DynamoDB table: take it out";
                return Err(what.to_owned());
            }
            Kind::DynamoDb | Kind::Kinesis | Kind::Sqs => parsed,
        };
        Ok(Self { arn, kind, keys: keys.to_vec() })
    }

    /// An export whose keys do not matter.
    pub(super) fn of_any_export(arn: &str) -> Result<Self, String> {
        Ok(Self { keys: Vec::new(), ..Self::new(arn, &["any".to_owned()])? })
    }

    /// Whether lines are items of a table's export.
    pub(super) fn is_export(&self) -> bool {
        match self.kind {
            Kind::DynamoDb => true,
            Kind::Kinesis | Kind::Sqs => false,
        }
    }

    /// The JSON texts of the records in a file's text. A line that is not a payload of the source
    /// costs only itself.
    pub(super) fn records(
        &self,
        path: &Path,
        text: &[u8],
        troubles: &mut Vec<Trouble>,
    ) -> Vec<String> {
        let name = given(path);
        let export = self.is_export().then(|| Export::of(path, &name));
        let mut seen: HashMap<&[u8], u64> = HashMap::new();
        let mut records = Vec::new();
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
            match record {
                Ok(record) => records.push(record),
                Err(what) => {
                    let remedy = "mend it and replay it; what has landed does not land again";
                    troubles.push(Trouble { place, what, remedy: remedy.to_owned() });
                }
            }
        }
        records
    }

    /// A line as a record. It says where the line is, for whoever looks for it in quarantine.
    fn record(&self, hash: &[u8; 32], line: &[u8], place: &str) -> Result<String, String> {
        match self.kind {
            Kind::DynamoDb => Err("the lines of an export are items".to_owned()),
            Kind::Kinesis => Ok(self.stream_record(hash, line, place)),
            Kind::Sqs => self.message(hash, line, place),
        }
    }

    fn stream_record(&self, hash: &[u8; 32], line: &[u8], place: &str) -> String {
        let (arn, place) = (quoted(self.arn.as_str()), quoted(place));
        let number = u128::from_be_bytes(first(hash));
        let data = BASE64.encode(line);
        format!(
            r#"{{"eventID":"shardId-000000000000:{number}","eventSource":"aws:kinesis","eventSourceARN":{arn},"replayedFrom":{place},"kinesis":{{"sequenceNumber":"{number}","data":"{data}"}}}}"#
        )
    }

    fn message(&self, hash: &[u8; 32], line: &[u8], place: &str) -> Result<String, String> {
        let (arn, place) = (quoted(self.arn.as_str()), quoted(place));
        let number = u128::from_be_bytes(first(hash));
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

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::write_string(text, &mut out);
    out
}
