//! Places the values of a batch: in their column, a sibling column, or `_lw_extra`.
//!
//! [`changes`] and [`place`] resolve a field by the same function, so the column that `changes`
//! adds is the one that `place` fills. Every value that is not null ends in exactly one place, and
//! is exact there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::json;
use crate::name;
use crate::record::{Lineage, Row};
use crate::table::declared::DeclaredType;
use crate::table::infer::Sample;
use crate::table::layout::{Change, Column, Layout, NewColumns, Owner, Policy, Role, Spread};
use crate::table::owner::{Home, Index, free_name};
use crate::table::resolve::{Newcomers, Spot, Target, originals, resolve, slots, values};
use crate::table::tally::Tally;
use crate::table::{Cell, ColumnType, fit, judge};
use crate::value::Value;

/// Length of the longest original name that gets a column. Docs and owners keep originals whole, in
/// a file that every commit rewrites and every reader reads; DynamoDB allows names of 64 KiB.
const MAX_ORIGINAL_BYTES: usize = 255;

/// The number of columns that one record may always add, if there is room.
const MIN_OF_ONE_RECORD: usize = 16;

/// Field id of a column that is not made yet; ids of a table are positive.
const NO_ID: i32 = -1;

/// The values of a batch, placed in the columns of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Each column of the layout that has a value: its index in `Layout::columns` and one cell per
    /// row.
    pub columns: Vec<(usize, Vec<Cell>)>,
    /// `_lw_extra` of each row: a JSON object of original names, keys sorted; `None` if it is
    /// empty.
    pub extra: Vec<Option<String>>,
    /// The columns that the values of each field went to, by the name of its own column.
    pub spread: BTreeMap<String, Spread>,
}

/// Returns the number of columns up to which fields of a single record get some: half of those that are
/// free, so that no record takes all of them. A commit asks once, before it adds any.
pub fn limit_of_one_record(layout: &Layout, policy: &Policy) -> usize {
    let used = layout.columns.len();
    let free = policy.max_columns.saturating_sub(used);
    used + (free / 2).max(MIN_OF_ONE_RECORD).min(free)
}

/// Returns the schema changes that `rows` need: missing declared columns, legal widenings to
/// declared types, inferred columns and siblings within `max_columns`. What only one of the rows needs
/// is added within `limit_of_one` columns.
///
/// New columns come in a stable order: as declared, then by original name, then siblings. No new
/// column has the name of another one, or of a column of the layout, even ignoring case.
pub fn changes(rows: &[Row], layout: &Layout, policy: &Policy, limit_of_one: usize) -> Vec<Change> {
    let all = originals(rows);
    let misfits = judge::misfits(rows, &all, layout, policy);
    let rows = &judge::without(rows, &misfits);
    let originals = originals(rows);
    let mut draft = Draft {
        taken: Index::new(layout).taken(),
        next: layout.clone(),
        changes: Vec::new(),
        max_columns: policy.max_columns,
        limit_of_one,
    };
    draft.declare(&originals, layout, policy);
    if policy.new_columns == NewColumns::Add {
        draft.add_columns(rows, &originals, policy);
        draft.add_siblings(rows, &originals, policy);
    }
    let before = policy.old_image && layout.before.is_none();
    if before && rows.iter().any(|it| it.lineage.before.is_some()) {
        draft.changes.push(Change::Before);
    }
    draft.changes
}

/// Places the values of `rows` in the columns of `layout`. Total: a value without a column goes to
/// `_lw_extra`.
pub fn place(rows: &[Row], layout: &Layout, policy: &Policy) -> Placement {
    let targets = resolve(&originals(rows), layout, policy);
    let mut columns: Vec<Option<Vec<Cell>>> = vec![None; layout.columns.len()];
    let mut extra = Vec::with_capacity(rows.len());
    let mut spread = Tally::default();
    for (index, row) in rows.iter().enumerate() {
        let mut rest: BTreeMap<&str, &Value> = BTreeMap::new();
        for (original, value) in values(row) {
            let target = targets.get(original);
            let spot = target.map_or(Spot::Extra, |it| it.spot(value, &layout.columns));
            let cell = match spot {
                Spot::Column(column, cell) => columns.get_mut(column).map(|it| (column, it, cell)),
                Spot::Missing(_) | Spot::Extra => None,
            };
            match cell {
                Some((column, cells, cell)) => {
                    let cells = cells.get_or_insert_with(|| vec![Cell::Null; rows.len()]);
                    if let Some(null) = cells.get_mut(index) {
                        *null = cell;
                    }
                    spread.note(original, target, Some(column));
                }
                None => {
                    rest.insert(original, value);
                    spread.note(original, target, None);
                }
            }
        }
        extra.push(object(&rest));
    }
    let filled = columns.into_iter().enumerate().filter_map(|(index, it)| Some((index, it?)));
    let spread = spread.by_column(&targets, layout, policy);
    Placement { columns: filled.collect(), extra, spread }
}

