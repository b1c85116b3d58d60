//! A record as the typed structs of `aws_lambda_events` read it, and as Lakeward reads it, both in
//! one form that can be compared.

use std::collections::BTreeMap;

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::kinesis::KinesisEventRecord;
use aws_lambda_events::sqs::{SqsMessage, SqsMessageAttribute};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::number::Number;
use lakeward::record::{Content, DeletedBy, Delivery, Part, Payload, Receipt, Record};
use lakeward::source::Kind;
use lakeward::time::Timestamp;
use lakeward::value::{Fields, Set, Value as Cell};
use serde::de::DeserializeOwned;
use serde_dynamo::AttributeValue;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Levels that `serde_json` and Lakeward read.
const MAX_DEPTH: usize = 128;

/// Rejects of a payload that is not one JSON object.
const NO_OBJECT: [&str; 7] =
    ["bad_base64", "no_json", "no_object", "no_records", "not_utf8", "s3_pointer", "too_deep"];

/// Rejects of a change in a Kinesis record whose claims can't be true: Lakeward keeps the identity of
/// the Kinesis record instead of them.
const NOT_BELIEVED: [&str; 2] = ["bad_origin", "bad_time"];

/// First bytes of archives, and of aggregates of the Kinesis Producer Library.
const PACKED: [&[u8]; 3] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xf3\x89\x9a\xc2"];

/// A member that the two readings do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// `record.new.price.N`
    pub path: String,
    /// JSON text of the typed reading.
    pub typed: String,
    /// JSON text of Lakeward's reading.
    pub own: String,
}

/// Compares the readings of a record in those members that both have.
pub(super) fn differences(typed: &Value, own: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, typed) in typed.as_object().into_iter().flatten() {
        let Some(own) = own.get(name) else { continue };
        if name == "record" && !(is_record(typed) && is_record(own)) {
            let (typed, own) = (outcome(typed), outcome(own));
            // A payload that is not an object has no record, whoever looks first.
            if typed != own && !(typed == "null" && own.starts_with("rejected")) {
                found.push(Difference { path: name.clone(), typed, own });
            }
        } else {
            descend(name, Some(typed), Some(own), &mut found);
        }
    }
    found
}

fn is_record(value: &Value) -> bool {
    value.is_object() && value.get("rejected").is_none()
}

fn outcome(record: &Value) -> String {
    match record.get("rejected").and_then(Value::as_str) {
        Some(reason) => format!("rejected: {reason}"),
        None if record.is_null() => "null".to_owned(),
        None => "read".to_owned(),
    }
}

fn descend(path: &str, typed: Option<&Value>, own: Option<&Value>, found: &mut Vec<Difference>) {
    match (typed, own) {
        (Some(Value::Object(typed)), Some(Value::Object(own))) => {
            let mut names: Vec<&String> = typed.keys().chain(own.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                descend(&format!("{path}.{name}"), typed.get(name), own.get(name), found);
            }
        }
        (Some(Value::Array(typed)), Some(Value::Array(own))) if typed.len() == own.len() => {
            for (at, (typed, own)) in typed.iter().zip(own).enumerate() {
                descend(&format!("{path}.{at}"), Some(typed), Some(own), found);
            }
        }
        (typed, own) if typed == own => {}
        (typed, own) => {
            let text = |it: Option<&Value>| it.map_or("absent".to_owned(), Value::to_string);
            found.push(Difference { path: path.to_owned(), typed: text(typed), own: text(own) });
        }
    }
}

