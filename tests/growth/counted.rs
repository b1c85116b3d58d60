//! Files in memory that count requests and bytes.

use std::collections::BTreeMap;
use std::ops::Sub;
use std::sync::Mutex;

use bytes::Bytes;
use lakeward::store::files::{Call, Creation, Files, TaggedObject};

/// Requests and bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) bytes_read: u64,
    pub(crate) metadata_written: u64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            requests: self.requests - other.requests,
            bytes_read: self.bytes_read - other.bytes_read,
            metadata_written: self.metadata_written - other.metadata_written,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct CountedFiles {
    objects: Mutex<BTreeMap<String, Bytes>>,
    counts: Mutex<Counts>,
}

impl CountedFiles {
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }

    fn get(&self, location: &str) -> Option<Bytes> {
        let found = self.objects.lock().unwrap().get(location).cloned();
        let mut counts = self.counts.lock().unwrap();
        counts.requests += 1;
        counts.bytes_read += found.as_ref().map_or(0, |it| it.len() as u64);
        found
    }

    fn put(&self, location: &str, bytes: Bytes) {
        let mut counts = self.counts.lock().unwrap();
        counts.requests += 1;
        if location.contains("/metadata/") {
            counts.metadata_written += bytes.len() as u64;
        }
        drop(counts);
        self.objects.lock().unwrap().insert(location.to_owned(), bytes);
    }
}

fn tag(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Files for CountedFiles {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move { Ok(self.get(location)) })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            self.counts.lock().unwrap().requests += 1;
            Ok(self.objects.lock().unwrap().contains_key(location))
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
            if self.objects.lock().unwrap().contains_key(location) {
                return Ok(Creation::Exists);
            }
            self.put(location, bytes);
            Ok(Creation::Done)
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            Ok(self.get(location).map(|bytes| TaggedObject { tag: tag(&bytes), bytes }))
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            let there = self.objects.lock().unwrap().get(location).map(tag);
            if there.as_deref() != expected {
                return Ok(false);
            }
            self.put(location, bytes);
            Ok(true)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.counts.lock().unwrap().requests += 1;
            let prefix = format!("{}/", folder.trim_end_matches('/'));
            let objects = self.objects.lock().unwrap();
            let under = objects.range(prefix.clone()..).map(|(name, _)| name);
            let under = under.take_while(|it| it.starts_with(&prefix));
            let mut names: Vec<String> = under
                .filter_map(|it| it.strip_prefix(&prefix)?.split('/').next().map(str::to_owned))
                .collect();
            names.dedup();
            Ok(names)
        })
    }
}
