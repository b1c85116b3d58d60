//! The profile of a field, and the type that all of its values fit.

use std::collections::BTreeMap;

use crate::number::Number;
use crate::table::declared::DeclaredType;
use crate::time::{self, Timestamp};
use crate::value::{Set, Value};

/// The largest number of members of an object that becomes a struct.
const MAX_MEMBERS: usize = 20;
/// The largest number of digits after the point of a number that becomes a decimal.
const MAX_FRACTION_DIGITS: u32 = 9;
/// The precision of the smallest decimal that is suggested, with room for larger numbers to come.
const MIN_PRECISION: u32 = 12;
/// The precision of Iceberg's largest decimal.
const MAX_PRECISION: u32 = 38;

/// The counts of a field's values.
#[derive(Debug, Default)]
pub(super) struct FieldProfile {
    /// Values that are not null.
    pub values: u64,
    bools: u64,
    texts: TextCounts,
    numbers: NumberCounts,
    binaries: u64,
    lists: u64,
    items: Option<Box<FieldProfile>>,
    maps: u64,
    members: BTreeMap<String, FieldProfile>,
}

#[derive(Debug, Default)]
struct TextCounts {
    count: u64,
    times: u64,
    dates: u64,
    uuids: u64,
}

#[derive(Debug, Default)]
struct NumberCounts {
    count: u64,
    longs: u64,
    doubles: u64,
    /// Numbers with at most [`MAX_FRACTION_DIGITS`] after the point, and the most of these digits.
    short: u64,
    fraction: u32,
    /// The most digits before the point.
    whole: u32,
    /// Numbers that would be a time between 2001 and 2100 in each unit: s, ms, µs, ns.
    times: [u64; 4],
}

/// A type, and the reason for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub ty: String,
    pub why: String,
}

