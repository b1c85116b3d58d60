//! The arguments, and the help that teaches them.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const ABOUT: &str = "\
Streams run lakeward: copies DynamoDB streams, Kinesis streams and SQS queues into Apache Iceberg \
tables, each record exactly once.

In AWS Lambda this binary serves events. Here it replays event files into a lake and shows what \
the lake holds.";

const AFTER: &str = "\
Examples:
  lakeward check                          what is wrong with ./lakeward.toml
  lakeward replay events/                 land the events of a folder in the lake
  lakeward tables                         what the lake holds
  lakeward show shop.orders_changes       the newest rows of a table

Environment:
  LAKEWARD_LAKE__LOCATION overrides `location` of [lake], and so on for its other keys.

Exit codes:
  0  done; of a replay: every record landed, was there already, is quarantined or dropped
  1  something failed; of a replay: a file, an event or a record is none of these
  2  the arguments or the config are wrong; nothing was done";

const REPLAY_AFTER: &str = "\
An event file holds what Lambda hands to a function: {\"Records\": [ … ]} with the records of a
DynamoDB stream, a Kinesis stream or an SQS queue. A file holds one event, over as many lines as
it likes, or one event a line. Folders are searched for .json, .jsonl and .ndjson files, also
with .gz or .zst after it; hidden ones are skipped. Files are taken in the order of their paths.

Replaying an event again is safe: a record that a table holds is counted as duplicate. A broken
file costs only itself.

Examples:
  lakeward replay event.json
  lakeward replay --config shop/lakeward.toml --lake /tmp/lake shop/events more.jsonl.gz

Exit codes: 0 all landed, quarantined or dropped; 1 something is neither; 2 bad arguments or config";

const SHOW_AFTER: &str = "\
Newest first, by `_lw_arrived_at`, then `_lw_position`. A table cuts long values and leaves out
columns without a value; json (one object a line) and csv (an empty field is null, \"\" is the
empty text) are whole.

Examples:
  lakeward show shop.orders_changes --limit 3
  lakeward show lakeward.quarantine --format json";

/// `lakeward`
#[derive(Debug, Parser)]
#[command(name = "lakeward", version, about = ABOUT, after_help = AFTER)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run event files through the same handler as in Lambda
    #[command(after_help = REPLAY_AFTER)]
    Replay {
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
        /// Directory of the lake, instead of the config's
        #[arg(long, value_name = "DIR")]
        lake: Option<String>,
        /// Event files, and folders of them
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// List the tables, or the columns of one
    Tables {
        /// The table whose columns to list
        table: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Print the newest rows of a table
    #[command(after_help = SHOW_AFTER)]
    Show {
        /// The table, namespace.name
        table: String,
        /// Most rows to print
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// How to print them
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
        #[command(flatten)]
        place: Place,
    },
    /// Name everything that is wrong with a config
    Check {
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
    },
}

/// Which lake to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The config that names the lake [default: lakeward.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the lake [default: the config's, else ./lake]
    #[arg(long, value_name = "DIR")]
    pub lake: Option<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns for people
    Table,
    /// One object a line
    Json,
    /// With a header line
    Csv,
}
