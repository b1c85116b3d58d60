//! The texts that keys hold: each function parses one kind, or says what is wrong with it.

use crate::config::DEFAULT_LOCATION;
use crate::config::keys::nearest;
use crate::config::problem::Problem;
use crate::route::{BadPath, Path, Selector, Template};
use crate::table::declared::DeclaredType;
use crate::table::layout::Numbers;
use crate::table_name::{BadTableName, TableName};

/// Microseconds of a minute.
pub(super) const MINUTE_MICROS: i64 = 60 * 1_000_000;
/// Microseconds of a day.
pub(super) const DAY_MICROS: i64 = 24 * 60 * MINUTE_MICROS;

/// Parses a text that is one of `known`.
pub(super) fn one_of<T: Copy>(key: &str, text: &str, known: &[(&str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let remedy = match nearest(text, &names) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("valid values: \"{}\"", names.join("\", \"")),
    };
    Err(Problem::new(format!("unknown value \"{text}\" for `{key}`"), remedy))
}

/// Refuses a text that is one of those that a later release supports.
pub(super) fn refuse_later(key: &str, text: &str, later: &[&str]) -> Result<(), Problem> {
    if later.contains(&text) {
        return Err(Problem::not_yet(&format!("{key} = \"{text}\"")));
    }
    Ok(())
}

/// Parses `numbers` of the lake or of a table.
pub(super) fn numbers(text: &str) -> Result<Numbers, Problem> {
    if !text.starts_with("decimal") {
        let known = [
            ("auto", Numbers::Auto),
            ("double", Numbers::Double),
            ("string", Numbers::Text),
            // For the message: texts that begin with `decimal` are parsed below.
            ("decimal(38,9)", Numbers::Decimal { precision: 38, scale: 9 }),
        ];
        return one_of("numbers", text, &known);
    }
    match text.parse::<DeclaredType>() {
        Ok(DeclaredType::Decimal { precision, scale }) => Ok(Numbers::Decimal { precision, scale }),
        Ok(_) | Err(_) => Err(Problem::new(
            format!("unknown value \"{text}\" for `numbers`"),
            "write, for example, numbers = \"decimal(38,9)\", for 38 digits (the maximum) of which \
             9 are after the point",
        )),
    }
}

/// Parses the location of a lake.
pub(super) fn location(text: &str) -> Result<String, Problem> {
    let remedy = || {
        format!("write the path of a directory, such as {DEFAULT_LOCATION}, or s3://bucket/prefix")
    };
    let refuse = |what: String| Err(Problem::new(what, remedy()));
    if text.trim().is_empty() {
        return refuse("the location is empty".to_owned());
    }
    if text == "~" || text.starts_with("~/") {
        let what = "`~` in a location does not stand for the home directory";
        return Err(Problem::new(what, "write the full path"));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(text.to_owned()) };
    if scheme != "s3" {
        return refuse(format!("this release does not support lakes at {scheme}://"));
    }
    let (bucket, prefix) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest, "-"));
    let bucket = bucket.trim_end_matches('/');
    let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || ".-".contains(it);
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(allowed) {
        return refuse(format!("`{bucket}` is not a valid bucket name"));
    }
    if prefix.split('/').any(|it| matches!(it, "" | "." | "..")) {
        return refuse(format!("a folder in the prefix `{prefix}` is empty, `.` or `..`"));
    }
    Ok(text.to_owned())
}

/// The tables that a section is about, or that a route fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// One table.
    Table(TableName),
    /// All tables whose names the placeholders make.
    Template(Template),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Table(name) => name.fmt(f),
            Scope::Template(template) => f.write_str(template.as_str()),
        }
    }
}

/// Returns true if a table name has a placeholder, or was meant to have one.
pub(super) fn has_placeholder(text: &str) -> bool {
    text.contains(['{', '}'])
}

/// Parses the name of a table that routes may fill, which may have placeholders.
pub(super) fn scope(text: &str) -> Result<Scope, Problem> {
    let invalid = |error: BadTableName, remedy: &str| {
        Problem::new(format!("`{text}` is not a valid table name: {error}"), remedy)
    };
    if has_placeholder(text) {
        let remedy = "write namespace.name with a field in braces, such as events.{type}";
        return text.parse().map(Scope::Template).map_err(|error| invalid(error, remedy));
    }
    let remedy = "write namespace.name in a-z, 0-9 and _, such as shop.orders_changes";
    let name: TableName = text.parse().map_err(|error| invalid(error, remedy))?;
    if name.is_own() {
        return Err(Problem::new(
            format!("table `{name}` is in the namespace of Lakeward's own tables"),
            "choose a namespace other than lakeward",
        ));
    }
    Ok(Scope::Table(name))
}

/// Parses the path of a field.
pub(super) fn path(text: &str) -> Result<Path, Problem> {
    let remedy = "write names joined by dots, such as detail.type or \"a.b\".c";
    text.parse().map_err(|error: BadPath| Problem::new(error.to_string(), remedy))
}

/// Parses a path that may go into lists.
pub(super) fn selector(text: &str) -> Result<Selector, Problem> {
    let remedy = "write names joined by dots, [] for every item of a list: payment.card, \
                  items[].card, \"a.b\".c";
    text.parse().map_err(|error: BadPath| Problem::new(error.to_string(), remedy))
}

/// Parses `15d`, `36h` or `90m` into microseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => DAY_MICROS,
        "h" => 60 * MINUTE_MICROS,
        "m" => MINUTE_MICROS,
        _ => return None,
    };
    let digits = number.bytes().all(|it| it.is_ascii_digit());
    number.parse::<i64>().ok().filter(|_| digits)?.checked_mul(unit)
}
