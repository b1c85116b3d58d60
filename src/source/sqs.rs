//! SQS messages: JSON objects as bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::arn::Arn;
use crate::json::Json;
use crate::number::Number;
use crate::record::{Delivery, Op, Origin, Payload, Record, Reject};
use crate::source::{
    Object, Unwrap, delivered, get, malformed, object, padded, payload, salvage, sequence, take,
    take_object, text, text_or_number,
};
use crate::time::{TimeUnit, Timestamp};
use crate::value::{Fields, Value};

/// The delivery of one message.
pub(super) fn delivery<'a>(
    raw: &'a [u8],
    queue: Arn,
    _unwrap: &impl Fn(&Arn) -> Unwrap,
) -> Delivery<'a> {
    let (mut members, broken) = match object(raw) {
        Ok(members) => (members, None),
        Err(reject) => (salvage(raw, Some("attributes")), Some(reject)),
    };
    let attributes = take_object(&mut members, "attributes").unwrap_or_default();
    let (born, moved) = birthplace(&attributes, &queue);
    let (source, lost) = match born {
        Ok(born) => (born, None),
        Err(reject) => (queue.clone(), Some(reject)),
    };
    let group = text(&attributes, "MessageGroupId");
    let origin = identify(&members, &attributes, &source, moved, group.as_ref());
    let record = match broken.or(lost) {
        Some(reject) => Err(reject),
        None => decode(members, &origin),
    };
    let receipt = origin.id.clone();
    let mut delivery = delivered(raw, source, receipt, origin, record);
    // What Lambda wants to hear depends on the queue that delivered.
    delivery.group = group.filter(|_| queue.is_fifo());
    delivery
}

/// The queue that a message was sent to first, and whether it has come through a DLQ since.
fn birthplace(attributes: &Object<'_>, queue: &Arn) -> (Result<Arn, Reject>, bool) {
    match get(attributes, "DeadLetterQueueSourceArn") {
        None | Some(Json::Null) => (Ok(queue.clone()), false),
        Some(Json::String(it)) => {
            let born = it.parse::<Arn>().ok().filter(|it| it.service() == "sqs");
            (born.ok_or_else(|| malformed("its DeadLetterQueueSourceArn is no queue's ARN")), true)
        }
        Some(_) => (Err(malformed("its DeadLetterQueueSourceArn is no text")), true),
    }
}

fn identify(
    members: &Object<'_>,
    attributes: &Object<'_>,
    born: &Arn,
    moved: bool,
    group: Option<&String>,
) -> Origin {
    let sent = text_or_number(attributes, "SentTimestamp");
    let position = if born.is_fifo() {
        sequence(attributes, "SequenceNumber")
    } else {
        // Without a time sent there is still one position, the same in every delivery.
        Some(sequence(attributes, "SentTimestamp").unwrap_or_default())
    };
    let sent = sent.and_then(|it| Number::parse(it).ok());
    Origin {
        id: text(members, "messageId"),
        source: born.as_str().to_owned(),
        shard: group.filter(|_| born.is_fifo()).cloned(),
        position: position.as_deref().map(padded),
        arrived_at: sent.and_then(|it| Timestamp::from_number(&it, TimeUnit::Millis)),
        moved,
    }
}

fn decode(mut members: Object<'_>, origin: &Origin) -> Result<Record, Reject> {
    if origin.id.is_none() {
        return Err(malformed("it has no messageId"));
    }
    if origin.position.is_none() {
        return Err(malformed("it is of a FIFO queue and has no SequenceNumber of digits"));
    }
    let attributes = match take(&mut members, "messageAttributes") {
        None => Fields::new(),
        Some(Json::Object(attributes)) => message_attributes(&attributes),
        Some(_) => return Err(malformed("its messageAttributes is no object")),
    };
    let Some(Json::String(body)) = get(&members, "body") else {
        return Err(malformed("it has no body"));
    };
    Ok(Record {
        key: origin.shard.clone(),
        op: Op::Event,
        deleted_by: None,
        payload: Payload::Event(payload(body.as_bytes(), "the body")?),
        attributes: Some(attributes),
        envelope: None,
    })
}

/// Message attributes by name. A type may have a label after a dot (`Number.float`). An attribute
/// without a value of its type is left out: attributes are no columns, and a route that asks for
/// this one does not match.
fn message_attributes(attributes: &Object<'_>) -> Fields {
    let each = attributes.iter().filter_map(|(name, attribute)| {
        let Json::Object(attribute) = attribute else { return None };
        let ty = text(attribute, "dataType").unwrap_or_default();
        let value = match ty.split('.').next().unwrap_or_default() {
            "String" => match get(attribute, "stringValue")? {
                Json::String(it) => Value::Text(it.clone().into_owned()),
                _ => return None,
            },
            "Number" => {
                let it = text_or_number(attribute, "stringValue")?;
                Number::parse(it).map_or_else(|_| Value::Text(it.to_owned()), Value::Number)
            }
            "Binary" => {
                let it = text(attribute, "binaryValue")?;
                Value::Binary(BASE64.decode(it.as_bytes()).ok()?)
            }
            _ => return None,
        };
        Some((name.clone().into_owned(), value))
    });
    each.collect()
}
