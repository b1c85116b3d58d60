//! Encodes cells as Arrow arrays, and record batches as Parquet files with the statistics that the
//! id check needs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int32Builder,
    Int64Builder, LargeBinaryBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, StructArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use bytes::Bytes;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Schema, Struct, Type,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::name;
use crate::number::count;
use crate::store::bounds;
use crate::store::error::StoreError;
use crate::store::release::Release;
use crate::table::Cell;
use crate::table::lineage;

/// Number of columns beside the lineage that have statistics, from the front of the schema.
const MAX_WITH_STATISTICS: usize = 32;
/// Columns with exact bounds: the id check searches by them.
const EXACT: [&str; 3] = [lineage::SOURCE, lineage::SHARD, lineage::POSITION];

/// Columns that change when SQS moves a message to a DLQ.
const MOVED: [&str; 3] = [lineage::SHARD, lineage::POSITION, lineage::ARRIVED_AT];

/// The location and the partition of a data file.
#[derive(Debug)]
pub struct Destination<'a> {
    /// Its location.
    pub location: &'a str,
    /// The spec that it is written with.
    pub spec_id: i32,
    /// Its partition under that spec.
    pub partition: Struct,
    /// Whether it holds messages that came through a DLQ. Such a file has no bounds in the columns
    /// that the move has changed, so that a search by the old values finds it.
    pub moved: bool,
}

/// A column of a file: its field id and one cell per row.
#[derive(Debug)]
pub struct FileColumn<'a> {
    /// Iceberg field id.
    pub id: i32,
    /// A cell for each row of the file.
    pub cells: Vec<&'a Cell>,
}

/// Makes a record batch of `columns` with the names, types and field ids that `schema` has for
/// them.
pub fn batch(schema: &Schema, columns: &[FileColumn<'_>]) -> Result<RecordBatch, StoreError> {
    let failed = StoreError::encode::<&str>("lay out a data file");
    let arrow = iceberg::arrow::schema_to_arrow_schema(schema)
        .map_err(StoreError::metadata("read the table's schema"))?;
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let index = schema.as_struct().fields().iter().position(|it| it.id == column.id);
        let field = index.and_then(|it| arrow.fields().get(it));
        let field = field.ok_or_else(|| failed("a column is not in the table's schema"))?;
        arrays.push(array(field.data_type(), &column.cells)?);
        fields.push(Arc::clone(field));
    }
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays)
        .map_err(StoreError::encode("lay out a data file"))
}

