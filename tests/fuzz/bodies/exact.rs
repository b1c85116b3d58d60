//! Arithmetic on literals that shares no line with the library's: what a number must equal.

use lakeward::number::Number;

/// Sign, digits without zeros at either end, and exponent of ten.
#[derive(Debug, PartialEq, Eq)]
struct Plain {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// `None` where the exponent has more than 18 digits.
fn plain(literal: &str) -> Option<Plain> {
    let lower = literal.trim().to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    if mantissa.bytes().all(|it| it == b'0' || it == b'.') {
        return Some(Plain { negative: false, digits: String::new(), exponent: 0 });
    }
    let mut exponent: i64 = exponent.parse().ok().filter(|it: &i64| it.abs() < 10_i64.pow(18))?;
    let behind = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    exponent -= i64::try_from(behind).unwrap();
    let mut digits = mantissa.replace('.', "").trim_start_matches('0').to_owned();
    while digits.ends_with('0') {
        digits.pop();
        exponent += 1;
    }
    Some(Plain { negative, digits, exponent })
}

/// Whether two literals are one number. Where an exponent is vast, only the same text is.
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
    assert!(equal(literal, &json), "{literal} is written as {json}");
    assert!(
        serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok(),
        "{json} is no JSON"
    );
    assert!(Number::parse(&json).is_ok_and(|it| it == *number), "{literal} as {json}");
    let canonical = number.canonical();
    assert!(equal(literal, &canonical), "{literal} is {canonical}");
    let Some(it) = plain(literal) else {
        assert_eq!(
            (number.as_i64(), number.as_f64(), number.as_decimal(38, 9)),
            (None, None, None)
        );
        return;
    };
    let whole = |zeros: i64, most: usize| {
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
