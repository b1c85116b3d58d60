//! A lake in a local directory.
//!
//! Calls block: a local disk answers in microseconds to milliseconds, and the waiting function has
//! nothing else to do.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use crate::store::files::{Call, Creation, Files, ListedObject, Removal, TaggedObject};

const SCHEME: &str = "file://";

/// Files of a local directory. A write returns after both are synced to disk: the file first, then
/// the directory that names it.
#[derive(Debug, Clone, Default)]
pub struct LocalFiles;

impl LocalFiles {
    /// Returns the location of a directory: `file://` and its absolute path. The directory need not
    /// exist.
    pub fn location(directory: &str) -> io::Result<String> {
        let absolute = std::path::absolute(directory.strip_prefix(SCHEME).unwrap_or(directory))?;
        let text = absolute.to_str().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the lake's path is not UTF-8")
        })?;
        Ok(format!("{SCHEME}{}", text.trim_end_matches('/')))
    }
}

fn path(location: &str) -> PathBuf {
    PathBuf::from(location.strip_prefix(SCHEME).unwrap_or(location))
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no parent folder"))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Folders whose names this process has made durable.
static DURABLE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Creates a folder and its parents, and syncs their names. Another process may have created an
/// existing folder a moment ago without having synced it yet.
fn make_folder(folder: &Path) -> io::Result<()> {
    if durable().contains(folder) && folder.is_dir() {
        return Ok(());
    }
    let Some(above) = folder.parent() else { return Ok(()) };
    let created = match fs::create_dir(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(above)?;
            match fs::create_dir(folder) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            }
        }
        Err(_) if folder.is_dir() => false,
        Err(error) => return Err(error),
    };
    match sync_directory(above) {
        // Folders above the lake may be passable but not readable.
        Err(error) if created || error.kind() != io::ErrorKind::PermissionDenied => {
            return Err(error);
        }
        Ok(()) | Err(_) => {}
    }
    if !created {
        make_folder(above)?;
    }
    durable().insert(folder.to_owned());
    Ok(())
}

fn durable() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    DURABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names a finished file `target` unless that name is taken: by a hard link, or on file systems
/// without links (exFAT, some network mounts) by a rename that does not replace.
fn publish(finished: &Path, target: &Path) -> io::Result<Creation> {
    let linked = fs::hard_link(finished, target);
    let outcome = match linked {
        Ok(()) => Ok(Creation::Done),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Creation::Exists),
        Err(_) => rename_without_replacing(finished, target),
    };
    // After a link the first name is removed; after a rename it is gone. A leftover is harmless.
    match fs::remove_file(finished) {
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "a temporary file was left behind"),
    }
    outcome
}

fn rename_without_replacing(finished: &Path, target: &Path) -> io::Result<Creation> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, finished, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Creation::Done),
        Err(rustix::io::Errno::EXIST) => Ok(Creation::Exists),
        Err(errno) => Err(io::Error::other(format!(
            "this file system can neither link a file nor rename it without replacing another \
             ({errno}): put the lake on a different file system"
        ))),
    }
}

fn create(location: &str, bytes: &[u8]) -> io::Result<Creation> {
    let target = path(location);
    let folder = parent(&target)?;
    make_folder(folder)?;
    let finished = folder.join(format!(".tmp-{}", Uuid::new_v4()));
    write_synced(&finished, bytes)?;
    let created = publish(&finished, &target)?;
    sync_directory(folder)?;
    Ok(created)
}

fn replace(location: &str, expected: Option<&str>, bytes: &[u8]) -> io::Result<bool> {
    let target = path(location);
    let folder = parent(&target)?;
    make_folder(folder)?;
    let finished = folder.join(format!(".tmp-{}", Uuid::new_v4()));
    write_synced(&finished, bytes)?;
    let found = missing_is_none(fs::read(&target))?.map(|it| tag(&it));
    if found.as_deref() != expected {
        fs::remove_file(&finished)?;
        return Ok(false);
    }
    fs::rename(&finished, &target)?;
    sync_directory(folder)?;
    Ok(true)
}

