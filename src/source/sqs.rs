//! SQS messages. Their bodies are JSON, which may be packed, in envelopes, and several records.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::arn::Arn;
use crate::json::Json;
use crate::number::Number;
use crate::record::{
    self, Content, Delivery, Op, Origin, Part, Piece, Raw, Receipt, Record, Reject,
};
use crate::source::archive::{Budget, Deferral, UnpackError};
use crate::source::envelope::{self, Unwrap};
use crate::source::kind::Kind;
use crate::source::members::{
    Object, WRAPPERS, get, malformed, object, padded, piece_origin, salvage, sequence, take,
    take_object, text, text_or_number,
};
use crate::source::pieces::{self, Document};
use crate::time::{TimeUnit, Timestamp};
use crate::value::{self, Fields, Value};

/// Returns the delivery of a message.
pub(super) fn delivery<'a>(
    raw: &'a [u8],
    queue: Arn,
    unwrap: &impl Fn(&Arn) -> Unwrap,
    budget: &mut Budget,
) -> Delivery<'a> {
    let (mut members, unreadable) = match object(raw) {
        Ok(members) => (members, None),
        Err(reject) => (salvage(raw, Some("attributes")), Some(reject)),
    };
    let attributes = take_object(&mut members, "attributes").unwrap_or_default();
    let (source, moved) = source_queue(&attributes, &queue);
    let (source, unknown_source) = match source {
        Ok(source) => (source, None),
        Err(reject) => (queue.clone(), Some(reject)),
    };
    let group = text(&attributes, "MessageGroupId");
    let origin = identify(&members, &attributes, &source, moved, group.as_ref());
    let receipt = origin.id.clone().and_then(Receipt::new);
    let content = match unreadable.or(unknown_source) {
        Some(reject) => Ok(vec![part(raw, None, &origin, Err(reject))]),
        None => parts(raw, members, &origin, unwrap(&source), budget),
    };
    Delivery {
        receipt,
        // The answer depends on the queue that delivered the message.
        group: group.filter(|_| queue.is_fifo()),
        source,
        content: content.map_or_else(|Deferral| Content::Deferred, Content::Parts),
    }
}

fn part<'a>(
    raw: &'a [u8],
    piece: Option<Piece>,
    origin: &Origin,
    record: Result<Record, Reject>,
) -> Part<'a> {
    let origin = match &piece {
        Some(piece) => piece_origin(&piece.sub, origin),
        None => origin.clone(),
    };
    Part { raw: Raw { record: raw, piece }, origin, record }
}

/// Returns the parts of a message.
fn parts<'a>(
    raw: &'a [u8],
    members: Object<'_>,
    origin: &Origin,
    unwrap: Unwrap,
    budget: &mut Budget,
) -> Result<Vec<Part<'a>>, Deferral> {
    let single = |record| Ok(vec![part(raw, None, origin, record)]);
    let max_wrappers = max_wrappers(&members);
    let (body, mut attributes) = match body(members, origin) {
        Ok(body) => body,
        Err(reject) => return single(Err(reject)),
    };
    let unwrapped = match envelope::open(body, unwrap, max_wrappers, budget) {
        Ok(unwrapped) => unwrapped,
        Err(UnpackError::Deferred) => return Err(Deferral),
        Err(UnpackError::Rejected(reject)) => return single(Err(reject)),
    };
    attributes.retain(|(name, _)| value::get(&unwrapped.attributes, name).is_none());
    attributes.extend(unwrapped.attributes);
    let (attributes, envelope) = (Arc::new(attributes), unwrapped.envelope.map(Arc::new));
    let record = |fields: Fields| Record {
        key: origin.shard.clone(),
        op: Op::Event,
        deleted_by: None,
        payload: record::Payload::Event(fields),
        attributes: Some(Arc::clone(&attributes)),
        envelope: envelope.clone(),
    };
    let wrappers: Arc<[Bytes]> = unwrapped.wrappers.into();
    let several = |texts: Vec<Bytes>| {
        let each = texts.into_iter().enumerate().map(|(index, text)| {
            let fields = pieces::object(&text).map(|it| record(value::fields(it)));
            let wrappers = Arc::clone(&wrappers);
            let piece = Piece { sub: format!(":{index}"), text, key: None, wrappers };
            part(raw, Some(piece), origin, fields)
        });
        Ok(each.collect())
    };
    match unwrapped.payload {
        envelope::Payload::Nothing => Ok(Vec::new()),
        envelope::Payload::Fields(fields) => single(Ok(record(fields))),
        envelope::Payload::Records(texts) => several(texts),
        envelope::Payload::Text(text) => match pieces::read(&text, "the body", budget) {
            Ok(Document::Object(members)) => single(Ok(record(value::fields(members)))),
            Ok(Document::Pieces(texts)) => several(texts),
            Err(UnpackError::Deferred) => Err(Deferral),
            Err(UnpackError::Rejected(reject)) => single(Err(reject)),
        },
    }
}

