//! Keys of the config that the environment overrides.

use std::ffi::OsString;

use crate::config::keys::LAKE;
use crate::config::lake::{DraftLake, DraftQuarantine};
use crate::config::problem::Problem;
use crate::config::values::location;

/// Prefix of a variable that overrides a key of `[lake]`.
const LAKE_PREFIX: &str = "LAKEWARD_LAKE__";
/// Name of the variable that overrides `location` of `[quarantine]`.
const QUARANTINE_LOCATION: &str = "LAKEWARD_QUARANTINE__LOCATION";

/// Keys from the environment: `LAKEWARD_LAKE__LOCATION` overrides `location` of `[lake]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Names of variables and their values; `None` if a value is not valid UTF-8.
    variables: Vec<(String, Option<String>)>,
}

impl Overrides {
    /// Returns the variables among `variables` that are meant as overrides, misspelt ones included.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let prefixes = ["LAKEWARD_LAKE", "LAKEWARD_QUARANTINE"];
            let is_override = prefixes.iter().any(|it| name.starts_with(it));
            is_override.then_some((name, value.into_string().ok()))
        });
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        Self { variables }
    }

    pub(super) fn from_environment() -> Self {
        Self::of(std::env::vars_os())
    }

    /// Sets the keys that the variables override. Returns a problem for each wrong variable.
    pub(super) fn apply(
        &self,
        lake: &mut DraftLake,
        quarantine: &mut DraftQuarantine,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, value) in &self.variables {
            if let Err(problem) = set(name, value.as_deref(), lake, quarantine) {
                let what = format!("environment variable {name}: {}", problem.what);
                problems.push(Problem::new(what, problem.remedy));
            }
        }
        problems
    }
}

fn set(
    name: &str,
    value: Option<&str>,
    lake: &mut DraftLake,
    quarantine: &mut DraftQuarantine,
) -> Result<(), Problem> {
    let remedy = "set it to valid UTF-8, or unset it";
    let value = value.ok_or_else(|| Problem::new("it is not valid UTF-8", remedy))?;
    if name == QUARANTINE_LOCATION {
        quarantine.location = Some(location(value)?);
        return Ok(());
    }
    let key = name.strip_prefix(LAKE_PREFIX).unwrap_or_default();
    match LAKE.keys.iter().find(|it| it.to_uppercase() == key) {
        Some(key) => lake.set(key, value),
        None => Err(unknown()),
    }
}

/// Returns the problem of a variable that overrides nothing.
fn unknown() -> Problem {
    let names = LAKE.keys.iter().map(|it| format!("{LAKE_PREFIX}{}", it.to_uppercase()));
    let names: Vec<String> = names.chain([QUARANTINE_LOCATION.to_owned()]).collect();
    Problem::new(
        "it does not override a key of [lake] or [quarantine]",
        format!("unset it; valid variables: {}", names.join(", ")),
    )
}
