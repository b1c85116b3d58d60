//! The choice of the files that are worth joining into one.
//!
//! Each rewrite at least doubles the file that a row is in, so that a row is rewritten a few times on its
//! way to the target, however many commits there are.

use std::cmp::Reverse;
use std::collections::HashMap;

use iceberg::spec::{DataFile, Struct};

use crate::store::live_file::{LiveFile, SearchColumns};

/// A file of half this size in bytes, or more, is left as it is.
const TARGET_BYTES: u64 = 128 * 1024 * 1024;
/// The smallest number of files that are worth joining.
const MIN_INPUTS: usize = 4;
/// Files whose rows arrived in this time are left alone, in microseconds: late records land beside them,
/// and they would be rewritten again…
const HOUR: i64 = 3_600 * 1_000_000;
/// …unless there are more of them than this. Then only those of the last ten minutes are.
const MAX_OF_HOUR: usize = 500;
const TEN_MINUTES: i64 = 600 * 1_000_000;

/// The way in which the rows of a file are found. Files of two kinds are never joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// By its bounds, which are those of its rows.
    Known,
    /// It lacks bounds: some rows came through a DLQ, or have no arrival.
    Loose,
    /// Another engine wrote it. Its bounds are of its rows, which may have come through a DLQ.
    Foreign,
}

/// A live file, as far as the plan needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedFile {
    /// Its location.
    pub(super) location: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Its rows.
    pub(super) rows: u64,
    /// The way in which its rows are found.
    pub(super) kind: Kind,
    /// The spec that it was written with.
    pub(super) spec_id: i32,
    /// First and last arrival in microseconds, as its bounds say.
    arrived: Option<[i64; 2]>,
    partition: Struct,
}

impl PlannedFile {
    /// Takes what the plan needs from an entry of a manifest, which Lakeward wrote or another engine.
    pub(super) fn new(
        file: &DataFile,
        spec_id: i32,
        columns: SearchColumns,
        is_ours: bool,
    ) -> Self {
        let live = LiveFile::new(file, columns);
        let arrived = match live.arrived_at {
            [Some(from), Some(to)] => Some([from, to]),
            _ => None,
        };
        let is_known = arrived.is_some() && is_whole(&live.source) && is_whole(&live.position);
        let kind = match (is_ours, is_known) {
            (false, _) => Kind::Foreign,
            (true, true) => Kind::Known,
            (true, false) => Kind::Loose,
        };
        Self {
            location: live.location,
            bytes: file.file_size_in_bytes(),
            rows: file.record_count(),
            kind,
            spec_id,
            arrived,
            partition: file.partition().clone(),
        }
    }
}

fn is_whole<T>(bounds: &[Option<T>; 2]) -> bool {
    bounds.iter().all(Option::is_some)
}

/// Partitions that must be left alone, because deletes apply to their files.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    /// Spec and partition of each delete file.
    pub(super) partitions: Vec<(i32, Struct)>,
    /// Whether one of them applies to all partitions.
    pub(super) is_global: bool,
}

impl Deletes {
    fn may_apply(&self, file: &PlannedFile) -> bool {
        let is_of = |(spec, partition): &(i32, Struct)| {
            *spec == file.spec_id && *partition == file.partition
        };
        self.is_global || self.partitions.iter().any(is_of)
    }
}

/// Returns the files of the next unit, of at most `max_bytes`; none if nothing is worth it at `now`, in
/// microseconds.
pub(super) fn unit<'a>(
    files: impl IntoIterator<Item = &'a PlannedFile>,
    deletes: &Deletes,
    now: i64,
    max_bytes: u64,
) -> Vec<&'a PlannedFile> {
    let mut groups: HashMap<(i32, &Struct, Kind), Vec<&PlannedFile>> = HashMap::new();
    for file in files {
        if file.bytes < TARGET_BYTES / 2 && !deletes.may_apply(file) {
            let key = (file.spec_id, &file.partition, file.kind);
            groups.entry(key).or_default().push(file);
        }
    }
    let units = groups.into_values().map(|group| unit_of(group, now, max_bytes));
    // Of two that are as large, the older one.
    let first = |unit: &Vec<&PlannedFile>| unit.first().map(|it| (it.arrived, it.kind));
    units.max_by_key(|unit| (unit.len(), Reverse(first(unit)))).unwrap_or_default()
}

/// Returns the unit of one group: as many of its smallest files as are together twice as large as the
/// largest of them, neighbours in arrival.
fn unit_of(mut group: Vec<&PlannedFile>, now: i64, max_bytes: u64) -> Vec<&PlannedFile> {
    let is_since = |file: &&PlannedFile, age: i64| {
        file.arrived.is_some_and(|[_, to]| to > now.saturating_sub(age))
    };
    let of_hour = group.iter().filter(|it| is_since(it, HOUR)).count();
    let age = if of_hour > MAX_OF_HOUR { TEN_MINUTES } else { HOUR };
    // A larger file would leave no room for others.
    let largest = max_bytes / u64::try_from(MIN_INPUTS).unwrap_or(1);
    group.retain(|it| !is_since(it, age) && it.bytes <= largest);
    group.sort_by_key(|it| it.bytes);
    group.truncate(worthwhile(&group));
    group.sort_by_key(|it| it.arrived);
    let mut bytes = 0_u64;
    let fit = group.iter().take_while(|it| {
        bytes = bytes.saturating_add(it.bytes);
        bytes <= max_bytes
    });
    let fit = fit.count();
    if fit < group.len() {
        group.truncate(fit);
        group.sort_by_key(|it| it.bytes);
        group.truncate(worthwhile(&group));
    }
    group
}

