//! All integration tests, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::type_complexity,
    unreachable_pub,
    reason = "a test may panic, reads the environment and the clock, and is nobody's interface"
)]

mod commit;
mod config_errors;
mod deadline;
mod docs;
mod faults_table;
mod files;
mod fuzz;
mod golden;
mod kills;
mod lambda;
mod limits;
mod look;
mod newcomer;
mod processes;
mod pruning;
mod quickstart;
mod recovery;
mod redrive;
mod runtime_api;
mod s3;
mod sim;
mod stack;
mod support;
mod tidy;
mod traces;
