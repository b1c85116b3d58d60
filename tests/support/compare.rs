//! Rows as a case names them against rows as a table holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// A row, a reject, or the types of a table's columns.
pub type Object = Map<String, Value>;

/// Reads JSON with every double exact; by itself `serde_json` may be off in the last digit.
pub fn exact(text: &str) -> Result<Value, serde_json::Error> {
    let inner = |it: &RawValue| exact(it.get());
    Ok(match text.trim_start().as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Value::Array(items.into_iter().map(inner).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            let members = members.into_iter().map(|(name, it)| Ok((name, inner(it)?)));
            Value::Object(members.collect::<Result<_, _>>()?)
        }
        Some(b'-' | b'0'..=b'9') if text.contains(['.', 'e', 'E']) => {
            text.trim().parse::<f64>().map_or(Value::Null, Value::from)
        }
        _ => serde_json::from_str(text)?,
    })
}

/// Returns the differences between an actual row and the expected one. Columns of
/// `optional` count only where the expected row names them.
fn row_differences(expected: &Object, got: &Object, optional: &[&str]) -> Vec<String> {
    let mut names: Vec<&String> = expected.keys().chain(got.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| expected.contains_key(*name) || !optional.contains(&name.as_str()))
        .filter_map(|name| {
            let value = |of: &Object| of.get(name).cloned().unwrap_or(Value::Null);
            let (expected, got) = (value(expected), value(got));
            (expected != got).then(|| format!("{name}: expected {expected}, got {got}"))
        })
        .collect()
}

fn same_record(a: &Object, b: &Object) -> bool {
    ["table", "_lw_id"].iter().all(|key| a.get(*key) == b.get(*key))
}

/// Pairs each expected row with an actual one of its table and id, the most alike first.
fn pair(
    expected: &[Object],
    got: &[Object],
    optional: &[&str],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut free: Vec<usize> = (0..got.len()).collect();
    let pairs = expected
        .iter()
        .map(|row| {
            let of_record = free.iter().filter(|at| same_record(row, &got[**at])).copied();
            let best = of_record.min_by_key(|at| row_differences(row, &got[*at], optional).len());
            free.retain(|at| Some(*at) != best);
            best
        })
        .collect();
    (pairs, free)
}

/// Appends how the rows that a table holds differ from the expected ones, in any order.
pub fn compare_rows(
    expected: &[Object],
    got: &[Object],
    optional: &[&str],
    differences: &mut Vec<String>,
) {
    let (pairs, unexpected) = pair(expected, got, optional);
    for (row, at) in expected.iter().zip(pairs) {
        let Some(at) = at else {
            differences.push(format!("missing: {}", json!(row)));
            continue;
        };
        let found = row_differences(row, &got[at], optional);
        if !found.is_empty() {
            let mut text = format!("{} {}", text(row, "table"), text(row, "_lw_id"));
            for line in found {
                write!(text, "\n      {line}").unwrap();
            }
            differences.push(text);
        }
    }
    for at in unexpected {
        differences.push(format!("unexpected: {}", json!(got[at])));
    }
}

fn text<'a>(row: &'a Object, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or("?")
}

/// Lines for `got` in the order of `old`: columns of `optional` only where the old row names them
/// or they are in `always`.
pub fn renew(old: &[Object], got: Vec<Object>, optional: &[&str], always: &[&str]) -> String {
    let (pairs, new) = pair(old, &got, optional);
    let known = old.iter().zip(pairs).filter_map(|(old, at)| Some((Some(old), at?)));
    let mut lines = String::new();
    for (old, at) in known.chain(new.into_iter().map(|at| (None, at))) {
        let named = |name: &str| old.is_some_and(|old| old.contains_key(name));
        let own = got[at].keys().map(String::as_str).filter(|it| !optional.contains(it));
        let lineage = optional.iter().copied().filter(|it| named(it));
        let rest = own.chain(lineage).filter(|it| !always.contains(it));
        let parts: Vec<String> = always
            .iter()
            .copied()
            .chain(rest)
            .map(|name| format!("{}: {}", json!(name), got[at].get(name).unwrap_or(&Value::Null)))
            .collect();
        writeln!(lines, "{{{}}}", parts.join(", ")).unwrap();
    }
    lines
}
