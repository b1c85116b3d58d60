use super::*;
use crate::digest;
use crate::record::Lineage;
use crate::store::verdict::Occurrence;
use crate::time::Timestamp;

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
    let mut occurrences = batch.occurrences();
    for (id, digest) in found {
        let id = RowId::new("queue", id, Some(""), None);
        occurrences.add(id, Occurrence { digest: *digest, arrived_at: None });
    }
    let verdicts = batch.verdicts(&occurrences);
    batch.settle(verdicts)
}

/// The number of duplicates, and the reasons of refused rows by index.
fn end(batch: Batch) -> (u64, Vec<(usize, &'static str)>) {
    let BatchReport { duplicates, refused, .. } = batch.into_report();
    (duplicates, refused.into_iter().map(|(index, it)| (index, it.reason)).collect())
}

const MISFIT: &str = "misfit";

fn misfit() -> Reject {
    Reject::new(MISFIT, "")
}

#[test]
fn the_first_of_an_id_stays() {
    let batch = batch(&[("a", "1"), ("b", ""), ("a", "1"), ("a", "2"), ("b", "3"), ("a", "2")]);
    // An id that AWS gave and one that a route took are of two records.
    assert_eq!(left(&batch), [("a", "1"), ("b", ""), ("b", "3")]);
    assert_eq!(end(batch), (1, vec![(3, ID_REUSED), (5, ID_REUSED)]));
}

#[test]
fn the_rows_of_the_table_came_first() {
    // The second landed, so the first is refused and not the second.
    let mut batch = batch(&[("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")]);
    assert!(settled(&mut batch, &[("a", Some("2")), ("c", None), ("d", None)]));
    assert_eq!(left(&batch), [("b", "1")]);
    assert!(!settled(&mut batch, &[("a", Some("1"))]), "it is decided");
    assert_eq!(end(batch), (2, vec![(0, ID_REUSED)]));
}

#[test]
fn any_row_of_an_id_in_the_table_makes_a_duplicate() {
    let mut batch = batch(&[("a", "1"), ("a", "3")]);
    assert!(settled(&mut batch, &[("a", Some("0")), ("a", Some("1"))]));
    assert_eq!(end(batch), (1, vec![(1, ID_REUSED)]));
}

#[test]
fn a_later_row_replaces_one_that_is_refused() {
    let rows = [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("a", "2"), ("c", "1")];
    let mut batch = batch(&rows);
    assert!(batch.refuse(vec![(0, misfit())]));
    assert_eq!(left(&batch), [("b", "1"), ("c", "1"), ("a", "2")]);
    // Indexes in `rows` and indexes in the batch differ now.
    assert!(batch.refuse(vec![(2, misfit())]));
    assert_eq!(left(&batch), [("b", "1"), ("c", "1"), ("a", "3")]);
    assert!(
        batch.refuse(vec![(2, misfit())]),
        "it has the content of a row that was refused before"
    );
    assert_eq!(left(&batch), [("b", "1"), ("c", "1"), ("a", "2")]);
    assert!(!batch.refuse(vec![(2, misfit())]));
    assert_eq!(left(&batch), [("b", "1"), ("c", "1")]);
    let refused = [0, 2, 3, 5].map(|index| (index, MISFIT));
    assert_eq!(end(batch), (1, refused.into()));
}

#[test]
fn a_row_is_not_a_duplicate_of_a_refused_row() {
    let mut batch = batch(&[("a", "2"), ("a", "2"), ("a", "1")]);
    assert!(settled(&mut batch, &[("a", Some("1"))]));
    assert_eq!(end(batch), (1, vec![(0, ID_REUSED), (1, ID_REUSED)]));
}

/// The verdict on a row depends on its own window, not on the other rows of its batch.
#[test]
fn an_id_may_be_used_again_after_its_window() {
    const DAY: i64 = 24 * 3_600 * 1_000_000;
    let row_at = |days: i64, digest: &str| {
        let mut row = row("a", digest);
        row.lineage.id_window = Some(DAY);
        row.lineage.arrived_at = Timestamp::from_micros(days * DAY);
        row
    };
    let rows = vec![row_at(0, "1"), row_at(1, "1"), row_at(2, "2"), row_at(2, "1"), row_at(4, "1")];
    let batch = Batch::new(rows);
    assert_eq!(left(&batch), [("a", "1"), ("a", "2"), ("a", "1")]);
    assert_eq!(end(batch), (1, vec![(3, ID_REUSED)]));

    // The first is in the table, which the second is too far from.
    let mut batch = Batch::new(vec![row_at(1, "1"), row_at(2, "2")]);
    let mut occurrences = batch.occurrences();
    let id = RowId::new("queue", "a", Some("1"), None);
    occurrences.add(id, Occurrence { digest: Some("1"), arrived_at: Some(0) });
    let verdicts = batch.verdicts(&occurrences);
    assert!(batch.settle(verdicts));
    assert_eq!(left(&batch), [("a", "2")]);
    assert_eq!(end(batch), (1, vec![]));

    let mut batch = Batch::new(vec![row_at(4, "2"), row_at(9, "2")]);
    let mut occurrences = batch.occurrences();
    let seen = |days| Occurrence { digest: Some("1"), arrived_at: Some(days * DAY) };
    let id = RowId::new("queue", "a", Some("1"), None);
    occurrences.add(id, seen(5));
    occurrences.add(id, seen(7));
    let verdicts = batch.verdicts(&occurrences);
    assert!(batch.settle(verdicts));
    assert_eq!(left(&batch), [("a", "2")]);
    assert_eq!(end(batch), (0, vec![(0, ID_REUSED)]));
}

/// A step may hash or rename the field of a route's `id` in another way than when the record landed.
#[test]
fn a_delivery_is_one_record_whatever_its_id() {
    let digest = |content: &str, delivery: &str| digest::of_record(content, delivery);
    let rows = [("new", &*digest("b", "m1")), ("other", &*digest("b", "m2"))];
    let mut batch = batch(&rows);
    assert!(settled(&mut batch, &[("old", Some(&digest("a", "m1")))]));
    assert_eq!(left(&batch), [rows[1]]);
    assert_eq!(end(batch), (1, vec![]));

    // AWS gave these ids, or the sender: only a route's `id` is read after steps.
    let mut rows = vec![row("new", &digest("b", "m1"))];
    rows[0].lineage.id_window = None;
    let mut batch = Batch::new(rows);
    assert!(!settled(&mut batch, &[("old", Some(&digest("a", "m1")))]));
}

#[test]
fn later_rows_follow_the_row_that_they_are_held_against() {
    let mut batch = batch(&[("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "1")]);
    batch.leave(&[0]);
    assert_eq!(left(&batch), [("b", "1")]);
    let BatchReport { indexes, duplicates, refused, rest, .. } = batch.into_report();
    assert_eq!((indexes, duplicates, refused.len()), (vec![1], 0, 1));
    assert_eq!(rest.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2, 4]);
}

#[test]
fn later_rows_alone_do_not_void_the_files() {
    let mut batch = batch(&[("a", "1"), ("a", "2")]);
    assert!(!settled(&mut batch, &[]));
    assert_eq!(left(&batch), [("a", "1")]);
    assert_eq!(end(batch), (0, vec![(1, ID_REUSED)]));
}

/// The source of a pending row was told that it is done: only the table or quarantine may take its place.
#[test]
fn a_row_that_was_taken_along_is_done_only_if_its_twin_is() {
    let twins = || {
        let mut batch = Batch::new(vec![row("a", ""), row("b", "")]);
        batch.take_along([row("a", ""), row("c", "")]);
        batch
    };
    let batch = twins();
    assert_eq!(left(&batch), [("a", ""), ("b", ""), ("c", "")]);
    let BatchReport { duplicates, taken, .. } = batch.into_report();
    assert_eq!((duplicates, taken.landed, taken.left.len()), (0, 1, 0));

    // The batch's own row is refused, and may go back to its queue.
    let mut batch = twins();
    assert!(batch.refuse(vec![(0, misfit())]));
    assert_eq!(batch.place(2), Some(Place::Taken(0)));
    let BatchReport { indexes, taken, refused, .. } = batch.into_report();
    assert_eq!((indexes, taken.landed, refused.len()), (vec![1], 2, 1));

    // It is left to another commit.
    let mut batch = twins();
    batch.leave(&[0]);
    let BatchReport { rest, taken, .. } = batch.into_report();
    assert_eq!((rest.len(), taken.left), (1, vec![0]));

    let mut batch = twins();
    batch.leave_taken();
    assert_eq!(left(&batch), [("a", ""), ("b", "")]);
    assert_eq!(batch.take_own().len(), 2);
}
