//! Rules for records: how they are decoded, routed and placed, and what may be shown of them.

mod config_errors;
mod contended;
mod deadline;
mod golden;
mod memory;
mod passes;
mod placeholders;
mod redaction;
mod typed_events;
