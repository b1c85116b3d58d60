//! Exports of a DynamoDB table to S3, and their manifest.

use std::path::Path;

use crate::json::{self, Json};
use crate::time::Timestamp;

/// The export that a data file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Export {
    /// The end of its ARN, else the path of the file.
    pub name: String,
    /// The time of the table that it shows, in milliseconds since 1970; 0 if it is unknown.
    pub time_ms: i64,
}

impl Export {
    /// Looks for `manifest-summary.json` beside the file and up to two folders above it, where
    /// DynamoDB puts it. A file without one is an export called `name`.
    pub(super) fn of(path: &Path, name: &str) -> Self {
        let folders = path.ancestors().skip(1).take(3);
        let mut manifests = folders.map(|it| it.join("manifest-summary.json"));
        let found = manifests.find_map(|it| Self::read(&std::fs::read(it).ok()?));
        found.unwrap_or_else(|| Self { name: name.to_owned(), time_ms: 0 })
    }

    fn read(manifest: &[u8]) -> Option<Self> {
        let Ok(Json::Object(members)) = json::parse(manifest) else { return None };
        let text = |name: &str| match members.iter().find(|(it, _)| it == name) {
            Some((_, Json::String(it))) => Some(it.as_ref()),
            _ => None,
        };
        let name = text("exportArn")?.rsplit('/').next()?.to_owned();
        let time = text("exportTime").and_then(Timestamp::from_rfc3339);
        Some(Self { name, time_ms: time.map_or(0, |it| it.micros().div_euclid(1_000)) })
    }
}
