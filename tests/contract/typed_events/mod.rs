//! Records that the typed structs of `aws_lambda_events` can read are read the same by Lakeward.
//!
//! The ways in which those structs misread records ([`MISREADINGS`]) or refuse them
//! ([`REFUSALS`]) are closed lists, and so is what is lost besides. They are why Lakeward decodes
//! records itself. An upgrade of the crate that mends one of them fails its test, and the list
//! becomes shorter.

mod misreadings;
mod reading;
mod record;
mod refusals;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::kinesis::{
    KinesisEvent, KinesisTimeWindowEvent, KinesisTimeWindowEventResponse,
};
use lakeward::record::{Content, Delivery};
use lakeward::source::{Event, Kind, Unwrap};
use serde_json::{Value, json};

use crate::support::fixture::fixtures;
use misreadings::MISREADINGS;
use reading::{Difference, differences, own, typed};
use refusals::{REFUSALS, mend};

/// Fewer records compared, or fewer events, mean that the walk lost its way.
const MIN_COMPARED: [(Kind, usize); 3] =
    [(Kind::DynamoDb, 250), (Kind::Kinesis, 500), (Kind::Sqs, 220)];
const MIN_EVENTS: usize = 340;
/// Events that Lakeward takes for none of its own.
const MAX_STRANGERS: usize = 20;

/// A record of a fixture, perhaps with a text in it replaced.
struct Example {
    file: &'static str,
    index: usize,
    replace: Option<(&'static str, &'static str)>,
}

impl Example {
    const fn of(file: &'static str, index: usize) -> Self {
        Self { file, index, replace: None }
    }

    /// Returns the event, which has the text replaced in that record alone.
    fn event(&self) -> Vec<u8> {
        let event = std::fs::read(fixtures().join(self.file)).unwrap();
        let event = Event::read(&event).unwrap();
        let mut records: Vec<String> =
            event.records().map(|it| String::from_utf8(it.to_vec()).unwrap()).collect();
        if let Some((from, to)) = self.replace {
            assert!(records[self.index].contains(from), "{}: no {from}", self.file);
            records[self.index] = records[self.index].replace(from, to);
        }
        format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes()
    }

    /// Shows the record and what Lakeward makes of it.
    fn show<T>(&self, show: impl FnOnce(Kind, &[u8], &Delivery<'_>) -> T) -> T {
        let event = self.event();
        let event = Event::read(&event).unwrap();
        let deliveries = event.decode(&[self.index], |_| Unwrap::None);
        let record = event.records().nth(self.index).unwrap();
        show(event.kind().unwrap(), record, &deliveries[0])
    }
}

/// The sums of the walk.
#[derive(Debug, Default)]
struct Tally {
    events: usize,
    /// Events that Lakeward does not take.
    strangers: usize,
    /// Records that were compared as they were delivered.
    compared: Vec<Kind>,
    /// Records that were compared after a repair.
    mended: Vec<Kind>,
    /// Records that neither reads.
    unreadable: Vec<Kind>,
}

/// Returns the differences of a record that no list explains.
fn unexplained(
    kind: Kind,
    record: &[u8],
    delivery: &Delivery<'_>,
    tally: &mut Tally,
) -> Vec<Difference> {
    let (typed, loses) = match typed(kind, record) {
        Ok(typed) => {
            tally.compared.push(kind);
            (typed, Vec::new())
        }
        Err(_) if !is_decoded(delivery) => {
            tally.unreadable.push(kind);
            return Vec::new();
        }
        Err(_) => {
            tally.mended.push(kind);
            let (mended, loses) = mend(record, &REFUSALS);
            match typed(kind, &mended) {
                Ok(typed) => (typed, loses),
                Err(error) => {
                    let (path, own) = ("record".to_owned(), "decoded".to_owned());
                    return vec![Difference { path, typed: format!("refused: {error}"), own }];
                }
            }
        }
    };
    let mut found = unlisted(&typed, record, delivery);
    found.retain(|it| !loses.contains(&it.path.as_str()));
    found
}

/// Returns the differences of a typed reading that are not known misreadings.
fn unlisted(typed: &Value, record: &[u8], delivery: &Delivery<'_>) -> Vec<Difference> {
    let mut found = differences(typed, &own(delivery));
    found.retain(|it| !MISREADINGS.iter().any(|known| (known.explains)(it, record)));
    found
}

fn is_decoded(delivery: &Delivery<'_>) -> bool {
    match &delivery.content {
        Content::Parts(parts) => parts.iter().any(|it| it.record.is_ok()),
        Content::Deferred => false,
    }
}

/// Compares all records of an event.
fn compare(name: &str, event: &[u8], tally: &mut Tally, problems: &mut Vec<String>) {
    tally.events += 1;
    let Ok(event) = Event::read(event) else {
        tally.strangers += 1;
        return;
    };
    let Some(kind) = event.kind() else { return };
    let indices: Vec<usize> = (0..event.len()).collect();
    let deliveries = event.decode(&indices, |_| Unwrap::None);
    for ((index, record), delivery) in event.records().enumerate().zip(&deliveries) {
        for it in unexplained(kind, record, delivery, tally) {
            problems.push(format!(
                "{name}, record {index}, {}: the crate reads {}, Lakeward {}",
                it.path, it.typed, it.own
            ));
        }
    }
}

/// Returns the events of all fixtures, by their files.
fn events() -> Vec<(String, Vec<u8>)> {
    let mut events = Vec::new();
    let mut folders = vec![fixtures()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if is_event(&path) {
                let text = unpacked(&path);
                let name = path.strip_prefix(fixtures()).unwrap().to_str().unwrap();
                match name.split_once(".jsonl") {
                    Some(_) => {
                        let lines = text.split(|it| *it == b'\n').filter(|it| !it.is_empty());
                        events.extend(lines.map(|it| (name.to_owned(), it.to_vec())));
                    }
                    None => events.push((name.to_owned(), text)),
                }
            }
        }
    }
    for suffix in [".json", ".jsonl", ".json.gz"] {
        assert!(events.iter().any(|(name, _)| name.ends_with(suffix)), "no {suffix}");
    }
    events.sort();
    events
}

