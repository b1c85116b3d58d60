//! A Parquet file of which only some parts are fetched: its end first, where the footer is.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::future::try_join_all;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::store::error::StoreError;
use crate::store::files::Files;

/// The number of bytes that the first request fetches, from the end. It has the footer of a file, the
/// filters of its ids, and all of a small file.
const END_BYTES: u64 = 64 * 1024;
/// Two parts that are as near to one another, in bytes, are fetched by one request.
const MAX_GAP: u64 = 64 * 1024;

/// A file of which some parts are here.
#[derive(Debug)]
pub struct PartialFile {
    files: Arc<dyn Files>,
    location: String,
    size: u64,
    /// By their offset.
    parts: BTreeMap<u64, Bytes>,
    /// Its footer.
    pub footer: Arc<ParquetMetaData>,
}

impl PartialFile {
    /// Fetches the end of a file of `size` bytes.
    pub async fn open(
        files: &Arc<dyn Files>,
        location: &str,
        size: u64,
    ) -> Result<Self, StoreError> {
        let mut length = END_BYTES.min(size);
        loop {
            let end = fetch(files, location, size - length..size).await?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&end, size) {
                Ok(()) => {
                    let footer = reader.finish().map_err(StoreError::damaged(location))?;
                    let (parts, footer) = ([(size - length, end)].into(), Arc::new(footer));
                    let (files, location) = (Arc::clone(files), location.to_owned());
                    return Ok(Self { files, location, size, parts, footer });
                }
                Err(ParquetError::NeedMoreData(needed)) if length < size => {
                    let needed = u64::try_from(needed).unwrap_or(size);
                    length = needed.max(length.saturating_add(1)).min(size);
                }
                Err(error) => return Err(StoreError::damaged(location)(error)),
            }
        }
    }

    /// Fetches parts of the file, neighbours by one request.
    pub async fn fetch(&mut self, mut ranges: Vec<Range<u64>>) -> Result<(), StoreError> {
        ranges.retain(|it| !it.is_empty() && self.part(it.start, it.end - it.start).is_none());
        ranges.sort_by_key(|it| it.start);
        let mut requests: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match requests.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(MAX_GAP) => {
                    last.end = last.end.max(range.end);
                }
                _ => requests.push(range),
            }
        }
        let fetched = requests.iter().map(|it| fetch(&self.files, &self.location, it.clone()));
        for (range, bytes) in requests.iter().zip(try_join_all(fetched).await?) {
            self.parts.insert(range.start, bytes);
        }
        Ok(())
    }

    fn part(&self, start: u64, length: u64) -> Option<Bytes> {
        let (offset, part) = self.parts.range(..=start).next_back()?;
        let from = usize::try_from(start - offset).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (to <= part.len()).then(|| part.slice(from..to))
    }
}

async fn fetch(
    files: &Arc<dyn Files>,
    location: &str,
    range: Range<u64>,
) -> Result<Bytes, StoreError> {
    let expected = range.end - range.start;
    let read = files.read_range(location, range).await;
    let bytes = read.map_err(StoreError::files("read", location))?;
    let bytes = bytes.ok_or_else(|| {
        StoreError::damaged(location)("the table refers to it, but it does not exist")
    })?;
    if u64::try_from(bytes.len()) == Ok(expected) {
        return Ok(bytes);
    }
    Err(StoreError::damaged(location)("it is shorter than its manifest says"))
}

impl Length for PartialFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for PartialFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let found = self.parts.range(..=start).next_back();
        let rest = found.and_then(|(offset, part)| {
            let from = usize::try_from(start - offset).ok()?;
            (from <= part.len()).then(|| part.slice(from..))
        });
        let rest = rest.ok_or_else(|| ParquetError::EOF("a part was not fetched".to_owned()))?;
        Ok(Box::new(Cursor::new(rest).into_inner().reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let part = self.part(start, u64::try_from(length).unwrap_or(u64::MAX));
        part.ok_or_else(|| ParquetError::EOF("a part was not fetched".to_owned()))
    }
}
