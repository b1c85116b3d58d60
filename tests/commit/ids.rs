//! Hole 11: a route's own `id` names events. The same event under another message id is there
//! once; another event under the same id is refused, never dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::{Lake, LandReport};
use lakeward::time::Timestamp;

use super::{AT, counts, run};
use crate::support::lake::{
    MORNING, expect_rows, fields, lake_on, land, local, number, read, row, text,
};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// An event of a queue's route with `id`: what it says, in the message that arrived at `at`.
fn event(id: &str, says: &str, at: i64) -> Row {
    let mut row = row(0, fields([("says", text(says))]));
    row.lineage.id = id.to_owned();
    row.lineage.source = "arn:aws:sqs:eu-west-1:123456789012:invoices".to_owned();
    row.lineage.shard = None;
    row.lineage.position = Some(format!("{at:060}"));
    row.lineage.arrived_at = Timestamp::from_micros(MORNING + at);
    row.lineage.digest = Some(format!("digest of {says}"));
    row.lineage.id_window = Some(15 * DAY);
    row
}

/// The places of the refused rows, all of which say the same.
fn refused(landed: &LandReport) -> Vec<usize> {
    for (_, reject) in &landed.refused {
        assert_eq!(reject.reason, "id_reused");
        assert!(!reject.detail.contains("invoice"), "a value in {}", reject.detail);
    }
    landed.refused.iter().map(|(place, _)| *place).collect()
}

async fn says(lake: &Lake) -> BTreeMap<String, String> {
    let rows = read(lake).await.into_iter();
    let text = |cell: &lakeward::table::Cell| match cell {
        lakeward::table::Cell::Text(it) => it.clone(),
        other => panic!("{other:?}"),
    };
    rows.map(|(id, row)| (id, text(&row["says"]))).collect()
}

#[test]
fn the_same_event_under_other_message_ids_is_there_once() {
    run(async {
        let (lake, _, folder) = local("commit-id-same");
        let first = vec![event("invoice 1", "paid", HOUR), event("invoice 1", "paid", 2 * HOUR)];
        let landed = land(&lake, first.clone()).await.unwrap();
        assert_eq!((counts(&landed), refused(&landed)), ((1, 1), vec![]));
        // Sent again later, and a copy that was stuck and comes with an earlier time.
        for at in [0, 15 * DAY + HOUR, HOUR - 15 * DAY] {
            let landed = land(&lake, vec![event("invoice 1", "paid", at)]).await.unwrap();
            assert_eq!((counts(&landed), refused(&landed)), ((0, 1), vec![]), "{at}");
            assert_eq!(landed.files_read, 1);
        }
        let landed = land(&lake, first).await.unwrap();
        assert_eq!(counts(&landed), (0, 2));
        expect_rows(&folder, 1);
    });
}

#[test]
fn another_event_under_the_same_id_is_refused_whatever_the_order() {
    let sent = event("invoice 1", "paid", 0);
    let corrected = event("invoice 1", "paid twice", HOUR);
    // Each event in a batch of its own, both in one, and the correction first.
    for (name, batches) in [
        ("two", vec![vec![sent.clone()], vec![corrected.clone()]]),
        ("two-reversed", vec![vec![corrected.clone()], vec![sent.clone()]]),
        ("one", vec![vec![sent.clone(), corrected.clone()]]),
        ("one-reversed", vec![vec![corrected.clone(), sent.clone()]]),
    ] {
        run(async {
            let (lake, _, folder) = local(&format!("commit-id-{name}"));
            let first = batches[0][0].clone();
            let mut refusals = Vec::new();
            for batch in &batches {
                let landed = land(&lake, batch.clone()).await.unwrap();
                assert_eq!(landed.duplicates, 0, "{name}");
                refusals.extend(refused(&landed).iter().map(|at| batch[*at].clone()));
            }
            let other = if first == sent { &corrected } else { &sent };
            assert_eq!(refusals, std::slice::from_ref(other), "{name}");
            // Redelivered together in either order, each is what it was.
            for batch in [[sent.clone(), corrected.clone()], [corrected.clone(), sent.clone()]] {
                let landed = land(&lake, batch.to_vec()).await.unwrap();
                assert_eq!(counts(&landed), (0, 1), "{name}");
                let again: Vec<&Row> = refused(&landed).iter().map(|at| &batch[*at]).collect();
                assert_eq!(
                    again,
                    [other],
                    "{name}: a record that has landed is not refused any more"
                );
            }
            assert_eq!(says(&lake).await.len(), 1, "{name}");
            expect_rows(&folder, 1);
        });
    }
}

