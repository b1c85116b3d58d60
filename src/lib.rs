#![doc = include_str!("ARCHITECTURE.md")]
// Modules stand in flow order: a file uses only what is declared above its own.

pub mod deadline;
mod digest;
pub mod json;

pub mod arn;
pub mod name;
pub mod number;
pub mod pattern;
pub mod table_name;
pub mod time;
pub mod value;

pub mod record;
pub mod table;

pub mod source;

mod aws;
pub mod secret;

pub mod route;
pub mod transform;

pub mod quarantine;

pub mod outcome;
pub mod response;

pub mod store;

pub mod config;
pub mod handler;
pub mod recovery;
pub mod upkeep;

pub mod intake;

pub mod lambda;

pub mod cli;
