//! Pending rows: rows that a writer has left to whoever commits next, because others were committing.
//!
//! They are durable, and will be in the table once: a commit takes them along into its own batch, where
//! they are looked for and judged like any others. An object goes only after each of its rows is in the
//! head, or in quarantine.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::number::count;
use crate::store::clock::Clock;
use crate::store::error::StoreError;
use crate::store::files::{Creation, Files, ListedObject, Removal};
use crate::store::pause::pause;
use crate::store::pending::gate::Gate;
use crate::store::pending::object::{ObjectName, PendingRow, UnreadableObject};
use crate::table_name::TableName;

pub mod codec;
pub mod object;

pub mod gate;

/// The number of times that an object is sent.
const MAX_TRIES: u32 = 3;
/// The number of objects that are read at a time.
const READ_AT_ONCE: usize = 32;
/// The size of objects that are read at a time, unless one is larger: rows are some ten times as large.
const MAX_PACKED: u64 = 1024 * 1024;
/// The time after which a commit reads no more objects: others commit meanwhile.
const TAKE_FOR: Duration = Duration::from_millis(700);
/// The time that a commit waits for the removal of what it has taken along.
const REMOVE_FOR: Duration = Duration::from_secs(2);
/// The age of objects that writers look for.
const RECENT: Duration = Duration::from_secs(15 * 60);
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
    /// Objects all of whose rows are durable elsewhere, and that could not be removed.
    settled: Mutex<HashSet<String>>,
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
    /// About how much memory the rows take, in bytes.
    pub weight: usize,
    /// Objects that others have removed meanwhile.
    pub gone: Vec<String>,
    /// Objects that could not be read now, or never.
    pub failed: Vec<String>,
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
            settled: Mutex::default(),
        }
    }

    /// Lists all objects.
    pub async fn list(&self) -> Result<Listing, StoreError> {
        let found = self.removal.list_all(&self.folder).await;
        Ok(self.listing(found.map_err(StoreError::files("list", &self.folder))?, false))
    }

    /// Lists as many objects of the last minutes as one request shows. So the markers that a bucket with
    /// versions keeps of removed objects do not slow it down. Upkeep takes older ones, and so does the first
    /// look of each process: a lake may be without upkeep.
    pub async fn list_recent(&self) -> Result<Listing, StoreError> {
        let recent = i64::try_from(RECENT.as_millis()).unwrap_or(i64::MAX);
        let from = match self.gate.has_looked() {
            true => self.clock.millis().saturating_sub(recent),
            false => 0,
        };
        let after = format!("{}/{from}", self.folder);
        let found = self.removal.list_first(&self.folder, &after, MAX_OBJECTS).await;
        let found = found.map_err(StoreError::files("list", &self.folder))?;
        let is_cut = found.len() >= MAX_OBJECTS;
        Ok(self.listing(found, is_cut))
    }

    fn listing(&self, found: Vec<ListedObject>, is_cut: bool) -> Listing {
        let named = found.into_iter().filter_map(|it| {
            let name = it.location.strip_prefix(&self.folder)?.strip_prefix('/')?;
            // A local write that is under way has another name.
            let name = (!name.starts_with('.')).then(|| ObjectName::of(name))?;
            Some((name, it))
        });
        let mut objects: Vec<_> = named.collect();
        objects.sort_by_key(|(name, _)| name.began);
        Listing { objects, is_cut }
    }

    /// Returns true if those who commit can't keep up, so that no more rows may be left.
    pub fn is_full(&self, listing: &Listing) -> bool {
        let open = listing.objects.iter().filter(|(_, it)| !self.is_passed_by(&it.location));
        let (mut count, mut is_old) = (0, false);
        for (_, it) in open {
            count += 1;
            is_old |= self.is_old(it.modified);
        }
        is_old || (listing.is_cut && count > MAX_OBJECTS / 2)
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
            let made = object::write(&self.table, rows, &unpacked);
            let (heading, bytes) = made.map_err(StoreError::files("write", &location))?;
            self.create(&location, bytes).await?;
            let heading = serde_json::to_string(&heading).unwrap_or_default();
            tracing::info!(object = %location, heading, "left rows to the next commit");
        }
        Ok(())
    }

    /// Writes an object. Its name is this commit's own, so that it may be sent again after an error.
    async fn create(&self, location: &str, bytes: Bytes) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.files.create(location, bytes.clone()).await {
                Ok(Creation::Done) => return Ok(()),
                // S3 may also say so of an object that is not there.
                Ok(Creation::Exists) => match self.files.exists(location).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => io::Error::other("the store says that it exists, and it does not"),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if tries >= MAX_TRIES {
                return Err(StoreError::files("write", location)(error));
            }
            pause(tries).await;
        }
    }

    /// Reads objects in this order, up to the limits of a commit, but at least one.
    pub async fn take(
        &self,
        objects: &[(ObjectName, ListedObject)],
        deadline: &Deadline,
    ) -> TakenObjects {
        let mut taken = TakenObjects::default();
        let (max_taken, began) = (self.gate.max_taken(), Instant::now());
        for some in self.groups(objects) {
            if taken.weight >= max_taken || began.elapsed() > TAKE_FOR || deadline.passed() {
                break;
            }
            let read = join_all(some.iter().map(|it| self.files.read(it))).await;
            for (location, read) in some.into_iter().zip(read) {
                // One by one: together they may take many times their size.
                if taken.weight >= max_taken {
                    break;
                }
                let location = location.to_owned();
                match read.map_err(StoreError::files("read", &location)) {
                    Ok(None) => taken.gone.push(location),
                    Ok(Some(bytes)) => match self.rows(&location, &bytes) {
                        Ok((rows, size)) => {
                            taken.weight += size;
                            taken.objects.push((location, rows));
                        }
                        Err(error) => {
                            tracing::error!(object = %location, %error, "can't read pending rows");
                            taken.failed.push(location);
                        }
                    },
                    Err(error) => {
                        tracing::warn!(object = %location, %error, "can't take pending rows along");
                        taken.failed.push(location);
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
            if self.is_passed_by(location) {
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

    /// Returns the rows of an object, and about how much memory they take.
    fn rows(&self, location: &str, bytes: &[u8]) -> Result<(Vec<PendingRow>, usize), StoreError> {
        object::read(&self.table, bytes).map_err(|error| {
            let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
            unreadable.insert(location.to_owned());
            match error {
                UnreadableObject::Later => StoreError::Table {
                    table: self.table.clone(),
                    problem: format!("pending rows at {location}: {error}; update Lakeward"),
                },
                UnreadableObject::Damaged(problem) => StoreError::damaged(location)(problem),
            }
        })
    }

    /// Returns whether this process could not read an object.
    pub fn is_unreadable(&self, location: &str) -> bool {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).contains(location)
    }

    /// Returns whether an object is of no use to this process: it can't be read, or is done with.
    fn is_passed_by(&self, location: &str) -> bool {
        let settled = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_unreadable(location) || settled().contains(location)
    }

    /// Removes objects all of whose rows are durable elsewhere. What can't be removed now is found by
    /// another process, which finds its rows there.
    pub async fn remove(&self, locations: &[String]) {
        if locations.is_empty() {
            return;
        }
        let removed = tokio::time::timeout(REMOVE_FOR, self.removal.remove(locations)).await;
        let error = match removed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the store takes too long".to_owned(),
        };
        tracing::warn!(table = %self.table, error, "can't remove objects of rows that landed");
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.extend(locations.iter().cloned());
    }
}

#[cfg(test)]
mod tests;
