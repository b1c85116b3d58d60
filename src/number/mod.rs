//! Exact decimal numbers: the literal as delivered, and its value.
//!
//! Nothing here rounds, and no cost depends on the size of an exponent: `1e999999999` takes as long
//! as `1`. A conversion to a machine number is exact or fails.

use std::borrow::Cow;

/// Number of digits that a `decimal` can hold; `i128` holds all of them.
pub const MAX_PRECISION: u32 = 38;

/// Digits that identify any `f64`, and any `f32` (IEEE 754: 17 and 9). The shortest print never has
/// more, so a longer number is never exact.
const F64_DIGITS: usize = 17;
const F32_DIGITS: usize = 9;

/// Number of digits with which any float prints exactly.
const MAX_FLOAT_DIGITS: usize = 770;

/// Number of zeros up to which [`Number::canonical`] writes no exponent.
const MAX_ZEROS: u64 = 400;

/// A decimal number that keeps its literal.
///
/// Equality is numeric: `1.0 == 1`, `-0 == 0`. Only exponents beyond ±10^18 are told apart by
/// their literals.
#[derive(Debug, Clone)]
pub struct Number {
    literal: String,
}

/// An error of a text that is not a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNumber;

impl Number {
    /// Reads a decimal literal: optional sign, digits, fraction, exponent; white space around it
    /// and a leading `+` are accepted. `NaN`, `Infinity`, hex and the empty text are not numbers.
    pub fn parse(text: &str) -> Result<Self, InvalidNumber> {
        let literal = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let parts = Parts::of(literal);
        let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
        let mantissa = digits(parts.whole)
            && digits(parts.fraction)
            && !(parts.whole.is_empty() && parts.fraction.is_empty());
        let exponent = parts.exponent.is_none_or(|it| {
            let it = it.strip_prefix(['+', '-']).unwrap_or(it);
            !it.is_empty() && digits(it)
        });
        if mantissa && exponent {
            Ok(Self { literal: literal.to_owned() })
        } else {
            Err(InvalidNumber)
        }
    }

