//! Writes the rows of several data files into one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use futures_util::future::try_join_all;
use iceberg::spec::{DataFile, Datum, Schema, TableMetadata};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;
use uuid::Uuid;

use crate::store::arrivals::Arrivals;
use crate::store::compact::conform::{conform, field_id, index_of};
use crate::store::compact::plan::Kind;
use crate::store::data::folder;
use crate::store::data_file::{
    DataFileWriter, Destination, FileBounds, ParquetFile, moved_columns,
};
use crate::store::error::StoreError;
use crate::store::table::Table;
use crate::table::lineage;

/// The size in memory of the rows that become a row group, each sorted by itself.
const GROUP_BYTES: usize = 32 * 1024 * 1024;
/// The largest number of rows of a row group.
const GROUP_ROWS: usize = 128 * 1024;
/// The size in memory, and the largest number, of the rows that are decoded at a time.
const BATCH_BYTES: i64 = 8 * 1024 * 1024;
const BATCH_ROWS: i64 = 4096;
/// The number of bytes and of files that are read at a time.
const READ_BYTES: u64 = 16 * 1024 * 1024;
const READ_FILES: usize = 16;

/// The outcome of a rewrite.
#[derive(Debug)]
pub(super) enum Rewritten {
    /// A file with all rows, which is durable and in no snapshot yet.
    File {
        /// Its entry.
        entry: Box<DataFile>,
        /// The arrivals of its rows.
        arrivals: Arrivals,
    },
    /// This file has a form that is not known here, and must be left alone.
    Unreadable(String),
}

/// Writes the rows of some files into one file, under today's schema. The files are of one partition of
/// one spec, and of one kind.
///
/// # Errors
/// If a file can't be read or written.
pub(super) async fn rewrite(
    table: &Table,
    metadata: &TableMetadata,
    inputs: &[DataFile],
    spec_id: i32,
    kind: Kind,
) -> Result<Rewritten, StoreError> {
    let schema = metadata.current_schema();
    let Some(first) = inputs.first() else { return Ok(Rewritten::Unreadable(String::new())) };
    let spec = metadata.partition_spec_by_id(spec_id);
    // A column that the spec divides by may be gone.
    if spec.is_none_or(|it| it.partition_type(schema).is_err()) {
        return Ok(Rewritten::Unreadable(first.file_path().to_owned()));
    }
    let arrow = columns(schema, inputs, kind)?;
    let writer = DataFileWriter::new(schema, Arc::clone(&arrow), &table.release, GROUP_ROWS)?;
    let mut output = Output { writer, arrow, rows: Vec::new(), bytes: 0, length: 0 };
    let mut arrived = ArrivedMillis::default();
    let mut rest = inputs;
    while !rest.is_empty() {
        let (some, others) = rest.split_at(together(rest));
        rest = others;
        let read = some.iter().map(|it| bytes(table, it));
        for (file, bytes) in some.iter().zip(try_join_all(read).await?) {
            let unreadable = || Ok(Rewritten::Unreadable(file.file_path().to_owned()));
            let Some(reader) = reader(bytes) else { return unreadable() };
            for batch in reader {
                let batch = batch.map_err(StoreError::damaged(file.file_path()))?;
                let Some(batch) = conformed(&batch, &output.arrow) else { return unreadable() };
                arrived.add(&batch);
                output.add(batch)?;
            }
        }
    }
    output.flush()?;
    let bounds = match kind {
        Kind::Known => FileBounds::OfRows,
        Kind::Loose => inherited(inputs, &[]),
        Kind::Foreign => inherited(inputs, &moved_columns(schema)),
    };
    let partition = first.partition().clone();
    let Some(spec) = metadata.partition_spec_by_id(spec_id) else {
        return Ok(Rewritten::Unreadable(first.file_path().to_owned()));
    };
    let folder = folder(&spec.partition_to_path(&partition, Arc::clone(schema)));
    let location = format!("{}/data/{folder}{}.parquet", table.location, Uuid::new_v4());
    let destination = Destination { location: &location, spec_id, partition, bounds };
    let ParquetFile { bytes, entry } = output.writer.finish(destination)?;
    let rows = inputs.iter().map(DataFile::record_count).fold(0, u64::saturating_add);
    if entry.record_count() != rows {
        let problem = format!(
            "its manifest says {rows} rows together with others, and they have {}",
            entry.record_count()
        );
        return Err(StoreError::damaged(first.file_path())(problem));
    }
    let written = table.files.write(&location, bytes).await;
    written.map_err(StoreError::files("write", &location))?;
    Ok(Rewritten::File { entry: Box::new(entry), arrivals: arrived.arrivals(kind != Kind::Known) })
}

