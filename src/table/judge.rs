//! Which rows a table's policy does not let in.

use std::collections::{BTreeSet, HashSet};

use crate::record::{Reject, Row};
use crate::table::declared::Declared;
use crate::table::layout::{Layout, Misfits, NewColumns, Policy};
use crate::table::owner::Home;
use crate::table::resolve::{Spot, originals, resolve, values};

/// Most characters of a field's name in a reject: senders choose them.
const MOST_CHARS: usize = 120;

/// The rows that the policy does not let into a table of this layout, by their place, and why. The
/// others are laid out as if these were not there.
pub fn judge(rows: &[Row], layout: &Layout, policy: &Policy) -> Vec<(usize, Reject)> {
    if policy.misfits == Misfits::Extra && policy.new_columns != NewColumns::Reject {
        return Vec::new();
    }
    let all = originals(rows);
    let mut rejects = misfits(rows, &all, layout, policy);
    if policy.new_columns == NewColumns::Reject {
        let targets = resolve(&all, layout, policy);
        for (at, row) in rows.iter().enumerate() {
            let new = values(row).find(|(original, value)| {
                targets.get(original).is_none_or(|target| {
                    target.main == Home::Absent
                        || matches!(target.spot(value, &layout.columns), Spot::Missing(_))
                })
            });
            if let Some((original, _)) = new
                && !rejects.iter().any(|(it, _)| *it == at)
            {
                let name = shown(original);
                let detail =
                    format!("field `{name}` has no column for it, and the table takes no new ones");
                rejects.push((at, Reject::new("new_column", detail)));
            }
        }
        rejects.sort_by_key(|(at, _)| *at);
    }
    rejects
}

/// The rows with a value that does not fit its declared column, where such rows are rejected.
pub(super) fn misfits(
    rows: &[Row],
    originals: &BTreeSet<&str>,
    layout: &Layout,
    policy: &Policy,
) -> Vec<(usize, Reject)> {
    if policy.misfits == Misfits::Extra {
        return Vec::new();
    }
    let targets = resolve(originals, layout, policy);
    let mut rejects = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let misfit = values(row).find_map(|(original, value)| {
            let target = targets.get(original)?;
            Some((target.base().to_owned(), target.misfit(value, &layout.columns)?))
        });
        rejects.extend(misfit.map(|(name, ty)| (at, misfits_column(&name, ty))));
    }
    rejects
}

fn misfits_column(name: &str, ty: &Declared) -> Reject {
    let ty = ty.column_type();
    let detail = format!("its value for column `{}` is no {ty}", shown(name));
    Reject::new("misfit", detail)
}

/// The rows but for those that are judged.
pub(super) fn without<'r>(rows: &'r [Row], rejects: &[(usize, Reject)]) -> Vec<&'r Row> {
    let out: HashSet<usize> = rejects.iter().map(|(at, _)| *at).collect();
    let each = rows.iter().enumerate().filter(|(at, _)| !out.contains(at));
    each.map(|(_, row)| row).collect()
}

/// A name of a sender's choice, cut and without what would confuse a terminal.
fn shown(name: &str) -> String {
    name.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect()
}
