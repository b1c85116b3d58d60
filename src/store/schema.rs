//! Between Iceberg's schemas and ours: what a head has, and the metadata that changes it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use iceberg::spec::{
    FormatVersion, ListType, NestedField, NestedFieldRef, PartitionSpec, PrimitiveType, Schema,
    SortOrder, StructType, TableMetadata, TableMetadataBuilder, Transform, Type,
};

use crate::name::{self, TableName};
use crate::store::error::StoreError;
use crate::store::head::COMMIT_PROPERTY;
use crate::table::ColumnType;
use crate::table::layout::{Change, Column, Layout, Owner};
use crate::table::lineage::{self, LineageColumn};

/// Name of the one partition field of our tables.
pub const PARTITION_FIELD: &str = "arrived_day";
/// Table property with the owners of columns, as JSON.
const OWNERS_PROPERTY: &str = "lakeward.columns";
/// Table property with the format of our conventions.
const FORMAT_PROPERTY: &str = "lakeward.format";
/// Field id of what is no column.
const NO_COLUMN: i32 = -1;
/// The format this binary writes.
const FORMAT: u32 = 1;

/// The record columns of a head and their owners.
pub fn layout(
    table: &TableName,
    metadata: &TableMetadata,
    lineage: &[LineageColumn],
) -> Result<Layout, StoreError> {
    check_format(table, metadata)?;
    let fields = metadata.current_schema().as_struct().fields();
    for column in lineage {
        if !fields.iter().any(|field| field.name == column.name) {
            return Err(refuse(
                table,
                format!(
                    "it has no column {}: either it is not a table of Lakeward's, or someone dropped \
                 that column; use another table name",
                    column.name
                ),
            ));
        }
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        if lineage.iter().any(|column| column.name == field.name) {
            continue;
        }
        if field.required {
            return Err(refuse(
                table,
                format!(
                    "someone made column {} required, and not every record has it; make it optional",
                    field.name
                ),
            ));
        }
        columns.push(Column {
            id: field.id,
            name: field.name.clone(),
            ty: column_type(&field.field_type),
        });
    }
    columns.extend(partition_names(metadata));
    Ok(Layout { columns, owners: owners(table, metadata)?, before: None })
}

/// Names of partition fields that are no columns: Iceberg refuses a new column of such a name, so
/// they count as taken.
fn partition_names(metadata: &TableMetadata) -> Vec<Column> {
    let schema = metadata.current_schema();
    let all = metadata.partition_specs_iter().flat_map(|spec| spec.fields());
    let names: BTreeSet<&str> = all.map(|field| field.name.as_str()).collect();
    let foreign = names
        .into_iter()
        .filter(|name| !name::is_reserved(name) && schema.field_by_name(name).is_none());
    let taken = foreign.map(|name| Column {
        id: NO_COLUMN,
        name: name.to_owned(),
        ty: ColumnType::Other("partition field".to_owned()),
    });
    taken.collect()
}

fn refuse(table: &TableName, problem: String) -> StoreError {
    StoreError::Table { table: table.clone(), problem }
}

fn check_format(table: &TableName, metadata: &TableMetadata) -> Result<(), StoreError> {
    let written = metadata.properties().get(FORMAT_PROPERTY);
    let format = written.and_then(|it| it.parse::<u32>().ok()).unwrap_or(FORMAT);
    if format > FORMAT {
        return Err(refuse(
            table,
            format!(
                "it has Lakeward format {format}, and this binary knows up to {FORMAT}; use a newer one"
            ),
        ));
    }
    Ok(())
}

fn owners(table: &TableName, metadata: &TableMetadata) -> Result<Vec<Owner>, StoreError> {
    metadata.properties().get(OWNERS_PROPERTY).map_or_else(
        || Ok(Vec::new()),
        |text| {
            serde_json::from_str(text).map_err(|error| {
                refuse(table, format!("its property {OWNERS_PROPERTY} is damaged: {error}"))
            })
        },
    )
}

/// Our view of an Iceberg type.
pub fn column_type(ty: &Type) -> ColumnType {
    match ty {
        Type::Primitive(PrimitiveType::Boolean) => ColumnType::Bool,
        Type::Primitive(PrimitiveType::Int) => ColumnType::Int,
        Type::Primitive(PrimitiveType::Long) => ColumnType::Long,
        Type::Primitive(PrimitiveType::Float) => ColumnType::Float,
        Type::Primitive(PrimitiveType::Double) => ColumnType::Double,
        Type::Primitive(PrimitiveType::Decimal { precision, scale }) => {
            ColumnType::Decimal { precision: *precision, scale: *scale }
        }
        Type::Primitive(PrimitiveType::Date) => ColumnType::Date,
        Type::Primitive(PrimitiveType::Timestamp) => ColumnType::Timestamp,
        Type::Primitive(PrimitiveType::Timestamptz) => ColumnType::Timestamptz,
        Type::Primitive(PrimitiveType::String) => ColumnType::String,
        Type::Primitive(PrimitiveType::Binary) => ColumnType::Binary,
        Type::List(list) => ColumnType::List(Box::new(column_type(&list.element_field.field_type))),
        Type::Struct(fields) => ColumnType::Struct(
            fields
                .fields()
                .iter()
                .map(|field| (field.name.clone(), column_type(&field.field_type)))
                .collect(),
        ),
        other => ColumnType::Other(other.to_string()),
    }
}

