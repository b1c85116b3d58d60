//! The conditions of `when` and `filter`.

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Reader, in_order};
use crate::config::problem::Problem;
use crate::config::values::path;
use crate::pattern::Pattern;
use crate::route::{Condition, Path};

/// Reads the conditions of `key`, which is `when` or `filter`.
pub(super) fn conditions(reader: &mut Reader<'_>, key: &str, item: &Item<'_>) -> Vec<Condition> {
    let remedy = format!("write {key} = {{ field = \"text\" }}");
    let mut conditions = Vec::new();
    let Some(table) = reader.table(&format!("`{key}`"), item, &remedy) else { return conditions };
    if table.is_empty() {
        let what = format!("`{key}` has no conditions");
        reader.add(&item.span(), what, "remove it to match every record");
    }
    read(reader, key, None, table, &mut conditions);
    conditions
}

/// Reads conditions; TOML reads an unquoted dotted key as nesting, which is what the path means.
fn read(
    reader: &mut Reader<'_>,
    key: &str,
    outer: Option<&Path>,
    table: &DeTable<'_>,
    conditions: &mut Vec<Condition>,
) {
    for (name, span, item) in in_order(table) {
        let Some(path) = reader.accept(&span, path(name)) else { continue };
        let path = outer.map_or_else(|| path.clone(), |it| it.join(&path));
        let values = match item.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                read(reader, key, Some(&path), inner, conditions);
                continue;
            }
            DeValue::Table(_) => &[],
            DeValue::Array(list) => &**list,
            _ => std::slice::from_ref(item),
        };
        if values.is_empty() {
            let what = format!("`{key}` has no value to compare `{path}` with");
            reader.add(&item.span(), what, "write a string, or an array of strings");
            continue;
        }
        let patterns = values
            .iter()
            .filter_map(|it| reader.accept(&it.span(), pattern(key, &path, it.get_ref())))
            .collect();
        conditions.push(Condition { path, patterns });
    }
}

fn pattern(key: &str, path: &Path, value: &DeValue<'_>) -> Result<Pattern, Problem> {
    let what = || format!("`{key}` must compare `{path}` with a string");
    let remedy = "write it in quotes: \"2\" matches the number 2, \"true\" matches true";
    value.as_str().map(Pattern::new).ok_or_else(|| Problem::new(what(), remedy))
}