/// Reads a record by Lakeward. A record that was taken apart has only what all its parts share.
pub(super) fn own(delivery: &Delivery<'_>) -> Value {
    let receipt = delivery.receipt.as_ref().map(Receipt::as_str);
    let mut view = json!({"receipt": receipt, "group": delivery.group});
    let Content::Parts(parts) = &delivery.content else { return view };
    match &parts[..] {
        [Part { record: Err(reject), .. }] if NOT_BELIEVED.contains(&reject.reason) => {}
        [Part { raw, origin, record }] if raw.piece.is_none() => {
            view["id"] = json!(origin.id);
            view["source"] = json!(origin.source);
            view["shard"] = json!(origin.shard);
            view["position"] = json!(origin.position);
            view["arrived_at"] = json!(origin.arrived_at.map(Timestamp::micros));
            view["moved"] = json!(origin.moved);
            let record = match record {
                Ok(record) => own_record(record),
                Err(reject) if NO_OBJECT.contains(&reject.reason) => Value::Null,
                Err(reject) => json!({"rejected": reject.reason}),
            };
            view["record"] = record;
        }
        parts => {
            let id = parts.iter().find_map(|it| {
                let sub = &it.raw.piece.as_ref()?.sub;
                it.origin.id.as_deref()?.strip_suffix(sub.as_str())
            });
            if let Some(id) = id {
                view["id"] = json!(id);
            }
            view["record"] = Value::Null;
        }
    }
    view
}

fn own_record(record: &Record) -> Value {
    match &record.payload {
        Payload::Event(fields) => json!({
            "key": record.key,
            "data": {"M": own_fields(fields)},
            "attributes": record.attributes.as_ref().map(|it| own_fields(it)),
        }),
        Payload::Change { keys, new, old } => json!({
            "op": record.op.as_str(),
            "deleted_by": record.deleted_by.map(DeletedBy::as_str),
            "keys": own_fields(keys),
            "new": new.as_ref().map(own_fields),
            "old": old.as_ref().map(own_fields),
        }),
    }
}

fn own_fields(fields: &Fields) -> Value {
    fields.iter().map(|(name, it)| (name.clone(), own_value(it))).collect()
}

fn own_value(value: &Cell) -> Value {
    let literals = |it: &[Number]| json!(it.iter().map(Number::literal).collect::<Vec<_>>());
    match value {
        Cell::Null => json!({"NULL": true}),
        Cell::Bool(it) => json!({"BOOL": it}),
        Cell::Number(it) => json!({"N": it.literal()}),
        Cell::Text(it) => json!({"S": it}),
        Cell::Binary(it) => json!({"B": BASE64.encode(it)}),
        Cell::Set(Set::Text(it)) => json!({"SS": it}),
        Cell::Set(Set::Number(it)) => json!({"NS": literals(it)}),
        Cell::Set(Set::Binary(it)) => json!({"BS": all_base64(it)}),
        Cell::List(it) => json!({"L": it.iter().map(own_value).collect::<Vec<_>>()}),
        Cell::Map(it) => json!({"M": own_fields(it)}),
    }
}

fn all_base64(items: &[Vec<u8>]) -> Vec<String> {
    items.iter().map(|it| BASE64.encode(it)).collect()
}

/// Reads a record by the typed struct of its source.
///
/// # Errors
/// If the struct can't be made of it: the text of the error, without the place.
pub(super) fn typed(kind: Kind, record: &[u8]) -> Result<Value, String> {
    match kind {
        Kind::DynamoDb => {
            let record: EventRecord = parse(record)?;
            let number = filled(record.change.sequence_number.as_deref());
            let arn = record.event_source_arn.clone().unwrap_or_default();
            let (table, label) = arn.split_once("/stream/").unwrap_or((&arn, ""));
            let mut view = typed_change(record);
            view["receipt"] = json!(number);
            view["position"] = json!(number.as_deref().map(padded));
            view["source"] = json!(table);
            view["shard"] = json!(filled(Some(label)));
            Ok(view)
        }
        Kind::Kinesis => typed_kinesis(parse(record)?),
        Kind::Sqs => Ok(typed_message(&parse(record)?)),
    }
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| {
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or_default().to_owned()
    })
}

/// Returns a text that is not empty: the structs have an empty one where there is none.
fn filled(text: Option<&str>) -> Option<String> {
    text.filter(|it| !it.is_empty()).map(str::to_owned)
}

