//! Support for the tests of this module: rows by hand, and a table that grows like one in a store.

use std::fmt::Write as _;

use super::*;
use crate::number::Number;
use crate::record::Lineage;
use crate::table::layout::DeclaredColumn;
use crate::value::Set;

/// A number.
pub(super) fn n(literal: &str) -> Value {
    Value::Number(Number::parse(literal).unwrap())
}

/// A text.
pub(super) fn t(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A set of numbers.
pub(super) fn ns(items: &[&str]) -> Value {
    Value::Set(Set::Number(items.iter().map(|it| Number::parse(it).unwrap()).collect()))
}

/// A row of these fields.
pub(super) fn row<S: AsRef<str>>(fields: &[(S, Value)]) -> Row {
    let lineage = Lineage { position: Some("0".repeat(60)), ..Lineage::new("arn", "1") };
    let fields = fields.iter().map(|(name, value)| (name.as_ref().to_owned(), value.clone()));
    Row { lineage, fields: fields.collect() }
}

/// A policy of these declared columns.
pub(super) fn declare(columns: &[(&str, &str)]) -> Policy {
    let columns = columns.iter().map(|(name, ty)| DeclaredColumn {
        name: (*name).to_owned(),
        ty: ty.parse().unwrap(),
        doc: None,
    });
    Policy { columns: columns.collect(), max_columns: 200, ..Policy::default() }
}

/// A table that grows like one in a store: ids from 100 on, names unique ignoring case.
#[derive(Debug, Default)]
pub(super) struct Lake {
    pub(super) layout: Layout,
    ids: i32,
}

impl Lake {
    pub(super) fn new_id(&mut self) -> i32 {
        self.ids += 1;
        99 + self.ids
    }

    /// Makes the changes, and fails where a store would fail.
    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Add { ty, owner, .. } => {
                    let id = self.new_id();
                    let owner = Owner { id: Some(id), ..owner.clone() };
                    self.add(id, &owner.name, ty.clone());
                    self.layout.owners.push(owner);
                }
                Change::Claim { name, original } => {
                    for owner in
                        self.layout.owners.iter_mut().filter(|it| it.open && it.name == *name)
                    {
                        owner.claim(original);
                    }
                }
                Change::Before => {}
                Change::Widen { id, to } => {
                    let column = self.layout.columns.iter_mut().find(|it| it.id == *id);
                    column.expect("a widened column exists").ty = to.clone();
                }
            }
        }
    }

    /// Adds a column without an owner.
    pub(super) fn add(&mut self, id: i32, name: &str, ty: ColumnType) {
        assert!(self.position(name).is_none(), "{name} is there already");
        self.layout.columns.push(Column { id, name: name.to_owned(), ty });
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.layout.columns.iter().position(|it| it.name.to_lowercase() == name.to_lowercase())
    }

    /// Lands a batch and prints each row: `name=cell` of each column, `+` and the rest.
    pub(super) fn land(&mut self, rows: &[Row], policy: &Policy) -> Vec<String> {
        let limit = limit_of_one_record(&self.layout, policy);
        let needed = changes(rows, &self.layout, policy, limit);
        self.apply(&needed);
        assert_eq!(changes(rows, &self.layout, policy, limit), [], "no second change is needed");
        let placed = place(rows, &self.layout, policy);
        (0..rows.len()).map(|row| self.printed(&placed, row)).collect()
    }

    fn printed(&self, placed: &Placement, row: usize) -> String {
        let mut out = String::new();
        for (column, cells) in &placed.columns {
            let column = &self.layout.columns[*column];
            if cells[row] != Cell::Null {
                write!(out, "{}=", column.name).unwrap();
                cells[row].write_json(&column.ty, &mut out);
                out.push(' ');
            }
        }
        if let Some(extra) = &placed.extra[row] {
            write!(out, "+{extra}").unwrap();
        }
        out.trim_end().to_owned()
    }

    /// Prints `name: type` of each column.
    pub(super) fn columns(&self) -> Vec<String> {
        self.layout.columns.iter().map(|it| format!("{}: {}", it.name, it.ty)).collect()
    }

    /// Lands rows of one field each.
    pub(super) fn land_field(
        &mut self,
        original: &str,
        values: &[Value],
        policy: &Policy,
    ) -> Vec<String> {
        let rows: Vec<Row> = values.iter().map(|it| row(&[(original, it.clone())])).collect();
        self.land(&rows, policy)
    }

    pub(super) fn drop_column(&mut self, name: &str) {
        let index = self.position(name).unwrap();
        self.layout.columns.remove(index);
    }
}
