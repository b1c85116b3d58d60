//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::help;

/// `lakeward`
#[derive(Debug, Parser)]
#[command(name = "lakeward", version, about = help::ABOUT, after_help = help::AFTER)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run event files through the function's code, and land their records
    #[command(after_help = help::REPLAY_AFTER)]
    Replay {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        input: InputArgs,
        /// Do everything but write
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Exit with 3 if one of these happened
        #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
        fail_on: Vec<FailOn>,
    },
    /// Show what a replay would do, and write nothing
    #[command(after_help = help::PLAN_AFTER)]
    Plan {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        input: InputArgs,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the columns to declare for the records of a file
    #[command(after_help = help::INFER_AFTER)]
    Infer {
        /// Files of JSON lines, of JSON, or of events
        #[arg(required = true, value_name = "FILE")]
        paths: Vec<PathBuf>,
        /// The table that the columns are for
        #[arg(long, value_name = "NAME", default_value = "namespace.table")]
        table: String,
    },
    /// Land records that could not land before
    #[command(subcommand)]
    Redrive(RedriveCommand),
    /// Count landed records by source, day and shard, and compare them with a stream
    #[command(after_help = help::AUDIT_AFTER)]
    Audit {
        /// Compare with this Kinesis stream, as far back as it keeps records
        #[arg(long, value_name = "ARN")]
        stream: Vec<String>,
        /// Count from this day of arrival on (UTC)
        #[arg(long, value_name = "YYYY-MM-DD")]
        since: Option<String>,
        /// Minutes that a record of the stream may take to land before it counts as missing
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        grace: u32,
        #[command(flatten)]
        config: ConfigArgs,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Join small files, and remove what no snapshot needs any more
    #[command(after_help = help::UPKEEP_AFTER)]
    Upkeep {
        /// Tables, namespace.name [default: all of the lake]
        #[arg(value_name = "TABLE")]
        tables: Vec<String>,
        /// Do everything but write and remove
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// List the tables, or the columns of one
    Tables {
        /// The table whose columns to list
        table: Option<String>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Print the newest rows of a table
    #[command(after_help = help::SHOW_AFTER)]
    Show {
        /// The table, namespace.name
        table: String,
        /// Largest number of rows to print
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        /// Format of the rows
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Print the query that opens a table in an engine
    #[command(after_help = help::SQL_AFTER)]
    Sql {
        /// The table, namespace.name
        table: String,
        /// Query only the newest row of each key, without deleted items
        #[arg(long)]
        latest: bool,
        /// Columns that make the key, if the records have none
        #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "latest")]
        key: Vec<String>,
        /// The engine
        #[arg(long, value_enum, default_value_t = Engine::Duckdb)]
        engine: Engine,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Write a config to start from, and a sample event
    #[command(after_help = help::INIT_AFTER)]
    Init {
        /// The folder
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print completions for a shell
    #[command(after_help = help::COMPLETIONS_AFTER)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Name every mistake in a config, with its line and a remedy
    Check {
        /// The config
        #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
        config: PathBuf,
    },
}

/// A command that lands records which could not land before.
#[derive(Debug, Subcommand)]
pub(super) enum RedriveCommand {
    /// Land quarantined records
    #[command(after_help = help::QUARANTINE_AFTER)]
    Quarantine {
        /// Select the records of this table
        #[arg(value_name = "TABLE")]
        table: Option<String>,
        /// Select the records whose COLUMN is TEXT
        #[arg(long = "where", value_name = "COLUMN=TEXT")]
        conditions: Vec<String>,
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        options: RedriveOptions,
    },
    /// Land failed batches of streams from their on-failure bucket
    #[command(after_help = help::FAILED_AFTER)]
    Failed {
        /// A folder or one object, or s3://bucket/prefix
        #[arg(value_name = "LOCATION")]
        location: String,
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        options: RedriveOptions,
    },
    /// Land messages of a dead-letter queue
    #[command(after_help = help::DLQ_AFTER)]
    Dlq {
        /// The queue's URL, ARN or name
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        options: RedriveOptions,
    },
}

/// The options of every redrive.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct RedriveOptions {
    /// Do everything but write and delete
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// The config of a command that needs one, and the lake.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// The config
    #[arg(long, value_name = "FILE", default_value = crate::config::FILE_NAME)]
    pub config: PathBuf,
    /// The lake, a directory or s3://bucket/prefix, instead of the config's
    #[arg(long, value_name = "LOCATION")]
    pub lake: Option<String>,
}

/// The lake of a command that only looks at it.
#[derive(Debug, clap::Args)]
pub(super) struct LakeArgs {
    /// The config that names the lake [default: lakeward.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The lake, a directory or s3://bucket/prefix [default: the config's, else ./lake]
    #[arg(long, value_name = "LOCATION")]
    pub lake: Option<String>,
}

/// The input of a replay.
#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
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

/// A condition that makes a replay fail although every record is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// A record was quarantined
    Quarantine,
    /// A value is in `_lw_extra`
    Extra,
    /// A value is in a sibling column
    Sibling,
}

/// The engine that reads a table.
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

/// The format of printed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns
    Table,
    /// One object a line
    Json,
    /// RFC 4180, with a header line
    Csv,
}