/// Fills a builder with the values of the cells that match `$cell`. Any other cell but null is a
/// mistake of placing, which must never be written as something else.
macro_rules! fill {
    ($builder:expr, $cells:expr, $($cell:pat => $value:expr),+) => {{
        let mut builder = $builder;
        for cell in $cells {
            match cell {
                Cell::Null => builder.append_null(),
                $($cell => builder.append_value($value),)+
                _ => return Err(misplaced()),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

fn misplaced() -> StoreError {
    StoreError::encode("lay out a data file")("a value is not of its column's type")
}

/// Makes an Arrow array of `ty` from cells of that type.
fn array(ty: &DataType, cells: &[&Cell]) -> Result<ArrayRef, StoreError> {
    let n = cells.len();
    if cells.iter().all(|cell| **cell == Cell::Null) {
        // Also for foreign types, which never have a value here.
        return Ok(new_null_array(ty, n));
    }
    Ok(match ty {
        DataType::Boolean => fill!(BooleanBuilder::with_capacity(n), cells, Cell::Bool(it) => *it),
        DataType::Int32 => fill!(Int32Builder::with_capacity(n), cells, Cell::Int(it) => *it),
        DataType::Int64 => fill!(
            Int64Builder::with_capacity(n), cells,
            Cell::Long(it) => *it, Cell::Int(it) => i64::from(*it)
        ),
        DataType::Float32 => fill!(Float32Builder::with_capacity(n), cells, Cell::Float(it) => *it),
        DataType::Float64 => fill!(
            Float64Builder::with_capacity(n), cells,
            Cell::Double(it) => *it, Cell::Float(it) => f64::from(*it)
        ),
        DataType::Date32 => fill!(Date32Builder::with_capacity(n), cells, Cell::Date(it) => *it),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => fill!(
            TimestampMicrosecondBuilder::with_capacity(n).with_timezone_opt(zone.clone()),
            cells, Cell::Micros(it) => *it
        ),
        DataType::Decimal128(precision, scale) => fill!(
            Decimal128Builder::with_capacity(n)
                .with_precision_and_scale(*precision, *scale)
                .map_err(StoreError::encode("lay out a decimal column"))?,
            cells, Cell::Decimal(it) => *it
        ),
        DataType::Utf8 => {
            fill!(StringBuilder::with_capacity(n, 0), cells, Cell::Text(it) => it)
        }
        DataType::LargeBinary => {
            fill!(LargeBinaryBuilder::with_capacity(n, 0), cells, Cell::Binary(it) => it)
        }
        DataType::List(element) => list(element, cells)?,
        DataType::Struct(fields) => structs(fields, cells)?,
        other => {
            return Err(StoreError::encode("lay out a data file")(format!(
                "columns of type {other} can't be written"
            )));
        }
    })
}

fn list(element: &Arc<Field>, cells: &[&Cell]) -> Result<ArrayRef, StoreError> {
    let (mut inner, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        match cell {
            Cell::Null => {
                lengths.push(0);
                valid.push(false);
            }
            Cell::List(items) => {
                inner.extend(items);
                lengths.push(items.len());
                valid.push(true);
            }
            _ => return Err(misplaced()),
        }
    }
    let values = array(element.data_type(), &inner)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::try_new(Arc::clone(element), offsets, values, Some(NullBuffer::from(valid)))
        .map(|it| Arc::new(it) as ArrayRef)
        .map_err(StoreError::encode("lay out a list column"))
}

fn structs(fields: &arrow_schema::Fields, cells: &[&Cell]) -> Result<ArrayRef, StoreError> {
    let mut columns: Vec<Vec<&Cell>> = vec![Vec::with_capacity(cells.len()); fields.len()];
    let mut valid = Vec::with_capacity(cells.len());
    for cell in cells {
        match cell {
            Cell::Null => columns.iter_mut().for_each(|column| column.push(&Cell::Null)),
            Cell::Struct(parts) if parts.len() == fields.len() => {
                columns.iter_mut().zip(parts).for_each(|(column, part)| column.push(part));
            }
            _ => return Err(misplaced()),
        }
        valid.push(!matches!(cell, Cell::Null));
    }
    let columns = fields.iter().zip(&columns).map(|(field, cells)| array(field.data_type(), cells));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new(fields.clone(), columns, Some(NullBuffer::from(valid)))
        .map(|it| Arc::new(it) as ArrayRef)
        .map_err(StoreError::encode("lay out a struct column"))
}

/// Returns the field ids of the columns that have statistics.
fn with_statistics(schema: &Schema) -> Vec<i32> {
    let (ours, others): (Vec<_>, Vec<_>) =
        schema.as_struct().fields().iter().partition(|field| name::is_lineage(&field.name));
    ours.iter().chain(others.iter().take(MAX_WITH_STATISTICS)).map(|field| field.id).collect()
}

fn properties(schema: &Schema, batch: &RecordBatch, release: &Release) -> WriterProperties {
    let rows = count(batch.num_rows());
    let id = ColumnPath::from(lineage::ID);
    let mut properties = WriterProperties::builder()
        // Level 1 costs a third less than 3, and files of a few thousand rows are not larger.
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("lakeward {}", release.version))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_bloom_filter_enabled(id.clone(), true)
        .set_column_bloom_filter_ndv(id.clone(), rows.max(1))
        // Nearly all values differ: a dictionary would be built and thrown away.
        .set_column_dictionary_enabled(id, false)
        .set_column_dictionary_enabled(ColumnPath::from(lineage::POSITION), false);
    let kept = with_statistics(schema);
    for field in schema.as_struct().fields() {
        if kept.contains(&field.id) {
            let path = ColumnPath::from(field.name.as_str());
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
    }
    properties.build()
}

/// A Parquet file in memory and its entry for a manifest.
#[derive(Debug)]
pub struct ParquetFile {
    /// The file.
    pub bytes: Bytes,
    /// Its entry.
    pub entry: DataFile,
}

/// Encodes `batch` as one Parquet file.
pub fn parquet(
    schema: &Schema,
    batch: &RecordBatch,
    release: &Release,
    destination: Destination<'_>,
) -> Result<ParquetFile, StoreError> {
    let failed = || StoreError::encode("encode a data file");
    let mut bytes = Vec::new();
    let options = properties(schema, batch, release);
    let mut file =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(options)).map_err(failed())?;
    file.write(batch).map_err(failed())?;
    let footer = file.close().map_err(failed())?;
    let entry = entry(schema, batch, &footer, bytes.len(), destination)?;
    Ok(ParquetFile { bytes: Bytes::from(bytes), entry })
}

fn entry(
    schema: &Schema,
    batch: &RecordBatch,
    footer: &ParquetMetaData,
    size: usize,
    destination: Destination<'_>,
) -> Result<DataFile, StoreError> {
    let kept = with_statistics(schema);
    let (mut values, mut nulls) = (HashMap::new(), HashMap::new());
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let Some(column) = schema.field_by_name(field.name()) else { continue };
        let Type::Primitive(ty) = column.field_type.as_ref() else { continue };
        if !kept.contains(&column.id) {
            continue;
        }
        values.insert(column.id, count(array.len()));
        nulls.insert(column.id, count(array.null_count()));
        let name = column.name.as_str();
        if destination.moved && MOVED.contains(&name) {
            continue;
        }
        let bounds = bounds::of(array, ty, EXACT.contains(&name));
        lower.extend(bounds.lower.map(|it| (column.id, it)));
        upper.extend(bounds.upper.map(|it| (column.id, it)));
    }
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(destination.location.to_owned())
        .file_format(DataFileFormat::Parquet)
        .partition(destination.partition)
        .partition_spec_id(destination.spec_id)
        .record_count(count(batch.num_rows()))
        .file_size_in_bytes(count(size))
        .column_sizes(column_sizes(footer))
        .value_counts(values)
        .null_value_counts(nulls)
        .lower_bounds(lower)
        .upper_bounds(upper)
        .split_offsets(Some(split_offsets(footer)))
        .build()
        .map_err(StoreError::encode("describe a data file"))
}

/// Returns the bytes of each leaf column by field id.
fn column_sizes(footer: &ParquetMetaData) -> HashMap<i32, u64> {
    let mut sizes = HashMap::new();
    for column in footer.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let info = column.column_descr().self_type().get_basic_info();
        if info.has_id() {
            let size = u64::try_from(column.compressed_size()).unwrap_or(0);
            *sizes.entry(info.id()).or_default() += size;
        }
    }
    sizes
}

/// Returns the offset of each row group.
fn split_offsets(footer: &ParquetMetaData) -> Vec<i64> {
    let first = |group: &RowGroupMetaData| {
        let column = group.columns().first()?;
        Some(column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset()))
    };
    footer.row_groups().iter().filter_map(first).collect()
}
