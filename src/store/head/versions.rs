//! Heads of the `files` catalog: `metadata/vN.metadata.json`, each made once, never replaced, and
//! `version-hint.text`, which tells readers and us where to start looking.
//!
//! The hint is only ever a place to start: what exists is proven by reading and listing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use iceberg::spec::{SnapshotLog, TableMetadata};

use crate::store::clock::Clock;
use crate::store::error::StoreError;
use crate::store::files::{Created, Files};
use crate::store::head::{COMMIT_PROPERTY, Head, HeadCall, Loaded, MAX_HEAD_AGE, Swap};

/// How often one swap is sent before its outcome is called unknown.
const SENDS: u32 = 3;
/// How far back Iceberg lets times go.
const TOLERATED_MS: i64 = 60_000;
/// How often a hint that others keep changing is tried.
const HINT_TRIES: u32 = 16;

/// The head of a table whose versions are numbered files.
#[derive(Debug)]
pub struct VersionFiles {
    files: Arc<dyn Files>,
    clock: Clock,
    /// `<table>/metadata`
    folder: String,
    /// The newest head this process has seen; a place to start probing, and saves parsing.
    seen: Mutex<Option<Seen>>,
}

/// A version as it was read or written. Its number alone does not name it: a lake may be removed
/// and made again under a running process.
#[derive(Debug, Clone)]
struct Seen {
    number: u64,
    text: Bytes,
    metadata: Arc<TableMetadata>,
}

impl VersionFiles {
    /// The head of the table at `location`.
    pub fn new(files: Arc<dyn Files>, clock: Clock, location: &str) -> Self {
        Self { files, clock, folder: format!("{location}/metadata"), seen: Mutex::new(None) }
    }

    fn version(&self, number: u64) -> String {
        format!("{}/v{number}.metadata.json", self.folder)
    }

    fn hint(&self) -> String {
        format!("{}/version-hint.text", self.folder)
    }

    fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    async fn is_there(&self, number: u64) -> Result<bool, StoreError> {
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

    /// The number in the hint; `None` when it is missing or unreadable.
    async fn hinted(&self) -> Result<Option<u64>, StoreError> {
        let location = self.hint();
        let found = self.files.read(&location).await;
        let bytes = found.map_err(StoreError::files("read", &location))?;
        Ok(bytes.and_then(|it| number(&it)))
    }

    /// The newest version's number. Versions from any existing one on have no holes, because a
    /// version is only made after its predecessor was read, and the oldest go first; only the
    /// first one stays when its successors go. Without a hint that names a version there is, a
    /// listing decides.
    async fn newest(&self) -> Result<Option<u64>, StoreError> {
        let hinted = self.hinted().await?;
        let cached = self.seen().map(|it| it.number);
        // What this process has seen is no proof either: versions may be gone, or restored.
        let start = hinted.map(|hint| hint.max(cached.unwrap_or(0))).filter(|it| *it > 0);
        let newest = match start {
            Some(number) if self.is_there(number).await? => match self.probe(number).await? {
                // The first version is never removed, and those after it are: there may be a gap.
                1 => self.listed().await?,
                newest => Some(newest),
            },
            _ => self.listed().await?,
        };
        if let Some(newest) = newest
            && hinted != Some(newest)
        {
            self.raise_hint(newest).await?;
        }
        Ok(newest)
    }

    /// The last version from `number`, which exists, on: in doubling steps, then by halves.
    async fn probe(&self, number: u64) -> Result<u64, StoreError> {
        let (mut there, mut step) = (number, 1_u64);
        while self.is_there(there.saturating_add(step)).await? {
            there = there.saturating_add(step);
            step = step.saturating_mul(2);
        }
        // `there` exists and `there + step` does not; smaller steps in between are unknown.
        while step > 1 {
            step = step.div_euclid(2);
            if self.is_there(there.saturating_add(step)).await? {
                there = there.saturating_add(step);
            }
        }
        Ok(there)
    }

    /// The largest number among the versions that a listing shows.
    async fn listed(&self) -> Result<Option<u64>, StoreError> {
        let names = self.files.list(&self.folder).await;
        let names = names.map_err(StoreError::files("list", &self.folder))?;
        Ok(names.iter().filter_map(|name| version_number(name)).max())
    }

    /// Raises the hint to `number` or further. It never falls behind a version that exists: who
    /// writes it last looks again for what was made meanwhile.
    async fn raise_hint(&self, number: u64) -> Result<(), StoreError> {
        let location = self.hint();
        let mut target = number;
        for _ in 0..HINT_TRIES {
            let found = self.files.read_tagged(&location).await;
            let found = found.map_err(StoreError::files("read", &location))?;
            let current = found.as_ref().and_then(|it| self::number(&it.bytes)).unwrap_or(0);
            // A hint beyond `target` is right when others were quicker, and wrong when it points
            // at a version that does not exist.
            if current == target || (current > target && self.is_there(current).await?) {
                return Ok(());
            }
            let tag = found.as_ref().map(|it| it.tag.as_str());
            let text = Bytes::from(target.to_string());
            let replaced = self.files.replace(&location, tag, text).await;
            if replaced.map_err(StoreError::files("write", &location))? {
                target = self.probe(target).await?;
            }
        }
        tracing::warn!(hint = %location, "others keep changing the version hint; the next load repairs it");
        Ok(())
    }

    /// Sends one swap until its outcome is known, a few times at most.
    async fn send(&self, number: u64, text: Bytes, commit: &str) -> Swap {
        let location = self.version(number);
        let mut trouble = None;
        for _ in 0..SENDS {
            let answered = match self.files.create(&location, text.clone()).await {
                Ok(Created::Done) => return Swap::Swapped,
                Ok(Created::Exists) => true,
                Err(error) => {
                    trouble = Some(error);
                    false
                }
            };
            // Refused or unknown: only what stands there tells whose it is. What is ours and was
            // not answered may be visible and not yet durable: it is sent again.
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
        let error = trouble.unwrap_or_else(|| {
            std::io::Error::other("it is refused as existing, and does not exist")
        });
        Swap::Unknown(StoreError::files("write", &location)(error))
    }
}

impl Head for VersionFiles {
    fn load(&self) -> HeadCall<'_, Result<Option<Loaded>, StoreError>> {
        Box::pin(async move {
            let at = self.clock.now();
            let Some(number) = self.newest().await? else {
                return Ok(None);
            };
            let Some(text) = self.text(number).await? else {
                let location = self.version(number);
                return Err(StoreError::damaged(&location)("it is gone since it was seen"));
            };
            let metadata = match self.seen() {
                Some(seen) if seen.number == number && seen.text == text => seen.metadata,
                _ => Arc::new(self.parse(number, &text)?),
            };
            self.remember(Seen { number, text, metadata: Arc::clone(&metadata) });
            Ok(Some(Loaded { metadata, location: self.version(number), token: number, at }))
        })
    }

    fn swap<'a>(
        &'a self,
        base: Option<&'a Loaded>,
        new: &'a TableMetadata,
        commit: &'a str,
    ) -> HeadCall<'a, Swap> {
        Box::pin(async move {
            if let Some(base) = base
                && self.clock.is_older(base.at, MAX_HEAD_AGE)
            {
                return Swap::TooOld;
            }
            if let Err(error) = self.files.prove().await {
                return Swap::Unknown(StoreError::files("change", &self.folder)(error));
            }
            let number = base.map_or(1, |it| it.token.saturating_add(1));
            let text = match text(new) {
                Ok(text) => text,
                Err(error) => {
                    return Swap::Unknown(StoreError::damaged(&self.version(number))(error));
                }
            };
            let outcome = self.send(number, text.clone(), commit).await;
            if matches!(outcome, Swap::Swapped) {
                self.remember(Seen { number, text, metadata: Arc::new(new.clone()) });
                if let Err(error) = self.raise_hint(number).await {
                    // The rows are durable; every later load repairs the hint.
                    tracing::warn!(%error, "the version hint is behind its table");
                }
            }
            outcome
        })
    }
}

/// The metadata's text, unless its times go backwards: the library writes such metadata and does
/// not read it, and a version that nobody can read must never become the head.
fn text(metadata: &TableMetadata) -> Result<Bytes, String> {
    let logged = metadata.history().last().map(SnapshotLog::timestamp_ms);
    let before = metadata.metadata_log().last().map(|it| it.timestamp_ms);
    let newest = logged.max(before).unwrap_or(i64::MIN);
    if metadata.last_updated_ms() < newest.saturating_sub(TOLERATED_MS) {
        return Err("this clock is behind the one that wrote the table last".to_owned());
    }
    serde_json::to_vec(metadata).map(Bytes::from).map_err(|error| error.to_string())
}

fn committed_by(metadata: &TableMetadata, commit: &str) -> bool {
    metadata.properties().get(COMMIT_PROPERTY).is_some_and(|it| it == commit)
}

fn number(hint: &[u8]) -> Option<u64> {
    std::str::from_utf8(hint).ok()?.trim().parse().ok()
}

fn version_number(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse().ok()
}
