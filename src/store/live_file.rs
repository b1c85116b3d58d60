//! A live data file, as far as the search for a batch's records needs it. A manifest's full entries are
//! ten times as large, so that they are not kept.

use iceberg::spec::{DataFile, Datum, PrimitiveLiteral, Schema};

use crate::table::lineage;

/// The field ids of the columns by which files are searched for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchColumns {
    source: Option<i32>,
    shard: Option<i32>,
    position: Option<i32>,
    arrived_at: Option<i32>,
}

impl SearchColumns {
    /// The columns of a table.
    pub fn of(schema: &Schema) -> Self {
        let id = |name| schema.field_id_by_name(name);
        Self {
            source: id(lineage::SOURCE),
            shard: id(lineage::SHARD),
            position: id(lineage::POSITION),
            arrived_at: id(lineage::ARRIVED_AT),
        }
    }
}

/// A live data file. Its bounds, lower and upper, are of all its rows; `None` is unknown, and both are
/// where the file may hold any value: no bound, a null among the values, or no count of nulls.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveFile {
    /// Its location.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// `_lw_source`
    pub source: [Option<String>; 2],
    /// `_lw_shard`
    pub shard: [Option<String>; 2],
    /// `_lw_position`
    pub position: [Option<String>; 2],
    /// `_lw_arrived_at`, in microseconds.
    pub arrived_at: [Option<i64>; 2],
}

impl LiveFile {
    /// Takes from a manifest's entry what a search needs.
    pub fn new(file: &DataFile, columns: SearchColumns) -> Self {
        let text = |id: Option<i32>| bounds(file, id).map(|it| it.and_then(text_of));
        Self {
            location: file.file_path().to_owned(),
            bytes: file.file_size_in_bytes(),
            source: text(columns.source),
            shard: text(columns.shard),
            position: text(columns.position),
            arrived_at: bounds(file, columns.arrived_at).map(|it| it.and_then(micros_of)),
        }
    }
}

fn bounds(file: &DataFile, id: Option<i32>) -> [Option<&Datum>; 2] {
    let Some(id) = id else { return [None, None] };
    if file.null_value_counts().get(&id) != Some(&0) {
        return [None, None];
    }
    [file.lower_bounds().get(&id), file.upper_bounds().get(&id)]
}

fn text_of(datum: &Datum) -> Option<String> {
    match datum.literal() {
        PrimitiveLiteral::String(it) => Some(it.clone()),
        _ => None,
    }
}

fn micros_of(datum: &Datum) -> Option<i64> {
    match datum.literal() {
        PrimitiveLiteral::Long(it) => Some(*it),
        _ => None,
    }
}
