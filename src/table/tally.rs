//! Counts where the values of a batch went, by field.

use std::collections::{BTreeMap, HashMap};

use crate::name;
use crate::table::layout::{Layout, Policy, Spread};
use crate::table::resolve::Target;

/// The counts of one field.
#[derive(Debug, Default)]
struct Field {
    values: u64,
    extra: u64,
    /// By index of the sibling column.
    siblings: BTreeMap<usize, u64>,
}

/// The counts of all fields of a batch.
#[derive(Debug, Default)]
pub(super) struct Tally<'r> {
    fields: HashMap<&'r str, Field>,
}

impl<'r> Tally<'r> {
    /// Counts a value that went to the column at an index, or to `_lw_extra`.
    pub(super) fn note(
        &mut self,
        original: &'r str,
        target: Option<&Target<'_>>,
        column: Option<usize>,
    ) {
        let field = self.fields.entry(original).or_default();
        field.values += 1;
        match column {
            Some(index) if target.and_then(|it| it.main.column()) == Some(index) => {}
            Some(index) => *field.siblings.entry(index).or_default() += 1,
            None => field.extra += 1,
        }
    }

    /// Returns where the values of each field went, by the name of its own column, or the name that
    /// this column would have.
    pub(super) fn by_column(
        self,
        targets: &HashMap<&str, Target<'_>>,
        layout: &Layout,
        policy: &Policy,
    ) -> BTreeMap<String, Spread> {
        let mut spread: BTreeMap<String, Spread> = BTreeMap::new();
        let name_of = |index: usize| layout.columns.get(index).map(|it| it.name.clone());
        for (original, field) in self.fields {
            let main = targets.get(original).and_then(|it| it.main.column()).and_then(name_of);
            let name = main.unwrap_or_else(|| name::short(original, policy.names));
            let sum = spread.entry(name).or_default();
            sum.values += field.values;
            sum.extra += field.extra;
            for (index, count) in field.siblings {
                let Some(name) = name_of(index) else { continue };
                *sum.siblings.entry(name).or_default() += count;
            }
        }
        spread
    }
}