#[test]
fn a_row_is_refused_by_its_place_in_the_batch_it_came_in() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&memory), AT);
        let there = vec![event("invoice 1", "a", 0), event("invoice 2", "b", 0)];
        land(&lake, there).await.unwrap();
        let batch = vec![
            event("invoice 1", "a", 1),        // 0: duplicate
            event("invoice 3", "c", 2),        // 1: lands
            event("invoice 2", "not b", 3),    // 2: refused by the table
            event("invoice 3", "not c", 4),    // 3: refused by 1
            event("invoice 3", "c", 5),        // 4: duplicate of 1
            event("invoice 4", "d", 6),        // 5: lands
            event("invoice 3", "nor this", 7), // 6: refused by 1
            event("invoice 2", "b", 8),        // 7: duplicate
            event("invoice 3", "not c", 9),    // 8: refused like 3
        ];
        let landed = land(&lake, batch).await.unwrap();
        assert_eq!(counts(&landed), (2, 3));
        assert_eq!(refused(&landed), [2, 3, 6, 8]);
        assert_eq!(says(&lake).await["invoice 3"], "c");
    });
}

#[test]
fn a_row_keeps_its_place_when_others_land_between_look_and_swap() {
    for seed in 0..20 {
        fastrand::seed(seed);
        run(async {
            let memory: Arc<dyn Files> = Arc::new(Memory::default());
            let inner = Arc::clone(&memory);
            let files: Arc<dyn Files> = Arc::new(ScriptedFiles::new(inner, |_, _| Fault::None));
            land(&lake_on(Arc::clone(&memory), AT), vec![event("begin", "x", 0)]).await.unwrap();
            // Four writers; each has own content for five ids, common content for one, and one id of
            // its own.
            let mut writers = tokio::task::JoinSet::new();
            for writer in 0..4_i64 {
                let lake = lake_on(Arc::clone(&files), AT);
                writers.spawn(async move {
                    let own = |n: i64| {
                        let says = format!("{n} by {writer}");
                        event(&format!("invoice {n}"), &says, writer * 10 + n)
                    };
                    let mut batch: Vec<Row> = (0..5).map(own).collect();
                    batch.push(event("common", "the same", writer));
                    batch.push(event(&format!("only {writer}"), "alone", writer));
                    fastrand::shuffle(&mut batch);
                    let landed = land(&lake, batch.clone()).await.unwrap();
                    (batch, landed)
                });
            }
            let mut outcomes = Vec::new();
            while let Some(outcome) = writers.join_next().await {
                outcomes.push(outcome.unwrap());
            }
            let there = says(&lake_on(Arc::clone(&memory), AT)).await;
            assert_eq!(there.len(), 11);
            let (mut all, mut duplicates) = (0, 0);
            for (batch, landed) in &outcomes {
                all += landed.landed;
                duplicates += landed.duplicates;
                let mut not_there = Vec::new();
                for (at, row) in batch.iter().enumerate() {
                    let lakeward::value::Value::Text(says) = &row.fields[0].1 else { panic!() };
                    if there[&row.lineage.id] != *says {
                        not_there.push(at);
                    }
                }
                assert_eq!(refused(landed), not_there, "seed {seed}");
            }
            assert_eq!((all, duplicates), (10, 3), "seed {seed}");
        });
    }
}

#[test]
fn what_arrived_beyond_the_window_is_another_event_and_is_not_read() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let short = |says: &str, at: i64| {
            let mut row = event("heartbeat", says, at);
            row.lineage.id_window = Some(HOUR);
            row
        };
        land(&lake, vec![short("beat", 0)]).await.unwrap();
        let landed = land(&lake, vec![short("beat", HOUR)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((0, 1), 1));
        let landed = land(&lake, vec![short("beat again", HOUR + 60_000_000)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((1, 0), 0));
        // An hour before the one and more after the other: the first that is found decides.
        let landed = land(&lake, vec![short("beat", -HOUR)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((0, 1), 1));
    });
}

