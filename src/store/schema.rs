//! Between Iceberg's schemas and layouts: the layout of a head, and the metadata that changes it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use iceberg::spec::{
    FormatVersion, ListType, NestedField, NestedFieldRef, PartitionSpec, PrimitiveType, Schema,
    SortOrder, StructType, TableMetadata, TableMetadataBuilder, Transform, Type,
};

use crate::name;
use crate::store::error::StoreError;
use crate::store::head::{COMMIT_PROPERTY, HeadVersion, commit_property};
use crate::store::table::Table;
use crate::table::ColumnType;
use crate::table::layout::{Change, Column, Layout, Owner};
use crate::table::lineage::{self, BEFORE, LineageColumn};
use crate::table_name::TableName;

/// Name of the partition field of new tables.
pub const PARTITION_FIELD: &str = "arrived_day";
/// Table property with the owners of columns, as JSON.
const OWNERS_PROPERTY: &str = "lakeward.columns";
/// Field id of a partition field, which is not a column.
const NO_COLUMN: i32 = -1;
/// Properties for other engines, so that the id check can prune the files that they write, and that
/// every reader's first request stays small.
const FOR_ENGINES: [(&str, &str); 7] = [
    // Old versions can be listed by number.
    ("write.metadata.previous-versions-max", "20"),
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.metrics.column._lw_source", "full"),
    ("write.metadata.metrics.column._lw_shard", "full"),
    ("write.metadata.metrics.column._lw_position", "full"),
    ("write.metadata.metrics.column._lw_arrived_at", "full"),
    ("write.parquet.bloom-filter-enabled.column._lw_id", "true"),
];

/// Returns the record columns of a head and their owners. Fails where this release must not write
/// to the table.
pub fn layout(table: &Table, metadata: &TableMetadata) -> Result<Layout, StoreError> {
    let refuse = |problem| refuse(&table.name, problem);
    table.release.may_write(metadata).map_err(refuse)?;
    if metadata.format_version() != FormatVersion::V2 {
        return Err(refuse(format!(
            "someone made it a table of Iceberg format {}, and this release, {}, writes format 2: \
             use another table name; nothing was written",
            metadata.format_version(),
            table.release.version
        )));
    }
    let fields = metadata.current_schema().as_struct().fields();
    let found = |name: &str| fields.iter().find(|field| field.name == name);
    for column in table.lineage {
        let name = column.name;
        let field = found(name).ok_or_else(|| {
            refuse(format!(
                "it has no column {name}: either Lakeward did not create the table, or someone \
                 dropped that column; use another table name"
            ))
        })?;
        check_lineage(column, field).map_err(refuse)?;
    }
    let before = found(BEFORE.name);
    if let Some(field) = before {
        check_lineage(&BEFORE, field).map_err(refuse)?;
    }
    let is_lineage =
        |name: &str| name == BEFORE.name || table.lineage.iter().any(|column| column.name == name);
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields.iter().filter(|field| !is_lineage(&field.name)) {
        if field.required {
            return Err(refuse(made_required(&field.name)));
        }
        columns.push(Column {
            id: field.id,
            name: field.name.clone(),
            ty: column_type(&field.field_type),
        });
    }
    columns.extend(partition_names(metadata));
    let owners = owners(&table.name, metadata)?;
    Ok(Layout { columns, owners, before: before.map(|field| field.id) })
}

/// Checks that a lineage column is still as Lakeward makes it; someone may have replaced it.
fn check_lineage(column: &LineageColumn, field: &NestedField) -> Result<(), String> {
    let ty = column_type(&field.field_type);
    let same = match ty {
        ColumnType::Timestamp | ColumnType::Timestamptz => column.is_time,
        _ => ty == column.column_type(),
    };
    if !same {
        return Err(format!(
            "its column {} is of type {ty}, and Lakeward's is of type {}; rename or drop it",
            column.name,
            column.column_type()
        ));
    }
    if field.required && !column.required {
        return Err(made_required(column.name));
    }
    if column.required && !field.required {
        return Err(format!(
            "someone made column {} optional, or dropped it and added it again, but its values are \
             needed to find duplicates; use another table name",
            column.name
        ));
    }
    Ok(())
}

fn made_required(column: &str) -> String {
    format!("someone made column {column} required, but not every record has it; make it optional")
}

/// Returns the names of partition fields that are not columns: Iceberg refuses a new column of such
/// a name, so they count as taken.
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

