//! Resolves the fields of a batch to the columns of a table.
//!
//! A field is resolved once per batch. No two fields of a batch get the same column.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::name::{self, Names};
use crate::record::Row;
use crate::table::declared::DeclaredType;
use crate::table::layout::{Column, DeclaredColumn, Layout, Numbers, Owner, Policy, Role};
use crate::table::owner::{Home, Index};
use crate::table::{Cell, ColumnType, fit};
use crate::value::Value;

/// The roles of sibling columns.
const SIBLINGS: [Role; 5] = [Role::Double, Role::Decimal, Role::Text, Role::Bool, Role::Json];

/// A declared column and where it is in a layout.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    /// The name of its column, even where someone has renamed the column since.
    pub(super) column: String,
    /// Its declaration.
    pub(super) declared: &'a DeclaredColumn,
    /// Its column in the layout.
    pub(super) home: Home,
    /// The owner it was made for, where that is recorded.
    pub(super) owner: Option<&'a Owner>,
}

/// The columns for the values of one field of a batch.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// Its own column.
    pub(super) main: Home,
    /// The name that the names of its siblings begin with.
    base: String,
    /// Its declared type.
    declared: Option<&'a DeclaredType>,
    /// Its declared type, where its own column is of that type.
    as_declared: Option<&'a DeclaredType>,
    /// Whether its own column is a string that holds JSON text.
    json: bool,
    /// Whether its own column takes numbers as text.
    literals: bool,
    siblings: [Home; SIBLINGS.len()],
}

/// The place of one value.
#[derive(Debug, PartialEq)]
pub(super) enum Spot {
    /// The column at this index.
    Column(usize, Cell),
    /// A sibling column that was never made.
    Missing(Role),
    /// `_lw_extra`
    Extra,
}

/// Returns the declared columns of a table, without those for the same column as an earlier one, or
/// for a sibling.
pub(super) fn slots<'a>(index: &Index<'a>, policy: &'a Policy) -> Vec<Slot<'a>> {
    let mut slots: Vec<Slot<'a>> = Vec::new();
    for declared in &policy.columns {
        let mut column = name::declared(&declared.name, policy.names);
        let mut key = column.to_lowercase();
        let (owner, home) = match index.owner_of(&key) {
            Some((owner, _)) if owner.role.kind().is_some() => continue,
            Some((owner, home)) => (Some(owner), home),
            // A column that was made for it under another rule of names is still its own.
            None => match index.main(&declared.name) {
                Some((owner, home)) => {
                    column.clone_from(&owner.name);
                    key = column.to_lowercase();
                    (Some(owner), home)
                }
                None => (None, index.unowned(&key).map_or(Home::Absent, Home::Column)),
            },
        };
        let twice = |it: &Slot<'_>| {
            it.column.to_lowercase() == key || (it.home == home && matches!(home, Home::Column(_)))
        };
        if !slots.iter().any(twice) {
            slots.push(Slot { column, declared, home, owner });
        }
    }
    slots
}

/// Returns the key that tells short names apart.
fn key(original: &str, names: Names) -> String {
    name::short(original, names).to_lowercase()
}

/// The fields of a batch by short name, without those that own a column.
#[derive(Debug)]
pub(super) struct Newcomers<'r> {
    /// By short name in lower case: case never tells two names apart.
    by_short: HashMap<String, Vec<&'r str>>,
    names: Names,
}

impl<'r> Newcomers<'r> {
    /// Groups those of `originals` that own no column.
    pub(super) fn new(originals: &BTreeSet<&'r str>, index: &Index<'_>, names: Names) -> Self {
        let mut by_short: HashMap<String, Vec<&'r str>> = HashMap::new();
        for original in originals.iter().filter(|it| index.main(it).is_none()) {
            by_short.entry(key(original, names)).or_default().push(original);
        }
        Self { by_short, names }
    }

    /// Returns those of this short name: first the one that is called exactly so, then the others
    /// in order.
    fn called(&self, short: &str) -> Vec<&'r str> {
        let mut found = self.by_short.get(short).cloned().unwrap_or_default();
        found.sort_by_key(|it| (*it != short, *it));
        found
    }
}

