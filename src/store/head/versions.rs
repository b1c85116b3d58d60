//! Heads of the `files` catalog: `metadata/vN.metadata.json`, each created once and never replaced,
//! and `version-hint.text`, which tells readers and this code where to start looking.
//!
//! The hint proves nothing: only reading and listing show which versions exist.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::try_join;
use iceberg::spec::{SnapshotLog, TableMetadata};

use crate::store::clock::Clock;
use crate::store::error::StoreError;
use crate::store::files::{Creation, Files};
use crate::store::head::{COMMIT_PROPERTY, Head, HeadCall, HeadVersion, MAX_HEAD_AGE, Swap};

/// The age of a version from which on a missing successor proves nothing: it may have been removed,
/// because its own successor is a day old, while this one was left over, or came out of a backup.
const MAX_AGE_OF_PROOF: Duration = Duration::from_secs(24 * 60 * 60);
/// The age of a head from which on a swap that succeeded proves nothing.
const MAX_SWAP_AGE: Duration = Duration::from_secs(60 * 60);
/// Number of times that one swap is sent before its outcome counts as unknown.
const MAX_SENDS: u32 = 3;
/// The step back in time that Iceberg tolerates.
const TOLERATED_MS: i64 = 60_000;
/// Number of tries at a hint that others keep changing.
const MAX_HINT_TRIES: u32 = 16;

/// The head of a table whose versions are numbered files.
#[derive(Debug)]
pub struct VersionFiles {
    files: Arc<dyn Files>,
    clock: Clock,
    /// `<table>/metadata`
    folder: String,
    /// The newest version that this process has read or written: probing starts there, and its text
    /// need not be parsed again.
    cached: Mutex<Option<CachedVersion>>,
}

/// A version as it was read or written. Its number alone does not identify it: a lake may be
/// removed and created again under a running process.
#[derive(Debug, Clone)]
struct CachedVersion {
    number: u64,
    text: Bytes,
    metadata: Arc<TableMetadata>,
}

impl VersionFiles {
    /// The head of the table at `location`.
    pub fn new(files: Arc<dyn Files>, clock: Clock, location: &str) -> Self {
        Self { files, clock, folder: format!("{location}/metadata"), cached: Mutex::new(None) }
    }

    fn version(&self, number: u64) -> String {
        format!("{}/v{number}.metadata.json", self.folder)
    }

    fn hint(&self) -> String {
        format!("{}/version-hint.text", self.folder)
    }

