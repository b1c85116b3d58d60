//! The upkeep of the lakes of an app: of all their tables, or of some.

use std::collections::HashMap;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::handler::{self, App};
use crate::store::{Lake, StoreError, SweepReport, UnitReport, UpkeepReport};
use crate::table_name::TableName;

/// The age of pending rows from which on they are trouble: four calls of upkeep have not landed them.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// A table, and the report of its upkeep.
pub type NamedReport = (TableName, UpkeepReport);

/// Does the upkeep of some tables, or of all if none is named, for as long as there is time. `each` hears of
/// every finished unit of work.
///
/// # Errors
/// If the tables can't be listed. Trouble with one table is in its report.
pub async fn upkeep(
    app: &App,
    names: &[TableName],
    deadline: &Deadline,
    mut each: impl FnMut(&TableName, &UnitReport),
) -> Result<Vec<NamedReport>, StoreError> {
    let mut reports = Vec::new();
    let lakes = lakes(app, names).await?;
    let mut sweeps = sweep(app, &lakes, deadline).await;
    for (at, (lake, tables)) in lakes.into_iter().enumerate() {
        let each = |index: usize, unit: &UnitReport| {
            if let Some(name) = tables.get(index) {
                each(name, unit);
            }
        };
        let of_lake = lake.upkeep(&tables, deadline, each).await;
        for (index, (name, mut report)) in tables.into_iter().zip(of_lake).enumerate() {
            match sweeps.remove(&(at, index)) {
                None => report.is_unfinished = true,
                Some(Ok(swept)) => {
                    if let Some(problem) = waiting(&swept) {
                        report.trouble.get_or_insert(problem);
                    }
                    report.sweep = Some(swept);
                }
                Some(Err(error)) => {
                    report.trouble.get_or_insert(error.to_string());
                }
            }
            reports.push((name, report));
        }
    }
    reports.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(reports)
}

/// By the places of a lake and of its table: the sweep of the table.
type Sweeps = HashMap<(usize, usize), Result<SweepReport, StoreError>>;

/// Sweeps the pending rows of all tables, in random order and in the first half of the time: analysts wait
/// for them, and one busy table must not keep upkeep from the others. Without a config it only counts them:
/// the config says which columns their values have.
async fn sweep(app: &App, lakes: &[(&Lake, Vec<TableName>)], deadline: &Deadline) -> Sweeps {
    let deadline = deadline.first_half();
    let places = lakes.iter().enumerate().flat_map(|(at, (lake, tables))| {
        tables.iter().enumerate().map(move |(index, name)| ((at, index), *lake, name))
    });
    let mut places: Vec<_> = places.collect();
    fastrand::shuffle(&mut places);
    let mut sweeps = Sweeps::new();
    for (place, lake, name) in places {
        if deadline.passed() {
            break;
        }
        let swept = match app.config.routes.is_empty() {
            true => lake.pending(name).await.map(SweepReport::of_waiting),
            false => match deadline.wait_for(handler::sweep(app, lake, name, &deadline)).await {
                Some(swept) => swept,
                None => break,
            },
        };
        sweeps.insert(place, swept);
    }
    sweeps
}

/// Returns what is wrong with pending rows that a sweep has not landed.
fn waiting(sweep: &SweepReport) -> Option<String> {
    let SweepReport { waiting, oldest, unreadable, .. } = sweep;
    if *unreadable > 0 {
        return Some(format!(
            "{unreadable} objects of pending rows can't be read; the log names them, and the pages \
             say how to bring their records back"
        ));
    }
    let minutes = oldest.filter(|it| *it > MAX_WAIT)?.as_secs() / 60;
    Some(format!("{waiting} pending rows wait for {minutes} minutes: the table is too busy"))
}

/// Returns what upkeep would do to these tables, or to all.
///
/// # Errors
/// If the tables can't be listed.
pub async fn plan(app: &App, names: &[TableName]) -> Result<Vec<NamedReport>, StoreError> {
    let mut reports = Vec::new();
    for (lake, tables) in lakes(app, names).await? {
        for name in tables {
            let report = lake.plan_upkeep(&name).await.unwrap_or_else(|error| UpkeepReport {
                trouble: Some(error.to_string()),
                ..UpkeepReport::default()
            });
            reports.push((name, report));
        }
    }
    reports.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(reports)
}

/// Returns the lakes of an app, each with its tables among `names`, or with all of its tables.
async fn lakes<'a>(
    app: &'a App,
    names: &[TableName],
) -> Result<Vec<(&'a Lake, Vec<TableName>)>, StoreError> {
    let mut lakes = Vec::new();
    for lake in std::iter::once(&app.lake).chain(&app.quarantine) {
        let tables = if names.is_empty() {
            lake.tables().await?
        } else {
            let is_here = |it: &&TableName| std::ptr::eq(app.lake_of(it), lake);
            names.iter().filter(is_here).cloned().collect()
        };
        lakes.push((lake, tables));
    }
    Ok(lakes)
}
