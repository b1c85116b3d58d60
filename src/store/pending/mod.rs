//! Pending rows: rows that a writer has left to whoever commits next, because others were committing.
//!
//! They are durable, and will be in the table once: a commit takes them along into its own batch, where
//! they are looked for and judged like any others. An object goes only after each of its rows is in the
//! head, or in quarantine.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use crate::deadline::Deadline;
use crate::number::count;
use crate::store::clock::Clock;
use crate::store::error::StoreError;
use crate::store::files::{Creation, Files, ListedObject, Removal};
use crate::store::pending::gate::Gate;
use crate::store::pending::object::{ObjectName, PendingRow, UnreadableObject};
use crate::table_name::TableName;

pub mod bytes;
pub mod object;

pub mod gate;

/// The number of objects that are read at a time.
const READ_AT_ONCE: usize = 16;
/// The size of objects that are read at a time, unless one is larger: rows are some ten times as large.
const MAX_PACKED: u64 = 1024 * 1024;
/// The size of the rows, before compression, from which on a commit takes no more along.
const MAX_TAKEN: usize = 8 * 1024 * 1024;
/// The number of objects from which on no more are left: those who commit can't keep up.
const MAX_OBJECTS: usize = 1_000;
/// The age of an object from which on no more are left.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// The pending rows of a table.
#[derive(Debug)]
pub struct Pending {
    /// Decides whether this process leaves rows.
    pub gate: Gate,
    table: TableName,
    /// `<table>/metadata/pending`
    folder: String,
    files: Arc<dyn Files>,
    removal: Arc<dyn Removal>,
    clock: Clock,
    /// Objects that this process could not read.
    unreadable: Mutex<HashSet<String>>,
}

/// A listing of objects of pending rows, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Names and objects.
    pub objects: Vec<(ObjectName, ListedObject)>,
    /// True if there are more of them.
    is_cut: bool,
}

/// Rows of objects that a commit takes along.
#[derive(Debug, Default)]
pub struct TakenObjects {
    /// Each object, with its rows.
    pub objects: Vec<(String, Vec<PendingRow>)>,
    /// The number of those that can't be read.
    pub unreadable: u64,
}

impl Pending {
    /// The pending rows of the table at `location`.
    pub fn new(
        table: &TableName,
        location: &str,
        files: &Arc<dyn Files>,
        removal: &Arc<dyn Removal>,
        clock: &Clock,
    ) -> Self {
        Self {
            gate: Gate::new(clock.clone()),
            table: table.clone(),
            folder: format!("{location}/metadata/pending"),
            files: Arc::clone(files),
            removal: Arc::clone(removal),
            clock: clock.clone(),
            unreadable: Mutex::default(),
        }
    }

    /// Lists the objects, or as many as one request shows.
    pub async fn list(&self, all: bool) -> Result<Listing, StoreError> {
        let found = match all {
            true => self.removal.list_all(&self.folder).await,
            false => self.removal.list_first(&self.folder, MAX_OBJECTS).await,
        };
        let found = found.map_err(StoreError::files("list", &self.folder))?;
        let is_cut = !all && found.len() >= MAX_OBJECTS;
        let named = found.into_iter().filter_map(|it| {
            let name = it.location.strip_prefix(&self.folder)?.strip_prefix('/')?;
            Some((ObjectName::parse(name)?, it))
        });
        let mut objects: Vec<_> = named.collect();
        objects.sort_by(|(one, _), (other, _)| one.began.cmp(&other.began));
        Ok(Listing { objects, is_cut })
    }

    /// Returns true if those who commit can't keep up, so that no more rows may be left.
    pub fn is_full(&self, listing: &Listing) -> bool {
        listing.is_cut || listing.objects.iter().any(|(_, it)| self.is_old(it.modified))
    }

    /// Returns whether an object has waited for too long. One from the future has not.
    fn is_old(&self, modified: SystemTime) -> bool {
        self.clock.now().duration_since(modified).is_ok_and(|age| age > MAX_AGE)
    }

