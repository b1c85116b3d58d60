//! Records that the typed structs of `aws_lambda_events` read, but wrong: a closed list.

use lakeward::number::Number;

use super::Example;
use super::reading::Difference;
use super::record::{at, has_duplicates, misread, numbers, parsed, payload};

const CHANGE_TIMES: &str = "dynamodb/creation-times-of-every-form-are-read/event.json";
const THROUGH_KINESIS: &str =
    "packed/changes-of-items-through-kinesis-land-like-changes/event.json";

/// A record that a typed struct reads, but wrong.
pub(super) struct Misreading {
    pub name: &'static str,
    /// A record that shows it.
    pub example: Example,
    pub path: &'static str,
    /// The value that the struct reads at the path.
    pub typed: &'static str,
    /// The right value.
    pub right: &'static str,
    /// Returns true if it explains a difference that a record has.
    pub explains: fn(&Difference, &[u8]) -> bool,
}

/// The misreadings of the typed structs.
pub(super) const MISREADINGS: [Misreading; 15] = [
    Misreading {
        name: "an image that was not delivered, or is null, is an empty one",
        example: Example::of(CHANGE_TIMES, 0),
        path: "record.old",
        typed: "{}",
        right: "null",
        explains: |it, _| {
            ["record.new", "record.old"].contains(&it.path.as_str())
                && (it.typed.as_str(), it.own.as_str()) == ("{}", "null")
        },
    },
    Misreading {
        name: "the fraction of a creation time is a thousand times too small",
        example: Example::of(CHANGE_TIMES, 1),
        path: "arrived_at",
        typed: "1795428900000500",
        right: "1795428900500000",
        explains: |it, _| {
            let (Some(typed), Some(own)) = micros(it) else { return false };
            let fraction = own.rem_euclid(1_000_000);
            fraction > 0 && (typed - (own - fraction + fraction / 1_000)).abs() <= 1
        },
    },
    Misreading {
        name: "a creation time that is missing is 1970",
        example: Example::of(CHANGE_TIMES, 4),
        path: "arrived_at",
        typed: "0",
        right: "null",
        explains: |it, record| {
            micros(it) == (Some(0), None)
                && at(record, "/dynamodb/ApproximateCreationDateTime").is_none()
        },
    },
    Misreading {
        name: "milliseconds are seconds, of a year beyond 9999",
        example: Example::of(CHANGE_TIMES, 7),
        path: "arrived_at",
        typed: "1795428900987000000",
        right: "null",
        explains: |it, _| matches!(micros(it), (Some(253_402_300_800_000_000..), None)),
    },
    Misreading {
        name: "milliseconds of a change through Kinesis are seconds",
        example: Example::of(THROUGH_KINESIS, 0),
        path: "arrived_at",
        typed: "1795428000370000000",
        right: "1795428000370000",
        explains: |it, record| {
            let (Some(typed), Some(own)) = micros(it) else { return false };
            at(record, "/kinesis").is_some() && typed == own * 1_000
        },
    },
    Misreading {
        name: "the fraction of an arrival time is a whole number of milliseconds",
        example: Example::of("kinesis/arrival-times-of-every-form-are-read/event.json", 2),
        path: "arrived_at",
        typed: "1545084650098000",
        right: "1545084650980000",
        explains: |it, record| {
            let read =
                at(record, "/kinesis/approximateArrivalTimestamp").and_then(|it| misread(&it));
            read.is_some() && micros(it).0 == read && micros(it).1.is_some()
        },
    },
    Misreading {
        name: "an identity in upper case, as the API has it, is an empty one",
        example: Example::of("dynamodb/a-delete-by-ttl-is-told-from-one-by-a-user/event.json", 1),
        path: "record.deleted_by",
        typed: "\"user\"",
        right: "\"ttl\"",
        explains: |it, record| {
            it.path == "record.deleted_by" && at(record, "/userIdentity/Type").is_some()
        },
    },
    Misreading {
        name: "any text is a number",
        example: Example::of("dynamodb/a-number-that-is-none-is-quarantined/event.json", 2),
        path: "record",
        typed: "read",
        right: "rejected: bad_attribute",
        explains: |it, record| {
            let mut bad = false;
            numbers(&mut parsed(record), &mut |it| {
                bad |= it.as_str().is_some_and(|it| Number::parse(it).is_err());
            });
            bad && it.own == "rejected: bad_attribute"
        },
    },
    Misreading {
        name: "a number has blanks around it",
        example: Example {
            file: "dynamodb/each-attribute-type-has-a-column-type/event.json",
            index: 0,
            replace: Some((r#""0.5""#, r#"" 0.5 ""#)),
        },
        path: "record.new.fraction.N",
        typed: r#"" 0.5 ""#,
        right: r#""0.5""#,
        explains: |it, _| {
            let text = |it: &str| serde_json::from_str::<String>(it).unwrap_or_default();
            it.path.ends_with(".N") && text(&it.typed).trim() == text(&it.own)
        },
    },
    Misreading {
        name: "of two attributes of one name the last one wins",
        example: Example::of("dynamodb/a-record-with-duplicate-names-is-quarantined/event.json", 0),
        path: "record",
        typed: "read",
        right: "rejected: malformed_record",
        explains: |it, record| it.own == "rejected: malformed_record" && has_duplicates(record),
    },
    Misreading {
        name: "serde_json: of two names of one payload the last one wins",
        example: Example::of("kinesis/duplicate-keys-are-quarantined/event.json", 0),
        path: "record",
        typed: "read",
        right: "null",
        explains: |it, record| {
            (it.path.as_str(), it.own.as_str()) == ("record", "null")
                && payload(record).is_some_and(|it| has_duplicates(&it))
        },
    },
    Misreading {
        name: "serde_json: a payload with a byte order mark is not JSON",
        example: Example::of("kinesis/a-byte-order-mark-is-stripped/event.json", 0),
        path: "record",
        typed: "null",
        right: "read",
        explains: |it, record| {
            it.path == "record" && payload(record).is_some_and(|it| it.starts_with(b"\xef\xbb\xbf"))
        },
    },
    Misreading {
        name: "a record may lack what it is known by",
        example: Example::of(
            "kinesis/a-record-that-lacks-a-required-part-is-quarantined/event.json",
            5,
        ),
        path: "record",
        typed: "read",
        right: "rejected: malformed_record",
        explains: |it, record| {
            let inner = payload(record).filter(|it| at(it, "/dynamodb").is_some());
            let is_known = match at(record, "/eventSource").unwrap_or_default().as_str() {
                Some("aws:dynamodb") => {
                    is_filled(record, "/eventID") && is_number(record, "/dynamodb/SequenceNumber")
                }
                Some("aws:kinesis") => {
                    is_filled(record, "/eventID")
                        && is_number(record, "/kinesis/sequenceNumber")
                        && inner.is_none_or(|it| is_filled(&it, "/eventID"))
                }
                _ => is_filled(record, "/messageId"),
            };
            !is_known && ["record", "id", "receipt", "position"].contains(&it.path.as_str())
        },
    },
    Misreading {
        name: "a change may be of any kind, or lack its keys",
        example: Example::of(
            "dynamodb/a-record-that-lacks-a-required-part-is-quarantined/event.json",
            5,
        ),
        path: "record",
        typed: "read",
        right: "rejected: malformed_record",
        explains: |it, record| {
            let name = at(record, "/eventName").unwrap_or_default();
            let is_change = ["INSERT", "MODIFY", "REMOVE"].contains(&name.as_str().unwrap_or(""));
            it.own == "rejected: malformed_record"
                && at(record, "/dynamodb").is_some()
                && !(is_change && at(record, "/dynamodb/Keys").is_some_and(|it| it.is_object()))
        },
    },
    Misreading {
        name: "a record may be of any source, or of none",
        example: Example::of(
            "event/a-record-that-does-not-say-where-it-is-from-costs-itself/event.json",
            2,
        ),
        path: "record",
        typed: "read",
        right: "rejected: malformed_record",
        explains: |it, record| {
            let arn = at(record, "/eventSourceARN").unwrap_or_default();
            let source = at(record, "/eventSource").unwrap_or_default();
            let source = source.as_str().unwrap_or("?").replace("aws:", "");
            let agrees = arn.as_str().is_some_and(|it| it.split(':').nth(2) == Some(&source));
            !agrees && ["record", "source", "shard"].contains(&it.path.as_str())
        },
    },
];

/// Returns the microseconds of two times, if the difference is about those.
fn micros(difference: &Difference) -> (Option<i64>, Option<i64>) {
    if difference.path != "arrived_at" {
        return (None, None);
    }
    (difference.typed.parse().ok(), difference.own.parse().ok())
}

fn is_filled(record: &[u8], path: &str) -> bool {
    at(record, path).is_some_and(|it| it.as_str().is_some_and(|it| !it.is_empty()))
}

fn is_number(record: &[u8], path: &str) -> bool {
    is_filled(record, path)
        && at(record, path).is_some_and(|it| {
            it.as_str().is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
        })
}
