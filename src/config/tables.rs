//! `[table."…"]` and its columns

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Reader, in_order};
use crate::config::keys::{COLUMN, TABLE};
use crate::config::problem::Problem;
use crate::config::values::{Scope, numbers, scope};
use crate::table::declared::{BadType, DeclaredType};
use crate::table::layout::{DeclaredColumn, Misfits, NewColumns, Policy};

/// A section whose name is valid, and its position.
pub(super) struct DraftTable {
    pub scope: Scope,
    pub policy: Policy,
    pub line: usize,
    /// Line of each of the policy's columns.
    pub column_lines: Vec<usize>,
}

impl DraftTable {
    /// Returns the columns with their lines.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&DeclaredColumn, usize)> {
        self.policy.columns.iter().zip(self.column_lines.iter().copied())
    }
}

/// Reads every `[table."…"]`; keys that are absent are as in `[lake]`.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, lake: &Policy) -> Vec<DraftTable> {
    let Some(item) = root.get("table") else { return Vec::new() };
    let Some(tables) = reader.table("`table`", item, TABLE.remedy) else { return Vec::new() };
    in_order(tables)
        .into_iter()
        .filter_map(|(name, span, item)| read_one(reader, name, &span, item, lake))
        .collect()
}

fn read_one(
    reader: &mut Reader<'_>,
    name: &str,
    span: &Range<usize>,
    item: &Item<'_>,
    lake: &Policy,
) -> Option<DraftTable> {
    if let Some(inner) = unquoted(name, item) {
        let what = format!("the table name in [table.{name}.{inner}] is not in quotes");
        let remedy =
            format!("write [table.\"{name}.{inner}\"]: TOML reads an unquoted dot as nesting");
        reader.add(span, what, remedy);
        return None;
    }
    let scope = reader.accept(span, scope(name));
    let line = reader.line(span.start);
    let keys = &mut reader.section(&TABLE, item)?;
    let new_columns =
        [("add", NewColumns::Add), ("extra", NewColumns::Extra), ("reject", NewColumns::Reject)];
    let misfits = [("extra", Misfits::Extra), ("reject", Misfits::Reject)];
    let columns = keys.item("columns").and_then(|it| columns(keys.reader, name, it));
    let (columns, column_lines) = columns.unwrap_or_default().into_iter().unzip();
    let policy = Policy {
        columns,
        max_columns: keys.whole_number("max_columns", 1..=10_000).unwrap_or(lake.max_columns),
        new_columns: keys.one_of("new_columns", &new_columns).unwrap_or(lake.new_columns),
        misfits: keys.one_of("misfits", &misfits).unwrap_or(lake.misfits),
        old_image: keys.one_of("old_image", &[("json", true)]).unwrap_or(lake.old_image),
        names: lake.names,
        numbers: keys.text("numbers", numbers).unwrap_or(lake.numbers),
        zoned: lake.zoned,
    };
    Some(DraftTable { scope: scope?, policy, line, column_lines })
}

/// Returns the second part of a table name that was written without quotes.
fn unquoted<'d>(name: &str, item: &'d Item<'_>) -> Option<&'d str> {
    let table = item.get_ref().as_table().filter(|_| !name.contains('.'))?;
    let (inner, _, item) = in_order(table).into_iter().next()?;
    let is_name = !TABLE.keys.contains(&inner) && !TABLE.later.contains(&inner);
    (is_name && item.get_ref().is_table()).then_some(inner)
}

/// Reads the columns of a table, each with its line.
fn columns(
    reader: &mut Reader<'_>,
    table: &str,
    item: &Item<'_>,
) -> Option<Vec<(DeclaredColumn, usize)>> {
    let remedy = format!("write [table.\"{table}\".columns] and name = \"type\" below it");
    let columns = reader.table(&format!("`columns` of table `{table}`"), item, &remedy)?;
    let read = |(name, span, item): (&str, Range<usize>, &Item<'_>)| {
        Some((column(reader, name, item)?, reader.line(span.start)))
    };
    Some(in_order(columns).into_iter().filter_map(read).collect())
}

fn column(reader: &mut Reader<'_>, name: &str, item: &Item<'_>) -> Option<DeclaredColumn> {
    let (ty, doc) = match item.get_ref() {
        DeValue::String(text) => (reader.accept(&item.span(), column_type(name, text)), None),
        DeValue::Table(_) => {
            let keys = &mut reader.section(&COLUMN, item)?;
            let doc = keys.text("doc", |text| Ok(text.to_owned()));
            let pii = keys.flag("pii") == Some(true);
            let remedy = "write, for example, { type = \"string\" }";
            keys.require("type", format!("column `{name}` has no `type`"), remedy);
            let ty = keys.text("type", |text| column_type(name, text));
            let comment = || format!("{} (personal data)", doc.as_deref().unwrap_or(name));
            (ty, if pii { Some(comment()) } else { doc })
        }
        _ => {
            let what = format!("column `{name}` must be a string or a table");
            reader.add(&item.span(), what, COLUMN.remedy);
            return None;
        }
    };
    Some(DeclaredColumn { name: name.to_owned(), ty: ty?, doc })
}

fn column_type(column: &str, text: &str) -> Result<DeclaredType, Problem> {
    text.parse().map_err(|error: BadType| {
        Problem::new(
            format!("the type of column `{column}` is not valid: {error}"),
            "valid types: string, bool, int, long, float, double, decimal(p,s), date, \
             timestamp(s|ms|us|ns|rfc3339), binary, uuid, list<…>, struct<a: …>, json",
        )
    })
}
