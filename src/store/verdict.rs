//! The verdicts on rows: whether a table, or an earlier row of the batch, holds them already.
//!
//! A row is identified by its source, its id, and who gave the id. An id that AWS gave is of one record.
//! Of an id that a route took from the record, or the sender gave, two records can have different
//! content. Where a route took it, a row of the same delivery is the same record even under another id:
//! the route's steps may have changed the field since.

use std::collections::HashMap;

use crate::digest;
use crate::record::{Lineage, Row, SHARD_OF_KINESIS};
use crate::source::Kind;
use crate::store::candidates;
use crate::time::Timestamp;

/// The identity of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowId<'a> {
    source: &'a str,
    id: &'a str,
    /// True if AWS did not give the id.
    is_claimed: bool,
}

impl<'a> RowId<'a> {
    /// Makes the identity of a row by its lineage columns.
    pub fn new(source: &'a str, id: &'a str, digest: Option<&str>, shard: Option<&str>) -> Self {
        // Lakeward's first release gave no digest to changes that came through Kinesis.
        let came_through_kinesis = shard == Some(SHARD_OF_KINESIS)
            && source.split(':').nth(2) == Some(Kind::DynamoDb.service());
        Self { source, id, is_claimed: digest.is_some() || came_through_kinesis }
    }

    /// Returns the identity of a row on its way to a table.
    pub fn of(row: &'a Row) -> Self {
        let Lineage { source, id, digest, shard, .. } = &row.lineage;
        Self::new(source, id, digest.as_deref(), shard.as_deref())
    }
}

/// One occurrence of an id, in a table or in a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Occurrence<'a> {
    /// `_lw_digest`
    pub digest: Option<&'a str>,
    /// `_lw_arrived_at`, in microseconds.
    pub arrived_at: Option<i64>,
}

/// The occurrences of a batch's ids in a table.
#[derive(Debug)]
pub struct Occurrences<'a> {
    /// Index in `found` by id.
    wanted: HashMap<RowId<'a>, usize>,
    /// Index in `is_there` by source and delivery, for rows whose route has an `id`.
    deliveries: HashMap<(&'a str, &'a str), usize>,
    /// Whether the table has a row of each delivery.
    is_there: Vec<bool>,
    /// Digest and arrival of each occurrence.
    found: Vec<Vec<(Option<String>, Option<i64>)>>,
}

impl<'a> Occurrences<'a> {
    /// An empty collection for the ids of these rows.
    pub fn of(rows: impl Iterator<Item = &'a Row>) -> Self {
        let (mut wanted, mut deliveries) = (HashMap::new(), HashMap::new());
        for row in rows {
            let next = wanted.len();
            wanted.entry(RowId::of(row)).or_insert(next);
            if let Some(delivery) = delivery(row) {
                let next = deliveries.len();
                deliveries.entry(delivery).or_insert(next);
            }
        }
        let (found, is_there) = (vec![Vec::new(); wanted.len()], vec![false; deliveries.len()]);
        Occurrences { wanted, found, deliveries, is_there }
    }

    /// Adds a row of the table; ids and deliveries that the batch does not have are ignored.
    pub fn add(&mut self, id: RowId<'_>, occurrence: Occurrence<'_>) {
        let delivery = occurrence.digest.and_then(digest::delivery_of);
        let delivery = delivery.and_then(|it| self.deliveries.get(&(id.source, it)));
        if let Some(is_there) = delivery.and_then(|it| self.is_there.get_mut(*it)) {
            *is_there = true;
        }
        let Some(index) = self.wanted.get(&id) else { return };
        if let Some(found) = self.found.get_mut(*index) {
            found.push((occurrence.digest.map(str::to_owned), occurrence.arrived_at));
        }
    }

    /// Returns the verdict on a row, given the occurrences of its id.
    pub(super) fn verdict(&self, row: &'a Row) -> Verdict {
        let of_delivery = delivery(row).and_then(|it| self.deliveries.get(&it));
        if of_delivery.and_then(|it| self.is_there.get(*it)) == Some(&true) {
            return Verdict::Duplicate;
        }
        let index = self.wanted.get(&RowId::of(row)).copied();
        let found = index.and_then(|it| self.found.get(it)).map_or(&[][..], Vec::as_slice);
        let occurrences = found.iter().map(|(digest, arrived_at)| Occurrence {
            digest: digest.as_deref(),
            arrived_at: *arrived_at,
        });
        Verdict::of(row, occurrences)
    }
}

/// The verdict on a row, given earlier rows of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may land.
    Stays,
    /// It is one of them.
    Duplicate,
    /// Its id is that of another record.
    Reused,
}

impl Verdict {
    /// The verdict on a row, given the earlier occurrences of its id.
    fn of<'a>(row: &Row, occurrences: impl Iterator<Item = Occurrence<'a>>) -> Self {
        let mut verdict = Self::Stays;
        for occurrence in occurrences.filter(|it| is_near(row, it.arrived_at)) {
            if is_same(row, occurrence.digest) {
                return Self::Duplicate;
            }
            verdict = Self::Reused;
        }
        verdict
    }
}

/// The verdicts on the rows that are sought in a table, in their order.
pub type Verdicts = Vec<Verdict>;

/// The verdict on each row, given the rows of its id that come before it and stay.
pub fn verdicts_within<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Verdict> {
    let mut stay: HashMap<RowId<'a>, Vec<Occurrence<'a>>> = HashMap::new();
    let verdict = |row: &'a Row| {
        let before = stay.entry(RowId::of(row)).or_default();
        let verdict = Verdict::of(row, before.iter().copied());
        if verdict == Verdict::Stays {
            before.push(Occurrence {
                digest: row.lineage.digest.as_deref(),
                arrived_at: arrival(row),
            });
        }
        verdict
    };
    rows.into_iter().map(verdict).collect()
}

/// Returns whether another row of the same id arrived near enough to be the same record, or one
/// that reuses the id. An id that AWS did not give may be used again later: the search for rows of a
/// batch reaches no further.
fn is_near(row: &Row, arrived_at: Option<i64>) -> bool {
    let is_claimed = row.lineage.id_window.is_some() || row.lineage.digest.is_some();
    match (is_claimed, arrival(row), arrived_at) {
        (true, Some(own), Some(other)) => {
            let apart = i64::try_from(own.abs_diff(other)).unwrap_or(i64::MAX);
            apart <= candidates::reach(row)
        }
        _ => true,
    }
}

/// Returns the source and the delivery of a row whose route has an `id`.
fn delivery(row: &Row) -> Option<(&str, &str)> {
    let Lineage { source, digest, id_window, .. } = &row.lineage;
    let digest = digest.as_deref().filter(|_| id_window.is_some())?;
    Some((source, digest::delivery_of(digest)?))
}

fn arrival(row: &Row) -> Option<i64> {
    row.lineage.arrived_at.map(Timestamp::micros)
}

/// Returns whether a row is the record of its id that has this digest. Where one of the two has no
/// digest, the id alone identifies the record.
fn is_same(row: &Row, known: Option<&str>) -> bool {
    match (row.lineage.digest.as_deref(), known) {
        (Some(own), Some(known)) => digest::is_same_record(own, known),
        _ => true,
    }
}