    /// Returns the literal as delivered, without white space.
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// Returns a JSON literal of the same number with all its digits (`+5` → `5`, `.5` → `0.5`).
    pub fn json_literal(&self) -> Cow<'_, str> {
        let parts = Parts::of(&self.literal);
        let whole = parts.whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let point_alone = parts.fraction.is_empty() && self.literal.contains('.');
        if whole.len() == parts.whole.len() && !point_alone && !self.literal.starts_with('+') {
            return Cow::Borrowed(&self.literal);
        }
        let sign = if parts.negative { "-" } else { "" };
        let point = if parts.fraction.is_empty() { "" } else { "." };
        let (e, exponent) = parts.exponent.map_or(("", ""), |it| ("e", it));
        Cow::Owned(format!("{sign}{whole}{point}{}{e}{exponent}", parts.fraction))
    }

    /// Returns one literal for all numbers that equal this one: `1.50` and `15e-1` are `1.5`, `1E2`
    /// is `100`. Only numbers with hundreds of zeros have an exponent.
    pub fn canonical(&self) -> String {
        let it = Decimal::of(&self.literal);
        if it.vast {
            return self.literal.clone();
        }
        let (sign, places) = (if it.negative { "-" } else { "" }, it.exponent.unsigned_abs());
        let digits = if it.is_zero() { "0".to_owned() } else { it.head.to_owned() + it.tail };
        let Some(places) = usize::try_from(places).ok().filter(|_| places <= MAX_ZEROS) else {
            return format!("{sign}{digits}e{}", it.exponent);
        };
        if it.exponent >= 0 {
            return format!("{sign}{digits}{}", "0".repeat(places));
        }
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) =
            digits.split_at_checked(digits.len().saturating_sub(places)).unwrap_or_default();
        format!("{sign}{whole}.{fraction}")
    }

    /// Returns the digits of a whole number (`1.0` is whole), with `-` where it is negative. `None`
    /// for other numbers, and for those with hundreds of zeros.
    pub fn whole(&self) -> Option<String> {
        let it = Decimal::of(&self.literal);
        let plain = it.exponent >= 0 && it.exponent.unsigned_abs() <= MAX_ZEROS;
        plain.then(|| self.canonical())
    }

    /// Returns the number as `i64` when it is whole and fits (`1.0` is whole).
    pub fn as_i64(&self) -> Option<i64> {
        i64::try_from(self.scaled(0)?).ok()
    }

    /// Returns the nearest `f64` when every reader prints it as the same number; `None` otherwise, so
    /// never an infinity. Zero is `0.0`, whatever its sign.
    pub fn as_f64(&self) -> Option<f64> {
        let exact = Decimal::of(&self.literal);
        let near: f64 = exact.short_literal(F64_DIGITS)?.parse().ok()?;
        let print = |digits| format!("{near:.digits$e}");
        let printed = shortest(&near, f64::DIGITS, print, |it| it.parse() == Ok(near));
        (near.is_finite() && Decimal::of(&printed) == exact).then_some(near)
    }

    /// Returns the nearest `f32` when it prints as the same number; `None` otherwise.
    pub fn as_f32(&self) -> Option<f32> {
        let exact = Decimal::of(&self.literal);
        let near: f32 = exact.short_literal(F32_DIGITS)?.parse().ok()?;
        let print = |digits| format!("{near:.digits$e}");
        let printed = shortest(&near, f32::DIGITS, print, |it| it.parse() == Ok(near));
        (near.is_finite() && Decimal::of(&printed) == exact).then_some(near)
    }

    /// Returns the unscaled value when the number is exact in `decimal(precision, scale)`.
    pub fn as_decimal(&self, precision: u32, scale: u32) -> Option<i128> {
        let unscaled = self.scaled(i64::from(scale))?;
        let limit = 10_u128.checked_pow(precision.min(MAX_PRECISION))?;
        (unscaled.unsigned_abs() < limit).then_some(unscaled)
    }

    /// Returns the number times ten to the power of `places`, when that is whole and fits.
    pub fn scaled(&self, places: i64) -> Option<i128> {
        let decimal = Decimal::of(&self.literal);
        let zeros = decimal.exponent.checked_add(places)?;
        if decimal.is_zero() { Some(0) } else { decimal.whole(decimal.len(), zeros) }
    }

    /// Like [`Number::scaled`], but cuts off the digits after the point of the result.
    pub fn scaled_cut(&self, places: i64) -> Option<i128> {
        let decimal = Decimal::of(&self.literal);
        let zeros = decimal.exponent.checked_add(places)?;
        let cut = usize::try_from(zeros.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let kept = decimal.len().saturating_sub(cut);
        if kept == 0 { Some(0) } else { decimal.whole(kept, zeros.max(0)) }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (Decimal::of(&self.literal), Decimal::of(&other.literal));
        left == right && (!left.vast || self.literal == other.literal)
    }
}

/// The parts of a literal, which are not checked.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(literal: &'a str) -> Self {
        let negative = literal.starts_with('-');
        let rest = literal.strip_prefix(['+', '-']).unwrap_or(literal);
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Self { negative, whole, fraction, exponent }
    }
}

/// `± digits × 10^exponent` in the one form without zeros at either end; the digits stay in the
/// literal, in two pieces. Zero has no digits, no sign and exponent 0.
struct Decimal<'a> {
    negative: bool,
    head: &'a str,
    tail: &'a str,
    exponent: i64,
    /// Whether the exponent was too long to be read; it counts as ±10^18.
    vast: bool,
}

impl<'a> Decimal<'a> {
    fn of(literal: &'a str) -> Self {
        let parts = Parts::of(literal);
        let mut tail = parts.fraction.trim_end_matches('0');
        let mut head = parts.whole.trim_start_matches('0');
        let behind_point = i64::try_from(tail.len()).unwrap_or(i64::MAX);
        let mut zeros = 0;
        if tail.is_empty() {
            let before = head.len();
            head = head.trim_end_matches('0');
            zeros = i64::try_from(before - head.len()).unwrap_or(i64::MAX);
        }
        if head.is_empty() {
            tail = tail.trim_start_matches('0');
        }
        if head.is_empty() && tail.is_empty() {
            return Self { negative: false, head, tail, exponent: 0, vast: false };
        }
        let (exponent, vast) = parts.exponent.map_or((0, false), read_exponent);
        let exponent = exponent.saturating_sub(behind_point).saturating_add(zeros);
        Self { negative: parts.negative, head, tail, exponent, vast }
    }

