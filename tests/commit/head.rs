//! Holes 7 and 8: the hint is missing, wrong, or behind the head.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use lakeward::store::files::Files;

use super::{AT, TABLE_AT, assert_hint_is_head, counts, newest, run};
use crate::support::lake::{fields, lake_after, lake_on, land, read, row, text};
use crate::support::store::{Fault, Memory, ScriptedFiles, Step};

#[test]
fn whatever_happens_to_the_hint_nothing_is_lost_and_nothing_is_created() {
    let hint = format!("{TABLE_AT}/metadata/version-hint.text");
    let damages: [(&str, Option<&str>); 9] = [
        ("first", Some("1")),
        ("deleted", None),
        ("emptied", Some("")),
        ("garbled", Some("\u{fffd}v7")),
        ("zero", Some("0")),
        ("behind", Some("2")),
        ("removed version", Some("3")),
        ("beyond the head", Some("4711")),
        ("too large", Some("99999999999999999999999")),
    ];
    for (damage, text_of_hint) in damages {
        run(async {
            let memory = Arc::new(Memory::default());
            let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
            for n in 0..12 {
                land(&lake_on(Arc::clone(&files), AT), vec![row(n, fields([("a", text("x"))]))])
                    .await
                    .unwrap();
            }
            let before = newest(&files, TABLE_AT).await;
            // Upkeep removes versions whose successor is a day old, all but the first.
            for version in 2..=6 {
                if damage != "behind" {
                    memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
                }
            }
            match text_of_hint {
                None => memory.remove(&hint),
                Some(text) => memory.put(&hint, text.as_bytes().to_vec()),
            }
            // A process that has seen nothing yet.
            let lake = lake_after(2, Arc::clone(&files), AT);
            let again = vec![row(5, fields([("a", text("x"))]))];
            assert_eq!(counts(&land(&lake, again).await.unwrap()), (0, 1), "{damage}");
            let head = memory.get(&hint).unwrap();
            let all = memory.sizes(&format!("{TABLE_AT}/metadata/v")).into_iter();
            let versions = all.filter(|(name, _)| name.ends_with(".json")).count();
            let largest = versions + if damage == "behind" { 0 } else { 5 };
            assert_eq!(head, largest.to_string().as_bytes(), "{damage}: the hint is repaired");
            let landed = land(&lake, vec![row(99, fields([("a", text("y"))]))]).await.unwrap();
            assert_eq!(counts(&landed), (1, 0), "{damage}");
            assert_eq!(read(&lake).await.len(), 13, "{damage}");
            assert_eq!(newest(&files, TABLE_AT).await.uuid(), before.uuid(), "{damage}");
        });
    }
}

/// A restored bucket may hold any of the old versions, and any hint.
#[test]
fn no_version_that_is_left_over_passes_for_the_head() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        for n in 0..12 {
            let lake = lake_on(Arc::clone(&files), AT);
            land(&lake, vec![row(n, fields([("a", text("x"))]))]).await.unwrap();
        }
        let all = memory.objects();
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..50 {
            memory.restore(all.clone());
            let mut left: Vec<u32> = (1..13).collect();
            for version in 1..12 {
                if random.bool() {
                    memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
                    left.retain(|it| *it != version);
                }
            }
            for hint in left {
                let at = format!("{TABLE_AT}/metadata/version-hint.text");
                memory.put(&at, hint.to_string().into_bytes());
                let lake = lake_after(2, Arc::clone(&files), AT);
                let again = vec![row(11, fields([("a", text("x"))]))];
                assert_eq!(counts(&land(&lake, again).await.unwrap()), (0, 1), "hint {hint}");
            }
        }
    });
}

