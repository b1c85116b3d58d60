//! The data files of a batch: one for each partition, written with the head's schema and spec.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use iceberg::ErrorKind;
use iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use iceberg::spec::{DataFile, Literal, NestedFieldRef, Schema, Struct, TableMetadata, Transform};
use uuid::Uuid;

use crate::name;
use crate::number::count;
use crate::record::Row;
use crate::store::arrivals::Arrivals;
use crate::store::data_file::{self, Destination, FileBounds};
use crate::store::encode::{self, FileColumn};
use crate::store::error::StoreError;
use crate::store::table::Table;
use crate::table::Cell;
use crate::table::layout::{Layout, Policy, Spread};
use crate::table::lineage::{self, BEFORE};
use crate::table::place::{self, Placement};
use crate::time::Timestamp;

/// The number of partitions that one commit writes to, one file each. A batch of more is landed in
/// several commits: whatever its records say, each of them takes a bounded time and adds something.
pub const MAX_PARTITIONS: usize = 64;

/// Data files that are durable and in no snapshot yet.
#[derive(Debug)]
pub struct DataFiles {
    /// The files, those of messages that came through a DLQ apart.
    pub groups: Vec<FileGroup>,
    /// Number of rows with something in `_lw_extra`.
    pub extra: u64,
    /// The columns that the values went to, by the name of their field's own column.
    pub spread: BTreeMap<String, Spread>,
    /// The partition spec that they were written with.
    spec_id: i32,
    /// The columns that they were written with.
    fields: Vec<NestedFieldRef>,
}

/// Files of one manifest.
#[derive(Debug)]
pub struct FileGroup {
    /// Their manifest entries.
    pub entries: Vec<DataFile>,
    /// The arrivals of their rows.
    pub arrivals: Arrivals,
}

impl DataFiles {
    /// Returns the manifest entries of all files.
    pub fn entries(&self) -> impl Iterator<Item = &DataFile> {
        self.groups.iter().flat_map(|it| &it.entries)
    }

    /// Returns whether a head still has all their columns under the same ids, names and types, and
    /// their spec. Readers resolve columns by id: a file that does not fit shows values under wrong
    /// names.
    pub fn fit(&self, metadata: &TableMetadata) -> bool {
        let schema = metadata.current_schema();
        self.spec_id == metadata.default_partition_spec_id()
            && self.fields.iter().all(|field| {
                schema
                    .field_by_id(field.id)
                    .is_some_and(|it| it.name == field.name && it.field_type == field.field_type)
            })
    }
}

/// Rows laid out in cells, by column.
struct Cells {
    /// Field ids, each with one cell per row.
    columns: Vec<(i32, Vec<Cell>)>,
}

impl Cells {
    fn new(
        table: &Table,
        schema: &Schema,
        layout: &Layout,
        rows: &[Row],
        placement: Placement,
    ) -> Self {
        let mut columns = Vec::new();
        for column in table.lineage {
            let Some(id) = schema.field_id_by_name(column.name) else { continue };
            let extras = placement.extra.iter().map(Option::as_deref);
            let cells =
                rows.iter().zip(extras).map(|(row, extra)| column.cell(&row.lineage, extra));
            columns.push((id, cells.collect()));
        }
        if let Some(id) = layout.before {
            let cells = rows.iter().map(|row| BEFORE.cell(&row.lineage, None));
            columns.push((id, cells.collect()));
        }
        for (index, cells) in placement.columns {
            columns.extend(layout.columns.get(index).map(|column| (column.id, cells)));
        }
        // In schema order, so that every file of a table looks the same.
        let index = |id: &i32| schema.as_struct().fields().iter().position(|it| it.id == *id);
        columns.sort_by_key(|(id, _)| index(id));
        Self { columns }
    }

    /// Returns the columns of some rows. Optional columns without any value are left out: a missing
    /// column reads as null and costs nothing.
    fn select(&self, schema: &Schema, rows: &[usize]) -> Vec<FileColumn<'_>> {
        let mut selected = Vec::with_capacity(self.columns.len());
        for (id, cells) in &self.columns {
            let cells: Vec<&Cell> = rows.iter().filter_map(|row| cells.get(*row)).collect();
            let lineage = schema.name_by_field_id(*id).is_some_and(name::is_lineage);
            if lineage || cells.iter().any(|cell| **cell != Cell::Null) {
                selected.push(FileColumn { id: *id, cells });
            }
        }
        selected
    }

    /// Returns all columns of the schema for all rows.
    fn all(&self, schema: &Schema, rows: usize) -> Vec<FileColumn<'_>> {
        let fields = schema.as_struct().fields().iter();
        let columns = fields.map(|field| {
            let found = self.columns.iter().find(|(id, _)| *id == field.id);
            let cells = match found {
                Some((_, cells)) => cells.iter().collect(),
                None => vec![&Cell::Null; rows],
            };
            FileColumn { id: field.id, cells }
        });
        columns.collect()
    }
}

