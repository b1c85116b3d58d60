//! Sweeps the pending rows of a table: what it does not take goes to quarantine.

use crate::deadline::Deadline;
use crate::handler::app::App;
use crate::quarantine;
use crate::store::{Lake, StoreError, SweepReport, TakenReport};
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// Lands the pending rows that a table of a lake has now, for as long as there is time.
///
/// # Errors
/// If they can't be read, or the table or quarantine can't be written. What has not landed stays.
pub async fn sweep(
    app: &App,
    lake: &Lake,
    table: &TableName,
    deadline: &Deadline,
) -> Result<SweepReport, StoreError> {
    let (policy, mut sum) = (policy(app, table), TakenReport::default());
    let mut sweep = lake.begin_sweep(table).await?;
    while let Some(mut taken) = sweep.next(&policy, deadline).await? {
        let unsettled = std::mem::take(&mut taken.unsettled);
        if !unsettled.is_empty() {
            let name = TableName::quarantine();
            let of_quarantine = self::policy(app, &name);
            let rows = taken.refused.clone();
            app.lake_of(&name).land(&name, &of_quarantine, rows, deadline).await?;
            lake.settle(table, &unsettled).await;
        }
        // Their records are counted by their reasons, and not kept.
        taken.refused.iter_mut().for_each(quarantine::forget_record);
        taken.settled.clear();
        sum.add(taken);
    }
    Ok(sweep.end(sum))
}

/// Returns the policy of a table, whoever writes to it.
fn policy(app: &App, table: &TableName) -> Policy {
    let zoned = app.config.undeclared.zoned;
    if *table == TableName::quarantine() {
        Policy { zoned, ..quarantine::policy() }
    } else if *table == TableName::resolved() {
        Policy { zoned, ..quarantine::resolved_policy() }
    } else if table.is_own() {
        Policy { zoned, ..Policy::default() }
    } else {
        app.config.policy(table).clone()
    }
}
