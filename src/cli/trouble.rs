//! Troubles: what keeps a file, an event or a record from landing.

use std::fmt;

/// The remedy for an input that is broken.
pub(super) const FIX_AND_REPLAY: &str =
    "fix it and replay it; records that have landed do not land again";
/// The remedy for anything that kept a sound input from landing.
pub(super) const REPAIR_AND_RETRY: &str =
    "repair this and run the command again; records that have landed do not land again";

/// A cause that keeps a file, an event or a record from landing. Never holds payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The file, with the line if one is known; or the object, the queue or the source.
    pub location: String,
    pub what: String,
    pub remedy: String,
}

impl Trouble {
    pub(super) fn new(
        location: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { location: location.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, what, remedy } = self;
        write!(f, "{location}: {what}: {remedy}")
    }
}
