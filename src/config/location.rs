//! The text of a config: from a file, or from an object in S3.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::config::FILE_NAME;
use crate::config::problem::Problem;
use crate::store::files::s3::S3Files;

/// The folder to which Lambda unpacks the zip of a function.
const TASK_ROOT: &str = "/var/task";

/// Where a Lambda function's config is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConfigLocation {
    File(PathBuf),
    /// An object in S3; without a version the newest one.
    Object {
        location: String,
        version: Option<String>,
    },
}

impl ConfigLocation {
    /// Parses `s3://bucket/key`, `s3://bucket/key?versionId=…` or a path.
    fn of(text: OsString) -> Self {
        match text.to_str().filter(|it| S3Files::is_location(it)) {
            None => Self::File(text.into()),
            Some(text) => {
                let (location, version) = match text.split_once("?versionId=") {
                    Some((location, version)) => (location, Some(version.to_owned())),
                    None => (text, None),
                };
                Self::Object { location: location.to_owned(), version }
            }
        }
    }

    /// Returns what `LAKEWARD_CONFIG` says, else the file in the folder to which Lambda unpacked
    /// the zip, else the file beside the binary.
    #[expect(clippy::disallowed_methods, reason = "main, config and secret read the environment")]
    pub(super) fn in_lambda() -> Self {
        let variable = |name| std::env::var_os(name).filter(|it| !it.is_empty());
        if let Some(location) = variable("LAKEWARD_CONFIG") {
            return Self::of(location);
        }
        let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
        let folder = variable("LAMBDA_TASK_ROOT").map(PathBuf::from).or_else(beside);
        Self::File(folder.unwrap_or_default().join(FILE_NAME))
    }

    /// Returns the path or the `s3://…` of the config, without a version.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Object { location, .. } => Path::new(location),
        }
    }

    pub(super) async fn read(&self) -> Result<String, Problem> {
        match self {
            Self::File(path) => read_file(path),
            Self::Object { location, version } => read_object(location, version.as_deref()).await,
        }
    }
}

/// Returns the problem of a lake on the disk of a Lambda environment, which ends with it: the function
/// would answer that all is well, and the rows would be gone. Only a mounted file system outlives it.
#[expect(clippy::disallowed_methods, reason = "main, config and secret read the environment")]
pub(super) fn on_own_disk(lake: &str) -> Option<Problem> {
    let is_lambda = std::env::var_os("LAMBDA_TASK_ROOT").is_some_and(|it| it == TASK_ROOT);
    (is_lambda && !outlives_environment(lake)).then(|| {
        Problem::new(
            format!("the location {lake} is on the disk of one execution environment, which ends with it"),
            "name a location in S3, s3://bucket/folder, or in a file system that is mounted under \
             /mnt/",
        )
    })
}

/// Returns true if a lake is in S3, or where Lambda mounts file systems.
/// Source: Lambda API reference, `FileSystemConfig`.
fn outlives_environment(lake: &str) -> bool {
    let path = Path::new(lake.strip_prefix("file://").unwrap_or(lake));
    let is_mounted =
        path.starts_with("/mnt") && path.components().all(|it| it != Component::ParentDir);
    S3Files::is_location(lake) || is_mounted
}

pub(super) fn read_file(path: &Path) -> Result<String, Problem> {
    let bytes = std::fs::read(path).map_err(|error| {
        Problem::new(
            format!("can't read the config {}: {error}", path.display()),
            "create it with version = 1 and a [[route]], or name another file with --config, or in \
             Lambda with LAKEWARD_CONFIG",
        )
    })?;
    text(bytes, path)
}

async fn read_object(location: &str, version: Option<&str>) -> Result<String, Problem> {
    let problem = |what: &str| {
        Problem::new(
            format!("can't read the config {location}: {what}"),
            "set LAKEWARD_CONFIG to a path, or to s3://bucket/key of an object that the function \
             may read; ?versionId=… selects one of its versions",
        )
    };
    match S3Files::of(location).read_version(location, version).await {
        Ok(Some(bytes)) => text(bytes.to_vec(), Path::new(location)),
        Ok(None) => Err(problem("the object does not exist")),
        Err(error) => Err(problem(&error.to_string())),
    }
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let (path, offset) = (path.display(), error.utf8_error().valid_up_to());
        let what = format!("the config {path} is not valid UTF-8 (first bad byte: {offset})");
        Problem::new(what, "save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_s3_and_mounted_file_systems_outlive_an_environment() {
        for lake in ["s3://bucket/lake", "/mnt/lake", "file:///mnt/efs/lake"] {
            assert!(outlives_environment(lake), "{lake}");
        }
        for lake in ["./lake", "lake", "/tmp/q", "file:///tmp/q", "/mnt/../tmp/q", "/mntx", "/"] {
            assert!(!outlives_environment(lake), "{lake}");
        }
    }

    #[test]
    fn a_config_may_be_a_file_or_a_version_of_an_object() {
        let object = |location: &str, version: Option<&str>| ConfigLocation::Object {
            location: location.to_owned(),
            version: version.map(ToOwned::to_owned),
        };
        for (text, location) in [
            ("/opt/lakeward.toml", ConfigLocation::File("/opt/lakeward.toml".into())),
            ("s3://b/c/x.toml", object("s3://b/c/x.toml", None)),
            ("s3://b/x.toml?versionId=a.b", object("s3://b/x.toml", Some("a.b"))),
        ] {
            assert_eq!(ConfigLocation::of(text.into()), location);
        }
    }
}
