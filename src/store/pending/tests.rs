use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iceberg::spec::TableMetadata;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::codec::{Reader, read_row, write_row};
use super::gate::Gate;
use super::object::{self, ObjectName, PendingRow, UnreadableObject};
use crate::number::Number;
use crate::record::{DeletedBy, Lineage, Op, Row};
use crate::store::clock::Clock;
use crate::store::head::HeadVersion;
use crate::table_name::TableName;
use crate::time::Timestamp;
use crate::value::{Set, Value};

fn number() -> impl Strategy<Value = Number> {
    let literal = "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,9})?(e-?[0-9]{1,9})?";
    literal.prop_map(|it| Number::parse(&it).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..9);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        ".{0,9}".prop_map(Value::Text),
        bytes().prop_map(Value::Binary),
        prop::collection::vec(".{0,4}", 0..4).prop_map(|it| Value::Set(Set::Text(it))),
        prop::collection::vec(number(), 0..4).prop_map(|it| Value::Set(Set::Number(it))),
        prop::collection::vec(bytes(), 0..4).prop_map(|it| Value::Set(Set::Binary(it))),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec((".{0,5}", inner), 0..5).prop_map(Value::Map),
        ]
    })
}

prop_compose! {
    fn row()(
        id in ".{1,20}",
        source in ".{1,20}",
        texts in prop::array::uniform5(prop::option::of(".{0,9}")),
        times in prop::array::uniform2(prop::option::of(-1_000_000_000_000_000..1_i64 << 53)),
        id_window in prop::option::of(any::<i64>()),
        moved in any::<bool>(),
        op in prop::sample::select(&[Op::Event, Op::Insert, Op::Update, Op::Delete, Op::Read][..]),
        deleted_by in prop::sample::select(
            &[None, Some(DeletedBy::Ttl), Some(DeletedBy::User)][..],
        ),
        fields in prop::collection::vec((".{0,9}", value()), 0..6),
    ) -> Row {
        let [shard, key, position, digest, before] = texts;
        let [event_at, arrived_at] = times.map(|it| it.and_then(Timestamp::from_micros));
        let lineage = Lineage {
            id, source, shard, key, position, op, deleted_by, event_at, arrived_at, digest, moved,
            id_window, before,
        };
        Row { lineage, fields }
    }
}

fn table() -> TableName {
    "shop.orders".parse().unwrap()
}

/// Equality of numbers is numeric; here each digit counts.
fn exactly(row: &Row) -> String {
    format!("{row:?}")
}

