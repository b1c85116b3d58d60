//! The rules for language that a machine can check, over comments, messages and pages.

use std::collections::BTreeMap;

use super::rust::{File, Kind, parts, tokens};

/// Places that are still to be rewritten: folders of `src` and `tests`, files beside them, pages.
const NOT_YET: &[&str] = &[];

/// The page that explains the rules, and shows what breaks them.
const STYLE: &str = "docs/STYLE.md";

/// Words that stand for others, and the words to use. `*` stands for any one word.
const PHRASES: &[(&str, &str)] = &[
    ("is no", "\"is not a …\""),
    ("are no", "\"are not …\""),
    ("was no", "\"was not a …\""),
    ("were no", "\"were not …\""),
    ("tell of", "\"report\" or \"notify\""),
    ("tells of", "\"reports\" or \"notifies\""),
    ("told of", "\"reported\" or \"notified\""),
    ("come again", "\"are redelivered\""),
    ("comes again", "\"is redelivered\""),
    ("came again", "\"was redelivered\""),
    ("delivered again", "\"redelivered\""),
    ("delivers * again", "\"redelivers\""),
    ("deliver * again", "\"redeliver\""),
    ("given up", "\"failed batch\""),
    ("way back", "\"recovery\""),
    ("mapping of your own", "\"your own event source mapping\""),
    ("nobody", "the name of the actor, or the passive"),
    ("somebody", "the name of the actor, or the passive"),
    ("anybody", "the name of the actor, or the passive"),
    ("everybody", "the name of the actor, or the passive"),
    ("people", "the name of the actor: a user, an operator, an analyst"),
];

/// Words that may follow "no" even so: "is no longer".
const COMPARED: [&str; 6] = ["longer", "more", "less", "later", "larger", "older"];

/// One word of prose, and where it stands.
#[derive(Debug, Clone)]
struct Word {
    line: usize,
    raw: String,
    /// In lower case, without marks around it. Empty between two texts.
    word: String,
}

/// A text that is read on its own: neighbouring comments, a string, a page.
#[derive(Debug)]
struct Prose {
    words: Vec<Word>,
    /// Whether it documents an item, and if so whether a function.
    documents: Option<bool>,
}

fn words(text: &str, line: usize) -> Vec<Word> {
    let mut words = Vec::new();
    for (at, text) in text.lines().enumerate() {
        for raw in text.split_whitespace() {
            let word = raw.trim_matches(|it: char| !it.is_alphanumeric()).to_lowercase();
            words.push(Word { line: line + at, raw: raw.to_owned(), word });
        }
    }
    words
}

/// Returns true if the code after a comment begins with a function.
fn is_function(rest: &[(Kind, &str)]) -> bool {
    let code: String = rest.iter().filter(|it| it.0 == Kind::Code).map(|it| it.1).collect();
    let mut lines = code.lines().map(str::trim).filter(|it| !it.is_empty());
    lines.find(|it| !it.starts_with("#[")).is_some_and(|it| tokens(it).contains(&"fn"))
}

/// Returns the comments of a Rust file, and its strings if asked for.
fn prose(text: &str, strings: bool) -> Vec<Prose> {
    let parts = parts(text);
    let mut prose: Vec<Prose> = Vec::new();
    let (mut line, mut is_open) = (1, false);
    for (at, (kind, part)) in parts.iter().enumerate() {
        match kind {
            // A blank line or code ends a comment.
            Kind::Code => is_open &= part.trim().is_empty() && part.matches('\n').count() < 2,
            Kind::Text if strings => {
                is_open = false;
                prose.push(Prose { words: words(part, line), documents: None });
            }
            Kind::Text => is_open = false,
            Kind::Comment => {
                let text = part.trim_start_matches(['/', '!', '*', ' ']);
                let is_doc = part.starts_with("///") || part.starts_with("//!");
                if !is_open {
                    let documents =
                        is_doc.then(|| part.starts_with("///") && is_function(&parts[at..]));
                    prose.push(Prose { words: Vec::new(), documents });
                    is_open = true;
                }
                if let Some(last) = prose.last_mut() {
                    last.words.extend(words(text, line));
                }
            }
        }
        line += part.matches('\n').count();
    }
    prose
}

/// Returns what is wrong with the words from one on.
fn wrong(words: &[Word], at: usize) -> Option<String> {
    let word = &words[at];
    let before = at.checked_sub(1).map(|at| &words[at]);
    let ends = word.raw.ends_with(['.', ',', ';', ')']) || at + 1 == words.len();
    if ends && ["also", "neither", "too"].contains(&word.word.as_str()) {
        return Some(format!("put \"{}\" to the verb, or leave it out", word.word));
    }
    let matches = |phrase: &str| {
        let count = phrase.split(' ').count();
        let found = words.get(at..at + count)?;
        let same = phrase.split(' ').zip(found).all(|(it, word)| it == "*" || it == word.word);
        // No mark stands inside.
        let whole = found.iter().rev().skip(1).all(|it| !it.raw.ends_with(['.', ',', ';', ':']));
        (same && whole).then_some(count)
    };
    for (phrase, instead) in PHRASES {
        let Some(count) = matches(phrase) else { continue };
        let next = words.get(at + count).map_or("", |it| it.word.as_str());
        let there = before.is_some_and(|it| ["there", "there's"].contains(&it.word.as_str()));
        if phrase.ends_with(" no") && (there || COMPARED.contains(&next)) {
            continue;
        }
        return Some(format!("not \"{phrase}\" but {instead}"));
    }
    None
}

