//! The rows of a commit: those that may still land, and what became of the others.
//!
//! A row is named by its source and id. Where the route has an `id`, two records of one name can
//! say different things: the first that landed stays, and the others are refused, never dropped.

use std::collections::HashMap;

use crate::record::{Reject, Row};
use crate::store::candidates;
use crate::time::Timestamp;

/// Reason of a row whose id names another record.
const ID_REUSED: &str = "id_reused";

/// What names a row: its source and its id.
pub type Name<'a> = (&'a str, &'a str);

/// Something of a row, or itself, after its place in the batch as it was offered.
type Placed<T = Row> = (usize, T);

/// The rows of one commit.
#[derive(Debug, Default)]
pub struct Batch {
    /// At most one row of each name, but where the route's `id_window` parts them.
    rows: Vec<Row>,
    /// Of each row, its place in the batch as it was offered.
    places: Vec<usize>,
    /// Further rows of the same names. What becomes of them is known in the end: what the table
    /// holds decides which of them came first.
    later: Vec<Placed>,
    duplicates: u64,
    refused: Vec<(usize, Reject)>,
}

/// What became of the rows of a batch.
#[derive(Debug)]
pub struct Ended {
    /// Those that landed, by their places in the batch as it was offered.
    pub places: Vec<usize>,
    /// The number of those that were there already.
    pub duplicates: u64,
    /// Those that the table does not take, by their places.
    pub refused: Vec<Placed<Reject>>,
}

/// What a table's rows say beside their names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// `_lw_digest`
    pub digest: Option<&'a str>,
    /// `_lw_arrived_at`, in microseconds.
    pub arrived_at: Option<i64>,
}

/// The rows of some names that are in a table.
#[derive(Debug)]
pub struct Sightings<'a> {
    wanted: HashMap<Name<'a>, usize>,
    /// By name: digest and arrival of each row found.
    found: Vec<Vec<(Option<String>, Option<i64>)>>,
}

impl<'a> Sightings<'a> {
    /// Notes a row of the table.
    pub fn see(&mut self, name: Name<'_>, seen: Seen<'_>) {
        let Some(at) = self.wanted.get(&name) else { return };
        if let Some(found) = self.found.get_mut(*at) {
            found.push((seen.digest.map(str::to_owned), seen.arrived_at));
        }
    }

    fn fate(&self, row: &'a Row) -> Fate {
        let at = self.wanted.get(&name(row)).copied();
        let found = at.and_then(|it| self.found.get(it)).map_or(&[][..], Vec::as_slice);
        let seen = found.iter().map(|(digest, arrived_at)| Seen {
            digest: digest.as_deref(),
            arrived_at: *arrived_at,
        });
        Fate::among(row, seen)
    }
}

/// What a row's sightings say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Duplicate,
    Reused,
}

impl Fate {
    /// What a row is to others of its name.
    fn among<'a>(row: &Row, others: impl Iterator<Item = Seen<'a>>) -> Self {
        let mut fate = Self::Stays;
        for seen in others.filter(|it| is_near(row, it.arrived_at)) {
            if is_same(row, seen.digest) {
                return Self::Duplicate;
            }
            fate = Self::Reused;
        }
        fate
    }
}

impl Batch {
    /// The batch of these rows. The first of each name counts.
    pub fn new(rows: Vec<Row>) -> Self {
        let mut batch = Self::default();
        let places: Vec<Placed> = rows.into_iter().enumerate().collect();
        batch.arrange(places);
        batch
    }

    /// Takes in rows that are in the order of their coming.
    fn arrange(&mut self, all: Vec<Placed>) {
        let fates = fates_within(all.iter().map(|(_, row)| row));
        for ((place, row), fate) in all.into_iter().zip(fates) {
            if fate == Fate::Stays {
                self.push(place, row);
            } else if row.lineage.digest.is_some() {
                self.later.push((place, row));
            } else {
                // Its name is all there is to know of it.
                self.duplicates = self.duplicates.saturating_add(1);
            }
        }
    }

    fn push(&mut self, place: usize, row: Row) {
        self.rows.push(row);
        self.places.push(place);
    }

    /// The rows that may still land.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// All rows that are looked for in the table.
    pub fn sought(&self) -> impl Iterator<Item = &Row> + Clone {
        self.rows.iter().chain(self.later.iter().map(|(_, row)| row))
    }

