//! Brings the columns of a data file into the form of today's schema, by field id at every level.
//!
//! A table's columns are widened, renamed, added and dropped while its old files stay as they are. Only
//! what Iceberg calls the same column, and only its own widenings, are taken over.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, LargeBinaryArray, ListArray, StructArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

/// Returns an array of the field `to` with the values of one of the field `from`; `None` if they are not
/// of one column, or it has a form that is not known here.
pub(super) fn conform(array: &ArrayRef, from: &Field, to: &Field) -> Option<ArrayRef> {
    if field_id(from)? != field_id(to)? {
        return None;
    }
    match (from.data_type(), to.data_type()) {
        (DataType::Struct(parts), DataType::Struct(wanted)) => {
            let structs = array.as_struct_opt()?;
            // Without ids, all parts would read as null.
            if parts.iter().any(|it| field_id(it).is_none()) {
                return None;
            }
            let columns = wanted.iter().map(|field| {
                let id = field_id(field)?;
                let index = parts.iter().position(|it| field_id(it) == Some(id));
                match index {
                    Some(index) => conform(structs.columns().get(index)?, parts.get(index)?, field),
                    // It was added later.
                    None => Some(new_null_array(field.data_type(), structs.len())),
                }
            });
            let columns = columns.collect::<Option<Vec<_>>>()?;
            let nulls = structs.nulls().cloned();
            Some(Arc::new(StructArray::try_new(wanted.clone(), columns, nulls).ok()?))
        }
        (DataType::List(element), DataType::List(wanted)) => {
            let lists = array.as_list_opt::<i32>()?;
            let values = conform(lists.values(), element, wanted)?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Some(Arc::new(ListArray::try_new(Arc::clone(wanted), offsets, values, nulls).ok()?))
        }
        (from, to) if from == to && !from.is_nested() => Some(Arc::clone(array)),
        (_, to) => widened(array, to),
    }
}

/// Returns an array of a type that holds all values of its own: by Iceberg's widenings, and between two
/// Arrow types of one Iceberg type. Arrow's own casts know thousands of other pairs, which would make the
/// binary a tenth larger.
fn widened(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    Some(match (array.data_type(), to) {
        (DataType::Int32, DataType::Int64) => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int64Type>(i64::from))
        }
        (DataType::Float32, DataType::Float64) => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float64Type>(f64::from))
        }
        (DataType::Binary, DataType::LargeBinary) => {
            Arc::new(array.as_binary::<i32>().iter().collect::<LargeBinaryArray>())
        }
        (
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)),
        ) => {
            let times = array.as_primitive::<TimestampMicrosecondType>().clone();
            Arc::new(times.with_timezone(Arc::clone(zone)))
        }
        (DataType::Decimal128(precision, scale), DataType::Decimal128(wider, wanted))
            if precision <= wider && scale == wanted =>
        {
            let decimals = array.as_primitive::<Decimal128Type>().clone();
            Arc::new(decimals.with_precision_and_scale(*wider, *wanted).ok()?)
        }
        _ => return None,
    })
}

/// Returns the Iceberg field id of an Arrow field.
pub(super) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// Returns the index of the field with an id.
pub(super) fn index_of(fields: &[FieldRef], id: i32) -> Option<usize> {
    fields.iter().position(|it| field_id(it) == Some(id))
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, Decimal128Array, Float32Array, Int32Array, StringArray};
    use arrow_schema::Fields;

    use super::*;

    fn field(name: &str, id: i32, ty: DataType) -> Field {
        let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
        Field::new(name, ty, true).with_metadata([id].into())
    }

    #[test]
    fn a_column_is_known_by_its_id_and_only_widened() {
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let from = field("a", 7, DataType::Int32);
        let long = conform(&ints, &from, &field("b", 7, DataType::Int64)).unwrap();
        assert_eq!(long.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
        assert!(conform(&ints, &from, &field("a", 8, DataType::Int64)).is_none());
        let unnamed = Field::new("a", DataType::Int32, true);
        assert!(conform(&ints, &unnamed, &field("a", 7, DataType::Int32)).is_none());
        for ty in [DataType::Utf8, DataType::Float64, DataType::Int16, DataType::Boolean] {
            assert!(conform(&ints, &from, &field("a", 7, ty)).is_none());
        }
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.5]));
        let (from, to) = (field("f", 1, DataType::Float32), field("f", 1, DataType::Float64));
        assert!(conform(&floats, &from, &to).is_some());
        assert!(conform(&floats, &to, &from).is_none());
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
        let (from, to) = (field("f", 1, DataType::Binary), field("f", 1, DataType::LargeBinary));
        assert_eq!(conform(&bytes, &from, &to).unwrap().as_binary::<i64>().value(0), b"x");
        let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(9, 2).unwrap();
        let decimals: ArrayRef = Arc::new(decimals);
        let decimal = |precision, scale| field("f", 1, DataType::Decimal128(precision, scale));
        assert!(conform(&decimals, &decimal(9, 2), &decimal(12, 2)).is_some());
        assert!(conform(&decimals, &decimal(9, 2), &decimal(12, 3)).is_none());
        assert!(conform(&decimals, &decimal(9, 2), &decimal(8, 2)).is_none());
    }

    /// By name, a renamed field would be null, and one that was made anew would have another's values.
    #[test]
    fn nested_fields_are_known_by_their_ids() {
        let inner = |name: &str, id, ty| Arc::new(field(name, id, ty));
        let was = Fields::from(vec![
            inner("street", 11, DataType::Utf8),
            inner("zip", 12, DataType::Int32),
            inner("dropped", 13, DataType::Utf8),
        ]);
        let now = Fields::from(vec![
            inner("new", 14, DataType::Utf8),
            inner("code", 12, DataType::Int64),
            inner("dropped", 15, DataType::Utf8),
            inner("road", 11, DataType::Utf8),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["Main"])),
            Arc::new(Int32Array::from(vec![99])),
            Arc::new(StringArray::from(vec!["gone"])),
        ];
        let structs = StructArray::new(was.clone(), columns, None);
        let element = inner("element", 10, DataType::Struct(was));
        let offsets = arrow_buffer::OffsetBuffer::from_lengths([0, 1]);
        let lists = ListArray::new(Arc::clone(&element), offsets, Arc::new(structs), None);
        let lists: ArrayRef = Arc::new(lists);
        let from = field("addresses", 9, DataType::List(element));
        let to = field("places", 9, DataType::List(inner("element", 10, DataType::Struct(now))));
        let list = conform(&lists, &from, &to).unwrap();
        assert_eq!(list.as_list::<i32>().value_length(0), 0);
        let list = list.as_list::<i32>().value(1);
        let parts = list.as_struct();
        assert!(parts.column(0).is_null(0) && parts.column(2).is_null(0));
        assert_eq!(parts.column(1).as_primitive::<Int64Type>().value(0), 99);
        assert_eq!(parts.column(3).as_string::<i32>().value(0), "Main");
    }
}