fn is_event(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.starts_with("event") || path.parent().is_some_and(|it| it.ends_with("shop/events"))
}

fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
            text
        }
        Some("zst") => zstd::decode_all(&bytes[..]).unwrap(),
        _ => bytes,
    }
}

#[test]
fn typed_structs_and_lakeward_read_the_same() {
    let (mut tally, mut problems) = (Tally::default(), Vec::new());
    for (name, event) in events() {
        compare(&name, &event, &mut tally, &mut problems);
    }
    let count = problems.len();
    assert!(count == 0, "{count} differences that are not listed:\n{}", problems.join("\n"));
    let of = |kinds: &[Kind], kind: Kind| kinds.iter().filter(|it| **it == kind).count();
    for (kind, min) in MIN_COMPARED {
        let compared = of(&tally.compared, kind);
        let [mended, unreadable] = [&tally.mended, &tally.unreadable].map(|it| of(it, kind));
        assert!(
            compared >= min && mended > 0 && unreadable > 0,
            "{kind:?}: {compared} compared, {mended} after a repair, {unreadable} read by neither"
        );
    }
    let (events, strangers) = (tally.events, tally.strangers);
    assert!(events >= MIN_EVENTS, "only {events} events");
    assert!(strangers <= MAX_STRANGERS, "{strangers} of {events} events are not taken");
}

#[test]
fn misreadings_are_misread_as_listed() {
    for known in &MISREADINGS {
        let name = known.name;
        known.example.show(|kind, record, delivery| {
            let typed = typed(kind, record).unwrap_or_else(|it| panic!("{name}: refused: {it}"));
            let found = differences(&typed, &own(delivery));
            let listed = Difference {
                path: known.path.to_owned(),
                typed: known.typed.to_owned(),
                own: known.right.to_owned(),
            };
            assert!(
                found.contains(&listed),
                "{name}: the example has other differences: {found:?}"
            );
            let explain = MISREADINGS.iter().filter(|it| (it.explains)(&listed, record));
            let explain: Vec<&str> = explain.map(|it| it.name).collect();
            assert_eq!(explain, [name], "what explains the example of {name}");
            let left = unexplained(kind, record, delivery, &mut Tally::default());
            assert!(left.is_empty(), "{name}: {left:?}");
        });
    }
}

#[test]
fn refusals_are_refused_as_listed() {
    for known in &REFUSALS {
        let name = known.name;
        known.example.show(|kind, record, delivery| {
            assert!(is_decoded(delivery), "{name}: Lakeward does not decode the example");
            assert!(typed(kind, record).is_err(), "{name}: the crate reads it");
            let (mended, _) = mend(record, [known]);
            let typed = typed(kind, &mended);
            assert!(typed.is_ok(), "{name}: another part is refused: {typed:?}");
            let (mended, _) = mend(record, REFUSALS.iter().filter(|it| it.name != name));
            assert!(reading::typed(kind, &mended).is_err(), "{name}: another one covers it");
            let left = unexplained(kind, record, delivery, &mut Tally::default());
            assert!(left.is_empty(), "{name}: {left:?}");
        });
    }
}