/// Makes a JSON object; `None` where it would be empty.
fn object(members: &BTreeMap<&str, &Value>) -> Option<String> {
    if members.is_empty() {
        return None;
    }
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        json::write_string(key, &mut out);
        out.push(':');
        value.write_json(false, &mut out);
    }
    out.push('}');
    Some(out)
}

/// A layout and the changes that a batch needs.
struct Draft {
    /// The layout with the changes made so far.
    next: Layout,
    changes: Vec<Change>,
    taken: HashSet<String>,
    max_columns: usize,
    /// The number of columns up to which fields of a single row get some.
    limit_of_one: usize,
}

/// The values that one new column would have.
#[derive(Default)]
struct Candidate<'r> {
    sample: Sample<'r>,
    records: RecordCount<'r>,
}

/// A count of delivered records, each of which may hold many rows.
#[derive(Default)]
struct RecordCount<'r> {
    count: usize,
    last: Option<(&'r str, Option<&'r str>, Option<&'r str>)>,
}

impl<'r> RecordCount<'r> {
    /// Counts the record of a row, unless the row before was of the same one.
    fn add(&mut self, row: &'r Row) {
        let record = Some(delivered(row));
        self.count += usize::from(self.last != record);
        self.last = record;
    }
}

/// Returns what the rows of one delivered record have in common. Its rows follow each other.
fn delivered(row: &Row) -> (&str, Option<&str>, Option<&str>) {
    let Lineage { source, shard, position, .. } = &row.lineage;
    (source, shard.as_deref(), position.as_deref())
}

impl Draft {
    /// Adds the declared columns that were never made, and widens those that may be.
    fn declare(&mut self, originals: &BTreeSet<&str>, layout: &Layout, policy: &Policy) {
        let index = Index::new(layout);
        let newcomers = Newcomers::new(originals, &index, policy.names);
        for slot in slots(&index, policy) {
            let ty = zoned(slot.declared.ty.column_type(), policy.zoned);
            match slot.home {
                Home::Dropped => {}
                Home::Column(index) => {
                    if let Some(owner) = slot.owner.filter(|it| it.open)
                        && let Some(original) = slot.field(originals, &newcomers)
                    {
                        self.claim(&owner.name, original);
                    }
                    self.widen(index, ty);
                }
                Home::Absent => {
                    let field = slot.field(originals, &newcomers);
                    let original = field.unwrap_or(&slot.declared.name).to_owned();
                    let json = slot.declared.ty == DeclaredType::Json;
                    let role = if json { Role::MainJson } else { Role::Main };
                    let doc = slot.declared.doc.clone().unwrap_or_else(|| original.clone());
                    self.taken.insert(slot.column.to_lowercase());
                    let (name, open) = (slot.column, field.is_none());
                    self.add(ty, doc, Owner { name, id: None, original, role, open });
                }
            }
        }
    }

    /// Adds a column for each field without one, within `max_columns`.
    fn add_columns(&mut self, rows: &[&Row], originals: &BTreeSet<&str>, policy: &Policy) {
        let targets = resolve(originals, &self.next, policy);
        let mut candidates: BTreeMap<&str, Candidate<'_>> = BTreeMap::new();
        let mut bases: HashMap<&str, String> = HashMap::new();
        for (original, target) in targets {
            if target.main == Home::Absent && original.len() <= MAX_ORIGINAL_BYTES {
                candidates.insert(original, Candidate::default());
                bases.insert(original, target.base().to_owned());
            }
        }
        if candidates.is_empty() {
            return;
        }
        for row in rows {
            for (original, value) in values(row) {
                let Some(candidate) = candidates.get_mut(original) else { continue };
                candidate.sample.add(value);
                candidate.records.add(row);
            }
        }
        // Of several new fields, a name goes to the one that is called exactly so.
        let exact = bases.iter().filter(|(original, base)| *original == base);
        let exact: HashSet<String> = exact.map(|(_, base)| base.to_lowercase()).collect();
        candidates.retain(|_, it| it.sample.column(policy.numbers).is_some());
        for original in self.chosen(&candidates) {
            let Some(Candidate { sample, .. }) = candidates.get(original) else { continue };
            if let (Some((ty, role)), Some(base)) =
                (sample.column(policy.numbers), bases.get(original))
            {
                let name = base.to_lowercase();
                let reserved = original != base && exact.contains(&name);
                let reserved = reserved && self.taken.insert(name.clone());
                self.add_inferred(ty, base, original, role);
                if reserved {
                    self.taken.remove(&name);
                }
            }
        }
    }

