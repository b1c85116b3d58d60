//! The filters of the ids in data files, which tell that a file does not hold an id.
//!
//! Where a route has an `id`, a commit looks for it in the files of its whole `id_window`. It reads each
//! filter once, and the ids of a file only if one of them may be there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iceberg::spec::Schema;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::store::error::StoreError;
use crate::store::files::Files;
use crate::store::live_file::LiveFile;
use crate::store::partial_file::PartialFile;
use crate::table::lineage;

/// The number of bytes of filters that a table keeps: those of twelve million rows.
const MAX_KEPT_BYTES: usize = 32 * 1024 * 1024;
/// The memory in bytes that a filter takes beside its bits.
const OVERHEAD: usize = 256;

/// The filter of a file: one for each row group.
#[derive(Debug)]
pub struct IdFilter {
    /// `None` if a row group has none: then the file may hold any id.
    groups: Option<Vec<Sbbf>>,
    bytes: usize,
}

impl IdFilter {
    /// Reads the filter of a file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub async fn read(
        files: &Arc<dyn Files>,
        schema: &Schema,
        file: &LiveFile,
    ) -> Result<Self, StoreError> {
        let mut parts = PartialFile::open(files, &file.location, file.bytes).await?;
        let id = schema.field_id_by_name(lineage::ID);
        let is_id = |column: &&ColumnChunkMetaData| {
            let info = column.column_descr().self_type().get_basic_info();
            info.has_id() && Some(info.id()) == id
        };
        let footer = Arc::clone(&parts.footer);
        let columns = footer.row_groups().iter().map(|it| it.columns().iter().find(is_id));
        let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(Self::none()) };
        let ranges = columns.iter().map(|it| {
            let start = u64::try_from(it.bloom_filter_offset()?).ok()?;
            let length = u64::try_from(it.bloom_filter_length()?).ok()?;
            Some(start..start.checked_add(length)?)
        });
        let Some(ranges) = ranges.collect::<Option<Vec<_>>>() else { return Ok(Self::none()) };
        let bytes = ranges.iter().map(|it| usize::try_from(it.end - it.start).unwrap_or(0)).sum();
        parts.fetch(ranges).await?;
        let groups = columns.iter().map(|it| Sbbf::read_from_column_chunk(it, &parts));
        let groups: Result<Option<Vec<Sbbf>>, _> = groups.collect();
        let groups = groups.map_err(StoreError::damaged(&file.location))?;
        Ok(Self { groups, bytes })
    }

    fn none() -> Self {
        Self { groups: None, bytes: 0 }
    }

    /// Returns false if the file holds none of these ids.
    pub fn may_hold(&self, ids: &[&str]) -> bool {
        self.groups
            .as_ref()
            .is_none_or(|groups| groups.iter().any(|group| ids.iter().any(|id| group.check(*id))))
    }
}

/// The filters that a table keeps, those that were used last.
#[derive(Debug, Default)]
pub struct IdFilters {
    kept: Mutex<KeptFilters>,
}

#[derive(Debug, Default)]
struct KeptFilters {
    /// By the location of the file, with the time of its last use.
    filters: HashMap<String, (Arc<IdFilter>, u64)>,
    bytes: usize,
    uses: u64,
}

impl IdFilters {
    /// Returns the filter of a file, if it is kept.
    pub fn get(&self, location: &str) -> Option<Arc<IdFilter>> {
        let mut kept = self.kept();
        kept.uses += 1;
        let now = kept.uses;
        let (filter, used) = kept.filters.get_mut(location)?;
        *used = now;
        Some(Arc::clone(filter))
    }