#[test]
fn each_row_is_judged_by_what_is_within_its_own_window() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let short = |says: &str, at: i64| {
            let mut row = event("invoice 1", says, at);
            row.lineage.id_window = Some(HOUR);
            row
        };
        land(&lake, vec![short("b", 5 * HOUR)]).await.unwrap();
        // The file is read for the second; to the first, what it holds is another event.
        let landed = land(&lake, vec![short("a", 0), short("b", 5 * HOUR)]).await.unwrap();
        assert_eq!((counts(&landed), refused(&landed)), ((1, 1), vec![]));
        let landed = land(&lake, vec![short("c", 0), short("c", 5 * HOUR)]).await.unwrap();
        assert_eq!((counts(&landed), refused(&landed)), ((0, 0), vec![0, 1]));
    });
}

#[test]
fn a_moved_or_timeless_event_is_looked_for_as_far_as_it_can_be() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let short = |at: i64, moved: bool| {
            let mut row = event("invoice 1", "paid", at);
            row.lineage.id_window = Some(HOUR);
            row.lineage.moved = moved;
            row
        };
        land(&lake, vec![short(0, false)]).await.unwrap();
        // A move to a DLQ takes up to two retentions, with any window.
        assert_eq!(counts(&land(&lake, vec![short(27 * DAY, true)]).await.unwrap()), (0, 1));
        // A window that reaches further than that still does.
        let mut wide = short(40 * DAY, true);
        wide.lineage.id_window = Some(50 * DAY);
        assert_eq!(counts(&land(&lake, vec![wide]).await.unwrap()), (0, 1));
        let mut timeless = short(0, false);
        timeless.lineage.arrived_at = None;
        assert_eq!(counts(&land(&lake, vec![timeless.clone()]).await.unwrap()), (0, 1));
        // And one without time that has landed is found by all.
        timeless.lineage.id = "invoice 2".to_owned();
        land(&lake, vec![timeless.clone()]).await.unwrap();
        let mut other = timeless;
        other.lineage.arrived_at = Timestamp::from_micros(MORNING + 99 * DAY);
        other.lineage.digest = Some("other".to_owned());
        assert_eq!(refused(&land(&lake, vec![other]).await.unwrap()), [0]);
    });
}

#[test]
fn rows_with_and_without_an_id_of_their_own_share_a_batch() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let plain = |n: u32| row(n, fields([("n", number("1"))]));
        land(&lake, vec![plain(1), event("invoice 1", "paid", 0)]).await.unwrap();
        land(&lake, vec![plain(500_000)]).await.unwrap();
        let batch = vec![
            plain(1),
            event("invoice 1", "paid", 10 * DAY),
            plain(2),
            event("invoice 1", "not paid", 14 * DAY),
            event("invoice 2", "paid", 14 * DAY),
        ];
        let landed = land(&lake, batch).await.unwrap();
        assert_eq!((counts(&landed), refused(&landed)), ((2, 2), vec![3]));
        // The plain rows' file of half a million later is within the reach of the events' arrival,
        // and of another source.
        assert_eq!(landed.files_read, 1);
        assert_eq!(read(&lake).await.len(), 5);
    });
}

/// A commit reads the filter of each file of the window once, and no rows.
#[test]
fn an_id_is_looked_for_in_filters_which_are_kept() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        for n in 0..60 {
            let row = event(&format!("invoice {n}"), "paid", i64::from(n) * DAY / 10);
            land(&lake_on(Arc::clone(&memory), AT), vec![row]).await.unwrap();
        }
        let reads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let script = ScriptedFiles::new(memory, move |step, at| {
            let is_data = step == Step::Read && at.ends_with(".parquet");
            counted.fetch_add(u32::from(is_data), Ordering::Relaxed);
            Fault::None
        });
        let lake = lake_on(Arc::new(script), AT);
        let new = |n: u32| event(&format!("new {n}"), "paid", 3 * DAY + DAY / 7 + i64::from(n));
        let landed = land(&lake, vec![new(0)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((1, 0), 0));
        assert_eq!(reads.swap(0, Ordering::Relaxed), 60);
        // The next one reads that of the file of a moment ago.
        let landed = land(&lake, vec![new(1)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((1, 0), 0));
        assert_eq!(reads.swap(0, Ordering::Relaxed), 1);
        // An id that is there is found by its filter, then in its rows; and those of the file that may
        // hold this very message are read.
        let again = event("invoice 7", "paid", 3 * DAY);
        let landed = land(&lake, vec![again]).await.unwrap();
        assert_eq!((counts(&landed), landed.files_read), ((0, 1), 2));
    });
}

