//! Parses `list<struct<id: long, at: timestamp(ms)>>`, and suggests a type for any other text.

use crate::number::MAX_PRECISION;
use crate::table::declared::{BadType, DeclaredType, field_name};
use crate::time::TimeUnit;

/// Deepest nesting of lists and structs; deeper data is better declared as `json`.
const MAX_NESTING: usize = 16;

/// The declared types.
const KNOWN: &str = "string, bool, int, long, float, double, decimal(p,s), date, \
                     timestamp(s|ms|us|ns|rfc3339), binary, uuid, list<…>, struct<name: …>, json";

/// Names of types in other systems, and the declared types for them.
const FOREIGN_NAMES: [(&str, &str); 31] = [
    ("text", "string"),
    ("str", "string"),
    ("varchar", "string"),
    ("char", "string"),
    ("boolean", "bool"),
    ("integer", "int"),
    ("int32", "int"),
    ("i32", "int"),
    ("smallint", "int"),
    ("tinyint", "int"),
    ("bigint", "long"),
    ("int64", "long"),
    ("i64", "long"),
    ("float32", "float"),
    ("f32", "float"),
    ("real", "float"),
    ("float64", "double"),
    ("f64", "double"),
    ("number", "decimal(p,s)"),
    ("numeric", "decimal(p,s)"),
    ("datetime", "timestamp(rfc3339)"),
    ("timestamptz", "timestamp(rfc3339)"),
    ("time", "timestamp(rfc3339)"),
    ("bytes", "binary"),
    ("blob", "binary"),
    ("array", "list<…>"),
    ("set", "list<…>"),
    ("map", "struct<name: …> or json"),
    ("object", "struct<name: …> or json"),
    ("record", "struct<name: …>"),
    ("jsonb", "json"),
];

impl std::str::FromStr for DeclaredType {
    type Err = BadType;

    fn from_str(text: &str) -> Result<Self, BadType> {
        let mut reader = Reader { rest: text };
        let ty = reader.ty(0)?;
        reader.blanks();
        if reader.rest.is_empty() {
            return Ok(ty);
        }
        Err(BadType(format!("unexpected `{}` after the type", reader.rest)))
    }
}

/// A reader of the grammar, with the text that it has not read yet.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn ty(&mut self, depth: usize) -> Result<DeclaredType, BadType> {
        if depth > MAX_NESTING {
            return Err(BadType(format!(
                "lists and structs are nested deeper than {MAX_NESTING}; declare the inner ones \
                 as json"
            )));
        }
        let word = self.word();
        match word {
            "string" => Ok(DeclaredType::String),
            "bool" => Ok(DeclaredType::Bool),
            "int" => Ok(DeclaredType::Int),
            "long" => Ok(DeclaredType::Long),
            "float" => Ok(DeclaredType::Float),
            "double" => Ok(DeclaredType::Double),
            "date" => Ok(DeclaredType::Date),
            "binary" => Ok(DeclaredType::Binary),
            "uuid" => Ok(DeclaredType::Uuid),
            "json" => Ok(DeclaredType::Json),
            "decimal" => self.decimal(),
            "timestamp" => self.timestamp(),
            "list" => {
                self.expect('<', "a list names its element: list<string>")?;
                let element = self.ty(depth + 1)?;
                self.expect('>', "a list ends with `>`: list<string>")?;
                Ok(DeclaredType::List(Box::new(element)))
            }
            "struct" => self.fields(depth),
            _ => Err(unknown(word)),
        }
    }

    fn decimal(&mut self) -> Result<DeclaredType, BadType> {
        const SHAPE: &str = "a decimal names the number of its digits, and how many of them follow \
                             the point: decimal(12,2)";
        self.expect('(', SHAPE)?;
        let precision = self.word().parse::<u32>().ok();
        self.expect(',', SHAPE)?;
        let scale = self.word().parse::<u32>().ok();
        self.expect(')', SHAPE)?;
        match (precision, scale) {
            (Some(precision @ 1..=MAX_PRECISION), Some(scale)) if scale <= precision => {
                Ok(DeclaredType::Decimal { precision, scale })
            }
            (Some(_), Some(_)) => Err(BadType(format!(
                "a decimal has 1 to {MAX_PRECISION} digits, and at most all of them follow the \
                 point: decimal(12,2)"
            ))),
            _ => Err(BadType(SHAPE.to_owned())),
        }
    }

    fn timestamp(&mut self) -> Result<DeclaredType, BadType> {
        const SHAPE: &str = "a timestamp names its form: timestamp(s), timestamp(ms), \
                             timestamp(us), timestamp(ns) or timestamp(rfc3339)";
        self.expect('(', SHAPE)?;
        let ty = match self.word() {
            "s" => DeclaredType::Epoch(TimeUnit::Seconds),
            "ms" => DeclaredType::Epoch(TimeUnit::Millis),
            "us" => DeclaredType::Epoch(TimeUnit::Micros),
            "ns" => DeclaredType::Epoch(TimeUnit::Nanos),
            "rfc3339" => DeclaredType::Rfc3339,
            _ => return Err(BadType(SHAPE.to_owned())),
        };
        self.expect(')', SHAPE)?;
        Ok(ty)
    }

    fn fields(&mut self, depth: usize) -> Result<DeclaredType, BadType> {
        const SHAPE: &str = "a struct names its fields: struct<id: long, name: string>";
        self.expect('<', SHAPE)?;
        let mut fields: Vec<(String, DeclaredType)> = Vec::new();
        loop {
            let name = self.word();
            if name.is_empty() || name.starts_with(|it: char| it.is_ascii_digit()) {
                return Err(BadType(SHAPE.to_owned()));
            }
            self.expect(':', SHAPE)?;
            let ty = self.ty(depth + 1)?;
            if fields.iter().any(|(other, _)| field_name(other) == field_name(name)) {
                return Err(BadType(format!(
                    "two fields of a struct are called `{}`; leave one out",
                    field_name(name)
                )));
            }
            fields.push((name.to_owned(), ty));
            if !self.take(',') {
                break;
            }
        }
        self.expect('>', SHAPE)?;
        Ok(DeclaredType::Struct(fields))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Reads the letters, digits and `_` that come next.
    fn word(&mut self) -> &'a str {
        self.blanks();
        let end = self
            .rest
            .find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, wanted: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char, shape: &str) -> Result<(), BadType> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(BadType(format!("a `{wanted}` is missing; {shape}")))
    }
}

/// Makes the error of a word that is not a type.
fn unknown(word: &str) -> BadType {
    if word.is_empty() {
        return BadType(format!("a type is missing; the types are {KNOWN}"));
    }
    let lower = word.to_ascii_lowercase();
    let suggestion = KNOWN
        .split(", ")
        .find(|it| it.split(['(', '<']).next() == Some(lower.as_str()))
        .or_else(|| FOREIGN_NAMES.iter().find(|(name, _)| *name == lower).map(|(_, ours)| *ours));
    match suggestion {
        Some(it) => BadType(format!("`{word}` is not a type; did you mean {it}?")),
        None => BadType(format!("`{word}` is not a type; the types are {KNOWN}")),
    }
}