fn owners(table: &TableName, metadata: &TableMetadata) -> Result<Vec<Owner>, StoreError> {
    metadata.properties().get(OWNERS_PROPERTY).map_or_else(
        || Ok(Vec::new()),
        |text| {
            serde_json::from_str(text).map_err(|error| {
                let problem = format!(
                    "its property {OWNERS_PROPERTY} is damaged ({error}): restore its value from \
                     an earlier metadata version; nothing was written"
                );
                refuse(table, problem)
            })
        },
    )
}

/// Returns the column type for an Iceberg type.
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
        // Parts of Lakeward's types are optional, because a record may lack any of them.
        Type::List(list) if !list.element_field.required => {
            ColumnType::List(Box::new(column_type(&list.element_field.field_type)))
        }
        Type::Struct(fields) if fields.fields().iter().all(|it| !it.required) => {
            ColumnType::Struct(
                fields
                    .fields()
                    .iter()
                    .map(|field| (field.name.clone(), column_type(&field.field_type)))
                    .collect(),
            )
        }
        other => ColumnType::Other(other.to_string()),
    }
}

/// A builder of Iceberg types with fresh ids from `next` on.
struct TypeBuilder {
    next: i32,
}

impl TypeBuilder {
    fn id(&mut self) -> i32 {
        let id = self.next;
        // Others may have used the last id.
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
            // Foreign types are never asked for.
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

/// Returns the metadata of a new table with `changes` made; with `zoned` its times have a zone,
/// UTC.
pub fn create(
    table: &Table,
    changes: &[Change],
    zoned: bool,
    commit: &str,
) -> Result<TableMetadata, StoreError> {
    let empty = empty(table, zoned, commit)?;
    let builder = empty.clone().into_builder(None);
    built(change(builder, &empty, &Layout::default(), changes)?)
}

/// Returns the head's metadata with `changes` made and nothing else.
pub fn changed(
    table: &Table,
    head: &HeadVersion,
    layout: &Layout,
    changes: &[Change],
    commit: &str,
) -> Result<TableMetadata, StoreError> {
    let builder = change(table.builder(head)?, &head.metadata, layout, changes)?;
    let failed = StoreError::metadata("change the schema");
    built(builder.set_properties(commit_property(commit)).map_err(failed)?)
}

fn built(builder: TableMetadataBuilder) -> Result<TableMetadata, StoreError> {
    builder.build().map(|it| it.metadata).map_err(StoreError::metadata("change the schema"))
}

/// Returns the metadata of a new table with the lineage columns, partitioned by the day of arrival.
fn empty(table: &Table, zoned: bool, commit: &str) -> Result<TableMetadata, StoreError> {
    let failed = StoreError::metadata("create a table");
    let mut types = TypeBuilder { next: 1 };
    let fields: Vec<NestedFieldRef> = table
        .lineage
        .iter()
        .map(|column| {
            let zoned = zoned && column.is_time;
            let ty = if zoned { ColumnType::Timestamptz } else { column.column_type() };
            let ty = types.make(&ty);
            let field = NestedField::new(types.id(), column.name, ty, column.required);
            Arc::new(field.with_doc(column.doc))
        })
        .collect();
    let schema = Schema::builder().with_fields(fields).build().map_err(&failed)?;
    let spec = PartitionSpec::builder(schema.clone())
        .add_partition_field(lineage::ARRIVED_AT, PARTITION_FIELD, Transform::Day)
        .and_then(iceberg::spec::PartitionSpecBuilder::build)
        .map_err(&failed)?;
    let properties = FOR_ENGINES.map(|(name, value)| (name, value.to_owned()));
    let mut properties: HashMap<&str, String> = properties.into();
    properties.extend(table.release.properties());
    properties.insert(COMMIT_PROPERTY, commit.to_owned());
    let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value));
    TableMetadataBuilder::new(
        schema,
        spec,
        SortOrder::unsorted_order(),
        table.location.clone(),
        FormatVersion::V2,
        properties.collect(),
    )
    .and_then(TableMetadataBuilder::build)
    .map(|it| it.metadata)
    .map_err(failed)
}

