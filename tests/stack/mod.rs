//! The glue: the template that ships, deployed to LocalStack by CloudFormation, and real event source
//! mappings, queues and streams around the real zip.
//!
//! `tests/run stack` starts LocalStack, runs these and stops it. Without it they are skipped by name.
//! What each test leaves in S3 is read again by DuckDB and PyIceberg, see `Stack::expect`.

mod faults;
mod log;
mod queues;
mod record;
mod recovery;
mod streams;
mod support;
mod upkeep;

pub use support::{endpoint, leave};

/// A lake of its own in LocalStack.
pub fn bucket_for(test: &'static str) -> String {
    support::run_async(async { support::Cloud::of(test).await.lake() })
}
