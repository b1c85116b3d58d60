//! Conditions that must hold, whatever went wrong. The names I1 to I12 are those of `tests/FAULTS.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lakeward::store::Lake;
use lakeward::store::pending::object;
use lakeward::table::Cell;
use serde_json::Value;

use super::function::LAKE;
use super::neighbour;
use super::records::{Fate, Record, Source};
use super::world::World;
use crate::support::compare::{Object, exact};
use crate::support::store::Memory;

const RECEIVED: &str = "/attributes/ApproximateReceiveCount";
const QUARANTINE: &str = "lakeward.quarantine";

/// Rows of every table.
pub type Tables = BTreeMap<String, Vec<Object>>;

/// Reads all tables as a reader does that knows nothing of what is under way.
pub async fn read_all(world: &World, memory: &Arc<Memory>) -> Result<Tables, String> {
    let files = Arc::clone(memory);
    let lake = Lake::with(files, LAKE.to_owned(), "reader".to_owned(), world.clock());
    let mut tables = Tables::new();
    for name in lake.tables().await.map_err(|it| it.to_string())? {
        let read = lake.all_rows(&name).await.map_err(|it| it.to_string())?;
        let Some(read) = read else { continue };
        let row = |cells: &Vec<Cell>| {
            let cells = read.columns.iter().zip(cells).filter_map(|((name, ty), cell)| {
                let mut text = String::new();
                Cell::write_json(cell, ty, &mut text);
                let value: Value = exact(&text).ok()?;
                (!value.is_null()).then(|| (name.clone(), value))
            });
            cells.collect::<Object>()
        };
        let rows = read.rows.iter().map(row);
        let is_known =
            |row: &Object| row.get("_lw_source").is_none_or(|it| it != neighbour::SOURCE);
        tables.insert(name.to_string(), rows.filter(is_known).collect());
    }
    Ok(tables)
}

/// Where each record is: by source, id, and whether the sender gave the id, the tables that hold it, one
/// entry for each row.
type Places<'a> = BTreeMap<(&'a str, &'a str, bool), Vec<(&'a str, &'a Object)>>;

fn places(tables: &Tables) -> Places<'_> {
    let mut places = Places::new();
    for (table, rows) in tables {
        for row in rows {
            let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
            let is_claimed = row.contains_key("_lw_digest");
            let place = (text("_lw_source"), text("_lw_id"), is_claimed);
            let place = places.entry(place).or_default();
            place.push((table, row));
        }
    }
    places
}

/// I2 and I6, at any moment: each record once, and nothing that was there is gone.
pub fn at_any_time(tables: &Tables, seen: &mut BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut now = BTreeSet::new();
    for ((source, id, is_claimed), found) in places(tables) {
        if found.len() > 1 {
            problems.push(format!("I2: {id} of {source} is there {} times", found.len()));
        }
        now.insert(format!("{source} {id} {is_claimed}"));
    }
    problems.extend(seen.difference(&now).map(|it| format!("I6: {it} has vanished")));
    *seen = now;
    problems
}

/// Source, id, and whether the sender gave the id, of all pending rows.
pub type PendingRows = BTreeSet<(String, String, bool)>;

/// Reads the objects of pending rows.
pub fn pending(memory: &Memory) -> PendingRows {
    let mut found = PendingRows::new();
    for (location, bytes) in memory.objects() {
        let Some((table, _)) = location.split_once("/metadata/pending/") else { continue };
        let name = table.strip_prefix(LAKE).unwrap_or_default().trim_matches('/');
        let name = name.replace('/', ".").parse().unwrap();
        let (rows, _) = object::read(&name, &bytes).unwrap();
        let lineages = rows.into_iter().map(|it| it.row.lineage);
        found.extend(lineages.map(|it| (it.source, it.id, it.digest.is_some())));
    }
    found
}

/// I13: a record that the function has called handled is in a table, in quarantine, or pending.
pub fn of_answered(
    sent: &[Arc<Record>],
    answered: &BTreeSet<u32>,
    tables: &Tables,
    pending: &PendingRows,
) -> Vec<String> {
    let places = places(tables);
    let is_lost = |record: &&Arc<Record>| {
        let (source, id, is_claimed) = place(record);
        let is_due = matches!(record.fate, Fate::Row(_) | Fate::Quarantine);
        is_due
            && answered.contains(&record.n)
            && !places.contains_key(&(source, id, is_claimed))
            && !pending.contains(&(source.to_owned(), id.to_owned(), is_claimed))
    };
    let lost = sent.iter().filter(is_lost);
    lost.map(|it| format!("I13: {:?} {} was answered, and is nowhere", it.source, it.n)).collect()
}

