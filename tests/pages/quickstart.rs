//! The first minutes with Lakeward: a day of a small shop, replayed by the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::compare::{Object, compare_rows};
use crate::support::fixture::fixtures;
use crate::support::lake::fresh_folder;
use crate::support::process::{by_id, lakeward, printed, replay, rows, run};

/// The records that can't be read, with the reasons.
const POISON: [(&str, &str); 2] = [
    ("shardId-000000000001:49674582190033445566778899001122334455667789007894374397", "bad_base64"),
    ("351b61e9-dc2b-4cf1-8a03-8b5e407f041e", "no_json"),
];

/// Lineage columns that `expected.json` may leave out.
const LINEAGE: [&str; 9] = [
    "_lw_source",
    "_lw_shard",
    "_lw_key",
    "_lw_position",
    "_lw_op",
    "_lw_deleted_by",
    "_lw_event_at",
    "_lw_arrived_at",
    "_lw_digest",
];

fn shop() -> PathBuf {
    fixtures().join("shop")
}

fn config() -> PathBuf {
    shop().join("lakeward.toml")
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(shop().join("expected.json")).unwrap()).unwrap()
}

/// Returns a new lake, which the independent readers find.
fn lake(name: &str) -> PathBuf {
    fresh_folder(&format!("quickstart-{name}")).join("lake")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Returns the numbers of a summary by table and column.
fn summary(output: &Output) -> BTreeMap<String, BTreeMap<String, u64>> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = match lines.by_ref().find(|line| line.starts_with("table")) {
        Some(line) => line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect(),
        None => panic!("no summary in {text}"),
    };
    // A number ends where its column's name does.
    let line = text.lines().find(|line| line.starts_with("table")).unwrap();
    let ends: Vec<usize> =
        header.iter().map(|name| line.find(name).unwrap() + name.len()).collect();
    lines
        .take_while(|line| line.contains('.') && !line.starts_with('!'))
        .map(|line| {
            let table = line.split(' ').next().unwrap().to_owned();
            let cells = header.iter().zip(&ends).skip(1).filter_map(|(name, end)| {
                let before = line.get(..*end)?;
                let number = before.rsplit(' ').next()?.parse().ok()?;
                Some(((*name).to_owned(), number))
            });
            (table, cells.collect())
        })
        .collect()
}

fn sum(summary: &BTreeMap<String, BTreeMap<String, u64>>, column: &str) -> u64 {
    summary.values().filter_map(|it| it.get(column)).sum()
}

