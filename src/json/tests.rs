//! Valid and invalid JSON, checked against another reader.

use proptest::prelude::*;

use super::*;
use crate::value::Value;

fn problem(text: &str) -> &'static str {
    parse(text.as_bytes()).unwrap_err().problem
}

#[test]
fn literals_keep_their_digits() {
    let long = "123456789012345678901234567890.1234567890E-400";
    assert_eq!(parse(long.as_bytes()), Ok(Json::Number(long)));
    assert_eq!(parse(b"\xEF\xBB\xBF -0 "), Ok(Json::Number("-0")));
}

#[test]
fn invalid_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1e",
        "NaN",
        "tru",
        "nulll",
        "[1 2]",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"a",
        "{} {}",
        "1a",
        "--1",
        "{\"a\" 1}",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "[\"\\ud83d\"]",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(problem(r#"{"a":1,"b":2,"a":3}"#), "an object has the same key twice");
    let many: Vec<String> = (0..40).map(|n| format!(r#""k{}":1"#, n % 39)).collect();
    assert_eq!(problem(&format!("{{{}}}", many.join(","))), "an object has the same key twice");
    assert_eq!(
        parse(b"\"\xFF\"").unwrap_err(),
        JsonError { problem: "a text is not UTF-8", at: 1 }
    );
}

#[test]
fn nesting_is_limited_and_told_apart() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().is_too_deep());
    assert!(parse(nested(1_000_000).as_bytes()).unwrap_err().is_too_deep());
    let bomb = format!("[1,{},2]", nested(1_000_000));
    assert_eq!(items(bomb.as_bytes()).unwrap().len(), 3);
}

#[test]
fn surrogate_pairs_are_one_character() {
    let text = parse(br#""\ud83d\ude00\u00e9\n""#).unwrap();
    assert_eq!(text, Json::String("😀é\n".into()));
}

#[test]
fn a_bad_item_is_only_scanned() {
    let event = b"[{\"a\":1,\"a\":2},\"\xFF\",{\"x\":\"]}\\\"\"},nonsense]";
    let found = items(event).unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found[2], br#"{"x":"]}\""}"#);
    assert!(items(b"[1,2").is_err());
    assert!(items(b"[1,]").is_err());
    assert!(items(b"{}").is_err());
    assert!(members(b"{\"a\":[}").is_err());
    assert!(members(br#"{"a":{"b":[1,{}]} , "c" : 2}"#).unwrap()[1].1 == b"2");
}

#[test]
fn an_unreadable_key_costs_only_its_member() {
    let object = b"{\"\\ud800\":1,\"\xFF\":[2],\"\\x\":{},\"\n\":4,\"a\":5,\"a\":6}";
    let found = members(object).unwrap();
    let found: Vec<_> = found.iter().map(|(key, value)| (key.as_ref(), *value)).collect();
    assert_eq!(found, [("a", &b"5"[..]), ("a", &b"6"[..])]);
    for text in ["{1:2}", "{\"a\"}", "{\"a\" 1}", "{\"a:1}", "{,}", "{\"a\":}"] {
        assert!(members(text.as_bytes()).is_err(), "{text}");
    }
}

/// JSON values whose numbers serde_json prints unchanged.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".*", inner, 0..24)
                .prop_map(|it| serde_json::Value::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_of_serde_is_read_and_written_unchanged(json in any_json(), pretty in any::<bool>()) {
        let compact = serde_json::to_string(&json).unwrap();
        let text = if pretty { serde_json::to_string_pretty(&json).unwrap() } else { compact.clone() };
        let value = Value::from_json(parse(text.as_bytes()).unwrap());
        let mut written = String::new();
        value.write_json(false, &mut written);
        prop_assert_eq!(written, compact);
    }

    #[test]
    fn json_that_serde_refuses_is_refused(text in r#"[\[\]{}",:0-9a-z.eE+\\ u-]{0,24}"#) {
        if let Ok(ours) = parse(text.as_bytes()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // A number that no double can hold is valid here.
            prop_assert!(theirs.is_ok() || format!("{ours:?}").contains("Number"), "{}", text);
        } else if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            let twice = parse(text.as_bytes()).unwrap_err().problem;
            prop_assert_eq!(twice, "an object has the same key twice");
        }
    }

    #[test]
    fn splitting_agrees_with_reading(json in any_json()) {
        let text = serde_json::to_string(&json).unwrap();
        match parse(text.as_bytes()).unwrap() {
            Json::Array(read) => {
                let split = items(text.as_bytes()).unwrap();
                prop_assert_eq!(split.len(), read.len());
                for (slice, value) in split.into_iter().zip(read) {
                    prop_assert_eq!(parse(slice), Ok(value));
                }
            }
            Json::Object(read) => {
                let split = members(text.as_bytes()).unwrap();
                prop_assert_eq!(split.len(), read.len());
                for ((name, slice), (key, value)) in split.into_iter().zip(read) {
                    prop_assert_eq!(name, key);
                    prop_assert_eq!(parse(slice), Ok(value));
                }
            }
            _ => prop_assert!(items(text.as_bytes()).is_err()),
        }
    }
}
