//! What the environment says about the config.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::FILE_NAME;
use crate::store::files::s3::S3Files;

/// What every variable that overrides a key of `[lake]` begins with.
pub(super) const PREFIX: &str = "LAKEWARD_LAKE__";
/// The variable that overrides `location` of `[quarantine]`.
pub(super) const QUARANTINE: &str = "LAKEWARD_QUARANTINE__LOCATION";

/// Keys from the environment: `LAKEWARD_LAKE__LOCATION` overrides `location` of `[lake]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Name of the variable and its value; `None` where it is no UTF-8.
    pub(super) variables: Vec<(String, Option<String>)>,
}

impl Overrides {
    /// The variables among `variables` that mean to override something, also misspelt ones.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let overrides = ["LAKEWARD_LAKE", "LAKEWARD_QUARANTINE"];
            let means = overrides.iter().any(|it| name.starts_with(it));
            means.then_some((name, value.into_string().ok()))
        });
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        Self { variables }
    }

    pub(super) fn from_environment() -> Self {
        Self::of(std::env::vars_os())
    }
}

/// Where a Lambda function's config is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    /// An object of S3, and its version unless it is the newest.
    Object {
        location: String,
        version: Option<String>,
    },
}

impl Place {
    /// `s3://bucket/key`, `s3://bucket/key?versionId=…`, or a path.
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
}

/// At `LAKEWARD_CONFIG`, else in the folder that Lambda unpacked the zip to, else beside the binary.
#[expect(clippy::disallowed_methods, reason = "config is one of two readers of the environment")]
pub(super) fn lambda_place() -> Place {
    let named = |name| std::env::var_os(name).filter(|it| !it.is_empty());
    if let Some(place) = named("LAKEWARD_CONFIG") {
        return Place::of(place);
    }
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    let folder = named("LAMBDA_TASK_ROOT").map(PathBuf::from).or_else(beside).unwrap_or_default();
    Place::File(folder.join(FILE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_may_be_a_file_or_a_version_of_an_object() {
        let object = |location: &str, version: Option<&str>| Place::Object {
            location: location.to_owned(),
            version: version.map(ToOwned::to_owned),
        };
        for (text, place) in [
            ("/opt/lakeward.toml", Place::File("/opt/lakeward.toml".into())),
            ("s3://b/c/x.toml", object("s3://b/c/x.toml", None)),
            ("s3://b/x.toml?versionId=a.b", object("s3://b/x.toml", Some("a.b"))),
        ] {
            assert_eq!(Place::of(text.into()), place);
        }
    }
}
