//! `transform` of a `[[route]]`

use toml::de::{DeTable, DeValue};

use crate::config::conditions::conditions;
use crate::config::document::{Item, Reader, SectionReader, in_order};
use crate::config::keys::STEP;
use crate::config::problem::Problem;
use crate::config::values::{path, selector};
use crate::route::{Selector, Step};

/// The keys of which a step has exactly one; `key` belongs to `hash`.
const ACTIONS: [&str; 6] = ["drop", "keep", "rename", "hash", "require", "filter"];

/// Reads the steps of a route, each with its line.
pub(super) fn read(reader: &mut Reader<'_>, item: &Item<'_>) -> Vec<(Step, usize)> {
    let remedy = "write, for example, transform = [{ drop = [\"field\"] }]";
    let list = reader.array("`transform` in [[route]]", item, "steps", remedy).unwrap_or_default();
    list.iter()
        .filter_map(|item| {
            let mut keys = reader.section(&STEP, item)?;
            let line = keys.line();
            step(&mut keys).map(|it| (it, line))
        })
        .collect()
}

fn step(keys: &mut SectionReader<'_, '_>) -> Option<Step> {
    let actions: Vec<&str> = ACTIONS.into_iter().filter(|it| keys.has(it)).collect();
    let [action] = actions.as_slice() else {
        let what = if actions.is_empty() {
            "a step of `transform` has no action".to_owned()
        } else {
            format!("a step of `transform` has several actions: {}", actions.join(", "))
        };
        let remedy = "write a step for each action: { drop = […] }, { hash = […], key = \"…\" }";
        keys.add(what, remedy);
        return None;
    };
    if *action != "hash" {
        let what = format!("`key` has no effect on `{action}`");
        keys.refuse("key", what, "remove it; only `hash` has a key");
    }
    let item = keys.item(action)?;
    match *action {
        "drop" => fields(keys.reader, action, item, selector).map(Step::Drop),
        "keep" => fields(keys.reader, action, item, selector).map(Step::Keep),
        "require" => fields(keys.reader, action, item, path).map(Step::Require),
        "rename" => rename(keys.reader, item).map(Step::Rename),
        "filter" => {
            let filter = conditions(keys.reader, action, item);
            (!filter.is_empty()).then_some(Step::Filter(filter))
        }
        _ => {
            let fields = fields(keys.reader, action, item, selector);
            let remedy =
                "write key = \"ssm:/lakeward/hash\", \"secretsmanager:NAME\" or \"env:NAME\"";
            keys.require("key", "`hash` has no `key`", remedy);
            // The value may be a key, so the message does not repeat it.
            let expected = "a reference to a key, never the key itself";
            let key = keys.convert("key", expected, remedy, |it| it.as_str()?.parse().ok());
            Some(Step::Hash { fields: fields?, key: key? })
        }
    }
}

fn rename(reader: &mut Reader<'_>, item: &Item<'_>) -> Option<Vec<(Selector, String)>> {
    let remedy = "write rename = { old = \"new\" }";
    let table = reader.table("`rename` in a step of `transform`", item, remedy)?;
    if table.is_empty() {
        reader.add(&item.span(), "`rename` lists no fields", remedy);
        return None;
    }
    let mut renames = Vec::new();
    pairs(reader, "", table, &mut renames);
    Some(renames)
}

/// Reads pairs of old and new names; TOML reads an unquoted dotted key as nesting, as a path does.
fn pairs(
    reader: &mut Reader<'_>,
    outer: &str,
    table: &DeTable<'_>,
    renames: &mut Vec<(Selector, String)>,
) {
    for (old, span, item) in in_order(table) {
        let old = format!("{outer}{old}");
        match item.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                pairs(reader, &format!("{old}."), inner, renames);
            }
            DeValue::String(new) if !new.is_empty() => {
                let old = reader.accept(&span, selector(&old));
                renames.extend(old.map(|it| (it, new.to_string())));
            }
            _ => reader.add(
                &item.span(),
                format!("the new name of `{old}` is not a string, or is empty"),
                "write rename = { old = \"new\" }; the new name is one name, not a path",
            ),
        }
    }
}

/// Reads an array of fields that is not empty.
fn fields<T>(
    reader: &mut Reader<'_>,
    action: &str,
    item: &Item<'_>,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Option<Vec<T>> {
    let remedy = format!("write {action} = [\"field\", \"other.field\"]");
    let list = reader.array(&format!("`{action}`"), item, "fields", &remedy)?;
    if list.is_empty() {
        reader.add(&item.span(), format!("`{action}` lists no fields"), remedy);
        return None;
    }
    let field = |item: &Item<'_>| {
        let what = || format!("each field in `{action}` must be a string");
        let text = item.get_ref().as_str().ok_or_else(|| Problem::new(what(), &remedy));
        reader.accept(&item.span(), text.and_then(&parse))
    };
    Some(list.iter().filter_map(field).collect())
}
