//! Matching of records by routes.

use super::*;
use crate::number::Number;
use crate::record::{Op, Payload};
use crate::table::declared::DeclaredType;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::time::Timestamp;
use crate::value::{Fields, Value};

fn text(it: &str) -> Value {
    Value::Text(it.to_owned())
}

fn fields(of: &[(&str, Value)]) -> Fields {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn when(path: &str, patterns: &[&str]) -> Condition {
    Condition {
        path: path.parse().unwrap(),
        patterns: patterns.iter().map(|it| Pattern::new(*it)).collect(),
    }
}

fn route(name: &str, source: &str, when: Vec<Condition>) -> Route {
    Route {
        name: name.to_owned(),
        source: Pattern::new(source),
        when,
        unwrap: None,
        target: Target::Drop,
        steps: Vec::new(),
        id: None,
        event_at: None,
        return_rejects: false,
    }
}

fn record(payload: Payload, attributes: Fields) -> Record {
    let attributes = Some(attributes.into());
    Record { key: None, op: Op::Event, deleted_by: None, payload, attributes, envelope: None }
}

fn event(of: &[(&str, Value)]) -> Record {
    record(Payload::Event(fields(of)), Vec::new())
}

#[test]
fn the_first_route_whose_source_and_when_match_is_chosen() {
    let routes = [
        route("queue", "arn:aws:sqs:*", vec![]),
        route("meta", "arn:aws:kinesis:*", vec![when("pk", &["ORDER#*"]), when("sk", &["META"])]),
        route("order", "arn:aws:kinesis:*", vec![when("pk", &["ORDER#*", "CART#*"])]),
    ];
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events".parse().unwrap();
    let known = of_source(&routes, &arn);
    assert_eq!(known.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["meta", "order"]);
    let name = |pk: &str, sk: &str| {
        choose(&known, &event(&[("pk", text(pk)), ("sk", text(sk))])).map(|it| it.name.as_str())
    };
    assert_eq!(name("ORDER#1", "META"), Some("meta"));
    assert_eq!(name("ORDER#1", "LINE"), Some("order"));
    assert_eq!(name("CART#1", "META"), Some("order"));
    assert_eq!(name("USER#1", "META"), None);
}

#[test]
fn only_single_values_match() {
    let number = Value::Number(Number::parse("2").unwrap());
    for (value, pattern, expected) in [
        (text("2"), "2", true),
        (number.clone(), "2", true),
        (number, "3", false),
        (Value::Bool(true), "true", true),
        (Value::Bool(false), "true", false),
        (Value::Null, "*", false),
        (Value::List(vec![text("a")]), "*", false),
        (Value::Map(vec![]), "*", false),
        (Value::Binary(b"a".to_vec()), "*", false),
    ] {
        assert_eq!(
            when("v", &[pattern]).matches(&event(&[("v", value.clone())])),
            expected,
            "{pattern} on {value:?}"
        );
    }
    assert!(!when("absent", &["*"]).matches(&event(&[])));
    assert!(when("d.t", &["x"]).matches(&event(&[("d", Value::Map(fields(&[("t", text("x"))])))])));
}

#[test]
fn a_change_shows_its_new_image_else_its_old_one_else_its_keys() {
    let of = |it: &str| Some(fields(&[("s", text(it))]));
    let change =
        |new, old| record(Payload::Change { keys: of("keys").unwrap(), new, old }, Vec::new());
    assert!(when("s", &["new"]).matches(&change(of("new"), of("old"))));
    assert!(when("s", &["old"]).matches(&change(None, of("old"))));
    assert!(when("s", &["keys"]).matches(&change(None, None)));
    assert!(!when("s", &["*"]).matches(&change(Some(Vec::new()), of("old"))), "empty is an image");
}

#[test]
fn paths_to_attributes_lead_into_those_of_a_message() {
    let body = fields(&[("attributes", Value::Map(fields(&[("a", text("body"))])))]);
    let message = |attributes| record(Payload::Event(body.clone()), attributes);
    let with = message(fields(&[("a", text("message"))]));
    assert!(when("attributes.a", &["message"]).matches(&with));
    assert!(!when("attributes.a", &["body"]).matches(&with));
    assert!(!when("a", &["message"]).matches(&with));
    assert!(
        !when("attributes.a", &["*"]).matches(&message(Vec::new())),
        "a body can't pose as attributes"
    );
    let elsewhere = Record { attributes: None, ..message(Vec::new()) };
    assert!(when("attributes.a", &["body"]).matches(&elsewhere));
}

#[test]
fn a_route_covers_a_later_one_that_gets_no_record() {
    let any = "arn:aws:sqs:*";
    let one = "arn:aws:sqs:eu-west-1:1:q";
    for (earlier, later, expected) in [
        (route("", any, vec![]), route("", one, vec![when("a", &["x"])]), true),
        (route("", one, vec![]), route("", any, vec![]), false),
        (route("", any, vec![when("a", &["x"])]), route("", any, vec![]), false),
        (
            route("", any, vec![when("a", &["x*", "y"])]),
            route("", one, vec![when("b", &["z"]), when("a", &["xy", "y"])]),
            true,
        ),
        (
            route("", any, vec![when("a", &["x*"])]),
            route("", any, vec![when("a", &["xy", "y"])]),
            false,
        ),
    ] {
        assert_eq!(earlier.covers(&later), expected, "{earlier:?} {later:?}");
    }
}

/// Returns the event time at a path of a row's fields.
fn time_at(path: &str, policy: &Policy, row: &Fields) -> Option<Timestamp> {
    event_time(&path.parse().unwrap(), policy, &event(&[]), row)
}

#[test]
fn event_time_is_read_by_the_declared_type_and_never_guessed() {
    let at = Timestamp::from_rfc3339("2026-11-23T10:15:00Z").unwrap();
    let seconds = Value::Number(Number::parse("1795428900").unwrap());
    let millis = Value::Number(Number::parse("1795428900000").unwrap());
    let iso = text("2026-11-23T10:15:00Z");
    for (path, column, value, expected) in [
        ("t", None, iso.clone(), Some(at)),
        ("t", None, seconds.clone(), None),
        ("t", None, text("today"), None),
        ("t", Some(("t", "timestamp(s)")), seconds.clone(), Some(at)),
        ("t", Some(("t", "timestamp(ms)")), millis.clone(), Some(at)),
        ("t", Some(("t", "timestamp(ms)")), iso.clone(), None),
        ("t", Some(("t", "timestamp(rfc3339)")), iso.clone(), Some(at)),
        ("t", Some(("t", "timestamp(rfc3339)")), seconds.clone(), None),
        ("t", Some(("t", "string")), iso.clone(), Some(at)),
        ("t", Some(("t", "long")), seconds.clone(), None),
        ("issuedAt", Some(("issued_at", "timestamp(s)")), seconds.clone(), Some(at)),
        ("issuedAt", Some(("issuedAt", "timestamp(s)")), seconds.clone(), Some(at)),
        ("absent", Some(("t", "timestamp(s)")), seconds, None),
    ] {
        let policy = Policy {
            columns: column
                .iter()
                .map(|(name, ty)| DeclaredColumn {
                    name: (*name).to_owned(),
                    ty: ty.parse().unwrap(),
                    doc: None,
                })
                .collect(),
            ..Policy::default()
        };
        let name = if path == "absent" { "t" } else { path };
        let fields = fields(&[(name, value.clone())]);
        assert_eq!(time_at(path, &policy, &fields), expected, "{path} {column:?} {value:?}");
    }
    let policy = Policy {
        columns: vec![DeclaredColumn { name: "d".to_owned(), ty: DeclaredType::Date, doc: None }],
        ..Policy::default()
    };
    assert_eq!(
        time_at("d", &policy, &fields(&[("d", text("2026-11-23"))])),
        Timestamp::from_rfc3339("2026-11-23T00:00:00Z")
    );
}

#[test]
fn event_time_may_lie_in_a_declared_struct() {
    let policy = Policy {
        columns: vec![DeclaredColumn {
            name: "detail".to_owned(),
            ty: DeclaredType::Struct(vec![("at".to_owned(), DeclaredType::Date)]),
            doc: None,
        }],
        ..Policy::default()
    };
    let found = fields(&[("detail", Value::Map(fields(&[("at", text("1970-01-02"))])))]);
    assert_eq!(time_at("detail.at", &policy, &found), Timestamp::from_micros(86_400_000_000));
}

#[test]
fn event_time_may_lie_in_the_metadata() {
    let at = |it: &str| Timestamp::from_rfc3339(it);
    let [body, message] = ["2026-11-23T10:15:00Z", "2026-11-23T10:16:00Z"];
    let row = fields(&[("attributes", text(body)), ("sent", text(body))]);
    let record = record(Payload::Event(row.clone()), fields(&[("sent", text(message))]));
    let policy = |columns| Policy { columns, ..Policy::default() };
    let seconds = DeclaredColumn {
        name: "attributes.sent".to_owned(),
        ty: "timestamp(s)".parse().unwrap(),
        doc: None,
    };
    for (path, columns, expected) in [
        ("attributes.sent", vec![], at(message)),
        ("attributes.sent", vec![seconds], None),
        ("attributes.absent", vec![], None),
        ("attributes", vec![], at(body)),
        ("sent", vec![], at(body)),
    ] {
        let found = event_time(&path.parse().unwrap(), &policy(columns), &record, &row);
        assert_eq!(found, expected, "{path}");
    }
}
