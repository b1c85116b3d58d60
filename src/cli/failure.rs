//! Failures that end a command early.

use std::io;

use crate::cli::terminal::{FAILED, WRONG_USE};
use crate::config::ConfigError;
use crate::store::StoreError;

/// A failure that ends a command early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
}

impl Failure {
    /// Returns the exit code of a command that ends with this failure.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Usage(_) => WRONG_USE,
            Failure::Failed(_) | Failure::Store(_) | Failure::Print(_) => FAILED,
        }
    }
}
