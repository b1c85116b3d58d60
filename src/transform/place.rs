//! Going to the places in a record that a step works on.

use crate::route::Way;
use crate::value::{Fields, Set, Value};

/// Calls `work` on every value at the end of the way.
pub(super) fn visit(fields: &mut Fields, ways: &[Way], work: &dyn Fn(&mut Value)) {
    let Some((Way::Member(name), rest)) = ways.split_first() else { return };
    for (_, value) in fields.iter_mut().filter(|(it, _)| it == name) {
        visit_value(value, rest, work);
    }
}

fn visit_value(value: &mut Value, ways: &[Way], work: &dyn Fn(&mut Value)) {
    match (ways.split_first(), value) {
        (None, value) => work(value),
        (Some((Way::Member(_), _)), Value::Map(fields)) => visit(fields, ways, work),
        (Some((Way::Items, rest)), Value::List(items)) => {
            items.iter_mut().for_each(|it| visit_value(it, rest, work));
        }
        (Some((Way::Items, [])), value @ Value::Set(_)) => {
            let mut items = elements(value);
            items.iter_mut().for_each(work);
            *value = set(items);
        }
        _ => {}
    }
}

/// The elements of a set as values.
fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Set(Set::Text(items)) => items.iter().cloned().map(Value::Text).collect(),
        Value::Set(Set::Number(items)) => items.iter().cloned().map(Value::Number).collect(),
        Value::Set(Set::Binary(items)) => items.iter().cloned().map(Value::Binary).collect(),
        _ => Vec::new(),
    }
}

/// A set of texts where all elements are, else a list.
fn set(items: Vec<Value>) -> Value {
    let texts: Option<Vec<String>> = items
        .iter()
        .map(|it| match it {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    texts.map_or(Value::List(items), |it| Value::Set(Set::Text(it)))
}

/// Removes what is at the end of the way.
pub(super) fn remove(fields: &mut Fields, ways: &[Way]) {
    match ways {
        [Way::Member(name)] => fields.retain(|(it, _)| it != name),
        [Way::Member(name), rest @ ..] => {
            for (_, value) in fields.iter_mut().filter(|(it, _)| it == name) {
                remove_in(value, rest);
            }
        }
        _ => {}
    }
}

fn remove_in(value: &mut Value, ways: &[Way]) {
    match (ways, value) {
        ([Way::Member(_), ..], Value::Map(fields)) => remove(fields, ways),
        ([Way::Items], Value::List(items)) => items.clear(),
        ([Way::Items], value @ Value::Set(_)) => *value = Value::List(Vec::new()),
        ([Way::Items, rest @ ..], Value::List(items)) => {
            items.iter_mut().for_each(|it| remove_in(it, rest));
        }
        _ => {}
    }
}

/// Keeps what is at the ends of the ways, and the members `always`.
pub(super) fn keep(fields: &mut Fields, ways: &[&[Way]], always: &[&str]) {
    fields.retain_mut(|(name, value)| {
        if always.contains(&name.as_str()) {
            return true;
        }
        let rests: Vec<&[Way]> = ways
            .iter()
            .filter_map(|way| match way.split_first() {
                Some((Way::Member(it), rest)) if it == name => Some(rest),
                _ => None,
            })
            .collect();
        keep_in(value, &rests)
    });
}

/// Whether anything of a value stays; it then holds only that.
fn keep_in(value: &mut Value, rests: &[&[Way]]) -> bool {
    if rests.is_empty() {
        return false;
    }
    if rests.iter().any(|it| it.is_empty()) {
        return true;
    }
    match value {
        Value::Map(fields) => {
            keep(fields, rests, &[]);
            true
        }
        Value::List(items) => {
            let inner: Vec<&[Way]> = rests
                .iter()
                .filter_map(|it| match it.split_first() {
                    Some((Way::Items, rest)) => Some(rest),
                    _ => None,
                })
                .collect();
            if inner.is_empty() {
                return false;
            }
            items.retain_mut(|it| keep_in(it, &inner));
            true
        }
        // There is nothing inside that could be meant.
        Value::Set(_) => rests.iter().any(|it| matches!(it, [Way::Items])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Binary(_) => {
            false
        }
    }
}

/// Renames what is at the end of the way, in its place. `false`: the new name is taken.
pub(super) fn rename(fields: &mut Fields, ways: &[Way], new: &str) -> bool {
    match ways {
        [Way::Member(old)] => {
            let Some(at) = fields.iter().position(|(it, _)| it == old) else { return true };
            if old != new && fields.iter().any(|(it, _)| it == new) {
                return false;
            }
            if let Some((name, _)) = fields.get_mut(at) {
                new.clone_into(name);
            }
            true
        }
        [Way::Member(name), rest @ ..] => fields
            .iter_mut()
            .filter(|(it, _)| it == name)
            .all(|(_, value)| rename_in(value, rest, new)),
        _ => true,
    }
}

fn rename_in(value: &mut Value, ways: &[Way], new: &str) -> bool {
    match (ways, value) {
        ([Way::Member(_), ..], Value::Map(fields)) => rename(fields, ways, new),
        ([Way::Items, rest @ ..], Value::List(items)) => {
            items.iter_mut().all(|it| rename_in(it, rest, new))
        }
        _ => true,
    }
}
