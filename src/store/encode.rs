//! Encodes cells as Arrow arrays.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int32Builder,
    Int64Builder, LargeBinaryBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray, RecordBatch, StructArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::Schema;

use crate::store::error::StoreError;
use crate::table::Cell;

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
