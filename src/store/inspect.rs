//! Tables as users look at them: which exist, how large they are, and their newest rows.

use std::collections::BTreeMap;

use iceberg::spec::{DataFile, NestedField, NestedFieldRef, PrimitiveLiteral, Schema, Type};

use crate::number::count;
use crate::store::error::StoreError;
use crate::store::files::{Files, Removal};
use crate::store::head::HeadVersion;
use crate::store::head::versions::version_number;
use crate::store::read;
use crate::store::schema::column_type;
use crate::store::table::Table;
use crate::table::lineage;
use crate::table::{Cell, ColumnType};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// A table as `tables` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name.
    pub name: TableName,
    /// Its location, `file://…`.
    pub location: String,
    /// Live rows.
    pub rows: u64,
    /// Live data files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The size of the file in the middle, by size; 0 without files.
    pub median_bytes: u64,
    /// Kept snapshots.
    pub snapshots: u64,
    /// Newest `_lw_arrived_at`.
    pub last_arrival: Option<Timestamp>,
    /// Columns in schema order.
    pub columns: Vec<DescribedColumn>,
}

/// A column as `tables TABLE` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Its doc.
    pub doc: Option<String>,
    /// Number of nulls among the live rows; `None` where a file has the column but not their
    /// number.
    pub nulls: Option<u64>,
}

/// Rows read back from a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRows {
    /// Name and type of each column, in schema order.
    pub columns: Vec<(String, ColumnType)>,
    /// The rows, each with one cell per column.
    pub rows: Vec<Vec<Cell>>,
}

/// The origin of rows: source, shard, and day of arrival in days since 1970.
pub type Origin = (String, Option<String>, Option<i32>);

/// Lists the tables of the lake at `location`, sorted. Folders that are not tables are skipped.
pub async fn tables(files: &dyn Files, location: &str) -> Result<Vec<TableName>, StoreError> {
    let mut tables = Vec::new();
    for namespace in folders(files, location).await? {
        for name in folders(files, &format!("{location}/{namespace}")).await? {
            let metadata = format!("{location}/{namespace}/{name}/metadata");
            // Pending rows alone are not a table.
            let names = folders(files, &metadata).await?;
            if !names.iter().any(|it| version_number(it).is_some()) {
                continue;
            }
            tables.extend(format!("{namespace}.{name}").parse::<TableName>());
        }
    }
    tables.sort();
    Ok(tables)
}

/// Lists the folders of a namespace that are named like tables, without a look into them.
pub async fn names(
    files: &dyn Files,
    location: &str,
    namespace: &str,
) -> Result<Vec<TableName>, StoreError> {
    let folders = folders(files, &format!("{location}/{namespace}")).await?;
    let names = folders.iter().map(|name| format!("{namespace}.{name}").parse::<TableName>());
    Ok(names.flatten().collect())
}

/// Lists the folders in a folder.
pub async fn folders(files: &dyn Files, folder: &str) -> Result<Vec<String>, StoreError> {
    match files.list(folder).await {
        Ok(names) => Ok(names),
        // A file among the folders.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => Err(StoreError::files("list", folder)(error)),
    }
}

/// Describes a table; `None` where it does not exist.
pub async fn describe(table: &Table) -> Result<Option<Description>, StoreError> {
    let Some(head) = table.head.load().await? else { return Ok(None) };
    let files = live(table, &head).await?;
    let schema = head.metadata.current_schema();
    let sum = |of: fn(&DataFile) -> u64| files.iter().map(of).fold(0, u64::saturating_add);
    let columns = schema.as_struct().fields().iter().map(|field| DescribedColumn {
        name: field.name.clone(),
        ty: column_type(&field.field_type),
        doc: field.doc.clone(),
        nulls: nulls(&files, field),
    });
    Ok(Some(Description {
        name: table.name.clone(),
        location: table.location.clone(),
        rows: sum(DataFile::record_count),
        files: count(files.len()),
        bytes: sum(DataFile::file_size_in_bytes),
        median_bytes: median(files.iter().map(DataFile::file_size_in_bytes).collect()),
        snapshots: count(head.metadata.snapshots().len()),
        last_arrival: newest_arrival(table, schema, &files).await?,
        columns: columns.collect(),
    }))
}

fn median(mut sizes: Vec<u64>) -> u64 {
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied().unwrap_or_default()
}

/// Returns the size of all metadata of a table, whether a version needs it or not, in bytes.
///
/// # Errors
/// If it can't be listed.
pub async fn metadata_bytes(table: &Table, removal: &dyn Removal) -> Result<u64, StoreError> {
    let folder = format!("{}/metadata", table.location);
    let found = removal.list_all(&folder).await.map_err(StoreError::files("list", &folder))?;
    Ok(found.iter().map(|it| it.bytes).fold(0, u64::saturating_add))
}

