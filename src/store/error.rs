//! Errors of the store, after which a batch may not be durable.

use std::io;

use crate::table_name::TableName;

/// An error of the store. Nothing is known about the batch: the caller offers it again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The files of the lake could not be read or written.
    #[error("can't {what} {location}: {source}")]
    Files {
        /// The action, a verb.
        what: &'static str,
        /// The file or folder.
        location: String,
        /// The cause.
        source: io::Error,
    },
    /// A file of the table is damaged or missing.
    #[error("can't read {location}: {problem}")]
    Damaged {
        /// The file.
        location: String,
        /// The problem.
        problem: String,
    },
    /// Table metadata could not be made.
    #[error("can't {what}: {source}")]
    Metadata {
        /// The action, with its object.
        what: &'static str,
        /// The cause.
        source: Box<iceberg::Error>,
    },
    /// A data file could not be made.
    #[error("can't {what}: {problem}")]
    Encode {
        /// The action, with its object.
        what: &'static str,
        /// The cause.
        problem: String,
    },
    /// The table is in a state in which this release must not write to it.
    #[error("table {table}: {problem}")]
    Table {
        /// The table.
        table: TableName,
        /// The problem and its remedy.
        problem: String,
    },
    /// The time is up; nothing is known to be durable.
    #[error(
        "out of time before the records for {0} were durable: give the function more time, or \
         smaller batches"
    )]
    OutOfTime(TableName),
}

impl StoreError {
    /// Adds the action and the location to an I/O error.
    pub(crate) fn files(what: &'static str, location: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Files { what, location: location.to_owned(), source }
    }

    /// Adds the action to an error of the Iceberg library.
    pub(crate) fn metadata(what: &'static str) -> impl Fn(iceberg::Error) -> Self {
        move |source| Self::Metadata { what, source: Box::new(source) }
    }

    /// Adds the action to an error of the Arrow or Parquet library.
    pub(crate) fn encode<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |problem| Self::Encode { what, problem: problem.to_string() }
    }

    /// Adds the location of the file to a problem with it.
    pub(crate) fn damaged<E: std::fmt::Display>(location: &str) -> impl FnOnce(E) -> Self {
        move |problem| Self::Damaged { location: location.to_owned(), problem: problem.to_string() }
    }
}
