//! What the environment says about the config.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::FILE_NAME;

/// What every variable that overrides a key of `[lake]` begins with.
pub(super) const PREFIX: &str = "LAKEWARD_LAKE__";

/// Keys of `[lake]` from the environment: `LAKEWARD_LAKE__LOCATION` overrides `location`.
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
            name.starts_with("LAKEWARD_LAKE").then_some((name, value.into_string().ok()))
        });
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        Self { variables }
    }

    pub(super) fn from_environment() -> Self {
        Self::of(std::env::vars_os())
    }
}

/// Where a Lambda function's config is: at `LAKEWARD_CONFIG`, else in the folder that Lambda
/// unpacked the zip to, else beside the binary.
#[expect(clippy::disallowed_methods, reason = "config is one of two readers of the environment")]
pub(super) fn lambda_path() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    if let Some(path) = named("LAKEWARD_CONFIG") {
        return path;
    }
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    named("LAMBDA_TASK_ROOT").or_else(beside).unwrap_or_default().join(FILE_NAME)
}