fn padded(number: &str) -> String {
    format!("{number:0>60}")
}

/// Returns what a change says, whichever way it came.
fn typed_change(record: EventRecord) -> Value {
    let op = match record.event_name.as_str() {
        "INSERT" => "insert",
        "MODIFY" => "update",
        "REMOVE" => "delete",
        name => name,
    };
    let is_ttl = record
        .user_identity
        .is_some_and(|it| it.type_ == "Service" && it.principal_id == "dynamodb.amazonaws.com");
    json!({
        "id": filled(Some(&record.event_id)),
        "arrived_at": record.change.approximate_creation_date_time.timestamp_micros(),
        "record": {
            "op": op,
            "deleted_by": (op == "delete").then_some(if is_ttl { "ttl" } else { "user" }),
            "keys": typed_item(record.change.keys),
            "new": typed_item(record.change.new_image),
            "old": typed_item(record.change.old_image),
        },
    })
}

/// Returns the attributes of an item without those of replication, which are not the table's.
fn typed_item(item: serde_dynamo::Item) -> Value {
    let own = item.into_inner().into_iter().filter(|(name, _)| !name.starts_with("aws:rep:"));
    own.map(|(name, it)| (name, typed_value(it))).collect()
}

fn typed_value(value: AttributeValue) -> Value {
    match value {
        // `{"NULL":false}` is legal, and means the same.
        AttributeValue::Null(_) => json!({"NULL": true}),
        AttributeValue::Bool(it) => json!({"BOOL": it}),
        AttributeValue::N(it) => json!({"N": it}),
        AttributeValue::S(it) => json!({"S": it}),
        AttributeValue::B(it) => json!({"B": BASE64.encode(it)}),
        AttributeValue::Ss(it) => json!({"SS": it}),
        AttributeValue::Ns(it) => json!({"NS": it}),
        AttributeValue::Bs(it) => json!({"BS": all_base64(&it)}),
        AttributeValue::L(it) => json!({"L": it.into_iter().map(typed_value).collect::<Vec<_>>()}),
        AttributeValue::M(it) => {
            let members = it.into_iter().map(|(name, it)| (name, typed_value(it)));
            json!({"M": members.collect::<Value>()})
        }
    }
}

fn typed_kinesis(record: KinesisEventRecord) -> Result<Value, String> {
    let (kinesis, arn) = (record.kinesis, record.event_source_arn.unwrap_or_default());
    let number = filled(Some(&kinesis.sequence_number));
    let id = filled(record.event_id.as_deref());
    let shard = id.as_deref().and_then(|it| it.split_once(':')).map(|(shard, _)| shard);
    let data = &kinesis.data.0;
    let object = json_object(data);
    let text = |name: &str| Some(object.as_ref()?["M"].get(name)?["S"].as_str()?.to_owned());
    if text("eventSource").as_deref() == Some("aws:dynamodb") {
        let change: EventRecord = parse(data)?;
        let parts: Vec<&str> = arn.split(':').collect();
        let (partition, account) = (parts[1], parts[4]);
        let (region, table) = (&change.aws_region, change.table_name.as_deref());
        let table = table.unwrap_or_default();
        let prefix = format!("arn:{partition}:dynamodb:{region}:{account}:table/");
        let source = match change.event_source_arn.as_deref().filter(|it| !it.is_empty()) {
            // A stream record that a function forwarded.
            Some(stream) => stream.split("/stream/").next().unwrap_or_default().to_owned(),
            None => format!("{prefix}{}", table.strip_prefix(&prefix).unwrap_or(table)),
        };
        let mut view = typed_change(change);
        view["receipt"] = json!(number);
        view["source"] = json!(source);
        return Ok(view);
    }
    let mut view = json!({
        "id": id,
        "receipt": number,
        "position": number.as_deref().map(padded),
        // A consumer with enhanced fan-out counts as its stream.
        "source": arn.split("/consumer/").next(),
        "shard": shard,
        "arrived_at": kinesis.approximate_arrival_timestamp.timestamp_micros(),
    });
    if !PACKED.iter().any(|it| data.starts_with(it)) {
        let key = filled(Some(&kinesis.partition_key));
        view["record"] = object.map_or(
            Value::Null,
            |data| json!({"key": key, "data": data, "attributes": Value::Null}),
        );
    }
    Ok(view)
}

