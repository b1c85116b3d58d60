//! The grammar of declared types, and the values that fit them.

use proptest::prelude::*;

use super::*;

fn declared(text: &str) -> DeclaredType {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number(text: &str) -> Value {
    Value::Number(Number::parse(text).unwrap())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn types_are_read_and_stored_as() {
    for (ty, stored) in [
        ("string", "string"),
        ("bool", "boolean"),
        ("int", "int"),
        ("long", "long"),
        ("float", "float"),
        ("double", "double"),
        (" decimal( 12 , 2 ) ", "decimal(12,2)"),
        ("decimal(38,38)", "decimal(38,38)"),
        ("date", "date"),
        ("timestamp(s)", "timestamp"),
        ("timestamp(rfc3339)", "timestamp"),
        ("binary", "binary"),
        ("uuid", "string"),
        ("json", "string"),
        ("list<list<decimal(5,1)>>", "list<list<decimal(5,1)>>"),
        (
            "struct<orderId: long, pos: string,at:timestamp(ms)>",
            "struct<order_id: long, pos: string, at: timestamp>",
        ),
    ] {
        assert_eq!(declared(ty).column_type().to_string(), stored, "{ty}");
    }
}

#[test]
fn an_invalid_type_gets_a_suggestion() {
    for (ty, help) in [
        ("", "a type is missing"),
        ("Integer", "did you mean int?"),
        ("STRING", "did you mean string?"),
        ("Decimal(1,2)", "did you mean decimal(p,s)?"),
        ("timestamptz", "did you mean timestamp(rfc3339)?"),
        ("array<string>", "did you mean list<…>?"),
        ("money", "the types are string, bool"),
        ("decimal", "decimal(12,2)"),
        ("decimal(39,2)", "1 to 38 digits"),
        ("decimal(0,0)", "1 to 38 digits"),
        ("decimal(2,3)", "at most all of them follow"),
        ("decimal(x,2)", "names the number of its digits"),
        ("decimal(12,2", "`)` is missing"),
        ("timestamp", "timestamp(ms)"),
        ("timestamp(m)", "timestamp(ms)"),
        ("list", "list<string>"),
        ("list<string", "`>` is missing"),
        ("list<>", "a type is missing"),
        ("struct<>", "names its fields"),
        ("struct<a long>", "`:` is missing"),
        ("struct<orderId: long, order_id: long>", "two fields of a struct"),
        ("string string", "unexpected `string` after"),
        ("list<string>>", "unexpected `>` after"),
    ] {
        let error = ty.parse::<DeclaredType>().unwrap_err().to_string();
        assert!(error.contains(help), "{ty}: {error}");
    }
    let deep = format!("{}int{}", "list<".repeat(17), ">".repeat(17));
    assert!(deep.parse::<DeclaredType>().unwrap_err().to_string().contains("deeper than 16"));
    let very_deep = "list<".repeat(1_000_000);
    assert!(very_deep.parse::<DeclaredType>().is_err());
}

#[test]
fn scalars_fit_exactly_or_not_at_all() {
    let micros = 1_700_000_000_500_000;
    for (ty, value, cell) in [
        ("string", text("5"), Some(Cell::Text("5".into()))),
        ("string", number("5"), None),
        ("bool", Value::Bool(true), Some(Cell::Bool(true))),
        ("bool", text("true"), None),
        ("int", number("2147483647"), Some(Cell::Int(i32::MAX))),
        ("int", number("2147483648"), None),
        ("int", text("1"), None),
        ("long", number("1e3"), Some(Cell::Long(1000))),
        ("long", number("1.5"), None),
        ("float", number("0.1"), Some(Cell::Float(0.1))),
        ("float", number("16777217"), None),
        ("double", number("19.99"), Some(Cell::Double(19.99))),
        ("double", number("9007199254740993"), None),
        ("decimal(12,2)", number("19.9"), Some(Cell::Decimal(1990))),
        ("decimal(12,2)", number("19.999"), None),
        ("decimal(12,2)", text("19.9"), None),
        ("date", text("1970-01-02"), Some(Cell::Date(1))),
        ("date", text("1970-01-02T00:00:00Z"), None),
        ("date", number("1"), None),
        ("timestamp(ms)", number("1700000000500"), Some(Cell::Micros(micros))),
        ("timestamp(ms)", text("1700000000500"), Some(Cell::Micros(micros))),
        ("timestamp(s)", number("1700000000.5"), Some(Cell::Micros(micros))),
        ("timestamp(s)", number("1700000000.5000001"), None),
        ("timestamp(ns)", number("1700000000500000001"), None),
        ("timestamp(ms)", text("2023-11-14"), None),
        ("timestamp(rfc3339)", text("2023-11-14T22:13:20.5Z"), Some(Cell::Micros(micros))),
        ("timestamp(rfc3339)", text("2023-11-14T22:13:20.5"), None),
        ("timestamp(rfc3339)", number("1700000000"), None),
        ("binary", Value::Binary(vec![1, 2]), Some(Cell::Binary(vec![1, 2]))),
        ("binary", text("AQI="), Some(Cell::Binary(vec![1, 2]))),
        ("binary", text("AQI"), None),
        (
            "uuid",
            text("67E55044-10B1-426F-9247-BB680E5FE0C8"),
            Some(Cell::Text("67e55044-10b1-426f-9247-bb680e5fe0c8".into())),
        ),
        ("uuid", text("67e5504410b1426f9247bb680e5fe0c8"), None),
        ("uuid", text("urn:uuid:67e55044-10b1-426f-9247-bb680e5"), None),
        ("string", Value::Binary(vec![1]), None),
        ("long", map(&[]), None),
    ] {
        assert_eq!(declared(ty).fit(&value), cell, "{ty} {value:?}");
        assert_eq!(declared(ty).fit(&Value::Null), Some(Cell::Null));
    }
}

#[test]
fn lists_take_lists_and_sets() {
    let numbers = |items: &[&str]| {
        Value::Set(Set::Number(items.iter().map(|it| Number::parse(it).unwrap()).collect()))
    };
    let longs = declared("list<long>");
    let cells = Some(Cell::List(vec![Cell::Long(1), Cell::Long(2)]));
    assert_eq!(longs.fit(&Value::List(vec![number("1"), number("2")])), cells);
    assert_eq!(longs.fit(&numbers(&["1", "2.0"])), cells);
    assert_eq!(longs.fit(&numbers(&["1", "2.5"])), None);
    assert_eq!(longs.fit(&Value::Set(Set::Text(vec!["1".into()]))), None);
    assert_eq!(longs.fit(&Value::Set(Set::Text(vec![]))), Some(Cell::List(vec![])));
    assert_eq!(
        longs.fit(&Value::List(vec![Value::Null, number("2")])),
        Some(Cell::List(vec![Cell::Null, Cell::Long(2)]))
    );
    assert_eq!(longs.fit(&number("1")), None);
    assert_eq!(
        declared("list<binary>").fit(&Value::Set(Set::Binary(vec![vec![7]]))),
        Some(Cell::List(vec![Cell::Binary(vec![7])]))
    );
}

#[test]
fn a_map_enters_a_struct_only_whole() {
    let ty = declared("struct<orderId: long, note: string>");
    assert_eq!(
        ty.fit(&map(&[("note", text("x")), ("orderId", number("5"))])),
        Some(Cell::Struct(vec![Cell::Long(5), Cell::Text("x".into())]))
    );
    assert_eq!(
        ty.fit(&map(&[("order_id", number("5"))])),
        Some(Cell::Struct(vec![Cell::Long(5), Cell::Null]))
    );
    assert_eq!(ty.fit(&map(&[])), Some(Cell::Struct(vec![Cell::Null, Cell::Null])));
    assert_eq!(ty.fit(&map(&[("orderId", number("5")), ("more", Value::Null)])), None);
    assert_eq!(ty.fit(&map(&[("orderId", number("5")), ("order_id", number("5"))])), None);
    assert_eq!(ty.fit(&map(&[("orderId", text("5"))])), None);
}

#[test]
fn json_takes_anything() {
    let ty = declared("json");
    assert_eq!(ty.fit(&text("a\"b")), Some(Cell::Text("\"a\\\"b\"".into())));
    assert_eq!(
        ty.fit(&map(&[("b", number("1.50")), ("a", Value::List(vec![Value::Null]))])),
        Some(Cell::Text("{\"b\":1.50,\"a\":[null]}".into()))
    );
    assert_eq!(
        declared("list<json>").fit(&Value::Set(Set::Text(vec!["a".into()]))),
        Some(Cell::List(vec![Cell::Text("\"a\"".into())]))
    );
}

proptest! {
    #[test]
    fn any_text_is_a_type_or_an_error(text in "[a-z<>(),: 0-9]{0,30}|.{0,10}") {
        if let Ok(ty) = text.parse::<DeclaredType>() {
            prop_assert!(!matches!(ty.column_type(), ColumnType::Other(_)));
        }
    }
}
