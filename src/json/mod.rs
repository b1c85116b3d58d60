//! Reads JSON exactly: number literals keep their digits, duplicate keys and lone surrogates are
//! errors, nesting is limited, and an error tells the position of the problem, never the text.

use std::borrow::Cow;
use std::collections::HashSet;

mod reader;

mod scan;
mod text;

use reader::{Reader, TOO_EARLY};

pub use text::write_string;

/// Number of levels that may be nested.
pub const MAX_DEPTH: usize = 128;
/// Number of keys up to which duplicates are found by comparing each pair.
const FEW_KEYS: usize = 16;

/// A JSON value that borrows from its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The literal.
    Number(&'a str),
    /// The text, without escapes.
    String(Cow<'a, str>),
    /// `[…]`
    Array(Vec<Json<'a>>),
    /// `{…}`, keys unique, in order.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// An error in a JSON text, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    /// The problem; static, so that it never holds payload.
    pub problem: &'static str,
    /// Byte offset in the text.
    pub at: usize,
}

impl JsonError {
    /// Returns whether the text may be JSON but is nested deeper than [`MAX_DEPTH`].
    pub fn is_too_deep(&self) -> bool {
        self.problem == TOO_DEEP
    }
}

const TOO_DEEP: &str = "nested deeper than 128 levels";

/// Reads one JSON value and nothing after it. A byte order mark before it is skipped.
///
/// # Errors
/// For anything that RFC 8259 does not allow, duplicate keys, lone surrogates, bad UTF-8, and
/// nesting deeper than [`MAX_DEPTH`].
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    let mut reader = Reader::new(bytes);
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// The keys of an object, each with the bytes of its value.
pub type Members<'a> = Vec<(Cow<'a, str>, &'a [u8])>;

/// Splits an object into its members without reading their values, which are only scanned: each
/// value is the slice of its bytes. So an event is split into records. A member whose key can't be
/// read (a lone surrogate, bad UTF-8) is left out, because it must not cost the others. Keys may
/// occur twice.
///
/// # Errors
/// When the text is not an object, or its brackets and strings do not close.
pub fn members(bytes: &[u8]) -> Result<Members<'_>, JsonError> {
    let mut reader = Reader::new(bytes);
    let mut members = Vec::new();
    reader.skip_blanks();
    reader.expect(b'{', "an object was expected")?;
    let mut more = !reader.skip_if(b'}');
    while more {
        reader.skip_blanks();
        let key = reader.scan_key()?;
        let value = reader.scan()?;
        members.extend(key.map(|key| (key, value)));
        more = reader.comma_or(b'}')?;
    }
    reader.end()?;
    Ok(members)
}

/// Splits an array into the slices of its items, which are only scanned, not read: an item with bad
/// UTF-8 or duplicate keys costs only itself.
///
/// # Errors
/// When the text is not an array, or its brackets and strings do not close.
pub fn items(bytes: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut reader = Reader::new(bytes);
    let mut items = Vec::new();
    reader.skip_blanks();
    reader.expect(b'[', "an array was expected")?;
    let mut more = !reader.skip_if(b']');
    while more {
        items.push(reader.scan()?);
        more = reader.comma_or(b']')?;
    }
    reader.end()?;
    Ok(items)
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => self.fail("a value was expected"),
            None => self.fail(TOO_EARLY),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return self.fail("a value was expected");
        }
        self.at = end;
        Ok(value)
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonError> {
        if depth >= MAX_DEPTH { self.fail(TOO_DEEP) } else { Ok(depth + 1) }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let depth = self.deeper(depth)?;
        self.step();
        let mut items = Vec::new();
        let mut more = !self.skip_if(b']');
        while more {
            items.push(self.value(depth)?);
            more = self.comma_or(b']')?;
        }
        Ok(Json::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let depth = self.deeper(depth)?;
        let start = self.at;
        self.step();
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        let mut more = !self.skip_if(b'}');
        while more {
            self.skip_blanks();
            let key = self.key()?;
            members.push((key, self.value(depth)?));
            more = self.comma_or(b'}')?;
        }
        if has_duplicates(&members) {
            return Err(JsonError { problem: "an object has the same key twice", at: start });
        }
        Ok(Json::Object(members))
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail("a key was expected");
        }
        let key = self.string()?;
        self.colon()?;
        Ok(key)
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.digits()?;
        }
        if let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-') = self.peek() {
            return self.fail("a number is not a JSON number");
        }
        self.text(start)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("a digit was expected");
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.step();
        }
        Ok(())
    }
}

fn has_duplicates(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if members.len() <= FEW_KEYS {
        let mut rest = members;
        while let [(key, _), others @ ..] = rest {
            if others.iter().any(|(other, _)| other == key) {
                return true;
            }
            rest = others;
        }
        return false;
    }
    let mut seen = HashSet::with_capacity(members.len());
    !members.iter().all(|(key, _)| seen.insert(key.as_ref()))
}

#[cfg(test)]
mod tests;
