//! Finds the live files that may hold records of a batch.
//!
//! Only columns that are the same in every delivery of a record decide, and anything unknown counts
//! as "may hold": a file that is skipped can't hold a record of the batch.

use crate::record::{Op, Row};
use crate::source::Kind;
use crate::store::arrivals::{Arrivals, MAX_MOVE_MS};
use crate::store::live_file::LiveFile;

/// Widening of the arrival interval at both ends: some sources report the same arrival with another
/// resolution when a record is read again.
const ARRIVAL_SLACK_MICROS: i64 = 2_000_000;
/// The same for messages that came through a DLQ.
const MOVED_SLACK_MICROS: i64 = MAX_MOVE_MS * 1_000;

/// The values that a batch has in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Span<T> {
    /// Any value: one of them is null, or there are none.
    Anything,
    /// Closed interval.
    Between(T, T),
}

impl<T: Ord + Clone> Span<T> {
    fn of(values: impl Iterator<Item = Option<T>>) -> Self {
        let mut span: Option<(T, T)> = None;
        for value in values {
            let Some(value) = value else { return Span::Anything };
            span = Some(match span {
                None => (value.clone(), value),
                Some((from, to)) => (from.min(value.clone()), to.max(value)),
            });
        }
        span.map_or(Span::Anything, |(from, to)| Span::Between(from, to))
    }

    fn overlaps(&self, lower: Option<T>, upper: Option<T>) -> bool {
        match (self, lower, upper) {
            (Span::Between(from, to), Some(lower), Some(upper)) => *from <= upper && lower <= *to,
            // A missing bound excludes nothing.
            (Span::Between(from, _), None, Some(upper)) => *from <= upper,
            (Span::Between(_, to), Some(lower), None) => lower <= *to,
            _ => true,
        }
    }
}

/// The search for the records of a batch.
#[derive(Debug, Clone)]
pub struct Search {
    /// The reaches of deliveries, on whose values all deliveries of a record agree: of rows that were
    /// delivered together, one for those whose id comes from their source, another for those whose route
    /// has an `id`.
    delivered: Vec<Reach>,
    /// The reaches of ids, for records whose route has an `id`.
    by_id: Vec<Reach>,
}

/// The way to look into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It may hold a delivery of a record, maybe under another id.
    AtRows,
    /// It may hold another record of an id: a filter of its ids can tell that it does not.
    ById,
}

/// The values by which files may hold some rows of a batch.
#[derive(Debug, Clone)]
struct Reach {
    source: Span<String>,
    shard: Span<String>,
    position: Span<String>,
    arrived: Span<i64>,
    /// Whether some of the rows are messages of queues.
    has_queues: bool,
}

impl Reach {
    /// The reach of rows whose deliveries all agree on shard and position.
    fn of_deliveries(rows: &[&Row]) -> Self {
        // A message that was moved to a DLQ keeps its id and its source, nothing else.
        let moved = rows.iter().any(|row| row.lineage.moved);
        let unless_moved = |it: Span<String>| if moved { Span::Anything } else { it };
        // A stream label tells which stream of a table was read, not which change it is.
        let in_shard =
            |row: &&Row| row.lineage.shard.clone().filter(|_| row.lineage.op == Op::Event);
        let shard = Span::of(rows.iter().map(in_shard));
        let position = Span::of(rows.iter().map(|row| row.lineage.position.clone()));
        Self {
            source: sources(rows),
            shard: unless_moved(shard),
            position: unless_moved(position),
            arrived: arrivals(rows, slack),
            has_queues: has_queues(rows),
        }
    }

    /// The reach of rows whose id other records may have: only source and arrival decide.
    fn of_ids(rows: &[&Row]) -> Self {
        Self {
            source: sources(rows),
            shard: Span::Anything,
            position: Span::Anything,
            arrived: arrivals(rows, reach),
            has_queues: has_queues(rows),
        }
    }

    fn may_be_in(&self, file: &LiveFile) -> bool {
        self.arrived.overlaps(file.arrived_at[0], file.arrived_at[1])
            && of_text(&self.source, &file.source)
            && of_text(&self.position, &file.position)
            && of_text(&self.shard, &file.shard)
    }

    /// The same for a file that another engine has written. If it has compacted messages that came
    /// through a DLQ, its bounds are of what the move has changed.
    fn may_be_in_foreign(&self, file: &LiveFile) -> bool {
        let [lower, upper] = file.arrived_at;
        let lower = lower.map(|it| it.saturating_sub(MOVED_SLACK_MICROS));
        let of_queue = self.arrived.overlaps(lower, upper) && of_text(&self.source, &file.source);
        if self.has_queues { of_queue } else { self.may_be_in(file) }
    }
}