/// Writes `rows` to data files, which are durable when it returns.
pub async fn write(
    table: &Table,
    metadata: &TableMetadata,
    layout: &Layout,
    policy: &Policy,
    rows: &[Row],
) -> Result<DataFiles, StoreError> {
    let schema = metadata.current_schema();
    let spec = metadata.default_partition_spec();
    let mut placement = place::place(rows, layout, policy);
    let spread = std::mem::take(&mut placement.spread);
    let extra = placement.extra.iter().flatten().count();
    if extra > 0 && !table.lineage.iter().any(|it| it.name == lineage::EXTRA) {
        return Err(StoreError::Table {
            table: table.name.clone(),
            problem: "someone dropped one of its columns or changed its type, and it has no other \
                      column for these values: restore the column, or move the table away; nothing \
                      was written"
                .to_owned(),
        });
    }
    let cells = Cells::new(table, schema, layout, rows, placement);
    let mut groups = Vec::new();
    for moved in [false, true] {
        let is_of_group = |it: &usize| rows.get(*it).is_some_and(|row| row.lineage.moved == moved);
        let mut entries = Vec::new();
        for PartitionRows { partition, rows } in partitions(metadata, &cells, rows)? {
            let rows: Vec<usize> = rows.into_iter().filter(is_of_group).collect();
            if rows.is_empty() {
                continue;
            }
            let batch = encode::batch(schema, &cells.select(schema, &rows))?;
            let folder = folder(&spec.partition_to_path(&partition, Arc::clone(schema)));
            let location = format!("{}/data/{folder}{}.parquet", table.location, Uuid::new_v4());
            let bounds = if moved { FileBounds::OfMovedRows } else { FileBounds::OfRows };
            let destination =
                Destination { location: &location, spec_id: spec.spec_id(), partition, bounds };
            let file = data_file::parquet(schema, &batch, &table.release, destination)?;
            let written = table.files.write(&location, file.bytes).await;
            written.map_err(StoreError::files("write", &location))?;
            entries.push(file.entry);
        }
        if !entries.is_empty() {
            let rows = rows.iter().filter(|row| row.lineage.moved == moved);
            let millis =
                rows.map(|row| row.lineage.arrived_at.map(|it| it.micros().div_euclid(1_000)));
            groups.push(FileGroup { entries, arrivals: Arrivals::of(millis, moved) });
        }
    }
    let fields = schema.as_struct().fields();
    let used = fields.iter().filter(|field| cells.columns.iter().any(|(id, _)| *id == field.id));
    Ok(DataFiles {
        groups,
        extra: count(extra),
        spread,
        spec_id: spec.spec_id(),
        fields: used.cloned().collect(),
    })
}

/// Returns the folder of a partition, for users; engines go by the manifests. Where someone
/// partitions by a column of the senders, its values may be anything: only plain names get a
/// folder.
pub fn folder(partition: &str) -> String {
    const MAX_BYTES: usize = 100;
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'=' | b'.');
    let mut parts = partition.split('/');
    let plain = parts.all(|it| {
        it.len() <= MAX_BYTES && it.bytes().all(is_plain) && !it.is_empty() && !it.starts_with('.')
    });
    if plain { format!("{partition}/") } else { String::new() }
}

/// Returns the rows beyond the first [`MAX_PARTITIONS`] partitions, by index.
pub fn beyond_partitions(
    table: &Table,
    metadata: &TableMetadata,
    layout: &Layout,
    policy: &Policy,
    rows: &[Row],
) -> Result<Vec<usize>, StoreError> {
    if rows.len() <= MAX_PARTITIONS {
        return Ok(Vec::new());
    }
    let partitions = match is_by_day(metadata) {
        true => days(rows),
        false => {
            let placement = place::place(rows, layout, policy);
            let cells = Cells::new(table, metadata.current_schema(), layout, rows, placement);
            foreign_partitions(metadata, &cells, rows.len())?
        }
    };
    Ok(partitions.into_iter().skip(MAX_PARTITIONS).flat_map(|it| it.rows).collect())
}

/// The rows of a batch that one partition holds, by index.
struct PartitionRows {
    partition: Struct,
    rows: Vec<usize>,
}

/// Returns the rows by partition of the head's default spec.
fn partitions(
    metadata: &TableMetadata,
    cells: &Cells,
    rows: &[Row],
) -> Result<Vec<PartitionRows>, StoreError> {
    if is_by_day(metadata) {
        Ok(days(rows))
    } else {
        foreign_partitions(metadata, cells, rows.len())
    }
}

