//! Recovery of records that have not landed: failed batches of streams, messages of dead-letter
//! queues, rows of quarantine; and the audit that finds records which are still missing.
//!
//! A failed batch comes with its event, or only with its range of the shard, which is then read
//! again. Records that no source holds any more are noted in `lakeward.gaps` and in the log.

mod shard;

pub mod notice;

mod gap;

mod range;

mod failed;

pub mod audit;
pub mod dlq;
pub mod quarantine;

pub use failed::RecoveryReport;

pub use gap::Gap;
pub use notice::FailedBatch;
pub use shard::Streams;
