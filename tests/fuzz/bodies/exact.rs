//! Arithmetic on literals that shares no line with the library's: what a number must equal.

use lakeward::number::Number;

/// Sign, digits without zeros at either end, and exponent of ten.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    negative: bool,
    digits: String,
    exponent: i128,
}

/// `None` where the exponent has more than 37 digits.
fn plain(literal: &str) -> Option<Plain> {
    let lower = literal.trim().to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    if mantissa.bytes().all(|it| it == b'0' || it == b'.') {
        return Some(Plain { negative: false, digits: String::new(), exponent: 0 });
    }
    let mut exponent: i128 =
        exponent.parse().ok().filter(|it: &i128| it.abs() < 10_i128.pow(37))?;
    let behind = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    exponent -= i128::try_from(behind).unwrap();
    let mut digits = mantissa.replace('.', "").trim_start_matches('0').to_owned();
    while digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    Some(Plain { negative, digits, exponent })
}

/// Returns true if two literals are one number. With a vast exponent, their texts must be the same.
pub fn equal(left: &str, right: &str) -> bool {
    match (plain(left), plain(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// Fails where the library reads a literal as another number than it is, or rounds.
pub fn check(number: &Number) {
    let literal = number.literal();
    let json = number.json_literal();
    let Some(it) = plain(literal) else {
        assert_eq!(
            (number.as_i64(), number.as_f64(), number.as_decimal(38, 9)),
            (None, None, None)
        );
        return;
    };
    assert!(equal(literal, &json), "{literal} is written as {json}");
    assert!(
        serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok(),
        "{json} is no JSON"
    );
    let again = Number::parse(&json).unwrap();
    let canonical = number.canonical();
    assert!(equal(literal, &canonical), "{literal} is {canonical}");
    // The library tells vast exponents apart by their literals.
    assert!(again == *number || it.exponent.abs() >= 10_i128.pow(17), "{literal} as {json}");
    let whole = |zeros: i128, most: usize| {
        let zeros = usize::try_from(zeros).ok().filter(|_| it.digits.len() <= most)?;
        if it.digits.is_empty() {
            return Some(0);
        }
        let zeros = Some(zeros).filter(|zeros| it.digits.len() + zeros <= most)?;
        let sign = if it.negative { "-" } else { "" };
        format!("{sign}{}{}", it.digits, "0".repeat(zeros)).parse::<i128>().ok()
    };
    let long = whole(it.exponent, 19).and_then(|it| i64::try_from(it).ok());
    assert_eq!(number.as_i64(), long, "{literal}");
    assert_eq!(number.as_decimal(38, 9), whole(it.exponent + 9, 38), "{literal}");
    let near: f64 = literal.trim_start_matches('+').parse().unwrap();
    let exact = near.is_finite() && plain(&format!("{near:e}")).as_ref() == Some(&it);
    assert_eq!(number.as_f64(), exact.then_some(near), "{literal}");
}
