//! Sweeps the pending rows of a table: what it does not take goes to quarantine.

use crate::deadline::Deadline;
use crate::handler::app::App;
use crate::quarantine;
use crate::store::{StoreError, SweepReport};
use crate::table::layout::Policy;
use crate::table_name::TableName;

/// Lands the pending rows that a table has now, for as long as there is time.
///
/// # Errors
/// If they can't be read, or the table or quarantine can't be written. What has not landed stays.
pub async fn sweep(
    app: &App,
    table: &TableName,
    deadline: &Deadline,
) -> Result<SweepReport, StoreError> {
    let lake = app.lake_of(table);
    let mut report = lake.sweep(table, &policy(app, table), deadline).await?;
    let unsettled = std::mem::take(&mut report.taken.unsettled);
    if !unsettled.is_empty() {
        let name = TableName::quarantine();
        let rows = report.taken.refused.clone();
        app.lake_of(&name).land(&name, &policy(app, &name), rows, deadline).await?;
        lake.settle(table, &unsettled).await;
    }
    Ok(report)
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
