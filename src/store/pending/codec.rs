//! Rows as bytes, before their values have columns, so that any release can read them again.
//!
//! A number is a LEB128 varint, signed ones are zigzag first; a text is its length and its bytes; of
//! something that may be missing, a byte 0 or 1 comes first. A value is a byte that tells its kind, then
//! its content. Numbers of a record are the literals that were delivered.

use crate::number::{Number, count};
use crate::record::{DeletedBy, Lineage, Op, Row};
use crate::time::Timestamp;
use crate::value::{Fields, Set, Value};

/// The depth to which values nest at most. Records nest no deeper than half of it.
const MAX_DEPTH: usize = 256;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const TEXT: u8 = 4;
const BINARY: u8 = 5;
const TEXT_SET: u8 = 6;
const NUMBER_SET: u8 = 7;
const BINARY_SET: u8 = 8;
const LIST: u8 = 9;
const MAP: u8 = 10;

/// Operations by their byte.
const OPS: [Op; 5] = [Op::Event, Op::Insert, Op::Update, Op::Delete, Op::Read];
/// The principals of deletes by their byte; the byte 0 stands for none.
const DELETED_BY: [DeletedBy; 2] = [DeletedBy::Ttl, DeletedBy::User];

/// Appends a row.
pub fn write_row(row: &Row, out: &mut Vec<u8>) {
    let Row { lineage, fields } = row;
    let Lineage {
        id,
        source,
        shard,
        key,
        position,
        op,
        deleted_by,
        event_at,
        arrived_at,
        digest,
        moved,
        id_window,
        before,
    } = lineage;
    write_bytes(id.as_bytes(), out);
    write_bytes(source.as_bytes(), out);
    for text in [shard, key, position, digest, before] {
        write_optional(text.as_deref(), out, |it, out| write_bytes(it.as_bytes(), out));
    }
    out.push(code(&OPS, op));
    out.push(deleted_by.as_ref().map_or(0, |it| code(&DELETED_BY, it) + 1));
    let micros = [event_at.map(Timestamp::micros), arrived_at.map(Timestamp::micros), *id_window];
    for number in micros {
        write_optional(number, out, write_signed);
    }
    out.push(u8::from(*moved));
    write_fields(fields, out);
}

/// Reads a row, which [`write_row`] has written.
pub fn read_row(from: &mut Reader<'_>) -> Result<Row, FormatError> {
    let (id, source) = (from.text()?, from.text()?);
    let mut texts = [const { None }; 5];
    for text in &mut texts {
        *text = from.optional(Reader::text)?;
    }
    let [shard, key, position, digest, before] = texts;
    let op = *OPS.get(usize::from(from.byte()?)).ok_or(FormatError)?;
    let deleted_by = match from.byte()? {
        0 => None,
        code => Some(*DELETED_BY.get(usize::from(code) - 1).ok_or(FormatError)?),
    };
    let mut time = || {
        let micros = from.optional(Reader::signed)?;
        micros.map(|it| Timestamp::from_micros(it).ok_or(FormatError)).transpose()
    };
    let (event_at, arrived_at) = (time()?, time()?);
    let id_window = from.optional(Reader::signed)?;
    let moved = from.byte()? != 0;
    let lineage = Lineage {
        id,
        source,
        shard,
        key,
        position,
        op,
        deleted_by,
        event_at,
        arrived_at,
        digest,
        moved,
        id_window,
        before,
    };
    Ok(Row { lineage, fields: from.fields(0)? })
}

fn code<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let index = all.iter().position(|it| it == one).unwrap_or_default();
    u8::try_from(index).unwrap_or_default()
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    write_number(count(fields.len()), out);
    for (name, value) in fields {
        write_bytes(name.as_bytes(), out);
        write_value(value, out);
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(it) => {
            out.push(NUMBER);
            write_bytes(it.literal().as_bytes(), out);
        }
        Value::Text(it) => {
            out.push(TEXT);
            write_bytes(it.as_bytes(), out);
        }
        Value::Binary(it) => {
            out.push(BINARY);
            write_bytes(it, out);
        }
        Value::Set(Set::Text(items)) => {
            write_all(TEXT_SET, items, out, |it, out| write_bytes(it.as_bytes(), out));
        }
        Value::Set(Set::Number(items)) => {
            write_all(NUMBER_SET, items, out, |it, out| write_bytes(it.literal().as_bytes(), out));
        }
        Value::Set(Set::Binary(items)) => {
            write_all(BINARY_SET, items, out, |it, out| write_bytes(it, out));
        }
        Value::List(items) => write_all(LIST, items, out, write_value),
        Value::Map(fields) => {
            out.push(MAP);
            write_fields(fields, out);
        }
    }
}

fn write_all<T>(kind: u8, items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(kind);
    write_number(count(items.len()), out);
    items.iter().for_each(|it| write(it, out));
}

fn write_optional<T>(value: Option<T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(value, out);
    }
}

/// Appends bytes and their length.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_number(count(bytes.len()), out);
    out.extend_from_slice(bytes);
}

fn write_signed(number: i64, out: &mut Vec<u8>) {
    write_number(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

#[expect(clippy::cast_possible_truncation, reason = "of each byte, seven bits count")]
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// An error of bytes that are not rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its rows are malformed")]
pub struct FormatError;

/// Reads bytes from the front.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    left: &'a [u8],
    /// The number of values that were read.
    pub values: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, values: 0 }
    }

    /// Returns whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, FormatError> {
        let (first, rest) = self.left.split_first().ok_or(FormatError)?;
        self.left = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, FormatError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(FormatError)
    }

    fn signed(&mut self) -> Result<i64, FormatError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = usize::try_from(self.number()?).ok().ok_or(FormatError)?;
        let (bytes, rest) = self.left.split_at_checked(length).ok_or(FormatError)?;
        self.left = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, FormatError> {
        Ok(std::str::from_utf8(self.bytes()?).ok().ok_or(FormatError)?.to_owned())
    }

    fn literal(&mut self) -> Result<Number, FormatError> {
        let text = std::str::from_utf8(self.bytes()?).ok().ok_or(FormatError)?;
        Number::parse(text).ok().ok_or(FormatError)
    }

    fn optional<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Option<T>, FormatError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(FormatError),
        }
    }

    /// Reads a list. Each item takes at least a byte, so a forged length reserves no more than that.
    fn all<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let length = usize::try_from(self.number()?).ok().ok_or(FormatError)?;
        if length > self.left.len() {
            return Err(FormatError);
        }
        (0..length).map(|_| read(self)).collect()
    }

    fn fields(&mut self, depth: usize) -> Result<Fields, FormatError> {
        self.all(|it| Ok((it.text()?, it.value(depth)?)))
    }

    fn value(&mut self, depth: usize) -> Result<Value, FormatError> {
        if depth >= MAX_DEPTH {
            return Err(FormatError);
        }
        self.values += 1;
        Ok(match self.byte()? {
            NULL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NUMBER => Value::Number(self.literal()?),
            TEXT => Value::Text(self.text()?),
            BINARY => Value::Binary(self.bytes()?.to_vec()),
            TEXT_SET => Value::Set(Set::Text(self.all(Self::text)?)),
            NUMBER_SET => Value::Set(Set::Number(self.all(Self::literal)?)),
            BINARY_SET => Value::Set(Set::Binary(self.all(|it| Ok(it.bytes()?.to_vec()))?)),
            LIST => Value::List(self.all(|it| it.value(depth + 1))?),
            MAP => Value::Map(self.fields(depth + 1)?),
            _ => return Err(FormatError),
        })
    }
}
