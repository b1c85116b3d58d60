//! What messages of a queue are wrapped in: SNS notifications, EventBridge events, notifications
//! of S3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::arn::Arn;
use crate::json::{self, Json};
use crate::number::Number;
use crate::record::Reject;
use crate::source::archive::{Budget, Packed};
use crate::source::members::{Object, get};
use crate::value::{self, Fields, Value};

/// Most wrappers around one another that are opened.
const MOST: usize = 3;

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

/// A body without what it was wrapped in.
#[derive(Debug)]
pub(super) struct Opened {
    pub payload: Payload,
    /// The wrappers' fields; of two of the same name the inner one.
    pub envelope: Option<Fields>,
    /// Message attributes of the notifications.
    pub attributes: Fields,
    /// The notifications, outermost first.
    pub wrappers: Vec<Bytes>,
}

/// What was wrapped.
#[derive(Debug)]
pub(super) enum Payload {
    /// A text that is yet to be read.
    Text(Bytes),
    /// A record.
    Fields(Fields),
    /// Records of an S3 notification.
    Records(Vec<Bytes>),
    /// Nothing: the test message of an S3 notification.
    Nothing,
}

/// Opens a body as far as `unwrap` says, and `most` notifications around one another at most.
pub(super) fn open(
    body: Bytes,
    unwrap: Unwrap,
    most: usize,
    budget: &mut Budget,
) -> Result<Opened, Packed> {
    let mut opened = Opened {
        payload: Payload::Nothing,
        envelope: None,
        attributes: Fields::new(),
        wrappers: Vec::new(),
    };
    let mut text = body;
    loop {
        match budget.unpack_text(&text)? {
            Some(unpacked) => text = unpacked.into(),
            None => budget.hold(&text)?,
        }
        let all = opened.wrappers.len() >= most && unwrap != Unwrap::EventBridge;
        let unwrap = if all { Unwrap::None } else { unwrap };
        match inner(&text, unwrap, &mut opened).map_err(Packed::Bad)? {
            Inner::Text(message) => {
                opened.wrappers.push(text);
                text = message;
            }
            Inner::Payload(payload) => {
                if let Payload::Records(records) = &payload {
                    budget.count(records.len())?;
                }
                opened.payload = payload;
                return Ok(opened);
            }
            Inner::Bare => {
                opened.payload = Payload::Text(text);
                return Ok(opened);
            }
        }
    }
}

/// What a text is, seen from outside.
enum Inner {
    /// A notification of this message.
    Text(Bytes),
    /// The wrapper of this.
    Payload(Payload),
    /// No wrapper.
    Bare,
}

