//! `transform` of a `[[route]]`

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Problems, in_order, kind};
use crate::config::keys::STEP;
use crate::config::routes::{conditions, path};
use crate::route::{Selector, Step};
use crate::secret::Reference;

/// What a step may be, all but `key`, which belongs to `hash`.
const ACTIONS: [&str; 6] = ["drop", "keep", "rename", "hash", "require", "filter"];

/// A step that could be read, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct DraftStep {
    pub step: Step,
    pub line: usize,
}

/// Reads the steps of a route.
pub(super) fn read(problems: &mut Problems<'_>, route: &DeTable<'_>) -> Vec<DraftStep> {
    let Some(item) = route.get("transform") else { return Vec::new() };
    let Some(list) = item.get_ref().as_array() else {
        problems.add(
            &item.span(),
            format!("`transform` in [[route]] is {}, not a list of steps", kind(item.get_ref())),
            "write transform = [{ drop = [\"field\"] }] or the like",
        );
        return Vec::new();
    };
    let mut steps = Vec::new();
    for item in list {
        let line = problems.line(item.span().start);
        let remedy = "write { drop = [\"field\"] } or the like";
        if let Some(table) = problems.table("a step of `transform`", item, remedy)
            && let Some(step) = step(problems, item, table)
        {
            steps.push(DraftStep { step, line });
        }
    }
    steps
}

fn step(problems: &mut Problems<'_>, item: &Item<'_>, table: &DeTable<'_>) -> Option<Step> {
    problems.keys(&STEP, table);
    let actions: Vec<&str> = ACTIONS.into_iter().filter(|it| table.contains_key(*it)).collect();
    let [action] = actions.as_slice() else {
        let what = if actions.is_empty() {
            "a step of `transform` does nothing".to_owned()
        } else {
            format!("a step of `transform` does several things: {}", actions.join(", "))
        };
        let remedy = "write each as a step of its own: { drop = […] }, { hash = […], key = \"…\" }";
        problems.add(&item.span(), what, remedy);
        return None;
    };
    let value = table.get(*action)?;
    if *action != "hash"
        && let Some(key) = table.get("key")
    {
        let what = format!("`key` has no meaning for `{action}`");
        problems.add(&key.span(), what, "take it out: only `hash` has a key");
    }
    match *action {
        "rename" => rename(problems, value).map(Step::Rename),
        "filter" => {
            let filter = conditions(problems, value, "filter");
            (!filter.is_empty()).then_some(Step::Filter(filter))
        }
        "require" => {
            let paths = texts(problems, "require", value)?;
            let paths = paths.into_iter().filter_map(|(it, span)| path(problems, &it, &span));
            Some(Step::Require(paths.collect()))
        }
        "hash" => {
            let fields = selectors(problems, "hash", value)?;
            let key = key(problems, item, table)?;
            Some(Step::Hash { fields, key })
        }
        "drop" => selectors(problems, "drop", value).map(Step::Drop),
        _ => selectors(problems, "keep", value).map(Step::Keep),
    }
}

/// Where the key of a `hash` is.
fn key(problems: &mut Problems<'_>, item: &Item<'_>, table: &DeTable<'_>) -> Option<Reference> {
    let remedy = "write key = \"ssm:/lakeward/hash\", \"secretsmanager:NAME\" or \"env:NAME\"";
    let Some(value) = table.get("key") else {
        problems.add(&item.span(), "`hash` has no `key`", remedy);
        return None;
    };
    let reference = value.get_ref().as_str().and_then(|it| it.parse().ok());
    if reference.is_none() {
        // What stands here may be a key, so it is not repeated.
        let what = "`key` of a `hash` does not say where the key is; a config holds no keys";
        problems.add(&value.span(), what, remedy);
    }
    reference
}

fn rename(problems: &mut Problems<'_>, value: &Item<'_>) -> Option<Vec<(Selector, String)>> {
    let remedy = "write rename = { old = \"new\" }";
    let table = problems.table("`rename` in a step of `transform`", value, remedy)?;
    if table.is_empty() {
        problems.add(&value.span(), "`rename` names no field", remedy);
        return None;
    }
    let mut renamed = Vec::new();
    pairs(problems, "", table, &mut renamed);
    Some(renamed)
}

/// Reads pairs of old and new names; a bare dotted key of TOML is nesting, as a path is.
fn pairs(
    problems: &mut Problems<'_>,
    outer: &str,
    table: &DeTable<'_>,
    renamed: &mut Vec<(Selector, String)>,
) {
    for (old, span, item) in in_order(table) {
        let old = format!("{outer}{old}");
        match item.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                pairs(problems, &format!("{old}."), inner, renamed);
            }
            DeValue::String(new) if !new.is_empty() => {
                let new = new.to_string();
                renamed.extend(selector(problems, &old, &span).map(|it| (it, new)));
            }
            _ => problems.add(
                &item.span(),
                format!("the new name of `{old}` is no text"),
                "write rename = { old = \"new\" }; the new name is one name, not a path",
            ),
        }
    }
}

fn selectors(problems: &mut Problems<'_>, action: &str, value: &Item<'_>) -> Option<Vec<Selector>> {
    let texts = texts(problems, action, value)?;
    Some(texts.into_iter().filter_map(|(it, span)| selector(problems, &it, &span)).collect())
}

fn selector(problems: &mut Problems<'_>, text: &str, span: &Range<usize>) -> Option<Selector> {
    match text.parse() {
        Ok(selector) => Some(selector),
        Err(error) => {
            let remedy = "write names joined by dots, [] for every item of a list: payment.card, \
                          items[].card, \"a.b\".c";
            problems.add(span, format!("{error}"), remedy);
            None
        }
    }
}

/// A list of texts that is not empty.
fn texts(
    problems: &mut Problems<'_>,
    action: &str,
    value: &Item<'_>,
) -> Option<Vec<(String, Range<usize>)>> {
    let remedy = format!("write {action} = [\"field\", \"other.field\"]");
    let Some(list) = value.get_ref().as_array() else {
        let what = format!("`{action}` is {}, not a list of fields", kind(value.get_ref()));
        problems.add(&value.span(), what, remedy);
        return None;
    };
    if list.is_empty() {
        problems.add(&value.span(), format!("`{action}` names no field"), remedy);
        return None;
    }
    let mut texts = Vec::new();
    for item in list {
        match item.get_ref().as_str() {
            Some(text) => texts.push((text.to_owned(), item.span())),
            None => {
                let what = format!("`{action}` names {}, not a field", kind(item.get_ref()));
                problems.add(&item.span(), what, remedy.clone());
            }
        }
    }
    Some(texts)
}