/// The rows on their way into a file.
struct Output<'a> {
    writer: DataFileWriter<'a>,
    arrow: SchemaRef,
    /// The rows of the next row group, its size in memory and its length.
    rows: Vec<RecordBatch>,
    bytes: usize,
    length: usize,
}

impl Output<'_> {
    fn add(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        if self.length + batch.num_rows() > GROUP_ROWS {
            self.flush()?;
        }
        self.bytes += batch.get_array_memory_size();
        self.length += batch.num_rows();
        self.rows.push(batch);
        if self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes a row group, sorted as engines ask for it.
    fn flush(&mut self) -> Result<(), StoreError> {
        let failed = || StoreError::encode("join data files");
        if self.length == 0 {
            return Ok(());
        }
        let group = concat_batches(&self.arrow, &self.rows).map_err(failed())?;
        (self.rows, self.bytes, self.length) = (Vec::new(), 0, 0);
        let Some(indices) = sorted(&group) else { return self.writer.write(&group) };
        let sorted = take_record_batch(&group, &indices).map_err(failed())?;
        drop((group, indices));
        self.writer.write(&sorted)
    }
}

/// Returns the order of rows by arrival, then position; `None` if they lack such columns.
fn sorted(rows: &RecordBatch) -> Option<UInt32Array> {
    let arrived = rows.column_by_name(lineage::ARRIVED_AT)?;
    let arrived = arrived.as_primitive_opt::<TimestampMicrosecondType>()?;
    let position = rows.column_by_name(lineage::POSITION)?.as_string_opt::<i32>()?;
    let key = |index: &u32| {
        let index = usize::try_from(*index).unwrap_or_default();
        let time = arrived.is_valid(index).then(|| arrived.value(index));
        (time, position.is_valid(index).then(|| position.value(index)))
    };
    let mut indices: Vec<u32> = (0..u32::try_from(rows.num_rows()).ok()?).collect();
    indices.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
    Some(UInt32Array::from(indices))
}

/// Returns how many files, from the first on, are read together.
fn together(files: &[DataFile]) -> usize {
    let mut bytes = 0_u64;
    let fit = files.iter().take(READ_FILES).take_while(|file| {
        bytes = bytes.saturating_add(file.file_size_in_bytes());
        bytes <= READ_BYTES
    });
    fit.count().max(1)
}

async fn bytes(table: &Table, file: &DataFile) -> Result<Bytes, StoreError> {
    let location = file.file_path();
    let bytes = table.files.read(location).await.map_err(StoreError::files("read", location))?;
    bytes.ok_or_else(|| {
        StoreError::damaged(location)("the table refers to it, but it does not exist")
    })
}

fn reader(bytes: Bytes) -> Option<ParquetRecordBatchReader> {
    // The types are Iceberg's, not those of an Arrow schema that a writer may have stored.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).ok()?;
    let groups = builder.metadata().row_groups();
    let sum = |of: fn(&RowGroupMetaData) -> i64| groups.iter().map(of).fold(0, i64::saturating_add);
    let rows =
        rows_at_a_time(sum(RowGroupMetaData::num_rows), sum(RowGroupMetaData::total_byte_size));
    builder.with_batch_size(rows).build().ok()
}

/// Returns how many of some rows are decoded at a time, by their size in memory.
fn rows_at_a_time(rows: i64, bytes: i64) -> usize {
    let fit = BATCH_BYTES.saturating_mul(rows).checked_div(bytes).unwrap_or(BATCH_ROWS);
    usize::try_from(fit.clamp(1, BATCH_ROWS)).unwrap_or(1)
}

