//! Scans JSON values without reading them.

use std::borrow::Cow;

use crate::json::JsonError;
use crate::json::reader::{Reader, TOO_EARLY};

impl<'a> Reader<'a> {
    /// Passes a key and its colon; `None` for a key that can't be read.
    pub(super) fn scan_key(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail("a key was expected");
        }
        let start = self.at;
        self.scan_string()?;
        let key = Reader::new(self.bytes.get(start..self.at).unwrap_or_default()).string().ok();
        self.colon()?;
        Ok(key)
    }

    /// Passes one value by its brackets and strings alone, at any depth, and returns its bytes.
    pub(super) fn scan(&mut self) -> Result<&'a [u8], JsonError> {
        self.skip_blanks();
        let start = self.at;
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => self.scan_string()?,
                Some(b'{') => {
                    open.push(b'}');
                    self.step();
                    continue;
                }
                Some(b'[') => {
                    open.push(b']');
                    self.step();
                    continue;
                }
                Some(close @ (b'}' | b']')) => {
                    if open.pop() != Some(close) {
                        return self.fail("a closing bracket has no opening one");
                    }
                    self.step();
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') if !open.is_empty() => {
                    self.step();
                    continue;
                }
                Some(b',' | b':') => return self.fail("a value was expected"),
                Some(_) => self.scan_word(),
                None => return self.fail(TOO_EARLY),
            }
            if open.is_empty() {
                return Ok(self.bytes.get(start..self.at).unwrap_or_default());
            }
        }
    }

    fn scan_string(&mut self) -> Result<(), JsonError> {
        self.step();
        loop {
            let Some(next) = self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\'))
            else {
                self.at = self.bytes.len();
                return self.fail(TOO_EARLY);
            };
            self.at += next;
            let escaped = self.peek() == Some(b'\\');
            self.step();
            if !escaped {
                return Ok(());
            }
            self.step();
        }
    }

    /// Passes a number, `true`, `false`, `null`, or nonsense.
    fn scan_word(&mut self) {
        let rest = self.rest();
        let ends = |byte: &u8| {
            matches!(
                byte,
                b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']' | b' ' | b'\n' | b'\r' | b'\t'
            )
        };
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}
