//! Upkeep, killed before and after each of its calls to the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lakeward::deadline::Deadline;
use lakeward::store::{Lake, Leaving, Offer, Retention, Settings};
use lakeward::table::layout::Policy;
use serde_json::json;

use super::Workspace;
use crate::support::lake::{fields, fresh_folder, number, row, table};
use crate::support::process::{Function, by_id, killable, lakeward, printed, rows, run};

/// The commits of the table, and the rows that wait.
const COMMITS: u32 = 12;
const PENDING: std::ops::Range<u32> = 100..103;

/// Makes a lake of small files and pending rows.
fn prepare(lake: &Path) {
    let settings = Settings {
        location: lake.to_str().unwrap().to_owned(),
        config_hash: "test".to_owned(),
        retention: Retention::default(),
    };
    let lake = Lake::open(settings).unwrap();
    let (policy, none) = (Policy::default(), Deadline::none());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let one = |n: u32| vec![row(n, fields([("n", number(&n.to_string()))]))];
        for n in 0..COMMITS {
            lake.land(&table(), &policy, one(n), &none).await.unwrap();
        }
        for n in PENDING {
            let offer = Offer { rows: one(n), leaving: Leaving::Now, ..Offer::default() };
            let landed = lake.offer(&table(), &policy, offer, &none).await.unwrap();
            assert_eq!(landed.pending, [0]);
        }
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn ids(lake: &Path) -> BTreeSet<String> {
    by_id(rows(lake, "test.rows")).into_keys().collect()
}

fn pending(lake: &Path) -> usize {
    fs::read_dir(lake.join("test/rows/metadata/pending")).unwrap().count()
}

#[test]
fn wherever_upkeep_is_killed_every_row_is_there_once_and_the_next_one_goes_on() {
    let call = json!({"lakeward": "upkeep"});
    let folder = fresh_folder("kills-upkeep");
    // The table lies where its metadata says, so each process works on the same folder in turn.
    let (lake, whole) = (folder.join("lake"), folder.join("whole"));
    prepare(&lake);
    copy(&lake, &whole);
    let workspace = Workspace::at(folder.clone(), lake.to_str().unwrap().to_owned(), Vec::new());
    let upkeep = |variables: &[(&str, &str)]| {
        Function::start_as(killable(), &workspace.config, &lake, variables)
    };
    let file = folder.join("points");
    let mut function = upkeep(&[("POINTS", file.to_str().unwrap())]);
    assert_eq!(function.invoke(&call).response(), r#"{"batchItemFailures":[]}"#);
    drop(function.kill());
    let all: BTreeSet<String> = ids(&lake);
    assert_eq!((all.len(), pending(&lake)), (COMMITS as usize + PENDING.len(), 0));

    let mut passes: BTreeMap<String, u32> = BTreeMap::new();
    for point in fs::read_to_string(&file).unwrap().lines() {
        *passes.entry(point.to_owned()).or_default() += 1;
    }
    for kind in ["pending rows", "data file", "manifest list", "metadata", "hint"] {
        assert!(passes.keys().any(|it| it.ends_with(kind)), "{kind}: {passes:?}");
    }
    let mut kills = 0;
    for (point, passes) in passes {
        for pass in BTreeSet::from([1, passes]) {
            fs::remove_dir_all(&lake).unwrap();
            copy(&whole, &lake);
            let mut function = upkeep(&[("KILL_AT", &format!("{point}#{pass}"))]);
            let ended = function.try_invoke(&call, super::TIME_LEFT);
            assert!(ended.is_err(), "{point}#{pass} was not passed");
            drop(function.kill());
            kills += 1;
            let there = ids(&lake);
            assert!(there.len() >= COMMITS as usize && there.is_subset(&all), "{point}#{pass}");
            assert!(
                there.len() == all.len() || pending(&lake) > 0,
                "{point}#{pass}: rows are lost"
            );
            let mut next = upkeep(&[]);
            assert_eq!(next.invoke(&call).response(), r#"{"batchItemFailures":[]}"#);
            drop(next.kill());
            assert_eq!((ids(&lake), pending(&lake)), (all.clone(), 0), "{point}#{pass}");
        }
    }
    assert!(kills >= 30, "{kills}");
    // Without a config, the command says what waits, and lands nothing.
    fs::remove_dir_all(&lake).unwrap();
    copy(&whole, &lake);
    let command = |arguments: &[&str]| {
        let output = run(lakeward().args(arguments).arg("--lake").arg(&lake));
        assert!(output.status.success(), "{}", printed(&output));
        printed(&output)
    };
    assert!(command(&["tables"]).contains("pending"));
    assert!(command(&["upkeep"]).contains("3 rows pending: name the config"));
    assert_eq!(pending(&lake), PENDING.len());
    command(&["upkeep", "--config", workspace.config.to_str().unwrap()]);
    assert_eq!((ids(&lake), pending(&lake)), (all.clone(), 0));
    assert!(!command(&["tables"]).contains("pending"));
    fs::remove_dir_all(&whole).unwrap();
    let counts = json!({"tables": {"test.rows": {"rows": all.len()}}}).to_string();
    fs::write(folder.join("expected.json"), counts).unwrap();
}
