//! The files that a commit has written and that are not in the head yet.

use std::time::SystemTime;

use iceberg::spec::ManifestFile;

use crate::record::Row;
use crate::store::data::{self, DataFiles, FileGroup};
use crate::store::error::StoreError;
use crate::store::head::HeadVersion;
use crate::store::merge::Merge;
use crate::store::proposal::CommitId;
use crate::store::retention::MAX_FILE_AGE;
use crate::store::table::Table;
use crate::table::layout::{Layout, Policy};

/// Files of a commit that are durable and in no snapshot yet.
#[derive(Debug)]
pub struct Draft {
    /// The files of the rows and their manifests, unless the rows have changed since.
    pub written: Option<(DataFiles, Vec<ManifestFile>)>,
    /// The manifests that the first attempt has merged.
    merge: Option<Merge>,
    /// The time from which on files are written.
    pub began: SystemTime,
}

impl Draft {
    /// Nothing yet.
    pub fn new(now: SystemTime) -> Self {
        Self { written: None, merge: None, began: now }
    }

    /// Forgets files that are so old that they may have been cleaned away.
    pub fn renew(&mut self, table: &Table) {
        if table.clock.is_older(self.began, MAX_FILE_AGE) {
            *self = Self::new(table.clock.now());
        }
    }

    /// Writes the rows under the head's schema, unless the files of an earlier attempt still fit it.
    /// Returns the locations of new files.
    pub async fn write(
        &mut self,
        table: &Table,
        commit: &CommitId,
        (head, layout): (&HeadVersion, &Layout),
        (rows, policy): (&[Row], &Policy),
    ) -> Result<Vec<String>, StoreError> {
        if self.written.as_ref().is_some_and(|(files, _)| files.fit(&head.metadata)) {
            return Ok(Vec::new());
        }
        let metadata = &head.metadata;
        let files = data::write(table, metadata, layout, policy, rows).await?;
        let locations = files.entries().map(|entry| entry.file_path().to_owned()).collect();
        let (schema, spec) = (metadata.current_schema(), metadata.default_partition_spec());
        let mut manifests = Vec::with_capacity(files.groups.len());
        for FileGroup { entries, arrivals } in &files.groups {
            let manifest = table.manifests.write(commit.snapshot, schema, spec, entries, *arrivals);
            manifests.push(manifest.await?);
        }
        self.written = Some((files, manifests));
        Ok(locations)
    }

    /// Returns the head's manifests, ten of them merged if there are ten alike. Only the first attempt
    /// merges: a writer that loses swaps must not spend its time on it.
    pub async fn merged(
        &mut self,
        table: &Table,
        commit: &CommitId,
        head: &HeadVersion,
        manifests: Vec<ManifestFile>,
        is_first: bool,
    ) -> Vec<ManifestFile> {
        if is_first {
            self.merge = match Merge::of(table, head, &manifests, commit.snapshot).await {
                Ok(merge) => merge,
                Err(error) => {
                    // The rows can land without it.
                    tracing::warn!(table = %table.name, %error, "can't merge manifests");
                    None
                }
            };
        }
        match &self.merge {
            Some(merge) => merge.apply(manifests),
            None => manifests,
        }
    }
}
