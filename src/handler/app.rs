//! The parts of the function that are made once at start.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::secret::Keyring;
use crate::store::{Lake, StoreError};
use crate::table_name::TableName;

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
    tables: Mutex<BTreeSet<TableName>>,
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
    pub(super) fn tables(&self) -> MutexGuard<'_, BTreeSet<TableName>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