/// Returns the largest number of notifications to open around a message: all, but for a record that
/// [`Carrier`](crate::source::Carrier) wrote only those that it was in. A piece that looks like a
/// notification is a record.
fn max_wrappers(members: &Object<'_>) -> usize {
    let number = text_or_number(members, WRAPPERS).and_then(|it| it.parse().ok());
    number.unwrap_or(usize::MAX)
}

/// Returns the queue that a message was first sent to, and whether it came through a DLQ since.
fn source_queue(attributes: &Object<'_>, queue: &Arn) -> (Result<Arn, Reject>, bool) {
    match get(attributes, "DeadLetterQueueSourceArn") {
        None | Some(Json::Null) => (Ok(queue.clone()), false),
        Some(Json::String(it)) => {
            let source = it.parse::<Arn>().ok().filter(|it| Kind::of(it) == Some(Kind::Sqs));
            let not_a_queue =
                || malformed("its DeadLetterQueueSourceArn is not the ARN of a queue");
            (source.ok_or_else(not_a_queue), true)
        }
        Some(_) => (Err(malformed("its DeadLetterQueueSourceArn is not a string")), true),
    }
}

fn identify(
    members: &Object<'_>,
    attributes: &Object<'_>,
    source: &Arn,
    moved: bool,
    group: Option<&String>,
) -> Origin {
    let sent = text_or_number(attributes, "SentTimestamp");
    let position = if source.is_fifo() {
        sequence(attributes, "SequenceNumber")
    } else {
        // A message without SentTimestamp has position 0, the same in every delivery.
        Some(sequence(attributes, "SentTimestamp").unwrap_or_default())
    };
    let sent = sent.and_then(|it| Number::parse(it).ok());
    Origin {
        id: text(members, "messageId"),
        source: source.as_str().to_owned(),
        shard: group.filter(|_| source.is_fifo()).cloned(),
        position: position.as_deref().map(padded),
        arrived_at: sent.and_then(|it| Timestamp::from_number(&it, TimeUnit::Millis)),
        moved,
        carrier: None,
    }
}

/// Returns the body and the message attributes of a message if it can be identified.
fn body(mut members: Object<'_>, origin: &Origin) -> Result<(Bytes, Fields), Reject> {
    if origin.id.is_none() {
        return Err(malformed("it has no messageId"));
    }
    if origin.position.is_none() {
        return Err(malformed(
            "it is of a FIFO queue, but its SequenceNumber is missing or has other characters than digits",
        ));
    }
    let attributes = match take(&mut members, "messageAttributes") {
        None => Fields::new(),
        Some(Json::Object(attributes)) => message_attributes(&attributes),
        Some(_) => return Err(malformed("its messageAttributes is not an object")),
    };
    match take(&mut members, "body") {
        Some(Json::String(body)) => Ok((body.into_owned().into(), attributes)),
        _ => Err(malformed("it has no body")),
    }
}

/// Returns the message attributes by name. A type may have a label after a dot (`Number.float`). An
/// attribute whose value does not have its type is left out: attributes are not columns, and a route
/// that asks for this one does not match.
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
