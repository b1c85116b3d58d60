//! Mistakes in configs: each folder of `fixtures/config` holds a wrong config and the messages
//! about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lakeward::config::{CheckReport, Overrides, Problem, check};
use proptest::prelude::*;
use proptest::sample::Index;

/// With fewer folders the test reads the wrong directory.
const MIN_FOLDERS: usize = 100;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|it| it.unwrap().path()).collect();
    found.sort();
    found
}

fn config(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("lakeward.toml")).unwrap()
}

/// Returns the lines that `lakeward check` prints.
fn messages(text: &str) -> String {
    let CheckReport { problems, notes, .. } = check(text, &Overrides::default());
    let mut lines = String::new();
    for (kind, list) in [("error", &problems), ("note", &notes)] {
        for it in list {
            writeln!(lines, "{kind}: {}", it.at(Path::new("lakeward.toml"))).unwrap();
        }
    }
    lines
}

#[test]
fn every_mistake_is_reported_with_its_line_and_remedy() {
    let update = std::env::var("UPDATE_FIXTURES").is_ok_and(|it| !it.is_empty());
    let folders = folders();
    assert!(folders.len() >= MIN_FOLDERS, "only {}", folders.len());
    let mut differences = Vec::new();
    for folder in folders {
        let messages = messages(&config(&folder));
        let path = folder.join("said.txt");
        if update {
            std::fs::write(&path, &messages).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if messages.is_empty() || messages != expected {
            let name = folder.file_name().unwrap().display();
            differences.push(format!("{name}\n  expected {expected}  found    {messages}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn all_mistakes_are_reported_in_line_order() {
    // One config with all routes whose mistakes do not depend on other parts.
    let mut whole = "version = 1\n".to_owned();
    let mut expected = 0;
    for folder in folders() {
        let text = config(&folder);
        let parts = text.strip_prefix("version = 1\n").map(str::trim_start);
        let Some(part) = parts.filter(|it| it.starts_with("[[route]]")) else { continue };
        if part.contains("[table.") || part.matches("[[route]]").count() > 1 {
            continue;
        }
        expected += check(&text, &Overrides::default()).problems.len();
        whole.push_str(part);
        whole.push('\n');
    }
    let problems = check(&whole, &Overrides::default()).problems;
    assert!(expected > 30 && problems.len() >= expected, "{} of {expected}", problems.len());
    let lines: Vec<_> = problems.iter().map(|it| it.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn no_two_configs_are_the_same() {
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in folders() {
        if let Some(other) = seen.insert(config(&folder), folder.clone()) {
            panic!("{} and {} have the same config", folder.display(), other.display());
        }
    }
}

#[test]
fn a_key_in_a_config_is_never_repeated() {
    let mut keys = 0;
    for folder in folders() {
        let text = config(&folder);
        for key in ["s3cr3t-in-the-open", "plain"] {
            keys += usize::from(text.contains(key));
            assert!(!messages(&text).contains(key), "{}", folder.display());
        }
    }
    assert!(keys > 1);
}

/// Returns a text that is inserted where it does not belong.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("\"".to_owned()),
        Just("[[route]]\n".to_owned()),
        Just("= { a = ".to_owned()),
        Just("{type}".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\u{feff}\u{0}".to_owned()),
        Just("transform = [{ hash = [\"a\"], key = \"env:X\" }]\n".to_owned()),
        ".{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_config_is_accepted_or_explained(
        base in any::<Index>(),
        edits in prop::collection::vec((any::<Index>(), 0_usize..20, hostile()), 1..4),
    ) {
        let folders = folders();
        let folder: &PathBuf = base.get(folders.as_slice());
        let mut text = config(folder);
        for (at, length, with) in edits {
            let mut from = at.index(text.len() + 1);
            let mut to = (from + length).min(text.len());
            while !text.is_char_boundary(from) { from -= 1; }
            while !text.is_char_boundary(to) { to += 1; }
            text.replace_range(from..to, &with);
        }
        let CheckReport { config, problems, notes } = check(&text, &Overrides::default());
        prop_assert_eq!(config.is_some(), problems.is_empty());
        for Problem { line, what, remedy } in problems.iter().chain(&notes) {
            prop_assert!(!what.is_empty() && !remedy.is_empty());
            prop_assert!(line.is_none_or(|it| it >= 1 && it <= text.matches('\n').count() + 1));
        }
    }
}
