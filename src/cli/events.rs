//! Event files: finding them, unpacking them, and taking them apart into events.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::cli::trouble::{FIX_AND_REPLAY, Trouble};
use crate::json::{self, JsonError};

/// The text of one event of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventText<'a> {
    /// Its line, from 1, if the file holds several.
    pub line: Option<usize>,
    pub bytes: &'a [u8],
}

/// Extensions of event files, before that of a compression.
const EXTENSIONS: [&str; 3] = ["json", "jsonl", "ndjson"];

/// Returns the event files at `paths`: each file that is named, and those of folders in path order.
pub(super) fn find(paths: &[PathBuf], troubles: &mut Vec<Trouble>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            // Reading it will show whether it exists.
            found.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        walk(path, &mut inside, troubles);
        if inside.is_empty() {
            let remedy = "they end in .json, .jsonl or .ndjson, optionally followed by .gz or .zst";
            let what = "there are no event files in this folder";
            troubles.push(Trouble::new(path.display().to_string(), what, remedy));
        }
        inside.sort();
        found.append(&mut inside);
    }
    found
}

/// Adds the event files of a folder. Links to folders are not followed, because they may lead in
/// circles; Iceberg tables hold no event files.
fn walk(folder: &Path, found: &mut Vec<PathBuf>, troubles: &mut Vec<Trouble>) {
    if folder.join("version-hint.text").exists() {
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            troubles.push(unreadable(folder, &error));
            return;
        }
    };
    for entry in entries {
        let (path, is_folder) = match entry.and_then(|it| Ok((it.path(), it.file_type()?.is_dir())))
        {
            Ok(entry) => entry,
            Err(error) => {
                troubles.push(unreadable(folder, &error));
                continue;
            }
        };
        let is_hidden = path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."));
        if is_hidden {
            continue;
        }
        if is_folder {
            walk(&path, found, troubles);
        } else if is_event_file(&path) && path.is_file() {
            found.push(path);
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Trouble {
    let remedy = "check its path and who may read it";
    Trouble::new(path.display().to_string(), format!("can't be read: {error}"), remedy)
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(OsStr::to_str).unwrap_or_default()
}

/// Returns the path without the extension of a compression.
fn unpacked(path: &Path) -> PathBuf {
    match extension(path) {
        "gz" | "zst" => path.with_extension(""),
        _ => path.to_owned(),
    }
}

fn is_event_file(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(&unpacked(path)))
}

/// Reads a file, and unpacks it if its extension or its first bytes say that it is compressed.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let gzip = extension(path) == "gz" || bytes.starts_with(&[0x1f, 0x8b]);
    let zstd = extension(path) == "zst" || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let mut text = Vec::new();
    let outcome = if gzip {
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text)
    } else if zstd {
        zstd::stream::read::Decoder::new(bytes.as_slice())
            .and_then(|mut it| it.read_to_end(&mut text))
    } else {
        return Ok(bytes);
    };
    match outcome {
        Ok(_) => Ok(text),
        Err(error) => {
            let what = format!("can't be unpacked: {error}");
            Err(Trouble::new(path.display().to_string(), what, "fetch or compress it again"))
        }
    }
}

/// Splits the text of a file into events: the whole text is one, or each line is. A broken line
/// costs only itself.
pub(super) fn split<'a>(
    path: &Path,
    text: &'a [u8],
    troubles: &mut Vec<Trouble>,
) -> Vec<EventText<'a>> {
    let file = path.display();
    if text.trim_ascii().is_empty() {
        let remedy = "remove it, or put an event into it";
        troubles.push(Trouble::new(file.to_string(), "the file is empty", remedy));
        return Vec::new();
    }
    let Err(error) = json::members(text) else {
        return vec![EventText { line: None, bytes: text }];
    };
    let lines: Vec<EventText<'_>> = text
        .split(|it| *it == b'\n')
        .zip(1..)
        .map(|(bytes, line)| EventText { line: Some(line), bytes })
        .filter(|it| !it.bytes.trim_ascii().is_empty())
        .collect();
    let whole = |it: Option<&EventText<'_>>| it.is_some_and(|it| json::members(it.bytes).is_ok());
    let by_line = matches!(extension(&unpacked(path)), "jsonl" | "ndjson");
    if !(by_line || whole(lines.first()) || whole(lines.last())) {
        troubles.push(broken(format!("{file}:{}", line_of(text, error.at)), error));
        return Vec::new();
    }
    lines
        .into_iter()
        .filter(|event| match (json::members(event.bytes), event.line) {
            (Ok(_), _) | (Err(_), None) => true,
            (Err(error), Some(line)) => {
                troubles.push(broken(format!("{file}:{line}"), error));
                false
            }
        })
        .collect()
}