impl Slot<'_> {
    /// Returns the one field of a batch that fills the column.
    ///
    /// This is the recorded owner, if the batch has it. Else, unless a field is known to own the
    /// column, it is the one that is called as declared, or like the column, or first in order.
    pub(super) fn field<'r>(
        &self,
        originals: &BTreeSet<&'r str>,
        newcomers: &Newcomers<'r>,
    ) -> Option<&'r str> {
        if let Some(owner) = self.owner {
            if let Some(original) = originals.get(owner.original.as_str()) {
                return Some(original);
            }
            // Made under another rule of names, or by another name, it waits for its own field.
            let name = name::declared(&self.declared.name, newcomers.names);
            if !owner.open || owner.name.to_lowercase() != name.to_lowercase() {
                return None;
            }
        }
        let mut called = newcomers.called(&self.column.to_lowercase());
        if let Some(exact) = originals.get(self.declared.name.as_str()) {
            let short = key(exact, newcomers.names);
            // An original name that owns another column keeps it.
            if newcomers.called(&short).contains(exact) {
                called.insert(0, exact);
            }
        }
        called.first().copied()
    }
}

/// Returns the values of a row that are not null.
pub(super) fn values(row: &Row) -> impl Iterator<Item = (&str, &Value)> {
    let fields = row.fields.iter().map(|(original, value)| (original.as_str(), value));
    fields.filter(|(_, value)| !matches!(value, Value::Null))
}

/// Returns the fields of a batch that have a value.
pub(super) fn originals<R: Borrow<Row>>(rows: &[R]) -> BTreeSet<&str> {
    let fields = rows.iter().flat_map(|row| values(row.borrow()));
    let seen: HashSet<&str> = fields.map(|(original, _)| original).collect();
    seen.into_iter().collect()
}

/// Resolves the fields of a batch.
pub(super) fn resolve<'r, 'a>(
    originals: &BTreeSet<&'r str>,
    layout: &'a Layout,
    policy: &'a Policy,
) -> HashMap<&'r str, Target<'a>> {
    let index = Index::new(layout);
    let newcomers = Newcomers::new(originals, &index, policy.names);
    let slots = slots(&index, policy);
    let mut claimed: HashSet<usize> = slots.iter().filter_map(|it| it.home.column()).collect();
    let mut targets = HashMap::with_capacity(originals.len());
    for slot in &slots {
        if let Some(original) = slot.field(originals, &newcomers)
            && !targets.contains_key(original)
        {
            targets.insert(original, Target::of_slot(slot, original, &index, layout));
        }
    }
    for original in originals {
        if let Some((owner, home)) = index.main(original)
            && !targets.contains_key(original)
        {
            // The declared column of another field is not for it, even if it was made for it.
            let lost = home.column().is_some_and(|it| !claimed.insert(it));
            let main = if lost { Home::Dropped } else { home };
            targets.insert(original, Target::of_owner(owner, main, original, &index, policy));
        }
    }
    for short in newcomers.by_short.keys() {
        let mut column = index.unowned(short).filter(|it| !claimed.contains(it));
        for original in newcomers.called(short) {
            if targets.contains_key(original) {
                continue;
            }
            let main = column.take().map_or(Home::Absent, Home::Column);
            targets.insert(original, Target::of_newcomer(main, original, &index, policy));
        }
    }
    targets
}

impl<'a> Target<'a> {
    fn of_slot(slot: &Slot<'a>, original: &str, index: &Index<'_>, layout: &Layout) -> Self {
        let declared_json = slot.declared.ty == DeclaredType::Json;
        let json = slot.owner.map_or(declared_json, |it| it.role == Role::MainJson);
        let stored = slot.home.column().and_then(|it| layout.columns.get(it));
        let as_declared = stored.is_some_and(|it| {
            same_storage(&slot.declared.ty.column_type(), &it.ty)
                && (it.ty != ColumnType::String || json == declared_json)
        });
        Self {
            main: slot.home,
            base: slot.column.clone(),
            declared: Some(&slot.declared.ty),
            as_declared: as_declared.then_some(&slot.declared.ty),
            json,
            literals: false,
            siblings: siblings(original, index),
        }
    }

