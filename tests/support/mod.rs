//! Stand-ins for services, and helpers that several tests share.

pub mod aws;
pub mod compare;
pub mod fixture;
pub mod lake;
pub mod lambda_events;
pub mod process;
pub mod runtime_api;
pub mod s3;
pub mod store;
