//! Event files: finding them, unpacking them, and taking them apart into events.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::json::{self, JsonError};

/// What is wrong with an input, where, and what to do about it. Never holds payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The file, and the line where one is known.
    pub place: String,
    pub what: String,
    pub remedy: String,
}

/// One event of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its line, from 1, where the file holds several.
    pub line: Option<usize>,
    pub bytes: &'a [u8],
}

/// Extensions of event files, before one of a compression.
const EXTENSIONS: [&str; 3] = ["json", "jsonl", "ndjson"];

const MEND: &str = "mend it and replay it; what has landed does not land again";

/// The event files at `paths`: files as they are named, folders searched, each in path order.
pub(super) fn find(paths: &[PathBuf], troubles: &mut Vec<Trouble>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            // Whether it can be read shows when it is.
            found.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        walk(path, &mut inside, troubles);
        if inside.is_empty() {
            troubles.push(Trouble {
                place: path.display().to_string(),
                what: "no event files in this folder".to_owned(),
                remedy: "they end in .json, .jsonl or .ndjson, and may have .gz or .zst after it"
                    .to_owned(),
            });
        }
        inside.sort();
        found.append(&mut inside);
    }
    found
}

/// Links to folders are not followed: they may lead in circles. Metadata of tables is no data.
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
        let hidden = path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."));
        if hidden {
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
    Trouble {
        place: path.display().to_string(),
        what: format!("can't be read: {error}"),
        remedy: "check its path and who may read it".to_owned(),
    }
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(OsStr::to_str).unwrap_or_default()
}

/// The path without the extension of a compression.
fn unpacked(path: &Path) -> PathBuf {
    match extension(path) {
        "gz" | "zst" => path.with_extension(""),
        _ => path.to_owned(),
    }
}

fn is_event_file(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(&unpacked(path)))
}

/// The text of a file, unpacked by its extension or, where that says nothing, by its first bytes.
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
        Err(error) => Err(Trouble {
            place: path.display().to_string(),
            what: format!("can't be unpacked: {error}"),
            remedy: "fetch or pack it again".to_owned(),
        }),
    }
}

/// The events of a file's text: the whole text as one, or one a line. A broken line costs only
/// itself.
pub(super) fn split<'a>(
    path: &Path,
    text: &'a [u8],
    troubles: &mut Vec<Trouble>,
) -> Vec<Event<'a>> {
    let file = path.display();
    if text.trim_ascii().is_empty() {
        troubles.push(Trouble {
            place: file.to_string(),
            what: "the file is empty".to_owned(),
            remedy: "remove it, or put an event into it".to_owned(),
        });
        return Vec::new();
    }
    let Err(error) = json::members(text) else {
        return vec![Event { line: None, bytes: text }];
    };
    let lines: Vec<Event<'_>> = text
        .split(|it| *it == b'\n')
        .zip(1..)
        .map(|(bytes, line)| Event { line: Some(line), bytes })
        .filter(|it| !it.bytes.trim_ascii().is_empty())
        .collect();
    let whole = |it: Option<&Event<'_>>| it.is_some_and(|it| json::members(it.bytes).is_ok());
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

fn broken(place: String, error: JsonError) -> Trouble {
    Trouble { place, what: format!("no event: {error}"), remedy: MEND.to_owned() }
}

fn line_of(text: &[u8], at: usize) -> usize {
    text.iter().take(at).filter(|it| **it == b'\n').count().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Lines of the events, and places and problems of the troubles.
    fn parts(name: &str, text: &str) -> (Vec<Option<usize>>, Vec<String>) {
        let mut troubles = Vec::new();
        let events = split(Path::new(name), text.as_bytes(), &mut troubles);
        (
            events.iter().map(|it| it.line).collect(),
            troubles.into_iter().map(|it| it.place).collect(),
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
    fn a_broken_line_costs_itself_and_names_its_place() {
        let place = |it: &str| vec![it.to_owned()];
        assert_eq!(parts("a.jsonl", "{}\n{]\n{}"), (vec![Some(1), Some(3)], place("a.jsonl:2")));
        assert_eq!(parts("a.json", "{oh\n{}\n{}"), (vec![Some(2), Some(3)], place("a.json:1")));
        assert_eq!(parts("a.json", "{\n\"a\": 1,\n\"b\" 2}"), (vec![], place("a.json:3")));
        assert_eq!(parts("a.json", "[{}]"), (vec![], place("a.json:1")));
        assert_eq!(parts("a.json", " \n"), (vec![], place("a.json")));
        assert_eq!(parts("a.jsonl", "{\"a\": "), (vec![], place("a.jsonl:1")));
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
        assert_eq!(troubles[0].what, "no event files in this folder");
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