/// Fails unless the lake holds what the shop's `expected.json` says, cell by cell.
fn assert_shop(lake: &Path) {
    let mut differences = Vec::new();
    for (table, expected) in expected()["tables"].as_object().unwrap() {
        let found = rows(lake, table);
        by_id(found.clone());
        if expected["rows"] != found.len() {
            differences.push(format!("{table}: {} rows, not {}", found.len(), expected["rows"]));
        }
        let Some(values) = expected["values"].as_array() else { continue };
        let values: Vec<Object> = values.iter().map(|it| it.as_object().unwrap().clone()).collect();
        compare_rows(&values, &found, &LINEAGE, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn assert_poison(lake: &Path) {
    let quarantine = rows(lake, "lakeward.quarantine");
    let text = |row: &Object, name: &str| row[name].as_str().unwrap().to_owned();
    let named: BTreeSet<_> =
        quarantine.iter().map(|row| (text(row, "_lw_id"), text(row, "reason"))).collect();
    let poison = POISON.map(|(id, reason)| (id.to_owned(), reason.to_owned()));
    assert_eq!(named, BTreeSet::from(poison));
}

/// Returns the summary that README.md shows below its first command.
fn shown_in_the_readme() -> Vec<&'static str> {
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let mut blocks = readme.split("```");
    blocks.find(|it| it.starts_with("\ntable ")).unwrap().trim().lines().collect()
}

#[test]
fn a_day_of_the_shop_lands_once_however_often_it_is_replayed() {
    let lake = lake("shop");
    fs::copy(shop().join("expected.json"), lake.parent().unwrap().join("expected.json")).unwrap();
    let delivered = &expected()["delivered"];
    let (records, dropped) =
        (delivered["records"].as_u64().unwrap(), delivered["dropped"].as_u64().unwrap());

    let first = run(replay(&config(), &lake).arg(shop().join("events")));
    assert_eq!(code(&first), 0, "{}", printed(&first));
    assert_shop(&lake);
    assert_poison(&lake);
    let counts = summary(&first);
    for (table, expected) in expected()["tables"].as_object().unwrap() {
        let found = counts.get(table).and_then(|it| it.get("landed"));
        assert_eq!(found, expected["rows"].as_u64().as_ref(), "{table} in {}", printed(&first));
    }
    assert_eq!(sum(&counts, "read") + dropped, records, "{}", printed(&first));
    let output = String::from_utf8(first.stdout.clone()).unwrap();
    for (shown, line) in shown_in_the_readme().iter().zip(output.lines()) {
        assert_eq!(*shown, line.trim_end());
    }

    let second = run(replay(&config(), &lake).arg(shop().join("events")));
    assert_eq!(code(&second), 0, "{}", printed(&second));
    let counts = summary(&second);
    assert_eq!(sum(&counts, "landed"), 0, "{}", printed(&second));
    assert_eq!(sum(&counts, "files"), 0, "{}", printed(&second));
    assert_eq!(sum(&counts, "duplicate") + dropped, records, "{}", printed(&second));
    assert!(printed(&second).contains("nothing new"), "{}", printed(&second));
    assert_shop(&lake);
    assert_poison(&lake);
}

#[test]
fn a_pipe_gets_the_summary_and_nothing_else() {
    let lake = lake("pipe");
    let output = run(replay(&config(), &lake).arg(shop().join("events/0900-orders.json")));
    assert_eq!(code(&output), 0, "{}", printed(&output));
    assert_eq!(String::from_utf8(output.stderr.clone()).unwrap(), "");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("table"), "{text}");
    let drawn = |it: char| it.is_control() && it != '\n';
    assert!(!text.contains(drawn), "progress was drawn into a pipe: {text:?}");
    // The next command to type works as printed.
    assert!(text.contains(lake.to_str().unwrap()), "no next command for this lake: {text}");
}

#[test]
fn a_broken_event_file_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake("broken-file");
    let files =
        ["0900-orders.json", "0930-clicks.json", "1500-orders.jsonl", "1800-orders.json.gz"];
    for name in files {
        fs::copy(shop().join("events").join(name), folder.path().join(name)).unwrap();
    }
    let whole = fs::read(folder.path().join("0930-clicks.json")).unwrap();
    fs::write(folder.path().join("0915-clicks.json"), &whole[..whole.len() - 40]).unwrap();
    let packed = fs::read(folder.path().join("1800-orders.json.gz")).unwrap();
    fs::write(folder.path().join("1730-orders.json.gz"), &packed[..packed.len() / 2]).unwrap();

    let output = run(replay(&config(), &lake).arg(folder.path()));
    assert_eq!(code(&output), 1, "{}", printed(&output));
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for (name, broken) in files
        .map(|name| (name, false))
        .into_iter()
        .chain([("0915-clicks.json", true), ("1730-orders.json.gz", true)])
    {
        assert_eq!(errors.contains(name), broken, "{name}: {}", printed(&output));
    }

    let alone = self::lake("broken-file-left-out");
    let good = files.map(|name| folder.path().join(name));
    let output = run(replay(&config(), &alone).args(good));
    assert_eq!(code(&output), 0, "{}", printed(&output));
    for table in ["shop.orders_changes", "shop.customers_changes", "web.clicks"] {
        assert!(!rows(&lake, table).is_empty(), "{table} is empty");
        assert_eq!(rows(&lake, table), rows(&alone, table), "{table}");
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let lake = lake("no-path");
    let there = shop().join("events/0900-orders.json");
    let output = run(replay(&config(), &lake).arg(there).arg("no/such/file.json"));
    assert_eq!(code(&output), 1, "{}", printed(&output));
    assert!(printed(&output).contains("no/such/file.json"), "{}", printed(&output));
    assert!(!rows(&lake, "shop.orders_changes").is_empty(), "{}", printed(&output));
}

#[test]
fn a_bad_config_is_refused_with_line_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let text = fs::read_to_string(config()).unwrap();
    let bad = folder.path().join("lakeward.toml");
    let wrong =
        text.replacen("table  = \"shop.orders_changes\"", "tabel  = \"shop.orders_changes\"", 1);
    let line = 1 + wrong.lines().position(|it| it.starts_with("tabel")).unwrap();
    fs::write(&bad, wrong).unwrap();

    let output = run(replay(&bad, &lake).arg(shop().join("events")));
    assert_eq!(code(&output), 2, "{}", printed(&output));
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), "");
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for part in [format!("lakeward.toml:{line}: "), "tabel".to_owned(), "`table`".to_owned()] {
        assert!(errors.contains(&part), "{part} is missing in {errors}");
    }
    assert!(!lake.exists(), "a lake was made although nothing could land");
}

#[test]
fn the_shop_s_config_is_in_order() {
    let output = run(lakeward().args(["check", "--config"]).arg(config()));
    assert_eq!(code(&output), 0, "{}", printed(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("error") && !text.contains("note:"), "{text}");
}