/// Makes Iceberg types with fresh ids from `next` on.
struct Types {
    next: i32,
}

impl Types {
    fn id(&mut self) -> i32 {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        id
    }

    fn make(&mut self, ty: &ColumnType) -> Type {
        Type::Primitive(match ty {
            ColumnType::Bool => PrimitiveType::Boolean,
            ColumnType::Int => PrimitiveType::Int,
            ColumnType::Long => PrimitiveType::Long,
            ColumnType::Float => PrimitiveType::Float,
            ColumnType::Double => PrimitiveType::Double,
            ColumnType::Decimal { precision, scale } => {
                PrimitiveType::Decimal { precision: *precision, scale: *scale }
            }
            ColumnType::Date => PrimitiveType::Date,
            ColumnType::Timestamp => PrimitiveType::Timestamp,
            ColumnType::Timestamptz => PrimitiveType::Timestamptz,
            // Nobody asks for a type that is not ours.
            ColumnType::String | ColumnType::Other(_) => PrimitiveType::String,
            ColumnType::Binary => PrimitiveType::Binary,
            ColumnType::List(element) => {
                let id = self.id();
                let element = self.make(element);
                let field = NestedField::list_element(id, element, false);
                return Type::List(ListType { element_field: Arc::new(field) });
            }
            ColumnType::Struct(fields) => {
                let ids: Vec<i32> = fields.iter().map(|_| self.id()).collect();
                let fields = ids.into_iter().zip(fields).map(|(id, (name, ty))| {
                    Arc::new(NestedField::optional(id, name, self.make(ty)))
                });
                return Type::Struct(StructType::new(fields.collect()));
            }
        })
    }
}

/// Metadata of a new, empty table: the lineage columns, partitioned by the day of arrival.
pub fn create(
    location: &str,
    lineage: &[LineageColumn],
    commit: &str,
) -> Result<TableMetadata, StoreError> {
    let failed = StoreError::metadata("make a table");
    let mut types = Types { next: 1 };
    let fields: Vec<NestedFieldRef> = lineage
        .iter()
        .map(|column| {
            let ty = types.make(&column.column_type());
            let field = NestedField::new(types.id(), column.name, ty, column.required);
            Arc::new(field.with_doc(column.doc))
        })
        .collect();
    let schema = Schema::builder().with_fields(fields).build().map_err(&failed)?;
    let spec = PartitionSpec::builder(schema.clone())
        .add_partition_field(lineage::ARRIVED_AT, PARTITION_FIELD, Transform::Day)
        .and_then(iceberg::spec::PartitionSpecBuilder::build)
        .map_err(&failed)?;
    let properties = [
        (FORMAT_PROPERTY, FORMAT.to_string()),
        ("lakeward.min-writer", env!("CARGO_PKG_VERSION").to_owned()),
        (COMMIT_PROPERTY, commit.to_owned()),
        // Every reader fetches the metadata; old versions are listed by number anyway.
        ("write.metadata.previous-versions-max", "20".to_owned()),
        ("write.parquet.compression-codec", "zstd".to_owned()),
        // What other engines write must stay prunable for the id check.
        ("write.metadata.metrics.column._lw_source", "full".to_owned()),
        ("write.metadata.metrics.column._lw_shard", "full".to_owned()),
        ("write.metadata.metrics.column._lw_position", "full".to_owned()),
        ("write.metadata.metrics.column._lw_arrived_at", "full".to_owned()),
        ("write.parquet.bloom-filter-enabled.column._lw_id", "true".to_owned()),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value)).into();
    TableMetadataBuilder::new(
        schema,
        spec,
        SortOrder::unsorted_order(),
        location.to_owned(),
        FormatVersion::V2,
        properties,
    )
    .and_then(TableMetadataBuilder::build)
    .map(|it| it.metadata)
    .map_err(failed)
}

/// The builder with a schema that has `changes` made to `metadata`'s, and their owners recorded.
pub fn change(
    builder: TableMetadataBuilder,
    metadata: &TableMetadata,
    layout: &Layout,
    changes: &[Change],
) -> Result<TableMetadataBuilder, StoreError> {
    let failed = StoreError::metadata("change the schema");
    let mut types = Types { next: metadata.last_column_id().saturating_add(1) };
    let mut fields = metadata.current_schema().as_struct().fields().to_vec();
    let mut owners = layout.owners.clone();
    for change in changes {
        match change {
            Change::Add { ty, doc, owner } => {
                let id = types.id();
                let field = NestedField::optional(id, &owner.name, types.make(ty)).with_doc(doc);
                fields.push(Arc::new(field));
                owners.push(Owner { id: Some(id), ..owner.clone() });
            }
            Change::Before => {}
            Change::Widen { id, to } => {
                for field in fields.iter_mut().filter(|field| field.id == *id) {
                    let wider = Box::new(types.make(to));
                    *field = Arc::new(NestedField { field_type: wider, ..(**field).clone() });
                }
            }
        }
    }
    let current = metadata.current_schema();
    let schema = Schema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(current.identifier_field_ids())
        .build()
        .map_err(&failed)?;
    let owners = serde_json::to_string(&owners).map_err(StoreError::encode("record the owners"))?;
    builder
        .add_current_schema(schema)
        .and_then(|it| it.set_properties(HashMap::from([(OWNERS_PROPERTY.to_owned(), owners)])))
        .map_err(failed)
}