    /// Adds the siblings that values need and that were never made, within `max_columns`.
    fn add_siblings(&mut self, rows: &[&Row], originals: &BTreeSet<&str>, policy: &Policy) {
        let mut missing: BTreeMap<(&str, Role), (String, RecordCount<'_>)> = BTreeMap::new();
        {
            let targets = resolve(originals, &self.next, policy);
            let columns = &self.next.columns;
            let all = rows.iter().flat_map(|row| values(row).map(move |it| (row, it)));
            for (row, (original, value)) in all {
                let Some(target) = targets.get(original) else { continue };
                if target.needs_no_sibling(value, columns) {
                    continue;
                }
                if let Spot::Missing(role) = target.spot(value, columns)
                    && let Some(kind) = role.kind()
                {
                    let base =
                        || (name::sibling(Target::base(target), kind), RecordCount::default());
                    missing.entry((original, role)).or_insert_with(base).1.add(row);
                }
            }
        }
        for ((original, role), (base, records)) in missing {
            if self.has_room(records.count) && original.len() <= MAX_ORIGINAL_BYTES {
                self.add_inferred(fit::sibling_type(role), &base, original, role);
            }
        }
    }

    /// Returns the fields that get a column, by name: there may be no room for those with the fewest
    /// values.
    fn chosen<'r>(&self, candidates: &BTreeMap<&'r str, Candidate<'_>>) -> BTreeSet<&'r str> {
        let mut by_rows: Vec<(&&str, usize)> =
            candidates.iter().map(|(original, it)| (original, it.records.count)).collect();
        by_rows.sort_by_key(|(original, rows)| (std::cmp::Reverse(*rows), *original));
        let room = |(nth, (original, rows)): (usize, (&&'r str, usize))| {
            let used = self.next.columns.len() + nth;
            (used < self.limit(rows)).then_some(*original)
        };
        by_rows.into_iter().enumerate().filter_map(room).collect()
    }

    fn has_room(&self, rows: usize) -> bool {
        self.next.columns.len() < self.limit(rows)
    }

    /// Returns the number of columns up to which a field of so many rows gets one.
    fn limit(&self, rows: usize) -> usize {
        if rows > 1 { self.max_columns } else { self.limit_of_one.min(self.max_columns) }
    }

    fn add_inferred(&mut self, ty: ColumnType, base: &str, original: &str, role: Role) {
        let name = free_name(base, original, &mut self.taken);
        let original = original.to_owned();
        let owner = Owner { name, id: None, original: original.clone(), role, open: false };
        self.add(ty, original, owner);
    }

    fn add(&mut self, ty: ColumnType, doc: String, owner: Owner) {
        let column = Column { id: NO_ID, name: owner.name.clone(), ty: ty.clone() };
        self.next.columns.push(column);
        self.next.owners.push(owner.clone());
        self.changes.push(Change::Add { ty, doc, owner });
    }

    fn claim(&mut self, name: &str, original: &str) {
        for owner in self.next.owners.iter_mut().filter(|it| it.open && it.name == name) {
            owner.claim(original);
        }
        let (name, original) = (name.to_owned(), original.to_owned());
        self.changes.push(Change::Claim { name, original });
    }

    /// Widens the column at `index`, where that is legal.
    fn widen(&mut self, index: usize, to: ColumnType) {
        if let Some(column) = self.next.columns.get_mut(index)
            && column.ty.widens_to(&to)
        {
            column.ty = to.clone();
            self.changes.push(Change::Widen { id: column.id, to });
        }
    }
}

/// Returns the type, with `zone` with all its times as `timestamptz`.
fn zoned(ty: ColumnType, zone: bool) -> ColumnType {
    match ty {
        ColumnType::Timestamp if zone => ColumnType::Timestamptz,
        ColumnType::List(element) => ColumnType::List(Box::new(zoned(*element, zone))),
        ColumnType::Struct(fields) => ColumnType::Struct(
            fields.into_iter().map(|(name, ty)| (name, zoned(ty, zone))).collect(),
        ),
        ty => ty,
    }
}

#[cfg(test)]
mod support;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
