//! Why a batch may not be durable.

use std::io;

use crate::table_name::TableName;

/// Trouble with the store. Nothing is known about the batch: the caller offers it again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The place where the lake is did not do as asked.
    #[error("can't {what} {location}: {source}")]
    Files {
        /// What was tried.
        what: &'static str,
        /// Where.
        location: String,
        /// The cause.
        source: io::Error,
    },
    /// A file of the table is not what it should be.
    #[error("can't read {location}: {problem}")]
    Damaged {
        /// Which file.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Table metadata that can't be made.
    #[error("can't {what}: {source}")]
    Metadata {
        /// What was being made.
        what: &'static str,
        /// The cause.
        source: Box<iceberg::Error>,
    },
    /// A data file that can't be made.
    #[error("can't {what}: {problem}")]
    Encode {
        /// What was being made.
        what: &'static str,
        /// The cause.
        problem: String,
    },
    /// The table is in a state that this binary must not write to.
    #[error("table {table}: {problem}")]
    Table {
        /// Which table.
        table: TableName,
        /// What is in the way, and what to do.
        problem: String,
    },
    /// No time left; nothing is known to be durable.
    #[error("out of time before the records for {0} were durable")]
    OutOfTime(TableName),
}

impl StoreError {
    /// Names what was tried where, for an I/O error.
    pub(crate) fn files(what: &'static str, location: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Files { what, location: location.to_owned(), source }
    }

    /// Names what was being made, for an error of the Iceberg library.
    pub(crate) fn metadata(what: &'static str) -> impl Fn(iceberg::Error) -> Self {
        move |source| Self::Metadata { what, source: Box::new(source) }
    }

    /// Names what was being made, for an error of the Arrow or Parquet library.
    pub(crate) fn encode<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |problem| Self::Encode { what, problem: problem.to_string() }
    }

    /// Names the file that is not what it should be.
    pub(crate) fn damaged<E: std::fmt::Display>(location: &str) -> impl FnOnce(E) -> Self {
        move |problem| Self::Damaged { location: location.to_owned(), problem: problem.to_string() }
    }
}
