//! `[table."ns.name".columns]`

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Problems, in_order, kind, whole_number};
use crate::config::keys::{COLUMN, TABLE};
use crate::config::read::{numbers, one_of};
use crate::route::Template;
use crate::table::layout::{DeclaredColumn, Misfits, NewColumns, Policy};
use crate::table_name::TableName;

/// A table that could be read, and where it stands.
pub(super) struct DraftTable {
    pub name: Named,
    pub policy: Policy,
    pub line: usize,
    /// Where each of the policy's columns stands.
    pub column_lines: Vec<usize>,
}

/// What a section is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// One table.
    Table(TableName),
    /// All tables that a placeholder fills in, which has no section of its own.
    Template(Template),
}

/// Prints the name as it is written.
impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Named::Table(name) => name.fmt(f),
            Named::Template(template) => f.write_str(template.as_str()),
        }
    }
}

/// Reads every `[table."…"]`; what none of them says is as in `undeclared`.
pub(super) fn read(
    problems: &mut Problems<'_>,
    root: &DeTable<'_>,
    undeclared: &Policy,
) -> Vec<DraftTable> {
    let Some(item) = root.get("table") else { return Vec::new() };
    let remedy = "write [table.\"namespace.name\".columns]";
    let Some(tables) = problems.table("`table`", item, remedy) else { return Vec::new() };
    in_order(tables)
        .into_iter()
        .filter_map(|(name, span, item)| read_one(problems, name, &span, item, undeclared))
        .collect()
}

fn read_one(
    problems: &mut Problems<'_>,
    name: &str,
    span: &Range<usize>,
    item: &Item<'_>,
    undeclared: &Policy,
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
    let parsed = named(problems, name, span);
    problems.keys(&TABLE, table);
    let mut policy = undeclared.clone();
    choices(problems, table, &mut policy);
    let mut draft = DraftTable {
        name: parsed?,
        policy,
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

/// Sets what a value chooses, or says what is wrong with it and what to do.
type Choice<'c> = dyn FnMut(&str) -> Result<(), (String, String)> + 'c;

/// Reads the keys of a table that choose what happens to its values.
fn choices(problems: &mut Problems<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    let mut choose = |key: &str, set: &mut Choice<'_>| {
        if let Some((value, span)) = problems.text(&TABLE, table, key)
            && let Err((what, remedy)) = set(value)
        {
            problems.add(&span, what, remedy);
        }
    };
    choose("new_columns", &mut |value| {
        let known = [
            ("add", NewColumns::Add),
            ("extra", NewColumns::Extra),
            ("reject", NewColumns::Reject),
        ];
        policy.new_columns = one_of("new_columns", value, &known)?;
        Ok(())
    });
    choose("misfits", &mut |value| {
        let known = [("extra", Misfits::Extra), ("reject", Misfits::Reject)];
        policy.misfits = one_of("misfits", value, &known)?;
        Ok(())
    });
    choose("numbers", &mut |value| {
        policy.numbers = numbers(value)?;
        Ok(())
    });
    choose("old_image", &mut |value| {
        policy.old_image = one_of("old_image", value, &[("json", true)])?;
        Ok(())
    });
    if let Some(most) = whole_number(problems, &TABLE, table, "max_columns", 1..=10_000) {
        policy.max_columns = most;
    }
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

/// Reads what a section is about.
fn named(problems: &mut Problems<'_>, name: &str, span: &Range<usize>) -> Option<Named> {
    if name.contains(['{', '}']) {
        template(problems, name, span).map(Named::Template)
    } else {
        table_name(problems, name, span).map(Named::Table)
    }
}

/// Reads the name of tables that records name themselves.
pub(super) fn template(
    problems: &mut Problems<'_>,
    name: &str,
    span: &Range<usize>,
) -> Option<Template> {
    match name.parse::<Template>() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            problems.add(
                span,
                format!("`{name}` names no tables: {error}"),
                "write namespace.name with a field in braces, such as events.{type}",
            );
            None
        }
    }
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

/// Whether a column is declared to hold personal data.
fn personal(problems: &mut Problems<'_>, name: &str, table: &DeTable<'_>) -> bool {
    let Some(item) = table.get("pii") else { return false };
    item.get_ref().as_bool().unwrap_or_else(|| {
        let what = format!("`pii` of column `{name}` is not true or false");
        problems.add(&item.span(), what, "write pii = true");
        false
    })
}

fn read_column(problems: &mut Problems<'_>, name: &str, item: &Item<'_>) -> Option<DeclaredColumn> {
    let (text, span, doc) = match item.get_ref() {
        DeValue::String(text) => (&**text, item.span(), None),
        DeValue::Table(table) => {
            problems.keys(&COLUMN, table);
            let doc = problems.text(&COLUMN, table, "doc").map(|(doc, _)| doc.to_owned());
            let doc = if personal(problems, name, table) {
                Some(format!("{} (personal data)", doc.as_deref().unwrap_or(name)))
            } else {
                doc
            };
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
