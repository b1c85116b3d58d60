//! Writes a Parquet file with the statistics that the id check needs, and its entry for a manifest.

use std::collections::{BTreeMap, HashMap};

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, Schema, Struct, Type,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::name;
use crate::number::count;
use crate::store::bounds;
use crate::store::error::StoreError;
use crate::store::release::Release;
use crate::table::lineage;

/// Number of columns beside the lineage that have statistics, from the front of the schema.
const MAX_WITH_STATISTICS: usize = 32;
/// Columns with exact bounds: the id check searches by them.
const EXACT: [&str; 3] = [lineage::SOURCE, lineage::SHARD, lineage::POSITION];
/// Columns that change when SQS moves a message to a DLQ.
const MOVED: [&str; 3] = [lineage::SHARD, lineage::POSITION, lineage::ARRIVED_AT];
/// The share of absent ids that a bloom filter takes for present. A search for a hundred ids opens one
/// file in a hundred for nothing.
const BLOOM_ERRORS: f64 = 1e-4;

/// The location and the partition of a data file.
#[derive(Debug)]
pub struct Destination<'a> {
    /// Its location.
    pub location: &'a str,
    /// The spec that it is written with.
    pub spec_id: i32,
    /// Its partition under that spec.
    pub partition: Struct,
    /// Its bounds.
    pub bounds: FileBounds,
}

/// The bounds of a data file.
#[derive(Debug)]
pub enum FileBounds {
    /// Those of its rows.
    OfRows,
    /// It holds messages that came through a DLQ: it has no bounds in the columns that the move has
    /// changed, so that a search by the old values finds it.
    OfMovedRows,
    /// Bounds by field id that the rows may not show.
    Given {
        /// Lower bounds.
        lower: HashMap<i32, Datum>,
        /// Upper bounds.
        upper: HashMap<i32, Datum>,
    },
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
    let mut writer = DataFileWriter::new(schema, batch.schema(), release, batch.num_rows())?;
    writer.write(batch)?;
    writer.finish(destination)
}

/// Writes a Parquet file in memory, a row group at a time.
#[expect(missing_debug_implementations, reason = "the Parquet writer has none")]
pub struct DataFileWriter<'a> {
    schema: &'a Schema,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    /// By field id, for the columns that have statistics.
    statistics: BTreeMap<i32, Statistics>,
}

/// The statistics of a column.
#[derive(Debug, Default)]
struct Statistics {
    nulls: u64,
    lower: Bound,
    upper: Bound,
}

/// A bound of the batches so far.
#[derive(Debug, Default)]
enum Bound {
    /// There was no value yet.
    #[default]
    Open,
    /// It is known.
    At(Datum),
    /// A batch has values and no bound.
    Unknown,
}

impl Bound {
    /// Takes in the bound of a batch that has values. `is_nearer` says which of two bounds stays.
    fn add(&mut self, other: Option<Datum>, is_nearer: fn(&Datum, &Datum) -> bool) {
        *self = match (std::mem::take(self), other) {
            (Self::Open, Some(it)) => Self::At(it),
            (Self::At(known), Some(it)) => {
                Self::At(if is_nearer(&it, &known) { it } else { known })
            }
            (Self::Unknown, _) | (_, None) => Self::Unknown,
        };
    }

    fn known(self) -> Option<Datum> {
        match self {
            Self::At(it) => Some(it),
            Self::Open | Self::Unknown => None,
        }
    }
}

impl<'a> DataFileWriter<'a> {
    /// Begins a file with the columns of `arrow`, which have the names that `schema` has for them.
    /// No row group will have more than `group_rows` rows.
    pub fn new(
        schema: &'a Schema,
        arrow: SchemaRef,
        release: &Release,
        group_rows: usize,
    ) -> Result<Self, StoreError> {
        let kept = with_statistics(schema);
        let columns = arrow.fields().iter().filter_map(|it| schema.field_by_name(it.name()));
        let columns = columns.filter(|it| it.field_type.is_primitive() && kept.contains(&it.id));
        let statistics = columns.map(|it| (it.id, Statistics::default())).collect();
        let options = properties(schema, &kept, release, group_rows);
        let writer = ArrowWriter::try_new(Vec::new(), arrow, Some(options));
        let writer = writer.map_err(StoreError::encode("encode a data file"))?;
        Ok(Self { schema, writer, rows: 0, statistics })
    }

