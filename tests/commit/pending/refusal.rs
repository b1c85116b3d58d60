//! Rows that their table refuses when a commit takes them along.

use std::sync::Arc;

use lakeward::deadline::Deadline;
use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::store::{LandReport, Leaving, Offer};
use lakeward::table::declared::DeclaredType;
use lakeward::table::layout::{DeclaredColumn, Misfits, Policy};

use super::{contended, lake, land, objects, rows, sweep};
use crate::commit::run;
use crate::support::lake::{fields, read, row, table, text};
use crate::support::store::Memory;

/// A row whose id its route took, with this content.
fn claimed(n: u32, content: &str) -> Row {
    let mut row = row(n, fields([("a", text(content))]));
    row.lineage.digest = Some(content.repeat(32));
    row.lineage.id_window = Some(3_600_000_000);
    row
}

/// The row of quarantine of a row.
fn original(n: u32) -> Row {
    row(n, fields([("record", text(&format!("record {n}")))]))
}

/// A source that was told "done" never sends its record again: what the table refuses then is kept.
#[test]
fn what_the_table_refuses_later_goes_to_quarantine_before_the_object_goes() {
    for direct_first in [false, true] {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as _;
        run(async {
            let left = contended(&memory).await;
            let original = |index: usize| Some(original(70 + index as u32));
            let offer = |rows| Offer { rows, originals: Some(&original), ..Offer::default() };
            let (policy, none) = (Policy::default(), Deadline::none());
            let batch = vec![claimed(7, "b"), claimed(8, "c")];
            let landed = left.offer(&table(), &policy, offer(batch), &none).await.unwrap();
            assert_eq!(landed.pending, [0, 1]);
            let taker = lake(&files, &memory);
            if direct_first {
                let landed = land(&taker, vec![claimed(7, "a")]).await.unwrap();
                assert_eq!(landed.landed, 1);
                // The object stays: its second row landed, and its first is not in quarantine yet.
                let TakenOutcome { landed, refused, objects } = TakenOutcome::of(landed);
                assert_eq!((landed, refused.len(), objects.len()), (2, 1, 2));
            } else {
                let swept = sweep(&taker, &policy).await;
                assert_eq!((swept.taken.landed, swept.taken.refused.len()), (3, 0));
                let landed = land(&taker, vec![claimed(7, "a")]).await.unwrap();
                assert_eq!(landed.refused.len(), 1);
                return;
            }
            assert_eq!(objects(&memory).len(), 2);
            let swept = sweep(&taker, &policy).await;
            let refused = &swept.taken.refused[0].fields;
            assert_eq!(refused[0], ("record".to_owned(), text("record 70")));
            assert_eq!(refused[1], ("reason".to_owned(), text("id_reused")));
            taker.settle(&table(), &swept.taken.unsettled).await;
            assert_eq!(objects(&memory), Vec::<String>::new());
        });
    }
}

struct TakenOutcome {
    landed: u64,
    refused: Vec<Row>,
    objects: Vec<String>,
}

impl TakenOutcome {
    fn of(report: LandReport) -> Self {
        let taken = report.taken;
        Self { landed: taken.landed, refused: taken.refused, objects: taken.unsettled }
    }
}

/// A row without its record could only be lost.
#[test]
fn rows_that_may_be_refused_and_have_no_record_are_never_left() {
    let memory = Arc::new(Memory::default());
    run(async {
        let left = contended(&memory).await;
        let landed = land(&left, vec![claimed(7, "b")]).await.unwrap();
        assert_eq!((landed.landed, landed.pending.len()), (1, 0));
        let strict = Policy { misfits: Misfits::Reject, ..Policy::default() };
        let offer = Offer { rows: rows(8..9), leaving: Leaving::Now, ..Offer::default() };
        let landed = left.offer(&table(), &strict, offer, &Deadline::none()).await.unwrap();
        assert_eq!((landed.landed, landed.pending.len()), (1, 0));
    });
}

/// The policy may have become stricter since the row was left: it has nothing that could be quarantined.
#[test]
fn a_row_without_its_record_is_not_refused_later() {
    let memory = Arc::new(Memory::default());
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    run(async {
        let left = contended(&memory).await;
        let misfit = row(7, fields([("a", text("x")), ("b", text("y"))]));
        land(&left, vec![misfit]).await.unwrap();
        let column = DeclaredColumn { name: "b".to_owned(), ty: DeclaredType::Long, doc: None };
        let strict =
            Policy { columns: vec![column], misfits: Misfits::Reject, ..Policy::default() };
        let taker = lake(&files, &memory);
        let swept = sweep(&taker, &strict).await;
        assert_eq!((swept.taken.landed, swept.taken.refused.len()), (2, 0));
        assert_eq!(objects(&memory), Vec::<String>::new());
        assert!(read(&taker).await["shardId-000000000000:7"].contains_key("_lw_extra"));
    });
}

/// `reject_limit` and `on_reject` decide on what a table rejects, so it is not left to others.
#[test]
fn what_the_table_rejects_now_is_not_left() {
    let memory = Arc::new(Memory::default());
    run(async {
        let left = contended(&memory).await;
        let column = DeclaredColumn { name: "a".to_owned(), ty: DeclaredType::Long, doc: None };
        let strict =
            Policy { columns: vec![column], misfits: Misfits::Reject, ..Policy::default() };
        let original = |index: usize| Some(original(index as u32));
        let offer = |rows| Offer { rows, originals: Some(&original), leaving: Leaving::Now };
        let none = Deadline::none();
        let good = left.offer(&table(), &strict, offer(rows(4..5)), &none).await.unwrap();
        assert_eq!((good.pending.len(), good.refused.len()), (1, 0));
        let misfit = vec![row(5, fields([("a", text("x"))])), rows(6..7).remove(0)];
        let landed = left.offer(&table(), &strict, offer(misfit), &none).await.unwrap();
        assert_eq!((landed.pending.len(), landed.refused.len(), landed.landed), (0, 1, 1));
    });
}
