//! Envelopes of a queue's messages: SNS notifications, EventBridge events and S3 notifications.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::arn::Arn;
use crate::json::{self, Json};
use crate::number::Number;
use crate::record::Reject;
use crate::source::archive::{Budget, UnpackError};
use crate::source::members::{Object, get};
use crate::value::{self, Fields, Value};

/// The largest number of SNS notifications inside one another that `unwrap = "auto"` opens.
const MAX_NOTIFICATIONS: usize = 3;

/// The envelope of a queue's messages; `unwrap` of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unwrap {
    /// The body is the record.
    #[default]
    None,
    /// An SNS notification, unless the subscription delivers raw messages.
    Sns,
    /// An EventBridge event, whose `detail` is the record.
    EventBridge,
    /// Any of these, one inside the other, or an S3 notification.
    Auto,
}

/// A message's body without its envelopes.
#[derive(Debug)]
pub(super) struct UnwrappedBody {
    pub payload: Payload,
    /// The fields of the envelopes; of two of the same name the inner one.
    pub envelope: Option<Fields>,
    /// Message attributes of the notifications.
    pub attributes: Fields,
    /// The notifications, outermost first.
    pub wrappers: Vec<Bytes>,
}

/// The content of the innermost envelope.
#[derive(Debug)]
pub(super) enum Payload {
    /// A text that is not parsed yet.
    Text(Bytes),
    /// The fields of a record.
    Fields(Fields),
    /// Records of an S3 notification.
    Records(Vec<Bytes>),
    /// No data: the test message of an S3 notification.
    Nothing,
}

/// Opens the envelopes that `unwrap` names, and at most `max_wrappers` notifications inside one
/// another.
pub(super) fn open(
    body: Bytes,
    unwrap: Unwrap,
    max_wrappers: usize,
    budget: &mut Budget,
) -> Result<UnwrappedBody, UnpackError> {
    let mut unwrapped = UnwrappedBody {
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
        let is_innermost = unwrapped.wrappers.len() >= max_wrappers;
        let unwrap =
            if is_innermost && unwrap != Unwrap::EventBridge { Unwrap::None } else { unwrap };
        match open_one(&text, unwrap, &mut unwrapped).map_err(UnpackError::Rejected)? {
            Layer::Notification(message) => {
                unwrapped.wrappers.push(text);
                text = message;
            }
            Layer::Payload(payload) => {
                if let Payload::Records(records) = &payload {
                    budget.count(records.len())?;
                }
                unwrapped.payload = payload;
                return Ok(unwrapped);
            }
            Layer::Bare => {
                unwrapped.payload = Payload::Text(text);
                return Ok(unwrapped);
            }
        }
    }
}

/// The outermost layer of a text.
enum Layer {
    /// A notification of this message.
    Notification(Bytes),
    /// The envelope of this payload.
    Payload(Payload),
    /// No envelope.
    Bare,
}

/// Opens the outermost envelope of a text, and keeps its fields in `unwrapped`.
fn open_one(text: &Bytes, unwrap: Unwrap, unwrapped: &mut UnwrappedBody) -> Result<Layer, Reject> {
    let depth = unwrapped.wrappers.len();
    let (may_be_sns, may_be_event) = match unwrap {
        Unwrap::None => return Ok(Layer::Bare),
        // One notification, whose message is the record.
        Unwrap::Sns => (depth == 0, false),
        Unwrap::EventBridge => (false, true),
        Unwrap::Auto => (depth < MAX_NOTIFICATIONS, true),
    };
    let no_envelope = || {
        let detail =
            "it is not an EventBridge event: it does not have detail-type, source and detail";
        Err(Reject::new("no_envelope", detail))
    };
    let Ok(Json::Object(members)) = json::parse(text) else {
        return if unwrap == Unwrap::EventBridge { no_envelope() } else { Ok(Layer::Bare) };
    };
    let text_of = |name: &str| match get(&members, name) {
        Some(Json::String(it)) => Some(it.as_ref()),
        _ => None,
    };
    let topic = text_of("TopicArn").and_then(|it| it.parse::<Arn>().ok());
    let from_sns = topic.is_some_and(|it| it.service() == "sns")
        && text_of("MessageId").is_some()
        && text_of("Timestamp").is_some();
    if may_be_sns && from_sns {
        match (text_of("Type"), text_of("Message")) {
            (Some("Notification"), Some(message)) => {
                let message = Bytes::copy_from_slice(message.as_bytes());
                if let Some(Json::Object(attributes)) = get(&members, "MessageAttributes") {
                    merge(&mut unwrapped.attributes, sns_attributes(attributes));
                }
                add_envelope(unwrapped, members, &["Message", "MessageAttributes"]);
                return Ok(Layer::Notification(message));
            }
            (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _)
                if text_of("SubscribeURL").is_some() && text_of("Token").is_some() =>
            {
                let detail = "it is not data but SNS's request to confirm the queue's subscription: \
                              to confirm, open the SubscribeURL in it";
                return Err(Reject::new("sns_control", detail));
            }
            _ => {}
        }
    }
    if is_s3_test(&members) && (unwrap == Unwrap::Auto || depth > 0) {
        return Ok(Layer::Payload(Payload::Nothing));
    }
    if may_be_event && text_of("detail-type").is_some() && text_of("source").is_some() {
        let is_object = |it: &&(std::borrow::Cow<'_, str>, Json<'_>)| {
            it.0 == "detail" && matches!(it.1, Json::Object(_))
        };
        if let Some((_, Json::Object(detail))) = members.iter().find(is_object).cloned() {
            add_envelope(unwrapped, members, &["detail"]);
            return Ok(Layer::Payload(Payload::Fields(value::fields(detail))));
        }
    }
    if unwrap == Unwrap::Auto
        && let Some(records) = s3_records(text, &members)
    {
        return Ok(Layer::Payload(Payload::Records(records)));
    }
    if unwrap == Unwrap::EventBridge { no_envelope() } else { Ok(Layer::Bare) }
}

/// Returns true for the message that S3 sends when notifications to a queue are set up. It has no data,
/// so that nothing less than its whole shape proves it.
/// Source: Amazon S3 User Guide, "Event message structure".
fn is_s3_test(members: &Object<'_>) -> bool {
    let is_known = |name: &str, value: &str| match name {
        "Service" => value == "Amazon S3",
        "Event" => value == "s3:TestEvent",
        "Time" | "Bucket" | "RequestId" | "HostId" => true,
        _ => false,
    };
    // No name is there twice, so that these are all.
    members.len() == 6
        && members
            .iter()
            .all(|(name, value)| matches!(value, Json::String(it) if is_known(name, it)))
}

/// Adds an envelope's fields, all but those with the names `content`.
fn add_envelope(unwrapped: &mut UnwrappedBody, members: Object<'_>, content: &[&str]) {
    let mut fields = value::fields(members);
    fields.retain(|(name, _)| !content.contains(&name.as_str()));
    merge(unwrapped.envelope.get_or_insert_default(), fields);
}

fn merge(outer: &mut Fields, inner: Fields) {
    outer.retain(|(name, _)| value::get(&inner, name).is_none());
    outer.extend(inner);
}

/// Returns the attributes of an SNS notification, `{"name":{"Type":"String","Value":"…"}}`. One whose
/// value does not have its type is left out: a route that asks for it does not match.
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

/// Returns the records of an S3 notification, each as its text.
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
