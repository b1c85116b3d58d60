//! Times in UTC microseconds. They are parsed here because the event crates misread fractions
//! (`1545084650.98` is not 98 ms).

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Timelike as _};

use crate::number::Number;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: the range of every engine and text form.
const MIN_MICROS: i64 = -62_135_596_800_000_000;
const MAX_MICROS: i64 = 253_402_300_799_999_999;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// 1970-01-01, counted from 0001-01-01 as day 1.
const EPOCH_FROM_CE: i32 = 719_163;

/// Microseconds since 1970-01-01T00:00:00Z, between the years 1 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Units of a declared `timestamp(…)` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds; a fraction is accepted down to the microsecond.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds; a fraction of a microsecond is a misfit.
    Nanos,
}

impl Timestamp {
    /// The time at these microseconds since the epoch; `None` outside the years 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (MIN_MICROS..=MAX_MICROS).contains(&micros).then_some(Self(micros))
    }

    /// Returns the microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Reads an arrival time as Lambda delivers it: seconds as an integer, with a fraction of any
    /// length (cut after microseconds), or in exponent form (`1.545084650987E9`).
    pub fn from_epoch_seconds(text: &str) -> Option<Self> {
        let seconds = Number::parse(text).ok()?;
        Self::from_micros(i64::try_from(seconds.scaled_cut(6)?).ok()?)
    }

    /// Reads a number of `unit`s; `None` when it is not exact in microseconds, or out of range.
    pub fn from_number(number: &Number, unit: TimeUnit) -> Option<Self> {
        let places = match unit {
            TimeUnit::Seconds => 6,
            TimeUnit::Millis => 3,
            TimeUnit::Micros => 0,
            TimeUnit::Nanos => -3,
        };
        Self::from_micros(i64::try_from(number.scaled(places)?).ok()?)
    }

    /// Reads RFC 3339 with an offset. A fraction of a microsecond is a misfit, and so is a leap
    /// second, which UTC microseconds can't tell from the next second.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        // chrono silently cuts a fraction after nanoseconds, so it is checked here.
        if let Some((_, fraction)) = text.split_once('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit);
            if digits.skip(6).any(|it| it != b'0') {
                return None;
            }
        }
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        if time.nanosecond() >= 1_000_000_000 {
            return None;
        }
        Self::from_micros(time.timestamp_micros())
    }

    /// Returns the days since 1970-01-01, floored (Iceberg's `day` transform).
    pub fn day(self) -> i32 {
        // Years 1 to 9999 are less than four million days.
        i32::try_from(self.0.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)
    }
}

/// Prints `2026-11-23T10:15:00.123456`, without trailing zeros of the fraction.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_day = self.0.rem_euclid(MICROS_PER_DAY);
        let (seconds, micros) = (in_day / MICROS_PER_SECOND, in_day % MICROS_PER_SECOND);
        let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
        write!(f, "{}T{hours:02}:{minutes:02}:{:02}", date_text(self.day()), seconds % 60)?;
        if micros == 0 {
            return Ok(());
        }
        write!(f, ".{}", format!("{micros:06}").trim_end_matches('0'))
    }
}

/// Reads a calendar date `YYYY-MM-DD` of the years 1 to 9999 as days since 1970-01-01.
pub fn date(text: &str) -> Option<i32> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let digits = |part: &str| part.bytes().all(|it| it.is_ascii_digit());
    if !(digits(year) && digits(month) && digits(day)) || year == "0000" {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    Some(date.num_days_from_ce() - EPOCH_FROM_CE)
}

