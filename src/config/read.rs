//! From the text of a config to a draft of it and its problems.

use toml::de::{DeTable, DeValue};

use crate::config::document::{Problems, kind};
use crate::config::keys::{LAKE, QUARANTINE, ROOT, nearest, not_yet};
use crate::config::overrides::{Overrides, PREFIX, QUARANTINE as QUARANTINE_VARIABLE};
use crate::config::routes::{self, DraftRoute};
use crate::config::tables::{self, DraftTable};
use crate::config::{DEFAULT_LOCATION, Problem};
use crate::name::Names;
use crate::quarantine::Keep;
use crate::table::declared::Declared;
use crate::table::layout::{Numbers, Policy};

/// Share of rejected records above which an invocation fails, unless the config says otherwise.
const DEFAULT_REJECT_LIMIT: f64 = 0.5;

/// What could be read, and what could not. Routes and tables with problems are left out.
pub(super) struct Draft<'t> {
    pub location: String,
    /// What `[lake]` says of every table.
    pub undeclared: Policy,
    pub quarantine: Restricted,
    pub routes: Vec<DraftRoute>,
    pub tables: Vec<DraftTable>,
    pub reject_limit: f64,
    pub problems: Problems<'t>,
}

/// What `[quarantine]` says of its own place.
#[derive(Default)]
pub(super) struct Restricted {
    pub location: Option<String>,
    pub keep: Keep,
    /// Where `location` stands.
    pub line: Option<usize>,
}

/// Reads the whole text. Where it is no TOML, nothing else is looked at.
pub(super) fn read<'t>(text: &'t str, overrides: &Overrides) -> Draft<'t> {
    let mut draft = Draft {
        location: DEFAULT_LOCATION.to_owned(),
        undeclared: Policy::default(),
        quarantine: Restricted::default(),
        routes: Vec::new(),
        tables: Vec::new(),
        reject_limit: DEFAULT_REJECT_LIMIT,
        problems: Problems::new(text),
    };
    // A byte order mark that an editor left is no part of the text.
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        // The error's own print would quote the line, and with it what may be a secret.
        let line = match error.span() {
            Some(span) => draft.problems.line(span.start),
            None => first_line_that_fails(text),
        };
        let what = format!("this is no TOML: {}", error.message());
        let remedy = "see https://toml.io for its syntax".to_owned();
        draft.problems.list.push(Problem { line: Some(line), what, remedy });
    }
    if errors.is_empty() {
        let root = root.get_ref();
        version(&mut draft.problems, root);
        draft.problems.keys(&ROOT, root);
        lake(&mut draft, root);
        quarantine(&mut draft, root);
        overridden(&mut draft, overrides);
        draft.routes = routes::read(&mut draft.problems, root);
        draft.tables = tables::read(&mut draft.problems, root, &draft.undeclared);
    }
    draft
}

/// The line, from 1, of an error that does not tell its place, as one about nesting does not: without
/// it and what follows, the text has no such error.
fn first_line_that_fails(text: &str) -> usize {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let reads = |end: &usize| {
        let (_, errors) = DeTable::parse_recoverable(text.get(..*end).unwrap_or(text));
        errors.iter().all(|it| it.span().is_some())
    };
    ends.partition_point(reads).saturating_add(1)
}

fn version(problems: &mut Problems<'_>, root: &DeTable<'_>) {
    let Some(item) = root.get("version") else {
        problems.add(
            &(0..0),
            "the config does not say which version of its language it is in",
            "write version = 1 as the first line",
        );
        return;
    };
    match item.get_ref() {
        DeValue::Integer(it) if it.radix() == 10 && it.as_str() == "1" => {}
        DeValue::Integer(it) => {
            let what = format!("this release does not read configs of version {it}");
            problems.add(&item.span(), what, "write version = 1, or use a newer release");
        }
        other => {
            let what = format!("`version` is {}, not a whole number", kind(other));
            problems.add(&item.span(), what, "write version = 1");
        }
    }
}

fn lake(draft: &mut Draft<'_>, root: &DeTable<'_>) {
    let Some(item) = root.get("lake") else { return };
    let remedy = "write [lake] and its keys below it";
    let Some(table) = draft.problems.table("`lake`", item, remedy) else { return };
    draft.problems.keys(&LAKE, table);
    for key in LAKE.keys {
        let Some((value, span)) = draft.problems.text(&LAKE, table, key) else { continue };
        if let Err((what, remedy)) = set(draft, key, value) {
            draft.problems.add(&span, what, remedy);
        }
    }
}

/// Sets a key of `[lake]`, or says what is wrong with its value and what to do.
fn set(draft: &mut Draft<'_>, key: &str, value: &str) -> Result<(), (String, String)> {
    let policy = &mut draft.undeclared;
    match key {
        "location" => set_location(&mut draft.location, value)?,
        "names" => {
            let known = [("snake", Names::Snake), ("lower", Names::Lower), ("keep", Names::Keep)];
            policy.names = one_of(key, value, &known)?;
        }
        "numbers" => policy.numbers = numbers(value)?,
        "timestamps" => {
            policy.zoned = one_of(key, value, &[("timestamp", false), ("timestamptz", true)])?;
        }
        "catalog" if ["glue", "s3tables"].contains(&value) => {
            return Err(not_yet(&format!("{key} = \"{value}\"")));
        }
        "catalog" => one_of(key, value, &[("files", ())])?,
        "commit" if value == "queue" => return Err(not_yet(&format!("{key} = \"{value}\""))),
        _ => one_of(key, value, &[("auto", ()), ("direct", ())])?,
    }
    Ok(())
}