fn broken(location: String, error: JsonError) -> Trouble {
    Trouble::new(location, format!("not an event: {error}"), FIX_AND_REPLAY)
}

fn line_of(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|it| **it == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Returns the lines of the events, and the locations of the troubles.
    fn parts(name: &str, text: &str) -> (Vec<Option<usize>>, Vec<String>) {
        let mut troubles = Vec::new();
        let events = split(Path::new(name), text.as_bytes(), &mut troubles);
        (
            events.iter().map(|it| it.line).collect(),
            troubles.into_iter().map(|it| it.location).collect(),
        )
    }

    #[test]
    fn a_file_is_one_event_or_one_a_line() {
        let none = Vec::<String>::new;
        assert_eq!(parts("a.json", "{\n  \"Records\": []\n}\n"), (vec![None], none()));
        assert_eq!(parts("a.jsonl", "{\n  \"Records\": []\n}\n"), (vec![None], none()));
        assert_eq!(parts("a.json", "{}\n\n{}\r\n"), (vec![Some(1), Some(3)], none()));
        assert_eq!(parts("a.jsonl.gz", "{}\n{}"), (vec![Some(1), Some(2)], none()));
        assert_eq!(parts("a", "{}"), (vec![None], none()));
    }

    #[test]
    fn a_broken_line_costs_itself_and_is_named() {
        let at = |it: &str| vec![it.to_owned()];
        assert_eq!(parts("a.jsonl", "{}\n{]\n{}"), (vec![Some(1), Some(3)], at("a.jsonl:2")));
        assert_eq!(parts("a.json", "{oh\n{}\n{}"), (vec![Some(2), Some(3)], at("a.json:1")));
        assert_eq!(parts("a.json", "{\n\"a\": 1,\n\"b\" 2}"), (vec![], at("a.json:3")));
        assert_eq!(parts("a.json", "[{}]"), (vec![], at("a.json:1")));
        assert_eq!(parts("a.json", " \n"), (vec![], at("a.json")));
        assert_eq!(parts("a.jsonl", "{\"a\": "), (vec![], at("a.jsonl:1")));
    }

    #[test]
    fn folders_are_searched_in_path_order_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/1.json", "a.ndjson.zst", "c.jsonl.gz", ".hidden.json", "x.txt", "y.gz"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        std::fs::create_dir_all(folder.path().join("empty")).unwrap();
        let mut troubles = Vec::new();
        let paths =
            [folder.path().join("x.txt"), folder.path().to_owned(), folder.path().join("empty")];
        let found = find(&paths, &mut troubles);
        let names: Vec<_> = found
            .iter()
            .map(|it| it.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["x.txt", "a.ndjson.zst", "b/1.json", "c.jsonl.gz"]);
        assert_eq!(troubles.len(), 1);
        assert_eq!(troubles[0].what, "there are no event files in this folder");
    }

    #[test]
    fn packed_files_are_unpacked_and_truncated_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"{\"Records\": []}".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(text.as_slice(), 0).unwrap();
        for (name, bytes) in
            [("a.json.gz", &gzip), ("a.json.zst", &zstd), ("a", &gzip), ("b", &zstd)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), text, "{name}");
            std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
            assert!(read(&path).unwrap_err().what.starts_with("can't be unpacked"), "{name}");
        }
        let missing = read(&folder.path().join("missing.json")).unwrap_err();
        assert!(missing.what.starts_with("can't be read"));
        std::fs::write(folder.path().join("empty.gz"), "").unwrap();
        assert!(read(&folder.path().join("empty.gz")).is_err());
    }
}