/// Returns the properties for other engines that the table lacks: someone removed them, or an
/// engine replaced them all. A property with another value is kept: it is someone's decision.
pub fn missing_properties(metadata: &TableMetadata) -> HashMap<String, String> {
    let missing = FOR_ENGINES.iter().filter(|(name, _)| !metadata.properties().contains_key(*name));
    missing.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Gives the builder the schema of `metadata` with `changes` made, and records the owners.
fn change(
    builder: TableMetadataBuilder,
    metadata: &TableMetadata,
    layout: &Layout,
    changes: &[Change],
) -> Result<TableMetadataBuilder, StoreError> {
    let failed = StoreError::metadata("change the schema");
    let mut types = TypeBuilder { next: metadata.last_column_id().saturating_add(1) };
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
            Change::Claim { name, original } => {
                for owner in owners.iter_mut().filter(|it| it.open && it.name == *name) {
                    owner.claim(original);
                }
            }
            Change::Before => {
                let id = types.id();
                let field = NestedField::optional(id, BEFORE.name, types.make(&ColumnType::String));
                // Beside the rest of the lineage.
                let last = fields.iter().rposition(|it| name::is_lineage(&it.name));
                let index = last.map_or(0, |it| it + 1);
                fields.insert(index, Arc::new(field.with_doc(BEFORE.doc)));
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::layout::Role;

    /// A table of two lineage columns and a record column.
    fn small() -> (TableMetadata, Layout) {
        let text = |id, name: &str| {
            Arc::new(NestedField::optional(id, name, Type::Primitive(PrimitiveType::String)))
        };
        let fields = [text(1, "_lw_id"), text(2, "_lw_extra"), text(3, "_lw_x_field")];
        let schema = Schema::builder().with_fields(fields).build().unwrap();
        let spec = PartitionSpec::unpartition_spec();
        let metadata = TableMetadataBuilder::new(
            schema,
            spec,
            SortOrder::unsorted_order(),
            "memory:/t".to_owned(),
            FormatVersion::V2,
            HashMap::new(),
        );
        (metadata.unwrap().build().unwrap().metadata, Layout::default())
    }

    /// Readers refuse a file with a null in a required field.
    #[test]
    fn a_list_or_struct_with_a_required_part_is_never_written() {
        let text = Type::Primitive(PrimitiveType::String);
        for required in [true, false] {
            let field = |id| Arc::new(NestedField::new(id, "a", text.clone(), required));
            let list = Type::List(ListType::new(field(1)));
            let optional = Arc::new(NestedField::optional(2, "b", text.clone()));
            let fields = Type::Struct(StructType::new(vec![field(1), optional]));
            for ty in [list, fields] {
                let foreign = matches!(column_type(&ty), ColumnType::Other(_));
                assert_eq!(foreign, required, "{ty}");
            }
        }
    }

    #[test]
    fn a_field_claims_the_open_column_of_its_name_and_no_other() {
        let owner = |name: &str, open| Owner {
            name: name.to_owned(),
            id: None,
            original: name.to_owned(),
            role: Role::Main,
            open,
        };
        let (metadata, mut layout) = small();
        layout.owners = vec![owner("price", true), owner("other", true), owner("closed", false)];
        let claim = Change::Claim { name: "price".to_owned(), original: "Price".to_owned() };
        let builder = metadata.clone().into_builder(None);
        let builder = change(builder, &metadata, &layout, &[claim]).unwrap();
        let changed = builder.build().unwrap().metadata;
        let owners: Vec<Owner> =
            serde_json::from_str(&changed.properties()[OWNERS_PROPERTY]).unwrap();
        let owners: Vec<_> = owners.iter().map(|it| (it.original.as_str(), it.open)).collect();
        assert_eq!(owners, [("Price", false), ("other", true), ("closed", false)]);
    }

    #[test]
    fn the_old_image_gets_an_optional_column_beside_the_lineage() {
        let (metadata, layout) = small();
        let owner = Owner {
            name: "price".to_owned(),
            id: None,
            original: "Price".to_owned(),
            role: Role::Main,
            open: false,
        };
        let added = Change::Add { ty: ColumnType::Long, doc: "Price".to_owned(), owner };
        let builder = metadata.clone().into_builder(None);
        let builder = change(builder, &metadata, &layout, &[added, Change::Before]).unwrap();
        let changed = builder.build().unwrap().metadata;
        let fields = changed.current_schema().as_struct().fields();
        let names: Vec<&str> = fields.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["_lw_id", "_lw_extra", "_lw_before", "_lw_x_field", "price"]);
        let before = &fields[2];
        assert_eq!((before.id, before.required), (5, false));
        assert_eq!(column_type(&before.field_type), ColumnType::String);
        assert_eq!(check_lineage(&BEFORE, before), Ok(()));
        let owners: Vec<Owner> =
            serde_json::from_str(&changed.properties()[OWNERS_PROPERTY]).unwrap();
        let owners: Vec<&str> = owners.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(owners, ["price"], "it is not a column of the record");
    }
}
