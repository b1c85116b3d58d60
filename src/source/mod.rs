//! Events of Lambda's event source mappings, taken apart record by record.
//!
//! The typed batch structs of the event crates turn one bad record into a failed batch, so an
//! event is split into raw records first and each is decoded alone.

use std::borrow::Cow;

use crate::arn::Arn;
use crate::json::{self, Json, JsonError};
use crate::record::{Content, Delivery, Origin, Part, Raw, Receipt, Record, Reject};

mod alone;
mod archive;
mod attribute;
mod dynamodb;
mod envelope;
mod kinesis;
mod kpl;
mod pieces;
mod sqs;

pub use alone::Carrier;

use archive::Budget;

/// Member of a message that [`Carrier`] writes: how many notifications are around its record.
const WRAPPERS: &str = "lakewardWrappers";

/// Digits that positions are padded to, so that they compare as text.
const POSITION_DIGITS: usize = 60;

/// How Lambda delivers a source's records again; decides how an answer is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// SQS standard: each reported message.
    EachFailure,
    /// SQS FIFO: the reported messages; they must be the rest of their group.
    RestOfGroup,
    /// Kinesis, DynamoDB streams: everything from the first reported record on.
    FromFirstFailure,
}

/// What messages of a queue are wrapped in; `unwrap` of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unwrap {
    /// The body is the record.
    #[default]
    None,
    /// An SNS notification, unless the subscription delivers raw messages.
    Sns,
    /// An EventBridge event, whose `detail` is the record.
    EventBridge,
    /// Whichever of these it is, also one in the other, or an S3 notification.
    Auto,
}

/// An event, taken apart.
#[derive(Debug)]
pub struct Event<'a> {
    /// How its records come again.
    pub redelivery: Redelivery,
    /// `state` of a tumbling window as JSON text, to be answered unchanged (`{}` when the event
    /// has a `window` but no state); `None` outside windows.
    pub window_state: Option<&'a [u8]>,
    /// One for each record, in order.
    pub deliveries: Vec<Delivery<'a>>,
}

/// Why an event can't be taken apart at all: the whole invocation fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event is no JSON object with `Records`.
    #[error(
        "{0}: Lakeward takes the events of event source mappings of DynamoDB streams, Kinesis and \
         SQS, which have a list of Records"
    )]
    NotAnEvent(String),
    /// Records of sources that Lakeward does not serve, or of several at once.
    #[error("{0}")]
    Source(String),
}

/// The sources Lakeward serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    DynamoDb,
    Kinesis,
    Sqs,
}

impl Kind {
    fn of_service(service: &str) -> Option<Self> {
        match service {
            "dynamodb" => Some(Kind::DynamoDb),
            "kinesis" => Some(Kind::Kinesis),
            "sqs" => Some(Kind::Sqs),
            _ => None,
        }
    }
}

