//! Reads data files: the ids that a commit checks, and whole rows for users.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use iceberg::spec::{DataFile, NestedFieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;

use crate::store::error::StoreError;
use crate::store::files::Files;
use crate::store::live_file::LiveFile;
use crate::store::partial_file::PartialFile;
use crate::store::schema::column_type;
use crate::store::verdict::{Occurrence, RowId};
use crate::table::lineage;
use crate::table::{Cell, ColumnType};

/// Number of rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Reads the columns with these field ids, batch by batch. Columns that the file does not have are
/// left out.
async fn batches(
    files: &Arc<dyn Files>,
    location: &str,
    ids: &[i32],
) -> Result<Vec<HashMap<i32, ArrayRef>>, StoreError> {
    let bytes = files.read(location).await.map_err(StoreError::files("read", location))?;
    let bytes = bytes.ok_or_else(|| {
        StoreError::damaged(location)("the table refers to it, but it does not exist")
    })?;
    decode(bytes, ids).map_err(StoreError::damaged(location))
}

fn decode(
    bytes: Bytes,
    ids: &[i32],
) -> Result<Vec<HashMap<i32, ArrayRef>>, parquet::errors::ParquetError> {
    // The types are Iceberg's, not those of an Arrow schema that a writer may have stored.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    decode_with(ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?, ids)
}

fn decode_with<R: ChunkReader + 'static>(
    builder: ParquetRecordBatchReaderBuilder<R>,
    ids: &[i32],
) -> Result<Vec<HashMap<i32, ArrayRef>>, parquet::errors::ParquetError> {
    let roots = builder.parquet_schema().root_schema().get_fields();
    let id = |index: usize| {
        let info = roots.get(index)?.get_basic_info();
        info.has_id().then(|| info.id()).filter(|it| ids.contains(it))
    };
    let wanted: Vec<usize> = (0..roots.len()).filter(|it| id(*it).is_some()).collect();
    let found: Vec<i32> = wanted.iter().filter_map(|it| id(*it)).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
    let by_id = |batch: RecordBatch| found.iter().copied().zip(batch.columns().to_vec()).collect();
    reader.map(|batch| Ok(by_id(batch?))).collect()
}

/// Reads the same of a file by its parts: only these columns are fetched.
async fn parts(
    files: &Arc<dyn Files>,
    file: &LiveFile,
    ids: &[i32],
) -> Result<Vec<HashMap<i32, ArrayRef>>, StoreError> {
    let mut parts = PartialFile::open(files, &file.location, file.bytes).await?;
    let footer = Arc::clone(&parts.footer);
    let columns = footer.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let ranges = columns.filter_map(|column| {
        let info = column.column_descr().self_type().get_basic_info();
        let (start, length) = column.byte_range();
        (info.has_id() && ids.contains(&info.id())).then(|| start..start.saturating_add(length))
    });
    parts.fetch(ranges.collect()).await?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let read = ArrowReaderMetadata::try_new(footer, options).and_then(|metadata| {
        decode_with(ParquetRecordBatchReaderBuilder::new_with_metadata(parts, metadata), ids)
    });
    read.map_err(StoreError::damaged(&file.location))
}

/// The columns of a file that identify its rows.
#[derive(Debug)]
pub struct IdColumns {
    batches: Vec<HashMap<i32, ArrayRef>>,
    columns: [i32; 5],
}

impl IdColumns {
    /// Reads them.
    ///
    /// # Errors
    /// If the file can't be read, or lacks one that every row has.
    pub async fn read(
        files: &Arc<dyn Files>,
        schema: &Schema,
        file: &LiveFile,
    ) -> Result<Self, StoreError> {
        use lineage::{ARRIVED_AT, DIGEST, ID, SHARD, SOURCE};
        let names = [SOURCE, ID, DIGEST, SHARD, ARRIVED_AT];
        let columns = names.map(|name| schema.field_id_by_name(name).unwrap_or(-1));
        let batches = parts(files, file, &columns).await?;
        let [source, id, ..] = columns;
        let is_text = |batch: &HashMap<i32, ArrayRef>, id: i32| {
            batch.get(&id).is_some_and(|it| it.as_string_opt::<i32>().is_some())
        };
        if batches.iter().any(|it| !is_text(it, source) || !is_text(it, id)) {
            let problem = "it has no column _lw_source or _lw_id";
            return Err(StoreError::damaged(&file.location)(problem));
        }
        Ok(Self { batches, columns })
    }

    /// Calls `each` with the identity, the digest and the arrival of every row.
    pub fn each(&self, mut each: impl FnMut(RowId<'_>, Occurrence<'_>)) {
        let [source, id, digest, shard, arrived_at] = self.columns;
        for batch in &self.batches {
            let column = |id: i32| batch.get(&id).and_then(|it| it.as_string_opt::<i32>());
            let (Some(sources), Some(ids)) = (column(source), column(id)) else { continue };
            let (digests, shards) = (column(digest), column(shard));
            let arrivals = batch.get(&arrived_at);
            let arrivals =
                arrivals.and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
            for (row, pair) in sources.iter().zip(ids).enumerate() {
                if let (Some(source), Some(id)) = pair {
                    let digest = digests.filter(|it| it.is_valid(row)).map(|it| it.value(row));
                    let shard = shards.filter(|it| it.is_valid(row)).map(|it| it.value(row));
                    let arrived_at = arrivals.filter(|it| it.is_valid(row)).map(|it| it.value(row));
                    each(RowId::new(source, id, digest, shard), Occurrence { digest, arrived_at });
                }
            }
        }
    }
}

