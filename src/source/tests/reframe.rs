//! A part that quarantine keeps is the same record when it is read again.

use std::path::Path;

use super::*;

/// Returns the events of the fixtures, and some whose pieces are hard to reframe.
fn events() -> Vec<(String, Vec<u8>)> {
    let mut events = Vec::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for kind in ["packed", "envelope", "kinesis", "sqs", "recipes"] {
        for case in std::fs::read_dir(fixtures.join(kind)).unwrap().map(|it| it.unwrap().path()) {
            for file in std::fs::read_dir(case).unwrap().map(|it| it.unwrap().path()) {
                let name = file.file_name().unwrap().to_str().unwrap();
                if name.starts_with("event") {
                    let name = format!("{kind}/{}", file.display());
                    events.push((name, std::fs::read(&file).unwrap()));
                }
            }
        }
    }
    let notification = r#"{"Type":"Notification","MessageId":"n1","TopicArn":"arn:aws:sns:eu-west-1:123456789012:t","Message":"{\"a\":1}","Timestamp":"2026-01-01T00:00:00.000Z"}"#;
    let on_a_bus = r#"{"detail-type":"order","source":"shop","detail":{"a":1}}"#;
    for body in [
        &format!("[{notification},{on_a_bus}]"),
        &notification.replace(
            r#"{\"a\":1}"#,
            r#"[{\"detail-type\":\"order\",\"source\":\"shop\",\"detail\":{}}]"#,
        ),
        "[[1],[2]]",
        "[[{\"a\":1}],{\"b\":[1,2]}]",
        "[\"text\",null,1,[]]",
        "{\"a\":1}\n[{\"b\":2},{\"c\":3}]\n\"x\"",
        "[{\"a\":1},{\"a\":1,\"a\":2}]",
        "{\"a\":1}\nnot json\n{\"b\":2}",
    ] {
        let text = serde_json::Value::from(body);
        let sqs = format!(
            r#"{{"Records":[{{"messageId":"m1","body":{text},"attributes":{{"SentTimestamp":"1767225600000"}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:123456789012:q"}}]}}"#
        );
        events.push((format!("sqs {body}"), sqs.into_bytes()));
        let data = base64::engine::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
        let kinesis = format!(
            r#"{{"Records":[{{"kinesis":{{"partitionKey":"p","sequenceNumber":"1","data":"{data}","approximateArrivalTimestamp":1767225600.5}},"eventSource":"aws:kinesis","eventID":"shardId-000000000000:1","eventName":"aws:kinesis:record","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/s"}}]}}"#
        );
        events.push((format!("kinesis {body}"), kinesis.into_bytes()));
    }
    events
}

#[test]
fn a_reframed_part_is_read_as_the_same_record() {
    let mut pieces = 0;
    for (name, event) in events() {
        for unwrap in [Unwrap::None, Unwrap::Sns, Unwrap::EventBridge, Unwrap::Auto] {
            let Ok(whole) = read_with(&event, unwrap) else { continue };
            for delivery in whole.deliveries {
                let Content::Parts(parts) = delivery.content else { continue };
                for part in parts.into_iter().filter(|it| it.raw.piece.is_some()) {
                    let piece = part.raw.piece.as_ref().unwrap();
                    let carrier = Carrier::of(&part.raw);
                    let text = String::from_utf8(carrier.reframe(piece)).unwrap();
                    let about = carrier.weight(piece);
                    assert!(about <= text.len() && text.len() < 3 * about + 200, "{about} {text}");
                    let again = format!(r#"{{"Records":[{text}]}}"#);
                    let again = read_with(again.as_bytes(), unwrap).unwrap();
                    let Content::Parts(again) = &again.deliveries[0].content else { panic!() };
                    let what = format!("{name}, {unwrap:?}: {text}");
                    // A list in a list is not a record; its items may be.
                    if part.raw.piece.is_some_and(|it| it.text.starts_with(b"[")) {
                        assert!(part.record.is_err(), "{what}");
                        let id = part.origin.id.unwrap();
                        let within =
                            |it: &Part<'_>| it.origin.id.as_ref().unwrap().starts_with(&id);
                        assert!(again.iter().all(within), "{what}");
                        continue;
                    }
                    assert_eq!(again.len(), 1, "{what}");
                    assert_eq!(again[0].origin, part.origin, "{what}");
                    match (&again[0].record, &part.record) {
                        (Ok(again), Ok(record)) => assert_eq!(again, record, "{what}"),
                        (Err(_), Err(_)) => {}
                        (again, record) => panic!("{what}: {again:?} is not {record:?}"),
                    }
                    pieces += 1;
                }
            }
        }
    }
    assert!(pieces > 100, "{pieces} pieces");
}
