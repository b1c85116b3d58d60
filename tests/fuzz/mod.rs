//! The bodies of the fuzz targets, run over their seeds and over everything that fuzzing ever found.
//!
//! `tests/run fuzz` goes on where this ends. A finding becomes a file in `tests/fuzz/crashes/<target>`,
//! named after what was wrong, and stays there.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

mod bodies;
mod seeds;

use bodies::{TARGETS, canary, exact};

fn crashes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/crashes")
}

/// Returns the findings for a target, by name.
fn found(target: &str) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(crashes().join(target)) else { return BTreeMap::new() };
    let each = entries.map(|it| {
        let path = it.unwrap().path();
        (format!("crashes/{}", path.file_name().unwrap().display()), std::fs::read(path).unwrap())
    });
    each.collect()
}

/// Runs a target's body over all it is to be run over. With `FUZZ_SEEDS` set, leaves the seeds in
/// `$FUZZ_SEEDS/<target>`, where the fuzzer begins.
fn check(target: &str) {
    let (_, body) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds::of(target);
    assert!(seeds.len() > 20, "only {} seeds for {target}", seeds.len());
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (at, (_, seed)) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("{at:05}")), seed).unwrap();
        }
    }
    let all = seeds.into_iter().chain(found(target));
    let failed = all.filter(|(_, seed)| catch_unwind(AssertUnwindSafe(|| body(seed))).is_err());
    let failed: Vec<String> = failed.map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{target} fails on {failed:#?}");
}

#[test]
fn events_of_any_form_deliver_each_record_once() {
    check("envelope");
}

#[test]
fn values_are_written_and_read_again_without_loss() {
    check("values");
}

#[test]
fn kinesis_data_of_any_form_is_taken_apart_into_records_that_stay_the_same() {
    check("kinesis");
}

#[test]
fn bodies_of_any_form_are_taken_apart_into_records_that_stay_the_same() {
    check("sqs");
}

#[test]
fn configs_of_any_form_are_read_or_refused_with_a_line() {
    check("config");
}

#[test]
fn names_of_any_form_become_names_that_every_engine_takes() {
    check("names");
}

#[test]
fn only_what_tells_of_a_batch_that_lambda_gave_up_is_taken_for_it() {
    check("recovery");
}

#[test]
fn every_target_has_a_binary_and_every_finding_a_target() {
    let manifest = crashes().parent().unwrap().join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let named: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let binaries = manifest.split("[[bin]]\nname = \"").skip(1);
    let binaries: Vec<&str> = binaries.map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(binaries, named);
    for folder in std::fs::read_dir(crashes()).into_iter().flatten() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(named.contains(&name.as_str()), "no target is called {name}");
    }
}

/// The dependencies that a lock file notes for Lakeward itself.
fn locked(lock: &str) -> Vec<String> {
    let (_, package) = lock.split_once("\nname = \"lakeward\"\n").unwrap();
    let (_, list) = package.split_once("dependencies = [\n").unwrap();
    let list = list.split("\n]").next().unwrap().lines();
    list.map(|it| it.trim_matches([' ', '"', ',']).split(' ').next().unwrap().to_owned()).collect()
}

/// Its own lock file lags behind where Lakeward has got a dependency since; it has none for tests.
#[test]
fn the_fuzz_crate_s_lock_keeps_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let manifest = read("Cargo.toml");
    let (_, wanted) = manifest.split_once("\n[dependencies]\n").unwrap();
    let wanted = wanted.split("\n[").next().unwrap().lines();
    let mut wanted: Vec<&str> = wanted
        .filter(|it| it.starts_with(|first: char| first.is_ascii_alphabetic()))
        .map(|it| it.split([' ', '.', '=']).next().unwrap())
        .collect();
    wanted.sort_unstable();
    assert!(wanted.len() > 10);
    let (own, all) = (locked(&read("tests/fuzz/Cargo.lock")), locked(&read("Cargo.lock")));
    assert_eq!(
        own, wanted,
        "cp Cargo.lock tests/fuzz/ and then \
        cargo update --workspace --manifest-path tests/fuzz/Cargo.toml"
    );
    assert!(own.iter().all(|it| all.contains(it)));
}

#[test]
fn what_the_bodies_compare_with_tells_numbers_and_payload_apart() {
    for (left, right) in [("1.50", "15e-1"), ("-0.0", "0"), ("+7e2", "700"), (".5", "0.5")] {
        assert!(exact::equal(left, right), "{left} is {right}");
    }
    for (left, right) in
        [("1.5", "1.51"), ("1", "-1"), ("1e1", "1"), ("9007199254740993", "9007199254740992")]
    {
        assert!(!exact::equal(left, right), "{left} is not {right}");
    }
    canary::silent("a text");
    let leak = || canary::silent(&format!("the value {} is bad", canary::CANARY));
    assert!(catch_unwind(leak).is_err(), "payload goes unseen");
}
