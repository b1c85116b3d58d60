//! Numbers against integer and floating point arithmetic.

use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap_or_else(|InvalidNumber| panic!("{text} is a number"))
}

#[test]
fn reads_literals_and_refuses_what_is_none() {
    for good in ["0", "-0", "+5", ".5", "5.", " 7\n", "007", "1e5", "1E-130", "-1.5e+07"] {
        assert!(Number::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "", " ", "+", "-", ".", "e5", "1e", "1e+", "1e1.5", "0x1f", "NaN", "Infinity", "1_000",
        "1 2", "--1", "+-1", "1.2.3", "1e+-5", "１", "1e5e5", "-inf", "1-", "- 1",
    ] {
        assert_eq!(Number::parse(bad).map(|_| ()), Err(InvalidNumber), "{bad}");
    }
    assert_eq!(number(" +7 ").literal(), "+7");
}

#[test]
fn json_literals_keep_all_digits() {
    for (text, json) in [
        ("+5", "5"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("5.e3", "5e3"),
        ("007", "7"),
        ("-007.50", "-7.50"),
        ("00", "0"),
        ("1.50", "1.50"),
        ("-0", "-0"),
        ("1E+5", "1E+5"),
        ("+.5E+5", "0.5e+5"),
        ("0.10", "0.10"),
    ] {
        assert_eq!(number(text).json_literal(), json, "{text}");
    }
}

#[test]
fn equality_is_numeric() {
    for (left, right) in [
        ("1", "1.0"),
        ("-0", "0"),
        ("0e5", "0.000"),
        ("100", "1e2"),
        ("0.01", "1E-2"),
        ("1200", "12e2"),
        ("0.00120", "12e-4"),
        ("+5", "5"),
        ("1e+05", "100000"),
        ("0e99999999999999999999", "0"),
    ] {
        assert_eq!(number(left), number(right));
    }
    for (left, right) in [
        ("1", "-1"),
        ("1", "10"),
        ("12", "21"),
        ("1e5", "1e-5"),
        ("0.1", "0.10000000001"),
        ("1e99999999999999999999", "1e99999999999999999998"),
    ] {
        assert_ne!(number(left), number(right));
    }
}

#[test]
fn whole_numbers_of_64_bits() {
    for (text, whole) in [
        ("1.0", Some(1)),
        ("-0", Some(0)),
        ("1e3", Some(1000)),
        ("12.5e1", Some(125)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("0.5", None),
        ("1e19", None),
        ("1e999999999999999999999", None),
        ("0e999999999999999999999", Some(0)),
        ("1e-999999999999999999999", None),
    ] {
        assert_eq!(number(text).as_i64(), whole, "{text}");
    }
}

#[test]
fn floats_only_where_they_print_back() {
    for (text, float) in [
        ("19.99", Some(19.99)),
        ("0.1", Some(0.1)),
        ("1e23", Some(1e23)),
        ("20.0", Some(20.0)),
        ("9007199254740993", None),
        ("9007199254740992", Some(9007199254740992.0)),
        ("0.10000000000000000555", None),
        ("1E125", Some(1e125)),
        ("1E-130", Some(1e-130)),
        ("1.7976931348623157e308", Some(f64::MAX)),
        ("1.8e308", None),
        ("1e999999999", None),
        ("5e-324", Some(5e-324)),
        ("4e-324", None),
        ("1e-999999999", None),
        ("-0", Some(0.0)),
        ("12345678901234567890123456789012345678", None),
    ] {
        assert_eq!(number(text).as_f64(), float, "{text}");
    }
    let hundred_zeros = format!("1{}", "0".repeat(100));
    assert_eq!(number(&hundred_zeros).as_f64(), Some(1e100));
    assert_eq!(number(&format!("0.{}1e700001", "0".repeat(700_000))).as_f64(), Some(1.0));
    assert!(number("-0").as_f64().unwrap().is_sign_positive());
    assert_eq!(number("0.1").as_f32(), Some(0.1));
    assert_eq!(number("16777217").as_f32(), None);
    assert_eq!(number("1e39").as_f32(), None);
}

#[test]
fn decimals_only_where_exact() {
    for (text, precision, scale, unscaled) in [
        ("19.90", 12, 2, Some(1990)),
        ("19.999", 12, 2, None),
        ("-0.01", 3, 2, Some(-1)),
        ("9.99", 3, 2, Some(999)),
        ("10", 3, 2, None),
        ("1e10", 12, 2, None),
        ("0", 1, 1, Some(0)),
        ("1e-999999999999", 38, 38, None),
        ("1e999999999", 38, 0, None),
        ("99999999999999999999999999999999999999", 38, 0, Some(10_i128.pow(38) - 1)),
        ("100000000000000000000000000000000000000", 38, 0, None),
    ] {
        assert_eq!(number(text).as_decimal(precision, scale), unscaled, "{text}");
    }
}

#[test]
fn cutting_drops_digits_only() {
    for (text, cut) in [
        ("1545084650.98", Some(1_545_084_650_980_000)),
        ("0.0000019", Some(1)),
        ("-0.0000019", Some(-1)),
        ("1e-999999999999999999999", Some(0)),
        ("0", Some(0)),
        ("1e40", None),
        ("1e999999999999999999999", None),
        ("1.23456789012345678901234567890123456789012345678901", Some(1_234_567)),
    ] {
        assert_eq!(number(text).scaled_cut(6), cut, "{text}");
    }
}

#[test]
fn equal_numbers_have_one_canonical_literal() {
    for (literal, expected) in [
        ("0", "0"),
        ("-0.00", "0"),
        ("0e999999999999999999999", "0"),
        ("1.0", "1"),
        ("+1", "1"),
        ("-007", "-7"),
        ("1E2", "100"),
        ("1.50", "1.5"),
        ("15e-1", "1.5"),
        ("-.5", "-0.5"),
        ("0.0015", "0.0015"),
        ("120e-5", "0.0012"),
        ("12e999999999", "12e999999999"),
        ("1200e-999999999", "12e-999999997"),
    ] {
        assert_eq!(number(literal).canonical(), expected, "{literal}");
    }
    assert_eq!(number("1e126").canonical(), format!("1{}", "0".repeat(126)));
}

#[test]
fn whole_numbers_of_any_length_have_digits() {
    let long = "9".repeat(60);
    for (literal, expected) in [
        ("1.0", Some("1")),
        ("-5", Some("-5")),
        ("1E2", Some("100")),
        (long.as_str(), Some(long.as_str())),
        ("1.5", None),
        ("1e999999999", None),
        ("1e-999999999999999999999", None),
    ] {
        assert_eq!(number(literal).whole().as_deref(), expected, "{literal}");
    }
}

/// Returns true if a float lies midway between two of its shortest texts.
fn is_midway(float: impl std::fmt::LowerExp) -> bool {
    let digits = |it: &str| {
        let (mantissa, _) = it.split_once('e').unwrap();
        mantissa.trim_end_matches('0').trim_matches('-').replace('.', "")
    };
    let (exact, short) = (digits(&format!("{float:.800e}")), digits(&format!("{float:e}")));
    exact.len() == short.len() + 1 && exact.ends_with('5')
}

/// Source: `python3 -c 'print(repr(87945783703849.63))'`, and `SELECT` in DuckDB 1.5.
#[test]
fn midway_between_two_texts_the_even_one_is_the_number() {
    for (even, odd) in
        [("87945783703849.62", "87945783703849.63"), ("-8794578370384.962e1", "-87945783703849.63")]
    {
        let float = even.parse::<f64>().unwrap();
        assert_eq!(odd.parse(), Ok(float));
        assert_eq!(number(even).as_f64(), Some(float));
        assert_eq!(number(odd).as_f64(), None);
    }
}

#[test]
fn midway_between_two_texts_of_a_float_of_32_bits_the_even_one_is_the_number() {
    assert_eq!("-1666243.3".parse(), Ok(-1_666_243.2_f32));
    assert_eq!(number("-1666243.2").as_f32(), Some(-1_666_243.2));
    assert_eq!(number("-1666243.3").as_f32(), None);
}

proptest! {
    #[test]
    fn whole_numbers_agree_with_i128(value: i128, zeros in 0_usize..5) {
        let text = format!("{value}.{}", "0".repeat(zeros));
        let it = number(&text);
        prop_assert_eq!(it.as_i64(), i64::try_from(value).ok());
        let fits = value.unsigned_abs() < 10_u128.pow(38);
        prop_assert_eq!(it.as_decimal(38, 0), fits.then_some(value));
        prop_assert_eq!(it.scaled(0), Some(value));
    }

    #[test]
    fn moving_the_point_changes_nothing(value: i64, places in 0_i32..40) {
        let moved = number(&format!("{value}e-{places}"));
        let back = number(&format!("{value}e{places}"));
        prop_assert_eq!(moved.scaled(i64::from(places)), Some(i128::from(value)));
        prop_assert_eq!(back.scaled(-i64::from(places)), Some(i128::from(value)));
        prop_assert_eq!(back == moved, places == 0 || value == 0);
    }

    #[test]
    fn every_finite_float_survives_both_prints(bits: u64) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite() && !is_midway(float));
        prop_assert_eq!(number(&format!("{float:?}")).as_f64(), Some(float));
        prop_assert_eq!(number(&format!("{float:e}")).as_f64(), Some(float));
        prop_assert_eq!(number(&format!("{float}")).as_f64(), Some(float));
    }

    #[test]
    fn of_two_shortest_prints_the_even_one_is_exact(odd in 1_u64 << 49..1 << 50) {
        // Multiples of an eighth: those that end in 5 have one digit more than they need.
        let float = u32::try_from(odd >> 20).map(f64::from).unwrap() * 1_048_576.0 / 8.0
            + u32::try_from(odd & 0xF_FFFF).map(f64::from).unwrap() / 8.0;
        let rust = format!("{float:?}");
        let is_exact = number(&rust).as_f64() == Some(float);
        let last = rust.bytes().last().unwrap();
        prop_assert_eq!(is_exact, !is_midway(float) || last % 2 == 0, "{}", rust);
    }

    #[test]
    fn every_finite_f32_survives(bits: u32) {
        let float = f32::from_bits(bits);
        prop_assume!(float.is_finite() && !is_midway(float));
        prop_assert_eq!(number(&format!("{float:?}")).as_f32(), Some(float));
    }

    #[test]
    fn a_float_is_given_only_for_the_same_number(text in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,3})?") {
        let it = number(&text);
        if let Some(float) = it.as_f64() {
            prop_assert!(float.is_finite());
            prop_assert!(is_midway(float) || number(&format!("{float:?}")) == it, "{float:?}");
        }
    }

    #[test]
    fn json_literals_are_the_same_number(text in "[+-]?([0-9]{1,9}\\.?[0-9]{0,9}|\\.[0-9]{1,9})([eE][+-]?[0-9]{1,3})?") {
        let it = number(&text);
        let json = it.json_literal();
        prop_assert!(serde_json::from_str::<Box<serde_json::value::RawValue>>(&json).is_ok(), "{}", json);
        prop_assert_eq!(number(&json), it.clone());
    }

    #[test]
    fn canonical_literals_are_equal_exactly_where_numbers_are(
        a in "-?[0-9]{1,4}(\\.[0-9]{1,4})?(e-?[0-9])?",
        b in "-?[0-9]{1,4}(\\.[0-9]{1,4})?(e-?[0-9])?",
    ) {
        let (a, b) = (number(&a), number(&b));
        prop_assert_eq!(number(&a.canonical()), a.clone());
        prop_assert_eq!(a.canonical() == b.canonical(), a == b);
        prop_assert_eq!(a.whole().is_some(), a.scaled(0).is_some());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,12}") {
        if let Ok(it) = Number::parse(&text) {
            it.as_i64(); it.as_f64(); it.as_f32(); it.scaled_cut(6); it.as_decimal(38, 9);
            it.canonical(); it.whole();
        }
    }
}
