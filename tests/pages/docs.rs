//! Tests that the pages match the code, and that their links lead somewhere.

use std::path::{Component, Path, PathBuf};

use lakeward::config::{Overrides, check};

use crate::support::process::lakeward;

/// Folders that hold pages.
const FOLDERS: [&str; 6] = ["", "docs", "deploy", "fixtures", "localstack", "tests"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Returns the names of a folder's entries, sorted.
fn entries(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the paths of all pages, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let each = FOLDERS.iter().flat_map(|folder| {
        let names = entries(folder).into_iter().filter(|it| it.ends_with(".md"));
        names.map(|it| Path::new(folder).join(it))
    });
    let pages: Vec<PathBuf> = each.collect();
    assert!(pages.len() > 6, "only {pages:?}");
    pages
}

/// Returns the blocks of a page that are fenced as `language`.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let each = page.split(fence.as_str()).skip(1);
    each.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_recipe_is_the_config_of_a_test() {
    let recipes = page("docs/RECIPES.md");
    let mut shown = blocks(&recipes, "toml");
    let cases = entries("fixtures/recipes");
    for name in &cases {
        let config = page(&format!("fixtures/recipes/{name}/lakeward.toml"));
        let before = shown.len();
        shown.retain(|it| it.trim() != config.trim());
        assert_eq!(shown.len() + 1, before, "RECIPES.md shows the config of {name} once");
        let link = format!("](../fixtures/recipes/{name})");
        assert!(recipes.contains(&link), "RECIPES.md links {name}");
    }
    assert!(!cases.is_empty() && shown.is_empty(), "recipes without a test: {shown:#?}");
}

/// Resolves a link on a page in `folder` to a path in the repository.
fn resolve(folder: &Path, link: &str) -> PathBuf {
    let mut path = folder.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{link} leaves the repository"),
            part => path.push(part),
        }
    }
    path
}

#[test]
fn links_between_pages_lead_somewhere() {
    for name in pages() {
        let text = page(name.to_str().unwrap());
        let folder = name.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|it| it.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let there = resolve(folder, file);
            let place = name.display();
            assert!(root().join(&there).exists(), "{place} links {target}");
            if !anchor.is_empty() {
                let linked =
                    if file.is_empty() { text.clone() } else { page(there.to_str().unwrap()) };
                assert!(headings(&linked).contains(&anchor.to_owned()), "{place} links {target}");
            }
        }
    }
}

#[test]
fn the_readme_is_short() {
    let bytes = page("README.md").len();
    assert!(bytes <= 9 * 1024, "README.md has {bytes} bytes; move something to docs/");
}

#[test]
fn the_readme_links_every_page_of_docs() {
    let readme = page("README.md");
    for name in entries("docs").iter().filter(|it| it.ends_with(".md")) {
        assert!(readme.contains(&format!("](docs/{name})")), "README.md does not link {name}");
    }
}

/// Returns the anchors of a page's headings, as GitHub makes them.
fn headings(page: &str) -> Vec<String> {
    let titles = page.lines().filter(|it| it.starts_with('#'));
    let anchor = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    titles.map(anchor).collect()
}

/// Returns the keys of each section of the language, as the error about a wrong key lists them.
fn keys() -> Vec<(&'static str, Vec<String>)> {
    let route = "[[route]]\nsource = \"arn:aws:sqs:r:1:q\"\ntable = \"a.b\"\n";
    let sections = [
        ("The file", "zzzzzzzz = 1\n".to_owned()),
        ("Lake", "[lake]\nzzzzzzzz = 1\n".to_owned()),
        ("Route", format!("{route}zzzzzzzz = 1\n")),
        ("Steps", format!("{route}transform = [{{ zzzzzzzz = 1 }}]\n")),
        ("Table", "[table.\"a.b\"]\nzzzzzzzz = 1\n".to_owned()),
        ("Columns", "[table.\"a.b\".columns]\nx = { type = \"long\", zzzzzzzz = 1 }\n".to_owned()),
        ("Quarantine", "[quarantine]\nzzzzzzzz = 1\n".to_owned()),
    ];
    let each = sections.into_iter().map(|(heading, text)| {
        let checked = check(&format!("version = 1\n{text}"), &Overrides::default());
        let told = checked.problems.iter().find_map(|it| it.remedy.strip_prefix("valid keys: "));
        let keys = told.unwrap_or_else(|| panic!("{heading}: {:?}", checked.problems));
        (heading, keys.split(", ").map(str::to_owned).collect())
    });
    each.collect()
}

#[test]
fn every_key_is_explained_in_its_section_and_no_other() {
    let page = page("docs/CONFIG.md");
    for (heading, keys) in keys() {
        let level = if ["Steps", "Columns"].contains(&heading) { "###" } else { "##" };
        let title = format!("\n{level} {heading}\n");
        let (_, rest) = page.split_once(&title).unwrap_or_else(|| panic!("{heading}"));
        let section = rest.split("\n#").next().unwrap();
        for key in &keys {
            let explained =
                section.contains(&format!("`{key}`")) || section.contains(&format!("{{ {key} = "));
            assert!(explained, "`{key}` is not explained under {heading}");
        }
        let table = section.split("\n\n").find(|it| it.starts_with("| key |"));
        for row in table.into_iter().flat_map(|it| it.lines().skip(2)) {
            let key = row.split('`').nth(1).unwrap();
            assert!(keys.iter().any(|it| it == key), "{heading} has no key `{key}`");
        }
    }
}

/// Returns the commands that a help text lists.
fn commands(arguments: &[&str]) -> Vec<String> {
    let output = lakeward().args(arguments).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let lines = list.lines().take_while(|it| !it.is_empty());
    let names = lines.filter_map(|it| it.strip_prefix("  ")?.split(' ').next());
    names.filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_row_on_its_page() {
    let page = page("docs/COMMANDS.md");
    let mut names = commands(&[]);
    names.retain(|it| it != "redrive");
    names.extend(commands(&["redrive"]).iter().map(|it| format!("redrive {it}")));
    assert!(names.len() > 11, "only {names:?}");
    for name in names {
        let row = page.lines().find(|it| it.starts_with(&format!("| `{name}")));
        assert!(row.is_some(), "COMMANDS.md has no row for {name}");
    }
}

#[test]
fn every_config_on_a_page_is_one() {
    let mut configs = 0;
    for name in pages() {
        let page = page(name.to_str().unwrap());
        for block in blocks(&page, "toml") {
            let checked = check(block, &Overrides::default());
            assert_eq!(checked.problems, vec![], "{}: {block}", name.display());
            configs += 1;
        }
    }
    assert!(configs > 4, "only {configs} configs on all pages");
}

#[test]
fn the_top_level_holds_these_entries_alone() {
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "deploy",
        "docs",
        "fixtures",
        "localstack",
        "src",
        "tests",
    ];
    let ignored = page(".gitignore");
    let is_ignored = |name: &str| ignored.lines().any(|it| it.trim_start_matches('/') == name);
    let mut found = entries("");
    found.retain(|it| !it.starts_with('.') && !is_ignored(it));
    assert_eq!(found, expected);
    assert_eq!(entries(".ci"), ["run"]);
}

/// A larger one can only be deployed through a bucket.
#[test]
fn the_template_is_small_enough_for_one_request() {
    let template = std::fs::read_to_string(root().join("deploy/template.yaml")).unwrap();
    // Whoever lands pending rows removes them: the functions, and an operator who redrives.
    assert_eq!(template.matches("/*/*/metadata/pending/*").count(), 4);
    assert!(template.len() <= 51_000, "{} of 51,200 bytes", template.len());
}
