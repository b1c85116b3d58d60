//! The files of a lake: the committer's only way to the outside.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub mod local;
pub mod overlay;
pub mod s3;

/// A call in progress.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// The answer to a conditional write. Neither answer is final: the object may exist because an
/// earlier try of the same write made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// This call made the object.
    Done,
    /// The object existed already.
    Exists,
}

/// The content of an object that may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedObject {
    /// Its bytes.
    pub bytes: Bytes,
    /// The tag that a replacement must find unchanged.
    pub tag: String,
}

/// Objects under locations like `file:///lake/shop/orders/data/x.parquet`.
///
/// `Ok` of a write means durable. After `Err` nothing is known: the write may have happened, may
/// happen later, or not at all. Nothing deletes a file, because no invocation ever does.
pub trait Files: fmt::Debug + Send + Sync {
    /// Reads the whole object; `None` when it does not exist.
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>>;

    /// Returns whether the object exists.
    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool>;

    /// Writes an object under a name that no other writer uses.
    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()>;

    /// Writes an object only if it does not exist; readers see all of it or nothing.
    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation>;

    /// Reads an object with the tag that is needed to replace it.
    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>>;

    /// Replaces an object whose tag is still `expected` (`None`: that does not exist yet). Returns
    /// `false` when it has changed.
    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool>;

    /// Proves that the conditions of [`Files::create`] and [`Files::replace`] are honoured, where
    /// that is not known; called before a head is changed.
    fn prove(&self) -> Call<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Lists the names directly in a folder; empty when the folder does not exist.
    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>>;
}

/// Returns the files of a lake, and its location: `file://…` with the absolute path, or `s3://…`.
///
/// # Errors
/// When a path can't be made absolute, or is not UTF-8.
pub fn at(location: &str) -> io::Result<(Arc<dyn Files>, String)> {
    if s3::S3Files::is_location(location) {
        let location = location.trim_end_matches('/').to_owned();
        return Ok((Arc::new(s3::S3Files::of(&location)), location));
    }
    Ok((Arc::new(local::LocalFiles), local::LocalFiles::location(location)?))
}
