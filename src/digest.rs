//! SHA-256 digests and hex digits.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Returns bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        write!(digits, "{byte:02x}").ok();
    }
    digits
}

/// Returns the SHA-256 of some bytes as 64 lower-case hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The number of hex digits of each part of a record's digest: 128 bits.
const PART_DIGITS: usize = 32;

/// Returns the `_lw_digest` of a record whose id AWS did not give: the first 128 bits of the SHA-256 of
/// its content, then of the id that AWS gave what it came in, in lower-case hex.
pub(crate) fn of_record(content: &str, vouched_id: &str) -> String {
    let part = |text: &str| {
        let mut digits = sha256_hex(text.as_bytes());
        digits.truncate(PART_DIGITS);
        digits
    };
    part(content) + &part(vouched_id)
}

/// Returns true if two `_lw_digest`s of one id are of the same record: the same content, or the same
/// delivery, whose content other steps may have changed since. Digests of Lakeward's first release have
/// the first part alone.
pub(crate) fn is_same_record(one: &str, other: &str) -> bool {
    let (content, _) = parts(one);
    let (other_content, _) = parts(other);
    content == other_content || delivery_of(one).is_some() && delivery_of(one) == delivery_of(other)
}

/// Returns the part of a `_lw_digest` that names the delivery; those of Lakeward's first release have
/// none.
pub(crate) fn delivery_of(digest: &str) -> Option<&str> {
    Some(parts(digest).1).filter(|it| !it.is_empty())
}

fn parts(digest: &str) -> (&str, &str) {
    digest.split_at_checked(PART_DIGITS).unwrap_or((digest, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_by_its_content_or_by_its_delivery() {
        let digest = |content, id| of_record(content, id);
        let first = digest("a", "m1");
        assert_eq!(first.len(), 2 * PART_DIGITS);
        for (other, is_same) in [
            (digest("a", "m2"), true),
            (digest("b", "m1"), true),
            (digest("b", "m2"), false),
            // The parts are not compared with one another.
            (digest("m1", "a"), false),
            (first.split_at(PART_DIGITS).0.to_owned(), true),
            (digest("b", "m1").split_at(PART_DIGITS).0.to_owned(), false),
        ] {
            assert_eq!(is_same_record(&first, &other), is_same, "{other}");
            assert_eq!(is_same_record(&other, &first), is_same, "{other}");
        }
    }

    #[test]
    fn digests_are_lower_case_hex() {
        assert_eq!(hex(&[0x00, 0x0F, 0xA0]), "000fa0");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_hex(b""), empty);
    }
}
