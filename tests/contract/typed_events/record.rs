//! Looks into the text of a record, which may be anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::json;
use serde_json::Value;

use crate::support::compare::exact;

/// Reads a record; null if it is not JSON.
pub(super) fn parsed(record: &[u8]) -> Value {
    std::str::from_utf8(record).ok().and_then(|it| exact(it).ok()).unwrap_or_default()
}

/// Returns the value at a path of a record.
pub(super) fn at(record: &[u8], path: &str) -> Option<Value> {
    parsed(record).pointer(path).cloned()
}

/// Returns the data of a Kinesis record, or the body of a message.
pub(super) fn payload(record: &[u8]) -> Option<Vec<u8>> {
    let record = parsed(record);
    let data = record.pointer("/kinesis/data").and_then(Value::as_str);
    let data = data.and_then(|it| BASE64.decode(it).ok());
    data.or_else(|| Some(record.get("body")?.as_str()?.as_bytes().to_vec()))
}

/// Returns true if an object in a JSON text has a name twice.
pub(super) fn has_duplicates(text: &[u8]) -> bool {
    json::parse(text).is_err_and(|it| it.problem == "an object has the same key twice")
}

/// Shows all numbers in the images of a change.
pub(super) fn numbers(value: &mut Value, show: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(members) => {
            for (name, it) in members {
                match it {
                    Value::Array(items) if name == "NS" => items.iter_mut().for_each(&mut *show),
                    it if name == "N" => show(it),
                    it => numbers(it, show),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| numbers(it, show)),
        _ => {}
    }
}

/// Returns a time that is a number, or the text of one.
pub(super) fn seconds(time: &Value) -> Option<f64> {
    let seconds = time.as_f64().or_else(|| time.as_str()?.parse().ok());
    seconds.filter(|it| it.is_finite())
}

/// Returns the microseconds that the crate reads for an arrival time, as it did in 1.2.1: the
/// decimals are a count of milliseconds. `None` where it reads none.
pub(super) fn misread(time: &Value) -> Option<i64> {
    let text = seconds(time)?.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, "0"));
    let nanos: u64 = decimals.parse::<u64>().ok()?.checked_mul(1_000_000)?;
    // Cut to 32 bits there.
    let nanos = i64::try_from(nanos & u64::from(u32::MAX)).ok()?;
    let whole: i64 = whole.parse().ok().filter(|it| *it >= 0)?;
    (nanos < 1_000_000_000 || (nanos < 2_000_000_000 && whole % 60 == 59))
        .then(|| whole * 1_000_000 + nanos / 1_000)
}