/// Reads the newest `limit` rows by arrival, then position; newest first. `None` where the table
/// does not exist. Files that can't hold one of them are not read.
pub async fn newest(table: &Table, limit: usize) -> Result<Option<ReadRows>, StoreError> {
    let Some(head) = table.head.load().await? else { return Ok(None) };
    let schema = head.metadata.current_schema();
    let mut files = live(table, &head).await?;
    // Without a bound, a file may hold the newest row.
    files.sort_by_key(|file| match last_arrival(schema, file) {
        None => (0, None),
        Some(last) => (1, Some(std::cmp::Reverse(last))),
    });

    let fields = schema.as_struct().fields();
    let index = |name: &str| fields.iter().position(|field| field.name == name);
    let order = [index(lineage::ARRIVED_AT), index(lineage::POSITION), index(lineage::ID)];
    let mut newest: Vec<Vec<Cell>> = Vec::new();
    for file in &files {
        let oldest = newest.last().filter(|_| newest.len() >= limit);
        let reach = oldest.and_then(|row| micros(row, order[0]));
        if let (Some(reach), Some(last)) = (reach, last_arrival(schema, file))
            && last.micros() < reach
        {
            break;
        }
        newest.extend(read::rows(&table.files, fields, file).await?);
        newest.sort_by_cached_key(|row| std::cmp::Reverse(sort_key(row, order)));
        newest.truncate(limit);
    }
    let columns = fields.iter().map(|it| (it.name.clone(), column_type(&it.field_type)));
    Ok(Some(ReadRows { columns: columns.collect(), rows: newest }))
}

/// Counts the rows of a table by source, shard and day of arrival (UTC). Files whose rows are all
/// older than the day `since` are not read. `None` where the table does not exist.
pub async fn origins(
    table: &Table,
    since: Option<i32>,
) -> Result<Option<BTreeMap<Origin, u64>>, StoreError> {
    let Some(head) = table.head.load().await? else { return Ok(None) };
    let schema = head.metadata.current_schema();
    let names = [lineage::SOURCE, lineage::SHARD, lineage::ARRIVED_AT];
    let fields: Option<Vec<NestedFieldRef>> =
        names.map(|name| schema.field_by_name(name).cloned()).into_iter().collect();
    let Some(fields) = fields else { return Ok(None) };
    let mut origins = BTreeMap::new();
    let older = |day: Option<i32>| day.zip(since).is_some_and(|(day, since)| day < since);
    for file in live(table, &head).await? {
        if older(last_arrival(schema, &file).map(Timestamp::day)) {
            continue;
        }
        for row in read::rows(&table.files, &fields, &file).await? {
            let text = |index: usize| match row.get(index) {
                Some(Cell::Text(text)) => Some(text.clone()),
                _ => None,
            };
            let arrived = micros(&row, Some(2)).and_then(Timestamp::from_micros);
            let day = arrived.map(Timestamp::day);
            if !older(day) {
                let origin = (text(0).unwrap_or_default(), text(1), day);
                *origins.entry(origin).or_default() += 1;
            }
        }
    }
    Ok(Some(origins))
}

async fn live(table: &Table, head: &HeadVersion) -> Result<Vec<DataFile>, StoreError> {
    let Some(snapshot) = head.metadata.current_snapshot() else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for manifest in table.manifests.list(snapshot).await? {
        let entries = table.manifests.entries(&manifest).await?;
        files.extend(entries.into_iter().map(|it| it.data_file));
    }
    Ok(files)
}

/// Counts the nulls of a column over all files; in a file without the column, all are null.
fn nulls(files: &[DataFile], field: &NestedField) -> Option<u64> {
    let leaves = leaves(field);
    files.iter().try_fold(0_u64, |sum, file| {
        let stored = leaves.iter().any(|id| file.column_sizes().contains_key(id));
        let nulls = match file.null_value_counts().get(&field.id) {
            Some(nulls) => *nulls,
            None if !stored => file.record_count(),
            None => return None,
        };
        Some(sum.saturating_add(nulls))
    })
}

/// Returns the field ids that a file stores for a column: its own, or those of its nested fields.
fn leaves(field: &NestedField) -> Vec<i32> {
    match field.field_type.as_ref() {
        Type::Primitive(_) => vec![field.id],
        Type::Struct(it) => it.fields().iter().flat_map(|field| leaves(field)).collect(),
        Type::List(it) => leaves(&it.element_field),
        Type::Map(it) => [leaves(&it.key_field), leaves(&it.value_field)].concat(),
    }
}

/// Returns the newest arrival of all files. Those without a bound are read.
async fn newest_arrival(
    table: &Table,
    schema: &Schema,
    files: &[DataFile],
) -> Result<Option<Timestamp>, StoreError> {
    let Some(field) = schema.field_by_name(lineage::ARRIVED_AT) else { return Ok(None) };
    let mut newest = files.iter().filter_map(|file| last_arrival(schema, file)).max();
    for file in files.iter().filter(|file| last_arrival(schema, file).is_none()) {
        for row in read::rows(&table.files, std::slice::from_ref(field), file).await? {
            newest = newest.max(micros(&row, Some(0)).and_then(Timestamp::from_micros));
        }
    }
    Ok(newest)
}

/// Returns the newest arrival of a file by its bound; `None` if it has none.
fn last_arrival(schema: &Schema, file: &DataFile) -> Option<Timestamp> {
    let id = schema.field_id_by_name(lineage::ARRIVED_AT)?;
    match file.upper_bounds().get(&id)?.literal() {
        PrimitiveLiteral::Long(micros) => Timestamp::from_micros(*micros),
        _ => None,
    }
}

fn micros(row: &[Cell], index: Option<usize>) -> Option<i64> {
    match row.get(index?)? {
        Cell::Micros(it) => Some(*it),
        _ => None,
    }
}

fn sort_key(
    row: &[Cell],
    [arrived, position, id]: [Option<usize>; 3],
) -> (Option<i64>, Option<String>, Option<String>) {
    let text = |index: Option<usize>| match row.get(index?)? {
        Cell::Text(it) => Some(it.clone()),
        _ => None,
    };
    (micros(row, arrived), text(position), text(id))
}
