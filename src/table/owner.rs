//! The owners of a layout's columns, and the names that are free.
//!
//! Names are compared ignoring case, because Athena, Glue and Lake Formation do so. A name that was
//! ever owned stays taken, so that a dropped column is never made again for another field.

use std::collections::{HashMap, HashSet};

use crate::name;
use crate::table::layout::{Layout, Owner, Role};

/// The column of a field, or of its sibling, in a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// The column at this index.
    Column(usize),
    /// It had a column, which someone dropped.
    Dropped,
    /// It never had one.
    Absent,
}

impl Home {
    /// Returns the index of the column, where it exists.
    pub(super) fn column(self) -> Option<usize> {
        match self {
            Home::Column(index) => Some(index),
            Home::Dropped | Home::Absent => None,
        }
    }
}

/// An index of a layout by names, ids and fields.
#[derive(Debug)]
pub(super) struct Index<'a> {
    owners: &'a [Owner],
    /// The column of each owner.
    homes: Vec<Home>,
    owner_of_column: HashMap<usize, usize>,
    owner_by_name: HashMap<String, usize>,
    owner_by_field: HashMap<(&'a str, Option<Role>), usize>,
    column_by_name: HashMap<String, usize>,
}

impl<'a> Index<'a> {
    /// Finds the column of each owner: by field id, which survives a rename; else by name, where
    /// that column has no other owner: someone dropped it and added it again.
    pub(super) fn new(layout: &'a Layout) -> Self {
        let mut column_by_id = HashMap::new();
        let mut column_by_name = HashMap::new();
        for (index, column) in layout.columns.iter().enumerate() {
            column_by_id.entry(column.id).or_insert(index);
            column_by_name.entry(column.name.to_lowercase()).or_insert(index);
        }
        let owners = layout.owners.as_slice();
        let mut homes = vec![Home::Dropped; owners.len()];
        let mut owner_of_column = HashMap::new();
        let mut owner_by_name = HashMap::new();
        let mut owner_by_field = HashMap::new();
        for (home, (index, owner)) in homes.iter_mut().zip(owners.iter().enumerate()) {
            owner_by_name.entry(owner.name.to_lowercase()).or_insert(index);
            owner_by_field.entry((owner.original.as_str(), sibling(owner.role))).or_insert(index);
            let found = owner.id.and_then(|id| column_by_id.get(&id).copied());
            if let Some(column) = found.filter(|it| !owner_of_column.contains_key(it)) {
                *home = Home::Column(column);
                owner_of_column.insert(column, index);
            }
        }
        for (home, (index, owner)) in homes.iter_mut().zip(owners.iter().enumerate()) {
            let found = column_by_name.get(&owner.name.to_lowercase()).copied();
            if let Some(column) = found.filter(|it| !owner_of_column.contains_key(it))
                && *home == Home::Dropped
            {
                *home = Home::Column(column);
                owner_of_column.insert(column, index);
            }
        }
        Self { owners, homes, owner_of_column, owner_by_name, owner_by_field, column_by_name }
    }

    /// Returns a field's own column and its owner; `None` where it was never made.
    pub(super) fn main(&self, original: &str) -> Option<(&'a Owner, Home)> {
        self.owner(*self.owner_by_field.get(&(original, None))?)
    }

    /// Returns the sibling column of a field.
    pub(super) fn sibling(&self, original: &str, role: Role) -> Home {
        let found = self.owner_by_field.get(&(original, Some(role)));
        found.and_then(|it| self.owner(*it)).map_or(Home::Absent, |(_, home)| home)
    }

    /// Returns the owner of a name: the one whose column was made with it, else the one whose
    /// column has it now.
    pub(super) fn owner_of(&self, name: &str) -> Option<(&'a Owner, Home)> {
        let now = || self.owner_of_column.get(self.column_by_name.get(name)?);
        self.owner(*self.owner_by_name.get(name).or_else(now)?)
    }

    /// Returns the column of this name, where it has no owner: someone else added it.
    pub(super) fn unowned(&self, name: &str) -> Option<usize> {
        let column = self.column_by_name.get(name).copied();
        column.filter(|it| !self.owner_of_column.contains_key(it))
    }

    /// Returns the names that no new column may have.
    pub(super) fn taken(&self) -> HashSet<String> {
        self.owner_by_name.keys().chain(self.column_by_name.keys()).cloned().collect()
    }

    fn owner(&self, index: usize) -> Option<(&'a Owner, Home)> {
        Some((self.owners.get(index)?, *self.homes.get(index)?))
    }
}

/// Returns the role as part of a field's key: a field has one column of its own, whatever its role.
fn sibling(role: Role) -> Option<Role> {
    role.kind().map(|_| role)
}

/// Takes the first free name for `original`: `short`, else with more and more digits of its hash.
pub(super) fn free_name(short: &str, original: &str, taken: &mut HashSet<String>) -> String {
    let mut tries = 0;
    loop {
        let name = name::nth(short, original, tries);
        if taken.insert(name.to_lowercase()) {
            return name;
        }
        tries += 1;
    }
}
