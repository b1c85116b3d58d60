//! Decodes the bytes of an event into records; each kind of source has a file of its own.

pub mod kind;

mod members;

mod archive;
mod attribute;
mod envelope;
mod kpl;
mod pieces;
mod reframe;

mod dynamodb;
mod kinesis;
mod sqs;

pub mod event;

pub use envelope::Unwrap;
pub use event::{Event, EventError};
pub use kind::{Kind, Redelivery, StreamKind};
pub(crate) use members::padded;
pub use reframe::Carrier;

#[cfg(test)]
mod tests;
