//! Removes the files that no version of a table names any more.
//!
//! Nothing goes at once. A run marks what is unnamed; a run a day later removes what was marked then, is
//! unnamed still, and is old enough that no commit under way can name it. So a query may run for a day on
//! a snapshot that was dropped while it read. The times are those of the store: no clock of ours counts.

mod names;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::number::count;
use crate::store::error::StoreError;
use crate::store::files::{ListedObject, Removal};
use crate::store::head::HeadVersion;
use crate::store::table::Table;

use names::{Form, LiveNames};

/// The time that a file must have been unnamed, and the time between two runs.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Marks are kept this long.
const MARKS_FOR: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// The age of a temporary file of an interrupted write.
const TEMPORARY_FOR: Duration = DAY;

/// The work of cleaning, as it is done or planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Objects that were removed.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Unnamed objects that wait to be removed.
    pub waiting: u64,
    /// The bytes of all metadata.
    pub metadata_bytes: u64,
}

/// Cleans a table, unless that was done less than a day ago: then it does nothing and returns `None`. A dry
/// run returns what a run would remove.
///
/// # Errors
/// If anything speaks against the listing being whole, or the table being the one that its metadata
/// describes; then nothing was removed. If the store fails, some of it may have been.
pub async fn clean(
    table: &Table,
    removal: &dyn Removal,
    dry_run: bool,
) -> Result<Option<CleanReport>, StoreError> {
    let Some(before) = table.head.load().await? else { return Ok(None) };
    table.release.may_write(&before.metadata).map_err(|problem| refused(table, problem))?;
    check_location(table, &before)?;
    let folder = |name: &str| format!("{}/{name}", table.location);
    let marks = list(removal, &folder("metadata/clean")).await?;
    // A clock that is behind the store's can't tell how old a mark is: then a run does no harm.
    let is_recent = |it: &ListedObject| {
        table.clock.now().duration_since(it.modified).is_ok_and(|age| age < DAY)
    };
    if marks.iter().any(is_recent) && !dry_run {
        return Ok(None);
    }
    // The listing first, then the head: what is listed and not named by then has been unnamed.
    let mut listed = list(removal, &folder("metadata")).await?;
    listed.extend(list(removal, &folder("data")).await?);
    let metadata_bytes = listed.iter().filter(|it| it.location.contains("/metadata/"));
    let metadata_bytes = metadata_bytes.map(|it| it.bytes).fold(0, u64::saturating_add);
    let locations: HashSet<&str> = listed.iter().map(|it| it.location.as_str()).collect();
    let mut named = LiveNames::default();
    named.add_head(table, &before).await?;
    named.check(table, &locations)?;
    let Some(head) = table.head.load().await? else { return Ok(None) };
    named.add_head(table, &head).await?;

    let now = match dry_run {
        true => table.clock.now(),
        false => write_mark(table, removal, &listed, &named).await?,
    };
    let versions = removable_versions(&listed, table, head.token, now);
    let gone_versions: HashSet<&str> = versions.iter().map(|it| it.location.as_str()).collect();
    let mark = Mark::read(table, &marks, now).await?;
    // What the mark names was unnamed then, and so old that no later version can name it.
    for (number, version) in versions_of(&listed, table) {
        let is_before = mark.written_at.is_some_and(|it| version.modified <= it);
        let stays = number < head.token && !gone_versions.contains(version.location.as_str());
        if is_before && stays {
            named.add_version(table, &version.location).await?;
        }
    }
    let dead: Vec<&ListedObject> =
        listed.iter().filter(|it| is_dead(table, it, &named, now)).collect();
    let (gone, wait): (Vec<&ListedObject>, Vec<&ListedObject>) =
        dead.into_iter().partition(|it| mark.locations.contains(&it.location));
    let mut report =
        CleanReport { waiting: count(wait.len()), metadata_bytes, ..CleanReport::default() };
    let old_marks: Vec<&ListedObject> =
        marks.iter().filter(|it| is_older(it, now, MARKS_FOR)).collect();
    for object in versions.iter().copied().chain(gone.iter().copied()) {
        report.removed += 1;
        report.bytes = report.bytes.saturating_add(object.bytes);
    }
    if !dry_run {
        // Versions first: none of them may be left that names what is gone.
        remove(removal, &versions).await?;
        remove(removal, &gone).await?;
        remove(removal, &old_marks).await?;
    }
    Ok(Some(report))
}

/// Checks that the table is the one that its metadata describes: of a lake that was copied, or is reached
/// by another name, every file would seem to be unnamed.
fn check_location(table: &Table, head: &HeadVersion) -> Result<(), StoreError> {
    let own = head.metadata.location().trim_end_matches('/');
    if own == table.location {
        return Ok(());
    }
    Err(refused(
        table,
        format!(
            "its metadata says that it lies at {own}, and this is {}: it is a copy, or has two \
             names; nothing was removed. Name the lake as the table does",
            table.location
        ),
    ))
}

