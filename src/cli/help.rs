//! The texts of `--help` around the descriptions of arguments, wrapped at 80 columns.

pub(super) const ABOUT: &str = "\
Streams run lakeward: copies DynamoDB streams, Kinesis streams and SQS queues into Apache Iceberg \
tables, each record exactly once.

In AWS Lambda this binary serves events. On the command line it replays event files into a lake, \
and prints what the lake holds.";

pub(super) const AFTER: &str = "\
Examples:
  lakeward check                          find mistakes in ./lakeward.toml
  lakeward replay events/                 land the events of a folder
  lakeward tables                         list the tables of the lake
  lakeward show shop.orders_changes       print the newest rows of a table
  lakeward replay --as ARN orders.jsonl   land plain JSON lines
  lakeward infer orders.jsonl             print the columns to declare for them

Environment:
  LAKEWARD_LAKE__LOCATION overrides `location` of [lake], and so on for the
  other keys of [lake].

Exit codes:
  0  done; after a replay, every record has landed, was there already, is in
     quarantine, or was dropped or filtered
  1  something failed; after a replay, a file or an event could not be handled,
     or a record failed
  2  the arguments or the config are wrong; nothing was done
  3  a condition of --fail-on was met, or audit found missing records";

pub(super) const REPLAY_AFTER: &str = "\
An event file holds what Lambda passes to a function: {\"Records\": [ … ]} with
the records of a DynamoDB stream, a Kinesis stream or an SQS queue. It holds one
event over any number of lines, or one event a line. Folders are searched for
files that end in .json, .jsonl or .ndjson, optionally followed by .gz or .zst,
in the order of their paths. Hidden files and Iceberg tables are skipped.