impl FieldProfile {
    /// Adds a value; null counts for nothing.
    pub(super) fn add(&mut self, value: &Value) {
        if *value == Value::Null {
            return;
        }
        self.values += 1;
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools += 1,
            Value::Text(text) => self.texts.add(text),
            Value::Number(number) => self.numbers.add(number),
            Value::Binary(_) => self.binaries += 1,
            Value::List(items) => self.add_list(items.iter()),
            Value::Set(Set::Text(items)) => {
                let items: Vec<Value> = items.iter().cloned().map(Value::Text).collect();
                self.add_list(items.iter());
            }
            Value::Set(Set::Number(items)) => {
                let items: Vec<Value> = items.iter().cloned().map(Value::Number).collect();
                self.add_list(items.iter());
            }
            Value::Set(Set::Binary(items)) => {
                let items: Vec<Value> = items.iter().cloned().map(Value::Binary).collect();
                self.add_list(items.iter());
            }
            Value::Map(fields) => {
                self.maps += 1;
                for (name, value) in fields {
                    if self.members.contains_key(name) || self.members.len() <= MAX_MEMBERS {
                        self.members.entry(name.clone()).or_default().add(value);
                    }
                }
            }
        }
    }

    fn add_list<'v>(&mut self, items: impl Iterator<Item = &'v Value>) {
        self.lists += 1;
        let profile = self.items.get_or_insert_default();
        items.for_each(|it| profile.add(it));
    }

    /// Returns the type that all values fit; `None` if there are no values.
    pub(super) fn guess(&self) -> Option<Guess> {
        let guess = |ty: &str, why: String| Some(Guess { ty: ty.to_owned(), why });
        let all = |count: u64| count == self.values;
        let values = counted(self.values, "value");
        if self.values == 0 {
            return None;
        }
        if all(self.bools) {
            guess("bool", values)
        } else if all(self.texts.count) {
            let TextCounts { times, dates, uuids, .. } = self.texts;
            if all(times) {
                guess("timestamp(rfc3339)", format!("{values}, all times with an offset"))
            } else if all(dates) {
                guess("date", format!("{values}, all dates"))
            } else if all(uuids) {
                guess("uuid", format!("{values}, all UUIDs"))
            } else {
                guess("string", values)
            }
        } else if all(self.numbers.count) {
            Some(self.numbers.guess(&values))
        } else if all(self.binaries) {
            guess("binary", values)
        } else if all(self.lists) {
            match self.items.as_ref().and_then(|it| it.guess()) {
                Some(item) if item.ty != "json" => {
                    guess(&format!("list<{}>", item.ty), format!("{values}; items: {}", item.why))
                }
                Some(item) => guess("json", format!("{values}; lists of {}", item.why)),
                None => guess("json", format!("{values}, all of them empty lists")),
            }
        } else if all(self.maps) {
            match self.structure() {
                Some(ty) => guess(&ty, format!("{values}, all with these members")),
                None => guess("json", format!("{values}, objects with changing members")),
            }
        } else {
            guess("json", format!("{values} of several kinds: {}", self.kinds()))
        }
    }

    /// Returns the struct that all objects fit: few members, each in at least half of the objects.
    fn structure(&self) -> Option<String> {
        let is_frequent = |it: &FieldProfile| it.values * 2 >= self.maps;
        if self.members.is_empty()
            || self.members.len() > MAX_MEMBERS
            || !self.members.values().all(is_frequent)
        {
            return None;
        }
        let fields = self.members.iter().map(|(name, profile)| {
            let guess = profile.guess()?;
            // The grammar decides which names can stand in a struct.
            let ty = format!("struct<{name}: {}>", guess.ty);
            let fits = matches!(ty.parse(), Ok(DeclaredType::Struct(_))) && guess.ty != "json";
            fits.then(|| format!("{name}: {}", guess.ty))
        });
        let fields: Option<Vec<String>> = fields.collect();
        Some(format!("struct<{}>", fields?.join(", ")))
    }

    fn kinds(&self) -> String {
        let kinds = [
            (self.bools, "truth value"),
            (self.texts.count, "text"),
            (self.numbers.count, "number"),
            (self.binaries, "binary value"),
            (self.lists, "list"),
            (self.maps, "object"),
        ];
        let present = kinds.iter().filter(|(count, _)| *count > 0);
        present.map(|(count, kind)| counted(*count, kind)).collect::<Vec<_>>().join(", ")
    }

    /// Returns the type of time that all numbers may be meant as.
    pub(super) fn maybe_time(&self) -> Option<&'static str> {
        let units = ["timestamp(s)", "timestamp(ms)", "timestamp(us)", "timestamp(ns)"];
        let found = units.into_iter().zip(self.numbers.times).find(|(_, it)| *it == self.values);
        found.filter(|_| self.values > 0).map(|(ty, _)| ty)
    }
}

impl TextCounts {
    fn add(&mut self, text: &str) {
        self.count += 1;
        self.times += u64::from(Timestamp::from_rfc3339(text).is_some());
        self.dates += u64::from(time::date(text).is_some());
        let uuid = DeclaredType::Uuid.fit(&Value::Text(text.to_owned()));
        self.uuids += u64::from(uuid.is_some());
    }
}

impl NumberCounts {
    fn add(&mut self, number: &Number) {
        // 2001-09-09 and 2100-01-01 in seconds.
        const YEARS: std::ops::Range<i64> = 1_000_000_000..4_102_444_800;
        self.count += 1;
        self.longs += u64::from(number.as_i64().is_some());
        self.doubles += u64::from(number.as_f64().is_some());
        let scale = (0..=MAX_FRACTION_DIGITS).find(|it| number.scaled(i64::from(*it)).is_some());
        if let Some(scale) = scale {
            self.short += 1;
            self.fraction = self.fraction.max(scale);
            let digits = number.scaled(i64::from(scale)).map_or(0, digits);
            self.whole = self.whole.max(digits.saturating_sub(scale));
        }
        let mut unit = 1_i64;
        for count in &mut self.times {
            let seconds = number.as_i64().map(|it| it.div_euclid(unit));
            *count += u64::from(seconds.is_some_and(|it| YEARS.contains(&it)));
            unit *= 1_000;
        }
    }

