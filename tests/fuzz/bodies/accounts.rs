//! Every value of a row is in exactly one place, exactly: its column, a sibling, or `_lw_extra`.

use std::collections::{BTreeMap, HashSet};

use lakeward::json::{self, Json};
use lakeward::name;
use lakeward::record::Row;
use lakeward::table::layout::{Change, Column, Layout, Owner, Policy};
use lakeward::table::place::{changes, limit_of_one_record, place};
use lakeward::table::{Cell, ColumnType, judge};
use lakeward::value::{Set, Value};

use super::exact;

/// Lays a batch out in a table that begins empty, and looks for every value.
pub fn check(rows: &[Row], policy: &Policy) {
    let limit = limit_of_one_record(&Layout::default(), policy);
    let asked = changes(rows, &Layout::default(), policy, limit);
    let reversed: Vec<Row> = rows
        .iter()
        .map(|it| Row { fields: it.fields.iter().rev().cloned().collect(), ..it.clone() })
        .collect();
    assert_eq!(
        changes(&reversed, &Layout::default(), policy, limit),
        asked,
        "names depend on the order"
    );
    let layout = made(&asked);
    assert_eq!(changes(rows, &layout, policy, limit), [], "a second look asks for more");
    let refused: HashSet<usize> =
        judge::judge(rows, &layout, policy).into_iter().map(|(at, _)| at).collect();
    let placed = place(rows, &layout, policy);
    for (at, row) in rows.iter().enumerate().filter(|(at, _)| !refused.contains(at)) {
        let extra = extra(placed.extra[at].as_deref());
        for (original, value) in row.fields.iter().filter(|(_, it)| *it != Value::Null) {
            let owned = placed.columns.iter().filter(|(column, cells)| {
                let id = Some(layout.columns[*column].id);
                let owner = layout.owners.iter().find(|it| it.id == id).unwrap();
                owner.original == *original && cells[at] != Cell::Null
            });
            let homes: Vec<(&ColumnType, &Cell)> =
                owned.map(|(column, cells)| (&layout.columns[*column].ty, &cells[at])).collect();
            let beside = extra.get(original);
            match (&homes[..], beside) {
                ([(ty, cell)], None) => {
                    assert!(same(value, ty, cell, policy), "{value:?} became {cell:?}");
                }
                ([], Some(beside)) => assert_eq!(plain(value), *beside, "in _lw_extra"),
                _ => {
                    panic!("{original:?} has {} columns, and in _lw_extra {beside:?}", homes.len())
                }
            }
        }
        let cells = placed.columns.iter().filter(|(_, cells)| cells[at] != Cell::Null).count();
        let values = row.fields.iter().filter(|(_, it)| *it != Value::Null).count();
        assert_eq!(cells + extra.len(), values, "something is there that was not sent");
    }
}

/// The table that these changes make of an empty one; fails where a store would.
fn made(changes: &[Change]) -> Layout {
    let (mut layout, mut names) = (Layout::default(), HashSet::new());
    for (id, change) in (1..).zip(changes) {
        let (ty, owner) = match change {
            Change::Add { ty, owner, .. } => (ty, owner),
            Change::Before => {
                layout.before = Some(id);
                continue;
            }
            Change::Claim { .. } | Change::Widen { .. } => panic!("there is nothing yet to change"),
        };
        let name = owner.name.as_str();
        assert!(names.insert(name.to_lowercase()), "{name} is there twice");
        assert!(!name.is_empty() && name.len() <= name::MAX_COLUMN_BYTES, "{name}");
        assert!(!name::is_reserved(name), "{name} is reserved");
        layout.columns.push(Column { id, name: name.to_owned(), ty: ty.clone() });
        layout.owners.push(Owner { id: Some(id), ..owner.clone() });
    }
    layout
}

fn extra(text: Option<&str>) -> BTreeMap<String, Value> {
    let Some(text) = text else { return BTreeMap::new() };
    let Ok(Json::Object(members)) = json::parse(text.as_bytes()) else {
        panic!("no object: {text}")
    };
    members.into_iter().map(|(name, it)| (name.into_owned(), Value::from_json(it))).collect()
}

/// A value as JSON text shows it.
fn plain(value: &Value) -> Value {
    let mut text = String::new();
    value.write_json(false, &mut text);
    Value::from_json(json::parse(text.as_bytes()).unwrap())
}

/// Returns true if a cell has the meaning of the value. Declared types may write it otherwise (a
/// time, a UUID), which has tests of its own.
fn same(value: &Value, ty: &ColumnType, cell: &Cell, policy: &Policy) -> bool {
    match (value, cell) {
        (Value::Number(number), Cell::Int(it)) => exact::equal(number.literal(), &it.to_string()),
        (Value::Number(number), Cell::Long(it)) => exact::equal(number.literal(), &it.to_string()),
        (Value::Number(number), Cell::Double(it)) => {
            exact::equal(number.literal(), &format!("{it:e}"))
        }
        (Value::Number(number), Cell::Float(it)) => {
            exact::equal(number.literal(), &format!("{it:e}"))
        }
        (Value::Number(number), Cell::Decimal(it)) => {
            let ColumnType::Decimal { scale, .. } = ty else { return false };
            exact::equal(number.literal(), &format!("{it}e-{scale}"))
        }
        (Value::Number(number), Cell::Text(it)) => exact::equal(number.literal(), it),
        (Value::Bool(value), Cell::Bool(it)) => value == it,
        (Value::Binary(value), Cell::Binary(it)) => value == it,
        (Value::Text(value), Cell::Text(it)) if policy.columns.is_empty() => value == it,
        (Value::Set(Set::Number(values)), Cell::List(cells)) => {
            let ColumnType::List(element) = ty else { return false };
            let values = values.iter().cloned().map(Value::Number);
            values.len() == cells.len()
                && values.zip(cells).all(|(value, cell)| same(&value, element, cell, policy))
        }
        (Value::Set(Set::Text(values)), Cell::List(cells)) => {
            values.len() == cells.len()
                && values.iter().zip(cells).all(|(value, cell)| *cell == Cell::Text(value.clone()))
        }
        (Value::Map(_) | Value::List(_) | Value::Set(_) | Value::Binary(_), Cell::Text(it))
            if policy.columns.is_empty() =>
        {
            json::parse(it.as_bytes()).is_ok_and(|it| Value::from_json(it) == plain(value))
        }
        (Value::Set(Set::Binary(values)), Cell::List(cells)) => values.len() == cells.len(),
        _ => !policy.columns.is_empty(),
    }
}