fn inner(text: &Bytes, unwrap: Unwrap, opened: &mut Opened) -> Result<Inner, Reject> {
    let depth = opened.wrappers.len();
    let (sns, bus) = match unwrap {
        Unwrap::None => return Ok(Inner::Bare),
        // One notification; what it carries is the record.
        Unwrap::Sns => (depth == 0, false),
        Unwrap::EventBridge => (false, true),
        Unwrap::Auto => (depth < MOST, true),
    };
    let no_envelope = || {
        let detail = "it is no event of EventBridge: it has no detail-type, source and detail";
        Err(Reject::new("no_envelope", detail))
    };
    let Ok(Json::Object(members)) = json::parse(text) else {
        return if unwrap == Unwrap::EventBridge { no_envelope() } else { Ok(Inner::Bare) };
    };
    let text_of = |name: &str| match get(&members, name) {
        Some(Json::String(it)) => Some(it.as_ref()),
        _ => None,
    };
    let topic = text_of("TopicArn").and_then(|it| it.parse::<Arn>().ok());
    let from_sns = topic.is_some_and(|it| it.service() == "sns")
        && text_of("MessageId").is_some()
        && text_of("Timestamp").is_some();
    if sns && from_sns {
        match (text_of("Type"), text_of("Message")) {
            (Some("Notification"), Some(message)) => {
                let message = Bytes::copy_from_slice(message.as_bytes());
                if let Some(Json::Object(attributes)) = get(&members, "MessageAttributes") {
                    merge(&mut opened.attributes, sns_attributes(attributes));
                }
                envelope(opened, members, &["Message", "MessageAttributes"]);
                return Ok(Inner::Text(message));
            }
            (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _)
                if text_of("SubscribeURL").is_some() =>
            {
                let detail = "it is no data: SNS asks whether the queue is to be subscribed. Open \
                              the SubscribeURL in it if it is";
                return Err(Reject::new("sns_control", detail));
            }
            _ => {}
        }
    }
    let is_test = text_of("Event") == Some("s3:TestEvent") && text_of("Service").is_some();
    if is_test && (unwrap == Unwrap::Auto || depth > 0) {
        return Ok(Inner::Payload(Payload::Nothing));
    }
    if bus && text_of("detail-type").is_some() && text_of("source").is_some() {
        let is_object = |it: &&(std::borrow::Cow<'_, str>, Json<'_>)| {
            it.0 == "detail" && matches!(it.1, Json::Object(_))
        };
        if let Some((_, Json::Object(detail))) = members.iter().find(is_object).cloned() {
            envelope(opened, members, &["detail"]);
            return Ok(Inner::Payload(Payload::Fields(value::fields(detail))));
        }
    }
    if unwrap == Unwrap::Auto
        && let Some(records) = s3_records(text, &members)
    {
        return Ok(Inner::Payload(Payload::Records(records)));
    }
    if unwrap == Unwrap::EventBridge { no_envelope() } else { Ok(Inner::Bare) }
}

/// Adds a wrapper's fields, all but those that are no part of the envelope.
fn envelope(opened: &mut Opened, members: Object<'_>, but: &[&str]) {
    let mut fields = value::fields(members);
    fields.retain(|(name, _)| !but.contains(&name.as_str()));
    merge(opened.envelope.get_or_insert_default(), fields);
}

fn merge(outer: &mut Fields, inner: Fields) {
    outer.retain(|(name, _)| value::get(&inner, name).is_none());
    outer.extend(inner);
}

/// `{"name":{"Type":"String","Value":"…"}}`. One that is not as its type says is left out: a route
/// that asks for it does not match.
fn sns_attributes(attributes: &Object<'_>) -> Fields {
    let each = attributes.iter().filter_map(|(name, attribute)| {
        let Json::Object(attribute) = attribute else { return None };
        let Some(Json::String(value)) = get(attribute, "Value") else { return None };
        let Some(Json::String(ty)) = get(attribute, "Type") else { return None };
        let text = || Value::Text(value.clone().into_owned());
        let value = match ty.as_ref() {
            "Number" => Number::parse(value).map_or_else(|_| text(), Value::Number),
            "Binary" => Value::Binary(BASE64.decode(value.as_bytes()).ok()?),
            "String.Array" => {
                json::parse(value.as_bytes()).map_or_else(|_| text(), Value::from_json)
            }
            _ => text(),
        };
        Some((name.clone().into_owned(), value))
    });
    each.collect()
}

/// The records of an S3 notification, each as its text.
fn s3_records(text: &Bytes, members: &Object<'_>) -> Option<Vec<Bytes>> {
    let Some(Json::Array(records)) = get(members, "Records") else { return None };
    let is_s3 = |it: &Json<'_>| match it {
        Json::Object(record) => {
            matches!(get(record, "eventSource"), Some(Json::String(it)) if it == "aws:s3")
        }
        _ => false,
    };
    if records.is_empty() || !records.iter().all(is_s3) {
        return None;
    }
    let members = json::members(text).ok()?;
    let (_, records) = members.into_iter().find(|(name, _)| name == "Records")?;
    Some(json::items(records).ok()?.into_iter().map(|it| text.slice_ref(it)).collect())
}
