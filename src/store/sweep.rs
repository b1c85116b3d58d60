//! Sweeps pending rows into their table, when no writer may come that takes them along.

use std::time::{Duration, SystemTime};

use crate::deadline::Deadline;
use crate::number::count;
use crate::store::commit::Commit;
use crate::store::error::StoreError;
use crate::store::files::ListedObject;
use crate::store::land_report::TakenReport;
use crate::store::pause::pause;
use crate::store::pending::object::ObjectName;
use crate::store::table::Table;
use crate::table::layout::Policy;

/// Swaps that may be lost to others before the rest is left to them.
const MAX_LOST: u32 = 32;

/// The report on a sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SweepReport {
    /// The rows that landed, and those that the table does not take.
    pub taken: TakenReport,
    /// The rows that still wait, as the names of their objects tell.
    pub waiting: u64,
    /// The age of the oldest of them, by the clock of the store.
    pub oldest: Option<Duration>,
    /// The objects that can't be read.
    pub unreadable: u64,
}

/// The pending rows of a table, as its listing shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingState {
    /// Their objects.
    pub objects: u64,
    /// Their number.
    pub rows: u64,
    /// The age of the oldest.
    pub oldest: Option<Duration>,
}

/// Lands the pending rows that there are now, the oldest first, for as long as there is time.
///
/// # Errors
/// If they can't be listed, or the table can't be read or written.
pub async fn sweep(
    table: &Table,
    policy: &Policy,
    deadline: &Deadline,
) -> Result<SweepReport, StoreError> {
    let mut report = SweepReport::default();
    let Some(pending) = &table.pending else { return Ok(report) };
    let mut open = pending.list(true).await?.objects;
    let mut stay: Vec<(ObjectName, ListedObject)> = Vec::new();
    let mut lost = 0;
    while !open.is_empty() && !deadline.passed() && lost < MAX_LOST {
        let taken = pending.take(&open, deadline).await;
        report.unreadable += taken.unreadable;
        let locations: Vec<String> = taken.objects.iter().map(|(it, _)| it.clone()).collect();
        if locations.is_empty() {
            // They can't be read, or others have taken them.
            stay.extend(open.drain(..).filter(|(_, it)| pending.is_unreadable(&it.location)));
            break;
        }
        let (landed, _) = Commit::of_pending(table, policy, taken).run(deadline).await?;
        if landed.conflicts > 0 {
            lost += 1;
            pause(lost).await;
            continue;
        }
        report.taken.add(landed.taken);
        open.retain(|(_, it)| !locations.contains(&it.location));
    }
    stay.append(&mut open);
    let state = state_of(table, &stay);
    (report.waiting, report.oldest) = (state.rows, state.oldest);
    Ok(report)
}

/// Returns the pending rows of a table.
///
/// # Errors
/// If they can't be listed.
pub async fn state(table: &Table) -> Result<PendingState, StoreError> {
    let Some(pending) = &table.pending else { return Ok(PendingState::default()) };
    Ok(state_of(table, &pending.list(true).await?.objects))
}

fn state_of(table: &Table, objects: &[(ObjectName, ListedObject)]) -> PendingState {
    let oldest: Option<SystemTime> = objects.iter().map(|(_, it)| it.modified).min();
    PendingState {
        objects: count(objects.len()),
        rows: objects.iter().map(|(name, _)| name.rows).fold(0, u64::saturating_add),
        oldest: oldest.map(|it| table.clock.now().duration_since(it).unwrap_or_default()),
    }
}
