//! The steps of a route's `transform`, as data; [`crate::transform`] takes them.

use crate::route::{Path, Selector, When};
use crate::secret;

/// One step of `transform`, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `drop`: these fields go.
    Drop(Vec<Selector>),
    /// `keep`: all other fields go, but for the keys of a DynamoDB item.
    Keep(Vec<Selector>),
    /// `rename`: a field and its new name in the same place; an attribute or envelope field
    /// becomes a field of the record's own.
    Rename(Vec<(Selector, String)>),
    /// `hash`: values become the HMAC-SHA-256 of their text, in hex.
    Hash {
        /// What to hash.
        fields: Vec<Selector>,
        /// Where its key is.
        key: secret::Reference,
    },
    /// `require`: a record that lacks one of these, or has null there, is rejected.
    Require(Vec<Path>),
    /// `filter`: a record that does not match all of these is left out, and counted.
    Filter(Vec<When>),
}