fn objects(rows: &[PendingRow]) -> Vec<bytes::Bytes> {
    let parts = object::pack(rows).into_iter();
    parts.map(|(rows, unpacked)| object::write(&table(), rows, &unpacked).unwrap().1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_are_read_as_they_were_written(rows in prop::collection::vec((row(), prop::option::of(row())), 1..5)) {
        let rows: Vec<PendingRow> =
            rows.into_iter().map(|(row, original)| PendingRow { row, original }).collect();
        let all = objects(&rows);
        prop_assert_eq!(all.len(), 1);
        let (read, _) = object::read(&table(), &all[0]).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{rows:?}"));
    }

    #[test]
    fn bytes_that_are_not_rows_are_an_error(row in row(), cut in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = Vec::new();
        write_row(&row, &mut bytes);
        let at = cut.index(bytes.len());
        prop_assert!(read_row(&mut Reader::new(&bytes[..at])).is_err());
        bytes[at] = to;
        // Whatever it is, it ends, and reserves no memory that is not there.
        if let Ok(read) = read_row(&mut Reader::new(&bytes)) {
            prop_assert!(exactly(&read).len() < 100_000);
        }
    }

    #[test]
    fn a_damaged_object_is_never_read(row in row(), at in any::<prop::sample::Index>(), with in 1..=255_u8) {
        let rows = [PendingRow { row, original: None }];
        let mut bytes = objects(&rows).remove(0).to_vec();
        let at = at.index(bytes.len());
        let end = bytes.iter().position(|it| *it == b'\n').unwrap();
        bytes[at] ^= with;
        let read = object::read(&table(), &bytes);
        // A damaged description may still be of the same rows.
        prop_assert!(at < end || read.is_err());
        if let Ok((read, _)) = read {
            prop_assert_eq!(exactly(&read[0].row), exactly(&rows[0].row));
        }
    }
}

#[test]
fn many_rows_are_cut_into_several_objects() {
    let large = |n: usize| {
        let fields = vec![("text".to_owned(), Value::Text("x".repeat(3_000_000 + n)))];
        let row = Row { lineage: Lineage::new("queue", n.to_string()), fields };
        PendingRow { row, original: None }
    };
    let rows: Vec<PendingRow> = (0..7).map(large).collect();
    let all = objects(&rows);
    assert_eq!(all.len(), 4);
    let read = all.iter().flat_map(|it| object::read(&table(), it).unwrap().0);
    assert!(read.eq(rows));
}

#[test]
fn an_object_says_what_it_is() {
    let mut row = Row { lineage: Lineage::new("arn:queue", "1"), fields: Vec::new() };
    row.lineage.position = Some("7".to_owned());
    row.lineage.arrived_at = Timestamp::from_micros(1_795_428_000_000_000);
    let object = objects(&[PendingRow { row, original: None }]).remove(0);
    let line = object.split(|it| *it == b'\n').next().unwrap();
    let line: serde_json::Value = serde_json::from_slice(line).unwrap();
    assert_eq!((&line["table"], &line["rows"]), (&"shop.orders".into(), &1.into()));
    let time = "2026-11-23T10:00:00Z";
    let expected = serde_json::json!([
        {"source": "arn:queue", "rows": 1, "positions": ["7", "7"], "arrived": [time, time]}
    ]);
    assert_eq!(line["origins"], expected);
    let other: TableName = "shop.other".parse().unwrap();
    assert!(matches!(object::read(&other, &object), Err(UnreadableObject::Damaged(_))));
    let later = String::from_utf8_lossy(&object).replace("pending\":1,", "pending\":2,");
    assert_eq!(object::read(&table(), later.as_bytes()), Err(UnreadableObject::Later));
}

#[test]
fn a_name_says_when_and_how_many() {
    let name = "1795428000000-0b3e6f0e-6f3b-4a50-9d35-3f3f0c0a1b2c-1-250";
    let parsed = ObjectName::parse(name).unwrap();
    assert_eq!((parsed.began, parsed.part, parsed.rows), (1_795_428_000_000, 1, 250));
    assert_eq!(parsed.to_string(), name);
    for other in ["", "v1.metadata.json", "1-2-3-4", ".tmp-1", "1795428000000-x-1-250"] {
        assert_eq!(ObjectName::parse(other), None, "{other}");
    }
}

const MORNING: u64 = 1_795_428_000;

/// A clock in seconds after the morning.
fn clock() -> (Clock, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(0));
    let of_clock = Arc::clone(&now);
    let clock = Clock::from_fn(move || at(of_clock.load(Ordering::Relaxed)));
    (clock, now)
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(MORNING + second)
}

/// A head that a commit has made in some second.
fn head(commit: &str, second: u64) -> HeadVersion {
    head_by("append", commit, second)
}

fn head_by(operation: &str, commit: &str, second: u64) -> HeadVersion {
    let metadata = serde_json::json!({
        "format-version": 2, "table-uuid": "0b3e6f0e-6f3b-4a50-9d35-3f3f0c0a1b2c",
        "location": "memory:/lake", "last-sequence-number": 1,
        "last-updated-ms": (MORNING + second) * 1000, "last-column-id": 0,
        "current-schema-id": 0, "schemas": [{"schema-id": 0, "type": "struct", "fields": []}],
        "default-spec-id": 0, "partition-specs": [{"spec-id": 0, "fields": []}],
        "last-partition-id": 999, "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {"lakeward.commit": commit}, "current-snapshot-id": 1,
        "refs": {"main": {"snapshot-id": 1, "type": "branch"}},
        "snapshots": [{
            "snapshot-id": 1, "sequence-number": 1, "timestamp-ms": (MORNING + second) * 1000,
            "manifest-list": "memory:/lake/snap-1.avro", "schema-id": 0,
            "summary": {"operation": operation, "lakeward.commit": commit},
        }],
    });
    let metadata: TableMetadata = serde_json::from_value(metadata).unwrap();
    HeadVersion {
        metadata: Arc::new(metadata),
        location: String::new(),
        token: 1,
        loaded_at: at(second),
    }
}