/// What `value` stands for among the values that `key` may have; else what is wrong and what to do.
pub(super) fn one_of<T: Copy>(
    key: &str,
    value: &str,
    known: &[(&str, T)],
) -> Result<T, (String, String)> {
    if let Some((_, meant)) = known.iter().find(|(name, _)| *name == value) {
        return Ok(*meant);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let remedy = match nearest(value, &names) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("write {key} = \"{}\"", names.join("\" or \"")),
    };
    Err((format!("unknown {key} \"{value}\""), remedy))
}

/// `numbers`, of the lake or of a table.
pub(super) fn numbers(value: &str) -> Result<Numbers, (String, String)> {
    let known = [("auto", Numbers::Auto), ("double", Numbers::Double), ("string", Numbers::Text)];
    if !value.starts_with("decimal") {
        return one_of("numbers", value, &known);
    }
    match value.parse::<Declared>() {
        Ok(Declared::Decimal { precision, scale }) => Ok(Numbers::Decimal { precision, scale }),
        Ok(_) | Err(_) => Err((
            format!("unknown numbers \"{value}\""),
            "write numbers = \"decimal(38,9)\" or the like: digits in all, at most 38, and digits \
             after the point"
                .to_owned(),
        )),
    }
}

pub(super) fn set_location(location: &mut String, value: &str) -> Result<(), (String, String)> {
    let remedy = || {
        format!("write the path of a directory, such as {DEFAULT_LOCATION}, or s3://bucket/prefix")
    };
    if let Some((scheme, place)) = value.split_once("://") {
        if scheme != "s3" {
            return Err((format!("this release does not know lakes at {scheme}://"), remedy()));
        }
        let (bucket, prefix) = place.trim_end_matches('/').split_once('/').unwrap_or((place, "-"));
        let bucket = bucket.trim_end_matches('/');
        let allowed =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || ".-".contains(it);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(allowed) {
            return Err((format!("`{bucket}` is no name of a bucket"), remedy()));
        }
        if prefix.split('/').any(|it| matches!(it, "" | "." | "..")) {
            return Err((format!("the prefix {prefix} has a folder without a name"), remedy()));
        }
    }
    if value.trim().is_empty() {
        return Err((
            "the lake's location is empty".to_owned(),
            format!("write the path of a directory, such as {DEFAULT_LOCATION}"),
        ));
    }
    if value == "~" || value.starts_with("~/") {
        return Err((
            "`~` in the lake's location stands for no home directory".to_owned(),
            "write the whole path".to_owned(),
        ));
    }
    value.clone_into(location);
    Ok(())
}

fn overridden(draft: &mut Draft<'_>, overrides: &Overrides) {
    for (name, value) in &overrides.variables {
        let Some(value) = value else {
            draft.problems.add_nowhere(
                format!("environment variable {name} is no UTF-8"),
                "give it a readable value, or unset it",
            );
            continue;
        };
        let key = name.strip_prefix(PREFIX).unwrap_or_default();
        let known = LAKE.keys.iter().find(|it| it.to_uppercase() == key);
        let outcome = match known {
            Some(known) => set(draft, known, value),
            None if name == QUARANTINE_VARIABLE => {
                set_location(draft.quarantine.location.get_or_insert_default(), value)
            }
            None => {
                let mut names: Vec<String> =
                    LAKE.keys.iter().map(|it| format!("{PREFIX}{}", it.to_uppercase())).collect();
                names.push(QUARANTINE_VARIABLE.to_owned());
                Err((
                    "it overrides no key of [lake] or [quarantine]".to_owned(),
                    format!("unset it; there are {}", names.join(", ")),
                ))
            }
        };
        if let Err((what, remedy)) = outcome {
            draft.problems.add_nowhere(format!("environment variable {name}: {what}"), remedy);
        }
    }
}

fn quarantine(draft: &mut Draft<'_>, root: &DeTable<'_>) {
    let Some(item) = root.get("quarantine") else { return };
    let remedy = "write [quarantine] and its keys below it";
    let Some(table) = draft.problems.table("`quarantine`", item, remedy) else { return };
    draft.problems.keys(&QUARANTINE, table);
    if let Some((value, span)) = draft.problems.text(&QUARANTINE, table, "location") {
        let mut location = String::new();
        match set_location(&mut location, value) {
            Ok(()) => draft.quarantine.location = Some(location),
            Err((what, remedy)) => draft.problems.add(&span, what, remedy),
        }
        draft.quarantine.line = Some(draft.problems.line(span.start));
    }
    if let Some((value, span)) = draft.problems.text(&QUARANTINE, table, "payload") {
        match one_of("payload", value, &[("raw", Keep::Raw), ("none", Keep::None)]) {
            Ok(keep) => draft.quarantine.keep = keep,
            Err((what, remedy)) => draft.problems.add(&span, what, remedy),
        }
    }
    let Some(limit) = table.get("reject_limit") else { return };
    let share = match limit.get_ref() {
        DeValue::Integer(it) => it.as_str().parse().ok(),
        DeValue::Float(it) => it.as_str().parse().ok(),
        _ => None,
    };
    match share {
        Some(share) if (0.0..=1.0).contains(&share) => draft.reject_limit = share,
        _ => draft.problems.add(
            &limit.span(),
            "`reject_limit` in [quarantine] is no number between 0 and 1",
            "write the share of rejected records that is still normal, such as 0.5; 1.0 is no limit",
        ),
    }
}
