//! SQS messages: JSON as bodies, also packed, wrapped, and several in one.

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
use crate::source::archive::{Budget, Packed};
use crate::source::envelope::{self, Unwrap};
use crate::source::kind::Kind;
use crate::source::members::{
    Object, WRAPPERS, get, malformed, object, origin_of, padded, salvage, sequence, take,
    take_object, text, text_or_number,
};
use crate::source::pieces;
use crate::time::{TimeUnit, Timestamp};
use crate::value::{self, Fields, Value};

/// The delivery of one message.
pub(super) fn delivery<'a>(
    raw: &'a [u8],
    queue: Arn,
    unwrap: &impl Fn(&Arn) -> Unwrap,
    budget: &mut Budget,
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
    let receipt = origin.id.clone().and_then(Receipt::new);
    let content = match broken.or(lost) {
        Some(reject) => Ok(vec![part(raw, None, &origin, Err(reject))]),
        None => parts(raw, members, &origin, unwrap(&source), budget),
    };
    Delivery {
        receipt,
        // What Lambda wants to hear depends on the queue that delivered.
        group: group.filter(|_| queue.is_fifo()),
        source,
        content: content.map_or(Content::Deferred, Content::Parts),
    }
}

/// The message must wait for a smaller batch.
struct Later;

fn part<'a>(
    raw: &'a [u8],
    piece: Option<Piece>,
    origin: &Origin,
    record: Result<Record, Reject>,
) -> Part<'a> {
    let origin = match &piece {
        Some(piece) => origin_of(&piece.sub, origin),
        None => origin.clone(),
    };
    Part { raw: Raw { record: raw, piece }, origin, record }
}

/// The records of a message.
fn parts<'a>(
    raw: &'a [u8],
    members: Object<'_>,
    origin: &Origin,
    unwrap: Unwrap,
    budget: &mut Budget,
) -> Result<Vec<Part<'a>>, Later> {
    let alone = |record| Ok(vec![part(raw, None, origin, record)]);
    let most = wrappers(&members);
    let (body, mut attributes) = match body(members, origin) {
        Ok(body) => body,
        Err(reject) => return alone(Err(reject)),
    };
    let opened = match envelope::open(body, unwrap, most, budget) {
        Ok(opened) => opened,
        Err(Packed::Later) => return Err(Later),
        Err(Packed::Bad(reject)) => return alone(Err(reject)),
    };
    attributes.retain(|(name, _)| value::get(&opened.attributes, name).is_none());
    attributes.extend(opened.attributes);
    let (attributes, envelope) = (Arc::new(attributes), opened.envelope.map(Arc::new));
    let record = |fields: Fields| Record {
        key: origin.shard.clone(),
        op: Op::Event,
        deleted_by: None,
        payload: record::Payload::Event(fields),
        attributes: Some(Arc::clone(&attributes)),
        envelope: envelope.clone(),
    };
    let wrappers: Arc<[Bytes]> = opened.wrappers.into();
    let several = |texts: Vec<Bytes>| {
        let each = texts.into_iter().enumerate().map(|(at, text)| {
            let fields = pieces::object(&text).map(|it| record(value::fields(it)));
            let wrappers = Arc::clone(&wrappers);
            let piece = Piece { sub: format!(":{at}"), text, key: None, wrappers };
            part(raw, Some(piece), origin, fields)
        });
        Ok(each.collect())
    };
    match opened.payload {
        envelope::Payload::Nothing => Ok(Vec::new()),
        envelope::Payload::Fields(fields) => alone(Ok(record(fields))),
        envelope::Payload::Records(texts) => several(texts),
        envelope::Payload::Text(text) => match pieces::read(&text, "the body", budget) {
            Ok(pieces::Payload::One(members)) => alone(Ok(record(value::fields(members)))),
            Ok(pieces::Payload::Several(texts)) => several(texts),
            Err(Packed::Later) => Err(Later),
            Err(Packed::Bad(reject)) => alone(Err(reject)),
        },
    }
}

/// How many notifications around it are opened at most: all, but of a record that
/// [`Carrier`](crate::source::Carrier) wrote only those that it was in, because what looks like one
/// in a list of records is a record.
fn wrappers(members: &Object<'_>) -> usize {
    let most = text_or_number(members, WRAPPERS).and_then(|it| it.parse().ok());
    most.unwrap_or(usize::MAX)
}

/// The queue that a message was sent to first, and whether it has come through a DLQ since.
fn birthplace(attributes: &Object<'_>, queue: &Arn) -> (Result<Arn, Reject>, bool) {
    match get(attributes, "DeadLetterQueueSourceArn") {
        None | Some(Json::Null) => (Ok(queue.clone()), false),
        Some(Json::String(it)) => {
            let born = it.parse::<Arn>().ok().filter(|it| Kind::of(it) == Some(Kind::Sqs));
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

/// The body of a message that says who it is, and its attributes.
fn body(mut members: Object<'_>, origin: &Origin) -> Result<(Bytes, Fields), Reject> {
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
    match take(&mut members, "body") {
        Some(Json::String(body)) => Ok((body.into_owned().into(), attributes)),
        _ => Err(malformed("it has no body")),
    }
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
