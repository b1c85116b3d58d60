//! The step `hash`, which replaces values by the HMAC-SHA-256 of their text.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::digest;
use crate::value::Value;

/// A hash function with one key.
pub(super) struct Hasher {
    keyed: Option<Hmac<Sha256>>,
}

impl Hasher {
    pub(super) fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length.
        Self { keyed: Hmac::new_from_slice(key).ok() }
    }

    /// Replaces a value by its hash, in lower-case hex. Null stays null: the absence of a value is not
    /// a secret, and every null would have the same hash.
    pub(super) fn hash(&self, value: &mut Value) {
        let text = match value {
            Value::Null => return,
            Value::Text(text) => self.hex(text.as_bytes()),
            Value::Binary(bytes) => self.hex(bytes),
            Value::Number(number) => self.hex(number.canonical().as_bytes()),
            Value::Bool(it) => self.hex(it.to_string().as_bytes()),
            Value::Set(_) | Value::List(_) | Value::Map(_) => {
                let mut json = String::new();
                value.write_json(true, &mut json);
                self.hex(json.as_bytes())
            }
        };
        *value = text.map_or(Value::Null, Value::Text);
    }

    fn hex(&self, bytes: &[u8]) -> Option<String> {
        let mut keyed = self.keyed.clone()?;
        keyed.update(bytes);
        Some(digest::hex(&keyed.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;
    use crate::value::Set;

    fn hashed(mut value: Value) -> String {
        Hasher::new(b"a key").hash(&mut value);
        let Value::Text(text) = value else { panic!("{value:?}") };
        text
    }

    fn number(literal: &str) -> Value {
        Value::Number(Number::parse(literal).unwrap())
    }

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // printf 'ada@example.com' | openssl dgst -sha256 -hmac 'a key'
        let expected = "6a0ce0de6f28ba9d9568946f4a82fb66738f97d5deda9407548e7a4d28bae8de";
        assert_eq!(hashed(Value::Text("ada@example.com".to_owned())), expected);
    }

    #[test]
    fn equal_values_have_equal_hashes() {
        assert_eq!(hashed(number("1.0")), hashed(number("1")));
        assert_eq!(hashed(number("1.50")), hashed(number("15e-1")));
        assert_eq!(hashed(number("-0.50")), hashed(Value::Text("-0.5".to_owned())));
        assert_eq!(hashed(Value::Bool(true)), hashed(Value::Text("true".to_owned())));
        assert_eq!(hashed(Value::Binary(b"hi".to_vec())), hashed(Value::Text("hi".to_owned())));
        assert_eq!(hashed(number("5")), hashed(Value::Text("5".to_owned())));
        assert_ne!(hashed(number("5")), hashed(number("50")));
        let map = |a: &str, b: &str| {
            Value::Map(vec![(a.to_owned(), Value::Null), (b.to_owned(), Value::Null)])
        };
        assert_eq!(hashed(map("a", "b")), hashed(map("b", "a")));
        let set = Value::Set(Set::Number(vec![Number::parse("5").unwrap()]));
        assert_eq!(hashed(set), hashed(Value::Text("[5]".to_owned())));
        let mut null = Value::Null;
        Hasher::new(b"").hash(&mut null);
        assert_eq!(null, Value::Null);
    }
}
