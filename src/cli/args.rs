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
  lakeward replay --as ARN orders.jsonl   try it with plain JSON lines
  lakeward infer orders.jsonl             the columns to declare for them

Environment:
  LAKEWARD_LAKE__LOCATION overrides `location` of [lake], and so on for its other keys.

Exit codes:
  0  done; of a replay: every record landed, was there already, is quarantined or dropped
  1  something failed; of a replay: a file, an event or a record is none of these
  2  the arguments or the config are wrong; nothing was done
  3  of a replay: what --fail-on names has happened";

const REPLAY_AFTER: &str = "\
An event file holds what Lambda hands to a function: {\"Records\": [ … ]} with the records of a
DynamoDB stream, a Kinesis stream or an SQS queue. A file holds one event, over as many lines as
it likes, or one event a line. Folders are searched for .json, .jsonl and .ndjson files, also
with .gz or .zst after it; hidden ones are skipped. Files are taken in the order of their paths.

With --as, each line of a file is the payload of a record instead: a message of a queue, a record
of a stream, or an item of a table's export ({\"Item\": …}). A list or a single JSON object will do
as well. Such records have no arrival time; what one is called follows from its bytes, the path of
its file as you give it and how often it came before in it, so an edited line is a new record and
the others are not. Folders of Iceberg tables are skipped.

Replaying an event again is safe: a record that a table holds is counted as duplicate. A broken
file costs only itself.

Examples:
  lakeward replay event.json
  lakeward replay --config shop/lakeward.toml --lake /tmp/lake shop/events more.jsonl.gz
  lakeward replay --as arn:aws:sqs:eu-west-1:123456789012:orders orders.jsonl
  lakeward replay --as arn:aws:dynamodb:eu-west-1:123456789012:table/app --key pk,sk data/
  lakeward replay --dry-run --fail-on quarantine,extra event.json

Exit codes: 0 all landed, quarantined, filtered or dropped; 1 something is neither; 2 bad arguments
or config; 3 what --fail-on names has happened";

const PLAN_AFTER: &str = "\
It runs the events through the real handler on a lake that only pretends to be written to: which
routes take how many records, what becomes of them, which tables and columns come into being.

Examples:
  lakeward plan event.json
  lakeward plan --as arn:aws:sqs:eu-west-1:123456789012:orders orders.jsonl

Exit codes as of replay; 1 also when a declared type is no widening of the column's";

const INFER_AFTER: &str = "\
It reads records and prints the block to paste into lakeward.toml, each column with what speaks for
its type. Types are chosen so that all values fit; what is only likely is a comment. No value is
printed.

Examples:
  lakeward infer orders.jsonl --table billing.orders
  lakeward infer events/";

const SHOW_AFTER: &str = "\
Newest first, by `_lw_arrived_at`, then `_lw_position`. A table cuts long values and leaves out
columns without a value; json (one object a line) and csv (an empty field is null, \"\" is the
empty text) are whole.

Examples:
  lakeward show shop.orders_changes --limit 3
  lakeward show lakeward.quarantine --format json";

const SQL_AFTER: &str = "\
A table of changes has a row for each change. --latest prints the query for the newest row of each
`_lw_source` and `_lw_key`, without those that are deleted by now. Messages of a standard queue have
no key: name the columns that make one with --key.

Examples:
  lakeward sql shop.orders_changes --latest
  lakeward sql billing.invoices --latest --key invoice_id
  lakeward sql shop.orders_changes --engine athena";

const INIT_AFTER: &str = "\
It writes lakeward.toml and events/sample.json, and changes no file that is there.

Example:
  lakeward init shop && cd shop && lakeward replay events/";

const REDRIVE_AFTER: &str = "\
What quarantine holds is decoded again and goes where today's config sends it, under the source and
id it came with. What lands is marked in lakeward.resolved and passed over from then on; what is
still no row, or is dropped or filtered, stays. Running it twice changes nothing.

TABLE takes what routes of that table have rejected, and what no route, or one with drop = true,
has taken from a source that such a route names.

Conditions compare a column of lakeward.quarantine, such as reason, route, _lw_source or
_lw_arrived_at, as it is shown, with a text in which * is any run of characters. All must hold.

Examples:
  lakeward redrive quarantine --dry-run
  lakeward redrive quarantine billing.invoices --where reason=missing_field
  lakeward redrive quarantine --where '_lw_source=*:clicks' --lake s3://bucket/lake";

const FAILED_AFTER: &str = "\
Records land under the ids that they have in the stream, so what has landed already lands no second
time, and running it twice changes nothing. The objects stay where they are.

An object without records (queues and topics as on-failure destinations tell of no more) names their
range, which is read from the stream again: all of it, also what the FilterCriteria of a mapping left
out. What the stream no longer holds is lost: it is told, and kept in lakeward.gaps.

Examples:
  lakeward redrive failed s3://my-failed-bucket/aws/lambda --dry-run
  lakeward redrive failed s3://my-failed-bucket/aws/lambda --lake s3://my-lake/lake";

const DLQ_AFTER: &str = "\
Messages go where today's config sends them, as if they came from the queue that they were sent to
first. A message is deleted once it has landed. What is no row is in quarantine, and its message
stays; redrive quarantine lands it later, and then this deletes it.

Messages of an on-failure destination name a range of a stream, which is read again.

Examples:
  lakeward redrive dlq invoices-dlq --dry-run
  lakeward redrive dlq https://sqs.eu-west-1.amazonaws.com/123456789012/invoices-dlq";

const AUDIT_AFTER: &str = "\
landed       rows of tables
quarantined  records in quarantine, and of these how many have been resolved since
lost         ranges of records that nobody holds any more; lakeward.gaps names them