    fn cached(&self) -> Option<CachedVersion> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, version: CachedVersion) {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
    }

    async fn exists(&self, number: u64) -> Result<bool, StoreError> {
        let location = self.version(number);
        self.files.exists(&location).await.map_err(StoreError::files("look for", &location))
    }

    async fn text(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        let location = self.version(number);
        self.files.read(&location).await.map_err(StoreError::files("read", &location))
    }

    fn parse(&self, number: u64, text: &[u8]) -> Result<TableMetadata, StoreError> {
        serde_json::from_slice(text).map_err(StoreError::damaged(&self.version(number)))
    }

    async fn read(&self, number: u64) -> Result<Option<TableMetadata>, StoreError> {
        let text = self.text(number).await?;
        text.map(|text| self.parse(number, &text)).transpose()
    }

    /// Returns the number in the hint; `None` when the hint is missing or unreadable.
    async fn hinted(&self) -> Result<Option<u64>, StoreError> {
        let location = self.hint();
        let found = self.files.read(&location).await;
        let bytes = found.map_err(StoreError::files("read", &location))?;
        Ok(bytes.and_then(|it| number(&it)))
    }

    /// Returns the newest version. Numbers have no gap after a young version, because a version is created
    /// only after its predecessor was read, and removed only when its successor is a day old. Behind an old
    /// version, and without a hint that names an existing one, a listing decides.
    async fn newest(&self) -> Result<Option<CachedVersion>, StoreError> {
        let cached = self.cached();
        let (hinted, unchanged) = try_join(self.hinted(), self.unchanged(cached.as_ref())).await?;
        if unchanged
            && let Some(cached) = &cached
            && hinted == Some(cached.number)
            && !self.is_old(&cached.metadata)
        {
            return Ok(Some(cached.clone()));
        }
        let cached = cached.map(|it| it.number);
        // The cache proves nothing, either: versions may have been removed, or restored.
        let start = hinted.map(|hint| hint.max(cached.unwrap_or(0))).filter(|it| *it > 0);
        let probed = match start {
            Some(number) if self.exists(number).await? => {
                Some(self.opened(self.probe(number).await?).await?)
            }
            _ => None,
        };
        let newest = match probed {
            Some(version) if !self.is_old(&version.metadata) => Some(version),
            probed => match self.listed().await? {
                Some(listed) if probed.as_ref().is_none_or(|it| it.number < listed) => {
                    Some(self.opened(listed).await?)
                }
                _ => probed,
            },
        };
        if let Some(newest) = &newest
            && hinted != Some(newest.number)
        {
            self.raise_hint(newest.number).await?;
        }
        Ok(newest)
    }

    /// Returns whether a version stands where it was, and has no successor: asked together with the hint,
    /// it saves most loads the way to the store and back three times.
    async fn unchanged(&self, cached: Option<&CachedVersion>) -> Result<bool, StoreError> {
        let Some(cached) = cached else { return Ok(false) };
        let next = self.exists(cached.number.saturating_add(1));
        let (text, is_replaced) = try_join(self.text(cached.number), next).await?;
        Ok(!is_replaced && text.as_ref() == Some(&cached.text))
    }

    /// Returns whether a missing successor of this version proves nothing.
    fn is_old(&self, metadata: &TableMetadata) -> bool {
        let millis = u64::try_from(metadata.last_updated_ms()).unwrap_or(0);
        let updated = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        self.clock.is_older(updated, MAX_AGE_OF_PROOF)
    }

    /// Reads a version that exists.
    async fn opened(&self, number: u64) -> Result<CachedVersion, StoreError> {
        let Some(text) = self.text(number).await? else {
            let location = self.version(number);
            return Err(StoreError::damaged(&location)("it was removed a moment ago"));
        };
        let metadata = match self.cached() {
            Some(it) if it.number == number && it.text == text => it.metadata,
            _ => Arc::new(self.parse(number, &text)?),
        };
        let version = CachedVersion { number, text, metadata };
        self.remember(version.clone());
        Ok(version)
    }

    /// Finds the last version after `number`, which exists: in doubling steps, then by halves.
    async fn probe(&self, number: u64) -> Result<u64, StoreError> {
        // The hint may hold any number.
        let (mut last, mut step) = (number, 1_u64);
        while self.exists(last.saturating_add(step)).await? {
            last = last.saturating_add(step);
            step = step.saturating_mul(2);
        }
        // `last` exists and `last + step` does not; smaller steps in between are unknown.
        while step > 1 {
            step /= 2;
            if self.exists(last.saturating_add(step)).await? {
                last = last.saturating_add(step);
            }
        }
        Ok(last)
    }

    /// Returns the largest number among the listed versions.
    async fn listed(&self) -> Result<Option<u64>, StoreError> {
        let names = self.files.list(&self.folder).await;
        let names = names.map_err(StoreError::files("list", &self.folder))?;
        Ok(names.iter().filter_map(|name| version_number(name)).max())
    }

    /// Raises the hint to `number` or further. The hint never stays behind an existing version: the
    /// last one to write it looks again for versions that were created meanwhile.
    async fn raise_hint(&self, number: u64) -> Result<(), StoreError> {
        let location = self.hint();
        let mut target = number;
        for _ in 0..MAX_HINT_TRIES {
            let found = self.files.read_tagged(&location).await;
            let found = found.map_err(StoreError::files("read", &location))?;
            let current = found.as_ref().and_then(|it| self::number(&it.bytes)).unwrap_or(0);
            // A hint beyond `target` is right when others were faster, and wrong when it names a
            // version that does not exist.
            if current == target || (current > target && self.exists(current).await?) {
                return Ok(());
            }
            let tag = found.as_ref().map(|it| it.tag.as_str());
            let text = Bytes::from(target.to_string());
            let replaced = self.files.replace(&location, tag, text).await;
            if replaced.map_err(StoreError::files("write", &location))? {
                target = self.probe(target).await?;
            }
        }
        tracing::warn!(
            hint = %location,
            "other writers keep changing the version hint; the next load repairs it"
        );
        Ok(())
    }

    /// Sends one swap until its outcome is known, at most [`MAX_SENDS`] times. A process may be stopped for
    /// days within a call, and then the number may be free again: nothing is sent with an old head, and a
    /// success that took hours proves nothing.
    async fn send(
        &self,
        number: u64,
        text: Bytes,
        commit: &str,
        loaded_at: Option<SystemTime>,
    ) -> Swap {
        let is_older = |age| loaded_at.is_some_and(|it| self.clock.is_older(it, age));
        let location = self.version(number);
        let mut last_error = None;
        for sends in 0..MAX_SENDS {
            match is_older(MAX_HEAD_AGE) {
                true if sends == 0 => return Swap::TooOld,
                true => break,
                false => {}
            }
            let answered = match self.files.create(&location, text.clone()).await {
                Ok(Creation::Done) if is_older(MAX_SWAP_AGE) => {
                    let error = std::io::Error::other("the swap took hours");
                    return Swap::Unknown(StoreError::files("write", &location)(error));
                }
                Ok(Creation::Done) => return Swap::Swapped,
                Ok(Creation::Exists) => true,
                Err(error) => {
                    last_error = Some(error);
                    false
                }
            };
            // Refused or unknown: only the stored version tells whose it is. One that is ours, but
            // was not answered, may be visible and not yet durable: it is sent again.
            match self.read(number).await {
                Ok(Some(winner)) if committed_by(&winner, commit) => {
                    if answered {
                        return Swap::Swapped;
                    }
                }
                Ok(Some(_)) => return Swap::Conflict,
                Ok(None) => {}
                Err(error) => return Swap::Unknown(error),
            }
        }
        let error = last_error.unwrap_or_else(|| {
            std::io::Error::other("the store says that it exists, and it does not")
        });
        Swap::Unknown(StoreError::files("write", &location)(error))
    }
}

