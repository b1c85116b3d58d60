//! Manifests and manifest lists: the parts of a snapshot.
//!
//! The Iceberg crate writes and reads Avro in memory; [`Files`] alone makes bytes durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use iceberg::ErrorKind;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestEntry, ManifestFile, ManifestList,
    ManifestListWriter, ManifestWriter, ManifestWriterBuilder, PartitionSpec, Schema, Snapshot,
};
use uuid::Uuid;

use crate::store::arrivals::Arrivals;
use crate::store::error::StoreError;
use crate::store::files::Files;
use crate::store::live_file::{LiveFile, SearchColumns};

/// Sequence number of a manifest that is not in a list yet.
const UNASSIGNED: i64 = -1;
/// The largest number of files that are kept of manifests, which never change once written: some 5 MB.
const MAX_KEPT_FILES: usize = 8_192;

/// The live files of manifests that were read.
#[derive(Debug, Default)]
struct ReadManifests {
    /// The columns whose bounds the files have.
    columns: SearchColumns,
    by_location: HashMap<String, Arc<Vec<LiveFile>>>,
    files: usize,
}

/// A file that takes the place of others.
#[derive(Debug)]
pub struct Replacement<'a> {
    /// The file.
    pub added: &'a DataFile,
    /// Its data sequence number.
    pub sequence: i64,
    /// The entries of the files whose place it takes.
    pub removed: Vec<ManifestEntry>,
}

/// Reads and writes the manifests of one table.
#[derive(Debug)]
pub struct Manifests {
    files: Arc<dyn Files>,
    /// `<table>/metadata`
    folder: String,
    read: Mutex<ReadManifests>,
    /// The last manifest list that was read or written, by location.
    list: Mutex<Option<(String, Vec<ManifestFile>)>>,
}

impl Manifests {
    /// Manifests of the table at `location`.
    pub fn new(files: Arc<dyn Files>, location: &str) -> Self {
        let folder = format!("{location}/metadata");
        Self { files, folder, read: Mutex::default(), list: Mutex::default() }
    }

    async fn bytes(&self, location: &str) -> Result<Bytes, StoreError> {
        let found = self.files.read(location).await;
        found.map_err(StoreError::files("read", location))?.ok_or_else(|| {
            StoreError::damaged(location)("the table refers to it, but it does not exist")
        })
    }

    /// Writes a manifest that adds `files`, which belong to `spec`.
    pub async fn write(
        &self,
        snapshot_id: i64,
        schema: &Arc<Schema>,
        spec: &PartitionSpec,
        files: &[DataFile],
        arrivals: Arrivals,
    ) -> Result<ManifestFile, StoreError> {
        let add = |writer: &mut ManifestWriter| {
            files.iter().try_for_each(|file| {
                // Without a sequence number: it is inherited from the commit that wins.
                writer.add_file(file.clone(), UNASSIGNED)
            })
        };
        self.write_with(snapshot_id, schema, spec, Some(arrivals), add).await
    }

    /// Writes a manifest of `entries` of other manifests, which belong to `spec`. Each keeps its snapshot
    /// and its sequence numbers, so that deletes apply to the same files as before. Without `arrivals` its
    /// name is that of a manifest of another engine, whose bounds are trusted less.
    pub async fn rewrite(
        &self,
        snapshot_id: i64,
        schema: &Arc<Schema>,
        spec: &PartitionSpec,
        entries: Vec<ManifestEntry>,
        arrivals: Option<Arrivals>,
    ) -> Result<ManifestFile, StoreError> {
        let add = |writer: &mut ManifestWriter| {
            entries.into_iter().try_for_each(|entry| {
                let ManifestEntry { snapshot_id, sequence_number, file_sequence_number, .. } =
                    entry;
                let (Some(snapshot), Some(sequence)) = (snapshot_id, sequence_number) else {
                    let what = "an entry has no snapshot or no sequence number";
                    return Err(iceberg::Error::new(ErrorKind::DataInvalid, what));
                };
                writer.add_existing_file(entry.data_file, snapshot, sequence, file_sequence_number)
            })
        };
        self.write_with(snapshot_id, schema, spec, arrivals, add).await
    }

    /// Writes a manifest that adds a file, with the sequence number that it is given, and removes those of
    /// whose rows it is made.
    pub async fn write_replacement(
        &self,
        snapshot_id: i64,
        schema: &Arc<Schema>,
        spec: &PartitionSpec,
        replacement: Replacement<'_>,
        arrivals: Arrivals,
    ) -> Result<ManifestFile, StoreError> {
        let Replacement { added, sequence, removed } = replacement;
        let add = |writer: &mut ManifestWriter| {
            writer.add_file(added.clone(), sequence)?;
            removed.into_iter().try_for_each(|entry| {
                let number = entry.sequence_number.unwrap_or_default();
                writer.add_delete_file(entry.data_file, number, entry.file_sequence_number)
            })
        };
        self.write_with(snapshot_id, schema, spec, Some(arrivals), add).await
    }