/// Returns the columns of the schema that any of some files has. Columns without any value are left out: a
/// missing column reads as null and costs nothing.
fn columns(schema: &Schema, files: &[DataFile], kind: Kind) -> Result<SchemaRef, StoreError> {
    let arrow = iceberg::arrow::schema_to_arrow_schema(schema)
        .map_err(StoreError::metadata("read the table's schema"))?;
    let stored: HashSet<i32> =
        files.iter().flat_map(|it| it.column_sizes().keys().copied()).collect();
    // Another engine may not say which columns a file has, or of some only.
    let is_said = kind != Kind::Foreign && files.iter().all(|it| !it.column_sizes().is_empty());
    let kept = arrow.fields().iter().filter(|field| {
        let has_values = field_id(field).is_some_and(|id| stored.contains(&id));
        has_values || field.data_type().is_nested() || !is_said || !field.is_nullable()
    });
    Ok(Arc::new(ArrowSchema::new(kept.cloned().collect::<Vec<_>>())))
}

/// Returns a batch of a file with the columns of the output; `None` if its form is not known.
fn conformed(batch: &RecordBatch, arrow: &SchemaRef) -> Option<RecordBatch> {
    let schema = batch.schema();
    let columns = arrow.fields().iter().map(|wanted| {
        let index = index_of(schema.fields(), field_id(wanted)?);
        match index {
            Some(index) => conform(batch.column(index), schema.field(index), wanted),
            None => Some(new_null_array(wanted.data_type(), batch.num_rows())),
        }
    });
    let columns = columns.collect::<Option<Vec<_>>>()?;
    // Without ids, all columns would read as null.
    let has_ids = schema.fields().iter().all(|it| field_id(it).is_some());
    RecordBatch::try_new(Arc::clone(arrow), columns).ok().filter(|_| has_ids)
}

/// Returns the bounds that hold for all of some files: one that any of them lacks is not known of all,
/// whatever the rows say, because a message that came through a DLQ was sent before. Columns of `without`
/// have none.
fn inherited(files: &[DataFile], without: &[i32]) -> FileBounds {
    let union = |of: fn(&DataFile) -> &HashMap<i32, Datum>,
                 is_wider: fn(&Datum, &Datum) -> bool| {
        let mut all = files.iter().map(of);
        let mut union = all.next().cloned().unwrap_or_default();
        union.retain(|id, _| !without.contains(id));
        for bounds in all {
            union.retain(|id, known| match bounds.get(id) {
                Some(it) => {
                    if is_wider(it, known) {
                        *known = it.clone();
                    }
                    // Bounds of two types can't be compared.
                    it.partial_cmp(known).is_some()
                }
                None => false,
            });
        }
        union
    };
    FileBounds::Given {
        lower: union(DataFile::lower_bounds, |it, known| it < known),
        upper: union(DataFile::upper_bounds, |it, known| it > known),
    }
}

/// The first and the last arrival of rows, in ms.
#[derive(Debug, Default)]
struct ArrivedMillis {
    range: Option<[i64; 2]>,
    is_unknown: bool,
}

impl ArrivedMillis {
    fn add(&mut self, batch: &RecordBatch) {
        use arrow_array::cast::AsArray as _;
        use arrow_array::types::TimestampMicrosecondType;
        let column = batch.column_by_name(lineage::ARRIVED_AT);
        let column = column.and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
        let Some(column) = column else {
            self.is_unknown = true;
            return;
        };
        for micros in column {
            let Some(millis) = micros.map(|it| it.div_euclid(1_000)) else {
                self.is_unknown = true;
                return;
            };
            let [from, to] = self.range.unwrap_or([millis, millis]);
            self.range = Some([from.min(millis), to.max(millis)]);
        }
    }

    fn arrivals(&self, may_have_moved: bool) -> Arrivals {
        match self.range {
            Some(range) if !self.is_unknown => Arrivals::of(range.map(Some), may_have_moved),
            _ => Arrivals::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_decoded_by_their_size() {
        for (rows, bytes, expected) in [
            (1_000_000, 100_000_000, 4_096),
            (1_000, 400_000_000, 20),
            (3, 900_000_000, 1),
            (0, 0, 4_096),
        ] {
            assert_eq!(rows_at_a_time(rows, bytes), expected, "{rows} rows of {bytes}");
        }
    }
}
