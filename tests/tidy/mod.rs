//! Rules about the source that no lint knows.
#![expect(clippy::string_slice, reason = "a reader of text goes by the offsets that it has found")]

mod names;
mod order;
mod rust;
mod words;

use std::path::Path;

use rust::File;

/// Lines of a file that one still reads in one sitting.
const MAX_LINES: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads all files below a folder that have an extension.
fn files(folder: &str, extension: &str) -> Vec<File> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", ".git"].contains(&name) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn sources() -> Vec<File> {
    let files = files("src", "rs");
    assert!(files.len() > 20, "only {} files: the walk lost its way", files.len());
    files
}

fn all_rust() -> Vec<File> {
    [sources(), files("tests", "rs")].concat()
}

fn pages() -> Vec<File> {
    let pages = files("", "md");
    assert!(pages.len() > 3, "only {} pages: the walk lost its way", pages.len());
    pages
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = all_rust()
        .into_iter()
        .filter(|it| !it.path.ends_with("tests.rs"))
        .filter(|it| !it.text.starts_with("//! ") && !it.text.starts_with("#![doc"))
        .map(|it| it.path)
        .collect();
    assert!(silent.is_empty(), "no module doc in the first line: {silent:?}");
}

#[test]
fn every_file_can_be_read_in_one_sitting() {
    let long: Vec<_> = all_rust()
        .into_iter()
        .map(|it| (it.path, it.text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines; split by meaning: {long:?}");
}
