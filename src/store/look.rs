//! The look into a head: which rows of a batch it holds already.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use iceberg::spec::{ManifestFile, Schema};

use crate::deadline::Deadline;
use crate::store::batch::Batch;
use crate::store::candidates::{Look, Search};
use crate::store::error::StoreError;
use crate::store::head::HeadVersion;
use crate::store::id_filter::IdFilter;
use crate::store::live_file::LiveFile;
use crate::store::read::IdColumns;
use crate::store::table::Table;
use crate::store::verdict::Verdicts;

/// The number of files that are read at a time.
const READ_AT_ONCE: usize = 16;

/// The looks of a commit into its table: after each lost swap another one, at what is new in the head.
#[derive(Debug, Default)]
pub struct Looks {
    /// Locations of data files whose ids were checked, and of manifests all of whose files were.
    checked: HashSet<String>,
    /// Locations of data files that this commit has written.
    own: HashSet<String>,
    /// The number of data files whose ids were read.
    pub files_read: u64,
}

/// The result of a look.
#[derive(Debug)]
pub enum LookResult {
    /// A file of this commit: an earlier attempt, whose answer was lost, has landed.
    OwnFile,
    /// Half of the time is over, and the batch has company.
    HalfOver,
    /// The verdicts on the rows that are sought.
    Verdicts(Verdicts),
}

impl Looks {
    /// Notes a data file that this commit has written.
    pub fn add_own(&mut self, location: &str) {
        self.own.insert(location.to_owned());
    }

    /// Forgets what was seen and written: the commit goes on under another id.
    pub fn begin_again(&mut self) {
        self.checked.clear();
        self.own.clear();
    }

    /// Looks for the rows of a batch. `search` is for all of them, and `has_company` says whether pending
    /// rows are among them.
    pub async fn look(
        &mut self,
        table: &Table,
        (head, manifests): (&HeadVersion, &[ManifestFile]),
        (batch, search): (&Batch, &Search),
        deadline: &Deadline,
        has_company: bool,
    ) -> Result<LookResult, StoreError> {
        let schema = head.metadata.current_schema();
        let mut candidates: Vec<(LiveFile, Look)> = Vec::new();
        let to_open = |it: &&ManifestFile| {
            let location = &it.manifest_path;
            !self.checked.contains(location) && search.may_be_in_manifest(location)
        };
        let opened: Vec<&ManifestFile> = manifests.iter().filter(to_open).collect();
        for some in opened.chunks(READ_AT_ONCE) {
            let files = some.iter().map(|it| table.manifests.live_files(it, schema));
            for (manifest, files) in some.iter().zip(try_join_all(files).await?) {
                for file in files.iter() {
                    if self.own.contains(&file.location) {
                        return Ok(LookResult::OwnFile);
                    }
                    if !self.checked.contains(&file.location)
                        && let Some(look) = search.look_into(&manifest.manifest_path, file)
                    {
                        candidates.push((file.clone(), look));
                    }
                }
            }
        }
        let mut occurrences = batch.occurrences();
        let ids = batch.sought().filter(|row| row.lineage.id_window.is_some());
        let ids: Vec<&str> = ids.map(|row| row.lineage.id.as_str()).collect();
        for some in candidates.chunks(READ_AT_ONCE) {
            if deadline.passed() {
                return Err(StoreError::OutOfTime(table.name.clone()));
            }
            if has_company && deadline.is_half_over() {
                return Ok(LookResult::HalfOver);
            }
            let read = some.iter().map(|(file, look)| read_ids(table, schema, file, *look, &ids));
            for ((file, _), columns) in some.iter().zip(try_join_all(read).await?) {
                if let Some(columns) = columns {
                    columns.each(|id, occurrence| occurrences.add(id, occurrence));
                    self.files_read += 1;
                }
                self.checked.insert(file.location.clone());
            }
        }
        self.checked.extend(opened.iter().map(|it| it.manifest_path.clone()));
        Ok(LookResult::Verdicts(batch.verdicts(&occurrences)))
    }
}

/// Reads what identifies the rows of a file; `None` if its filter tells that it has none of these ids.
async fn read_ids(
    table: &Table,
    schema: &Schema,
    file: &LiveFile,
    look: Look,
    ids: &[&str],
) -> Result<Option<IdColumns>, StoreError> {
    if look == Look::ById {
        let filter = match table.id_filters.get(&file.location) {
            Some(filter) => filter,
            None => {
                let filter = Arc::new(IdFilter::read(&table.files, schema, file).await?);
                table.id_filters.keep(&file.location, &filter);
                filter
            }
        };
        if !filter.may_hold(ids) {
            return Ok(None);
        }
    }
    IdColumns::read(&table.files, schema, file).await.map(Some)
}