    /// Leaves rows under the names of a commit: they are durable after `Ok`, and nothing is known of them
    /// after an error.
    pub async fn leave(
        &self,
        began: i64,
        commit: &str,
        rows: &[PendingRow],
    ) -> Result<(), StoreError> {
        for (part, (rows, unpacked)) in object::pack(rows).into_iter().enumerate() {
            let name =
                ObjectName { began, commit: commit.to_owned(), part, rows: count(rows.len()) };
            let location = format!("{}/{name}", self.folder);
            let failed = || StoreError::files("write", &location);
            let (heading, bytes) = object::write(&self.table, rows, &unpacked).map_err(failed())?;
            // The name is this commit's own: what exists was written by an earlier try of this call. But
            // S3 may also say so of an object that is not there.
            let created = self.files.create(&location, bytes).await.map_err(failed())?;
            if created == Creation::Exists
                && !self.files.exists(&location).await.map_err(failed())?
            {
                let error = std::io::Error::other("the store says that it exists, and it does not");
                return Err(failed()(error));
            }
            let heading = serde_json::to_string(&heading).unwrap_or_default();
            tracing::info!(object = %location, heading, "left rows to the next commit");
        }
        Ok(())
    }

    /// Reads objects in this order, up to the limit of a commit, but at least one.
    pub async fn take(
        &self,
        objects: &[(ObjectName, ListedObject)],
        deadline: &Deadline,
    ) -> TakenObjects {
        let mut taken = TakenObjects::default();
        let mut bytes = 0;
        for some in self.groups(objects) {
            if bytes >= MAX_TAKEN || deadline.passed() {
                break;
            }
            let read = join_all(some.iter().map(|it| self.read(it))).await;
            for (location, read) in some.into_iter().zip(read) {
                match read {
                    Ok(Some((rows, size))) => {
                        bytes += size;
                        taken.objects.push((location.to_owned(), rows));
                    }
                    // Another commit has taken it.
                    Ok(None) => {}
                    Err(error) => {
                        taken.unreadable += 1;
                        tracing::warn!(object = %location, %error, "can't take pending rows along");
                    }
                }
            }
        }
        taken
    }

    /// Cuts a list of objects into those that are read together.
    fn groups<'o>(&self, objects: &'o [(ObjectName, ListedObject)]) -> Vec<Vec<&'o str>> {
        let mut groups: Vec<Vec<&str>> = Vec::new();
        let mut packed = 0;
        for (_, ListedObject { location, bytes, .. }) in objects {
            if self.is_unreadable(location) {
                continue;
            }
            packed += bytes;
            match groups.last_mut() {
                Some(group) if group.len() < READ_AT_ONCE && packed <= MAX_PACKED => {
                    group.push(location);
                }
                _ => {
                    groups.push(vec![location]);
                    packed = *bytes;
                }
            }
        }
        groups
    }

    /// Reads an object; `None` if it is gone.
    async fn read(&self, location: &str) -> Result<Option<(Vec<PendingRow>, usize)>, StoreError> {
        let found = self.files.read(location).await.map_err(StoreError::files("read", location))?;
        let Some(bytes) = found else { return Ok(None) };
        match object::read(&self.table, &bytes) {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
                unreadable.insert(location.to_owned());
                Err(match error {
                    UnreadableObject::Later => StoreError::Table {
                        table: self.table.clone(),
                        problem: format!("pending rows at {location}: {error}; update Lakeward"),
                    },
                    UnreadableObject::Damaged(problem) => StoreError::damaged(location)(problem),
                })
            }
        }
    }

    /// Returns whether this process could not read an object.
    pub fn is_unreadable(&self, location: &str) -> bool {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).contains(location)
    }

    /// Removes objects all of whose rows are durable elsewhere. What stays is found by the next commit,
    /// which finds its rows there.
    pub async fn remove(&self, locations: &[String]) {
        if locations.is_empty() {
            return;
        }
        if let Err(error) = self.removal.remove(locations).await {
            tracing::warn!(table = %self.table, %error, "can't remove objects of rows that landed");
        }
    }
}

#[cfg(test)]
mod tests;
