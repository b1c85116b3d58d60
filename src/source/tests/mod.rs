//! Records of each source, whole and damaged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::arn::Arn;
use crate::record::{
    Content, DeletedBy, Delivery, Op, Origin, Part, Payload, Receipt, Record, Reject,
};
use crate::source::{Carrier, Event, EventError, Redelivery, Unwrap};
use crate::value::{Set, Value};

mod cut;
mod damage;
mod reframe;
mod wrapped;

const STREAM: &str =
    "arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/2026-01-01T00:00:00.000";

/// A delivery with the first of its parts.
#[derive(Debug)]
struct FlatDelivery<'a> {
    raw: &'a [u8],
    /// True for a whole delivered record, false for a piece.
    is_whole: bool,
    receipt: Option<Receipt>,
    group: Option<String>,
    source: Arn,
    origin: Origin,
    record: Result<Record, Reject>,
}

/// An event of which every record is decoded.
#[derive(Debug)]
struct DecodedEvent<'a> {
    redelivery: Redelivery,
    window_state: Option<&'a [u8]>,
    deliveries: Vec<Delivery<'a>>,
}

fn read(event: &[u8]) -> Result<DecodedEvent<'_>, EventError> {
    read_with(event, Unwrap::None)
}

fn read_with(event: &[u8], unwrap: Unwrap) -> Result<DecodedEvent<'_>, EventError> {
    let event = Event::read(event)?;
    let all: Vec<usize> = (0..event.len()).collect();
    Ok(DecodedEvent {
        redelivery: event.redelivery(),
        window_state: event.window_state(),
        deliveries: event.decode(&all, |_| unwrap),
    })
}

/// Returns each delivery with the first of its parts.
fn flat(event: DecodedEvent<'_>) -> Vec<FlatDelivery<'_>> {
    let each = event.deliveries.into_iter().map(|it| {
        let Delivery { receipt, group, source, content } = it;
        let Content::Parts(parts) = content else { panic!("deferred") };
        let Part { raw, origin, record } = parts.into_iter().next().unwrap();
        let is_whole = raw.piece.is_none();
        FlatDelivery { raw: raw.record, is_whole, receipt, group, source, origin, record }
    });
    each.collect()
}

fn one(event: &str) -> FlatDelivery<'_> {
    let mut deliveries = flat(read(event.as_bytes()).unwrap());
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0)
}

fn change(body: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventID":"e1","eventName":"MODIFY","eventSource":"aws:dynamodb",
        "eventSourceARN":"{STREAM}","dynamodb":{{"SequenceNumber":"111","Keys":{{"pk":{{"S":"a"}}}},{body}}}}}]}}"#
    )
}

