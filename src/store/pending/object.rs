//! The form of an object of pending rows: one line of JSON, which a person can read and which tells what is
//! in it, then the rows, compressed with zstd.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::sha256_hex;
use crate::number::count;
use crate::record::Row;
use crate::store::pending::codec::{FormatError, Reader, read_row, write_row};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// The form that this release writes and reads.
pub const FORMAT: u32 = 1;
/// The level of compression: the rows are read once.
const LEVEL: i32 = 1;
/// The largest size of the rows of an object before compression, unless one row is larger.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// The largest size that is unpacked: that of one large row, with its record.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// The memory that a value takes beside its bytes.
const VALUE_BYTES: usize = 48;

/// A row that waits for a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingRow {
    /// The row, before its values have columns.
    pub row: Row,
    /// The row of quarantine, without a reason, if the table may refuse the row.
    pub original: Option<Row>,
}

/// The description of an object, without a value of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// The form of the object.
    pub lakeward_pending: u32,
    /// The table of the rows.
    pub table: String,
    /// Their number.
    pub rows: u64,
    /// Where they came from.
    pub origins: Vec<OriginSpan>,
    /// Size of what follows the line.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// The rows of one source in an object: enough to read them from their stream again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginSpan {
    /// `_lw_source`
    pub source: String,
    /// Their number.
    pub rows: u64,
    /// The lowest and the highest `_lw_position`.
    pub positions: Option<(String, String)>,
    /// The first and the last `_lw_arrived_at`.
    pub arrived: Option<(String, String)>,
}

impl OriginSpan {
    fn all(rows: &[PendingRow]) -> Vec<Self> {
        let mut by_source: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for PendingRow { row, .. } in rows {
            by_source.entry(&row.lineage.source).or_default().push(row);
        }
        let spans = by_source.into_iter().map(|(source, rows)| {
            let positions = rows.iter().filter_map(|it| it.lineage.position.clone());
            let arrived = rows.iter().filter_map(|it| it.lineage.arrived_at);
            let text = |(from, to): (Timestamp, Timestamp)| (format!("{from}Z"), format!("{to}Z"));
            Self {
                source: source.to_owned(),
                rows: count(rows.len()),
                positions: span(positions),
                arrived: span(arrived).map(text),
            }
        });
        spans.collect()
    }
}

fn span<T: Ord + Clone>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    values.fold(None, |span, it| match span {
        None => Some((it.clone(), it)),
        Some((from, to)) => Some((from.min(it.clone()), to.max(it))),
    })
}

/// An error of an object that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableObject {
    /// It is of a form that this release does not know.
    #[error("a later release of Lakeward has written it")]
    Later,
    /// It is damaged.
    #[error("{0}")]
    Damaged(String),
}

impl UnreadableObject {
    fn damaged(problem: impl ToString) -> Self {
        Self::Damaged(problem.to_string())
    }
}

/// The name of an object: `<ms>-<commit id>-<part>-<rows>`, with the time at which its commit began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Milliseconds since 1970, by the clock of the process that left the rows.
    pub began: i64,
    /// The commit that would have added them.
    pub commit: String,
    /// Its place among the objects of this commit.
    pub part: usize,
    /// The number of rows.
    pub rows: u64,
}

impl ObjectName {
    /// Reads a name; `None` if Lakeward did not give it.
    pub fn parse(name: &str) -> Option<Self> {
        let (began, rest) = name.split_once('-')?;
        let (rest, rows) = rest.rsplit_once('-')?;
        let (commit, part) = rest.rsplit_once('-')?;
        let commit = Uuid::try_parse(commit).ok()?.to_string();
        let (began, part, rows) = (began.parse().ok()?, part.parse().ok()?, rows.parse().ok()?);
        Some(Self { began, commit, part, rows })
    }
}

impl ObjectName {
    /// Returns what a name says; of one that a later release has given, nothing.
    pub fn of(name: &str) -> Self {
        let unknown = || Self { began: 0, commit: name.to_owned(), part: 0, rows: 0 };
        Self::parse(name).unwrap_or_else(unknown)
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { began, commit, part, rows } = self;
        write!(f, "{began}-{commit}-{part}-{rows}")
    }
}

