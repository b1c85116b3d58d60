//! Lower and upper bounds of a column in a file.
//!
//! The Iceberg crate takes bounds from Parquet statistics and skips row groups whose statistics are
//! inexact. So a file with long strings gets bounds that do not cover it, and a search by bounds
//! misses rows. Therefore bounds are computed here.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType};
use iceberg::spec::{Datum, PrimitiveType};

/// Number of characters, or bytes of binary, that a bound keeps.
const MAX_LENGTH: usize = 64;
/// Number of characters that an exact bound keeps: those of any ARN that AWS gives. Bounds stand in
/// manifests, which each query reads.
const MAX_EXACT_LENGTH: usize = 512;

/// Bounds of a column; `None` where a bound is unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// No value is smaller.
    pub lower: Option<Datum>,
    /// No value is larger.
    pub upper: Option<Datum>,
}

/// Returns the bounds of a column's values. With `exact`, all texts of a usual length are kept whole.
pub fn of(array: &ArrayRef, ty: &PrimitiveType, exact: bool) -> Bounds {
    let bytes = |it: [Vec<u8>; 2]| {
        let [lower, upper] = it;
        Bounds { lower: datum(&lower, ty), upper: datum(&upper, ty) }
    };
    match ty {
        PrimitiveType::Boolean => {
            let values = array.as_boolean().iter().flatten();
            range(values).map(|it| bytes(it.map(|value| vec![u8::from(value)]))).unwrap_or_default()
        }
        PrimitiveType::Int => primitive::<Int32Type>(array, |it| it.to_le_bytes().to_vec(), &bytes),
        PrimitiveType::Long => {
            primitive::<Int64Type>(array, |it| it.to_le_bytes().to_vec(), &bytes)
        }
        PrimitiveType::Date => {
            primitive::<Date32Type>(array, |it| it.to_le_bytes().to_vec(), &bytes)
        }
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => {
            primitive::<TimestampMicrosecondType>(array, |it| it.to_le_bytes().to_vec(), &bytes)
        }
        PrimitiveType::Float => {
            primitive::<Float32Type>(array, |it| it.to_le_bytes().to_vec(), &bytes)
        }
        PrimitiveType::Double => {
            primitive::<Float64Type>(array, |it| it.to_le_bytes().to_vec(), &bytes)
        }
        PrimitiveType::Decimal { .. } => {
            primitive::<Decimal128Type>(array, shortest_big_endian, &bytes)
        }
        PrimitiveType::String => {
            let values = array.as_string::<i32>().iter().flatten();
            range(values).map_or_else(Bounds::default, |[lower, upper]| texts(lower, upper, exact))
        }
        PrimitiveType::Binary => {
            let found = match array.as_binary_opt::<i64>() {
                Some(array) => range(array.iter().flatten()),
                None => range(array.as_binary::<i32>().iter().flatten()),
            };
            found.map_or_else(Bounds::default, |[lower, upper]| Bounds {
                lower: datum(lower.get(..MAX_LENGTH).unwrap_or(lower), ty),
                upper: upper_bytes(upper).and_then(|it| datum(&it, ty)),
            })
        }
        // Types that Lakeward never writes.
        _ => Bounds::default(),
    }
}

fn datum(bytes: &[u8], ty: &PrimitiveType) -> Option<Datum> {
    Datum::try_from_bytes(bytes, ty.clone()).ok()
}

/// Returns the smallest and the largest of some values. `None` if there are none, or one is NaN, which
/// other engines may have written.
fn range<T: PartialOrd + Copy>(mut values: impl Iterator<Item = T>) -> Option<[T; 2]> {
    let is_ordered = |it: &T| it.partial_cmp(it).is_some();
    let first = values.next().filter(is_ordered)?;
    values.try_fold([first, first], |[lower, upper], it| {
        let range = [if it < lower { it } else { lower }, if it > upper { it } else { upper }];
        is_ordered(&it).then_some(range)
    })
}

fn primitive<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    encode: impl Fn(T::Native) -> Vec<u8>,
    bounds: impl Fn([Vec<u8>; 2]) -> Bounds,
) -> Bounds
where
    T::Native: PartialOrd,
{
    let values = array.as_primitive::<T>().iter().flatten();
    range(values).map(|it| bounds(it.map(encode))).unwrap_or_default()
}

