//! Rules about the source that no lint knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file that one still reads in one sitting.
const MOST_LINES: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root().join("src")).unwrap().to_owned();
                files.push((path, text));
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "only {} files: the walk lost its way", files.len());
    files
}

/// Modules of `lib.rs` in the order of their declaration.
fn declared(lib: &str) -> Vec<String> {
    let code = lib.lines().map(str::trim);
    let name = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    code.filter_map(name).collect()
}

/// What a file says outside comments and before its tests.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// First names after each `crate::`, those in braces included.
fn used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list,
            None => rest.split([';', ',', ')', '}', ' ', '\n']).next().unwrap_or_default(),
        };
        let (mut depth, mut name, mut first) = (0_usize, String::new(), true);
        for it in list.chars() {
            match it {
                '{' => depth += 1,
                '}' | ';' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    used.insert(std::mem::take(&mut name));
                    first = true;
                }
                'a'..='z' | '0'..='9' | '_' if first && depth == 0 => name.push(it),
                ' ' | '\n' => first = name.is_empty() && first,
                _ => first = false,
            }
        }
        used.insert(name);
    }
    used
}

/// The modules that a file of `module` uses although they are declared below it.
fn forward(order: &[String], module: &str, text: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|it| it == name);
    let own = place(module);
    let used = used(&code(text)).into_iter();
    used.filter(|name| own.zip(place(name)).is_some_and(|(own, used)| used > own)).collect()
}

#[test]
fn no_module_uses_one_that_is_declared_below_it() {
    let files = sources();
    let lib = files.iter().find(|(path, _)| path == Path::new("lib.rs")).unwrap();
    let order = declared(&lib.1);
    assert!(order.len() > 10, "only {order:?} found in lib.rs");
    let mut arrows = Vec::new();
    for (path, text) in &files {
        let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if path.ends_with("tests.rs") || ["lib", "main"].contains(&module) {
            continue;
        }
        assert!(order.iter().any(|it| it == module), "{} is in no module", path.display());
        for name in forward(&order, module, text) {
            arrows.push(format!("{} uses crate::{name}", path.display()));
        }
    }
    assert!(
        arrows.is_empty(),
        "forward arrows, see the order in src/lib.rs:\n{}",
        arrows.join("\n")
    );
}

#[test]
fn forward_arrows_are_found() {
    let order = declared("//! Doc.\npub mod a;\n\nmod b;\n// mod x;\npub mod c;\n");
    assert_eq!(order, ["a", "b", "c"]);
    for (text, found) in [
        ("use crate::a::A;\n", &[][..]),
        ("use crate::b::{self, c};\n", &[]),
        ("use crate::c;\n", &["c"]),
        ("use crate::c::{d, e};\n", &["c"]),
        ("use crate::{a, c as d};\n", &["c"]),
        ("use crate::{\n    a::{c, d},\n    b,\n};\n", &[]),
        ("use crate::{\n    a::{x, y},\n    c::{z},\n};\n", &["c"]),
        ("fn f(it: &crate::c::C) {}\n", &["c"]),
        ("// use crate::c;\n", &[]),
        ("#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n", &[]),
    ] {
        assert_eq!(forward(&order, "b", text), found, "{text}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .filter(|(_, text)| !text.starts_with("//! ") && !text.starts_with("#![doc"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no module doc in the first line: {silent:?}");
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines; split by meaning: {long:?}");
}