fn refused(table: &Table, problem: String) -> StoreError {
    StoreError::Table { table: table.name.clone(), problem }
}

async fn list(removal: &dyn Removal, folder: &str) -> Result<Vec<ListedObject>, StoreError> {
    removal.list_all(folder).await.map_err(StoreError::files("list", folder))
}

async fn remove(removal: &dyn Removal, objects: &[&ListedObject]) -> Result<(), StoreError> {
    let locations: Vec<String> = objects.iter().map(|it| it.location.clone()).collect();
    let Some(first) = locations.first().cloned() else { return Ok(()) };
    removal.remove(&locations).await.map_err(StoreError::files("remove", &first))
}

fn is_older(object: &ListedObject, now: SystemTime, age: Duration) -> bool {
    now.duration_since(object.modified).is_ok_and(|it| it >= age)
}

/// Writes the names of the objects that nothing names now, and returns the store's time of it.
async fn write_mark(
    table: &Table,
    removal: &dyn Removal,
    listed: &[ListedObject],
    named: &LiveNames,
) -> Result<SystemTime, StoreError> {
    let folder = format!("{}/metadata/clean", table.location);
    let unnamed = listed
        .iter()
        .filter(|it| Form::of(table, &it.location).is_some() && !named.contains(&it.location));
    let mut text = String::new();
    for object in unnamed {
        text.push_str(object.location.strip_prefix(&table.location).unwrap_or_default());
        text.push('\n');
    }
    let location = format!("{folder}/{}-{}", table.clock.millis(), uuid::Uuid::new_v4());
    let written = table.files.write(&location, Bytes::from(text)).await;
    written.map_err(StoreError::files("write", &location))?;
    let marks = list(removal, &folder).await?;
    let own = marks.into_iter().find(|it| it.location == location);
    own.map(|it| it.modified).ok_or_else(|| {
        refused(table, "a file that was just written is not listed; nothing was removed".to_owned())
    })
}

/// The newest mark of a day ago, or earlier.
#[derive(Debug, Default)]
struct Mark {
    /// The locations that it names.
    locations: HashSet<String>,
    /// The time of it; `None` if there is none.
    written_at: Option<SystemTime>,
}

impl Mark {
    async fn read(
        table: &Table,
        marks: &[ListedObject],
        now: SystemTime,
    ) -> Result<Self, StoreError> {
        let old = marks.iter().filter(|it| is_older(it, now, DAY));
        let Some(mark) = old.max_by_key(|it| it.modified) else { return Ok(Self::default()) };
        let bytes = table.files.read(&mark.location).await;
        let bytes = bytes.map_err(StoreError::files("read", &mark.location))?.unwrap_or_default();
        let text = std::str::from_utf8(&bytes).map_err(StoreError::damaged(&mark.location))?;
        let locations = text.lines().map(|it| format!("{}{it}", table.location)).collect();
        Ok(Self { locations, written_at: Some(mark.modified) })
    }
}

/// Returns whether an object is of Lakeward, unnamed, and so old that no commit under way names it.
fn is_dead(table: &Table, object: &ListedObject, named: &LiveNames, now: SystemTime) -> bool {
    let Some(form) = Form::of(table, &object.location) else { return false };
    let age = match form {
        Form::Data => table.retention.data,
        Form::Metadata => table.retention.metadata,
        Form::Temporary => TEMPORARY_FOR,
    };
    is_older(object, now, age) && !named.contains(&object.location)
}

/// Returns the versions with their numbers, in ascending order.
fn versions_of<'l>(listed: &'l [ListedObject], table: &Table) -> Vec<(u64, &'l ListedObject)> {
    let folder = format!("{}/metadata/v", table.location);
    let number = |it: &ListedObject| {
        it.location.strip_prefix(&folder)?.strip_suffix(".metadata.json")?.parse::<u64>().ok()
    };
    let mut versions: Vec<_> = listed.iter().filter_map(|it| Some((number(it)?, it))).collect();
    versions.sort_by_key(|(number, _)| *number);
    versions
}

/// Returns the versions whose successor is a day old, but for the first, in ascending order; one without its
/// own successor must be a day old itself. The head stays, and no version number is free again while a swap
/// could still try it. Loads expect holes behind versions that are a day old.
fn removable_versions<'l>(
    listed: &'l [ListedObject],
    table: &Table,
    head: u64,
    now: SystemTime,
) -> Vec<&'l ListedObject> {
    let versions = versions_of(listed, table);
    let pairs = versions.windows(2).filter_map(|pair| match pair {
        [(number, version), (next, successor)] => Some((*number, *version, *next, *successor)),
        _ => None,
    });
    // From the second on: the first tells that the table exists.
    let old = pairs.skip_while(|(number, ..)| *number <= 1).take_while(
        |(number, version, next, successor)| {
            let proof = if *next == number + 1 { successor } else { version };
            *next <= head && is_older(proof, now, DAY)
        },
    );
    old.map(|(_, version, ..)| version).collect()
}
