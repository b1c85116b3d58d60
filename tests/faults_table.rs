//! `tests/FAULTS.md` tells what is tested, and no more than that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rows of the tables of cases: a case, and the tests or the reason why there is none.
fn rows(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    let is_case = |it: &str| it.trim_start_matches('H').parse::<u32>().is_ok();
    let cases = cells.filter(|row| row.len() == 4 && is_case(&row[0]));
    cases.map(|row| (row[0].clone(), row[3].clone())).collect()
}

/// What is wrong with a page, given the names of all tests.
fn problems(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(page);
    let found: Vec<&str> = rows.iter().map(|(case, _)| case.as_str()).collect();
    let expected: Vec<String> =
        (1..=74).map(|n| n.to_string()).chain((1..=31).map(|n| format!("H{n}"))).collect();
    let mut problems = Vec::new();
    if found != expected {
        problems.push(format!("the cases are not 1 to 74 and H1 to H31: {found:?}"));
    }
    for (case, shown) in rows {
        let reason = ["does not apply: ", "later: "].iter().find_map(|it| shown.strip_prefix(it));
        match reason {
            Some(reason) if reason.len() > 10 => continue,
            Some(_) => problems.push(format!("{case} has no reason")),
            None => {}
        }
        for name in shown.split("<br>") {
            let name = name.trim_matches('`');
            let there = match name.strip_prefix("fixtures/") {
                Some(_) => root().join(name).is_dir(),
                None => tests.contains(name),
            };
            if !there {
                problems.push(format!("{case}: there is no test `{name}`"));
            }
        }
    }
    problems
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Names of all tests, as they are printed: by the path of their file, and of a module in it.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        let folder = root().join(folder);
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let module = file.strip_prefix(&folder).unwrap().with_extension("");
            let module: Vec<&str> = module.iter().map(|it| it.to_str().unwrap()).collect();
            let module: Vec<&str> = module.into_iter().filter(|it| *it != "mod").collect();
            let (mut inner, mut is_test) = ("", false);
            let text = fs::read_to_string(&file).unwrap();
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("mod ").and_then(|it| it.strip_suffix(" {")) {
                    inner = if name == "tests" { "tests" } else { "" };
                }
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if let (Some(name), true) = (name, is_test) {
                    let name = name.split(['(', '<']).next().unwrap();
                    let path = module.iter().copied().chain([inner, name]);
                    let path: Vec<&str> = path.filter(|it| !it.is_empty()).collect();
                    names.insert(path.join("::"));
                    is_test = false;
                }
            }
        }
    }
    names
}

#[test]
fn each_case_has_a_test_or_a_reason() {
    let page = fs::read_to_string(root().join("tests/FAULTS.md")).unwrap();
    assert_eq!(problems(&page, &tests()), Vec::<String>::new());
}

#[test]
fn a_page_that_promises_too_much_is_found() {
    let page = fs::read_to_string(root().join("tests/FAULTS.md")).unwrap();
    let tests = tests();
    let without = |line: &str| {
        let lines = page.lines().filter(|it| !it.starts_with(line));
        lines.collect::<Vec<_>>().join("\n")
    };
    for (page, problem) in [
        (without("| 7 |"), "are not 1 to 74"),
        (page.replace("commit::ids::", "commit::idea::"), "there is no test `commit::idea::"),
        (page.replace("fixtures/delivery", "fixtures/deliveries"), "no test `fixtures/deliveries"),
        (page.replace("later: this release writes to no catalog; the same against other writers of a table is case 30", "later: yes"), "35 has no reason"),
    ] {
        let problems = problems(&page, &tests);
        assert!(problems.iter().any(|it| it.contains(problem)), "{problems:?}");
    }
}
