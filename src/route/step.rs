//! The steps of a route's `transform`, as data; [`crate::transform`] applies them.

use crate::route::condition::Condition;
use crate::route::path::Path;
use crate::route::selector::Selector;
use crate::secret;

/// One step of `transform`, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `drop`: removes these fields.
    Drop(Vec<Selector>),
    /// `keep`: removes all other fields, except the keys of a DynamoDB item.
    Keep(Vec<Selector>),
    /// `rename`: gives each field a new name; an attribute or an envelope field becomes one of the
    /// record's own.
    Rename(Vec<(Selector, String)>),
    /// `hash`: replaces values by the HMAC-SHA-256 of their text, in hex.
    Hash {
        /// The fields to hash.
        fields: Vec<Selector>,
        /// The reference to its key.
        key: secret::Reference,
    },
    /// `require`: rejects a record that lacks one of these, or has null there.
    Require(Vec<Path>),
    /// `filter`: leaves out and counts a record that does not match all of these.
    Filter(Vec<Condition>),
}