/// Shows what the crates lose besides, in whole events, in answers, and in what they write or read further.
#[test]
fn losses_are_as_listed() {
    let event = |file: &str| std::fs::read(fixtures().join(file)).unwrap();
    let batch = event("kinesis/bad-base64-costs-one-record/event.json");
    let batch = serde_json::from_slice::<KinesisEvent>(&batch).map(|it| it.records.len());
    let window = event("event/the-state-of-a-window-is-answered-byte-for-byte/event.json");
    let window = |state: Value| {
        let mut event: Value = serde_json::from_slice(&window).unwrap();
        event["state"] = state;
        serde_json::from_value::<KinesisTimeWindowEvent>(event).is_ok()
    };
    let answer = serde_json::to_value(KinesisTimeWindowEventResponse::default()).unwrap();
    let mut change = EventRecord::default();
    change.change.approximate_creation_date_time += Duration::from_micros(1_500_000);
    let change = serde_json::to_value(change).unwrap();
    let item = |value: Value| {
        let item: serde_dynamo::Item = serde_json::from_value(json!({"a": value})).unwrap();
        serde_dynamo::from_item::<_, Value>(item).map_or(Value::Null, |it| it["a"].clone())
    };
    let digits = "12345678901234567890123456789012345678";
    for (name, is_lost) in [
        ("a batch with one bad record is refused", batch.is_err()),
        ("a window's state of other than texts is refused", {
            window(json!({"a": "1"})) && !window(json!({"a": 1}))
        }),
        ("the answer to a window of Kinesis has no failures", {
            answer.get("batchItemFailures").is_none()
        }),
        ("a time that is written has whole seconds", {
            change["dynamodb"]["ApproximateCreationDateTime"] == json!(1)
        }),
        ("a number that is read as JSON is rounded", {
            item(json!({"N": digits})) == json!(1.2345678901234568e37)
        }),
        ("bytes are not read as JSON", item(json!({"B": "aGk="})).is_null()),
        ("a null that is false is not read as JSON", item(json!({"NULL": false})).is_null()),
    ] {
        assert!(is_lost, "no longer so: {name}");
    }
}

/// A comparison that finds nothing proves nothing.
#[test]
fn doctored_values_are_found() {
    let types = "dynamodb/each-attribute-type-has-a-column-type/event.json";
    let update =
        "dynamodb/new-and-old-images-land-the-new-one-and-the-old-one-of-a-delete/event.json";
    let delete = "dynamodb/a-delete-by-ttl-is-told-from-one-by-a-user/event.json";
    let click = "kinesis/an-object-lands-with-its-lineage/event.json";
    let invoice = "sqs/a-fifo-batch-of-two-groups-lands/event.json";
    let note = "sqs/odd-attributes-cost-nothing/event.json";
    for (file, index, from, to, path) in [
        (types, 0, "0895443c", "0895443d", "id"),
        (types, 0, "17450439092", "17450439093", "receipt"),
        (types, 0, "17450439092", "17450439093", "position"),
        (types, 0, "1795428901", "1795428902", "arrived_at"),
        (types, 0, "table/things", "table/thing", "source"),
        (types, 0, "2026-01-15", "2026-01-16", "shard"),
        (types, 0, "INSERT", "MODIFY", "record.op"),
        (types, 0, r#""Keys": {"pk""#, r#""Keys": {"pk2""#, "record.keys.pk"),
        (types, 0, r#""0.5""#, r#""0.50""#, "record.new.fraction.N"),
        (types, 0, "aGVsbG8=", "aGVsbG8h", "record.new.bytes.B"),
        (types, 0, r#"["a", "b"]"#, r#"["a", "c"]"#, "record.new.texts.SS.1"),
        (types, 0, r#""2.5""#, r#""2.50""#, "record.new.fractions.NS.1"),
        (types, 0, r#""Yg==""#, r#""Yw==""#, "record.new.blobs.BS.1"),
        (types, 0, "Kiel", "Bonn", "record.new.map.M.city.S"),
        (types, 0, r#"{"N": "1"}]"#, r#"{"N": "2"}]"#, "record.new.list.L.1.N"),
        (types, 0, r#""text": {"S": "x"},"#, "", "record.new.text"),
        (update, 1, r#""old""#, r#""new""#, "record.old.v.S"),
        (delete, 0, "Service", "Server", "record.deleted_by"),
        (click, 0, "user-1", "user-2", "record.key"),
        (click, 0, "Miwi", "Mywi", "record.data.M.ms.N"),
        (click, 0, "1795428901.25", "1795428901.26", "arrived_at"),
        (invoice, 0, "ba5a9307", "ba5a9308", "id"),
        (invoice, 0, "ba5a9307", "ba5a9308", "receipt"),
        (invoice, 0, r#"\"n\": 1"#, r#"\"n\": 2"#, "record.data.M.n.N"),
        (invoice, 0, "1795428901183", "1795428901184", "arrived_at"),
        (invoice, 0, "18849496460467696384", "18849496460467696385", "position"),
        (invoice, 0, r#""MessageGroupId": "a""#, r#""MessageGroupId": "b""#, "group"),
        (invoice, 0, r#""MessageGroupId": "a""#, r#""MessageGroupId": "b""#, "record.key"),
        (note, 1, r#""1.5""#, r#""1.50""#, "record.attributes.b.N"),
        (note, 1, "aGk=", "aGo=", "record.attributes.a.B"),
    ] {
        let doctored = Example { file, index, replace: Some((from, to)) };
        let typed = doctored.show(|kind, record, _| typed(kind, record).unwrap());
        Example::of(file, index).show(|_, record, delivery| {
            let found = unlisted(&typed, record, delivery);
            assert!(found.iter().any(|it| it.path == path), "{file}: {path}: {found:?}");
        });
    }
}