    /// Nothing seen yet of what is sought.
    pub fn sightings(&self) -> Sightings<'_> {
        let mut wanted = HashMap::with_capacity(self.rows.len());
        for row in self.sought() {
            let next = wanted.len();
            wanted.entry(name(row)).or_insert(next);
        }
        Sightings { found: vec![Vec::new(); wanted.len()], wanted }
    }

    /// What sightings mean for each row that is sought.
    pub fn verdict(&self, sightings: &Sightings<'_>) -> Verdict {
        Verdict(self.sought().map(|row| sightings.fate(row)).collect())
    }

    /// Takes out what the table holds, and what it holds something else for. Returns whether
    /// `rows` have changed.
    pub fn settle(&mut self, verdict: Verdict) -> bool {
        let Verdict(fates) = verdict;
        if fates.iter().all(|it| *it == Fate::Stays) {
            return false;
        }
        let mut fates = fates.into_iter();
        let before = self.rows.len();
        for (place, row) in self.take() {
            self.decide(place, row, fates.next(), false);
        }
        for (place, row) in std::mem::take(&mut self.later) {
            self.decide(place, row, fates.next(), true);
        }
        self.rows.len() != before
    }

    fn decide(&mut self, place: usize, row: Row, fate: Option<Fate>, is_later: bool) {
        match fate {
            Some(Fate::Duplicate) => self.duplicates = self.duplicates.saturating_add(1),
            Some(Fate::Reused) => {
                let detail = "the table has another record of this id, with other content";
                self.refused.push((place, Reject::new(ID_REUSED, detail)));
            }
            Some(Fate::Stays) | None if is_later => self.later.push((place, row)),
            Some(Fate::Stays) | None => self.push(place, row),
        }
    }

    /// Refuses rows, by their place in `rows`. Where there is a later row of the name, it takes the
    /// place. Returns whether any did.
    pub fn refuse(&mut self, rejects: Vec<(usize, Reject)>) -> bool {
        let mut rejects: HashMap<usize, Reject> = rejects.into_iter().collect();
        let mut left = Vec::with_capacity(self.rows.len());
        for (at, (place, row)) in self.take().into_iter().enumerate() {
            match rejects.remove(&at) {
                Some(reject) => self.refused.push((place, reject)),
                None => left.push((place, row)),
            }
        }
        let before = left.len();
        left.append(&mut self.later);
        self.arrange(left);
        self.rows.len() > before
    }

    fn take(&mut self) -> Vec<Placed> {
        std::mem::take(&mut self.places).into_iter().zip(std::mem::take(&mut self.rows)).collect()
    }

    /// How it ended, once `rows` are in the table.
    pub fn end(mut self) -> Ended {
        let fates = fates_within(self.sought()).split_off(self.rows.len());
        for ((place, _), fate) in std::mem::take(&mut self.later).into_iter().zip(fates) {
            if fate == Fate::Duplicate {
                self.duplicates = self.duplicates.saturating_add(1);
                continue;
            }
            let detail = "an earlier record of the batch has this id, and other content";
            self.refused.push((place, Reject::new(ID_REUSED, detail)));
        }
        self.refused.sort_by_key(|(place, _)| *place);
        Ended { places: self.places, duplicates: self.duplicates, refused: self.refused }
    }
}

/// What a look at the table found out about the rows that are sought, in their order.
#[derive(Debug)]
pub struct Verdict(Vec<Fate>);

/// What each row is to those of its name that come before it and stay.
fn fates_within<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Fate> {
    let mut stay: HashMap<Name<'a>, Vec<Seen<'a>>> = HashMap::new();
    let fate = |row: &'a Row| {
        let before = stay.entry(name(row)).or_default();
        let fate = Fate::among(row, before.iter().copied());
        if fate == Fate::Stays {
            before.push(Seen { digest: row.lineage.digest.as_deref(), arrived_at: arrival(row) });
        }
        fate
    };
    rows.into_iter().map(fate).collect()
}

/// Whether a row of the same name is near enough to be the same event, or one that claims to be.
/// The name of a record that no route names is its own for ever.
fn is_near(row: &Row, arrived_at: Option<i64>) -> bool {
    match (row.lineage.id_window, arrival(row), arrived_at) {
        (Some(_), Some(own), Some(other)) => {
            let apart = i64::try_from(own.abs_diff(other)).unwrap_or(i64::MAX);
            apart <= candidates::reach(row)
        }
        _ => true,
    }
}

fn arrival(row: &Row) -> Option<i64> {
    row.lineage.arrived_at.map(Timestamp::micros)
}

/// Whether a row is the record that is known under its name by a digest. Where one of them has
/// none, its name is all there is to go by.
fn is_same(row: &Row, known: Option<&str>) -> bool {
    match (row.lineage.digest.as_deref(), known) {
        (Some(own), Some(known)) => own == known,
        _ => true,
    }
}