fn attribute(value: &str) -> Result<Value, &'static str> {
    let event = change(&format!(r#""NewImage":{{"a":{value}}}"#));
    match one(&event).record {
        Ok(Record { payload: Payload::Change { new: Some(mut new), .. }, .. }) => {
            Ok(new.remove(0).1)
        }
        Ok(other) => panic!("{other:?}"),
        Err(reject) => Err(reject.reason),
    }
}

fn number(literal: &str) -> Value {
    Value::Number(crate::number::Number::parse(literal).unwrap())
}

#[test]
fn every_attribute_type_is_read() {
    let text = |it: &str| Value::Text(it.to_owned());
    let all = [
        (r#"{"S":""}"#, text("")),
        (r#"{"N":"-1.5E3"}"#, number("-1500")),
        (r#"{"N":7}"#, number("7")),
        (r#"{"N":" 7 "}"#, number("7")),
        (r#"{"B":"AP8="}"#, Value::Binary(vec![0, 255])),
        (r#"{"BOOL":true}"#, Value::Bool(true)),
        (r#"{"NULL":true}"#, Value::Null),
        (r#"{"NULL":false}"#, Value::Null),
        (r#"{"M":{"x":{"S":"y"}}}"#, Value::Map(vec![("x".to_owned(), text("y"))])),
        (r#"{"L":[{"N":"1"},{"S":"z"}]}"#, Value::List(vec![number("1"), text("z")])),
        (r#"{"SS":[]}"#, Value::Set(Set::Text(vec![]))),
        (r#"{"SS":["a"]}"#, Value::Set(Set::Text(vec!["a".to_owned()]))),
        (r#"{"BS":["AA=="]}"#, Value::Set(Set::Binary(vec![vec![0]]))),
    ];
    for (json, value) in all {
        assert_eq!(attribute(json), Ok(value), "{json}");
    }
}

#[test]
fn a_wrong_attribute_value_rejects_the_record() {
    for json in [
        "{}",
        "[]",
        "null",
        r#""a""#,
        r#"{"S":"a","N":"1"}"#,
        r#"{"X":"a"}"#,
        r#"{"S":1}"#,
        r#"{"N":"0x10"}"#,
        r#"{"N":"NaN"}"#,
        r#"{"N":""}"#,
        r#"{"NULL":"true"}"#,
        r#"{"B":"AP8"}"#,
        r#"{"B":"_-8="}"#,
        r#"{"SS":"a"}"#,
        r#"{"SS":[1]}"#,
        r#"{"BOOL":"true"}"#,
        r#"{"M":[]}"#,
        r#"{"L":{}}"#,
        r#"{"L":[{"S":"a"},{"?":1}]}"#,
    ] {
        assert_eq!(attribute(json), Err("bad_attribute"), "{json}");
    }
    let detail = |value: &str| {
        one(&change(&format!(r#""NewImage":{{"a":{value}}}"#))).record.unwrap_err().detail
    };
    assert!(detail(r#"{"S":1}"#).contains("content is not of its type"));
    assert!(detail(r#"{"X":"a"}"#).contains("an unknown type"));
}

#[test]
fn an_absent_image_is_not_an_empty_one() {
    let images = |body: &str| match one(&change(body)).record.unwrap().payload {
        Payload::Change { new, old, .. } => (new, old),
        Payload::Event(_) => panic!("an event"),
    };
    assert_eq!(images(r#""NewImage":{},"OldImage":null"#), (Some(vec![]), None));
    assert_eq!(images(r#""SizeBytes":1"#), (None, None));
}

#[test]
fn replication_attributes_are_left_out() {
    let event = change(r#""NewImage":{"a":{"S":"x"},"aws:rep:updatetime":{"N":"1.5"}}"#);
    let row = one(&event).record.unwrap().into_row();
    assert_eq!(row, [("a".to_owned(), Value::Text("x".to_owned()))]);
}

#[test]
fn deletes_by_time_to_live_are_recognised_in_both_spellings() {
    let delete = |identity: &str| {
        let event = change(r#""OldImage":{"a":{"S":"x"}}"#)
            .replace("MODIFY", "REMOVE")
            .replace(r#""eventID""#, &format!(r#""userIdentity":{identity},"eventID""#));
        let record = one(&event).record.unwrap();
        assert_eq!(record.op, Op::Delete);
        record.deleted_by
    };
    let ttl = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;
    assert_eq!(delete(ttl), Some(DeletedBy::Ttl));
    let model = r#"{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}"#;
    assert_eq!(delete(model), Some(DeletedBy::Ttl));
    assert_eq!(delete("null"), Some(DeletedBy::User));
    let other = r#"{"type":"Service","principalId":"replication.dynamodb.amazonaws.com"}"#;
    assert_eq!(delete(other), Some(DeletedBy::User));
}

#[test]
fn an_unreadable_record_is_still_identified_by_its_numbers() {
    let event = change(r#""NewImage":{"a":{"S":"x"},"a":{"S":"y"}}"#);
    let delivery = one(&event);
    assert_eq!(delivery.record.unwrap_err().reason, "malformed_record");
    assert_eq!(delivery.receipt.unwrap().as_str(), "111");
    assert_eq!(delivery.origin.id.as_deref(), Some("e1"));
    assert_eq!(delivery.origin.position, Some(format!("{:060}", 111)));
    assert_eq!(delivery.origin.source, "arn:aws:dynamodb:eu-west-1:123456789012:table/app");
}

#[test]
fn events_that_are_not_served_fail_as_a_whole() {
    let not_events =
        ["", "[]", "1", r#"{"key1":"value1"}"#, r#"{"Records":null}"#, r#"{"Records":{}}"#];
    for event in not_events {
        let error = read(event.as_bytes()).unwrap_err();
        assert!(matches!(error, EventError::NotAnEvent(_)), "{event}: {error}");
    }
    for event in [
        r#"{"Records":[],"Records":[]}"#,
        r#"{"Records":[],"window":{},"window":{}}"#,
        r#"{"Records":[],"window":{},"state":{"n":1},"state":{}}"#,
    ] {
        let error = read(event.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(" twice"), "{event}: {error}");
    }
    let foreign = [
        r#"{"Records":[{"eventSource":"aws:s3","s3":{}}]}"#,
        r#"{"Records":[{}]}"#,
        r#"{"Records":[{"eventSource":""}]}"#,
        r#"{"Records":[{"eventSource":"aws:sqs","eventSourceARN":"nonsense"}]}"#,
        r#"{"Records":[{"eventSource":"card 4929"}]}"#,
    ];
    for event in foreign {
        let error = read(event.as_bytes()).unwrap_err();
        assert!(matches!(error, EventError::Source(_)), "{event}: {error}");
        assert!(!error.to_string().contains("4929"), "it could be payload: {error}");
    }
    assert!(read(br#"{"Records":[]}"#).unwrap().deliveries.is_empty());
}

#[test]
fn the_state_of_a_window_is_kept_unchanged() {
    let state = |event: &str| read(event.as_bytes()).unwrap().window_state.map(<[u8]>::to_vec);
    let event = r#"{"Records":[],"window":{"start":"x"},"state":{"n": 1.0}}"#;
    assert_eq!(state(event).as_deref(), Some(&br#"{"n": 1.0}"#[..]));
    assert_eq!(state(r#"{"Records":[],"window":{}}"#).as_deref(), Some(&b"{}"[..]));
    assert_eq!(state(r#"{"Records":[],"state":{}}"#), None);
}

fn encoded(data: &str) -> String {
    BASE64.encode(data)
}

fn kinesis(id: &str, members: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventID":{id},"eventSource":"aws:kinesis","kinesis":{{{members}}},
        "eventSourceARN":"arn:aws:kinesis:eu-west-1:1:stream/clicks/consumer/fan:1700000000"}}]}}"#
    )
}

#[test]
fn a_kinesis_record_has_its_identity_and_its_position() {
    let event = kinesis(
        r#""shardId-000000000003:42""#,
        r#""sequenceNumber":"42","partitionKey":"k","approximateArrivalTimestamp":1545084650.98,
        "encryptionType":null,"data":"77u/eyJhIjoxfQ==""#,
    );
    let delivery = one(&event);
    assert_eq!(delivery.source.as_str(), "arn:aws:kinesis:eu-west-1:1:stream/clicks");
    assert_eq!(delivery.receipt.unwrap().as_str(), "42");
    assert_eq!(delivery.origin.id.as_deref(), Some("shardId-000000000003:42"));
    assert_eq!(delivery.origin.shard.as_deref(), Some("shardId-000000000003"));
    assert_eq!(delivery.origin.position, Some(format!("{:060}", 42)));
    let arrived = delivery.origin.arrived_at.unwrap();
    assert_eq!(arrived.to_string(), "2018-12-17T22:10:50.98");
    let record = delivery.record.unwrap();
    assert_eq!(record.key.as_deref(), Some("k"));
    assert_eq!(record.payload, Payload::Event(vec![("a".to_owned(), number("1"))]));
}

/// If the record does not name the unit, the number's size decides.
#[test]
fn the_time_of_a_change_through_kinesis_has_the_unit_that_the_record_names() {
    let created = |number: u64, unit: &str, arrived: u64| {
        let change = format!(
            r#"{{"eventID":"c","eventSource":"aws:dynamodb","eventName":"INSERT","tableName":"app",
            "dynamodb":{{"Keys":{{"pk":{{"S":"a"}}}},"ApproximateCreationDateTime":{number},
            "ApproximateCreationDateTimePrecision":{unit}}}}}"#
        );
        let data = encoded(&change);
        let members = format!(
            r#""sequenceNumber":"42","data":"{data}","approximateArrivalTimestamp":{arrived}"#
        );
        let event = kinesis(r#""shardId-000000000000:42""#, &members);
        let change = one(&event);
        assert_eq!(change.record.map(|it| it.op), Ok(Op::Insert));
        change.origin.arrived_at.unwrap().micros()
    };
    assert_eq!(created(5_000, r#""MILLISECOND""#, 5), 5_000_000);
    assert_eq!(created(5_000, r#""MICROSECOND""#, 5), 5_000);
    let far = 200_000_000_000_000;
    assert_eq!(created(far, r#""MILLISECOND""#, far / 1_000), 200_000_000_000_000_000);
    for unit in [r#""FORTNIGHT""#, "null"] {
        let arrived = 1_795_428_001;
        assert_eq!(created(1_795_428_000_370, unit, arrived), 1_795_428_000_370_000, "{unit}");
        assert_eq!(created(1_795_428_000_370_123, unit, arrived), 1_795_428_000_370_123, "{unit}");
    }
}

#[test]
fn each_wrong_kinesis_record_has_its_reason() {
    let id = r#""shardId-000000000000:42""#;
    let data = |data: &str| kinesis(id, &format!(r#""sequenceNumber":"42","data":{data}"#));
    for (event, reason) in [
        (data(r#""""#), "no_json"),
        (data(r#""YQ==""#), "no_json"),
        (data(r#""MQ==""#), "no_object"),
        (data(r#""/w==""#), "not_utf8"),
        (data(r#""eyJhIjoxfQ""#), "bad_base64"),
        (data(r#""_w==""#), "bad_base64"),
        (data(r#""e30=\n""#), "bad_base64"),
        (data("null"), "malformed_record"),
        (data("{}"), "malformed_record"),
        (kinesis(id, r#""data":"e30=""#), "malformed_record"),
        (kinesis(id, r#""data":"e30=","sequenceNumber":"4e1""#), "malformed_record"),
        (kinesis(id, r#""data":"e30=","sequenceNumber":"""#), "malformed_record"),
        (kinesis("null", r#""data":"e30=","sequenceNumber":"42""#), "malformed_record"),
        (kinesis(r#"":42""#, r#""data":"e30=","sequenceNumber":"42""#), "malformed_record"),
        (kinesis(r#""42""#, r#""data":"e30=","sequenceNumber":"42""#), "malformed_record"),
        (data("\"e30=\"").replace("\"kinesis\":", "\"k\":"), "malformed_record"),
    ] {
        assert_eq!(one(&event).record.unwrap_err().reason, reason, "{event}");
    }
    let detail = one(&data(r#""_w==""#)).record.unwrap_err().detail;
    assert!(detail.ends_with("a foreign character at byte 0"), "{detail}");
    for key in ["null", r#""""#, "7"] {
        let members = format!(r#""sequenceNumber":"42","data":"e30=","partitionKey":{key}"#);
        assert_eq!(one(&kinesis(id, &members)).record.unwrap().key, None, "{key}");
    }
}

#[test]
fn a_message_has_the_position_that_its_queue_gives() {
    let event = |queue: &str, attributes: &str| {
        format!(
            r#"{{"Records":[{{"messageId":"m","body":"{{}}","eventSource":"aws:sqs","attributes":{attributes},
            "eventSourceARN":"arn:aws:sqs:eu-west-1:1:{queue}"}}]}}"#
        )
    };
    let full = r#"{"SentTimestamp":"1700000000123","MessageGroupId":"g","SequenceNumber":"18"}"#;
    for (queue, attributes, position, group) in [
        ("q", full, 1_700_000_000_123_u64, None),
        ("q", r#"{"SentTimestamp":1700000000123}"#, 1_700_000_000_123, None),
        ("q", "null", 0, None),
        ("q", r#"{"SentTimestamp":null}"#, 0, None),
        ("q.fifo", full, 18, Some("g")),
        ("q.fifo", r#"{"SequenceNumber":18}"#, 18, None),
    ] {
        let event = event(queue, attributes);
        let delivery = one(&event);
        assert_eq!(delivery.origin.position, Some(format!("{position:060}")), "{event}");
        assert_eq!(delivery.origin.shard.as_deref(), group, "{event}");
        assert_eq!(delivery.group.as_deref(), group, "{event}");
        assert_eq!(delivery.record.unwrap().key.as_deref(), group, "{event}");
        let fifo = matches!(read(event.as_bytes()).unwrap().redelivery, Redelivery::RestOfGroup);
        assert_eq!(fifo, queue == "q.fifo");
    }
    let event = event("q.fifo", "{}");
    assert_eq!(one(&event).record.unwrap_err().reason, "malformed_record");
}

#[test]
fn a_message_from_a_dlq_has_its_first_queue_as_source() {
    let event = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs",
        "eventSourceARN":"arn:aws:sqs:eu-west-1:1:q-dlq.fifo","attributes":{
        "SentTimestamp":"1700000000123","MessageGroupId":"g","SequenceNumber":"18",
        "DeadLetterQueueSourceArn":"arn:aws:sqs:eu-west-1:1:q.fifo"}}]}"#;
    let delivery = one(event);
    assert_eq!(delivery.source.resource(), "q.fifo");
    assert_eq!(delivery.origin.source, "arn:aws:sqs:eu-west-1:1:q.fifo");
    assert!(delivery.origin.moved);
    assert_eq!(delivery.group.as_deref(), Some("g"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _outcome = read(&bytes);
    }

    #[test]
    fn damage_to_one_record_costs_only_itself(at in 0_usize..400, byte in proptest::prelude::any::<u8>()) {
        let good = |n: u32| format!(
            r#"{{"messageId":"m{n}","body":"{{\"n\":{n}}}","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:1:q","attributes":{{"SentTimestamp":"1700000000123"}}}}"#
        );
        let mut middle = good(1).into_bytes();
        let index = at.min(middle.len() - 2).max(1);
        // A byte that could end the record early would damage its neighbours.
        proptest::prop_assume!(!matches!(byte, b'"' | b'\\' | b'{' | b'}' | b'[' | b']'));
        proptest::prop_assume!(!matches!(middle[index], b'"' | b'\\' | b'{' | b'}'));
        middle[index] = byte;
        let event = [br#"{"Records":["#, good(0).as_bytes(), b",", &middle, b",", good(2).as_bytes(), b"]}"].concat();
        // The one exception: its eventSource may have become a foreign one.
        if let Ok(event) = read(&event) {
            let deliveries = flat(event);
            proptest::prop_assert_eq!(deliveries.len(), 3);
            proptest::prop_assert!(deliveries[0].record.is_ok());
            proptest::prop_assert!(deliveries[2].record.is_ok());
        }
    }
}