/// Prints days since 1970-01-01 as `YYYY-MM-DD`; days outside the calendar as a number.
pub fn date_text(days: i32) -> String {
    days.checked_add(EPOCH_FROM_CE)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map_or_else(|| days.to_string(), |date| date.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn arrival_times_of_every_shape() {
        for (text, shown) in [
            ("1545084650", "2018-12-17T22:10:50"),
            ("1545084650.98", "2018-12-17T22:10:50.98"),
            ("1545084650.987654321", "2018-12-17T22:10:50.987654"),
            ("1.545084650987E9", "2018-12-17T22:10:50.987"),
            (" 1545084650.0 ", "2018-12-17T22:10:50"),
            ("0", "1970-01-01T00:00:00"),
            ("-0.5", "1969-12-31T23:59:59.5"),
            ("-62135596800", "0001-01-01T00:00:00"),
            ("253402300799.9999999", "9999-12-31T23:59:59.999999"),
        ] {
            let time = Timestamp::from_epoch_seconds(text).unwrap();
            assert_eq!(time.to_string(), shown, "{text}");
        }
        for text in ["", "soon", "-62135596801", "253402300800", "1e30", "1e999999999", "NaN"] {
            assert_eq!(Timestamp::from_epoch_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_in_units_are_exact_or_nothing() {
        for (text, unit, micros) in [
            ("1.5", TimeUnit::Seconds, Some(1_500_000)),
            ("1.0000005", TimeUnit::Seconds, None),
            ("1500", TimeUnit::Millis, Some(1_500_000)),
            ("1500.123", TimeUnit::Millis, Some(1_500_123)),
            ("1.5", TimeUnit::Micros, None),
            ("1500000", TimeUnit::Micros, Some(1_500_000)),
            ("1500000000", TimeUnit::Nanos, Some(1_500_000)),
            ("1500000001", TimeUnit::Nanos, None),
            ("1e12", TimeUnit::Seconds, None),
        ] {
            let time = Timestamp::from_number(&number(text), unit);
            assert_eq!(time.map(Timestamp::micros), micros, "{text} {unit:?}");
        }
    }

    #[test]
    fn rfc3339_needs_an_offset_and_at_most_microseconds() {
        for (text, shown) in [
            ("2026-11-23T10:15:00Z", "2026-11-23T10:15:00"),
            ("2026-11-23T10:15:00.123456000+02:00", "2026-11-23T08:15:00.123456"),
            ("2026-11-23T10:15:00.1234560000000-00:30", "2026-11-23T10:45:00.123456"),
            ("2026-11-23t10:15:00z", "2026-11-23T10:15:00"),
        ] {
            assert_eq!(Timestamp::from_rfc3339(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "2026-11-23T10:15:00",
            "2026-11-23",
            "2026-11-23T10:15:00.1234567Z",
            "2026-11-23T10:15:00.1234560000001Z",
            "2026-02-30T10:15:00Z",
            "2016-12-31T23:59:60Z",
            "0000-06-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
            "",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_of_the_calendar() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2024-02-29", Some(19_782)),
            ("2023-02-29", None),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("0000-01-01", None),
            ("2024-2-9", None),
            ("2024-02-29 ", None),
            ("+024-02-29", None),
            ("20240229", None),
            ("2024-02-29-", None),
            ("", None),
        ] {
            assert_eq!(date(text), days, "{text}");
        }
    }

    proptest! {
        #[test]
        fn print_and_read_are_inverse(micros in MIN_MICROS..=MAX_MICROS) {
            let time = Timestamp::from_micros(micros).unwrap();
            prop_assert_eq!(Timestamp::from_rfc3339(&format!("{time}Z")), Some(time));
            let (seconds, rest) = (micros / 1_000_000, (micros % 1_000_000).abs());
            let sign = if micros < 0 && seconds == 0 { "-" } else { "" };
            let text = format!("{sign}{seconds}.{rest:06}");
            prop_assert_eq!(Timestamp::from_epoch_seconds(&text), Some(time));
            prop_assert_eq!(Timestamp::from_number(&number(&text), TimeUnit::Seconds), Some(time));
            let nanos = number(&format!("{micros}000"));
            prop_assert_eq!(Timestamp::from_number(&nanos, TimeUnit::Nanos), Some(time));
        }

        #[test]
        fn what_is_finer_than_a_microsecond_is_cut(seconds in 0_i64..4_000_000_000, fraction in "[0-9]{6}", more in "[0-9]{1,40}") {
            let cut = Timestamp::from_epoch_seconds(&format!("{seconds}.{fraction}"));
            prop_assert!(cut.is_some());
            prop_assert_eq!(Timestamp::from_epoch_seconds(&format!("{seconds}.{fraction}{more}")), cut);
        }

        #[test]
        fn days_are_floored(micros in MIN_MICROS..=MAX_MICROS) {
            let time = Timestamp::from_micros(micros).unwrap();
            let start = i64::from(time.day()) * MICROS_PER_DAY;
            prop_assert!(start <= micros && micros - start < MICROS_PER_DAY);
            prop_assert!(time.to_string().starts_with(&date_text(time.day())));
        }

        #[test]
        fn dates_print_back(days in -719_162..=2_932_896_i32) {
            prop_assert_eq!(date(&date_text(days)), Some(days));
        }

        #[test]
        fn outside_the_years_there_is_no_time(micros: i64) {
            let inside = (MIN_MICROS..=MAX_MICROS).contains(&micros);
            prop_assert_eq!(Timestamp::from_micros(micros).is_some(), inside);
        }
    }
}