/// Cuts rows into parts of at most [`MAX_BYTES`] each, and makes the bytes of each part.
pub fn pack(rows: &[PendingRow]) -> Vec<(&[PendingRow], Vec<u8>)> {
    let mut parts = Vec::new();
    let (mut first, mut bytes) = (0, Vec::new());
    for (index, PendingRow { row, original }) in rows.iter().enumerate() {
        let before = bytes.len();
        write_row(row, &mut bytes);
        bytes.push(u8::from(original.is_some()));
        if let Some(original) = original {
            write_row(original, &mut bytes);
        }
        if bytes.len() > MAX_BYTES && index > first {
            let next = bytes.split_off(before);
            let full = std::mem::replace(&mut bytes, next);
            parts.extend(rows.get(first..index).map(|it| (it, full)));
            first = index;
        }
    }
    parts.extend(rows.get(first..).filter(|it| !it.is_empty()).map(|it| (it, bytes)));
    parts
}

/// Makes an object of rows and of their bytes, which [`pack`] has made.
pub fn write(
    table: &TableName,
    rows: &[PendingRow],
    unpacked: &[u8],
) -> std::io::Result<(Heading, Bytes)> {
    let packed = zstd::encode_all(unpacked, LEVEL)?;
    let heading = Heading {
        lakeward_pending: FORMAT,
        table: table.to_string(),
        rows: count(rows.len()),
        origins: OriginSpan::all(rows),
        bytes: count(packed.len()),
        sha256: sha256_hex(&packed),
    };
    let mut object = serde_json::to_vec(&heading).map_err(std::io::Error::other)?;
    object.push(b'\n');
    object.extend_from_slice(&packed);
    Ok((heading, Bytes::from(object)))
}

/// Reads an object of this table: its rows, and about how much memory they take, in bytes.
pub fn read(
    table: &TableName,
    object: &[u8],
) -> Result<(Vec<PendingRow>, usize), UnreadableObject> {
    #[derive(Deserialize)]
    struct Form {
        lakeward_pending: u32,
    }
    let end = object.iter().position(|it| *it == b'\n');
    let (line, packed) = end
        .and_then(|end| Some((object.get(..end)?, object.get(end + 1..)?)))
        .ok_or_else(|| UnreadableObject::damaged("its first line is cut off"))?;
    let form: Form = serde_json::from_slice(line).map_err(UnreadableObject::damaged)?;
    if form.lakeward_pending != FORMAT {
        return Err(UnreadableObject::Later);
    }
    let heading: Heading = serde_json::from_slice(line).map_err(UnreadableObject::damaged)?;
    if heading.table != table.to_string() {
        return Err(UnreadableObject::damaged("it is of another table"));
    }
    if heading.bytes != count(packed.len()) || heading.sha256 != sha256_hex(packed) {
        return Err(UnreadableObject::damaged("its content is not what was written"));
    }
    let mut unpacked = Vec::new();
    zstd::Decoder::with_buffer(packed)
        .and_then(|it| it.take(MAX_UNPACKED).read_to_end(&mut unpacked))
        .map_err(UnreadableObject::damaged)?;
    let mut reader = Reader::new(&unpacked);
    let mut rows = Vec::new();
    while !reader.is_empty() {
        rows.push(read_pending(&mut reader).map_err(UnreadableObject::damaged)?);
    }
    if heading.rows != count(rows.len()) {
        return Err(UnreadableObject::damaged("rows are missing"));
    }
    Ok((rows, unpacked.len() + reader.values * VALUE_BYTES))
}

fn read_pending(from: &mut Reader<'_>) -> Result<PendingRow, FormatError> {
    let row = read_row(from)?;
    let original = match from.byte()? {
        0 => None,
        _ => Some(read_row(from)?),
    };
    Ok(PendingRow { row, original })
}
