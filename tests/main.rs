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

mod support;

mod contract;

mod commit;
mod process;
mod recovery;

mod sim;
mod stack;

mod fuzz;
mod pages;
mod tidy;
