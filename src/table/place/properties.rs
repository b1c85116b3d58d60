//! With any records and any changes to the table by others: nothing is lost, nothing is in two
//! places, and no schema change fails.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;

use super::support::{Lake, declare, n, ns, row, t};
use super::*;
use crate::name::Names;
use crate::number::Number;
use crate::table::declared::json_text;
use crate::table::layout::Numbers;
use crate::value::Set;

/// Names that clash with each other, with siblings, and with reserved names.
const NAMES: [&str; 16] = [
    "a",
    "A",
    "a__double",
    "a__text",
    "A__double",
    "price",
    "Price",
    "price__json",
    "createdAt",
    "created_at",
    "CreatedAt",
    "_lw_id",
    "pos",
    "",
    "é",
    "日本",
];

#[derive(Debug, Clone)]
enum Edit {
    Drop(usize),
    Rename(usize, &'static str),
    Add(&'static str, ColumnType),
    Retype(usize, ColumnType),
}

fn number() -> impl Strategy<Value = Value> {
    let fixed = select(vec![
        "0",
        "-0",
        "1",
        "1.0",
        "20",
        "19.99",
        "-7.5e-3",
        "9007199254740993",
        "1E-130",
        "1e200",
        "9223372036854775807",
        "9223372036854775808",
        "12345678901234567890.123456789",
        "0.1234567890123456789",
        "1e999999999",
        "1500.5",
    ]);
    prop_oneof![
        fixed.prop_map(n),
        any::<i64>().prop_map(|it| n(&it.to_string())),
        "-?[0-9]{1,30}(\\.[0-9]{1,20})?".prop_map(|it| n(&it)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        4 => number(),
        2 => ".{0,3}".prop_map(|it| t(&it)),
        1 => select(vec!["1500", "true", "2026-11-23"]).prop_map(t),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<[u8; 2]>().prop_map(|it| Value::Binary(it.to_vec())),
        1 => select(vec![vec![], vec!["1"], vec!["1.5"], vec!["9007199254740993"]])
            .prop_map(|it| ns(&it)),
        1 => select(vec![vec![], vec!["x"]])
            .prop_map(|it: Vec<&str>| Value::Set(Set::Text(it.into_iter().map(str::to_owned).collect()))),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            inner.prop_map(|it| Value::Map(vec![("k".to_owned(), it)])),
        ]
    })
}

fn batch() -> impl Strategy<Value = Vec<Row>> {
    let fields = proptest::collection::btree_map(select(NAMES.to_vec()), value(), 0..6);
    let row = fields.prop_map(|fields| row(&fields.into_iter().collect::<Vec<_>>()));
    proptest::collection::vec(row, 0..6)
}

fn stored_type() -> impl Strategy<Value = ColumnType> {
    select(vec![
        ColumnType::Long,
        ColumnType::Int,
        ColumnType::Double,
        ColumnType::Decimal { precision: 10, scale: 2 },
        ColumnType::String,
        ColumnType::Timestamptz,
        ColumnType::List(Box::new(ColumnType::String)),
        ColumnType::Struct(vec![("k".to_owned(), ColumnType::Long)]),
        ColumnType::Other("time".to_owned()),
    ])
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || select(NAMES.to_vec());
    prop_oneof![
        (0_usize..12).prop_map(Edit::Drop),
        (0_usize..12, name()).prop_map(|(index, name)| Edit::Rename(index, name)),
        (name(), stored_type()).prop_map(|(name, ty)| Edit::Add(name, ty)),
        (0_usize..12, stored_type()).prop_map(|(index, ty)| Edit::Retype(index, ty)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let types = select(vec![
        "long",
        "int",
        "double",
        "decimal(12,2)",
        "string",
        "json",
        "list<string>",
        "timestamp(ms)",
        "bool",
        "struct<k: long>",
    ]);
    let columns = proptest::collection::vec((select(NAMES.to_vec()), types), 0..4);
    let names = select(vec![Names::Snake, Names::Lower, Names::Keep]);
    let numbers = select(vec![
        Numbers::Auto,
        Numbers::Double,
        Numbers::Text,
        Numbers::Decimal { precision: 38, scale: 9 },
    ]);
    let new_columns = select(vec![NewColumns::Add, NewColumns::Add, NewColumns::Extra]);
    let rest = (names, numbers, new_columns, any::<bool>());
    (columns, select(vec![0, 3, 8, 200]), rest).prop_map(|(columns, max_columns, rest)| {
        let (names, numbers, new_columns, zoned) = rest;
        Policy { max_columns, names, numbers, new_columns, zoned, ..declare(&columns) }
    })
}

/// Edits a table as someone else does. An edit that an engine would refuse is skipped.
fn meddle(lake: &mut Lake, edit: Edit) {
    let column = |lake: &Lake, index: usize| index < lake.layout.columns.len();
    match edit {
        Edit::Drop(index) if column(lake, index) => {
            lake.layout.columns.remove(index);
        }
        Edit::Rename(index, name) if column(lake, index) && lake.position(name).is_none() => {
            lake.layout.columns[index].name = name.to_owned();
        }
        Edit::Add(name, ty) if lake.position(name).is_none() => {
            let id = lake.new_id();
            lake.add(id, name, ty);
        }
        Edit::Retype(index, ty) if column(lake, index) => lake.layout.columns[index].ty = ty,
        _ => {}
    }
}

/// Returns true if a cell of a column is exactly this value.
fn same(value: &Value, cell: &Cell, ty: &ColumnType) -> bool {
    let equals = |number: &Number, text: String| Number::parse(&text).unwrap() == *number;
    match (value, cell) {
        (Value::Null, Cell::Null) => true,
        (Value::Number(it), Cell::Int(cell)) => equals(it, cell.to_string()),
        (Value::Number(it), Cell::Long(cell)) => equals(it, cell.to_string()),
        (Value::Number(it), Cell::Double(cell)) => equals(it, format!("{cell:?}")),
        (Value::Number(it), Cell::Decimal(cell)) => {
            let ColumnType::Decimal { scale, .. } = ty else { return false };
            equals(it, format!("{cell}e-{scale}"))
        }
        (Value::Number(it), Cell::Micros(cell)) => equals(it, format!("{cell}e-3")),
        (Value::Text(it), Cell::Micros(cell)) => {
            Number::parse(it).unwrap() == Number::parse(&format!("{cell}e-3")).unwrap()
        }
        (Value::Number(it), Cell::Text(cell)) if cell == it.literal() => true,
        (Value::Text(it), Cell::Text(cell)) if cell == it => true,
        (value, Cell::Text(cell)) => *cell == json_text(value),
        (Value::Bool(it), Cell::Bool(cell)) => it == cell,
        (Value::Binary(it), Cell::Binary(cell)) => it == cell,
        (Value::List(items), Cell::List(cells)) => all_same(items.iter().cloned(), cells, ty),
        (Value::Set(Set::Number(items)), Cell::List(cells)) => {
            all_same(items.iter().cloned().map(Value::Number), cells, ty)
        }
        (Value::Set(Set::Text(items)), Cell::List(cells)) => {
            all_same(items.iter().cloned().map(Value::Text), cells, ty)
        }
        (Value::Map(map), Cell::Struct(cells)) => match (map.as_slice(), cells.as_slice()) {
            ([(_, value)], [cell]) => same(value, cell, &ColumnType::Long),
            ([], [Cell::Null]) => true,
            _ => false,
        },
        _ => false,
    }
}

fn all_same(values: impl ExactSizeIterator<Item = Value>, cells: &[Cell], ty: &ColumnType) -> bool {
    let ColumnType::List(element) = ty else { return false };
    values.len() == cells.len() && values.zip(cells).all(|(it, cell)| same(&it, cell, element))
}

/// Returns true if the column was made for this field.
fn owns(layout: &Layout, column: &Column, original: &str) -> bool {
    let made = |it: &&Owner| it.id == Some(column.id) || it.name == column.name.to_lowercase();
    layout.owners.iter().filter(made).any(|it| it.original == original)
}

/// Returns true if a field without an own column may use this one: it is declared, or someone added it.
fn may_use(layout: &Layout, column: &Column, original: &str) -> bool {
    let owner = layout.owners.iter().find(|it| it.id == Some(column.id));
    let name = owner.map_or(&column.name, |it| &it.name);
    [Names::Snake, Names::Lower, Names::Keep]
        .iter()
        .any(|it| name::short(original, *it).to_lowercase() == name.to_lowercase())
}

/// Checks that every value of the batch is in exactly one place, and that no other value exists.
fn check_nothing_lost(rows: &[Row], layout: &Layout, placed: &Placement) {
    let indexes: BTreeSet<usize> = placed.columns.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes.len(), placed.columns.len());
    assert_eq!(placed.extra.len(), rows.len());
    for (index, row) in rows.iter().enumerate() {
        let mut cells: Vec<(&Column, &Cell)> = placed
            .columns
            .iter()
            .map(|(column, cells)| (&layout.columns[*column], &cells[index]))
            .filter(|(_, cell)| **cell != Cell::Null)
            .collect();
        let extra: BTreeMap<String, Box<RawValue>> = match &placed.extra[index] {
            Some(extra) => serde_json::from_str(extra).unwrap(),
            None => BTreeMap::new(),
        };
        let (rest, mut placed_values): (Vec<_>, Vec<_>) =
            values(row).partition(|(original, _)| extra.contains_key(*original));
        for belongs in [owns, may_use] {
            placed_values.retain(|(original, value)| {
                let found = cells.iter().position(|(column, cell)| {
                    belongs(layout, column, original) && same(value, cell, &column.ty)
                });
                found.map(|found| cells.swap_remove(found)).is_none()
            });
        }
        let rest: BTreeMap<&str, &Value> = rest.into_iter().collect();
        assert_eq!(placed_values, [], "values of row {index} that are in no place");
        assert_eq!(cells, [], "a cell that is not a value of row {index}");
        assert_eq!(placed.extra[index], object(&rest), "row {index}");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_no_change_fails(
        steps in proptest::collection::vec((proptest::collection::vec(edit(), 0..3), batch(), policy()), 1..4),
        part in any::<u8>(),
    ) {
        let mut lake = Lake::default();
        for (edits, rows, policy) in steps {
            for edit in edits {
                meddle(&mut lake, edit);
            }
            check_nothing_lost(&rows, &lake.layout, &place(&rows, &lake.layout, &policy));
            let limit = limit_of_one_record(&lake.layout, &policy);
            let asked = changes(&rows, &lake.layout, &policy, limit);
            lake.apply(&asked);
            prop_assert_eq!(changes(&rows, &lake.layout, &policy, limit), vec![]);
            check_nothing_lost(&rows, &lake.layout, &place(&rows, &lake.layout, &policy));

            // Rows that the table holds already are dropped after the schema is agreed on.
            let left: Vec<Row> = rows.iter().enumerate()
                .filter(|(index, _)| part >> (index % 8) & 1 == 1).map(|(_, it)| it.clone()).collect();
            prop_assert_eq!(changes(&left, &lake.layout, &policy, limit), vec![]);
            check_nothing_lost(&left, &lake.layout, &place(&left, &lake.layout, &policy));

            let owned: BTreeSet<_> = lake.layout.owners.iter()
                .map(|it| (it.original.as_str(), it.role.kind())).collect();
            prop_assert_eq!(owned.len(), lake.layout.owners.len());
        }
    }

    #[test]
    fn without_limits_everything_has_a_column(batches in proptest::collection::vec(batch(), 1..4)) {
        let policy = Policy { max_columns: 10_000, ..Policy::default() };
        let mut lake = Lake::default();
        for rows in &batches {
            let asked = changes(rows, &lake.layout, &policy, policy.max_columns);
            lake.apply(&asked);
        }
        for rows in &batches {
            let placed = place(rows, &lake.layout, &policy);
            prop_assert!(placed.extra.iter().all(Option::is_none), "{:?}", placed.extra);
            check_nothing_lost(rows, &lake.layout, &placed);
        }
    }

    #[test]
    fn the_order_within_a_row_does_not_matter(rows in batch(), policy in policy()) {
        let mut turned = rows.clone();
        for row in &mut turned {
            row.fields.reverse();
        }
        let layout = Layout::default();
        let limit = limit_of_one_record(&layout, &policy);
        prop_assert_eq!(changes(&rows, &layout, &policy, limit), changes(&turned, &layout, &policy, limit));
    }

    #[test]
    fn a_lost_race_is_settled_by_the_head(one in batch(), two in batch(), policy in policy()) {
        let mut lake = Lake::default();
        let limit = limit_of_one_record(&lake.layout, &policy);
        let first = changes(&one, &lake.layout, &policy, limit);
        lake.apply(&first);
        // The loser had planned for the empty table; it plans again.
        let second = changes(&two, &lake.layout, &policy, limit);
        lake.apply(&second);
        check_nothing_lost(&one, &lake.layout, &place(&one, &lake.layout, &policy));
        check_nothing_lost(&two, &lake.layout, &place(&two, &lake.layout, &policy));
    }
}