/// Returns what is wrong with a text, with its lines.
fn wrong_prose(prose: &Prose) -> Vec<(usize, String)> {
    let words = &prose.words;
    let mut found: Vec<(usize, String)> =
        (0..words.len()).filter_map(|at| Some((words[at].line, wrong(words, at)?))).collect();
    if let (Some(function), Some(first)) = (prose.documents, words.first()) {
        let noun = ["what", "who", "which", "how"].contains(&first.word.as_str());
        if function && (noun || first.word == "whether") {
            found
                .push((first.line, "begin a function's comment with a verb: Returns …".to_owned()));
        } else if noun {
            found.push((first.line, "begin a comment with a noun".to_owned()));
        }
    }
    found
}

/// Returns `line: rule: text` for all that is wrong in a file.
fn findings(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    if file.path.ends_with(".rs") {
        found.extend(prose(&file.text, file.path.starts_with("src/")).iter().flat_map(wrong_prose));
        let code = super::rust::code(&file.text);
        for (at, line) in code.lines().enumerate() {
            let bad = |it: &&str| it.starts_with("MOST_") || it.starts_with("LEAST_");
            if let Some(name) = tokens(line).into_iter().find(bad) {
                found.push((at + 1, format!("`MAX_` or `MIN_` for `{name}`")));
            }
        }
    } else {
        found.extend(wrong_prose(&Prose { words: words(&file.text, 1), documents: None }));
    }
    found.sort();
    let lines: Vec<&str> = file.text.lines().collect();
    let shown = |line: usize| lines.get(line - 1).map_or("", |it| it.trim());
    found.into_iter().map(|(line, rule)| format!("{line}: {rule}: {}", shown(line))).collect()
}

/// The folder, or the page, that a file counts for.
fn area(path: &str) -> String {
    let length = if path.ends_with(".md") { usize::MAX } else { 2 };
    path.split('/').take(length).collect::<Vec<_>>().join("/")
}

fn problems(files: &[File], not_yet: &[&str]) -> (Vec<String>, BTreeMap<String, usize>) {
    let (mut problems, mut counts) = (Vec::new(), BTreeMap::new());
    for file in files {
        let found = findings(file);
        let area = area(&file.path);
        if !found.is_empty() {
            *counts.entry(area.clone()).or_default() += found.len();
        }
        if !not_yet.contains(&area.as_str()) {
            problems.extend(found.iter().map(|it| format!("{}:{it}", file.path)));
        }
    }
    let done = not_yet.iter().filter(|it| !counts.contains_key(**it));
    problems.extend(done.map(|it| format!("{it}: nothing is wrong there; remove it from NOT_YET")));
    (problems, counts)
}

#[test]
fn texts_keep_to_the_rules_for_language() {
    let mut files = [super::all_rust(), super::pages()].concat();
    files.retain(|it| it.path != STYLE);
    let (problems, counts) = problems(&files, NOT_YET);
    let counts: Vec<String> = counts.iter().map(|it| format!("{} {}", it.1, it.0)).collect();
    println!("findings:\n{}", counts.join("\n"));
    assert!(
        problems.is_empty(),
        "{} findings, see {STYLE}:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn words_that_are_not_ours_are_found() {
    let rust = |text: &str| File { path: "src/a/b.rs".to_owned(), text: text.to_owned() };
    for (text, rules) in [
        ("// It is no table.\n", &["1: not \"is no\" but"][..]),
        ("// There is no table, and it is no longer there.\n", &[]),
        ("/// A table is\n/// no view.\nstruct A;\n", &["1: not \"is no\" but"]),
        ("// It is.\n\n// No view.\n", &[]),
        ("// It is, no doubt.\n", &[]),
        ("fn f() {\n    g(\"{a} is no `table`\"); // is not\n}\n", &["2: not \"is no\" but"]),
        ("let is = no; // x\n", &[]),
        ("// Whoever told of it comes again.\n", &["1: not \"comes again\"", "1: not \"told of\""]),
        ("// It is told, of course.\n", &[]),
        ("// Lambda delivers it again.\n", &["1: not \"delivers * again\""]),
        ("// This one, too, is kept. That is, too much is.\n", &["1: put \"too\""]),
        ("// Nor does that one too.\n", &["1: put \"too\""]),
        ("// In `Debug` neither.\n// Neither of them.\n", &["1: put \"neither\" to"]),
        (
            "const MOST_ROWS: u8 = 1;\nconst ALMOST_ALL: u8 = MOST_ROWS;\n",
            &["1: `MAX_`", "2: `MAX_`"],
        ),
        ("/// What is read.\nstruct A;\n", &["1: begin a comment with a noun"]),
        ("/// Whether it is so.\n#[test]\npub const fn f() {}\n", &["1: begin a function's"]),
        ("/// Whether it is so.\npub f: fn() -> bool,\n", &["1: begin a function's"]),
        ("/// Whether it is so.\npub is_so: bool,\n// What else?\n", &[]),
        ("//! How it works.\n\nfn f() {}\n", &["1: begin a comment with a noun"]),
    ] {
        let found = findings(&rust(text));
        assert_eq!(found.len(), rules.len(), "{text}: {found:?}");
        let fits = found.iter().zip(rules).all(|(found, rule)| found.starts_with(rule));
        assert!(fits, "{text}: {found:?}");
    }
    let page = File { path: "docs/A.md".to_owned(), text: "# A\n\nWhat is\nno list.\n".to_owned() };
    let test =
        File { path: "tests/a/b.rs".to_owned(), text: "f(\"is no\"); // nobody\n".to_owned() };
    let all = [page, test, rust("// It is a list.\n")];
    let (found, counts) = problems(&all, &["docs/A.md", "src/a"]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("tests/a/b.rs:1: not \"nobody\" but "), "{found:?}");
    assert_eq!(found[1], "src/a: nothing is wrong there; remove it from NOT_YET");
    assert_eq!(counts, [("docs/A.md".to_owned(), 1), ("tests/a".to_owned(), 1)].into());
}