#[test]
fn an_id_that_aws_gave_and_one_that_a_route_took_are_of_two_records() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let given = |name: &str, at: i64| {
            let mut row = event(name, "paid", at);
            (row.lineage.digest, row.lineage.id_window) = (None, None);
            row
        };
        let taken = |name: &str, at: i64| event(name, "whatever", at);
        // In one batch, and in two, whichever comes first.
        let batch = vec![given("1", 0), taken("1", 0)];
        assert_eq!(counts(&land(&lake, batch.clone()).await.unwrap()), (2, 0));
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 2));
        land(&lake, vec![given("2", 0)]).await.unwrap();
        assert_eq!(counts(&land(&lake, vec![taken("2", HOUR)]).await.unwrap()), (1, 0));
        land(&lake, vec![taken("3", HOUR)]).await.unwrap();
        assert_eq!(counts(&land(&lake, vec![given("3", HOUR)]).await.unwrap()), (1, 0));
    });
}

/// Lakeward's first release gave changes that came through Kinesis no digest. A redelivery during the
/// deploy of the next release finds them.
#[test]
fn a_change_through_kinesis_that_landed_without_a_digest_is_found_by_its_id() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let change = |id: &str, digest: Option<&str>| {
            let mut row = event(id, "whatever", 0);
            row.lineage.source = "arn:aws:dynamodb:eu-west-1:1:table/app".to_owned();
            row.lineage.shard = Some("kinesis".to_owned());
            row.lineage.op = lakeward::record::Op::Insert;
            (row.lineage.digest, row.lineage.id_window) = (digest.map(str::to_owned), None);
            row
        };
        land(&lake, vec![change("1", None)]).await.unwrap();
        assert_eq!(counts(&land(&lake, vec![change("1", Some("a"))]).await.unwrap()), (0, 1));
        land(&lake, vec![change("2", Some("a"))]).await.unwrap();
        assert_eq!(counts(&land(&lake, vec![change("2", None)]).await.unwrap()), (0, 1));
        assert_eq!(refused(&land(&lake, vec![change("2", Some("b"))]).await.unwrap()), [0]);
    });
}

#[test]
fn the_same_id_of_another_queue_is_another_event() {
    run(async {
        let (lake, _, folder) = local("commit-id-queues");
        let mut other = event("invoice 1", "paid", 0);
        other.lineage.source += "-of-others";
        let batch = vec![event("invoice 1", "not paid", 0), other];
        assert_eq!(counts(&land(&lake, batch.clone()).await.unwrap()), (2, 0));
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 2));
        expect_rows(&folder, 2);
    });
}

#[test]
fn a_batch_of_nothing_but_refused_rows_commits_nothing() {
    run(async {
        let (lake, location, folder) = local("commit-id-refused");
        land(&lake, vec![event("invoice 1", "paid", 0)]).await.unwrap();
        let files: Arc<dyn Files> = Arc::new(LocalFiles);
        let versions = || async {
            let names = files.list(&format!("{location}/test/rows/metadata")).await.unwrap();
            names.iter().filter(|it| it.ends_with(".json")).count()
        };
        let before = versions().await;
        let landed = land(&lake, vec![event("invoice 1", "unpaid", HOUR)]).await.unwrap();
        assert_eq!((counts(&landed), landed.files, refused(&landed)), ((0, 0), 0, vec![0]));
        assert_eq!(versions().await, before);
        expect_rows(&folder, 1);
    });
}
