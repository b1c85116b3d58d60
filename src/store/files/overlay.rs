//! A lake that pretends to be written to: its new files stay in memory, and what it removes stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::digest::sha256_hex;
use crate::store::files::{Call, Creation, Files, ListedObject, Place, Removal, TaggedObject};

/// Files in memory over other files: reads fall through, writes do not. The real commit runs on it,
/// so a dry run does exactly what a run would do.
#[derive(Debug)]
pub struct Overlay {
    under: Arc<dyn Files>,
    removal: Arc<dyn Removal>,
    written: Mutex<BTreeMap<String, Bytes>>,
    removed: Mutex<BTreeSet<String>>,
}

impl Overlay {
    /// An overlay over a place, which never changes.
    pub fn over(under: &Place) -> Self {
        let (files, removal) = (Arc::clone(&under.files), Arc::clone(&under.removal));
        Self { under: files, removal, written: Mutex::default(), removed: Mutex::default() }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, location: &str) -> Option<Bytes> {
        self.written().get(location).cloned()
    }

    fn is_removed(&self, location: &str) -> bool {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).contains(location)
    }

    fn put(&self, location: &str, bytes: Bytes) {
        self.written().insert(location.to_owned(), bytes);
    }
}

impl Files for Overlay {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            match self.own(location) {
                Some(bytes) => Ok(Some(bytes)),
                None if self.is_removed(location) => Ok(None),
                None => self.under.read(location).await,
            }
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            let is_under = !self.is_removed(location) && self.under.exists(location).await?;
            Ok(is_under || self.own(location).is_some())
        })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            self.put(location, bytes);
            Ok(())
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            if self.exists(location).await? {
                return Ok(Creation::Exists);
            }
            self.put(location, bytes);
            Ok(Creation::Done)
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            let bytes = self.read(location).await?;
            Ok(bytes.map(|bytes| TaggedObject { tag: sha256_hex(&bytes), bytes }))
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            let there = self.read_tagged(location).await?;
            let unchanged = there.as_ref().map(|it| it.tag.as_str()) == expected;
            if unchanged {
                self.put(location, bytes);
            }
            Ok(unchanged)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let mut names: BTreeSet<String> = self.under.list(folder).await?.into_iter().collect();
            let prefix = format!("{}/", folder.trim_end_matches('/'));
            for location in self.written().keys() {
                let rest = location.strip_prefix(&prefix).and_then(|it| it.split('/').next());
                names.extend(rest.map(str::to_owned));
            }
            Ok(names.into_iter().collect())
        })
    }
}

impl Removal for Overlay {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            let mut found = self.removal.list_all(folder).await?;
            found.retain(|it| !self.is_removed(&it.location));
            Ok(found)
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
            removed.extend(locations.iter().cloned());
            Ok(())
        })
    }
}
