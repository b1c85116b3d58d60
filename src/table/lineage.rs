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

/// Identifies a record, together with [`SOURCE`] and, where it has one, [`DIGEST`].
pub const ID: &str = "_lw_id";
/// The table, stream or queue where the record was created.
pub const SOURCE: &str = "_lw_source";
/// Shard, stream label or message group.
pub const SHARD: &str = "_lw_shard";
/// Orders the records of one key.
pub const POSITION: &str = "_lw_position";
/// The time when the source received the record; tables are partitioned by it.
pub const ARRIVED_AT: &str = "_lw_arrived_at";
/// Hash of the record's content and of the id that AWS gave it, where [`ID`] is not that id.
pub const DIGEST: &str = "_lw_digest";
/// The values that no column could hold, as JSON.
pub const EXTRA: &str = "_lw_extra";

/// The lineage columns of a table of records, in schema order.
pub const RECORD: [LineageColumn; 11] = [
    text(ID, true, "identifies the record within its source"),
    text(SOURCE, true, "ARN of the table, stream or queue where the record was created"),
    text(SHARD, false, "Kinesis shard, DynamoDB stream label, or FIFO message group"),
    text("_lw_key", false, "Kinesis partition key, DynamoDB keys as JSON, or FIFO message group"),
    text(POSITION, true, "order of the records of one source, shard and key, compared as text"),
    text("_lw_op", true, "event, insert, update, delete or read"),
    text("_lw_deleted_by", false, "who deleted the item: ttl or user"),
    time("_lw_event_at", "time of the event, UTC"),
    time(ARRIVED_AT, "time when the source received the record, UTC"),
    text(
        DIGEST,
        false,
        "null if AWS gave _lw_id; else a hash of the content and of the id that AWS gave",
    ),
    text(EXTRA, false, "values that no column could hold, as JSON"),
];

/// The column beside [`RECORD`] of tables of changes with `old_image = "json"`.
pub const BEFORE: LineageColumn = text("_lw_before", false, "the item before the change, as JSON");

/// The lineage columns of the quarantine table.
pub const QUARANTINE: [LineageColumn; 5] = [
    text(ID, true, "identifies the record; sha256:… of its bytes where it has no id"),
    text(SOURCE, true, "ARN of the table, stream or queue where the record was created"),
    text(SHARD, false, "Kinesis shard, DynamoDB stream label, or FIFO message group"),
    text(POSITION, false, "order of the records of one source, shard and key, compared as text"),
    time(ARRIVED_AT, "time when the source received the record, UTC"),
];

impl LineageColumn {
    /// Returns its type in a table.
    pub fn column_type(&self) -> ColumnType {
        if self.is_time { ColumnType::Timestamp } else { ColumnType::String }
    }

    /// Returns its value for a row; `extra` has the values that no column holds.
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
