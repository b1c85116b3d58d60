//! Steps on records, and the rows that they make.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::config::{self, Overrides};
use crate::json;
use crate::record::Op;
use crate::secret::Keyring;

/// Returns the fields of a JSON object.
fn fields(text: &str) -> Fields {
    match json::parse(text.as_bytes()).unwrap() {
        json::Json::Object(members) => value::fields(members),
        other => panic!("{other:?}"),
    }
}

fn json_of(fields: &Fields) -> String {
    canonical(fields)
}

/// Returns a route with these lines in its `[[route]]`, and the policy of its table.
fn config(lines: &str, table: &str) -> (Route, Policy) {
    let text = format!(
        "version = 1\n[[route]]\nsource = \"arn:aws:sqs:*:*:q\"\ntable = \"a.b\"\n{lines}\n\
         [table.\"a.b\"]\n{table}\n"
    );
    let checked = config::check(&text, &Overrides::default());
    let config = checked.config.unwrap_or_else(|| panic!("{:?}", checked.problems));
    let policy = config.tables.values().next().unwrap().clone();
    (config.routes.into_iter().next().unwrap(), policy)
}

/// Returns the keys that the tests' environment has.
fn hash_keys() -> Arc<Keys> {
    let references = BTreeSet::from(["env:LAKEWARD_HASH_KEY".parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Keyring::default().keys(&references)).unwrap()
}

fn event(payload: &str) -> Record {
    Record {
        key: None,
        op: Op::Event,
        deleted_by: None,
        payload: Payload::Event(fields(payload)),
        attributes: None,
        envelope: None,
    }
}

fn change(op: Op, keys: &str, new: Option<&str>, old: Option<&str>) -> Record {
    let (new, old) = (new.map(fields), old.map(fields));
    Record { op, payload: Payload::Change { keys: fields(keys), new, old }, ..event("{}") }
}

fn row_of((route, policy): &(Route, Policy), record: Record) -> Result<Option<Row>, Reject> {
    let origin = Origin {
        id: Some("the message".to_owned()),
        position: Some("1".to_owned()),
        ..Origin::default()
    };
    row(route, policy, &hash_keys(), &origin, record)
}

/// Returns the row that must come of a record.
fn made(config: &(Route, Policy), record: Record) -> Row {
    match row_of(config, record) {
        Ok(Some(row)) => row,
        other => panic!("{other:?}"),
    }
}

/// Returns a record's fields after one step.
fn after(step: &str, payload: &str) -> String {
    json_of(&made(&config(&format!("transform = [{step}]"), ""), event(payload)).fields)
}

fn reason(config: &(Route, Policy), record: Record) -> &'static str {
    row_of(config, record).unwrap_err().reason
}