    fn guess(&self, values: &str) -> Guess {
        let guess = |ty: String, why: String| Guess { ty, why };
        if self.longs == self.count {
            return guess("long".to_owned(), format!("{values}, whole"));
        }
        if self.short == self.count && self.whole + self.fraction <= MAX_PRECISION {
            let cents = if self.fraction == 0 { 0 } else { self.fraction.max(2) };
            let scale = if self.whole + cents > MAX_PRECISION { self.fraction } else { cents };
            let precision = (self.whole + scale + 2).clamp(MIN_PRECISION, MAX_PRECISION);
            let why = match self.fraction {
                0 => format!("{values}, whole, some beyond 64 bits"),
                1 => format!("{values}, 1 fraction digit"),
                digits => format!("{values}, {digits} fraction digits"),
            };
            return guess(format!("decimal({precision},{scale})"), why);
        }
        if self.doubles == self.count {
            return guess("double".to_owned(), format!("{values}, with many fraction digits"));
        }
        guess("json".to_owned(), format!("{values}, some beyond every number type"))
    }
}

fn digits(unscaled: i128) -> u32 {
    unscaled.unsigned_abs().checked_ilog10().map_or(1, |it| it + 1)
}

/// Returns a number with its noun: `1,204 values`.
fn counted(number: u64, what: &str) -> String {
    let plain = number.to_string();
    let mut out = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let s = if number == 1 { "" } else { "s" };
    format!("{out} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn guess(values: &[&str]) -> String {
        let mut profile = FieldProfile::default();
        for value in values {
            profile.add(&Value::from_json(json::parse(value.as_bytes()).unwrap()));
        }
        profile.guess().map_or_else(|| "nothing".to_owned(), |it| format!("{} | {}", it.ty, it.why))
    }

    #[test]
    fn all_values_fit_the_type() {
        for (values, expected) in [
            (&["1", "-2"][..], "long | 2 values, whole"),
            (&["1", "19.9", "12345.67"], "decimal(12,2) | 3 values, 2 fraction digits"),
            (&["0.1234567891"], "double | 1 value, with many fraction digits"),
            (&["18446744073709551615"], "decimal(22,0) | 1 value, whole, some beyond 64 bits"),
            (&["true"], "bool | 1 value"),
            (&["\"x\"", "null"], "string | 1 value"),
            (&["null"], "nothing"),
            (&["\"2026-11-23\""], "date | 1 value, all dates"),
            (
                &["\"2026-11-23T10:00:00Z\""],
                "timestamp(rfc3339) | 1 value, all times with an offset",
            ),
            (&["\"7f1f2a1e-0000-4000-8000-000000000001\""], "uuid | 1 value, all UUIDs"),
            (&["[1,2]", "[]"], "list<long> | 2 values; items: 2 values, whole"),
            (&["[]"], "json | 1 value, all of them empty lists"),
            (
                &["{\"a\":1,\"b\":\"x\"}", "{\"a\":2}"],
                "struct<a: long, b: string> | 2 values, all with these members",
            ),
            (&["{\"a b\":1}"], "json | 1 value, objects with changing members"),
            (&["1", "\"x\""], "json | 2 values of several kinds: 1 text, 1 number"),
        ] {
            assert_eq!(guess(values), expected, "{values:?}");
        }
        assert_eq!(counted(1_204_000, "value"), "1,204,000 values");
    }

    #[test]
    fn numbers_may_be_times() {
        let mut profile = FieldProfile::default();
        profile.add(&Value::Number(Number::parse("1795428000123").unwrap()));
        assert_eq!(profile.maybe_time(), Some("timestamp(ms)"));
        profile.add(&Value::Number(Number::parse("5").unwrap()));
        assert_eq!(profile.maybe_time(), None);
    }
}
