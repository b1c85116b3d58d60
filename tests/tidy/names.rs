//! Types are named by nouns: no participles, no pronouns, no question words.

use super::rust::{File, code, tokens};

/// Types that are still to be renamed.
const NOT_YET: &[&str] = &[];

/// Pronouns, question words, adjectives and verbs that tell nothing about a type.
const FORBIDDEN: &[&str] = &[
    "Another", "Begun", "Caught", "Done", "Found", "Given", "Held", "How", "Kept", "Known",
    "Later", "Left", "Lost", "Made", "Meant", "One", "Other", "Own", "Put", "Read", "Said", "Seen",
    "Sent", "Some", "Taken", "That", "There", "This", "Told", "What", "When", "Where", "Which",
    "Who", "Whole", "Why", "Written",
];

/// Nouns that end like participles.
const NOUNS: &[&str] = &["Bed", "Feed", "Need", "Seed", "Speed"];

fn is_noun(name: &str) -> bool {
    let words = name.char_indices().filter(|(_, it)| it.is_uppercase()).count();
    let participle = words == 1 && name.ends_with("ed") && !NOUNS.contains(&name);
    !participle && !FORBIDDEN.contains(&name)
}

/// Returns the types that a file defines, with their lines.
fn types(file: &File) -> Vec<(usize, String)> {
    let code = code(&file.text);
    let each = code.lines().enumerate().flat_map(|(at, line)| {
        let tokens = tokens(line);
        let found = tokens.windows(2).filter_map(|pair| {
            let is_type = ["enum", "struct", "trait", "type", "union"].contains(&pair[0]);
            let is_name = pair[1].starts_with(|it: char| it.is_uppercase());
            (is_type && is_name).then(|| (at + 1, pair[1].to_owned()))
        });
        found.collect::<Vec<_>>()
    });
    each.collect()
}

fn problems(files: &[File], not_yet: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for file in files {
        for (line, name) in types(file) {
            if is_noun(&name) {
                continue;
            }
            if !not_yet.contains(&name.as_str()) {
                problems.push(format!("{}:{line}: a type is named by a noun: {name}", file.path));
            }
            found.push(name);
        }
    }
    let gone = not_yet.iter().filter(|it| !found.iter().any(|name| name == *it));
    problems.extend(gone.map(|it| format!("{it}: no type has this name; remove it from NOT_YET")));
    problems
}

#[test]
fn types_are_named_by_nouns() {
    let problems = problems(&super::all_rust(), NOT_YET);
    assert!(problems.is_empty(), "{} findings:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn names_that_are_not_nouns_are_found() {
    let file = |text: &str| File { path: "src/a.rs".to_owned(), text: text.to_owned() };
    for (text, found) in [
        ("struct Landed(u8);\n", true),
        ("pub(crate) enum What<'a> {\n    Row(&'a str),\n}\n", true),
        ("fn f() {\n    enum Given {}\n}\n", true),
        ("impl Trait for A {\n    type Other = u8;\n}\n", true),
        ("pub struct Seed;\npub struct FailedBatch;\npub struct DeclaredColumn;\n", false),
        ("// struct Told;\nconst A: &str = \"struct Told;\";\n", false),
        ("let r#type = What;\n", false),
    ] {
        assert_eq!(!problems(&[file(text)], &[]).is_empty(), found, "{text}");
    }
    let text = "struct A;\nstruct Told;\n";
    assert_eq!(problems(&[file(text)], &[]), ["src/a.rs:2: a type is named by a noun: Told"]);
    assert_eq!(problems(&[file(text)], &["Told"]), Vec::<String>::new());
    let gone = problems(&[file("struct A;\n")], &["Told"]);
    assert_eq!(gone, ["Told: no type has this name; remove it from NOT_YET"]);
}