With --stream, every record that the stream still holds goes through the config on a lake that only
pretends to be written to: what would land now is missing. Of a record that holds several, each
counts. A mapping that starts at TRIM_HORIZON lands what is missing, and nothing twice.

Examples:
  lakeward audit --since 2026-11-01
  lakeward audit --stream arn:aws:kinesis:eu-west-1:123456789012:stream/clicks --lake s3://my-lake/lake

Exit codes: 0 nothing is missing; 1 something could not be read; 2 bad arguments or config; 3 the
stream has records that the lake lacks";

const COMPLETIONS_AFTER: &str = "\
Examples:
  lakeward completions bash > ~/.local/share/bash-completion/completions/lakeward
  lakeward completions zsh > ~/.zfunc/_lakeward           (with fpath+=~/.zfunc in .zshrc)
  lakeward completions fish > ~/.config/fish/completions/lakeward.fish";

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
        /// The lake, a directory or s3://bucket/prefix, instead of the config's
        #[arg(long, value_name = "PLACE")]
        lake: Option<String>,
        #[command(flatten)]
        input: Input,
        /// Do all of it but write: nothing on disk changes
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Exit with 3 when this happened: quarantine, extra, sibling
        #[arg(long, value_name = "WHAT", value_delimiter = ',')]
        fail_on: Vec<FailOn>,
    },
    /// Show what a replay would do; write nothing
    #[command(after_help = PLAN_AFTER)]
    Plan {
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
        /// The lake, a directory or s3://bucket/prefix, instead of the config's
        #[arg(long, value_name = "PLACE")]
        lake: Option<String>,
        #[command(flatten)]
        input: Input,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the columns to declare for the records of a file
    #[command(after_help = INFER_AFTER)]
    Infer {
        /// Files of JSON lines, of JSON, or of events
        #[arg(required = true, value_name = "FILE")]
        paths: Vec<PathBuf>,
        /// The table the columns are for
        #[arg(long, value_name = "NAME", default_value = "namespace.table")]
        table: String,
    },
    /// Send records on again that could not land
    #[command(subcommand)]
    Redrive(Redrive),
    /// Count what has landed by source, day and shard, and compare it with a stream
    #[command(after_help = AUDIT_AFTER)]
    Audit {
        /// Compare with this Kinesis stream, as far back as it keeps records
        #[arg(long, value_name = "ARN")]
        stream: Vec<String>,
        /// The first day of arrival to look at (UTC)
        #[arg(long, value_name = "YYYY-MM-DD")]
        since: Option<String>,
        /// Minutes that a record of the stream has to land
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        grace: u32,
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
        /// The lake, a directory or s3://bucket/prefix, instead of the config's
        #[arg(long, value_name = "PLACE")]
        lake: Option<String>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// List the tables, or the columns of one
    Tables {
        /// The table whose columns to list
        table: Option<String>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
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
    /// Print the query that opens a table in an engine
    #[command(after_help = SQL_AFTER)]
    Sql {
        /// The table, namespace.name
        table: String,
        /// Only the newest row of each key, without deleted ones
        #[arg(long)]
        latest: bool,
        /// Columns that make the key, where records came without one
        #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "latest")]
        key: Vec<String>,
        /// The engine
        #[arg(long, value_enum, default_value_t = Engine::Duckdb)]
        engine: Engine,
        #[command(flatten)]
        place: Place,
    },
    /// Write a config to start from, and a sample event
    #[command(after_help = INIT_AFTER)]
    Init {
        /// The folder
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS_AFTER)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Name everything that is wrong with a config
    Check {
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
    },
}

/// What is sent on again.
#[derive(Debug, Subcommand)]
pub(super) enum Redrive {
    /// What is in quarantine
    #[command(after_help = REDRIVE_AFTER)]
    Quarantine {
        /// Only what is for this table
        #[arg(value_name = "TABLE")]
        table: Option<String>,
        /// Only rows of quarantine whose column is this
        #[arg(long = "where", value_name = "COLUMN=TEXT")]
        conditions: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Batches of streams that Lambda has given up, from its on-failure bucket
    #[command(after_help = FAILED_AFTER)]
    Failed {
        /// A folder or one object, or s3://bucket/prefix
        #[arg(value_name = "PLACE")]
        location: String,
        #[command(flatten)]
        how: How,
    },
    /// Messages of a dead-letter queue
    #[command(after_help = DLQ_AFTER)]
    Dlq {
        /// The queue's URL, ARN or name
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        how: How,
    },
}

/// How something is redriven.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
    pub config: PathBuf,
    /// The lake, a directory or s3://bucket/prefix, instead of the config's
    #[arg(long, value_name = "PLACE")]
    pub lake: Option<String>,
    /// Do all of it but write, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// What is replayed.
#[derive(Debug, clap::Args)]
pub(super) struct Input {
    /// Take each line as the payload of a record of this queue, stream or table
    #[arg(long = "as", value_name = "ARN")]
    pub source: Option<String>,
    /// Key attributes of the table, for --as with a DynamoDB table
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "source")]
    pub key: Vec<String>,
    /// Event files, and folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// What makes a replay fail that has failed nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// A record was quarantined
    Quarantine,
    /// A value is in `_lw_extra`
    Extra,
    /// A value is in a sibling column
    Sibling,
}

/// Which lake to look at.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The config that names the lake [default: lakeward.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The lake, a directory or s3://bucket/prefix [default: the config's, else ./lake]
    #[arg(long, value_name = "PLACE")]
    pub lake: Option<String>,
}

/// Who reads the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// DuckDB with its iceberg extension
    Duckdb,
    /// Amazon Athena
    Athena,
    /// Trino
    Trino,
    /// Apache Spark
    Spark,
    /// Snowflake
    Snowflake,
    /// ClickHouse
    Clickhouse,
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
