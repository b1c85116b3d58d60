//! Where a lake's bytes are: the one seam to the outside that the committer has.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub mod local;
pub mod overlay;
pub mod s3;

/// A call that is under way.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// What a conditional write says about itself. Neither answer is the last word: the object may be
/// there because an earlier try of the same write made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// This call made the object.
    Done,
    /// Something was there already.
    Exists,
}

/// The content of an object that is about to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// Its bytes.
    pub bytes: Bytes,
    /// What a replacement must find unchanged.
    pub tag: String,
}

/// Objects under locations like `file:///lake/shop/orders/data/x.parquet`.
///
/// `Ok` of a write means durable. `Err` of a write says nothing: it may have happened, may happen
/// later, or not at all. There is no way to delete, because no invocation ever deletes a file.
pub trait Files: fmt::Debug + Send + Sync {
    /// The whole object, `None` when it does not exist.
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>>;

    /// Whether the object exists.
    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool>;

    /// Writes an object under a name that nobody else uses.
    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()>;

    /// Writes an object only if there is none; readers see all of it or nothing.
    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Created>;

    /// An object with what is needed to replace it.
    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<Tagged>>;

    /// Replaces an object whose tag is still `expected` (`None`: that does not exist yet).
    /// `false` when it has changed.
    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool>;

    /// Proves that conditions of [`Files::create`] and [`Files::replace`] are honoured, where that
    /// is not known; asked before a head is changed.
    fn prove(&self) -> Call<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Names of what lies directly in a folder; empty when there is no such folder.
    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>>;
}

/// The files of a lake, and its location: `file://…` with the absolute path, or `s3://…`.
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
