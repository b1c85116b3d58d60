//! The head of a table: which metadata is current, and the one conditional write that changes it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use iceberg::spec::TableMetadata;

use crate::store::error::StoreError;

pub mod versions;

/// A head older than this is loaded again instead of swapped. Versions are kept for a day after their
/// successor, so no version number is free again while a swap could still try it. A process may be stopped
/// within the swap itself: then even a success proves nothing.
pub const MAX_HEAD_AGE: Duration = Duration::from_secs(5 * 60);

/// Table property that names the commit which wrote this metadata.
pub const COMMIT_PROPERTY: &str = "lakeward.commit";

/// Returns the property that names a commit.
pub fn commit_property(commit: &str) -> HashMap<String, String> {
    HashMap::from([(COMMIT_PROPERTY.to_owned(), commit.to_owned())])
}

/// One version of a head, as it was loaded.
#[derive(Debug, Clone)]
pub struct HeadVersion {
    /// The current metadata.
    pub metadata: Arc<TableMetadata>,
    /// The location of that metadata.
    pub location: String,
    /// The catalog's proof that the head is still this one; a version number for `files`.
    pub token: u64,
    /// The time of loading, by the wall clock.
    pub loaded_at: SystemTime,
}

impl HeadVersion {
    /// Returns the commit that made it; `None` if another engine did.
    pub fn commit(&self) -> Option<&str> {
        self.metadata.properties().get(COMMIT_PROPERTY).map(String::as_str)
    }
}

/// The outcome of a swap.
#[derive(Debug)]
pub enum Swap {
    /// The new metadata is the head, or was until later commits built on it.
    Swapped,
    /// Another commit replaced this head; it was read and is not ours.
    Conflict,
    /// The head was loaded too long ago; nothing was sent.
    TooOld,
    /// The outcome is not known. Only the table can tell whether the rows are there.
    Unknown(StoreError),
}

/// A call to the catalog that is under way.
pub type HeadCall<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A catalog's view of one table.
pub trait Head: std::fmt::Debug + Send + Sync {
    /// Loads the current head; `None` when the table does not exist.
    fn load(&self) -> HeadCall<'_, Result<Option<HeadVersion>, StoreError>>;

    /// Returns whether the table exists, without loading its head.
    fn exists(&self) -> HeadCall<'_, Result<bool, StoreError>>;

    /// Makes `new` the head if the head is still `base` (`None`: if the table does not exist yet).
    /// `new` carries `commit` in [`COMMIT_PROPERTY`], by which a lost answer is recognised.
    fn swap<'a>(
        &'a self,
        base: Option<&'a HeadVersion>,
        new: &'a TableMetadata,
        commit: &'a str,
    ) -> HeadCall<'a, Swap>;
}
