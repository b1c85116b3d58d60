//! The real binary: driven through the Runtime API, killed, and next to other processes.

mod concurrency;
mod kills;
mod lambda;
mod runtime_api;