/// Takes an event apart, `unwrap` saying what messages of a queue are wrapped in. An event without
/// records is fine.
///
/// # Errors
/// When it is no event of an event source mapping, or of a source that is not served.
pub fn read(event: &[u8], unwrap: impl Fn(&Arn) -> Unwrap) -> Result<Event<'_>, EventError> {
    let not_an_event = |what: &str| EventError::NotAnEvent(what.to_owned());
    let members = json::members(event).map_err(|error| {
        EventError::NotAnEvent(format!("the event is not a JSON object ({error})"))
    })?;
    let member = |name: &'static str| {
        let mut found = members.iter().filter(|(it, _)| it == name).map(|(_, value)| *value);
        let value = found.next();
        // To choose one of two lists is to lose the other.
        if found.next().is_some() {
            return Err(EventError::NotAnEvent(format!("the event has {name} twice")));
        }
        Ok(value)
    };
    let records = member("Records")?.ok_or_else(|| not_an_event("the event has no Records"))?;
    let records =
        json::items(records).map_err(|_why| not_an_event("the event's Records is no list"))?;
    let in_window = member("window")?.is_some_and(|it| it != b"null");
    let state = member("state")?;
    let window_state = in_window.then(|| state.unwrap_or(b"{}"));

    let mut redelivery = Redelivery::FromFirstFailure;
    let mut deliveries = Vec::with_capacity(records.len());
    if !records.is_empty() {
        let senders: Vec<Sender> = records.iter().map(|record| Sender::of(record)).collect();
        let (kind, common) = common_sender(&senders)?;
        redelivery = match kind {
            Kind::DynamoDb | Kind::Kinesis => Redelivery::FromFirstFailure,
            Kind::Sqs if common.is_fifo() => Redelivery::RestOfGroup,
            Kind::Sqs => Redelivery::EachFailure,
        };
        let mut budget = Budget::of_an_event();
        for (raw, sender) in records.into_iter().zip(senders) {
            budget.next_record();
            let unknown = sender.problem;
            let arn = sender.arn.unwrap_or_else(|| common.clone());
            let mut delivery = match kind {
                Kind::DynamoDb => dynamodb::delivery(raw, arn),
                Kind::Kinesis => kinesis::delivery(raw, arn, &mut budget),
                Kind::Sqs => sqs::delivery(raw, arn, &unwrap, &mut budget),
            };
            // What comes after a record that comes again comes again with it.
            let behind =
                matches!(deliveries.last(), Some(Delivery { content: Content::Deferred, .. }));
            if behind && redelivery == Redelivery::FromFirstFailure {
                delivery.content = Content::Deferred;
            }
            if let (Some(problem), Content::Parts(parts)) = (unknown, &mut delivery.content) {
                for part in parts.iter_mut().filter(|it| it.record.is_ok()) {
                    part.record = Err(malformed(problem));
                }
            }
            deliveries.push(delivery);
        }
    }
    Ok(Event { redelivery, window_state, deliveries })
}

/// Who sent a record, as far as the record says.
struct Sender {
    kind: Option<Kind>,
    /// The `eventSource`, when it is not one of ours.
    stranger: Option<String>,
    arn: Option<Arn>,
    problem: Option<&'static str>,
}

impl Sender {
    fn of(record: &[u8]) -> Self {
        let members = json::members(record).unwrap_or_default();
        let text = |name: &str| {
            let values = members.iter().filter(|(it, _)| it == name).map(|(_, value)| *value);
            let mut texts = values.filter_map(|value| match json::parse(value) {
                Ok(Json::String(it)) if !it.is_empty() => Some(it.into_owned()),
                _ => None,
            });
            texts.next()
        };
        let named = text("eventSource");
        let service = named.as_deref().map(|it| it.strip_prefix("aws:").unwrap_or(it));
        let kind = service.and_then(Kind::of_service);
        let arn = text("eventSourceARN").and_then(|it| it.parse::<Arn>().ok());
        let of_arn = arn.as_ref().and_then(|it| Kind::of_service(it.service()));
        let stranger = named.filter(|_| kind.is_none());
        match (kind, of_arn) {
            (Some(kind), Some(of_arn)) if kind != of_arn => Self {
                kind: Some(kind),
                stranger,
                arn: None,
                problem: Some("its eventSource and its eventSourceARN disagree"),
            },
            (_, None) => Self {
                kind,
                stranger,
                arn: None,
                problem: Some("its eventSourceARN is missing or no ARN of a source"),
            },
            (_, Some(of_arn)) => Self { kind: kind.or(Some(of_arn)), stranger, arn, problem: None },
        }
    }
}

/// The one kind of source that an event is of, and an ARN for records that do not name theirs.
fn common_sender(senders: &[Sender]) -> Result<(Kind, Arn), EventError> {
    let fail = |text: String| Err(EventError::Source(text));
    if let Some(stranger) = senders.iter().find_map(|it| it.stranger.as_deref()) {
        return fail(format!(
            "records of {} are not served: Lakeward takes those of aws:dynamodb, aws:kinesis and \
             aws:sqs",
            printable(stranger)
        ));
    }
    let mut kinds = senders.iter().filter_map(|it| it.kind);
    let Some(kind) = kinds.next() else {
        return fail("no record of the event names its eventSource and eventSourceARN".to_owned());
    };
    if kinds.any(|it| it != kind) {
        return fail(
            "the event mixes records of several sources, which no event source mapping does; \
             send each source's records by themselves"
                .to_owned(),
        );
    }
    let mut arns = senders.iter().filter_map(|it| it.arn.as_ref());
    let Some(arn) = arns.next() else {
        return fail("no record of the event has an eventSourceARN that is an ARN".to_owned());
    };
    if arns.any(|it| it.is_fifo() != arn.is_fifo()) {
        return fail(
            "the event mixes messages of standard and FIFO queues; send each queue's by themselves"
                .to_owned(),
        );
    }
    Ok((kind, arn.clone()))
}

