//! Damaged events of the fixtures: a bad record costs only itself.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::value::RawValue;

use super::{FlatDelivery, flat, read};
use crate::source::EventError;

/// Every event of the cases that has records and can be split.
static EVENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = |path: &Path| -> Vec<_> {
        let mut found: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()).collect();
        found.sort();
        found
    };
    let kinds = folders(&root).into_iter().filter(|it| it.is_dir());
    let cases = kinds.flat_map(|it| folders(&it)).filter(|it| it.is_dir());
    let files = cases.flat_map(|it| folders(&it)).filter(|it| {
        let name = it.file_name().unwrap().to_string_lossy();
        name.starts_with("event") && name.ends_with(".json")
    });
    let events = files.map(|it| std::fs::read(it).unwrap());
    events.filter(|it| read(it).is_ok_and(|it| !it.deliveries.is_empty())).collect()
});

/// Those that serde_json can read, as it reads them.
static TREES: LazyLock<Vec<serde_json::Value>> =
    LazyLock::new(|| EVENTS.iter().filter_map(|it| serde_json::from_slice(it).ok()).collect());

#[test]
fn the_fixtures_are_found() {
    assert!(EVENTS.len() > 80, "only {} events", EVENTS.len());
    assert!(TREES.len() > 80, "only {} events that serde_json reads", TREES.len());
}

/// The records of an event as another reader splits it.
#[derive(serde::Deserialize)]
struct SplitEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

/// Damage to the bytes of an event.
#[derive(Debug, Clone)]
enum Blow {
    Replace(u8),
    Insert(u8),
    Remove,
    /// Copies up to 40 bytes from somewhere else to here.
    Copy(Index),
}