#[test]
fn rows_are_left_only_while_others_commit() {
    let (clock, now) = clock();
    let gate = Gate::new(clock);
    assert!(!gate.is_shut(&head("other", 0)), "no swap was lost");
    gate.lost();
    assert!(gate.is_shut(&head("other", 0)));
    now.store(2, Ordering::Relaxed);
    assert!(gate.is_shut(&head("other", 1)));
    gate.won(&head("other", 1), "own");
    assert!(!gate.is_shut(&head("own", 2)), "the head is its own");
    assert!(gate.is_shut(&head("other", 2)));
    assert!(!gate.is_shut(&head_by("replace", "other", 2)), "compaction takes no rows along");
    now.store(9, Ordering::Relaxed);
    assert!(!gate.is_shut(&head("other", 2)), "no commit for seven seconds");
    // The clocks of others may be wrong; then nothing is known, and no writer waits.
    assert!(!gate.is_shut(&head("other", 3_600)));
    now.store(70, Ordering::Relaxed);
    assert!(!gate.is_shut(&head("other", 70)), "the swap was lost more than a minute ago");
}

#[test]
fn for_a_second_rows_are_left_without_a_look() {
    let (clock, now) = clock();
    let gate = Gate::new(clock);
    assert!(!gate.is_still_shut());
    gate.left(true);
    now.store(1, Ordering::Relaxed);
    assert!(gate.is_still_shut());
    now.store(3, Ordering::Relaxed);
    assert!(!gate.is_still_shut());
}

#[test]
fn a_look_is_needed_when_others_may_have_left_rows() {
    let (clock, now) = clock();
    let gate = Gate::new(clock);
    assert!(gate.may_have_pending(&head("a", 0)), "the first time");
    gate.looked(&head("a", 0), false);
    assert!(!gate.may_have_pending(&head("a", 0)));
    gate.won(&head("a", 0), "b");
    assert!(!gate.may_have_pending(&head("b", 0)), "it has moved the head itself");
    assert!(gate.may_have_pending(&head("c", 0)), "another has");
    gate.looked(&head("c", 0), true);
    assert!(gate.may_have_pending(&head("c", 0)), "there were some");
    gate.looked(&head("c", 0), false);
    gate.lost();
    assert!(gate.may_have_pending(&head("c", 0)), "a swap was lost");
    gate.looked(&head("c", 0), false);
    gate.left(false);
    assert!(gate.may_have_pending(&head("c", 0)), "it has left some itself");
    gate.looked(&head("c", 0), false);
    now.store(7, Ordering::Relaxed);
    assert!(!gate.may_have_pending(&head("c", 0)), "a quiet writer");
    gate.won(&head("c", 0), "d");
    assert!(gate.may_have_pending(&head("d", 7)), "others leave their rows to a busy one");
}

#[test]
fn a_commit_takes_as_much_along_as_is_quick() {
    let gate = Gate::new(clock().0);
    let first = gate.max_taken();
    gate.took(first, Duration::from_millis(500));
    assert_eq!(gate.max_taken(), 2 * first);
    // It did not take all that it might.
    gate.took(first, Duration::from_millis(500));
    assert_eq!(gate.max_taken(), 2 * first);
    for _ in 0..20 {
        gate.took(first, Duration::from_secs(3));
    }
    assert!((1..first).contains(&gate.max_taken()));
}