    async fn write_with(
        &self,
        snapshot_id: i64,
        schema: &Arc<Schema>,
        spec: &PartitionSpec,
        arrivals: Option<Arrivals>,
        add: impl FnOnce(&mut ManifestWriter) -> iceberg::Result<()>,
    ) -> Result<ManifestFile, StoreError> {
        let failed = StoreError::metadata("make a manifest");
        let name = arrivals.map_or_else(Arrivals::foreign_name, Arrivals::file_name);
        let location = format!("{}/{name}", self.folder);
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&location).map_err(&failed)?;
        let builder =
            ManifestWriterBuilder::new(output, Some(snapshot_id), Arc::clone(schema), spec.clone());
        let mut writer = builder.build_v2_data();
        add(&mut writer).map_err(&failed)?;
        let manifest = writer.write_manifest_file().await.map_err(&failed)?;
        self.publish(&memory, &location).await?;
        Ok(manifest)
    }

    /// Writes the manifest list of a new snapshot and returns its location.
    pub async fn write_list(
        &self,
        snapshot_id: i64,
        parent: Option<i64>,
        sequence_number: i64,
        manifests: Vec<ManifestFile>,
    ) -> Result<String, StoreError> {
        let failed = StoreError::metadata("make a manifest list");
        let location = format!("{}/snap-{snapshot_id}-{}.avro", self.folder, Uuid::new_v4());
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&location).map_err(&failed)?;
        let writer = output.writer().await.map_err(&failed)?;
        let mut writer = ManifestListWriter::v2(writer, snapshot_id, parent, sequence_number);
        writer.add_manifests(manifests.iter().cloned()).map_err(&failed)?;
        writer.close().await.map_err(&failed)?;
        self.publish(&memory, &location).await?;
        // As a reader finds it: the writer has numbered the manifests that are new.
        let numbered = manifests.into_iter().map(|mut manifest| {
            for number in [&mut manifest.sequence_number, &mut manifest.min_sequence_number] {
                if *number == UNASSIGNED {
                    *number = sequence_number;
                }
            }
            manifest
        });
        self.remember(location.clone(), numbered.collect());
        Ok(location)
    }

    async fn publish(&self, memory: &FileIO, location: &str) -> Result<(), StoreError> {
        let failed = StoreError::metadata("encode a manifest");
        let input = memory.new_input(location).map_err(&failed)?;
        let bytes = input.read().await.map_err(&failed)?;
        self.files.write(location, bytes).await.map_err(StoreError::files("write", location))
    }

    /// Returns the manifests of a snapshot.
    pub async fn list(&self, snapshot: &Snapshot) -> Result<Vec<ManifestFile>, StoreError> {
        let location = snapshot.manifest_list();
        if let Some((kept, list)) = &*self.kept()
            && kept == location
        {
            return Ok(list.clone());
        }
        let list = self.read_list(snapshot).await?;
        self.remember(location.to_owned(), list.clone());
        Ok(list)
    }

    /// Reads the manifests of a snapshot, and keeps nothing.
    pub async fn read_list(&self, snapshot: &Snapshot) -> Result<Vec<ManifestFile>, StoreError> {
        let location = snapshot.manifest_list();
        let bytes = self.bytes(location).await?;
        let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2);
        let list = list.map_err(StoreError::damaged(location))?;
        Ok(list.consume_entries().into_iter().collect())
    }

    fn kept(&self) -> MutexGuard<'_, Option<(String, Vec<ManifestFile>)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, location: String, list: Vec<ManifestFile>) {
        *self.kept() = Some((location, list));
    }

    /// Returns the live entries of a manifest, with the numbers that they inherit from the list; none for
    /// a manifest of delete files, which are not applied here.
    pub async fn entries(&self, manifest: &ManifestFile) -> Result<Vec<ManifestEntry>, StoreError> {
        match manifest.content {
            ManifestContentType::Data => self.all_entries(manifest).await,
            ManifestContentType::Deletes => Ok(Vec::new()),
        }
    }

    /// Returns the live entries of a manifest of delete files.
    pub async fn delete_entries(
        &self,
        manifest: &ManifestFile,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        match manifest.content {
            ManifestContentType::Data => Ok(Vec::new()),
            ManifestContentType::Deletes => self.all_entries(manifest).await,
        }
    }

    /// Returns the live entries of a manifest of data or delete files.
    pub async fn all_entries(
        &self,
        manifest: &ManifestFile,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let location = &manifest.manifest_path;
        let bytes = self.bytes(location).await?;
        // The library lets entries inherit only where it reads the file itself.
        let failed = StoreError::metadata("read a manifest");
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(location).map_err(&failed)?;
        output.write(bytes).await.map_err(&failed)?;
        let parsed =
            manifest.load_manifest(&memory).await.map_err(StoreError::damaged(location))?;
        let (entries, _) = parsed.into_parts();
        Ok(entries.into_iter().map(Arc::unwrap_or_clone).filter(ManifestEntry::is_alive).collect())
    }

    /// Returns the live files of a manifest, as far as a search needs them.
    pub async fn live_files(
        &self,
        manifest: &ManifestFile,
        schema: &Schema,
    ) -> Result<Arc<Vec<LiveFile>>, StoreError> {
        let (location, columns) = (&manifest.manifest_path, SearchColumns::of(schema));
        if let Some(files) = self.kept_of(location, columns) {
            return Ok(files);
        }
        let entries = self.entries(manifest).await?;
        let files = entries.iter().map(|it| LiveFile::new(it.data_file(), columns));
        let files = Arc::new(files.collect::<Vec<_>>());
        let mut read = self.read();
        if read.columns != columns || read.files + files.len() > MAX_KEPT_FILES {
            *read = ReadManifests { columns, ..ReadManifests::default() };
        }
        read.files += files.len();
        read.by_location.insert(location.clone(), Arc::clone(&files));
        Ok(files)
    }

    fn kept_of(&self, location: &str, columns: SearchColumns) -> Option<Arc<Vec<LiveFile>>> {
        let read = self.read();
        read.by_location.get(location).filter(|_| read.columns == columns).map(Arc::clone)
    }

    fn read(&self) -> MutexGuard<'_, ReadManifests> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