/// Returns the tag of some content. It is the content itself: only short numbers are ever replaced.
fn tag(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Removal for LocalFiles {
    fn list_all<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<ListedObject>> {
        Box::pin(async move {
            let mut found = Vec::new();
            list_below(folder.trim_end_matches('/'), &mut found)?;
            Ok(found)
        })
    }

    fn remove<'a>(&'a self, locations: &'a [String]) -> Call<'a, ()> {
        Box::pin(async move {
            for location in locations {
                // Folders stay: a writer may be about to make a file in one.
                missing_is_none(fs::remove_file(path(location)))?;
            }
            Ok(())
        })
    }
}

fn list_below(folder: &str, found: &mut Vec<ListedObject>) -> io::Result<()> {
    let Some(entries) = missing_is_none(fs::read_dir(path(folder)))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        // Lakeward's own names are all UTF-8.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let location = format!("{folder}/{name}");
        // A link is not followed: what it leads to has another name.
        let Some(info) = missing_is_none(entry.metadata())? else { continue };
        if info.is_dir() {
            list_below(&location, found)?;
        } else if info.is_file() {
            found.push(ListedObject { location, bytes: info.len(), modified: info.modified()? });
        }
    }
    Ok(())
}

impl Files for LocalFiles {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move { Ok(missing_is_none(fs::read(path(location)))?.map(Bytes::from)) })
    }

    fn read_range<'a>(&'a self, location: &'a str, range: Range<u64>) -> Call<'a, Option<Bytes>> {
        Box::pin(async move {
            let Some(mut file) = missing_is_none(File::open(path(location)))? else {
                return Ok(None);
            };
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(Some(Bytes::from(bytes)))
        })
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        Box::pin(async move { fs::exists(path(location)) })
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        Box::pin(async move {
            let target = path(location);
            let folder = parent(&target)?;
            make_folder(folder)?;
            write_synced(&target, &bytes)?;
            sync_directory(folder)
        })
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        Box::pin(async move { create(location, &bytes) })
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        Box::pin(async move {
            Ok(missing_is_none(fs::read(path(location)))?
                .map(|it| TaggedObject { tag: tag(&it), bytes: Bytes::from(it) }))
        })
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        Box::pin(async move { replace(location, expected, &bytes) })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let Some(entries) = missing_is_none(fs::read_dir(path(folder)))? else {
                return Ok(Vec::new());
            };
            let mut names = Vec::new();
            for entry in entries {
                // Lakeward's own names are all UTF-8.
                names.extend(entry?.file_name().into_string());
            }
            Ok(names)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way of file systems without links.
    #[test]
    fn a_rename_that_does_not_replace_has_one_winner() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("v1.metadata.json");
        let attempt = |n: u32| {
            let finished = folder.path().join(format!(".tmp-{n}"));
            write_synced(&finished, n.to_string().as_bytes()).unwrap();
            (n, rename_without_replacing(&finished, &target).unwrap())
        };
        let outcomes: Vec<(u32, Creation)> = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..16).map(|n| scope.spawn(move || attempt(n))).collect();
            racing.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let winners: Vec<u32> =
            outcomes.iter().filter(|it| it.1 == Creation::Done).map(|it| it.0).collect();
        let [winner] = winners[..] else { panic!("{winners:?} have won") };
        assert_eq!(fs::read_to_string(&target).unwrap(), winner.to_string());
        // The losers' files are still theirs.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 16);
        assert_eq!(attempt(99).1, Creation::Exists);
        assert_eq!(fs::read_to_string(&target).unwrap(), winner.to_string());
    }

    #[test]
    fn a_name_that_is_taken_keeps_its_content_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata/v1.metadata.json");
        let location = path.to_str().unwrap();
        assert_eq!(create(location, b"first").unwrap(), Creation::Done);
        assert_eq!(create(location, b"second").unwrap(), Creation::Exists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "a temporary file is left behind");
    }
}
