//! Assertions of fuzzing: one body for each kind of foreign text.
//!
//! A body is given any bytes and fails where a promise is broken. libFuzzer runs it (`targets/`), and so
//! does an ordinary test over the seeds and over everything that was ever found (`crashes/`). It uses
//! only what the library shows to everyone.

pub mod accounts;
pub mod canary;
pub mod config;
pub mod envelope;
pub mod exact;
pub mod kinesis;
pub mod names;
pub mod pieces;
pub mod recovery;
pub mod sqs;
pub mod values;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Body); 7] = [
    ("envelope", envelope::run),
    ("values", values::run),
    ("kinesis", kinesis::run),
    ("sqs", sqs::run),
    ("config", config::run),
    ("names", names::run),
    ("recovery", recovery::run),
];
