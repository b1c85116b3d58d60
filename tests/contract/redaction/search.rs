//! A search of every byte of a lake, as it is stored and as it reads.

use std::path::{Path, PathBuf};

use arrow_array::Array as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use iceberg::spec::{FormatVersion, Manifest, ManifestList};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest as _, Sha256};

/// Something to search: its location, and its bytes.
pub type Haystack = (String, Vec<u8>);

/// Every file below a folder but for those below `but`: its name and bytes as they are stored, and
/// what is in them once they are unpacked.
pub fn haystacks(folder: &Path, but: Option<&Path>) -> Vec<Haystack> {
    let mut found = Vec::new();
    for path in files(folder) {
        if but.is_some_and(|it| path.starts_with(it)) {
            continue;
        }
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        found.push((format!("name of {name}"), name.clone().into_bytes()));
        match path.extension().and_then(|it| it.to_str()) {
            Some("parquet") => found.push((format!("cells of {name}"), cells(&bytes))),
            Some("avro") => found.push((format!("entries of {name}"), entries(&bytes))),
            Some("json" | "text") => {}
            // Any other file of a lake may be packed in a way that this search does not know.
            other => panic!("{name}: how is {other:?} to be searched?"),
        }
        found.push((name, bytes));
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The unpacked values of all columns of a Parquet file.
fn cells(bytes: &[u8]) -> Vec<u8> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).unwrap();
    let mut found = Vec::new();
    for batch in reader.build().unwrap() {
        for column in batch.unwrap().columns() {
            let mut data = vec![column.to_data()];
            while let Some(next) = data.pop() {
                next.buffers().iter().for_each(|it| found.extend_from_slice(it.as_slice()));
                data.extend_from_slice(next.child_data());
            }
        }
    }
    found
}

/// Returns the content of a manifest or a manifest list, bounds of columns included.
fn entries(bytes: &[u8]) -> Vec<u8> {
    match Manifest::parse_avro(bytes) {
        Ok(manifest) => format!("{manifest:?}").into_bytes(),
        Err(_) => {
            let list = ManifestList::parse_with_version(bytes, FormatVersion::V2).unwrap();
            format!("{list:?}").into_bytes()
        }
    }
}

/// The forms that a text may be in: as it is, in base64 wherever it begins there, in hex, and as a
/// hash without a key.
pub fn forms(text: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect::<String>();
    let mut forms = vec![text.to_owned(), hex(text.as_bytes()), hex(&Sha256::digest(text))];
    for before in ["", "-", "--"] {
        let form = BASE64.encode(format!("{before}{text}"));
        // The first and the last characters depend on what stands beside the text.
        forms.push(form.chars().skip(4).take(form.len() - 8).collect());
    }
    forms
}

/// Where any of the forms is.
pub fn places<'a>(forms: &[String], haystacks: &'a [Haystack]) -> Vec<&'a str> {
    let has = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        forms.iter().any(|form| text.contains(form.as_str()))
    };
    haystacks.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.as_str()).collect()
}

/// Where a number is: as text, or in eight bytes, whole or not.
pub fn places_of_number(number: i64, haystacks: &[Haystack]) -> Vec<&str> {
    #[expect(clippy::cast_precision_loss, reason = "a column of doubles would hold it so")]
    let double = number as f64;
    let forms =
        [number.to_le_bytes(), number.to_be_bytes(), double.to_le_bytes(), double.to_be_bytes()];
    let in_bytes = |bytes: &[u8]| bytes.windows(8).any(|it| forms.iter().any(|form| form == it));
    let text = number.to_string();
    let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&text) || in_bytes(bytes);
    haystacks.iter().filter(|(_, bytes)| has(bytes)).map(|(place, _)| place.as_str()).collect()
}
