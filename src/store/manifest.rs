//! Manifests and manifest lists: the parts of a snapshot.
//!
//! The Iceberg crate writes and reads Avro in memory; [`Files`] alone makes bytes durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, Manifest, ManifestContentType, ManifestFile, ManifestList,
    ManifestListWriter, ManifestWriterBuilder, PartitionSpec, Schema, Snapshot,
};
use uuid::Uuid;

use crate::store::error::StoreError;
use crate::store::files::Files;

/// Sequence number of a manifest that is not in a list yet.
const UNASSIGNED: i64 = -1;
/// Number of parsed manifests that are kept; they never change once written.
const MAX_PARSED: usize = 2048;

/// The arrival times of a manifest's files, in its name, so that a commit opens few manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrivals {
    /// First arrival, ms since the epoch.
    pub from: i64,
    /// Last arrival, ms since the epoch.
    pub to: i64,
}

impl Arrivals {
    /// Makes a name: `m-<from>-<to>-<uuid>.avro`; without known arrivals `m-any-<uuid>.avro`.
    fn file_name(arrivals: Option<Self>) -> String {
        let unique = Uuid::new_v4();
        match arrivals {
            Some(Self { from, to }) if from >= 0 => format!("m-{from}-{to}-{unique}.avro"),
            _ => format!("m-any-{unique}.avro"),
        }
    }

    /// Returns the interval in a manifest's name; `None` means that it may hold any arrival.
    pub fn of_manifest(location: &str) -> Option<Self> {
        let name = location.rsplit('/').next()?.strip_prefix("m-")?;
        let (from, rest) = name.split_once('-')?;
        let (to, _) = rest.split_once('-')?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()? })
    }
}

/// Reads and writes the manifests of one table.
#[derive(Debug)]
pub struct Manifests {
    files: Arc<dyn Files>,
    /// `<table>/metadata`
    folder: String,
    parsed: Mutex<HashMap<String, Arc<Vec<DataFile>>>>,
    /// The last manifest list that was read or written, by location.
    list: Mutex<Option<(String, Vec<ManifestFile>)>>,
}

impl Manifests {
    /// Manifests of the table at `location`.
    pub fn new(files: Arc<dyn Files>, location: &str) -> Self {
        let folder = format!("{location}/metadata");
        Self { files, folder, parsed: Mutex::default(), list: Mutex::default() }
    }

    async fn bytes(&self, location: &str) -> Result<Bytes, StoreError> {
        let found = self.files.read(location).await;
        found.map_err(StoreError::files("read", location))?.ok_or_else(|| {
            StoreError::damaged(location)("the table refers to it, but it does not exist")
        })
    }

    /// Writes a manifest that adds `entries`, which belong to `spec`.
    pub async fn write(
        &self,
        snapshot_id: i64,
        schema: &Arc<Schema>,
        spec: &PartitionSpec,
        entries: &[DataFile],
        arrivals: Option<Arrivals>,
    ) -> Result<ManifestFile, StoreError> {
        let failed = StoreError::metadata("make a manifest");
        let location = format!("{}/{}", self.folder, Arrivals::file_name(arrivals));
        let memory = FileIO::new_with_memory();
        let output = memory.new_output(&location).map_err(&failed)?;
        let builder =
            ManifestWriterBuilder::new(output, Some(snapshot_id), Arc::clone(schema), spec.clone());
        let mut writer = builder.build_v2_data();
        for entry in entries {
            // Without a sequence number: it is inherited from the commit that wins.
            writer.add_file(entry.clone(), -1).map_err(&failed)?;
        }
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
        let bytes = self.bytes(location).await?;
        let list = ManifestList::parse_with_version(&bytes, FormatVersion::V2);
        let list = list.map_err(StoreError::damaged(location))?;
        let list: Vec<ManifestFile> = list.consume_entries().into_iter().collect();
        self.remember(location.to_owned(), list.clone());
        Ok(list)
    }

    fn kept(&self) -> MutexGuard<'_, Option<(String, Vec<ManifestFile>)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, location: String, list: Vec<ManifestFile>) {
        *self.kept() = Some((location, list));
    }

    /// Returns the live data files of a manifest; none for a manifest of delete files, which are
    /// not applied here.
    pub async fn live(&self, manifest: &ManifestFile) -> Result<Arc<Vec<DataFile>>, StoreError> {
        if manifest.content == ManifestContentType::Deletes {
            return Ok(Arc::default());
        }
        let location = &manifest.manifest_path;
        if let Some(files) = self.parsed().get(location) {
            return Ok(Arc::clone(files));
        }
        let bytes = self.bytes(location).await?;
        let parsed = Manifest::parse_avro(&bytes).map_err(StoreError::damaged(location))?;
        let alive = parsed.entries().iter().filter(|entry| entry.is_alive());
        let files = Arc::new(alive.map(|entry| entry.data_file().clone()).collect::<Vec<_>>());
        let mut kept = self.parsed();
        if kept.len() >= MAX_PARSED {
            kept.clear();
        }
        kept.insert(location.clone(), Arc::clone(&files));
        Ok(files)
    }

    fn parsed(&self) -> MutexGuard<'_, HashMap<String, Arc<Vec<DataFile>>>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
