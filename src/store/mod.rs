//! The lake: Iceberg tables that hold each record once.
//!
//! [`Lake::land`] is the promise: when it returns `Ok`, every row is durable in its table, once.
//! After an error nothing is known about the rows, and offering them again is harmless.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::deadline::Deadline;
use crate::record::Row;
use crate::store::clock::Clock;
use crate::store::commit::Commit;
use crate::store::files::{Files, Place, Removal};
use crate::store::head::versions::VersionFiles;
use crate::store::id_filter::IdFilters;
use crate::store::manifest::Manifests;
use crate::store::pending::Pending;
use crate::store::table::Table;
use crate::table::layout::Policy;
use crate::table::lineage;
use crate::table_name::TableName;

pub use crate::store::clean::CleanReport;
pub use crate::store::compact::UnitReport;
pub use crate::store::error::StoreError;
pub use crate::store::inspect::{DescribedColumn, Description, Origin, ReadRows};
pub use crate::store::land_report::{LandReport, TakenReport};
pub use crate::store::offer::{Leaving, Offer, Originals};
pub use crate::store::proposal::CommitId;
pub use crate::store::release::Release;
pub use crate::store::retention::Retention;
pub use crate::store::sweep::{PendingState, Sweep, SweepReport};
pub use crate::store::upkeep::UpkeepReport;

pub mod clock;
pub mod error;
pub mod files;
pub mod pause;
pub mod release;
pub mod retention;

pub mod arrivals;
pub mod head;
pub mod live_file;
pub mod partial_file;

pub mod pending;

pub mod id_filter;
pub mod manifest;

pub mod table;

pub mod schema;
pub mod trim;

pub mod bounds;
pub mod candidates;
pub mod encode;

pub mod data_file;

pub mod verdict;

pub mod batch;
pub mod data;
pub mod read;

pub mod look;

pub mod merge;
pub mod proposal;

pub mod land_report;

pub mod agreement;
pub mod company;
pub mod draft;
pub mod offer;

pub mod clean;
pub mod commit;
pub mod compact;
pub mod inspect;
pub mod sweep;
pub mod upkeep;

/// The location of a lake and the config of its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its directory (`./lake`), or a location of S3.
    pub location: String,
    /// SHA-256 of the config, hex; written to snapshot summaries.
    pub config_hash: String,
    /// The time for which its tables keep what they no longer need.
    pub retention: Retention,
}

/// A lake.
#[derive(Debug)]
pub struct Lake {
    location: String,
    config_hash: String,
    files: Arc<dyn Files>,
    clock: Clock,
    release: Release,
    retention: Retention,
    /// The removal of files, for upkeep and for pending rows.
    removal: Option<Arc<dyn Removal>>,
    /// Whether rows may be left to other commits.
    may_leave: bool,
    /// Tables cache heads to start from, and manifests, which never change.
    tables: Mutex<HashMap<TableName, Arc<Table>>>,
}

impl Lake {
    /// Opens the lake of a local directory or of S3. Nothing is created until a row lands.
    pub fn open(settings: Settings) -> Result<Self, StoreError> {
        let place = files::at(&settings.location);
        let Place { files, removal, location } =
            place.map_err(StoreError::files("open", &settings.location))?;
        let lake = Self::with(files, location, settings.config_hash, Clock::system());
        Ok(lake.keeping(settings.retention).removing(removal))
    }

    /// A lake on other files, with another clock.
    pub fn with(
        files: Arc<dyn Files>,
        location: String,
        config_hash: String,
        clock: Clock,
    ) -> Self {
        let release = Release::current();
        let (retention, tables) = (Retention::default(), Mutex::default());
        let (removal, may_leave) = (None, true);
        Self { location, config_hash, files, clock, release, retention, removal, may_leave, tables }
    }

    /// The same lake, whose tables keep for this time what they no longer need.
    #[must_use]
    pub fn keeping(self, retention: Retention) -> Self {
        Self { retention, tables: Mutex::default(), ..self }
    }

    /// The same lake, which may remove files: those that upkeep cleans away, and those of pending rows.
    #[must_use]
    pub fn removing(self, removal: Arc<dyn Removal>) -> Self {
        Self { removal: Some(removal), tables: Mutex::default(), ..self }
    }

    /// The same lake, where each row is in its table when it has landed, however long that takes.
    #[must_use]
    pub fn never_leaving(self) -> Self {
        Self { may_leave: false, tables: Mutex::default(), ..self }
    }

    /// The same lake, written to by another release; for tests of two releases on one table.
    #[must_use]
    pub fn written_by(self, release: Release) -> Self {
        Self { release, tables: Mutex::default(), ..self }
    }

    /// Its location, `file://…`.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Makes `rows` durable in `table`, each once. Creates and widens the table as needed.
    pub async fn land(
        &self,
        table: &TableName,
        policy: &Policy,
        rows: Vec<Row>,
        deadline: &Deadline,
    ) -> Result<LandReport, StoreError> {
        let offer = Offer { rows, leaving: Leaving::Never, ..Offer::default() };
        self.offer(table, policy, offer, deadline).await
    }

