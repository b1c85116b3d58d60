//! Holes 1 and 6: a swap whose answer is lost or misleading, and a head that is out of date.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use iceberg::spec::TableMetadata;
use lakeward::record::Row;
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::head::{Head, Swap};

use super::{AT, TABLE_AT, counts, run};
use crate::support::lake::{fields, lake_on, land, read, row, text};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

#[test]
fn a_lost_answer_lands_the_rows_once_and_counts_no_duplicate() {
    for fault in [Fault::LoseAnswer, Fault::ExistsThoughDone, Fault::ExistsThoughNot, Fault::Refuse]
    {
        for foreign in [0_u32, 1, 7, 50] {
            run(async {
                let memory: Arc<dyn Files> = Arc::new(Memory::default());
                let others = Arc::new(lake_on(Arc::clone(&memory), AT));
                land(&others, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();

                let faults = Arc::new(AtomicU32::new(0));
                let seen = Arc::clone(&faults);
                // The first two sends of a swap go wrong.
                let script = move |step, location: &str| {
                    let swap = step == Step::Create && location.contains("/metadata/v");
                    if swap && seen.fetch_add(1, Ordering::Relaxed) < 2 {
                        fault
                    } else {
                        Fault::None
                    }
                };
                let files: Arc<dyn Files> =
                    Arc::new(ScriptedFiles::new(Arc::clone(&memory), script));
                let ours = lake_on(Arc::clone(&files), AT);
                let batch: Vec<Row> = (1..=3).map(|n| row(n, fields([("a", text("y"))]))).collect();
                let racing = async {
                    for n in 0..foreign {
                        let other = row(1_000 + n, fields([("a", text("z"))]));
                        land(&others, vec![other]).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                };
                let (landed, ()) = tokio::join!(land(&ours, batch.clone()), racing);
                assert_eq!(counts(&landed.unwrap()), (3, 0), "{fault:?}, {foreign} foreign");
                assert!(faults.load(Ordering::Relaxed) >= 1, "the fault never happened");
                assert_eq!(read(&others).await.len(), 4 + foreign as usize);
                // The redelivery finds them.
                assert_eq!(counts(&land(&others, batch).await.unwrap()), (0, 3));
            });
        }
    }
}

#[test]
fn an_unknown_outcome_fails_and_the_redelivery_lands_what_is_missing() {
    for done in [true, false] {
        run(async {
            let memory: Arc<dyn Files> = Arc::new(Memory::default());
            let others = lake_on(Arc::clone(&memory), AT);
            land(&others, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
            // Once the swap is sent, the store is gone for good.
            let gone = Arc::new(Mutex::new(false));
            let script = move |step, location: &str| {
                let mut gone = gone.lock().unwrap();
                if *gone {
                    return Fault::Refuse;
                }
                if step == Step::Create && location.contains("/metadata/v") {
                    *gone = true;
                    return if done { Fault::LoseAnswer } else { Fault::Refuse };
                }
                Fault::None
            };
            let ours = lake_on(Arc::new(ScriptedFiles::new(Arc::clone(&memory), script)), AT);
            let batch = vec![row(1, fields([("a", text("y"))]))];
            land(&ours, batch.clone()).await.unwrap_err();
            let expected = if done { (0, 1) } else { (1, 0) };
            assert_eq!(counts(&land(&others, batch).await.unwrap()), expected);
            assert_eq!(read(&others).await.len(), 2);
        });
    }
}

#[test]
fn a_head_that_was_loaded_long_ago_is_not_swapped() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        land(&lake_on(Arc::clone(&memory), AT), vec![row(0, fields([("a", text("x"))]))])
            .await
            .unwrap();
        let now = Arc::new(Mutex::new(SystemTime::now()));
        let told = Arc::clone(&now);
        let clock = Clock::from_fn(move || *told.lock().unwrap());
        let head = VersionFiles::new(Arc::clone(&memory), clock, TABLE_AT);
        let base = head.load().await.unwrap().unwrap();
        let new = TableMetadata::clone(&base.metadata);
        *now.lock().unwrap() += Duration::from_secs(301);
        assert!(matches!(head.swap(Some(&base), &new, "late").await, Swap::TooOld));
        // A clock that went back says nothing about the head's age either.
        *now.lock().unwrap() -= Duration::from_secs(600);
        assert!(matches!(head.swap(Some(&base), &new, "late").await, Swap::TooOld));
        let fresh = head.load().await.unwrap().unwrap();
        assert_eq!(fresh.token, base.token, "nothing was sent");
    });
}

#[test]
fn an_environment_that_freezes_in_mid_commit_loads_again_and_lands_once() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let start = SystemTime::now();
        let frozen = Arc::new(Mutex::new(start));
        let told = Arc::clone(&frozen);
        let clock = Clock::from_fn(move || *told.lock().unwrap());
        let first = Arc::new(AtomicU32::new(0));
        let script = move |step, location: &str| {
            // While the manifest list is written, an hour passes: once.
            if step == Step::Write
                && location.contains("/snap-")
                && first.fetch_add(1, Ordering::Relaxed) == 0
            {
                *frozen.lock().unwrap() += Duration::from_secs(3_600);
            }
            Fault::None
        };
        let files: Arc<dyn Files> = Arc::new(ScriptedFiles::new(Arc::clone(&memory), script));
        let lake = Lake::with(files, AT.to_owned(), "test".to_owned(), clock);
        let landed = land(&lake, vec![row(1, fields([("a", text("y"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake).await.len(), 1);
    });
}

#[test]
fn a_swap_that_was_never_answered_is_found_by_the_next_load() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        // Every swap is done and says that it failed: visible, and perhaps not durable.
        let script = |step, location: &str| {
            let swap = step == Step::Create && location.contains("/metadata/v");
            if swap { Fault::LoseAnswer } else { Fault::None }
        };
        let lake = lake_on(Arc::new(ScriptedFiles::new(Arc::clone(&memory), script)), AT);
        let batch = vec![row(1, fields([("a", text("y"))]))];
        // The next load finds it, and makes the hint, and with it the version's name, durable.
        assert_eq!(counts(&land(&lake, batch.clone()).await.unwrap()), (1, 0));
        let again = land(&lake_on(Arc::clone(&memory), AT), batch).await.unwrap();
        assert_eq!(counts(&again), (0, 1));
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 1);
    });
}
