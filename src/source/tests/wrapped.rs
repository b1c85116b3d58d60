//! Envelopes, and records that only look like them: a record that is taken for an envelope is lost.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde_json::json;

use super::{FlatDelivery, flat, kinesis, number, one, read_with};
use crate::record::{Payload, Record};
use crate::source::{Unwrap, kpl};
use crate::value::{Value, get};

/// Returns the only record of a message with this body; `None` if there is none.
fn message(unwrap: Unwrap, body: &serde_json::Value) -> Option<FlatDelivery<'static>> {
    let event = json!({"Records": [{
        "messageId": "m", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q", "body": body.to_string(),
        "messageAttributes": {
            "float": {"dataType": "Number.float", "stringValue": "1.5"},
            "odd": {"dataType": "Number", "stringValue": "one"},
            "seal": {"dataType": "Binary", "binaryValue": "AQI="},
            "torn": {"dataType": "Binary", "binaryValue": "A"},
        },
    }]});
    let event = event.to_string().into_bytes().leak();
    let event = read_with(event, unwrap).unwrap();
    if let super::Content::Parts(parts) = &event.deliveries[0].content
        && parts.is_empty()
    {
        return None;
    }
    Some(flat(event).remove(0))
}

fn record(unwrap: Unwrap, body: &serde_json::Value) -> Record {
    message(unwrap, body).unwrap().record.unwrap()
}

