//! Reads and writes JSON strings.

use std::borrow::Cow;

use crate::json::JsonError;
use crate::json::reader::{Reader, TOO_EARLY};

/// Appends `text` as a JSON string with quotes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

impl<'a> Reader<'a> {
    /// Passes the characters before the next quote, backslash or control character.
    fn skip_plain(&mut self) {
        let rest = self.rest();
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
        self.at += rest.iter().position(special).unwrap_or(rest.len());
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.step();
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let text = self.text(start)?;
            self.step();
            return Ok(Cow::Borrowed(text));
        }
        let mut text = self.text(start)?.to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.fail("a text has a control character"),
                None => return self.fail(TOO_EARLY),
            }
            let start = self.at;
            self.skip_plain();
            text.push_str(self.text(start)?);
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.step();
        let escaped = self.peek();
        self.step();
        Ok(match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.fail("an escape is unknown"),
        })
    }

    /// Reads `XXXX` of `\uXXXX`, and the second half of a surrogate pair after a first.
    fn unicode(&mut self) -> Result<char, JsonError> {
        const LONE: &str = "a surrogate has no other half";
        let first = self.hex()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.rest().starts_with(b"\\u") {
                    return self.fail(LONE);
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return self.fail(LONE);
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).map_or_else(|| self.fail(LONE), Ok)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return self.fail("four hex digits were expected") };
            code = code * 16 + digit;
            self.step();
        }
        Ok(code)
    }
}
