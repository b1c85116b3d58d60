//! Errors that fail a whole invocation.

use crate::response;
use crate::secret::KeyError;
use crate::source;
use crate::store::StoreError;

/// Why a whole invocation fails; Lambda redelivers the event.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The event can't be split into records.
    #[error(transparent)]
    Event(#[from] source::EventError),
    /// No route names the event's source.
    #[error(
        "no route for {arn}: add a [[route]] whose source matches it, or one with drop = true to \
         discard its records"
    )]
    NoRoute {
        /// The ARN.
        arn: String,
    },
    /// A key that a route hashes with can't be fetched.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store took nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that is not durable can't be reported by itself.
    #[error(transparent)]
    Unreportable(#[from] response::UnreportableRecord),
    /// A failed batch can't be recovered.
    #[error("{0}")]
    Recovery(String),
    /// A table can't be kept up.
    #[error("{0}")]
    Upkeep(String),
    /// The answer can't be written.
    #[error("can't write the answer: {0}")]
    Answer(serde_json::Error),
}

impl InvocationError {
    /// Returns its kind, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            InvocationError::Event(_) => "BadEvent",
            InvocationError::NoRoute { .. } => "NoRoute",
            InvocationError::Key(_) => "Key",
            InvocationError::Store(_) => "Store",
            InvocationError::Unreportable(_) => "Unreportable",
            InvocationError::Recovery(_) => "Recovery",
            InvocationError::Upkeep(_) => "Upkeep",
            InvocationError::Answer(_) => "Answer",
        }
    }
}