    /// Writes a row group.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let failed = || StoreError::encode("encode a data file");
        self.writer.write(batch).map_err(failed())?;
        self.writer.flush().map_err(failed())?;
        self.rows += count(batch.num_rows());
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let Some(column) = self.schema.field_by_name(field.name()) else { continue };
            let Type::Primitive(ty) = column.field_type.as_ref() else { continue };
            let Some(statistics) = self.statistics.get_mut(&column.id) else { continue };
            statistics.nulls += count(array.null_count());
            if array.null_count() < array.len() {
                let bounds = bounds::of(array, ty, EXACT.contains(&column.name.as_str()));
                statistics.lower.add(bounds.lower, |it, known| it < known);
                statistics.upper.add(bounds.upper, |it, known| it > known);
            }
        }
        Ok(())
    }

    /// Returns the size in bytes of the row groups so far.
    pub fn size(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Ends the file.
    pub fn finish(mut self, destination: Destination<'_>) -> Result<ParquetFile, StoreError> {
        let footer = self.writer.finish().map_err(StoreError::encode("encode a data file"))?;
        let bytes = std::mem::take(self.writer.inner_mut());
        let nulls = self.statistics.iter().map(|(id, it)| (*id, it.nulls)).collect();
        let values = self.statistics.keys().map(|id| (*id, self.rows)).collect();
        let (lower, upper) = match destination.bounds {
            FileBounds::Given { lower, upper } => (lower, upper),
            FileBounds::OfRows => bounds_of(self.statistics),
            FileBounds::OfMovedRows => {
                let moved = moved_columns(self.schema);
                self.statistics.retain(|id, _| !moved.contains(id));
                bounds_of(self.statistics)
            }
        };
        let entry = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(destination.location.to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(destination.partition)
            .partition_spec_id(destination.spec_id)
            .record_count(self.rows)
            .file_size_in_bytes(count(bytes.len()))
            .column_sizes(column_sizes(&footer))
            .value_counts(values)
            .null_value_counts(nulls)
            .lower_bounds(lower)
            .upper_bounds(upper)
            .split_offsets(Some(split_offsets(&footer)))
            .build()
            .map_err(StoreError::encode("describe a data file"))?;
        Ok(ParquetFile { bytes: Bytes::from(bytes), entry })
    }
}

fn bounds_of(statistics: BTreeMap<i32, Statistics>) -> (HashMap<i32, Datum>, HashMap<i32, Datum>) {
    let (mut lower, mut upper) = (HashMap::new(), HashMap::new());
    for (id, column) in statistics {
        lower.extend(column.lower.known().map(|it| (id, it)));
        upper.extend(column.upper.known().map(|it| (id, it)));
    }
    (lower, upper)
}

/// Returns the field ids of the columns that change when SQS moves a message to a DLQ.
pub fn moved_columns(schema: &Schema) -> Vec<i32> {
    MOVED.iter().filter_map(|name| schema.field_id_by_name(name)).collect()
}

/// Returns the field ids of the columns that have statistics.
fn with_statistics(schema: &Schema) -> Vec<i32> {
    let (ours, others): (Vec<_>, Vec<_>) =
        schema.as_struct().fields().iter().partition(|field| name::is_lineage(&field.name));
    ours.iter().chain(others.iter().take(MAX_WITH_STATISTICS)).map(|field| field.id).collect()
}

fn properties(
    schema: &Schema,
    kept: &[i32],
    release: &Release,
    group_rows: usize,
) -> WriterProperties {
    let id = ColumnPath::from(lineage::ID);
    let mut properties = WriterProperties::builder()
        // Level 1 costs a third less than 3, and files of a few thousand rows are not larger.
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(format!("lakeward {}", release.version))
        .set_statistics_enabled(EnabledStatistics::None)
        // Beside the footer, so that one request reads both.
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_column_bloom_filter_enabled(id.clone(), true)
        // The filter of a group with fewer rows is made smaller when it is written.
        .set_column_bloom_filter_ndv(id.clone(), count(group_rows).max(1))
        .set_column_bloom_filter_fpp(id.clone(), BLOOM_ERRORS)
        // Nearly all values differ: a dictionary would be built and thrown away.
        .set_column_dictionary_enabled(id, false)
        .set_column_dictionary_enabled(ColumnPath::from(lineage::POSITION), false);
    for field in schema.as_struct().fields() {
        if kept.contains(&field.id) {
            let path = ColumnPath::from(field.name.as_str());
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
    }
    properties.build()
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
