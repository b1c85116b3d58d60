//! Edits of the values that a step's selectors lead to.

use crate::route::Segment;
use crate::value::{Fields, Set, Value};

/// Calls `work` on every selected value.
pub(super) fn visit(fields: &mut Fields, segments: &[Segment], work: &dyn Fn(&mut Value)) {
    let Some((Segment::Member(name), rest)) = segments.split_first() else { return };
    for (_, value) in fields.iter_mut().filter(|(it, _)| it == name) {
        visit_value(value, rest, work);
    }
}

fn visit_value(value: &mut Value, segments: &[Segment], work: &dyn Fn(&mut Value)) {
    match (segments.split_first(), value) {
        (None, value) => work(value),
        (Some((Segment::Member(_), _)), Value::Map(fields)) => visit(fields, segments, work),
        (Some((Segment::Items, rest)), Value::List(items)) => {
            items.iter_mut().for_each(|it| visit_value(it, rest, work));
        }
        (Some((Segment::Items, [])), value @ Value::Set(_)) => {
            let mut items = elements(value);
            items.iter_mut().for_each(work);
            *value = set(items);
        }
        _ => {}
    }
}

/// Returns the elements of a set as values.
fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Set(Set::Text(items)) => items.iter().cloned().map(Value::Text).collect(),
        Value::Set(Set::Number(items)) => items.iter().cloned().map(Value::Number).collect(),
        Value::Set(Set::Binary(items)) => items.iter().cloned().map(Value::Binary).collect(),
        _ => Vec::new(),
    }
}

/// Returns a set if all elements are texts, else a list.
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

/// Removes every selected value.
pub(super) fn remove(fields: &mut Fields, segments: &[Segment]) {
    match segments {
        [Segment::Member(name)] => fields.retain(|(it, _)| it != name),
        [Segment::Member(name), rest @ ..] => {
            for (_, value) in fields.iter_mut().filter(|(it, _)| it == name) {
                remove_in(value, rest);
            }
        }
        _ => {}
    }
}

fn remove_in(value: &mut Value, segments: &[Segment]) {
    match (segments, value) {
        ([Segment::Member(_), ..], Value::Map(fields)) => remove(fields, segments),
        ([Segment::Items], Value::List(items)) => items.clear(),
        ([Segment::Items], value @ Value::Set(_)) => *value = Value::List(Vec::new()),
        ([Segment::Items, rest @ ..], Value::List(items)) => {
            items.iter_mut().for_each(|it| remove_in(it, rest));
        }
        _ => {}
    }
}

/// Removes all values but the selected ones and the members `always`.
pub(super) fn keep(fields: &mut Fields, selected: &[&[Segment]], always: &[&str]) {
    fields.retain_mut(|(name, value)| {
        if always.contains(&name.as_str()) {
            return true;
        }
        let rests: Vec<&[Segment]> = selected
            .iter()
            .filter_map(|segments| match segments.split_first() {
                Some((Segment::Member(it), rest)) if it == name => Some(rest),
                _ => None,
            })
            .collect();
        keep_in(value, &rests)
    });
}

/// Removes everything from a value except what the rests of the selectors select. Returns false if
/// the value itself must go.
fn keep_in(value: &mut Value, rests: &[&[Segment]]) -> bool {
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
            let inner: Vec<&[Segment]> = rests
                .iter()
                .filter_map(|it| match it.split_first() {
                    Some((Segment::Items, rest)) => Some(rest),
                    _ => None,
                })
                .collect();
            if inner.is_empty() {
                return false;
            }
            items.retain_mut(|it| keep_in(it, &inner));
            true
        }
        // A selector can only select all elements of a set.
        Value::Set(_) => rests.iter().any(|it| matches!(it, [Segment::Items])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Binary(_) => {
            false
        }
    }
}

/// Gives every selected member a new name, without moving it. Returns false if the name is taken.
pub(super) fn rename(fields: &mut Fields, segments: &[Segment], new: &str) -> bool {
    match segments {
        [Segment::Member(old)] => {
            let Some(index) = fields.iter().position(|(it, _)| it == old) else { return true };
            if old != new && fields.iter().any(|(it, _)| it == new) {
                return false;
            }
            if let Some((name, _)) = fields.get_mut(index) {
                new.clone_into(name);
            }
            true
        }
        [Segment::Member(name), rest @ ..] => fields
            .iter_mut()
            .filter(|(it, _)| it == name)
            .all(|(_, value)| rename_in(value, rest, new)),
        _ => true,
    }
}

fn rename_in(value: &mut Value, segments: &[Segment], new: &str) -> bool {
    match (segments, value) {
        ([Segment::Member(_), ..], Value::Map(fields)) => rename(fields, segments, new),
        ([Segment::Items, rest @ ..], Value::List(items)) => {
            items.iter_mut().all(|it| rename_in(it, rest, new))
        }
        _ => true,
    }
}