/// Reads the rows of a file in these columns. A column that the file does not have is null.
pub async fn rows(
    files: &Arc<dyn Files>,
    fields: &[NestedFieldRef],
    file: &DataFile,
) -> Result<Vec<Vec<Cell>>, StoreError> {
    let ids: Vec<i32> = fields.iter().map(|field| field.id).collect();
    let mut rows = Vec::new();
    for batch in batches(files, file.file_path(), &ids).await? {
        let length = batch.values().next().map_or(0, Array::len);
        let first = rows.len();
        rows.resize_with(first + length, || Vec::with_capacity(fields.len()));
        for field in fields {
            let cells = match batch.get(&field.id) {
                Some(array) => cells(array, &column_type(&field.field_type))
                    .ok_or_else(|| unreadable(file, &field.name))?,
                None => vec![Cell::Null; length],
            };
            rows.iter_mut().skip(first).zip(cells).for_each(|(row, cell)| row.push(cell));
        }
    }
    Ok(rows)
}

fn unreadable(file: &DataFile, column: &str) -> StoreError {
    let problem = format!("column {column} is not of the table's type");
    StoreError::damaged(file.file_path())(problem)
}

/// Returns the values of an array as cells of `ty`, widened where the file is older than the type.
fn cells(array: &ArrayRef, ty: &ColumnType) -> Option<Vec<Cell>> {
    fn some<T>(
        values: impl Iterator<Item = Option<T>>,
        cell: impl Fn(T) -> Cell,
    ) -> Option<Vec<Cell>> {
        Some(values.map(|it| it.map_or(Cell::Null, &cell)).collect())
    }
    match ty {
        ColumnType::Bool => some(array.as_boolean_opt()?.iter(), Cell::Bool),
        ColumnType::Int => some(array.as_primitive_opt::<Int32Type>()?.iter(), Cell::Int),
        ColumnType::Long => match array.as_primitive_opt::<Int64Type>() {
            Some(array) => some(array.iter(), Cell::Long),
            None => {
                let narrow = array.as_primitive_opt::<Int32Type>()?.iter();
                some(narrow, |it| Cell::Long(i64::from(it)))
            }
        },
        ColumnType::Float => some(array.as_primitive_opt::<Float32Type>()?.iter(), Cell::Float),
        ColumnType::Double => match array.as_primitive_opt::<Float64Type>() {
            Some(array) => some(array.iter(), Cell::Double),
            None => {
                let narrow = array.as_primitive_opt::<Float32Type>()?.iter();
                some(narrow, |it| Cell::Double(f64::from(it)))
            }
        },
        ColumnType::Decimal { .. } => {
            some(array.as_primitive_opt::<Decimal128Type>()?.iter(), Cell::Decimal)
        }
        ColumnType::Date => some(array.as_primitive_opt::<Date32Type>()?.iter(), Cell::Date),
        ColumnType::Timestamp | ColumnType::Timestamptz => {
            some(array.as_primitive_opt::<TimestampMicrosecondType>()?.iter(), Cell::Micros)
        }
        ColumnType::String => {
            some(array.as_string_opt::<i32>()?.iter(), |it| Cell::Text(it.to_owned()))
        }
        ColumnType::Binary => match array.as_binary_opt::<i32>() {
            Some(array) => some(array.iter(), |it| Cell::Binary(it.to_vec())),
            None => some(array.as_binary_opt::<i64>()?.iter(), |it| Cell::Binary(it.to_vec())),
        },
        ColumnType::List(element) => {
            let lists = array.as_list_opt::<i32>()?;
            let each = lists.iter().map(|list| match list {
                Some(list) => Some(Cell::List(cells(&list, element)?)),
                None => Some(Cell::Null),
            });
            each.collect()
        }
        ColumnType::Struct(fields) => {
            let structs = array.as_struct_opt()?;
            let columns = fields.iter().map(|(name, ty)| match structs.column_by_name(name) {
                Some(column) => cells(column, ty),
                None => Some(vec![Cell::Null; structs.len()]),
            });
            let mut columns: Vec<_> =
                columns.collect::<Option<Vec<_>>>()?.into_iter().map(Vec::into_iter).collect();
            let each = (0..structs.len()).map(|row| {
                let parts: Option<Vec<Cell>> = columns.iter_mut().map(Iterator::next).collect();
                if structs.is_null(row) { Some(Cell::Null) } else { parts.map(Cell::Struct) }
            });
            each.collect()
        }
        // A foreign type: users see its name instead of the value.
        ColumnType::Other(name) => Some(
            (0..array.len())
                .map(|row| if array.is_null(row) { Cell::Null } else { Cell::Text(name.clone()) })
                .collect(),
        ),
    }
}
