//! `[table."ns.name".columns]`

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Problems, in_order, kind};
use crate::config::keys::{COLUMN, TABLE};
use crate::name::TableName;
use crate::table::layout::{DeclaredColumn, Policy};

/// A table that could be read, and where it stands.
pub(super) struct DraftTable {
    pub name: TableName,
    pub policy: Policy,
    pub line: usize,
    /// Where each of the policy's columns stands.
    pub column_lines: Vec<usize>,
}

/// Reads every `[table."…"]`.
pub(super) fn read(problems: &mut Problems<'_>, root: &DeTable<'_>) -> Vec<DraftTable> {
    let Some(item) = root.get("table") else { return Vec::new() };
    let remedy = "write [table.\"namespace.name\".columns]";
    let Some(tables) = problems.table("`table`", item, remedy) else { return Vec::new() };
    in_order(tables)
        .into_iter()
        .filter_map(|(name, span, item)| read_one(problems, name, &span, item))
        .collect()
}

fn read_one(
    problems: &mut Problems<'_>,
    name: &str,
    span: &Range<usize>,
    item: &Item<'_>,
) -> Option<DraftTable> {
    let remedy = "write [table.\"namespace.name\".columns]";
    let table = problems.table(&format!("table `{name}`"), item, remedy)?;
    if let Some(inner) = unquoted(name, table) {
        problems.add(
            span,
            format!("[table.{name}.{inner}] names a table without quotes"),
            format!("write [table.\"{name}.{inner}\"]: TOML reads a bare dot as nesting"),
        );
        return None;
    }
    let parsed = table_name(problems, name, span);
    problems.keys(&TABLE, table);
    let mut draft = DraftTable {
        name: parsed?,
        policy: Policy::default(),
        line: problems.line(span.start),
        column_lines: Vec::new(),
    };
    let Some(item) = table.get("columns") else { return Some(draft) };
    let remedy = format!("write [table.\"{name}\".columns] and name = \"type\" below it");
    let columns = problems.table(&format!("`columns` of table `{name}`"), item, &remedy)?;
    for (column, span, item) in in_order(columns) {
        if let Some(declared) = read_column(problems, column, item) {
            draft.policy.columns.push(declared);
            draft.column_lines.push(problems.line(span.start));
        }
    }
    Some(draft)
}

/// The second half of a name that was written without quotes.
fn unquoted<'a>(name: &str, table: &'a DeTable<'_>) -> Option<&'a str> {
    if name.contains('.') {
        return None;
    }
    let (inner, _, item) = in_order(table).into_iter().next()?;
    let is_name = !TABLE.keys.contains(&inner) && !TABLE.later.contains(&inner);
    (is_name && item.get_ref().is_table()).then_some(inner)
}

/// Reads the name of a table that routes may write to.
pub(super) fn table_name(
    problems: &mut Problems<'_>,
    name: &str,
    span: &Range<usize>,
) -> Option<TableName> {
    match name.parse::<TableName>() {
        Ok(parsed) if parsed.namespace() == "lakeward" => {
            problems.add(
                span,
                format!("table `{name}` lies in the namespace of Lakeward's own tables"),
                "choose another namespace than lakeward",
            );
            None
        }
        Ok(parsed) => Some(parsed),
        Err(error) => {
            problems.add(
                span,
                format!("`{name}` is no table name: {error}"),
                "write namespace.name in a-z, 0-9 and _, such as shop.orders_changes",
            );
            None
        }
    }
}

fn read_column(problems: &mut Problems<'_>, name: &str, item: &Item<'_>) -> Option<DeclaredColumn> {
    let (text, span, doc) = match item.get_ref() {
        DeValue::String(text) => (&**text, item.span(), None),
        DeValue::Table(table) => {
            problems.keys(&COLUMN, table);
            let doc = problems.text(&COLUMN, table, "doc").map(|(doc, _)| doc.to_owned());
            if !table.contains_key("type") {
                problems.add(
                    &item.span(),
                    format!("column `{name}` has no `type`"),
                    "write { type = \"string\" } or the like",
                );
            }
            let (text, span) = problems.text(&COLUMN, table, "type")?;
            (text, span, doc)
        }
        other => {
            problems.add(
                &item.span(),
                format!("column `{name}` is {}, not a type", kind(other)),
                "write its type as a text, such as \"string\", or { type = \"string\", doc = \"…\" }",
            );
            return None;
        }
    };
    match text.parse() {
        Ok(ty) => Some(DeclaredColumn { name: name.to_owned(), ty, doc }),
        Err(error) => {
            problems.add(
                &span,
                format!("column `{name}` has no type that Lakeward knows: {error}"),
                "types are string, bool, int, long, float, double, decimal(p,s), date, \
                 timestamp(s|ms|us|ns|rfc3339), binary, uuid, list<…>, struct<a: …>, json",
            );
            None
        }
    }
}
