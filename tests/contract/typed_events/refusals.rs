//! Records that Lakeward decodes and the typed structs of `aws_lambda_events` refuse, each at the
//! cost of its whole batch: a closed list.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::Example;
use super::record::{misread, numbers, parsed, payload, seconds};

const ARRIVAL: &str = "/kinesis/approximateArrivalTimestamp";

const CHANGE_TIMES: &str = "dynamodb/creation-times-of-every-form-are-read/event.json";

/// A record that Lakeward decodes, and of which no typed struct can be made.
pub(super) struct Refusal {
    pub name: &'static str,
    /// A record that shows it.
    pub example: Example,
    /// Repairs that part of a record which the struct refuses. Returns true if there was one.
    pub mend: fn(&mut Value) -> bool,
    /// The member that can't be compared then.
    pub loses: &'static str,
}
/// Records that the typed structs refuse, each at the cost of its whole batch.
pub(super) const REFUSALS: [Refusal; 14] = [
    Refusal {
        name: "a change without its region",
        example: Example {
            file: CHANGE_TIMES,
            index: 0,
            replace: Some((r#""awsRegion": "eu-central-1","#, "")),
        },
        mend: |it| missing(it, "/dynamodb", "/awsRegion", json!("eu-central-1")),
        loses: "",
    },
    Refusal {
        name: "a change without its size",
        example: Example {
            file: CHANGE_TIMES,
            index: 0,
            replace: Some((r#""SizeBytes": 59,"#, "")),
        },
        mend: |it| missing(it, "/dynamodb", "/dynamodb/SizeBytes", json!(1)),
        loses: "",
    },
    Refusal {
        name: "a view type that is not one of four",
        example: Example {
            file: CHANGE_TIMES,
            index: 0,
            replace: Some(("NEW_AND_OLD_IMAGES", "NEW_AND_OLD_KEYS")),
        },
        mend: |it| {
            let views = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"];
            let is_view = |it: &Value| it.as_str().is_some_and(|it| views.contains(&it));
            change(it, "/dynamodb/StreamViewType", |it| !is_view(it), Value::Null)
        },
        loses: "",
    },
    Refusal {
        name: "a creation time that is text or null",
        example: Example::of(CHANGE_TIMES, 3),
        mend: |it| {
            let path = "/dynamodb/ApproximateCreationDateTime";
            change(it, path, |it| !it.is_number(), json!(0))
        },
        loses: "arrived_at",
    },
    Refusal {
        name: "microseconds of a change through Kinesis",
        example: Example::of(
            "packed/changes-of-items-through-kinesis-land-like-changes/event.json",
            1,
        ),
        mend: |it| {
            let path = "/dynamodb/ApproximateCreationDateTime";
            change(it, path, |it| it.as_f64().is_some_and(|it| it > 1e14), json!(0))
        },
        loses: "arrived_at",
    },
    Refusal {
        name: "a number that is not text",
        example: Example::of("dynamodb/blanks-plus-and-bare-numbers-are-forgiven/event.json", 0),
        mend: |it| {
            let mut mended = false;
            numbers(it, &mut |it| {
                if it.is_number() {
                    *it = json!(it.to_string());
                    mended = true;
                }
            });
            mended
        },
        loses: "",
    },
    Refusal {
        name: "an encryption type that is null, or not one of two",
        example: Example::of("kinesis/any-encryption-type-lands/event.json", 0),
        mend: |it| {
            let is_type = |it: &Value| it.as_str().is_some_and(|it| ["NONE", "KMS"].contains(&it));
            change(it, "/kinesis/encryptionType", |it| !is_type(it), json!("NONE"))
        },
        loses: "",
    },
    Refusal {
        name: "a partition key that is null",
        example: Example::of("kinesis/a-stream-without-partition-keys-lands/event.json", 1),
        mend: |it| change(it, "/kinesis/partitionKey", Value::is_null, json!("")),
        loses: "",
    },
    Refusal {
        name: "an arrival time that is missing",
        example: Example::of("kinesis/arrival-times-of-every-form-are-read/event.json", 16),
        mend: |it| missing(it, "/kinesis", ARRIVAL, json!(0)),
        loses: "arrived_at",
    },
    Refusal {
        name: "an arrival time that is not a number",
        example: Example::of("kinesis/arrival-times-of-every-form-are-read/event.json", 18),
        mend: |it| change(it, ARRIVAL, |it| seconds(it).is_none(), json!(0)),
        loses: "arrived_at",
    },
    Refusal {
        name: "an arrival time before 1970, or finer than milliseconds",
        example: Example::of("kinesis/arrival-times-of-every-form-are-read/event.json", 7),
        mend: |it| {
            change(it, ARRIVAL, |it| seconds(it).is_some() && misread(it).is_none(), json!(0))
        },
        loses: "arrived_at",
    },
    Refusal {
        name: "an attribute of a queue that is not text",
        example: Example::of("sqs/odd-attributes-cost-nothing/event.json", 4),
        mend: |it| {
            members(it, "/attributes", |it| {
                let text = (!it.is_string() && !it.is_null()).then(|| json!(it.to_string()));
                if it.is_string() { Some(it.clone()) } else { text }
            })
        },
        loses: "",
    },
    Refusal {
        name: "a list of values that is null",
        example: Example::of("sqs/odd-attributes-cost-nothing/event.json", 0),
        mend: |it| {
            members(it, "/messageAttributes", |it| {
                let mut it = it.clone();
                if let Some(it) = it.as_object_mut() {
                    it.retain(|name, it| !(name.ends_with("ListValues") && it.is_null()));
                }
                Some(it)
            })
        },
        loses: "",
    },
    Refusal {
        name: "a message attribute that is null, or whose bytes are not base64",
        example: Example::of(
            "sqs/an-unreadable-message-attribute-is-an-absent-one/event-1.json",
            1,
        ),
        mend: |it| {
            members(it, "/messageAttributes", |it| {
                let bytes = it.get("binaryValue").and_then(Value::as_str);
                let is_good = bytes.is_none_or(|it| BASE64.decode(it).is_ok());
                (it.is_object() && is_good).then(|| it.clone())
            })
        },
        loses: "",
    },
];

/// Applies repairs to a record, and to the change that it may carry. Returns what can't be compared
/// then.
pub(super) fn mend<'a>(
    record: &[u8],
    refusals: impl IntoIterator<Item = &'a Refusal>,
) -> (Vec<u8>, Vec<&'static str>) {
    let mut loses = Vec::new();
    let mut value = parsed(record);
    let mut inner = payload(record).map(|it| parsed(&it)).unwrap_or_default();
    if !inner.is_object() {
        inner = Value::Null;
    }
    for refusal in refusals {
        let outside = (refusal.mend)(&mut value);
        let inside = (refusal.mend)(&mut inner);
        if inside {
            value["kinesis"]["data"] = json!(BASE64.encode(inner.to_string()));
        }
        if outside || inside {
            loses.push(refusal.loses);
        }
    }
    (value.to_string().into_bytes(), loses)
}

/// Adds a member to records of one source that lack it.
fn missing(record: &mut Value, source: &str, path: &str, value: Value) -> bool {
    let is_missing = record.pointer(source).is_some() && record.pointer(path).is_none();
    let (parent, name) = path.rsplit_once('/').unwrap();
    match record.pointer_mut(parent).and_then(Value::as_object_mut) {
        Some(parent) if is_missing => parent.insert(name.to_owned(), value).is_none(),
        _ => false,
    }
}

/// Replaces a member that is there and is bad.
fn change(record: &mut Value, path: &str, bad: impl Fn(&Value) -> bool, value: Value) -> bool {
    let found = record.pointer_mut(path).filter(|it| bad(it));
    found.map(|it| *it = value).is_some()
}

/// Replaces or removes the members of an object.
fn members(record: &mut Value, path: &str, each: impl Fn(&Value) -> Option<Value>) -> bool {
    let Some(Value::Object(members)) = record.pointer_mut(path) else { return false };
    let before = members.clone();
    *members = before.iter().filter_map(|(name, it)| Some((name.clone(), each(it)?))).collect();
    *members != before
}