    fn is_zero(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of digits.
    fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    fn digits(&self) -> impl Iterator<Item = u8> + '_ {
        self.head.bytes().chain(self.tail.bytes())
    }

    /// Returns the first `kept` digits and `zeros` more zeros as a whole number.
    fn whole(&self, kept: usize, zeros: i64) -> Option<i128> {
        // 39 digits may overflow, 40 always do.
        let max_digits = usize::try_from(MAX_PRECISION).unwrap_or(0) + 1;
        let zeros = u32::try_from(zeros).ok()?;
        if kept > max_digits {
            return None;
        }
        let sign = if self.negative { -1 } else { 1 };
        let mut value: i128 = 0;
        for digit in self.digits().take(kept) {
            let digit = sign * i128::from(digit.wrapping_sub(b'0'));
            value = value.checked_mul(10)?.checked_add(digit)?;
        }
        value.checked_mul(10_i128.checked_pow(zeros)?)
    }

    /// Returns a literal that a float parser can't misread: few digits, small exponent. `None` when
    /// no float can equal it.
    fn short_literal(&self, max_digits: usize) -> Option<String> {
        if self.len() > max_digits || self.exponent.unsigned_abs() > 400 {
            return None;
        }
        if self.is_zero() {
            return Some("0".to_owned());
        }
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{}{}e{}", self.head, self.tail, self.exponent))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative
            && self.exponent == other.exponent
            && self.len() == other.len()
            && self.digits().eq(other.digits())
    }
}

/// Returns the shortest text of a float that reads back as the float; of two that are equally near, the
/// one with an even last digit, as DuckDB, Java and Python print it. Rust prints the larger one.
/// `print` prints the float with so many digits behind the point, `is_it` reads a text back.
fn shortest(
    float: &impl std::fmt::LowerExp,
    distinct_digits: u32,
    print: impl Fn(usize) -> String,
    is_it: impl Fn(&str) -> bool,
) -> String {
    let text = format!("{float:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let distinct_digits = usize::try_from(distinct_digits).unwrap_or(0);
    // Two texts of fewer digits are never one float.
    if digits <= distinct_digits {
        return text;
    }
    // Midway, the float itself has one digit more, and it is a 5.
    let is_midway = |precision: usize| {
        print(precision).split_once('e').is_some_and(|(exact, _)| {
            let exact = exact.trim_end_matches('0');
            exact.ends_with('5') && exact.bytes().filter(u8::is_ascii_digit).count() == digits + 1
        })
    };
    // A few digits rule out nearly all, but only all of them prove it.
    if !(is_midway(digits + 3) && is_midway(MAX_FLOAT_DIGITS)) {
        return text;
    }
    let exact = print(digits);
    let lower = exact.split_once('e').and_then(|(it, _)| it.strip_suffix('5'));
    match lower {
        Some(lower) if lower.ends_with(['0', '2', '4', '6', '8']) => {
            let even = format!("{lower}e{exponent}");
            if is_it(&even) { even } else { text }
        }
        _ => text,
    }
}

/// Reads an exponent. Returns ±10^18 and `true` where it has more than 18 digits.
fn read_exponent(text: &str) -> (i64, bool) {
    const VAST: i64 = 1_000_000_000_000_000_000;
    let negative = text.starts_with('-');
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let (size, vast) = match digits.len() {
        0 => (0, false),
        1..=18 => (digits.parse().unwrap_or(VAST), false),
        _ => (VAST, true),
    };
    (if negative { -size } else { size }, vast)
}

/// Returns the size of a collection as the 64-bit count of reports and metadata.
pub(crate) fn count(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
