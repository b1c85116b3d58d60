//! Columns whose values are partly in other columns, and the types to declare for them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::cli::print;
use crate::table::layout::Spread;

/// The largest number of columns that are named.
const MAX_COLUMNS: usize = 10;

/// Adds the counts of one pass to the sums.
pub(super) fn add(sums: &mut BTreeMap<String, Spread>, more: &BTreeMap<String, Spread>) {
    for (column, more) in more {
        sums.entry(column.clone()).or_default().add(more);
    }
}

/// Prints a line for each column, the largest share first.
pub(super) fn print<'a>(
    tables: impl Iterator<Item = (&'a String, &'a BTreeMap<String, Spread>)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines: Vec<(u128, String)> = Vec::new();
    for (table, spread) in tables {
        for (column, counts) in spread {
            let field = format!("{table}.{}", print::safe(column));
            let advice = advice(counts.siblings.keys(), column);
            for (sibling, count) in &counts.siblings {
                let share = share(*count, counts.values);
                lines.push((
                    share.0,
                    format!("! {field}: {} in {} → {advice}", share.1, print::safe(sibling)),
                ));
            }
            if counts.extra > 0 {
                let share = share(counts.extra, counts.values);
                let advice = "declare a type that holds them, or see max_columns and new_columns";
                lines.push((share.0, format!("! {field}: {} in _lw_extra → {advice}", share.1)));
            }
        }
    }
    lines.sort_by_key(|(share, _)| Reverse(*share));
    for (_, line) in lines.iter().take(MAX_COLUMNS) {
        writeln!(out, "{line}")?;
    }
    if lines.iter().any(|(_, line)| line.contains("→ declare ")) {
        let what = "declare types before a table is made. A table that exists keeps its types:";
        writeln!(out, "  {what} query coalesce(x__double, x), or fill a new table")?;
    }
    if let Some(more) = lines.len().checked_sub(MAX_COLUMNS).filter(|it| *it > 0) {
        writeln!(out, "! and {more} more columns like these: see `tables TABLE`")?;
    }
    Ok(())
}

/// Returns what to declare, by the kinds that sibling columns are named after.
fn advice<'a>(siblings: impl Iterator<Item = &'a String>, column: &str) -> String {
    let kind = |it: &'a String| {
        let kind = it.rsplit("__").next().unwrap_or_default();
        kind.split('_').next().unwrap_or_default()
    };
    let kinds: BTreeSet<&str> = siblings.map(kind).collect();
    let ty = match kinds.into_iter().collect::<Vec<_>>().as_slice() {
        ["double"] => "double",
        ["decimal"] => "decimal(38,9)",
        // Kinds are mixed: JSON holds them all.
        _ => "json",
    };
    format!("declare {} = \"{ty}\"", print::safe(column))
}

/// Returns a share of the values in thousandths, and as text.
fn share(part: u64, of: u64) -> (u128, String) {
    let thousandths = u128::from(part) * 1_000 / u128::from(of.max(1));
    let text = match thousandths {
        0..10 => "under 1 %".to_owned(),
        it => format!("{} %", it / 10),
    };
    (thousandths, text)
}

/// Returns the counts as JSON.
pub(super) fn json(spread: &BTreeMap<String, Spread>) -> serde_json::Value {
    let elsewhere = spread.iter().filter(|(_, it)| it.extra > 0 || !it.siblings.is_empty());
    let each = elsewhere.map(|(column, it)| {
        let value = serde_json::json!({
            "values": it.values,
            "siblings": it.siblings,
            "extra": it.extra,
        });
        (column.clone(), value)
    });
    serde_json::Value::Object(each.collect())
}