    /// Keeps the filter of a file. Those that were not used for longest make room for it.
    pub fn keep(&self, location: &str, filter: &Arc<IdFilter>) {
        let mut kept = self.kept();
        kept.uses += 1;
        let (now, size) = (kept.uses, filter.bytes + location.len() + OVERHEAD);
        if kept.filters.insert(location.to_owned(), (Arc::clone(filter), now)).is_none() {
            kept.bytes += size;
        }
        if kept.bytes <= MAX_KEPT_BYTES {
            return;
        }
        let mut by_use: Vec<(u64, String)> =
            kept.filters.iter().map(|(location, (_, used))| (*used, location.clone())).collect();
        by_use.sort_unstable();
        // Half of them at once, so that it is seldom.
        for (_, location) in by_use {
            if kept.bytes <= MAX_KEPT_BYTES / 2 {
                break;
            }
            if let Some((filter, _)) = kept.filters.remove(&location) {
                kept.bytes = kept.bytes.saturating_sub(filter.bytes + location.len() + OVERHEAD);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, KeptFilters> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use iceberg::spec::{NestedField, PrimitiveType, Struct, Type};

    use super::*;
    use crate::store::data_file::{DataFileWriter, Destination, FileBounds};
    use crate::store::files::local::LocalFiles;
    use crate::store::live_file::SearchColumns;
    use crate::store::release::Release;

    /// Every group has a filter of its own, and none denies an id that is there.
    #[test]
    fn no_id_that_is_there_is_denied() {
        const GROUPS: u32 = 5;
        const ROWS: u32 = 3_000;
        let folder = tempfile::tempdir().unwrap();
        let location =
            LocalFiles::location(folder.path().to_str().unwrap()).unwrap() + "/x.parquet";
        let id = NestedField::optional(1, lineage::ID, Type::Primitive(PrimitiveType::String));
        let schema = Schema::builder().with_fields([Arc::new(id)]).build().unwrap();
        let arrow = Arc::new(iceberg::arrow::schema_to_arrow_schema(&schema).unwrap());
        let release = Release::current();
        let mut writer =
            DataFileWriter::new(&schema, Arc::clone(&arrow), &release, 100_000).unwrap();
        let name = |n: u32| format!("{n:08x}-0000-4000-8000-000000000000");
        for group in 0..GROUPS {
            let ids: StringArray = (0..ROWS).map(|n| Some(name(group * ROWS + n))).collect();
            let ids: ArrayRef = Arc::new(ids);
            writer.write(&RecordBatch::try_new(Arc::clone(&arrow), vec![ids]).unwrap()).unwrap();
        }
        let (partition, bounds) = (Struct::empty(), FileBounds::OfRows);
        let destination = Destination { location: &location, spec_id: 0, partition, bounds };
        let file = writer.finish(destination).unwrap();
        let files: Arc<dyn Files> = Arc::new(LocalFiles);
        let live = LiveFile::new(&file.entry, SearchColumns::of(&schema));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let filter = runtime.block_on(async {
            files.write(&location, file.bytes).await.unwrap();
            IdFilter::read(&files, &schema, &live).await.unwrap()
        });
        assert_eq!(filter.groups.as_ref().unwrap().len(), 5);
        for n in 0..GROUPS * ROWS {
            assert!(filter.may_hold(&[&name(n)]), "{n}");
        }
        let wrong = (1_000_000..1_020_000).filter(|n| filter.may_hold(&[&name(*n)])).count();
        assert!(wrong < 50, "{wrong} of 20,000 for nothing");
        // Two to five bytes a row.
        assert!((30_000..80_000).contains(&filter.bytes), "{}", filter.bytes);
    }

    #[test]
    fn filters_are_kept_within_a_bound_the_last_used_longest() {
        let filters = IdFilters::default();
        let large = || Arc::new(IdFilter { groups: None, bytes: MAX_KEPT_BYTES / 8 });
        for n in 0..7 {
            filters.keep(&n.to_string(), &large());
        }
        assert!(filters.get("0").is_some());
        filters.keep("7", &large());
        let kept: Vec<u32> = (0..8).filter(|it| filters.get(&it.to_string()).is_some()).collect();
        assert_eq!(kept, [0, 6, 7]);
        assert!(filters.kept().bytes <= MAX_KEPT_BYTES);
    }
}