    /// Makes the rows of an offer durable in `table`, each once, or leaves them to others who commit.
    pub async fn offer(
        &self,
        table: &TableName,
        policy: &Policy,
        offer: Offer<'_>,
        deadline: &Deadline,
    ) -> Result<LandReport, StoreError> {
        let table = self.table(table);
        let Offer { originals, leaving, .. } = offer;
        let (mut sum, mut rest) = Commit::new(&table, policy, offer).run(deadline).await?;
        while !rest.is_empty() {
            let (indexes, rows): (Vec<usize>, Vec<Row>) = rest.into_iter().unzip();
            let original = |it: usize| originals?(*indexes.get(it)?);
            let originals: Option<Originals<'_>> = originals.is_some().then_some(&original);
            let offer = Offer { rows, originals, leaving };
            let (report, next) = Commit::new(&table, policy, offer).run(deadline).await?;
            sum.add(report.of_part(&indexes));
            let index = |(it, row)| Some((*indexes.get::<usize>(it)?, row));
            rest = next.into_iter().filter_map(index).collect();
        }
        Ok(sum)
    }

    /// Begins a sweep of the pending rows that a table has now.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn begin_sweep(&self, table: &TableName) -> Result<Sweep, StoreError> {
        Sweep::begin(self.table(table)).await
    }

    /// Returns the pending rows of a table.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn pending(&self, table: &TableName) -> Result<PendingState, StoreError> {
        sweep::state(&self.table(table)).await
    }

    /// Removes objects of pending rows, all of which are in the table or in quarantine.
    pub async fn settle(&self, table: &TableName, objects: &[String]) {
        if let Some(pending) = &self.table(table).pending {
            pending.remove(objects).await;
        }
    }

    /// Lists all tables, sorted. Folders that are not tables are skipped.
    pub async fn tables(&self) -> Result<Vec<TableName>, StoreError> {
        inspect::tables(&*self.files, &self.location).await
    }

    /// Lists the namespaces, in any order.
    pub async fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        inspect::folders(&*self.files, &self.location).await
    }

    /// Lists the tables of a namespace by their folders, in any order. Folders that only look like
    /// tables are among them: unlike [`Lake::tables`], it lists no folder of a table.
    pub async fn names(&self, namespace: &str) -> Result<Vec<TableName>, StoreError> {
        inspect::names(&*self.files, &self.location, namespace).await
    }

    /// Returns whether a table exists.
    pub async fn exists(&self, table: &TableName) -> Result<bool, StoreError> {
        self.table(table).head.exists().await
    }

    /// Describes a table; `None` where it does not exist.
    pub async fn describe(&self, table: &TableName) -> Result<Option<Description>, StoreError> {
        inspect::describe(&self.table(table)).await
    }

    /// Returns the size of all metadata of a table in bytes; 0 if this lake can't list it.
    ///
    /// # Errors
    /// If listing fails.
    pub async fn metadata_bytes(&self, table: &TableName) -> Result<u64, StoreError> {
        match &self.removal {
            Some(removal) => inspect::metadata_bytes(&self.table(table), &**removal).await,
            None => Ok(0),
        }
    }

    /// Reads every row of a table into memory, the newest first. `None` if the table does not exist.
    ///
    /// # Errors
    /// If the table can't be read.
    pub async fn all_rows(&self, name: &TableName) -> Result<Option<ReadRows>, StoreError> {
        self.newest(name, usize::MAX).await
    }

    /// Reads the newest `limit` rows by arrival, then position; newest first. `None` where the
    /// table does not exist. Files that can't hold one of them are not read.
    pub async fn newest(
        &self,
        table: &TableName,
        limit: usize,
    ) -> Result<Option<ReadRows>, StoreError> {
        inspect::newest(&self.table(table), limit).await
    }

    /// Counts the rows of a table by source, shard and day of arrival (UTC). Files whose rows are
    /// all older than the day `since` are not read. `None` where the table does not exist.
    pub async fn origins(
        &self,
        table: &TableName,
        since: Option<i32>,
    ) -> Result<Option<BTreeMap<Origin, u64>>, StoreError> {
        inspect::origins(&self.table(table), since).await
    }

    /// Does the upkeep of tables for as long as there is time, and returns what it did to each. `each` hears
    /// of every finished unit of work, by the index of its table.
    pub async fn upkeep(
        &self,
        names: &[TableName],
        deadline: &Deadline,
        each: impl FnMut(usize, &UnitReport),
    ) -> Vec<UpkeepReport> {
        let tables: Vec<Arc<Table>> = names.iter().map(|it| self.table(it)).collect();
        let tables: Vec<&Table> = tables.iter().map(AsRef::as_ref).collect();
        upkeep::upkeep(&tables, self.removal.as_deref(), deadline, each).await
    }

    /// Returns what upkeep would do to a table now.
    ///
    /// # Errors
    /// If the table can't be read.
    pub async fn plan_upkeep(&self, name: &TableName) -> Result<UpkeepReport, StoreError> {
        upkeep::plan(&self.table(name), self.removal.as_deref()).await
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
            release: self.release.clone(),
            config_hash: self.config_hash.clone(),
            retention: self.retention,
            id_filters: IdFilters::default(),
            pending: self
                .removal
                .as_ref()
                .map(|removal| Pending::new(name, &location, &self.files, removal, &self.clock)),
            may_leave: self.may_leave,
            location,
        }
    }
}