fn texts(lower: &str, upper: &str, exact: bool) -> Bounds {
    let length = if exact { MAX_EXACT_LENGTH } else { MAX_LENGTH };
    let lower = Some(Datum::string(cut(lower, length)));
    Bounds { lower, upper: upper_text(upper, length).map(Datum::string) }
}

fn cut(text: &str, length: usize) -> &str {
    text.char_indices().nth(length).and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// Returns a text of at most `length` characters that is not smaller; `None` when none exists.
pub fn upper_text(text: &str, length: usize) -> Option<String> {
    let kept = cut(text, length);
    if kept.len() == text.len() {
        return Some(text.to_owned());
    }
    let mut characters: Vec<char> = kept.chars().collect();
    while let Some(last) = characters.pop() {
        // The successor of a character; surrogates are not characters and are skipped.
        let next = match u32::from(last) {
            0xD7FF => Some('\u{E000}'),
            code => char::from_u32(code + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// Returns at most [`MAX_LENGTH`] bytes that are not smaller; `None` when none exist.
pub fn upper_bytes(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(kept) = bytes.get(..MAX_LENGTH).filter(|kept| kept.len() < bytes.len()) else {
        return Some(bytes.to_vec());
    };
    let mut kept = kept.to_vec();
    while let Some(last) = kept.pop() {
        if let Some(next) = last.checked_add(1) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

/// Returns Iceberg's form of a decimal: big-endian two's complement in the fewest bytes that hold
/// it.
fn shortest_big_endian(unscaled: i128) -> Vec<u8> {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xFF } else { 0x00 };
    let mut rest: &[u8] = &bytes;
    while let [first, next, ..] = rest {
        // The top bit of the next byte must still show the sign.
        if *first != sign || (next & 0x80) != (sign & 0x80) {
            break;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    rest.to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int32Array, Int64Array, StringArray,
    };
    use iceberg::spec::PrimitiveLiteral;
    use proptest::prelude::*;

    use super::*;

    fn literal(bound: Option<Datum>) -> Option<PrimitiveLiteral> {
        bound.map(|it| it.literal().clone())
    }

    proptest! {
        #[test]
        fn no_text_lies_outside_its_bounds(
            values in prop::collection::vec(prop::option::of(".{0,200}"), 0..40),
            exact in any::<bool>(),
        ) {
            let array: ArrayRef = Arc::new(StringArray::from(values.clone()));
            let bounds = of(&array, &PrimitiveType::String, exact);
            for value in values.iter().flatten() {
                if let Some(PrimitiveLiteral::String(lower)) = literal(bounds.lower.clone()) {
                    prop_assert!(lower.as_str() <= value.as_str());
                    prop_assert!(exact || lower.chars().count() <= MAX_LENGTH);
                }
                if let Some(PrimitiveLiteral::String(upper)) = literal(bounds.upper.clone()) {
                    prop_assert!(upper.as_str() >= value.as_str());
                    prop_assert!(exact || upper.chars().count() <= MAX_LENGTH);
                }
            }
            let any = values.iter().flatten().next().is_some();
            prop_assert_eq!(bounds.lower.is_some(), any);
        }

        #[test]
        fn no_bytes_lie_outside_their_bounds(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        ) {
            let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(values.clone()));
            let bounds = of(&array, &PrimitiveType::Binary, false);
            prop_assert!(bounds.lower.is_some());
            prop_assert_eq!(bounds.upper.is_none(), values.iter().any(|it| {
                it.len() > MAX_LENGTH && it.iter().take(MAX_LENGTH).all(|it| *it == 0xFF)
            }));
            for value in &values {
                if let Some(PrimitiveLiteral::Binary(lower)) = literal(bounds.lower.clone()) {
                    prop_assert!(lower <= *value);
                }
                if let Some(PrimitiveLiteral::Binary(upper)) = literal(bounds.upper.clone()) {
                    prop_assert!(upper >= *value);
                }
            }
        }

        #[test]
        fn decimals_keep_their_value_and_are_as_short_as_iceberg_wants(value in any::<i128>()) {
            let bytes = shortest_big_endian(value);
            let mut padded = [if value < 0 { 0xFF } else { 0 }; 16];
            padded[16 - bytes.len()..].copy_from_slice(&bytes);
            prop_assert_eq!(i128::from_be_bytes(padded), value);
            if let [first, next, ..] = bytes[..] {
                let redundant = (first == 0 && next < 0x80) || (first == 0xFF && next >= 0x80);
                prop_assert!(!redundant);
            }
        }
    }

    #[test]
    fn small_decimals_are_short() {
        for (value, expected) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7F]),
            (128, &[0, 0x80]),
            (-1, &[0xFF]),
            (-128, &[0x80]),
            (-129, &[0xFF, 0x7F]),
        ] {
            assert_eq!(shortest_big_endian(value), expected, "{value}");
        }
    }

    #[test]
    fn a_text_of_the_largest_characters_has_no_upper_bound() {
        assert_eq!(upper_text(&"\u{10FFFF}".repeat(70), MAX_LENGTH), None);
        let forged = "a".repeat(700_000);
        let Bounds { lower: Some(lower), upper: Some(upper) } = texts(&forged, &forged, true)
        else {
            panic!("no bounds")
        };
        assert!(lower <= Datum::string(&forged) && Datum::string(&forged) <= upper);
        assert_eq!(lower.to_bytes().unwrap().len(), MAX_EXACT_LENGTH);
        let mixed = format!("a{}", "\u{10FFFF}".repeat(70));
        assert_eq!(upper_text(&mixed, MAX_LENGTH).as_deref(), Some("b"));
        let surrogate = "\u{D7FF}".repeat(70);
        assert_eq!(upper_text(&surrogate, MAX_LENGTH).unwrap().chars().last(), Some('\u{E000}'));
        assert_eq!(upper_bytes(&[0xFF; 70]), None);
    }

    #[test]
    fn a_column_without_values_has_no_bounds() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
        assert_eq!(of(&array, &PrimitiveType::Long, false), Bounds::default());
    }

    #[test]
    fn bounds_of_numbers_and_truth_values_are_the_smallest_and_the_largest() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(-7)]));
        let bounds = of(&array, &PrimitiveType::Long, false);
        assert_eq!(literal(bounds.lower), Some(PrimitiveLiteral::Long(-7)));
        assert_eq!(literal(bounds.upper), Some(PrimitiveLiteral::Long(3)));
        let others: [(ArrayRef, PrimitiveType, [PrimitiveLiteral; 2]); 4] = [
            (
                Arc::new(Int32Array::from(vec![3, -7, 5])),
                PrimitiveType::Int,
                [-7, 5].map(PrimitiveLiteral::Int),
            ),
            (
                Arc::new(Date32Array::from(vec![3, -7, 5])),
                PrimitiveType::Date,
                [-7, 5].map(PrimitiveLiteral::Int),
            ),
            (
                Arc::new(Float32Array::from(vec![3.5, -7.5, 5.5])),
                PrimitiveType::Float,
                [-7.5, 5.5].map(|it: f32| PrimitiveLiteral::Float(it.into())),
            ),
            (
                Arc::new(Float64Array::from(vec![3.5, -7.5, 5.5])),
                PrimitiveType::Double,
                [-7.5, 5.5].map(|it: f64| PrimitiveLiteral::Double(it.into())),
            ),
        ];
        for (array, ty, expected) in others {
            let bounds = of(&array, &ty, false);
            assert_eq!([bounds.lower, bounds.upper].map(literal), expected.map(Some), "{ty}");
        }
        let array: ArrayRef = Arc::new(BooleanArray::from(vec![true, true]));
        let bounds = of(&array, &PrimitiveType::Boolean, false);
        assert_eq!(literal(bounds.lower), Some(PrimitiveLiteral::Boolean(true)));
        let ty = PrimitiveType::Decimal { precision: 38, scale: 2 };
        let decimals = Decimal128Array::from(vec![-129, 200]).with_precision_and_scale(38, 2);
        let array: ArrayRef = Arc::new(decimals.unwrap());
        let bounds = of(&array, &ty, false);
        assert_eq!(literal(bounds.lower), Some(PrimitiveLiteral::Int128(-129)));
        assert_eq!(literal(bounds.upper), Some(PrimitiveLiteral::Int128(200)));
    }
}