/// Returns how many of some files, the smallest first, are worth joining.
fn worthwhile(smallest_first: &[&PlannedFile]) -> usize {
    let mut sum = 0_u64;
    let mut count = 0;
    for (index, file) in smallest_first.iter().enumerate() {
        sum = sum.saturating_add(file.bytes);
        if index + 1 >= MIN_INPUTS && sum >= file.bytes.saturating_mul(2) {
            count = index + 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR;

    fn file(n: i64, bytes: u64) -> PlannedFile {
        PlannedFile {
            location: n.to_string(),
            bytes,
            rows: 1,
            kind: Kind::Known,
            arrived: Some([n * 1_000_000, n * 1_000_000 + 1]),
            spec_id: 0,
            partition: Struct::empty(),
        }
    }

    fn chosen(files: &[PlannedFile], max_bytes: u64) -> Vec<String> {
        let found = unit(files, &Deletes::default(), DAY, max_bytes);
        let mut names: Vec<String> = found.iter().map(|it| it.location.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_joined_if_each_rewrite_doubles_them() {
        let four = [file(1, 10), file(2, 10), file(3, 10), file(4, 10)];
        assert_eq!(chosen(&four, 1_000), ["1", "2", "3", "4"]);
        assert!(chosen(&four[..3], 1_000).is_empty(), "three are too few");
        // The large one would be rewritten for little.
        let beside = [four.as_slice(), &[file(5, 100)]].concat();
        assert_eq!(chosen(&beside, 1_000), ["1", "2", "3", "4"]);
        let grown = [file(1, 40), file(2, 40), file(3, 10), file(4, 10), file(5, 10)];
        assert_eq!(chosen(&grown, 1_000), ["1", "2", "3", "4", "5"]);
        let large = [1, 2, 3, 4].map(|n| file(n, TARGET_BYTES / 2));
        assert!(chosen(&large, u64::MAX).is_empty(), "they are large enough");
    }

    #[test]
    fn a_unit_is_bounded_and_of_neighbours() {
        let files: Vec<PlannedFile> = (1..100).map(|n| file(100 - n, 10)).collect();
        let unit = unit(&files, &Deletes::default(), DAY, 55);
        assert_eq!(unit.iter().map(|it| it.location.as_str()).collect::<Vec<_>>().len(), 5);
        assert!(unit.iter().all(|it| it.arrived.unwrap()[0] <= 5_000_000));
    }

    /// Outputs of earlier units are the oldest files of their partition.
    #[test]
    fn large_old_files_do_not_keep_small_ones_apart() {
        let large = (1..4).map(|n| file(n, 5_000));
        let files: Vec<PlannedFile> = large.chain((10..600).map(|n| file(n, 15))).collect();
        assert_eq!(chosen(&files, 12_000).len(), 590);
    }

    #[test]
    fn kinds_partitions_and_specs_stay_apart() {
        let mut files: Vec<PlannedFile> = (1..9).map(|n| file(n, 10)).collect();
        for (n, file) in files.iter_mut().enumerate() {
            match n % 3 {
                0 => file.kind = Kind::Loose,
                1 => file.spec_id = 1,
                _ => file.partition = Struct::from_iter([None]),
            }
        }
        assert!(chosen(&files, 1_000).is_empty());
    }

    #[test]
    fn what_arrived_lately_is_left_alone() {
        let recent = |n: i64| PlannedFile { arrived: Some([DAY - n, DAY - n]), ..file(n, 10) };
        let few: Vec<_> = (1..100).map(|n| recent(n * 30_000_000)).collect();
        assert!(chosen(&few, 10_000).is_empty());
        let many: Vec<_> = (1..600).map(|n| recent(n * 5_000_000)).collect();
        let found = unit(&many, &Deletes::default(), DAY, 10_000);
        assert_eq!(found.len(), 480);
        assert!(found.iter().all(|it| it.arrived.unwrap()[1] <= DAY - TEN_MINUTES));
    }

    #[test]
    fn where_deletes_apply_nothing_is_joined() {
        let files: Vec<PlannedFile> = (1..9).map(|n| file(n, 10)).collect();
        let of = |partitions, is_global| Deletes { partitions, is_global };
        let here = of(vec![(0, Struct::empty())], false);
        let elsewhere = of(vec![(1, Struct::empty()), (0, Struct::from_iter([None]))], false);
        assert!(unit(&files, &here, DAY, 1_000).is_empty());
        assert!(unit(&files, &of(Vec::new(), true), DAY, 1_000).is_empty());
        assert_eq!(unit(&files, &elsewhere, DAY, 1_000).len(), 8);
    }
}