fn of_text(span: &Span<String>, [lower, upper]: &[Option<String>; 2]) -> bool {
    span.overlaps(lower.clone(), upper.clone())
}

fn sources(rows: &[&Row]) -> Span<String> {
    Span::of(rows.iter().map(|row| Some(row.lineage.source.clone())))
}

fn has_queues(rows: &[&Row]) -> bool {
    rows.iter().any(|row| row.lineage.source.split(':').nth(2) == Some(Kind::Sqs.service()))
}

/// Returns how far apart from a row, in microseconds, its record may have arrived before: in
/// another delivery, or, where the route has an `id`, as another record.
pub fn reach(row: &Row) -> i64 {
    let slack = slack(row);
    row.lineage.id_window.map_or(slack, |it| it.max(slack))
}

/// Returns how far apart two deliveries of a row's record may have arrived.
fn slack(row: &Row) -> i64 {
    if row.lineage.moved { MOVED_SLACK_MICROS } else { ARRIVAL_SLACK_MICROS }
}

/// Returns the interval in which records of these rows may have arrived, each so far apart from its row.
fn arrivals(rows: &[&Row], apart: fn(&Row) -> i64) -> Span<i64> {
    let around = |row: &&Row| {
        let slack = apart(row);
        let arrived = row.lineage.arrived_at?.micros();
        Some([arrived.saturating_sub(slack), arrived.saturating_add(slack)])
    };
    let Some(all) = rows.iter().map(around).collect::<Option<Vec<_>>>() else {
        return Span::Anything;
    };
    Span::of(all.into_iter().flatten().map(Some))
}

impl Search {
    /// Makes the search for rows that were delivered together.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut search = Self { delivered: Vec::new(), by_id: Vec::new() };
        search.add(rows);
        search
    }

    /// Searches for other rows as well, which have a reach of their own.
    pub fn add<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        let (by_id, others): (Vec<&Row>, Vec<&Row>) =
            rows.into_iter().partition(|row| row.lineage.id_window.is_some());
        let groups = [&others, &by_id].into_iter().filter(|it| !it.is_empty());
        self.delivered.extend(groups.map(|it| Reach::of_deliveries(it)));
        self.by_id.extend((!by_id.is_empty()).then(|| Reach::of_ids(&by_id)));
    }

    /// Returns whether a manifest may have a file that is searched for, by its name alone.
    pub fn may_be_in_manifest(&self, location: &str) -> bool {
        let named = Arrivals::of_manifest(location).and_then(Arrivals::interval);
        named.is_none_or(|it| {
            let micros = |ms: i64| ms.saturating_mul(1_000);
            // The milliseconds of the name are rounded down, so the last one counts to its end.
            let (from, to) = (micros(it.from), micros(it.to).saturating_add(999));
            let mut reaches = self.delivered.iter().chain(&self.by_id);
            reaches.any(|reach| reach.arrived.overlaps(Some(from), Some(to)))
        })
    }

    /// Returns how to look into a file of a manifest; `None` if it holds no record that is searched for.
    pub fn look_into(&self, manifest: &str, file: &LiveFile) -> Option<Look> {
        let is_ours = Arrivals::of_manifest(manifest).is_some();
        let may_hold = |reach: &Reach| match is_ours {
            true => reach.may_be_in(file),
            false => reach.may_be_in_foreign(file),
        };
        if self.delivered.iter().any(may_hold) {
            Some(Look::AtRows)
        } else {
            self.by_id.iter().any(may_hold).then_some(Look::ById)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With too much pruning a record lands twice; with too little a commit reads for nothing.
    #[test]
    fn a_span_overlaps_unless_existing_bounds_exclude_it() {
        let span = Span::of([Some(3), Some(7), Some(5)].into_iter());
        for (lower, upper, expected) in [
            (Some(1), Some(2), false),
            (Some(1), Some(3), true),
            (Some(4), Some(6), true),
            (Some(7), Some(9), true),
            (Some(8), Some(9), false),
            (None, Some(2), false),
            (None, Some(3), true),
            (Some(7), None, true),
            (Some(8), None, false),
            (None, None, true),
        ] {
            assert_eq!(span.overlaps(lower, upper), expected, "{lower:?} to {upper:?}");
        }
        for anything in [Span::of([Some(3), None].into_iter()), Span::of(std::iter::empty())] {
            assert!(anything.overlaps(Some(8), Some(9)));
        }
    }
}