With --as, each line of a file is the payload of one record: a message of a
queue, a record of a Kinesis stream, or an item of the export of a DynamoDB
table, {\"Item\": …}. A JSON list and a single JSON object work as well. The id
of such a record follows from its bytes, the path of its file as you give it,
and how often the same bytes came before in the file. So an edited line is a new
record, and the other lines are not. These records have no arrival time.

Replaying an event again is safe: records that a table holds count as
duplicates. A broken file is reported and skipped.

Examples:
  lakeward replay event.json
  lakeward replay --config shop/lakeward.toml --lake /tmp/lake shop/events
  lakeward replay --as arn:aws:sqs:eu-west-1:123456789012:orders orders.jsonl
  lakeward replay --as arn:aws:dynamodb:eu-west-1:123456789012:table/app \\
      --key pk,sk data/
  lakeward replay --dry-run --fail-on quarantine,extra event.json

Exit codes:
  0  every record has landed, is in quarantine, or was dropped or filtered
  1  a file or an event could not be handled, or a record failed
  2  the arguments or the config are wrong; nothing was done
  3  a condition of --fail-on was met";

pub(super) const PLAN_AFTER: &str = "\
The events go through the function's code, on a lake that only pretends to be
written to. The output shows how many records each route takes, what becomes of
them, and which tables and columns would be created.

Examples:
  lakeward plan event.json
  lakeward plan --as arn:aws:sqs:eu-west-1:123456789012:orders orders.jsonl

Exit codes are those of replay. It is also 1 if a column of a table can't be
widened to its declared type.";

pub(super) const INFER_AFTER: &str = "\
The output is a block to paste into lakeward.toml: each column with its type and
the evidence for it. All values fit the type. A likely type that is not certain
is only a comment. No value is printed.

Examples:
  lakeward infer orders.jsonl --table billing.orders
  lakeward infer events/";

pub(super) const UPKEEP_AFTER: &str = "\
Commits write small files, and each leaves metadata behind. Upkeep joins the
files of each day until they are large, and a day after nothing names a file any
more, it removes it. What another process reads or writes meanwhile is safe, and
an interrupted run is gone on with by the next one. The template runs it every
15 minutes in a function of its own; a lake in a folder needs it now and then.

It leaves alone what arrived in the last hour, and days to whose rows a delete of
another engine applies. It removes only files that Lakeward has made.

The columns of its output: files that were joined, into how many, their rows and
their size; files that were removed, their size, and files that wait for a day.

Examples:
  lakeward upkeep
  lakeward upkeep shop.orders_changes --lake s3://my-lake/lake
  lakeward upkeep --dry-run

Exit codes:
  0  done
  1  a table could not be read or written; the others are done
  2  the arguments or the config are wrong; nothing was done";

pub(super) const SHOW_AFTER: &str = "\
Newest first, by `_lw_arrived_at` and then `_lw_position`. The format `table`
cuts long values and leaves out columns without a value. `json` (one object a
line) and `csv` (an empty field is null, \"\" is the empty text) print everything.

Examples:
  lakeward show shop.orders_changes --limit 3
  lakeward show lakeward.quarantine --format json";

pub(super) const SQL_AFTER: &str = "\
A table of changes has a row for each change. --latest prints the query for the
newest row of each `_lw_source` and `_lw_key`, without deleted items. Messages
of a standard queue have no key: name the columns that make one with --key.

Examples:
  lakeward sql shop.orders_changes --latest
  lakeward sql billing.invoices --latest --key invoice_id
  lakeward sql shop.orders_changes --engine athena";

pub(super) const INIT_AFTER: &str = "\
The files are lakeward.toml and events/sample.json. Existing files are not
changed.

Example:
  lakeward init shop && cd shop && lakeward replay events/";

pub(super) const QUARANTINE_AFTER: &str = "\
Quarantined records are decoded again and go where today's config sends them,
under the source and id that they came with. Records that land are marked in
lakeward.resolved and skipped from then on. Records that still can't become
rows, or that the config drops or filters, stay. A second run changes nothing.

TABLE selects the records that a route of this table rejected. A record may have
no such route: none took it, or its route now drops records or has left the
config. TABLE selects it if a route of this table names its source.

A condition compares a column of lakeward.quarantine, such as reason, route,
_lw_source or _lw_arrived_at, as `show` prints it, with a text in which * stands
for any run of characters. All conditions must hold.

Examples:
  lakeward redrive quarantine --dry-run
  lakeward redrive quarantine billing.invoices --where reason=missing_field
  lakeward redrive quarantine --where '_lw_source=*:stream/clicks'";

pub(super) const FAILED_AFTER: &str = "\
Records land under the ids that they have in the stream. So records that have
landed do not land again, and a second run changes nothing. The objects stay
where they are.

Lambda sends a batch without its records if the on-failure destination is a
queue or a topic. An object with such a notice names the range of the records,
and the range is read from the stream again: all of it, including records that
the FilterCriteria of the event source mapping left out. Records that the stream
no longer holds are lost: the command reports them, and lakeward.gaps keeps
their range.

Examples:
  lakeward redrive failed s3://failed-bucket/aws/lambda --dry-run
  lakeward redrive failed s3://failed-bucket/aws/lambda --lake s3://my-lake/lake";

pub(super) const DLQ_AFTER: &str = "\
Messages go where today's config sends them, as if they came from the queue that
they were first sent to. A message is deleted once it has landed. A message that
can't become a row stays in the queue and is in quarantine; redrive quarantine
lands it later, and then this command deletes it.

Messages that Lambda sent to an on-failure destination name a range of a stream,
which is read from the stream again.

Examples:
  lakeward redrive dlq invoices-dlq --dry-run
  lakeward redrive dlq \\
      https://sqs.eu-west-1.amazonaws.com/123456789012/invoices-dlq";

pub(super) const AUDIT_AFTER: &str = "\
Columns of the output:
  landed       rows in tables
  quarantined  records in quarantine
  resolved     of these, records that have landed since
  lost         ranges of records that no source holds any more; they are in
               lakeward.gaps

Columns with --stream:
  in the stream    records that the stream still holds
  of these recent  records that arrived less than --grace minutes ago; they are
                   not compared
  missing          rows of the other records that would land now, in a table or
                   in quarantine

To find missing rows, the records go through the config, on a lake that only
pretends to be written to. A record that holds several can count several times.
An event source mapping that starts at TRIM_HORIZON lands the missing rows, and
lands nothing twice.

Examples:
  lakeward audit --since 2026-11-01
  lakeward audit --lake s3://my-lake/lake \\
      --stream arn:aws:kinesis:eu-west-1:123456789012:stream/clicks

Exit codes:
  0  nothing is missing
  1  something could not be read
  2  the arguments or the config are wrong; nothing was done
  3  the stream holds records that the lake lacks";

pub(super) const COMPLETIONS_AFTER: &str = "\
Examples:
  lakeward completions bash \\
      > ~/.local/share/bash-completion/completions/lakeward
  lakeward completions zsh > ~/.zfunc/_lakeward   (fpath+=~/.zfunc in .zshrc)
  lakeward completions fish > ~/.config/fish/completions/lakeward.fish";