fn name(row: &Row) -> Name<'_> {
    (&row.lineage.source, &row.lineage.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Lineage;

    fn row(id: &str, digest: &str) -> Row {
        let lineage = Lineage {
            digest: (!digest.is_empty()).then(|| digest.to_owned()),
            id_window: Some(1),
            ..Lineage::new("queue", id)
        };
        Row { lineage, fields: Vec::new() }
    }

    fn batch(rows: &[(&str, &str)]) -> Batch {
        Batch::new(rows.iter().map(|(id, digest)| row(id, digest)).collect())
    }

    fn left(batch: &Batch) -> Vec<(&str, &str)> {
        let lineages = batch.rows().iter().map(|row| &row.lineage);
        lineages.map(|it| (it.id.as_str(), it.digest.as_deref().unwrap_or_default())).collect()
    }

    fn settled(batch: &mut Batch, found: &[(&str, Option<&str>)]) -> bool {
        let mut sightings = batch.sightings();
        for (id, digest) in found {
            sightings.see(("queue", id), Seen { digest: *digest, arrived_at: None });
        }
        let verdict = batch.verdict(&sightings);
        batch.settle(verdict)
    }

    /// Duplicates and the reasons of refused rows, by place.
    fn end(batch: Batch) -> (u64, Vec<(usize, &'static str)>) {
        let Ended { duplicates, refused, .. } = batch.end();
        (duplicates, refused.into_iter().map(|(place, it)| (place, it.reason)).collect())
    }

    const MISFIT: &str = "misfit";

    fn misfit() -> Reject {
        Reject::new(MISFIT, "")
    }

    #[test]
    fn the_first_of_an_id_stays() {
        let batch = batch(&[("a", "1"), ("b", ""), ("a", "1"), ("a", "2"), ("b", "3"), ("a", "2")]);
        assert_eq!(left(&batch), [("a", "1"), ("b", "")]);
        assert_eq!(end(batch), (2, vec![(3, ID_REUSED), (5, ID_REUSED)]));
    }

    #[test]
    fn what_the_table_holds_came_first() {
        // The second is what landed; the first is refused and not the second.
        let mut batch = batch(&[("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")]);
        assert!(settled(&mut batch, &[("a", Some("2")), ("c", None), ("d", None)]));
        assert_eq!(left(&batch), [("b", "1")]);
        assert!(!settled(&mut batch, &[("a", Some("1"))]), "it is decided");
        assert_eq!(end(batch), (2, vec![(0, ID_REUSED)]));
    }

    #[test]
    fn where_a_table_has_several_rows_of_an_id_any_of_them_will_do() {
        let mut batch = batch(&[("a", "1"), ("a", "3")]);
        assert!(settled(&mut batch, &[("a", Some("0")), ("a", Some("1"))]));
        assert_eq!(end(batch), (1, vec![(1, ID_REUSED)]));
    }

    #[test]
    fn a_later_row_takes_the_place_of_one_that_the_table_does_not_let_in() {
        let rows =
            [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("a", "2"), ("b", "")];
        let mut batch = batch(&rows);
        assert!(batch.refuse(vec![(0, misfit())]));
        assert_eq!(left(&batch), [("b", "1"), ("a", "2")]);
        // Places in `rows` and places in the batch differ now.
        assert!(batch.refuse(vec![(1, misfit())]));
        assert_eq!(left(&batch), [("b", "1"), ("a", "3")]);
        assert!(batch.refuse(vec![(1, misfit())]), "one that says what was refused before");
        assert_eq!(left(&batch), [("b", "1"), ("a", "2")]);
        assert!(!batch.refuse(vec![(1, misfit())]));
        assert_eq!(left(&batch), [("b", "1")]);
        let refused = [0, 2, 3, 5].map(|place| (place, MISFIT));
        assert_eq!(end(batch), (2, refused.into()));
    }

    #[test]
    fn a_row_is_no_duplicate_of_one_that_is_refused() {
        let mut batch = batch(&[("a", "2"), ("a", "2"), ("a", "1")]);
        assert!(settled(&mut batch, &[("a", Some("1"))]));
        assert_eq!(end(batch), (1, vec![(0, ID_REUSED), (1, ID_REUSED)]));
    }

    /// What becomes of a row depends on its own window, not on what is in its batch.
    #[test]
    fn an_id_may_come_again_once_its_window_is_over() {
        const DAY: i64 = 24 * 3_600 * 1_000_000;
        let at = |days: i64, digest: &str| {
            let mut row = row("a", digest);
            row.lineage.id_window = Some(DAY);
            row.lineage.arrived_at = Timestamp::from_micros(days * DAY);
            row
        };
        let rows = vec![at(0, "1"), at(1, "1"), at(2, "2"), at(2, "1"), at(4, "1")];
        let batch = Batch::new(rows);
        assert_eq!(left(&batch), [("a", "1"), ("a", "2"), ("a", "1")]);
        assert_eq!(end(batch), (1, vec![(3, ID_REUSED)]));

        let mut batch = Batch::new(vec![at(4, "2"), at(9, "2")]);
        let mut sightings = batch.sightings();
        let seen = |days| Seen { digest: Some("1"), arrived_at: Some(days * DAY) };
        sightings.see(("queue", "a"), seen(5));
        sightings.see(("queue", "a"), seen(7));
        let verdict = batch.verdict(&sightings);
        assert!(batch.settle(verdict));
        assert_eq!(left(&batch), [("a", "2")]);
        assert_eq!(end(batch), (0, vec![(0, ID_REUSED)]));
    }

    #[test]
    fn only_what_changes_the_rows_voids_their_files() {
        let mut batch = batch(&[("a", "1"), ("a", "2")]);
        assert!(!settled(&mut batch, &[]));
        assert_eq!(left(&batch), [("a", "1")]);
        assert_eq!(end(batch), (0, vec![(1, ID_REUSED)]));
    }
}
