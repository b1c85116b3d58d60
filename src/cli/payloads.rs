//! `--as`: payloads, made into the records that Lambda would deliver.
//!
//! The id of a record follows from its bytes, the path of its file as it was given, and how often
//! the same bytes came before in the file. So replaying a file again lands nothing, and an edited
//! line is a new record. Its arrival is unknown, so it has no arrival time.

use std::collections::HashMap;
use std::path::{Component, Path};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::arn::Arn;
use crate::cli::export::Export;
use crate::cli::trouble::{FIX_AND_REPLAY, Trouble};
use crate::digest::sha256_hex;
use crate::json::{self, Json};
use crate::source::Kind;

/// The source that payloads stand for.
#[derive(Debug, Clone)]
pub(super) struct PayloadSource {
    arn: Arn,
    kind: Kind,
    /// Key attributes of a DynamoDB table.
    keys: Vec<String>,
}

impl PayloadSource {
    /// Reads `--as` and `--key`. The error says what is wrong with them.
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
            return Err(format!("--as does not take sources of {service}; write {examples}"));
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
                let what = "--as with a DynamoDB table needs its key attributes: --key pk,sk";
                return Err(what.to_owned());
            }
            // Routes name the stream of a table.
            Kind::DynamoDb if parsed.table_and_label().is_none() => {
                let stream = format!("{}/stream/export", parsed.as_str());
                stream.parse().map_err(|_why| "--as: this is not the ARN of a table".to_owned())?
            }
            Kind::Kinesis | Kind::Sqs if !keys.is_empty() => {
                let what = "--key is for the items of a DynamoDB table: remove it";
                return Err(what.to_owned());
            }
            Kind::DynamoDb | Kind::Kinesis | Kind::Sqs => parsed,
        };
        Ok(Self { arn, kind, keys: keys.to_vec() })
    }

    /// Returns an export whose keys do not matter.
    pub(super) fn of_any_export(arn: &str) -> Result<Self, String> {
        Ok(Self { keys: Vec::new(), ..Self::new(arn, &["any".to_owned()])? })
    }

    /// Returns true if the payloads are items of a table's export.
    pub(super) fn is_export(&self) -> bool {
        match self.kind {
            Kind::DynamoDb => true,
            Kind::Kinesis | Kind::Sqs => false,
        }
    }

    /// Returns the JSON texts of the records in a file's text. A line that is not a payload of the
    /// source costs only itself.
    pub(super) fn records(
        &self,
        path: &Path,
        text: &[u8],
        troubles: &mut Vec<Trouble>,
    ) -> Vec<String> {
        let name = identifying_path(path);
        let export = self.is_export().then(|| Export::of(path, &name));
        let mut counts: HashMap<&[u8], u64> = HashMap::new();
        let mut records = Vec::new();
        for (number, line) in split(text) {
            let location = number.map_or_else(
                || path.display().to_string(),
                |number| format!("{}:{number}", path.display()),
            );
            let count = counts.entry(line).or_default();
            let hash = identity(&name, line, *count);
            *count += 1;
            let record = match &export {
                Some(export) => self.item(export, line),
                None => self.record(&hash, line, &location),
            };
            match record {
                Ok(record) => records.push(record),
                Err(what) => troubles.push(Trouble::new(location, what, FIX_AND_REPLAY)),
            }
        }
        records
    }

    /// Makes a record of a line. It names the location of the line, so that it can be found from
    /// quarantine.
    fn record(&self, hash: &[u8; 32], line: &[u8], location: &str) -> Result<String, String> {
        match self.kind {
            Kind::DynamoDb => Err("the lines of an export are items".to_owned()),
            Kind::Kinesis => Ok(self.stream_record(hash, line, location)),
            Kind::Sqs => self.message(hash, line, location),
        }
    }

    fn stream_record(&self, hash: &[u8; 32], line: &[u8], location: &str) -> String {
        let (arn, location) = (quoted(self.arn.as_str()), quoted(location));
        let number = u128::from_be_bytes(first_half(hash));
        let data = BASE64.encode(line);
        format!(
            r#"{{"eventID":"shardId-000000000000:{number}","eventSource":"aws:kinesis","eventSourceARN":{arn},"replayedFrom":{location},"kinesis":{{"sequenceNumber":"{number}","data":"{data}"}}}}"#
        )
    }

    fn message(&self, hash: &[u8; 32], line: &[u8], location: &str) -> Result<String, String> {
        let (arn, location) = (quoted(self.arn.as_str()), quoted(location));
        let number = u128::from_be_bytes(first_half(hash));
        let id = uuid::Builder::from_bytes(first_half(hash)).into_uuid();
        let body = std::str::from_utf8(line)
            .map_err(|_why| "it is not UTF-8, and SQS accepts only UTF-8".to_owned())?;
        let body = quoted(body);
        let attributes = if self.arn.is_fifo() {
            format!(r#"{{"MessageGroupId":"replay","SequenceNumber":"{number}"}}"#)
        } else {
            "{}".to_owned()
        };
        Ok(format!(
            r#"{{"messageId":"{id}","body":{body},"attributes":{attributes},"messageAttributes":{{}},"eventSource":"aws:sqs","eventSourceARN":{arn},"replayedFrom":{location}}}"#
        ))
    }

    /// Makes a record of an export's line, as if the table's stream delivered a read of the item.
    fn item(&self, export: &Export, line: &[u8]) -> Result<String, String> {
        let members = json::members(line)
            .map_err(|why| format!("it is not a JSON object ({why}), as lines of an export are"))?;
        let item = members.iter().find(|(name, _)| name == "Item").map(|(_, it)| *it);
        let item = item.ok_or_else(|| match members.iter().any(|(name, _)| name == "Items") {
            true => "it is the response of a scan; jq -c '.Items[] | {Item: .}' makes lines of it",
            false => "it has no `Item`, which every line of an export has",
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

    /// Returns the key attributes of an item as they stand in it, sorted by name.
    fn keys_of(&self, item: &[u8]) -> Result<String, String> {
        let members = json::members(item)
            .map_err(|why| format!("its `Item` is not a JSON object ({why})"))?;
        let mut names: Vec<&String> = self.keys.iter().collect();
        names.sort();
        let each = names.into_iter().map(|name| {
            let found = members.iter().find(|(it, _)| it == name);
            let (_, value) = found
                .ok_or_else(|| format!("its item has no attribute `{name}`, which --key names"))?;
            Ok(format!("{}:{}", quoted(name), String::from_utf8_lossy(value).trim()))
        });
        Ok(format!("{{{}}}", each.collect::<Result<Vec<_>, String>>()?.join(",")))
    }
}

/// Returns the path by which a file is identified: of `./a//b.jsonl.gz` it is `a/b.jsonl`.
fn identifying_path(path: &Path) -> String {
    let parts = path.components().filter(|it| !matches!(it, Component::CurDir));
    let name = parts.map(|it| it.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let packed = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    packed.map(str::to_owned).unwrap_or(name)
}

/// Splits a text into payloads: one JSON object, the items of a list, or one a line. A payload of
/// several lines comes with its line, from 1.
pub(super) fn split(text: &[u8]) -> Vec<(Option<usize>, &[u8])> {
    let whole = text.trim_ascii();
    if whole.starts_with(b"[")
        && let Ok(items) = json::items(whole)
    {
        return items.into_iter().map(|it| (None, it)).collect();
    }
    if matches!(json::parse(whole), Ok(Json::Object(_))) {
        return vec![(None, whole)];
    }
    let lines = (1..).zip(text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii));
    lines.filter(|(_, it)| !it.is_empty()).map(|(number, it)| (Some(number), it)).collect()
}

/// Hashes a line with its file, and with the number of equal lines before it.
fn identity(file: &str, line: &[u8], equal_before: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(file.as_bytes());
    hash.update([0]);
    hash.update(equal_before.to_be_bytes());
    hash.update(line);
    hash.finalize().into()
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::write_string(text, &mut out);
    out
}