/// Returns a notification of a topic.
fn notification(ty: &str, members: &serde_json::Value) -> serde_json::Value {
    let mut all = json!({"Type": ty, "TopicArn": "arn:aws:sns:eu-west-1:1:t", "MessageId": "n",
                         "Timestamp": "2026-11-23T10:00:00Z"});
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

fn names(record: &Record) -> Vec<&str> {
    let Payload::Event(fields) = &record.payload else { panic!("{record:?}") };
    fields.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn message_attributes_have_the_value_of_their_type() {
    let attributes = record(Unwrap::None, &json!({"a": 1})).attributes.unwrap();
    assert_eq!(get(&attributes, "float"), Some(&number("1.5")));
    assert_eq!(get(&attributes, "odd"), Some(&Value::Text("one".to_owned())));
    assert_eq!(get(&attributes, "seal"), Some(&Value::Binary(vec![1, 2])));
    assert_eq!(get(&attributes, "torn"), None);
}

#[test]
fn only_a_subscription_request_with_a_url_is_not_data() {
    let asks = |members| notification("SubscriptionConfirmation", &members);
    let whole = json!({"SubscribeURL": "https://x", "Token": "t"});
    let asked = message(Unwrap::Auto, &asks(whole));
    assert_eq!(asked.unwrap().record.unwrap_err().reason, "sns_control");
    let other = record(Unwrap::Auto, &asks(json!({"SubscribeURL": "https://x"})));
    assert!(names(&other).contains(&"SubscribeURL"), "{other:?}");
    let other = record(Unwrap::Auto, &asks(json!({"SubscribeUrl": 1})));
    assert!(names(&other).contains(&"SubscribeUrl"), "{other:?}");
}

#[test]
fn only_the_test_message_of_an_s3_notification_has_no_data() {
    let test = json!({"Event": "s3:TestEvent", "Service": "Amazon S3", "Time": "now",
                      "Bucket": "b", "RequestId": "r", "HostId": "h"});
    assert!(message(Unwrap::Auto, &test).is_none());
    let in_sns = notification("Notification", &json!({"Message": test.to_string()}));
    assert!(message(Unwrap::Sns, &in_sns).is_none());
    // A route that names its queue's envelope is believed.
    assert_eq!(names(&record(Unwrap::Sns, &test)).len(), 6);
    for (member, other) in [
        ("Service", json!("laundry")),
        ("Event", json!("s3:ObjectCreated:Put")),
        ("Time", json!(5)),
        ("amount", json!(300)),
    ] {
        let mut data = test.clone();
        data[member] = other;
        for unwrap in [Unwrap::Auto, Unwrap::Sns] {
            assert!(names(&record(unwrap, &data)).contains(&member), "{data}");
        }
    }
    for member in ["Service", "Event", "Time", "Bucket", "RequestId", "HostId"] {
        let mut data = test.clone();
        data.as_object_mut().unwrap().remove(member);
        assert_eq!(names(&record(Unwrap::Auto, &data)).len(), 5, "{data}");
    }
}

#[test]
fn only_an_object_with_all_members_of_an_eventbridge_event_is_one() {
    let all = json!({"detail-type": "t", "source": "s", "detail": {"a": 1},
                     "about": {"b": 2}});
    assert_eq!(names(&record(Unwrap::Auto, &all)), ["a"]);
    for (member, other) in [
        ("detail-type", json!(1)),
        ("source", json!(null)),
        ("detail", json!("a")),
        ("detail", json!(null)),
    ] {
        let mut part = all.clone();
        part[member] = other;
        assert_eq!(names(&record(Unwrap::Auto, &part)).len(), 4, "{part}");
        let rejected = message(Unwrap::EventBridge, &part).unwrap().record.unwrap_err();
        assert_eq!(rejected.reason, "no_envelope", "{part}");
    }
}

#[test]
fn only_an_object_with_all_members_of_a_change_is_a_change_through_kinesis() {
    for (data, expected) in [
        (json!({"eventSource": "aws:dynamodb", "n": 1}), ["eventSource", "n"]),
        (json!({"eventSource": "aws:dynamodb", "dynamodb": 1}), ["dynamodb", "eventSource"]),
        (json!({"eventSource": "mine", "dynamodb": {}}), ["dynamodb", "eventSource"]),
    ] {
        let data =
            format!(r#""sequenceNumber":"42","data":"{}""#, super::encoded(&data.to_string()));
        let record = one(&kinesis(r#""shardId-000000000000:42""#, &data)).record.unwrap();
        let mut names = names(&record);
        names.sort_unstable();
        assert_eq!(names, expected);
    }
}

/// Returns a protobuf field: its number with its wire type, and its content.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag], content].concat()
}

/// Returns the content of a field of bytes.
fn sized(content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut left = content.len();
    while left > 127 {
        all.push(u8::try_from(left % 128).unwrap() | 0x80);
        left /= 128;
    }
    all.push(u8::try_from(left).unwrap());
    all.extend_from_slice(content);
    all
}

fn aggregate(message: &[u8]) -> Bytes {
    let magic = [0xF3, 0x89, 0x9A, 0xC2];
    Bytes::from([&magic[..], message, Md5::digest(message).as_slice()].concat())
}

#[test]
fn an_aggregate_is_read_with_unknown_fields_in_its_protobuf() {
    let text = "x".repeat(20_000);
    let (key, data) = (field(0x0A, &sized(text.as_bytes())), field(0x1A, &sized(text.as_bytes())));
    // Tags, and fields of later versions: 8 bytes, 4 bytes, a number of several bytes.
    let later =
        [field(0x11, &[1; 8]), field(0x15, &[2; 4]), field(0x20, &[0xFF, 0xFF, 3])].concat();
    let record = [&later[..], &field(0x08, &[0]), &data].concat();
    let all = [&later[..], &key, &field(0x1A, &sized(&record))].concat();
    let records = kpl::user_records(&aggregate(&all)).unwrap().unwrap();
    let record = records.into_iter().next().unwrap().unwrap();
    assert_eq!((record.key, record.data), (text.clone(), Bytes::from(text)));
}

#[test]
fn a_number_that_is_too_large_damages_an_aggregate() {
    let of = |number: &[u8]| kpl::user_records(&aggregate(&field(0x20, number))).unwrap().is_ok();
    let ones = [0xFF; 9];
    assert!(of(&[&ones[..], &[1]].concat()), "2^64 - 1");
    assert!(!of(&[&ones[..], &[2]].concat()), "more than 64 bits");
    assert!(!of(&[&ones[..], &[0x81, 0]].concat()), "eleven bytes");
    assert!(!of(&ones), "no end");
}
