//! Names of declared columns.

use std::collections::BTreeMap;

use crate::config::problem::Problem;
use crate::config::tables::DraftTable;
use crate::name::{declared, is_lineage, snake};

/// Finds names that a column can't have, and columns that share one.
pub(super) fn names(table: &DraftTable, found: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for (column, line) in table.columns() {
        let name = column.name.as_str();
        if name.is_empty() {
            found.push(Problem::new("a column has no name", "give it one").on_line(line));
            continue;
        }
        if is_lineage(name) {
            let stored = snake(name);
            let what = format!("column `{name}` has a reserved name");
            let remedy = format!("declare `{stored}`: the field `{name}` of a record goes there");
            found.push(Problem::new(what, remedy).on_line(line));
            continue;
        }
        let stored = declared(name, table.policy.names);
        // Query engines ignore the case of names.
        let Some((other, first)) = seen.get(&stored.to_lowercase()) else {
            seen.insert(stored.to_lowercase(), (name, line));
            continue;
        };
        let both = format!("columns `{name}` and `{other}` (line {first})");
        let what = if declared(other, table.policy.names) == stored {
            format!("{both} are both stored as `{stored}`")
        } else {
            format!("{both} differ only in case, which query engines ignore")
        };
        found.push(Problem::new(what, "declare only one of them").on_line(line));
    }
}
