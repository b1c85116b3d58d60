//! The lineage columns: the first columns of every table, the same in every delivery of a record.

use crate::record::Lineage;
use crate::table::{Cell, ColumnType};

/// A lineage column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineageColumn {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a timestamp; all others are strings.
    pub is_time: bool,
    /// Whether every row has a value.
    pub required: bool,
    /// Its doc in the table.
    pub doc: &'static str,
}

const fn text(name: &'static str, required: bool, doc: &'static str) -> LineageColumn {
    LineageColumn { name, is_time: false, required, doc }
}

const fn time(name: &'static str, doc: &'static str) -> LineageColumn {
    LineageColumn { name, is_time: true, required: false, doc }
}

/// Names a record for ever, together with [`SOURCE`].
pub const ID: &str = "_lw_id";
/// Where the record was born.
pub const SOURCE: &str = "_lw_source";
/// Shard, stream label or message group.
pub const SHARD: &str = "_lw_shard";
/// Orders the records of one key.
pub const POSITION: &str = "_lw_position";
/// When the record came into being; what tables are partitioned by.
pub const ARRIVED_AT: &str = "_lw_arrived_at";
/// Hash of what the record says, where its route has an `id`.
pub const DIGEST: &str = "_lw_digest";
/// JSON of what the columns could not hold.
pub const EXTRA: &str = "_lw_extra";

/// The lineage columns of a table of records, in schema order.
pub const RECORD: [LineageColumn; 11] = [
    text(ID, true, "names the record within its source, for ever"),
    text(SOURCE, true, "ARN of the table, stream or queue the record was born in"),
    text(SHARD, false, "Kinesis shard, DynamoDB stream label, or FIFO message group"),
    text("_lw_key", false, "Kinesis partition key, DynamoDB keys as JSON, or FIFO message group"),
    text(POSITION, true, "orders the records of one source, shard and key; compares as text"),
    text("_lw_op", true, "event, insert, update, delete or read"),
    text("_lw_deleted_by", false, "who deleted the item: ttl or user"),
    time("_lw_event_at", "when it happened, UTC"),
    time(ARRIVED_AT, "when the source took it in, UTC"),
    text(DIGEST, false, "hash of the record's content, where the route has an id"),
    text(EXTRA, false, "what the columns could not hold, as JSON"),
];

/// What tables of changes have beside [`RECORD`] where they ask for it.
pub const BEFORE: LineageColumn = text("_lw_before", false, "the item before the change, as JSON");

/// The lineage columns of the quarantine table.
pub const QUARANTINE: [LineageColumn; 5] = [
    text(ID, true, "names the record; sha256: of its bytes where it has no identity"),
    text(SOURCE, true, "ARN of the table, stream or queue the record was born in"),
    text(SHARD, false, "Kinesis shard, DynamoDB stream label, or FIFO message group"),
    text(POSITION, false, "orders the records of one source, shard and key; compares as text"),
    time(ARRIVED_AT, "when the source took it in, UTC"),
];

impl LineageColumn {
    /// Its type in a table.
    pub fn column_type(&self) -> ColumnType {
        if self.is_time { ColumnType::Timestamp } else { ColumnType::String }
    }

    /// Its value for a row; `extra` is what placing left over.
    pub fn cell(&self, lineage: &Lineage, extra: Option<&str>) -> Cell {
        let text = |it: &Option<String>| it.clone().map_or(Cell::Null, Cell::Text);
        let time = |it: Option<crate::time::Timestamp>| {
            it.map_or(Cell::Null, |it| Cell::Micros(it.micros()))
        };
        match self.name {
            ID => Cell::Text(lineage.id.clone()),
            SOURCE => Cell::Text(lineage.source.clone()),
            SHARD => text(&lineage.shard),
            "_lw_key" => text(&lineage.key),
            POSITION => text(&lineage.position),
            "_lw_op" => Cell::Text(lineage.op.as_str().to_owned()),
            "_lw_deleted_by" => {
                lineage.deleted_by.map_or(Cell::Null, |it| Cell::Text(it.as_str().to_owned()))
            }
            "_lw_event_at" => time(lineage.event_at),
            ARRIVED_AT => time(lineage.arrived_at),
            DIGEST => text(&lineage.digest),
            "_lw_before" => text(&lineage.before),
            EXTRA => extra.map_or(Cell::Null, |it| Cell::Text(it.to_owned())),
            _ => Cell::Null,
        }
    }
}