/// A short name as it is; anything else could be payload.
fn printable(name: &str) -> &str {
    let harmless = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b':' | b'-' | b'_' | b'.');
    if name.len() <= 64 && name.bytes().all(harmless) { name } else { "an unknown eventSource" }
}

// What the sources share.

type Object<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

fn malformed(detail: impl Into<String>) -> Reject {
    Reject::new("malformed_record", detail)
}

/// A record's JSON object, or why there is none.
fn object(raw: &[u8]) -> Result<Object<'_>, Reject> {
    match json::parse(raw) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(malformed("the record is no JSON object")),
        Err(error) if error.is_too_deep() => Err(too_deep("the record", error)),
        Err(error) => Err(malformed(format!("the record can't be read: {error}"))),
    }
}

fn too_deep(what: &str, error: JsonError) -> Reject {
    Reject::new("too_deep", format!("{what} is {error}"))
}

fn get<'a, 'j>(object: &'a Object<'j>, name: &str) -> Option<&'a Json<'j>> {
    object.iter().find(|(it, _)| it == name).map(|(_, value)| value)
}

/// Takes a member out; `null` counts as absent.
fn take<'j>(object: &mut Object<'j>, name: &str) -> Option<Json<'j>> {
    let (_, value) = object.iter_mut().find(|(it, _)| it == name)?;
    Some(std::mem::replace(value, Json::Null)).filter(|it| *it != Json::Null)
}

fn take_object<'j>(object: &mut Object<'j>, name: &str) -> Option<Object<'j>> {
    match take(object, name)? {
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// A text member that is not empty.
fn text(object: &Object<'_>, name: &str) -> Option<String> {
    match get(object, name)? {
        Json::String(it) if !it.is_empty() => Some(it.clone().into_owned()),
        _ => None,
    }
}

/// A text member, or a number's literal: some senders write numbers where AWS writes texts.
fn text_or_number<'a>(object: &'a Object<'_>, name: &str) -> Option<&'a str> {
    match get(object, name)? {
        Json::String(it) if !it.is_empty() => Some(it),
        Json::Number(it) => Some(it),
        _ => None,
    }
}

/// A sequence number: digits only.
fn sequence(object: &Object<'_>, name: &str) -> Option<String> {
    let it = text_or_number(object, name)?;
    it.bytes().all(|it| it.is_ascii_digit()).then(|| it.to_owned())
}

/// `_lw_position` of a sequence number.
pub(crate) fn padded(number: &str) -> String {
    format!("{number:0>POSITION_DIGITS$}")
}

/// The members of a record that can't be read as a whole, as far as each can be by itself: what
/// identifies a malformed record for quarantine and for the answer.
fn salvage<'a>(raw: &'a [u8], nested: Option<&str>) -> Object<'a> {
    let members = json::members(raw).unwrap_or_default();
    let mut found: Object<'a> = Vec::new();
    for (name, value) in members {
        if Some(name.as_ref()) == nested {
            found.push((name, Json::Object(salvage(value, None))));
        } else if let Ok(value @ (Json::String(_) | Json::Number(_))) = json::parse(value) {
            found.push((name, value));
        }
    }
    found
}

/// A delivery from what a source has found out.
fn delivered(
    raw: &[u8],
    source: Arn,
    receipt: Option<String>,
    origin: Origin,
    record: Result<Record, Reject>,
) -> Delivery<'_> {
    let raw = Raw { record: raw, piece: None };
    let content = Content::Parts(vec![Part { raw, origin, record }]);
    Delivery { receipt: receipt.and_then(Receipt::new), group: None, source, content }
}

/// The origin of a piece of a record.
fn origin_of(piece: &str, whole: &Origin) -> Origin {
    Origin { id: whole.id.as_ref().map(|it| format!("{it}{piece}")), ..whole.clone() }
}

#[cfg(test)]
mod tests;