impl Head for VersionFiles {
    fn exists(&self) -> HeadCall<'_, Result<bool, StoreError>> {
        // The first version is never removed.
        Box::pin(VersionFiles::exists(self, 1))
    }

    fn load(&self) -> HeadCall<'_, Result<Option<HeadVersion>, StoreError>> {
        Box::pin(async move {
            let loaded_at = self.clock.now();
            let newest = self.newest().await?;
            Ok(newest.map(|CachedVersion { number, metadata, .. }| HeadVersion {
                metadata,
                location: self.version(number),
                token: number,
                loaded_at,
            }))
        })
    }

    fn swap<'a>(
        &'a self,
        base: Option<&'a HeadVersion>,
        new: &'a TableMetadata,
        commit: &'a str,
    ) -> HeadCall<'a, Swap> {
        Box::pin(async move {
            if let Err(error) = self.files.prove().await {
                return Swap::Unknown(StoreError::files("change", &self.folder)(error));
            }
            // A foreign file may have the largest number.
            let number = base.map_or(1, |it| it.token.saturating_add(1));
            let text = match text(new) {
                Ok(text) => text,
                Err(error) => {
                    return Swap::Unknown(StoreError::damaged(&self.version(number))(error));
                }
            };
            let outcome =
                self.send(number, text.clone(), commit, base.map(|it| it.loaded_at)).await;
            if matches!(outcome, Swap::Swapped) {
                self.remember(CachedVersion { number, text, metadata: Arc::new(new.clone()) });
                if let Err(error) = self.raise_hint(number).await {
                    // The rows are durable; every later load repairs the hint.
                    tracing::warn!(%error, "the version hint is behind its table");
                }
            }
            outcome
        })
    }
}

/// Returns the text of metadata, unless its times go backwards: the library writes such metadata
/// and does not read it, and an unreadable version must never become the head.
fn text(metadata: &TableMetadata) -> Result<Bytes, String> {
    let logged = metadata.history().last().map(SnapshotLog::timestamp_ms);
    let before = metadata.metadata_log().last().map(|it| it.timestamp_ms);
    let newest = logged.max(before).unwrap_or(i64::MIN);
    if metadata.last_updated_ms() < newest.saturating_sub(TOLERATED_MS) {
        return Err(
            "this clock is behind the clock of the table's last writer: set this machine's clock"
                .to_owned(),
        );
    }
    serde_json::to_vec(metadata).map(Bytes::from).map_err(|error| error.to_string())
}

fn committed_by(metadata: &TableMetadata, commit: &str) -> bool {
    metadata.properties().get(COMMIT_PROPERTY).is_some_and(|it| it == commit)
}

fn number(hint: &[u8]) -> Option<u64> {
    std::str::from_utf8(hint).ok()?.trim().parse().ok()
}

/// Returns the number of a version by the name of its file; `None` if it is another file.
pub fn version_number(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse().ok()
}
