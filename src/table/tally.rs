//! Counting where the values of a batch went, by field.

use std::collections::{BTreeMap, HashMap};

use crate::name;
use crate::table::layout::{Layout, Policy, Spread};
use crate::table::resolve::Target;

/// Counts of one field.
#[derive(Debug, Default)]
struct Field {
    values: u64,
    extra: u64,
    siblings: BTreeMap<usize, u64>,
}

/// Counts of all fields of a batch.
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
        field.values = field.values.saturating_add(1);
        match column {
            Some(at) if target.and_then(|it| it.main.column()) == Some(at) => {}
            Some(at) => {
                let count = field.siblings.entry(at).or_default();
                *count = count.saturating_add(1);
            }
            None => field.extra = field.extra.saturating_add(1),
        }
    }

    /// Where the values of each field went, by its own column's name; where it has none, by the
    /// name that it would have.
    pub(super) fn by_column(
        self,
        targets: &HashMap<&str, Target<'_>>,
        layout: &Layout,
        policy: &Policy,
    ) -> BTreeMap<String, Spread> {
        let mut spread: BTreeMap<String, Spread> = BTreeMap::new();
        let name_of = |at: usize| layout.columns.get(at).map(|it| it.name.clone());
        for (original, field) in self.fields {
            let main = targets.get(original).and_then(|it| it.main.column()).and_then(name_of);
            let name = main.unwrap_or_else(|| name::short(original, policy.names));
            let sum = spread.entry(name).or_default();
            sum.values = sum.values.saturating_add(field.values);
            sum.extra = sum.extra.saturating_add(field.extra);
            for (at, count) in field.siblings {
                let Some(name) = name_of(at) else { continue };
                let sibling = sum.siblings.entry(name).or_default();
                *sibling = sibling.saturating_add(count);
            }
        }
        spread
    }
}