/// Returns whether a table is partitioned as Lakeward partitions tables: by the day of arrival.
fn is_by_day(metadata: &TableMetadata) -> bool {
    let arrived = metadata.current_schema().field_id_by_name(lineage::ARRIVED_AT);
    match metadata.default_partition_spec().fields() {
        [field] => field.transform == Transform::Day && Some(field.source_id) == arrived,
        _ => false,
    }
}

fn days(rows: &[Row]) -> Vec<PartitionRows> {
    let mut days: BTreeMap<Option<i32>, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        days.entry(row.lineage.arrived_at.map(Timestamp::day)).or_default().push(index);
    }
    let each = days.into_iter().map(|(day, rows)| {
        let partition = Struct::from_iter([day.map(Literal::date)]);
        PartitionRows { partition, rows }
    });
    each.collect()
}

/// Returns the rows by partition of a spec that someone else gave the table.
fn foreign_partitions(
    metadata: &TableMetadata,
    cells: &Cells,
    rows: usize,
) -> Result<Vec<PartitionRows>, StoreError> {
    let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
    if spec.is_unpartitioned() {
        return Ok(vec![PartitionRows { partition: Struct::empty(), rows: (0..rows).collect() }]);
    }
    let batch = encode::batch(schema, &cells.all(schema, rows))?;
    let values = PartitionValueCalculator::try_new(spec, schema).and_then(|it| {
        let values = it.calculate(&batch)?;
        arrow_struct_to_literal(&values, it.partition_type())
    });
    let values = values.map_err(StoreError::metadata("split a batch by the table's partitions"))?;
    let mut found: Vec<PartitionRows> = Vec::new();
    let mut index_of: HashMap<Struct, usize> = HashMap::new();
    for (row, value) in values.into_iter().enumerate() {
        let Some(Literal::Struct(partition)) = value else {
            let error = iceberg::Error::new(ErrorKind::DataInvalid, "a row has no partition");
            return Err(StoreError::metadata("split a batch by the table's partitions")(error));
        };
        let index = *index_of.entry(partition.clone()).or_insert(found.len());
        match found.get_mut(index) {
            Some(it) => it.rows.push(row),
            None => found.push(PartitionRows { partition, rows: vec![row] }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    use iceberg::spec::{
        FormatVersion, NestedField, PartitionSpec, PrimitiveType, SortOrder, TableMetadataBuilder,
        Type,
    };

    fn head(fields: &[(&str, PrimitiveType)]) -> TableMetadata {
        let fields = (1..).zip(fields).map(|(id, (name, ty))| {
            Arc::new(NestedField::optional(id, *name, Type::Primitive(ty.clone())))
        });
        let schema = Schema::builder().with_fields(fields).build().unwrap();
        let (spec, order) = (PartitionSpec::unpartition_spec(), SortOrder::unsorted_order());
        let location = "memory:/t".to_owned();
        let properties = HashMap::new();
        let builder =
            TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, properties);
        builder.unwrap().build().unwrap().metadata
    }

    /// The first two batches of a table may each have used one id for a column of their own.
    #[test]
    fn a_file_fits_a_head_whose_ids_mean_the_same_columns() {
        let mine = head(&[("a", PrimitiveType::Int), ("b", PrimitiveType::String)]);
        let files = DataFiles {
            groups: Vec::new(),
            extra: 0,
            spread: BTreeMap::new(),
            spec_id: mine.default_partition_spec_id(),
            fields: mine.current_schema().as_struct().fields().to_vec(),
        };
        let a = ("a", PrimitiveType::Int);
        let wider = [a.clone(), ("b", PrimitiveType::String), ("c", PrimitiveType::Int)];
        assert!(files.fit(&mine));
        assert!(files.fit(&head(&wider)));
        for other in [("c", PrimitiveType::String), ("b", PrimitiveType::Int)] {
            assert!(!files.fit(&head(&[a.clone(), other.clone()])), "{other:?}");
        }
        assert!(!files.fit(&head(&[a])));
        let other_spec = DataFiles { spec_id: files.spec_id + 1, ..files };
        assert!(!other_spec.fit(&mine));
    }

    #[test]
    fn only_plain_values_name_a_folder() {
        for plain in ["_lw_arrived_at_day=2026-11-23", "a=1/b=x.y", "0-9"] {
            assert_eq!(folder(plain), format!("{plain}/"));
        }
        let (long, longest) = (format!("a={}", "x".repeat(99)), format!("a={}", "x".repeat(98)));
        for strange in ["", "..", "a=1/../b", "a//b", "a=%2F", "a=é", "a=1 2", ".hidden", &long] {
            assert_eq!(folder(strange), "", "{strange}");
        }
        assert_eq!(folder(&longest), format!("{longest}/"));
    }
}
