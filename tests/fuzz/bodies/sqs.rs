//! Bodies of messages: JSON, packed, wrapped by SNS, EventBridge and S3, several in one.
//!
//! The first byte says how the queue's route unwraps, whether the queue is FIFO, and whether the rest
//! is put into a notification of SNS first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::json;
use lakeward::source::Unwrap;

use super::pieces;

pub fn run(input: &[u8]) {
    let Some((way, rest)) = input.split_first() else { return };
    let unwrap = match way % 4 {
        0 => Unwrap::Auto,
        1 => Unwrap::None,
        2 => Unwrap::Sns,
        _ => Unwrap::EventBridge,
    };
    let body = match way / 4 % 3 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => BASE64.encode(zstd::encode_all(rest, 1).unwrap()),
        _ => notification(&String::from_utf8_lossy(rest)),
    };
    let queue = if way / 12 % 2 == 0 { "q" } else { "q.fifo" };
    let event = format!(
        r#"{{"Records":[{{"messageId":"m","body":{},"attributes":{{"SentTimestamp":"1500","SequenceNumber":"7","MessageGroupId":"g"}},"messageAttributes":{{}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:r:1:{queue}"}}]}}"#,
        text(&body)
    );
    pieces::check(event.as_bytes(), unwrap);
}

fn notification(message: &str) -> String {
    format!(
        r#"{{"Type":"Notification","MessageId":"n","TopicArn":"arn:aws:sns:r:1:t","Timestamp":"2026-11-23T10:00:00.000Z","Message":{}}}"#,
        text(message)
    )
}

fn text(it: &str) -> String {
    let mut text = String::new();
    json::write_string(it, &mut text);
    text
}