    fn of_owner(
        owner: &Owner,
        main: Home,
        original: &str,
        index: &Index<'_>,
        policy: &Policy,
    ) -> Self {
        Self {
            main,
            base: owner.name.clone(),
            declared: None,
            as_declared: None,
            json: owner.role == Role::MainJson,
            literals: policy.numbers == Numbers::Text && owner.role == Role::Main,
            siblings: siblings(original, index),
        }
    }

    fn of_newcomer(main: Home, original: &str, index: &Index<'_>, policy: &Policy) -> Self {
        let literals = policy.numbers == Numbers::Text;
        let siblings = siblings(original, index);
        let base = name::short(original, policy.names);
        Self { main, base, declared: None, as_declared: None, json: false, literals, siblings }
    }

    /// Returns the name that the names of the field's columns begin with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Returns the declared type, where a value fits neither it nor the column, which may be wider
    /// by now.
    pub(super) fn misfit(&self, value: &Value, columns: &[Column]) -> Option<&DeclaredType> {
        let declared = self.declared.filter(|it| it.fit(value).is_none())?;
        let stored = find(self.main, columns).filter(|_| self.as_declared.is_none());
        let fits = stored.is_some_and(|(_, it)| fit::cell(value, &it.ty, self.json).is_some());
        (!fits).then_some(declared)
    }

    /// Returns whether the value goes to the field's own column or to `_lw_extra` in any case,
    /// without making the cell.
    pub(super) fn needs_no_sibling(&self, value: &Value, columns: &[Column]) -> bool {
        let Some(column) = self.main.column().and_then(|it| columns.get(it)) else { return true };
        self.as_declared.is_some() || fit::surely_fits(value, &column.ty, self.json)
    }

    /// Returns the place of a value that is not null.
    pub(super) fn spot(&self, value: &Value, columns: &[Column]) -> Spot {
        let Some((index, column)) = find(self.main, columns) else { return Spot::Extra };
        if let Some(declared) = self.as_declared {
            return declared.fit(value).map_or(Spot::Extra, |cell| Spot::Column(index, cell));
        }
        if let Some(cell) = fit::cell(value, &column.ty, self.json) {
            return Spot::Column(index, cell);
        }
        if self.literals
            && let Some(cell) = fit::literal(value, &column.ty)
        {
            return Spot::Column(index, cell);
        }
        let Some(role) = fit::sibling_role(value) else { return Spot::Extra };
        let home = SIBLINGS.iter().zip(self.siblings).find(|(it, _)| **it == role);
        let home = home.map_or(Home::Absent, |(_, home)| home);
        if home == Home::Absent {
            return Spot::Missing(role);
        }
        find(home, columns)
            .and_then(|(index, it)| {
                Some(Spot::Column(index, fit::sibling_cell(value, role, &it.ty)?))
            })
            .unwrap_or(Spot::Extra)
    }
}

fn find(home: Home, columns: &[Column]) -> Option<(usize, &Column)> {
    home.column().and_then(|index| Some((index, columns.get(index)?)))
}

fn siblings(original: &str, index: &Index<'_>) -> [Home; SIBLINGS.len()] {
    SIBLINGS.map(|role| index.sibling(original, role))
}

/// Returns whether cells of a declared type go into a column of type `stored` as they are.
fn same_storage(declared: &ColumnType, stored: &ColumnType) -> bool {
    match (declared, stored) {
        (ColumnType::Timestamp, ColumnType::Timestamptz) => true,
        (ColumnType::List(declared), ColumnType::List(stored)) => same_storage(declared, stored),
        (ColumnType::Struct(declared), ColumnType::Struct(stored)) => {
            declared.len() == stored.len()
                && declared
                    .iter()
                    .zip(stored)
                    .all(|((name, ty), (other, as_))| name == other && same_storage(ty, as_))
        }
        _ => declared == stored,
    }
}
