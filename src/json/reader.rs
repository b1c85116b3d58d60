//! The cursor that reads a JSON text.

use crate::json::JsonError;

pub(super) const TOO_EARLY: &str = "the text ends too early";

/// A JSON text, read up to a byte.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// Starts after the byte order mark, where the text has one.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mark = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { bytes, at: mark }
    }

    /// Returns the next byte without passing it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes one byte.
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Fails at this byte.
    pub(super) fn fail<T>(&self, problem: &'static str) -> Result<T, JsonError> {
        Err(JsonError { problem, at: self.at })
    }

    /// Passes white space.
    pub(super) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.step();
        }
    }

    /// Passes `byte`, or fails with `problem`.
    pub(super) fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return self.fail(problem);
        }
        self.step();
        Ok(())
    }

    /// Passes white space and then `byte`, if it is there. Returns whether it was.
    pub(super) fn skip_if(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Passes the comma or the closing bracket after an item. Returns `true` for a comma.
    pub(super) fn comma_or(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_blanks();
        match self.peek() {
            Some(b',') => {
                self.step();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.step();
                Ok(false)
            }
            Some(_) => self.fail("a comma or a closing bracket was expected"),
            None => self.fail(TOO_EARLY),
        }
    }

    /// Passes the colon after a key.
    pub(super) fn colon(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        self.expect(b':', "a colon was expected")
    }

    /// Fails unless nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("there is something after the value"),
        }
    }

    /// The text from `start` to this byte. Fails where it is not UTF-8.
    pub(super) fn text(&self, start: usize) -> Result<&'a str, JsonError> {
        let bytes = self.bytes.get(start..self.at).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| JsonError {
            problem: "a text is not UTF-8",
            at: start + error.valid_up_to(),
        })
    }
}
