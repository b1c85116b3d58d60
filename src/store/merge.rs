//! Merges manifests in the commit, so that a table's list of them stays short however many commits it
//! has.
//!
//! Ten neighbours of about one size become one, up to a thousand entries. So an entry is written again
//! three times at most, and a table of 100,000 commits has some 130 manifests.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use iceberg::spec::{ManifestContentType, ManifestFile};

use crate::store::arrivals::{Arrivals, Interval};
use crate::store::error::StoreError;
use crate::store::head::HeadVersion;
use crate::store::table::Table;

/// The number of manifests that are merged into one.
const FAN_IN: usize = 10;
/// The largest number of entries of a merged manifest: 1 MB, which bounds what a commit opens for a late
/// record.
pub const MAX_ENTRIES: u64 = 1_000;
/// A manifest of as many entries is not merged again.
const FINAL_ENTRIES: u64 = 500;

/// Manifests, and the one that takes their place.
#[derive(Debug)]
pub struct Merge {
    inputs: HashSet<String>,
    output: ManifestFile,
}

impl Merge {
    /// Writes a manifest that takes the place of some of the head's; `None` if no ten of them are alike.
    ///
    /// # Errors
    /// If one of them can't be read, or the new one does not hold what they hold.
    pub async fn of(
        table: &Table,
        head: &HeadVersion,
        manifests: &[ManifestFile],
        snapshot: i64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(inputs) = choose(manifests) else { return Ok(None) };
        let Some(first) = inputs.first() else { return Ok(None) };
        let metadata = &head.metadata;
        let Some(spec) = metadata.partition_spec_by_id(first.partition_spec_id) else {
            return Ok(None);
        };
        let entries = try_join_all(inputs.iter().map(|it| table.manifests.entries(it))).await?;
        let entries = entries.into_iter().flatten().collect();
        let arrivals = inputs.iter().filter_map(|it| Arrivals::of_manifest(&it.manifest_path));
        let arrivals = arrivals.reduce(Arrivals::and).unwrap_or(Arrivals::Unknown);
        let schema = Arc::clone(metadata.current_schema());
        let output =
            table.manifests.rewrite(snapshot, &schema, spec, entries, Some(arrivals)).await?;
        let before: Option<Counts> = inputs.iter().map(|it| Counts::of(it)).sum();
        if before.is_none() || before != Counts::of(&output) {
            return Err(StoreError::damaged(&output.manifest_path)(
                "it does not hold what the manifests hold that it is made of",
            ));
        }
        let inputs = inputs.iter().map(|it| it.manifest_path.clone()).collect();
        Ok(Some(Self { inputs, output }))
    }

    /// Returns a head's manifests after the merge; unchanged unless all inputs are among them.
    pub fn apply(&self, manifests: Vec<ManifestFile>) -> Vec<ManifestFile> {
        let is_input = |it: &ManifestFile| self.inputs.contains(&it.manifest_path);
        if manifests.iter().filter(|it| is_input(it)).count() != self.inputs.len() {
            return manifests;
        }
        let mut merged = vec![self.output.clone()];
        merged.extend(manifests.into_iter().filter(|it| !is_input(it)));
        merged
    }
}

/// The live files and rows of manifests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
}

impl Counts {
    /// Returns the counts of a manifest; `None` if its entry in the list does not say.
    pub fn of(manifest: &ManifestFile) -> Option<Self> {
        let files = manifest.added_files_count?.checked_add(manifest.existing_files_count?)?;
        let rows = manifest.added_rows_count?.checked_add(manifest.existing_rows_count?)?;
        Some(Self { files: u64::from(files), rows })
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, it| Self {
            files: sum.files.saturating_add(it.files),
            rows: sum.rows.saturating_add(it.rows),
        })
    }
}

/// A manifest that may be merged with its neighbours in arrival.
struct Candidate<'a> {
    interval: Interval,
    files: u64,
    manifest: &'a ManifestFile,
}

impl<'a> Candidate<'a> {
    /// Returns a manifest as a candidate, and what its partners must agree on: about one size, one spec and
    /// one kind. `None` if it is large enough, or another engine wrote it.
    fn of(manifest: &'a ManifestFile) -> Option<((u32, i32, u8), Self)> {
        let arrivals = Arrivals::of_manifest(&manifest.manifest_path)?;
        let files = Counts::of(manifest)?.files;
        let is_ours =
            manifest.content == ManifestContentType::Data && manifest.key_metadata.is_none();
        let size = files.checked_ilog10().unwrap_or(0);
        let interval = arrivals.interval().unwrap_or(Interval { from: 0, to: 0 });
        (is_ours && files < FINAL_ENTRIES).then_some((
            (size, manifest.partition_spec_id, arrivals.kind()),
            Self { interval, files, manifest },
        ))
    }
}

/// Returns neighbours in arrival to merge, the smallest first.
fn choose(manifests: &[ManifestFile]) -> Option<Vec<&ManifestFile>> {
    let mut alike: BTreeMap<_, Vec<Candidate<'_>>> = BTreeMap::new();
    for (key, candidate) in manifests.iter().filter_map(Candidate::of) {
        alike.entry(key).or_default().push(candidate);
    }
    let mut group = alike.into_values().find(|it| it.len() >= FAN_IN)?;
    group.sort_by_key(|it| it.interval);
    let span = |it: &&[Candidate<'_>]| {
        let from = it.first().map_or(0, |it| it.interval.from);
        let to = it.iter().map(|it| it.interval.to).max().unwrap_or(0);
        to.saturating_sub(from)
    };
    let nearest = group.windows(FAN_IN).min_by_key(span)?;
    let mut entries = 0_u64;
    let fit = nearest.iter().take_while(|it| {
        entries = entries.saturating_add(it.files);
        entries <= MAX_ENTRIES
    });
    Some(fit.map(|it| it.manifest).collect())
}
