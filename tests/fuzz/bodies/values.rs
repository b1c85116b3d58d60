//! DynamoDB attribute values and JSON values: what is decoded and written again is the same, digit by
//! digit, and has a place in a table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::json::{self, Json};
use lakeward::name::Names;
use lakeward::record::{Content, Lineage, Payload, Record, Row};
use lakeward::source::{Event, Unwrap};
use lakeward::table::layout::{DeclaredColumn, Misfits, NewColumns, Numbers, Policy};
use lakeward::value::{Fields, Set, Value};

use super::{accounts, canary, exact};

/// Declared columns that seeds fill.
const DECLARED: [(&str, &str); 12] = [
    ("a_string", "string"),
    ("a_bool", "bool"),
    ("an_int", "int"),
    ("a_float", "float"),
    ("a_double", "double"),
    ("a_decimal", "decimal(12,2)"),
    ("taken", "timestamp(ms)"),
    ("in_text", "timestamp(rfc3339)"),
    ("a_binary", "binary"),
    ("a_list", "list<string>"),
    ("a_struct", "struct<a: long, b: string>"),
    ("a_json", "json"),
];

pub fn run(data: &[u8]) {
    let Ok(Json::Object(members)) = json::parse(data) else { return };
    let json: Fields =
        members.into_iter().map(|(name, it)| (name.into_owned(), Value::from_json(it))).collect();
    as_json(&json);
    let mut rows = vec![row(json)];
    if let Some(item) = decoded(data) {
        let again = decoded(encoded(&item).as_bytes());
        assert_eq!(again.as_ref(), Some(&item), "written and read again, it differs");
        literals(&again.unwrap_or_default(), &item);
        rows.push(row(item));
    }
    accounts::check(&rows, &policy(data));
}

/// The item that a stream would deliver as this text; `None` where it is none.
fn decoded(item: &[u8]) -> Option<Fields> {
    let begin = br#"{"Records":[{"eventID":"1","eventName":"INSERT","eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:r:1:table/t/stream/s","dynamodb":{"Keys":{"k":{"S":"k"}},"SequenceNumber":"1","NewImage":"#;
    let event = [&begin[..], item, b"}}]}"].concat();
    let deliveries = Event::read(&event).unwrap().decode(&[0], |_| Unwrap::None);
    let [delivery] = &deliveries[..] else { panic!("one record became several") };
    let Content::Parts(parts) = &delivery.content else { panic!("an item is deferred") };
    match &parts[0].record {
        Ok(Record { payload: Payload::Change { new: Some(new), .. }, .. }) => Some(new.clone()),
        Ok(it) => panic!("an image is lost: {it:?}"),
        Err(reject) => {
            canary::sound(reject);
            None
        }
    }
}

/// An item as a stream would deliver it.
fn encoded(item: &Fields) -> String {
    let mut out = String::from("{");
    for (at, (name, value)) in item.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        json::write_string(name, &mut out);
        out.push(':');
        encode(value, &mut out);
    }
    out.push('}');
    out
}

fn encode(value: &Value, out: &mut String) {
    let text = |it: &str| {
        let mut text = String::new();
        json::write_string(it, &mut text);
        text
    };
    let list = |items: Vec<String>| format!("[{}]", items.join(","));
    let content = match value {
        Value::Null => ("NULL", "true".to_owned()),
        Value::Bool(it) => ("BOOL", it.to_string()),
        Value::Number(it) => ("N", text(it.literal())),
        Value::Text(it) => ("S", text(it)),
        Value::Binary(it) => ("B", text(&BASE64.encode(it))),
        Value::Set(Set::Text(it)) => ("SS", list(it.iter().map(|it| text(it)).collect())),
        Value::Set(Set::Number(it)) => {
            ("NS", list(it.iter().map(|it| text(it.literal())).collect()))
        }
        Value::Set(Set::Binary(it)) => {
            ("BS", list(it.iter().map(|it| text(&BASE64.encode(it))).collect()))
        }
        Value::List(it) => {
            let items = it.iter().map(|it| {
                let mut item = String::new();
                encode(it, &mut item);
                item
            });
            ("L", list(items.collect()))
        }
        Value::Map(it) => ("M", encoded(it)),
    };
    out.push_str(&format!("{{\"{}\":{}}}", content.0, content.1));
}

/// Checks digits: numbers that are equal may still differ in them.
fn literals(left: &Fields, right: &Fields) {
    let (left, right) = (numbers(left), numbers(right));
    assert_eq!(left, right, "digits are lost");
}

fn numbers(fields: &Fields) -> Vec<String> {
    let mut found = Vec::new();
    let mut left: Vec<&Value> = fields.iter().map(|(_, it)| it).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Number(it) => {
                exact::check(it);
                found.push(it.literal().to_owned());
            }
            Value::Set(Set::Number(it)) => {
                it.iter().for_each(exact::check);
                found.extend(it.iter().map(|it| it.literal().to_owned()));
            }
            Value::List(it) => left.extend(it),
            Value::Map(it) => left.extend(it.iter().map(|(_, it)| it)),
            _ => {}
        }
    }
    found
}

fn as_json(fields: &Fields) {
    let value = Value::Map(fields.clone());
    let mut text = String::new();
    value.write_json(false, &mut text);
    let again = Value::from_json(json::parse(text.as_bytes()).unwrap());
    assert_eq!(again, value, "written and read again, it differs");
    if let Value::Map(again) = again {
        literals(&again, fields);
    }
    let mut sorted = String::new();
    value.write_json(true, &mut sorted);
    let mut twice = String::new();
    Value::from_json(json::parse(sorted.as_bytes()).unwrap()).write_json(true, &mut twice);
    assert_eq!(sorted, twice, "what is canonical has one form");
}

pub fn row(fields: Fields) -> Row {
    let lineage = Lineage::new("1".to_owned(), "arn".to_owned());
    Row { lineage, fields }
}

/// One of several tables, by the text itself.
fn policy(data: &[u8]) -> Policy {
    let columns = || {
        let each = DECLARED.iter().map(|(name, ty)| DeclaredColumn {
            name: (*name).to_owned(),
            ty: ty.parse().unwrap(),
            doc: None,
        });
        each.collect()
    };
    let default = Policy::default();
    match data.iter().fold(0_u8, |sum, it| sum.wrapping_add(*it)) % 8 {
        0 => Policy { columns: columns(), ..default },
        1 => Policy { numbers: Numbers::Decimal { precision: 38, scale: 9 }, ..default },
        2 => Policy { numbers: Numbers::Text, names: Names::Keep, ..default },
        3 => Policy { numbers: Numbers::Double, names: Names::Lower, ..default },
        4 => Policy { max_columns: 2, ..default },
        5 => Policy { new_columns: NewColumns::Extra, columns: columns(), ..default },
        6 => Policy { misfits: Misfits::Reject, columns: columns(), ..default },
        _ => default,
    }
}
