//! Sweeps pending rows into their table, when no writer may come that takes them along.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

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

/// Commits in vain, because others were faster, before the rest is left to them.
const MAX_IN_VAIN: u32 = 32;

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

impl SweepReport {
    /// Returns the report of a sweep that was not done.
    pub fn of_waiting(PendingState { rows: waiting, oldest, .. }: PendingState) -> Self {
        Self { waiting, oldest, ..Self::default() }
    }
}

/// A sweep of the pending rows that a table had when it began, a commit at a time.
#[derive(Debug)]
pub struct Sweep {
    table: Arc<Table>,
    /// Objects that are not done with, the oldest first.
    open: Vec<(ObjectName, ListedObject)>,
    /// Objects that can't be taken now.
    stay: Vec<(ObjectName, ListedObject)>,
    in_vain: u32,
}

impl Sweep {
    /// Lists the pending rows.
    ///
    /// # Errors
    /// If they can't be listed.
    pub async fn begin(table: Arc<Table>) -> Result<Self, StoreError> {
        let open = match &table.pending {
            Some(pending) => pending.list().await?.objects,
            None => Vec::new(),
        };
        Ok(Self { table, open, stay: Vec::new(), in_vain: 0 })
    }

    /// Lands as many rows as one commit takes along; `None` at the end of the rows, or of the time. Quarantine
    /// what the table refuses before the next commit.
    ///
    /// # Errors
    /// If the table can't be read or written.
    pub async fn next(
        &mut self,
        policy: &Policy,
        deadline: &Deadline,
    ) -> Result<Option<TakenReport>, StoreError> {
        let table = Arc::clone(&self.table);
        let Some(pending) = &table.pending else { return Ok(None) };
        while !self.open.is_empty() && !deadline.passed() && self.in_vain < MAX_IN_VAIN {
            let taken = pending.take(&self.open, deadline).await;
            self.drop_all(&taken.gone);
            let failed: HashSet<&str> = taken.failed.iter().map(String::as_str).collect();
            let is_lost = |it: &str| pending.is_unreadable(it) || failed.contains(it);
            let (stay, open) = std::mem::take(&mut self.open)
                .into_iter()
                .partition(|(_, it)| is_lost(&it.location));
            self.open = open;
            self.stay.extend::<Vec<_>>(stay);
            if taken.objects.is_empty() {
                if taken.gone.is_empty() && taken.failed.is_empty() {
                    // Nothing of what is left can be taken by this process.
                    self.stay.append(&mut self.open);
                }
                continue;
            }
            let (landed, _) = Commit::of_pending(&table, policy, taken).run(deadline).await?;
            let report = landed.taken;
            self.drop_all(&report.settled);
            self.drop_all(&report.unsettled);
            if report.settled.is_empty() && report.unsettled.is_empty() {
                self.in_vain += 1;
                pause(self.in_vain).await;
            }
            if report != TakenReport::default() {
                return Ok(Some(report));
            }
        }
        Ok(None)
    }

    fn drop_all(&mut self, locations: &[String]) {
        let locations: HashSet<&String> = locations.iter().collect();
        self.open.retain(|(_, it)| !locations.contains(&it.location));
    }

    /// Ends the sweep, which has taken these rows.
    pub fn end(mut self, taken: TakenReport) -> SweepReport {
        self.stay.append(&mut self.open);
        let table = &self.table;
        let is_unreadable =
            |it: &str| table.pending.as_ref().is_some_and(|pending| pending.is_unreadable(it));
        let unreadable = self.stay.iter().filter(|(_, it)| is_unreadable(&it.location));
        let unreadable = count(unreadable.count());
        let PendingState { rows: waiting, oldest, .. } = state_of(table, &self.stay);
        SweepReport { taken, waiting, oldest, unreadable }
    }
}

/// Returns the pending rows of a table.
///
/// # Errors
/// If they can't be listed.
pub async fn state(table: &Table) -> Result<PendingState, StoreError> {
    let Some(pending) = &table.pending else { return Ok(PendingState::default()) };
    Ok(state_of(table, &pending.list().await?.objects))
}

fn state_of(table: &Table, objects: &[(ObjectName, ListedObject)]) -> PendingState {
    let oldest = objects.iter().map(|(_, it)| it.modified).min();
    PendingState {
        objects: count(objects.len()),
        rows: objects.iter().map(|(name, _)| name.rows).fold(0, u64::saturating_add),
        oldest: oldest.map(|it| table.clock.now().duration_since(it).unwrap_or_default()),
    }
}
