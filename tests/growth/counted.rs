//! Files of a folder that count requests and bytes. Nothing is synced, so that what takes time is the
//! commit, not the disk.

#![expect(clippy::unwrap_in_result, reason = "no lock is poisoned: a panic ends the program")]

use std::fs;
use std::io;
use std::ops::{Range, Sub};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::files::{Call, Creation, Files, ListedObject, Removal, TaggedObject};

/// Requests, and bytes of metadata written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) metadata: u64,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let (requests, metadata) = (self.requests - other.requests, self.metadata - other.metadata);
        Self { requests, metadata }
    }
}

/// The files, each request of which takes some time.
#[derive(Debug, Default)]
pub(crate) struct CountedFiles {
    counts: Mutex<Counts>,
    takes: Duration,
    swap: Mutex<()>,
    /// The clock of the store, in seconds since 1970.
    pub(crate) now: AtomicU64,
}

impl CountedFiles {
    pub(crate) fn taking(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap()
    }

    async fn request(&self) {
        self.counts.lock().unwrap().requests += 1;
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
    }

    fn put(&self, location: &str, bytes: &Bytes) -> io::Result<()> {
        if location.contains("/metadata/") {
            self.counts.lock().unwrap().metadata += bytes.len() as u64;
        }
        let path = path(location);
        let folder = path.parent().unwrap();
        let done = fs::write(&path, bytes);
        if done.is_err() {
            fs::create_dir_all(folder)?;
            fs::write(&path, bytes)?;
        }
        let now = UNIX_EPOCH + Duration::from_secs(self.now.load(Ordering::Relaxed));
        fs::File::options().write(true).open(&path)?.set_modified(now)
    }
}

fn path(location: &str) -> PathBuf {
    Path::new(location.strip_prefix("file://").unwrap()).to_owned()
}

fn read(location: &str) -> io::Result<Option<Bytes>> {
    match fs::read(path(location)) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn tag(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Files for CountedFiles {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            self.request().await;
            read(location)
        })
    }

    fn read_range<'a>(&'a self, location: &'a str, range: Range<u64>) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            self.request().await;
            LocalFiles.read_range(location, range).await
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move {
            self.request().await;
            fs::exists(path(location))
        })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            self.request().await;
            self.put(location, &bytes)
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move {
            self.request().await;
            let _one = self.swap.lock().unwrap();
            if fs::exists(path(location))? {
                return Ok(Creation::Exists);
            }
            self.put(location, &bytes)?;
            Ok(Creation::Done)
        })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            self.request().await;
            Ok(read(location)?.map(|bytes| TaggedObject { tag: tag(&bytes), bytes }))
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move {
            self.request().await;
            let _one = self.swap.lock().unwrap();
            if read(location)?.as_ref().map(tag).as_deref() != expected {
                return Ok(false);
            }
            self.put(location, &bytes)?;
            Ok(true)
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.request().await;
            LocalFiles.list(folder).await
        })
    }
}

impl Removal for CountedFiles {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            self.request().await;
            LocalFiles.list_all(folder).await
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            self.request().await;
            LocalFiles.remove(locations).await
        })
    }
}
