//! Finds the rows that a table's policy does not let in.

use std::collections::{BTreeSet, HashSet};

use crate::record::{Reject, Row};
use crate::table::declared::DeclaredType;
use crate::table::layout::{Layout, Misfits, NewColumns, Policy};
use crate::table::owner::Home;
use crate::table::resolve::{Spot, originals, resolve, values};

/// Number of characters of a field's name in a reject: senders choose them.
const MAX_CHARS: usize = 120;

/// Returns the rows that the policy does not let into a table of this layout, by index, and the
/// reasons. The other rows are placed as if these did not exist.
pub fn judge(rows: &[Row], layout: &Layout, policy: &Policy) -> Vec<(usize, Reject)> {
    if !policy.refuses() {
        return Vec::new();
    }
    let all = originals(rows);
    let mut rejects = misfits(rows, &all, layout, policy);
    let misfit: HashSet<usize> = rejects.iter().map(|(index, _)| *index).collect();
    if policy.new_columns == NewColumns::Reject {
        let targets = resolve(&all, layout, policy);
        for (index, row) in rows.iter().enumerate() {
            let new = values(row).find(|(original, value)| {
                targets.get(original).is_none_or(|target| {
                    target.main == Home::Absent
                        || matches!(target.spot(value, &layout.columns), Spot::Missing(_))
                })
            });
            if let Some((original, _)) = new
                && !misfit.contains(&index)
            {
                let name = printable(original);
                let detail = format!("field `{name}` has no column, and the table adds no columns");
                rejects.push((index, Reject::new("new_column", detail)));
            }
        }
        rejects.sort_by_key(|(index, _)| *index);
    }
    rejects
}

/// Returns the rows with a value that does not fit its declared column, where such rows are
/// rejected.
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
    for (index, row) in rows.iter().enumerate() {
        let misfit = values(row).find_map(|(original, value)| {
            let target = targets.get(original)?;
            Some((target.base().to_owned(), target.misfit(value, &layout.columns)?))
        });
        rejects.extend(misfit.map(|(name, ty)| (index, misfit_reject(&name, ty))));
    }
    rejects
}

fn misfit_reject(name: &str, ty: &DeclaredType) -> Reject {
    let ty = ty.column_type();
    let detail = format!("its value for column `{}` is not a valid {ty}", printable(name));
    Reject::new("misfit", detail)
}

/// Returns the rows without those that are rejected.
pub(super) fn without<'r>(rows: &'r [Row], rejects: &[(usize, Reject)]) -> Vec<&'r Row> {
    let rejected: HashSet<usize> = rejects.iter().map(|(index, _)| *index).collect();
    let left = rows.iter().enumerate().filter(|(index, _)| !rejected.contains(index));
    left.map(|(_, row)| row).collect()
}

/// Returns a name of a sender's choice, cut, with control characters escaped.
fn printable(name: &str) -> String {
    name.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect()
}
