//! The contract of files, for every store. S3 proves its part at first use.

use std::path::Path;

use bytes::Bytes;
use lakeward::store::files::local::LocalFiles;
use lakeward::store::files::overlay::Overlay;
use lakeward::store::files::{self, Creation, Files, TaggedObject};

use crate::support::lake::fresh_folder;
use crate::support::store::Memory;

fn each(name: &str, test: impl AsyncFn(&dyn Files, &str)) {
    let folder = fresh_folder(name);
    let at = |part: &str| LocalFiles::location(folder.join(part).to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        test(&LocalFiles, &at("local")).await;
        test(&Overlay::over(&files::at("lake").unwrap()), &at("overlay")).await;
        test(&Memory::default(), "memory:/lake").await;
    });
    assert!(!folder.join("overlay").exists(), "an overlay writes nothing");
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn an_object_is_made_once() {
    each("files-made", async |files, at| {
        let object = format!("{at}/a/v1");
        assert_eq!(files.read(&object).await.unwrap(), None);
        assert!(!files.exists(&object).await.unwrap());
        assert_eq!(files.create(&object, bytes("first")).await.unwrap(), Creation::Done);
        assert_eq!(files.create(&object, bytes("second")).await.unwrap(), Creation::Exists);
        assert!(files.exists(&object).await.unwrap());
        assert_eq!(files.read(&object).await.unwrap(), Some(bytes("first")));
    });
}

#[test]
fn only_who_knows_what_is_there_replaces_it() {
    each("files-replaced", async |files, at| {
        let hint = format!("{at}/a/hint");
        let tag = async || files.read_tagged(&hint).await.unwrap().map(|it| it.tag);
        assert_eq!(tag().await, None);
        assert!(!files.replace(&hint, Some("made up"), bytes("0")).await.unwrap());
        assert!(files.replace(&hint, None, bytes("1")).await.unwrap());
        let first = tag().await.unwrap();
        assert!(!files.replace(&hint, None, bytes("2")).await.unwrap());
        assert!(files.replace(&hint, Some(&first), bytes("3")).await.unwrap());
        assert!(!files.replace(&hint, Some(&first), bytes("4")).await.unwrap());
        let last = files.read_tagged(&hint).await.unwrap();
        let TaggedObject { bytes: found, tag } = last.unwrap();
        assert_eq!(found, bytes("3"));
        assert_ne!(tag, first);
        assert_eq!(files.list(&format!("{at}/a")).await.unwrap(), ["hint"], "nothing is left over");
    });
}

#[test]
fn a_folder_is_listed_by_the_names_in_it() {
    each("files-listed", async |files, at| {
        assert_eq!(files.list(at).await.unwrap(), [""; 0]);
        for name in ["a/x/1", "a/x/2", "a/y", "ab"] {
            files.write(&format!("{at}/{name}"), bytes("content")).await.unwrap();
        }
        let mut names = files.list(&format!("{at}/a")).await.unwrap();
        names.sort();
        assert_eq!(names, ["x", "y"]);
        assert_eq!(files.list(&format!("{at}/b")).await.unwrap(), [""; 0]);
    });
}

/// A dry run sees what is there, and leaves it.
#[test]
fn an_overlay_hides_what_is_under_it_and_changes_nothing() {
    let folder = fresh_folder("files-overlay");
    let location = LocalFiles::location(folder.to_str().unwrap()).unwrap();
    let [one, two] = ["one", "two"].map(|name| format!("{location}/{name}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        LocalFiles.write(&one, bytes("under")).await.unwrap();
        let overlay = Overlay::over(&files::at("lake").unwrap());
        assert!(overlay.exists(&one).await.unwrap());
        assert_eq!(overlay.create(&one, bytes("over")).await.unwrap(), Creation::Exists);
        assert_eq!(overlay.read(&one).await.unwrap(), Some(bytes("under")));
        let there = overlay.read_tagged(&one).await.unwrap().unwrap();
        assert!(overlay.replace(&one, Some(&there.tag), bytes("over")).await.unwrap());
        assert_eq!(overlay.read(&one).await.unwrap(), Some(bytes("over")));
        overlay.write(&two, bytes("over")).await.unwrap();
        let mut names = overlay.list(&location).await.unwrap();
        names.sort();
        assert_eq!(names, ["one", "two"]);
    });
    assert_eq!(tree(&folder), [("one".to_owned(), "under".to_owned())]);
}

fn tree(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let content = std::fs::read_to_string(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), content)
    });
    entries.collect()
}

/// An unreadable file does not count as missing: a table would be created again.
#[test]
fn what_can_not_be_read_is_an_error() {
    let folder = fresh_folder("files-unreadable");
    std::fs::write(folder.join("file"), "in the way").unwrap();
    let location = LocalFiles::location(folder.join("file").to_str().unwrap()).unwrap();
    let below = format!("{location}/v1");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        LocalFiles.read(&below).await.unwrap_err();
        LocalFiles.read_tagged(&below).await.unwrap_err();
        LocalFiles.exists(&below).await.unwrap_err();
        LocalFiles.list(&location).await.unwrap_err();
        LocalFiles.create(&below, bytes("x")).await.unwrap_err();
        LocalFiles.replace(&below, None, bytes("x")).await.unwrap_err();
    });
}