#[test]
fn drop_removes_the_selected_fields_and_no_others() {
    for (selector, left) in [
        ("a", r#"{"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#),
        ("a.x", r#"{"a":{"y":2},"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#),
        ("b[].c", r#"{"a":{"x":1,"y":2},"b":[{"d":4},5,[{"c":6}]],"e":null}"#),
        ("b[][].c", r#"{"a":{"x":1,"y":2},"b":[{"c":3,"d":4},5,[{}]],"e":null}"#),
        ("b[]", r#"{"a":{"x":1,"y":2},"b":[],"e":null}"#),
        ("b.c", r#"{"a":{"x":1,"y":2},"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#),
        ("a[].x", r#"{"a":{"x":1,"y":2},"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#),
        ("z.z", r#"{"a":{"x":1,"y":2},"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#),
    ] {
        let whole = r#"{"a":{"x":1,"y":2},"b":[{"c":3,"d":4},5,[{"c":6}]],"e":null}"#;
        assert_eq!(after(&format!("{{ drop = ['{selector}'] }}"), whole), left, "{selector}");
    }
}

#[test]
fn keep_removes_all_other_fields() {
    let whole = r#"{"a":{"x":1,"y":{"z":2}},"b":[{"c":3,"d":4},5],"e":"text"}"#;
    for (selectors, left) in [
        ("'e'", r#"{"e":"text"}"#),
        ("'a.x', 'e'", r#"{"a":{"x":1},"e":"text"}"#),
        ("'a.y', 'a.y.z'", r#"{"a":{"y":{"z":2}}}"#),
        ("'b[].c'", r#"{"b":[{"c":3}]}"#),
        ("'b[]'", r#"{"b":[{"c":3,"d":4},5]}"#),
        ("'e.f', 'e[]', 'b.c', 'nothing'", "{}"),
    ] {
        assert_eq!(after(&format!("{{ keep = [{selectors}] }}"), whole), left, "{selectors}");
    }
}

#[test]
fn a_name_with_dots_and_brackets_is_one_name_in_quotes() {
    let whole = r#"{"a":{"b":1},"a.b":2,"c[]":3}"#;
    assert_eq!(after(r#"{ drop = ['"a.b"'] }"#, whole), r#"{"a":{"b":1},"c[]":3}"#);
    assert_eq!(after(r#"{ drop = ['"c[]"'] }"#, whole), r#"{"a":{"b":1},"a.b":2}"#);
}

#[test]
fn rename_keeps_the_order_of_fields() {
    let step = r#"{ rename = { a = "z", "b[].c" = "d", "e.f" = "g" } }"#;
    let whole = r#"{"a":1,"b":[{"c":2},{"x":3}],"e":{"f":4}}"#;
    let row = made(&config(&format!("transform = [{step}]"), ""), event(whole));
    let mut text = String::new();
    Value::Map(row.fields).write_json(false, &mut text);
    assert_eq!(text, r#"{"z":1,"b":[{"d":2},{"x":3}],"e":{"g":4}}"#);
}

#[test]
fn rename_never_overwrites_a_field() {
    let to_b = config(r#"transform = [{ rename = { a = "b" } }]"#, "");
    assert_eq!(reason(&to_b, event(r#"{"a":1,"b":null}"#)), "name_taken");
    assert_eq!(json_of(&made(&to_b, event(r#"{"b":1}"#)).fields), r#"{"b":1}"#);
    let nested = config(r#"transform = [{ rename = { "l[].a" = "b" } }]"#, "");
    assert_eq!(reason(&nested, event(r#"{"l":[{"a":1},{"a":1,"b":2}]}"#)), "name_taken");
    // In file order: the field of that name may be renamed first.
    let moved = config(r#"transform = [{ rename = { b = "c", a = "b" } }]"#, "");
    assert_eq!(json_of(&made(&moved, event(r#"{"a":1,"b":2}"#)).fields), r#"{"b":1,"c":2}"#);
}

#[test]
fn an_old_image_that_is_in_no_row_does_not_clash() {
    let lines = r#"transform = [{ rename = { a = "b" } }]"#;
    let record = || change(Op::Update, "{}", Some(r#"{"a":1}"#), Some(r#"{"a":1,"b":2}"#));
    let row = made(&config(lines, ""), record());
    assert_eq!((json_of(&row.fields), row.lineage.before), (r#"{"b":1}"#.to_owned(), None));
    assert_eq!(reason(&config(lines, "old_image = \"json\""), record()), "name_taken");
}

#[test]
fn the_key_has_its_delivered_names_and_the_values_that_the_steps_left() {
    let keys = r#"{"pk":"A","sk":5}"#;
    for (steps, key, row) in [
        (r#"{ rename = { pk = "id" } }"#, r#"{"pk":"A","sk":5}"#, r#"{"id":"A","sk":5}"#),
        (r#"{ drop = ["sk"] }"#, r#"{"pk":"A"}"#, r#"{"pk":"A"}"#),
        (r#"{ keep = ["nothing"] }"#, r#"{"pk":"A","sk":5}"#, r#"{"pk":"A","sk":5}"#),
        (
            r#"{ rename = { pk = "id" } }, { drop = ["id"] }, { rename = { sk = "id" } }"#,
            r#"{"sk":5}"#,
            r#"{"id":5}"#,
        ),
        (r#"{ drop = ["pk"] }, { rename = { sk = "pk" } }"#, r#"{"sk":5}"#, r#"{"pk":5}"#),
    ] {
        let config = config(&format!("transform = [{steps}]"), "");
        // With an image, and as keys alone.
        for new in [Some(keys), None] {
            let made = made(&config, change(Op::Update, keys, new, None));
            assert_eq!(made.lineage.key.as_deref(), Some(key), "{steps}");
            assert_eq!(json_of(&made.fields), row, "{steps}");
        }
    }
    let hash = r#"transform = [{ hash = ["pk"], key = "env:LAKEWARD_HASH_KEY" }]"#;
    let made = made(&config(hash, ""), change(Op::Delete, keys, None, Some(keys)));
    assert_eq!(made.lineage.key.as_deref(), Some(json_of(&made.fields).as_str()));
    assert!(!json_of(&made.fields).contains("\"A\""));
}

#[test]
fn a_renamed_envelope_field_becomes_a_field_of_the_row() {
    let config = config(r#"transform = [{ rename = { "envelope.tableName" = "table" } }]"#, "");
    let keys = r#"{"pk":"A"}"#;
    for (op, new, old, expected) in [
        (Op::Insert, Some(r#"{"pk":"A","x":1}"#), None, r#"{"pk":"A","table":"t","x":1}"#),
        (Op::Update, None, Some(r#"{"pk":"A","x":1}"#), r#"{"pk":"A","table":"t"}"#),
        (Op::Delete, None, None, r#"{"pk":"A","table":"t"}"#),
        (Op::Delete, None, Some(r#"{"pk":"A","x":1}"#), r#"{"pk":"A","table":"t","x":1}"#),
    ] {
        let mut record = change(op, keys, new, old);
        record.envelope = Some(fields(r#"{"tableName":"t"}"#).into());
        let made = made(&config, record);
        assert_eq!(json_of(&made.fields), expected);
        assert_eq!(made.lineage.key.as_deref(), Some(keys));
    }
    let mut clash = event(r#"{"table":1}"#);
    clash.envelope = Some(fields(r#"{"tableName":"t"}"#).into());
    assert_eq!(reason(&config, clash), "name_taken");
}

#[test]
fn a_hidden_name_is_hidden_in_attributes_and_in_the_body() {
    let record = || {
        let mut record = event(r#"{"attributes":{"ssn":"in the body"}}"#);
        record.attributes = Some(fields(r#"{"ssn":"in the message","other":1}"#).into());
        record
    };
    let columns = "[table.\"a.b\".columns]\n\"attributes.ssn\" = \"string\"";
    for step in [
        r#"{ drop = ["attributes.ssn"] }"#,
        r#"{ hash = ["attributes.ssn"], key = "env:LAKEWARD_HASH_KEY" }"#,
    ] {
        let row = made(&config(&format!("transform = [{step}]"), columns), record());
        assert!(!json_of(&row.fields).contains(" the "), "{step}: {:?}", row.fields);
    }
    let row = made(&config("", columns), record());
    assert!(json_of(&row.fields).contains(r#""attributes.ssn":"in the message""#));
}

#[test]
fn a_list_named_attributes_is_the_records_own() {
    let mut record = event(r#"{"attributes":[{"ssn":1,"x":2}]}"#);
    record.attributes = Some(Fields::new().into());
    let row = made(&config(r#"transform = [{ drop = ["attributes[].ssn"] }]"#, ""), record);
    assert_eq!(json_of(&row.fields), r#"{"attributes":[{"x":2}]}"#);
}

#[test]
fn declared_columns_take_attributes_of_any_name() {
    let columns = "[table.\"a.b\".columns]\n\"attributes.trace.id\" = \"string\"\n\
                   'attributes.\"b.c\"' = \"string\"\n\"envelope.outer.inner\" = \"long\"\n\
                   \"attributes.absent\" = \"string\"";
    let config = config("", columns);
    let record = |payload: &str| {
        let mut record = event(payload);
        record.attributes = Some(fields(r#"{"trace.id":"t","b.c":"d"}"#).into());
        record.envelope = Some(fields(r#"{"outer":{"inner":5}}"#).into());
        record
    };
    assert_eq!(
        json_of(&made(&config, record("{}")).fields),
        r#"{"attributes.\"b.c\"":"d","attributes.trace.id":"t","envelope.outer.inner":5}"#
    );
    assert_eq!(reason(&config, record(r#"{"attributes.trace.id":1}"#)), "name_taken");
}

#[test]
fn require_looks_at_the_fields_of_the_row() {
    let config = config(r#"transform = [{ require = ["a.b"] }]"#, "");
    for (record, missing) in [
        (event(r#"{"a":{"b":0}}"#), false),
        (event(r#"{"a":{"b":null}}"#), true),
        (event(r#"{"a":1}"#), true),
        (change(Op::Update, "{}", Some("{}"), Some(r#"{"a":{"b":1}}"#)), true),
        (change(Op::Update, "{}", None, Some("{}")), false),
        (change(Op::Delete, "{}", None, Some("{}")), true),
        (change(Op::Delete, "{}", None, None), false),
    ] {
        let shown = format!("{record:?}");
        match row_of(&config, record) {
            Ok(_) => assert!(!missing, "{shown}"),
            Err(reject) => {
                assert!(missing && reject.reason == "missing_field", "{shown}");
                assert!(reject.detail.contains("a.b"), "{}", reject.detail);
            }
        }
    }
}

#[test]
fn ids_are_texts_and_whole_numbers() {
    let config = config("id = \"id\"", "");
    let long = "9".repeat(50);
    for (id, expected) in [
        ("\"A1\"", Some("A1")),
        ("7", Some("7")),
        ("1.0", Some("1")),
        ("-12e2", Some("-1200")),
        (long.as_str(), Some(long.as_str())),
        ("1.5", None),
        ("1e999999999", None),
        ("\"\"", None),
        ("null", None),
        ("true", None),
        ("[1]", None),
        ("{}", None),
    ] {
        let found = row_of(&config, event(&format!("{{\"id\":{id}}}")));
        match (found, expected) {
            (Ok(Some(row)), Some(expected)) => assert_eq!(row.lineage.id, expected),
            (Err(reject), None) => assert_eq!(reject.reason, "no_id", "{id}"),
            (found, _) => panic!("{id}: {found:?}"),
        }
    }
    assert_eq!(reason(&config, event("{}")), "no_id");
}

#[test]
fn the_digest_is_of_the_payload_and_reveals_no_hidden_value() {
    let of = |steps: &str, payload: &str| {
        let lines = format!("id = \"id\"\ntransform = [{steps}]");
        made(&config(&lines, ""), event(payload)).lineage
    };
    let plain = of("", r#"{"id":1,"x":2}"#);
    // printf '{"id":1,"x":2}' | sha256sum
    let content = "d60139a2cefe8972e3ccacd7812d4a5a";
    // printf 'the message' | sha256sum
    let message = "c9946a075fd077dde6476a4669e543ca";
    assert_eq!(plain.digest, Some(format!("{content}{message}")));
    let renamed = of(r#"{ rename = { x = "y" } }, { require = ["y"] }"#, r#"{"x":2,"id":1}"#);
    assert_eq!(renamed.digest, plain.digest);
    for hides in [
        r#"{ drop = ["x"] }"#,
        r#"{ keep = ["id"] }"#,
        r#"{ hash = ["x"], key = "env:LAKEWARD_HASH_KEY" }, { drop = ["x"] }"#,
    ] {
        let [one, other] = [r#"{"id":1,"x":2}"#, r#"{"id":1,"x":3}"#].map(|it| of(hides, it));
        assert_eq!(one.digest, of("", r#"{"id":1}"#).digest, "{hides}");
        assert_eq!(other.digest, one.digest, "{hides}");
    }
    let hidden = of(r#"{ hash = ["id"], key = "env:LAKEWARD_HASH_KEY" }"#, r#"{"id":1}"#);
    assert_eq!((plain.id.as_str(), hidden.id.len()), ("1", 64));
    assert_eq!(plain.id_window, Some(15 * 86_400_000_000));
    let of = |lines: &str, payload: &str| made(&config(lines, ""), event(payload)).lineage;
    let other = of("", r#"{"id":1}"#);
    assert_eq!((other.digest, other.id_window, other.id), (None, None, "the message".to_owned()));
}

/// A step on the way to a canary: a member's name, or an index in a list.
#[derive(Debug, Clone)]
enum Turn {
    Member(String),
    Item(usize),
}

const CANARY: &str = "canary-77aa01";

/// Returns a payload with the canary at the end of some turns, among other values.
fn buried(turns: &[Turn]) -> Value {
    let Some((turn, rest)) = turns.split_first() else { return Value::Text(CANARY.to_owned()) };
    match turn {
        Turn::Member(name) => Value::Map(vec![
            ("before".to_owned(), Value::Bool(true)),
            (name.clone(), buried(rest)),
            ("behind".to_owned(), Value::List(vec![Value::Null])),
        ]),
        Turn::Item(at) => {
            let mut items = vec![Value::Text("beside".to_owned()); *at];
            items.push(buried(rest));
            Value::List(items)
        }
    }
}

/// Returns the selector that leads there, as a TOML string.
fn selector(turns: &[Turn]) -> String {
    let mut text = String::new();
    for turn in turns {
        match turn {
            Turn::Member(name) => {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(&format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")));
            }
            Turn::Item(_) => text.push_str("[]"),
        }
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let name = || "[a-z.\\[\\]\"\\\\ü]{1,4}";
    let turn = prop_oneof![name().prop_map(Turn::Member), (0_usize..3).prop_map(Turn::Item)];
    (name(), vec(turn, 0..4))
        .prop_map(|(first, rest)| std::iter::once(Turn::Member(first)).chain(rest).collect())
}

proptest! {
    #[test]
    fn a_selected_value_is_gone_wherever_it_is(turns in turns()) {
        let Value::Map(payload) = buried(&turns) else { panic!("no map") };
        let selector = selector(&turns);
        let steps = [
            format!("{{ drop = [{selector}] }}"),
            "{ keep = [\"before\", \"behind\"] }".to_owned(),
            format!("{{ hash = [{selector}], key = \"env:LAKEWARD_HASH_KEY\" }}"),
        ];
        for step in steps {
            let config = config(&format!("transform = [{step}]"), "old_image = \"json\"");
            let change = Payload::Change {
                keys: payload.clone(),
                new: Some(payload.clone()),
                old: Some(payload.clone()),
            };
            for payload in [Payload::Event(payload.clone()), change] {
                // The keys of an item always stay.
                if step.contains("keep") && matches!(payload, Payload::Change { .. }) {
                    continue;
                }
                let row = made(&config, Record { payload, ..event("{}") });
                prop_assert!(!format!("{row:?}").contains(CANARY), "{step}: {row:?}");
                prop_assert!(json_of(&row.fields).contains(r#""before":true"#), "{row:?}");
            }
        }
        let config = config(&format!("transform = [{{ keep = [{selector}] }}]"), "");
        let row = made(&config, Record { payload: Payload::Event(payload), ..event("{}") });
        prop_assert_eq!(json_of(&row.fields).matches(CANARY).count(), 1);
        prop_assert!(!json_of(&row.fields).contains("behind"), "{row:?}");
    }
}