fn typed_message(message: &SqsMessage) -> Value {
    let attribute = |name: &str| filled(message.attributes.get(name).map(String::as_str));
    let queue = message.event_source_arn.clone().unwrap_or_default();
    let first = message.attributes.get("DeadLetterQueueSourceArn");
    let source = first.unwrap_or(&queue);
    let is_fifo = source.ends_with(".fifo");
    let group = attribute("MessageGroupId");
    let shard = group.clone().filter(|_| is_fifo);
    let sent = attribute("SentTimestamp");
    let number = if is_fifo { attribute("SequenceNumber") } else { sent.clone() };
    let number = number.filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    // Without a time sent there is still one position.
    let position = number.or((!is_fifo).then(String::new));
    let sent: Option<i64> = sent.and_then(|it| it.parse().ok());
    let id = filled(message.message_id.as_deref());
    let mut view = json!({
        "id": id,
        "receipt": id,
        "group": group.filter(|_| queue.ends_with(".fifo")),
        "source": source,
        "shard": shard,
        "position": position.as_deref().map(padded),
        "arrived_at": sent.map(|it| it * 1000),
        "moved": first.is_some(),
    });
    let body = message.body.clone().unwrap_or_default();
    let decoded = BASE64.decode(body.trim()).unwrap_or_default();
    if !PACKED.iter().any(|it| decoded.starts_with(it)) {
        let attributes = message.message_attributes.iter();
        let attributes: Value = attributes
            .filter_map(|(name, it)| Some((name.clone(), typed_attribute(it)?)))
            .collect();
        view["record"] = json_object(body.as_bytes()).map_or(
            Value::Null,
            |data| json!({"key": shard, "data": data, "attributes": attributes}),
        );
    }
    view
}

/// Returns a message attribute; `None` without a value of its type.
fn typed_attribute(attribute: &SqsMessageAttribute) -> Option<Value> {
    let text = attribute.string_value.as_ref();
    match attribute.data_type.as_deref()?.split('.').next()? {
        "String" => text.map(|it| json!({"S": it})),
        "Number" => text.map(|it| json!({"N": it})),
        "Binary" => attribute.binary_value.as_ref().map(|it| json!({"B": BASE64.encode(&it.0)})),
        _ => None,
    }
}

/// Reads a JSON object by `serde_json`, numbers as their literals: the structs leave payloads to
/// whoever uses them.
fn json_object(text: &[u8]) -> Option<Value> {
    let text: &RawValue = serde_json::from_slice(text).ok()?;
    json_value(text, 0).filter(|it| it.get("M").is_some())
}

fn json_value(text: &RawValue, depth: usize) -> Option<Value> {
    let (text, depth) = (text.get(), depth + 1);
    Some(match text.as_bytes().first()? {
        b'{' if depth <= MAX_DEPTH => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let members =
                members.into_iter().map(|(name, it)| Some((name, json_value(it, depth)?)));
            json!({"M": members.collect::<Option<Value>>()?})
        }
        b'[' if depth <= MAX_DEPTH => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items = items.into_iter().map(|it| json_value(it, depth));
            json!({"L": items.collect::<Option<Vec<_>>>()?})
        }
        b'{' | b'[' => return None,
        b'"' => json!({"S": serde_json::from_str::<String>(text).ok()?}),
        b't' | b'f' => json!({"BOOL": text == "true"}),
        b'n' => json!({"NULL": true}),
        _ => json!({"N": text}),
    })
}
