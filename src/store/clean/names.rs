//! The files of a table that something names, and those that Lakeward has made.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use iceberg::spec::{ManifestFile, Snapshot, TableMetadata};
use uuid::Uuid;

use crate::store::arrivals::Arrivals;
use crate::store::error::StoreError;
use crate::store::head::HeadVersion;
use crate::store::table::Table;

/// The number of files that are read at a time.
const READ_AT_ONCE: usize = 16;

/// A kind of file that Lakeward makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A data file.
    Data,
    /// A manifest, or a list of manifests.
    Metadata,
    /// A temporary file of a write.
    Temporary,
}

impl Form {
    /// Returns the form of a file; `None` for one that Lakeward has not made, or that is never removed.
    pub(super) fn of(table: &Table, location: &str) -> Option<Self> {
        let path = location.strip_prefix(&table.location)?.strip_prefix('/')?;
        let mut folders: Vec<&str> = path.split('/').collect();
        let name = folders.pop()?;
        let is_unique = |it: Option<&str>| it.is_some_and(|it| Uuid::try_parse(it).is_ok());
        match folders.as_slice() {
            ["metadata" | "data"] | ["metadata", "pending"]
                if is_unique(name.strip_prefix(".tmp-")) =>
            {
                Some(Self::Temporary)
            }
            ["metadata"] => {
                let list = name.strip_prefix("snap-").and_then(|it| it.strip_suffix(".avro"));
                let list = list.and_then(|it| it.split_once('-'));
                let is_list = list.is_some_and(|(id, unique)| {
                    id.parse::<i64>().is_ok() && is_unique(Some(unique))
                });
                let foreign = name.strip_prefix("f-").and_then(|it| it.strip_suffix(".avro"));
                let is_manifest = Arrivals::of_manifest(name).is_some() || is_unique(foreign);
                (is_list || is_manifest).then_some(Self::Metadata)
            }
            // Only folders of partitions: someone may keep another table below this one.
            ["data", partition @ ..] if partition.iter().all(|it| it.contains('=')) => {
                is_unique(name.strip_suffix(".parquet")).then_some(Self::Data)
            }
            _ => None,
        }
    }
}

/// The locations that versions of a table name.
#[derive(Debug, Default)]
pub(super) struct LiveNames {
    lists: HashSet<String>,
    manifests: HashSet<String>,
    /// Data files, and delete files of other engines.
    files: HashSet<String>,
    /// The last part of each of these locations.
    names: HashSet<String>,
}

impl LiveNames {
    /// Returns whether a file is named, there or under another form of its location: the names of
    /// Lakeward's files are unique.
    pub(super) fn contains(&self, location: &str) -> bool {
        self.names.contains(name_of(location))
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.lists.iter().chain(&self.manifests).chain(&self.files)
    }

    /// Adds what a head names.
    pub(super) async fn add_head(
        &mut self,
        table: &Table,
        head: &HeadVersion,
    ) -> Result<(), StoreError> {
        self.add(table, &head.metadata).await
    }

    /// Adds what an older version names; nothing if it has been removed meanwhile.
    pub(super) async fn add_version(
        &mut self,
        table: &Table,
        location: &str,
    ) -> Result<(), StoreError> {
        let text = table.files.read(location).await.map_err(StoreError::files("read", location))?;
        let Some(text) = text else { return Ok(()) };
        let metadata = serde_json::from_slice(&text).map_err(StoreError::damaged(location))?;
        self.add(table, &metadata).await
    }

    async fn add(&mut self, table: &Table, metadata: &TableMetadata) -> Result<(), StoreError> {
        let mut new: Vec<&Snapshot> = metadata
            .snapshots()
            .map(AsRef::as_ref)
            .filter(|it| !self.lists.contains(it.manifest_list()))
            .collect();
        // The library keeps them in no order; in this one a simulation can be repeated.
        new.sort_unstable_by_key(|it| it.sequence_number());
        for snapshots in new.chunks(READ_AT_ONCE) {
            let lists = try_join_all(snapshots.iter().map(|it| table.manifests.read_list(it)));
            for (snapshot, list) in snapshots.iter().zip(lists.await?) {
                self.add_manifests(table, &list).await?;
                self.lists.insert(snapshot.manifest_list().to_owned());
            }
        }
        self.names = self.all().map(|it| name_of(it).to_owned()).collect();
        Ok(())
    }

    async fn add_manifests(
        &mut self,
        table: &Table,
        list: &[ManifestFile],
    ) -> Result<(), StoreError> {
        let new: Vec<&ManifestFile> =
            list.iter().filter(|it| !self.manifests.contains(&it.manifest_path)).collect();
        for manifests in new.chunks(READ_AT_ONCE) {
            // Of one manifest at a time all entries are held, of the others the names.
            let names = manifests.iter().map(async |it| {
                let entries = table.manifests.all_entries(it).await?;
                Ok(entries.iter().map(|it| it.file_path().to_owned()).collect::<Vec<_>>())
            });
            for names in try_join_all(names).await? {
                self.files.extend(names);
            }
            self.manifests.extend(manifests.iter().map(|it| it.manifest_path.clone()));
        }
        Ok(())
    }

    /// Checks that a listing has every named file that lies in the table's folder. If one is missing, the
    /// listing is not whole.
    pub(super) fn check(&self, table: &Table, listed: &HashSet<&str>) -> Result<(), StoreError> {
        let folder = format!("{}/", table.location);
        // Another engine may keep files elsewhere.
        let here = self.all().filter(|it| it.starts_with(&folder));
        let mut missing = here.filter(|it| !listed.contains(it.as_str()));
        let Some(first) = missing.next() else { return Ok(()) };
        Err(StoreError::Table {
            table: table.name.clone(),
            problem: format!(
                "its newest version names {first}, which a listing of its folder does not show; \
                 nothing was removed. The lake may be a copy, or have another name, or the store \
                 lists late"
            ),
        })
    }
}

fn name_of(location: &str) -> &str {
    location.rsplit('/').next().unwrap_or(location)
}
