//! The files of a lake: the committer's only way to the outside.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

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

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its location.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// The time of its last write, by the clock of the store.
    pub modified: SystemTime,
}

/// The removal of files, which is given to cleaning and to pending rows alone: a commit can't remove a
/// file of its table.
pub trait Removal: fmt::Debug + Send + Sync {
    /// Lists all objects below a folder, at any depth; none if the folder does not exist.
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>>;

    /// Lists at least `max` objects below a folder, if there are so many, that come after a location in
    /// the order of names. The default lists all and cuts.
    fn list_first<'a>(
        &'a self,
        folder: &'a str,
        after: &'a str,
        max: usize,
    ) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            let mut found = self.list_all(folder).await?;
            found.retain(|it| *it.location > *after);
            found.truncate(max);
            Ok(found)
        })
    }

    /// Removes objects. One that does not exist is not an error.
    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()>;
}

/// Objects under locations like `file:///lake/shop/orders/data/x.parquet`.
///
/// `Ok` of a write means durable. After `Err` nothing is known: the write may have happened, may
/// happen later, or not at all. Nothing here removes a file: see [`Removal`].
pub trait Files: fmt::Debug + Send + Sync {
    /// Reads the whole object; `None` when it does not exist.
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>>;

    /// Reads a part of an object, of which nothing is beyond its end; `None` when it does not exist. The
    /// default reads all of it.
    fn read_range<'a>(&'a self, location: &'a str, range: Range<u64>) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            Ok(self.read(location).await?.map(|all| {
                let index = |it: u64| usize::try_from(it).unwrap_or(usize::MAX).min(all.len());
                all.slice(index(range.start)..index(range.end))
            }))
        })
    }

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

/// A place of files.
#[derive(Debug, Clone)]
pub struct Place {
    /// The files.
    pub files: Arc<dyn Files>,
    /// Their removal.
    pub removal: Arc<dyn Removal>,
    /// The location of the lake: `file://…` with the absolute path, or `s3://…`.
    pub location: String,
}

/// Returns the place of a lake.
///
/// # Errors
/// When a path can't be made absolute, or is not UTF-8.
pub fn at(location: &str) -> io::Result<Place> {
    if s3::S3Files::is_location(location) {
        let location = location.trim_end_matches('/').to_owned();
        let s3 = Arc::new(s3::S3Files::of(&location));
        return Ok(Place { files: Arc::clone(&s3) as _, removal: s3, location });
    }
    let location = local::LocalFiles::location(location)?;
    let files = Arc::new(local::LocalFiles);
    Ok(Place { files: Arc::clone(&files) as _, removal: files, location })
}