fn blow() -> impl Strategy<Value = (Index, Blow)> {
    let special = prop::sample::select(br#""\{}[],:0e-. nu"#.to_vec());
    let byte = prop_oneof![3 => special, 1 => any::<u8>()];
    let blow = prop_oneof![
        byte.clone().prop_map(Blow::Replace),
        byte.prop_map(Blow::Insert),
        Just(Blow::Remove),
        any::<Index>().prop_map(Blow::Copy),
    ];
    (any::<Index>(), blow)
}

fn strike(event: &mut Vec<u8>, at: Index, blow: &Blow) {
    let at = at.index(event.len());
    match blow {
        Blow::Replace(byte) => event[at] = *byte,
        Blow::Insert(byte) => event.insert(at, *byte),
        Blow::Remove => drop(event.remove(at)),
        Blow::Copy(from) => {
            let from = from.index(event.len());
            let bytes: Vec<u8> = event[from..].iter().take(40).copied().collect();
            event.splice(at..at, bytes);
        }
    }
}

/// Values that may replace any value of a record.
const HOSTILE: [&str; 14] = [
    "null",
    "true",
    "-1",
    "1e999",
    r#""""#,
    r#"" ""#,
    r#""arn:aws:s3:::bucket""#,
    r#""\ud800""#,
    r#""\u0000""#,
    "[]",
    "[[]]",
    "{}",
    r#"{"a":1,"a":2}"#,
    "nonsense",
];

const VALUE: &str = "@value@";
const NAME: &str = "@name@";

/// Damage to the JSON of a record.
#[derive(Debug, Clone)]
enum Harm {
    Remove,
    Hostile(&'static str),
    Nest(usize),
    /// The same key twice.
    Twice,
    /// A key that can't be read.
    BadKey,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        Just(Harm::Remove),
        prop::sample::select(HOSTILE.to_vec()).prop_map(Harm::Hostile),
        (1_usize..50_000).prop_map(Harm::Nest),
        Just(Harm::Twice),
        Just(Harm::BadKey),
    ]
}

struct HarmedEvent {
    /// The names on the way to the harmed value.
    names: Vec<String>,
    /// True if a key was added there, false if the value itself was replaced.
    added: bool,
    event: String,
}

/// Harms the value that `path` leads to.
fn inflict(tree: &serde_json::Value, record: usize, path: &[Index], harm: &Harm) -> HarmedEvent {
    let mut tree = tree.clone();
    let mut pointer = format!("/Records/{record}");
    let mut names = Vec::new();
    for step in path {
        let name = match tree.pointer(&pointer).unwrap() {
            serde_json::Value::Object(members) if !members.is_empty() => {
                members.keys().nth(step.index(members.len())).unwrap().clone()
            }
            serde_json::Value::Array(items) if !items.is_empty() => {
                step.index(items.len()).to_string()
            }
            _ => break,
        };
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        names.push(name);
    }
    let here = tree.pointer_mut(&pointer).unwrap();
    let mut added = false;
    let (mut value, mut name) = ("null".to_owned(), r#""\ud800""#.to_owned());
    match (harm, here) {
        (Harm::Twice | Harm::BadKey, serde_json::Value::Object(members)) => {
            if let (Harm::Twice, Some((first, _))) = (harm, members.iter().next()) {
                name = serde_json::to_string(first).unwrap();
            }
            members.insert(NAME.to_owned(), serde_json::Value::Null);
            added = true;
        }
        (harm, here) => {
            match harm {
                Harm::Hostile(text) => value = (*text).to_owned(),
                Harm::Nest(depth) => {
                    value = format!("{}{}", "[".repeat(*depth), "]".repeat(*depth));
                }
                Harm::Remove | Harm::Twice | Harm::BadKey => {}
            }
            *here = VALUE.into();
        }
    }
    let text = serde_json::to_string(&tree).unwrap();
    let event = text.replace(&format!("\"{VALUE}\""), &value);
    HarmedEvent { names, added, event: event.replace(&format!("\"{NAME}\""), &name) }
}

/// Returns true if a record with this harm still has its whole identity.
fn is_still_identified(harmed: &HarmedEvent, harm: &Harm) -> bool {
    let names: Vec<&str> = harmed.names.iter().map(String::as_str).collect();
    let payload = matches!(
        names.as_slice(),
        ["body" | "messageAttributes", ..]
            | ["kinesis", "data" | "partitionKey"]
            | ["dynamodb", "Keys" | "NewImage" | "OldImage", ..]
    );
    payload || harmed.added && matches!(harm, Harm::BadKey)
}

fn same_identity(left: &FlatDelivery<'_>, right: &FlatDelivery<'_>) -> bool {
    same_vouched(left, right) && left.origin == right.origin
}

/// Returns true if two deliveries have the same identity from AWS. A change in a Kinesis record has one
/// of its own, unless the record can't be read.
fn same_vouched(left: &FlatDelivery<'_>, right: &FlatDelivery<'_>) -> bool {
    left.receipt == right.receipt
        && left.group == right.group
        && left.source == right.source
        && left.origin.vouched() == right.origin.vouched()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn each_record_has_one_delivery_however_the_bytes_are_damaged(
        event in any::<Index>(),
        blows in prop::collection::vec(blow(), 1..6),
    ) {
        let mut event = event.get(&EVENTS).clone();
        for (at, blow) in &blows {
            strike(&mut event, *at, blow);
        }
        let ours = read(&event);
        let Ok(theirs) = serde_json::from_slice::<SplitEvent<'_>>(&event) else { return Ok(()) };
        match ours {
            Ok(ours) => {
                let ours = flat(ours);
                let ours: Vec<&[u8]> = ours.iter().map(|it| it.raw).collect();
                let theirs: Vec<&[u8]> =
                    theirs.records.iter().map(|it| it.get().as_bytes()).collect();
                prop_assert_eq!(ours, theirs);
            }
            // A damaged eventSource may be a foreign one, and the only record's ARN may be gone.
            Err(EventError::Source(_)) => {}
            Err(error @ EventError::NotAnEvent(_)) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn whatever_a_record_says_it_costs_only_itself(
        tree in any::<Index>(),
        record in any::<Index>(),
        path in prop::collection::vec(any::<Index>(), 0..6),
        harm in harm(),
    ) {
        let tree = tree.get(&TREES);
        let record = record.index(tree["Records"].as_array().unwrap().len());
        let whole = serde_json::to_string(tree).unwrap();
        let before = flat(read(whole.as_bytes()).unwrap());
        let harmed = inflict(tree, record, &path, &harm);
        let (names, text) = (&harmed.names, &harmed.event);
        let after = match read(text.as_bytes()) {
            Ok(after) => flat(after),
            Err(error) => {
                // Only the record's source may fail the event: a foreign eventSource, or no source
                // and no other record that names one.
                let sender = names.is_empty() && !harmed.added
                    || names.first().is_some_and(|it| it.starts_with("eventSource"));
                let named = matches!(harm, Harm::Hostile(it) if it.starts_with('"') && it.len() > 2)
                    && names.first().is_some_and(|it| it == "eventSource");
                let others =
                    before.iter().enumerate().any(|(at, it)| at != record && it.record.is_ok());
                prop_assert!(
                    matches!(error, EventError::Source(_)) && sender && (named || !others),
                    "{} at {:?}: {}", error, names, text
                );
                return Ok(());
            }
        };
        prop_assert_eq!(after.len(), before.len());
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            if at != record {
                prop_assert!(same_identity(before, after), "record {}: {}", at, text);
                prop_assert_eq!((&before.raw, &before.record), (&after.raw, &after.record));
            } else if is_still_identified(&harmed, &harm) && before.is_whole && after.is_whole {
                prop_assert!(same_vouched(before, after), "{:?}: {}", after.origin, text);
            }
        }
    }
}
