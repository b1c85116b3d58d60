//! The parts of the function that are made once at start.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;
use crate::route::Template;
use crate::secret::Keyring;
use crate::store::{Lake, StoreError};
use crate::table_name::TableName;

/// The time for which a list of a template's tables counts. A table that another copy of the function
/// adds is looked for again before a record is rejected.
const MAX_LIST_AGE: Duration = Duration::from_secs(60);

/// The checked config, its lakes, and caches for invocations.
#[derive(Debug)]
pub struct App {
    /// The checked config.
    pub config: Config,
    /// The lake of its tables.
    pub lake: Lake,
    /// The lake of its quarantine, if that is another one.
    pub quarantine: Option<Lake>,
    /// The keys that routes hash with.
    pub(super) keyring: Keyring,
    tables: Mutex<KnownTables>,
}

/// The tables that are known to exist, and when those of each placeholder were listed.
#[derive(Debug, Default)]
pub(super) struct KnownTables {
    tables: BTreeSet<TableName>,
    /// By the template's text.
    listed: HashMap<String, Instant>,
}

impl KnownTables {
    /// Returns all of them.
    pub(super) fn all(&self) -> &BTreeSet<TableName> {
        &self.tables
    }

    /// Adds a table that has landed rows.
    pub(super) fn add(&mut self, table: TableName) {
        self.tables.insert(table);
    }

    /// Returns true if the tables of a template were listed a short time ago.
    pub(super) fn is_listed(&self, template: &Template) -> bool {
        self.listed.get(template.as_str()).is_some_and(|it| it.elapsed() < MAX_LIST_AGE)
    }

    /// Takes in a list of all tables of a template.
    pub(super) fn add_list(&mut self, template: &Template, found: Vec<TableName>) {
        self.tables.retain(|it| !template.makes(it));
        self.tables.extend(found);
        self.listed.insert(template.as_str().to_owned(), Instant::now());
    }
}

impl App {
    /// Opens a config on the lakes that it names. Nothing is created or fetched yet.
    ///
    /// # Errors
    /// If the location of a lake is invalid.
    pub fn open(config: Config) -> Result<Self, StoreError> {
        let lake = Lake::open(config.lake.clone())?;
        let quarantine = config.quarantine.lake.clone().map(Lake::open).transpose()?;
        Ok(Self::on(config, lake, quarantine))
    }

    /// Opens a config on other lakes than it names.
    pub fn on(config: Config, lake: Lake, quarantine: Option<Lake>) -> Self {
        Self { config, lake, quarantine, keyring: Keyring::default(), tables: Mutex::default() }
    }

    /// Returns the lake of a table.
    pub fn lake_of(&self, table: &TableName) -> &Lake {
        let own = self.quarantine.as_ref().filter(|_| table.is_own());
        own.unwrap_or(&self.lake)
    }

    /// Returns the tables that are known to exist; a placeholder counts those that it fills.
    pub(super) fn tables(&self) -> MutexGuard<'_, KnownTables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
