//! `tests/FAULTS.md` has a row for each case, and each row names tests that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The numbers of cases: faults and bad input, the holes of a commit, records that deceive.
const FAULTS: usize = 74;
const HOLES: usize = 31;
const DECEITS: usize = 21;

/// The words before a reason that a row gives instead of a test.
const REASONS: [&str; 2] = ["does not apply: ", "later: "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<String> {
    let faults = (1..=FAULTS).map(|n| n.to_string());
    let holes = (1..=HOLES).map(|n| format!("H{n}"));
    faults.chain(holes).chain((1..=DECEITS).map(|n| format!("W{n}"))).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}

/// The module of a file, by its path below `src` or `tests`.
fn module(path: &Path) -> Vec<String> {
    let names = path.with_extension("");
    let names = names.iter().map(|it| it.to_str().unwrap().to_owned());
    names.filter(|it| !["mod", "lib", "main"].contains(&it.as_str())).collect()
}

/// The test functions of a file, with the modules that they are in. Formatted code closes a module
/// where its line began.
fn tests_in(module: &[String], text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inner: Vec<(usize, &str)> = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if let Some(name) = code.strip_prefix("mod ").and_then(|it| it.strip_suffix(" {")) {
            inner.push((indent, name));
        } else if code == "}" && inner.last().is_some_and(|it| it.0 == indent) {
            inner.pop();
        } else if code == "#[test]" || code.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = code.trim_start_matches("async ").strip_prefix("fn ")
            && std::mem::take(&mut is_test)
        {
            let names = module.iter().map(String::as_str).chain(inner.iter().map(|it| it.1));
            let names: Vec<&str> = names.chain(name.split('(').take(1)).collect();
            found.push(names.join("::"));
        }
    }
    found
}

/// All tests, named as nextest prints them.
fn all_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for folder in [root().join("src"), root().join("tests")] {
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        for file in files {
            let module = module(file.strip_prefix(&folder).unwrap());
            tests.extend(tests_in(&module, &std::fs::read_to_string(&file).unwrap()));
        }
    }
    tests
}

/// Returns true if a name in the column of tests belongs to a test that exists.
fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    if let Some((file, test)) = name.split_once(".py::") {
        let text = std::fs::read_to_string(root().join(file).with_extension("py"));
        return text.is_ok_and(|it| it.contains(&format!("\ndef {test}(")));
    }
    tests.contains(name) || name.starts_with("fixtures/") && root().join(name).is_dir()
}

/// Returns the problems of a row's tests.
fn wrong_tests(cell: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let names = quoted.filter(|it| it.starts_with("fixtures/") || it.contains("::"));
    let wrong = names.filter(|it| !exists(it, tests)).map(|it| format!("there is no {it}"));
    let mut wrong: Vec<String> = wrong.collect();
    for part in cell.split("<br>") {
        let is_name = part.len() > 2 && part.starts_with('`') && part.ends_with('`');
        let reason = REASONS.iter().find_map(|it| part.strip_prefix(it));
        if part.starts_with("MISSING") {
            wrong.push(part.to_owned());
        } else if !is_name && reason.is_none_or(|it| it.trim().is_empty()) {
            wrong.push(format!("`{part}` is neither a test nor a reason"));
        }
    }
    wrong
}

/// Everything that is wrong with the page.
fn problems(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let (mut problems, mut found, mut inside) = (Vec::new(), Vec::new(), false);
    for line in page.lines() {
        inside = line.starts_with("| case |") || inside && line.starts_with('|');
        if !inside || line.starts_with("| case |") || line.starts_with("|---") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [case, happens, does, cell] = cells[..] else {
            problems.push(format!("no row of four cells: {line}"));
            continue;
        };
        let excused = REASONS.iter().any(|it| cell.starts_with(it));
        if happens.is_empty() || does.is_empty() && !excused {
            problems.push(format!("case {case}: it does not say what happens"));
        }
        problems.extend(wrong_tests(cell, tests).iter().map(|it| format!("case {case}: {it}")));
        found.push(case.to_owned());
    }
    if let Some((at, case)) = cases().iter().enumerate().find(|(at, it)| found.get(*at) != Some(it))
    {
        problems.push(format!("case {case} is not where it belongs: row {}", at + 1));
    } else if found.len() > cases().len() {
        problems.push(format!("{} rows for {} cases", found.len(), cases().len()));
    }
    problems
}

#[test]
fn every_case_has_a_row_and_every_row_a_test() {
    let page = std::fs::read_to_string(root().join("tests/FAULTS.md")).unwrap();
    let problems = problems(&page, &all_tests());
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn what_is_wrong_with_the_table_is_found() {
    let tests = all_tests();
    assert!(tests.len() > 300, "only {} tests: the walk lost its way", tests.len());
    let row = |case: &str, cell: &str| format!("| {case} | It breaks. | It mends it. | {cell} |\n");
    let good = "`contract::golden::every_case_ends_as_it_says`";
    let page = |change: &dyn Fn(&str) -> String| -> String {
        let rows = cases().iter().map(|it| change(it)).collect::<String>();
        format!(
            "| oracle | is |\n|---|---|\n| I1 | no case |\n\n| case | a | b | c |\n|---|---|---|---|\n{rows}"
        )
    };
    let with =
        |cell: &str| problems(&page(&|it| row(it, if it == "7" { cell } else { good })), &tests);
    for fine in [
        good,
        "`source::tests::no_bytes_make_reading_panic`<br>`source::tests::damage::the_fixtures_are_found`",
        "`store::bounds::tests::no_text_lies_outside_its_bounds`<br>`commit::ids::an_id_that_aws_gave_and_one_that_a_route_took_are_of_two_records`",
        "`fixtures/delivery/the-same-event-twice-lands-once`",
        "`tests/readers/test_lakes.py::test_lake`",
        "later: there is a reason",
    ] {
        assert_eq!(with(fine), Vec::<String>::new(), "{fine}");
    }
    for (wrong, part) in [
        (
            "`contract::golden::every_case_ends_well`",
            "there is no contract::golden::every_case_ends_well",
        ),
        ("`contract::golden::check`", "there is no contract::golden::check"),
        ("`tests::every_case_ends_as_it_says`", "there is no tests::"),
        ("`fixtures/delivery/nothing`", "there is no fixtures/delivery/nothing"),
        ("`tests/readers/test_lakes.py::test_nothing`", "there is no tests/readers"),
        ("later: as `contract::golden::nothing` shows", "there is no contract::golden::nothing"),
        ("MISSING: a test", "MISSING: a test"),
        ("later: ", "neither a test nor a reason"),
        ("", "neither a test nor a reason"),
    ] {
        let found = with(wrong);
        assert!(found.len() == 1 && found[0].contains(part), "{wrong}: {found:?}");
        assert!(found[0].starts_with("case 7: "), "{wrong}: {found:?}");
    }
    let gone = |gone: &str| {
        problems(&page(&|it| if it == gone { String::new() } else { row(it, good) }), &tests)
    };
    assert_eq!(gone("12"), ["case 12 is not where it belongs: row 12"]);
    assert_eq!(gone("H31"), ["case H31 is not where it belongs: row 105"]);
    let doubled = page(&|it| row(it, good)) + &row("H31", good);
    let count = cases().len();
    assert_eq!(problems(&doubled, &tests), [format!("{} rows for {count} cases", count + 1)]);
}
