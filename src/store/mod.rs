//! The lake: Iceberg tables that hold each record once.
//!
//! [`Lake::land`] is the promise: when it returns `Ok`, every row is durable in its table, once.
//! An error means that nothing is known, and that offering the rows again is harmless.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::deadline::Deadline;
use crate::name::TableName;
use crate::record::{Reject, Row};
use crate::store::clock::Clock;
use crate::store::commit::Commit;
use crate::store::files::Files;
use crate::store::head::versions::VersionFiles;
use crate::store::manifest::Manifests;
use crate::store::table::Table;
use crate::table::layout::{Policy, Spread};
use crate::table::lineage;

pub use crate::store::error::StoreError;
pub use crate::store::look::{DescribedColumn, Description, ReadRows};
pub use crate::store::writer::Writer;

pub mod batch;
pub mod bounds;
pub mod candidates;
pub mod clock;
pub mod commit;
pub mod data;
pub mod encode;
pub mod error;
pub mod files;
pub mod head;
pub mod look;
pub mod manifest;
pub mod read;
pub mod schema;
pub mod table;
pub mod trim;
pub mod writer;

/// Where the lake is and how its commits are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Directory of the lake (`./lake`).
    pub location: String,
    /// SHA-256 of the config, hex; goes into snapshot summaries.
    pub config_hash: String,
}

/// A lake.
#[derive(Debug)]
pub struct Lake {
    location: String,
    config_hash: String,
    files: Arc<dyn Files>,
    clock: Clock,
    writer: Writer,
    /// Tables keep what they have seen: heads to start from and manifests, which never change.
    tables: Mutex<HashMap<TableName, Arc<Table>>>,
}

/// What became of a batch that is durable now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landed {
    /// Rows that this batch added.
    pub landed: u64,
    /// Rows that the table, or an earlier row of the batch, already held.
    pub duplicates: u64,
    /// Data files added.
    pub files: u64,
    /// Bytes of the data files added.
    pub bytes: u64,
    /// Data files whose ids were read to find duplicates.
    pub files_read: u64,
    /// The commit that added the rows, unless there was nothing to add.
    pub commit: Option<Committed>,
    /// How often the rows were offered to the head.
    pub attempts: u64,
    /// How often another commit came first.
    pub conflicts: u64,
    /// Places of the added rows in the batch as it was offered.
    pub places: Vec<usize>,
    /// Names of columns added.
    pub new_columns: Vec<String>,
    /// Landed rows with something in `_lw_extra`.
    pub extra: u64,
    /// Rows that the table does not take, by their place in the batch, and why: their records are
    /// rejects.
    pub refused: Vec<(usize, Reject)>,
    /// By the name of a field's own column: where the values of landed rows went.
    pub spread: BTreeMap<String, Spread>,
}

/// What names a commit, in the table as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The commit id in the snapshot's summary.
    pub id: String,
    /// The snapshot.
    pub snapshot: i64,
}

impl Lake {
    /// Opens the lake of a local directory or of S3; nothing is created until a row lands.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let (files, location) =
            files::at(&settings.location).map_err(StoreError::files("open", &settings.location))?;
        Ok(Self::with(files, location, settings.config_hash, Clock::system()))
    }

    /// A lake on other files, by another clock.
    pub fn with(
        files: Arc<dyn Files>,
        location: String,
        config_hash: String,
        clock: Clock,
    ) -> Self {
        let writer = Writer::this();
        Self { location, config_hash, files, clock, writer, tables: Mutex::default() }
    }

    /// The same lake, written to by another release; for tests of what two of them do to a table.
    #[must_use]
    pub fn written_by(self, writer: Writer) -> Self {
        Self { writer, tables: Mutex::default(), ..self }
    }

    /// Where the lake is, `file://…`.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Makes `rows` durable in `table`, each once, creating and widening the table as needed.
    pub async fn land(
        &self,
        table: &TableName,
        policy: &Policy,
        rows: Vec<Row>,
        deadline: &Deadline,
    ) -> Result<Landed, StoreError> {
        let table = self.table(table);
        Commit::new(&table, policy, rows).run(deadline).await
    }

    fn table(&self, name: &TableName) -> Arc<Table> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(name.clone()).or_insert_with(|| Arc::new(self.open_table(name))))
    }

    fn open_table(&self, name: &TableName) -> Table {
        let location = format!("{}/{}/{}", self.location, name.namespace(), name.table());
        Table {
            name: name.clone(),
            lineage: if name.is_own() { &lineage::QUARANTINE } else { &lineage::RECORD },
            head: Box::new(VersionFiles::new(
                Arc::clone(&self.files),
                self.clock.clone(),
                &location,
            )),
            manifests: Manifests::new(Arc::clone(&self.files), &location),
            files: Arc::clone(&self.files),
            clock: self.clock.clone(),
            writer: self.writer.clone(),
            config_hash: self.config_hash.clone(),
            location,
        }
    }
}