#[test]
fn what_a_process_has_seen_is_no_proof_when_the_hint_is_gone() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let warm = lake_on(Arc::clone(&files), AT);
        land(&warm, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        for n in 1..20 {
            land(&lake_on(Arc::clone(&files), AT), vec![row(n, fields([("a", text("x"))]))])
                .await
                .unwrap();
        }
        // The warm process has seen v2; its successors are gone, and so is the hint.
        for version in 3..=12 {
            memory.remove(&format!("{TABLE_AT}/metadata/v{version}.metadata.json"));
        }
        memory.remove(&format!("{TABLE_AT}/metadata/version-hint.text"));
        let landed = land(&warm, vec![row(99, fields([("a", text("x"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake_on(files, AT)).await.len(), 21);
        assert_hint_is_head(&memory);
    });
}

#[test]
fn a_lake_that_is_removed_under_a_running_process_begins_anew() {
    run(async {
        let memory = Arc::new(Memory::default());
        let lake = lake_on(Arc::clone(&memory) as Arc<dyn Files>, AT);
        land(&lake, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        for (name, _) in memory.sizes(AT) {
            memory.remove(&name);
        }
        let landed = land(&lake, vec![row(1, fields([("a", text("x"))]))]).await.unwrap();
        assert_eq!(counts(&landed), (1, 0));
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 1);
    });
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_the_others() {
    run(async {
        let memory: Arc<dyn Files> = Arc::new(Memory::default());
        let ahead = Clock::from_fn(|| SystemTime::now() + Duration::from_secs(86_400));
        let fast = Lake::with(Arc::clone(&memory), AT.to_owned(), "test".to_owned(), ahead);
        land(&fast, vec![row(0, fields([("a", text("x"))]))]).await.unwrap();
        let lake = lake_on(Arc::clone(&memory), AT);
        // A new column is a change of the schema alone first.
        for n in 1..4 {
            let batch = vec![row(n, vec![(format!("new{n}"), text("y"))])];
            assert_eq!(counts(&land(&lake, batch).await.unwrap()), (1, 0));
        }
        land(&fast, vec![row(9, fields([("b", text("x"))]))]).await.unwrap();
        land(&lake, vec![row(10, fields([("c", text("x"))]))]).await.unwrap();
        assert_eq!(read(&lake_on(memory, AT)).await.len(), 6);
    });
}

#[test]
fn after_the_last_answer_the_hint_is_the_head_however_hint_writes_are_delayed() {
    for seed in 0..8 {
        fastrand::seed(seed);
        let memory = Arc::new(Memory::default());
        let inner: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let files: Arc<dyn Files> = Arc::new(ScriptedFiles::new(inner, |_, _| Fault::None));
        run(async {
            let mut writers = tokio::task::JoinSet::new();
            for writer in 0..5_u32 {
                let lake = lake_on(Arc::clone(&files), AT);
                writers.spawn(async move {
                    for n in 0..4_u32 {
                        let rows = vec![row(writer * 100 + n, fields([("a", text("x"))]))];
                        land(&lake, rows).await.unwrap();
                    }
                });
            }
            while let Some(done) = writers.join_next().await {
                done.unwrap();
            }
            assert_hint_is_head(&memory);
        });
    }
}

#[test]
fn a_hint_that_could_not_be_written_is_repaired_by_the_next_load() {
    run(async {
        let memory = Arc::new(Memory::default());
        let inner: Arc<dyn Files> = Arc::clone(&memory) as Arc<dyn Files>;
        let refuse = |step, _: &str| {
            if step == Step::ReplaceHint { Fault::Refuse } else { Fault::None }
        };
        let lake = lake_on(Arc::new(ScriptedFiles::new(Arc::clone(&inner), refuse)), AT);
        // Without a hint every load would fail to repair it, so the first is let through.
        land(&lake_on(Arc::clone(&inner), AT), vec![row(0, fields([("a", text("x"))]))])
            .await
            .unwrap();
        land(&lake, vec![row(1, fields([("a", text("x"))]))]).await.unwrap();
        // Nothing lands here; a load on the way is enough.
        let again = vec![row(1, fields([("a", text("x"))]))];
        assert_eq!(counts(&land(&lake_on(inner, AT), again).await.unwrap()), (0, 1));
        assert_hint_is_head(&memory);
    });
}

/// Steps get longer on the way, and shorter again before the end.
#[test]
fn the_head_is_found_however_far_behind_the_hint_is() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::<Memory>::clone(&memory);
        for n in 0..20 {
            let batch = vec![row(n, fields([("a", text("x"))]))];
            land(&lake_on(Arc::clone(&files), AT), batch).await.unwrap();
        }
        let head = newest(&files, TABLE_AT).await;
        for hint in 1_u32..=20 {
            memory.put(&format!("{TABLE_AT}/metadata/version-hint.text"), hint.to_string());
            assert_eq!(newest(&files, TABLE_AT).await, head, "from {hint}");
            assert_hint_is_head(&memory);
        }
    });
}
