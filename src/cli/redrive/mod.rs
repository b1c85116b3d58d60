//! `lakeward redrive`: lands quarantined records, failed batches, and messages of a dead-letter
//! queue.

mod report;

pub(super) mod dlq;
pub(super) mod failed;
pub(super) mod quarantine;