/// I6: engines that follow a hint never see a table go back.
pub fn of_hints(memory: &Memory, seen: &mut BTreeMap<String, u64>) -> Vec<String> {
    let mut problems = Vec::new();
    for (location, bytes) in memory.ending("/version-hint.text") {
        let now = std::str::from_utf8(&bytes).ok().and_then(|it| it.parse().ok());
        let now: u64 = now.unwrap_or_default();
        let before = seen.insert(location.clone(), now).unwrap_or_default();
        if now < before {
            problems.push(format!("I6: the hint went back from {before} to {now}: {location}"));
        }
    }
    problems
}

/// Everything that must hold at the end, when all deliveries are over.
pub fn at_the_end(sent: &[Arc<Record>], given_up: &BTreeSet<u32>, tables: &Tables) -> Vec<String> {
    let mut problems = Vec::new();
    let mut places = places(tables);
    for record in sent {
        let found = places.remove(&place(record)).unwrap_or_default();
        let here: Vec<&str> = found.iter().map(|(table, _)| *table).collect();
        let wanted: &[&str] = match record.fate {
            Fate::Row(table) => &[table],
            Fate::Quarantine => &[QUARANTINE],
            Fate::Nothing | Fate::Returned => &[],
        };
        let may_be_lost = given_up.contains(&record.n);
        if here != wanted && !(may_be_lost && here.is_empty()) {
            let oracle = if here.len() < wanted.len() { "I1" } else { "I2" };
            problems.push(format!(
                "{oracle}: {:?} {} is in {here:?}, not in {wanted:?}",
                record.source, record.n
            ));
        }
        if record.fate == Fate::Returned && !may_be_lost {
            problems.push(format!("I1: {} was deleted, and is nowhere", record.row.id));
        }
        for (table, row) in found {
            problems.extend(of_row(record, table, row));
        }
    }
    problems.extend(
        places.into_keys().map(|(source, id, _)| format!("I2: {id} of {source} was never sent")),
    );
    problems.extend(order(sent, tables));
    problems
}

fn place(record: &Record) -> (&str, &str, bool) {
    (record.row.source, &record.row.id, record.row.is_claimed)
}

fn of_row(record: &Record, table: &str, row: &Object) -> Option<String> {
    if table != QUARANTINE {
        let same = row.get("n").and_then(Value::as_u64) == Some(u64::from(record.n));
        return (!same).then(|| format!("I7: the row of {} holds {:?}", record.n, row.get("n")));
    }
    let mut kept: Option<Value> =
        row.get("record").and_then(|it| serde_json::from_str(it.as_str()?).ok());
    // All that a later delivery changes.
    if let Some(count) = kept.as_mut().and_then(|it| it.pointer_mut(RECEIVED)) {
        *count = "1".into();
    }
    let reason = row.get("reason").and_then(Value::as_str).unwrap_or_default();
    let whole = kept.as_ref() == Some(&record.json) && !reason.is_empty();
    (!whole).then(|| format!("I11: quarantine holds {kept:?} of {}, because {reason}", record.n))
}

/// I7: by `_lw_position`, the newest row of each key is the last that was sent.
fn order(sent: &[Arc<Record>], tables: &Tables) -> Vec<String> {
    // The position of a forged change is its own word.
    let vouched = sent.iter().filter(|it| !it.row.is_claimed);
    let numbers: BTreeMap<(&str, &str, bool), &Record> =
        vouched.map(|it| (place(it), &**it)).collect();
    let mut of_source: BTreeMap<Source, Vec<(&str, u32)>> = BTreeMap::new();
    for (place, found) in places(tables) {
        let Some(record) = numbers.get(&place).filter(|it| it.source.is_ordered()) else {
            continue;
        };
        let position = found[0].1.get("_lw_position").and_then(Value::as_str).unwrap_or_default();
        of_source.entry(record.source).or_default().push((position, record.n));
    }
    let mut problems = Vec::new();
    for (source, mut rows) in of_source {
        rows.sort_unstable();
        if !rows.is_sorted_by_key(|(_, n)| *n) {
            problems.push(format!("I7: positions of {source:?} are not in order"));
        }
    }
    problems
}
