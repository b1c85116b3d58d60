//! The end of a replay or a redrive: no row stays pending.

use crate::cli::summary::Summary;
use crate::cli::trouble::{REPAIR_AND_RETRY, Trouble};
use crate::deadline::Deadline;
use crate::handler::{self, App};
use crate::table_name::TableName;

/// Lands the pending rows of the tables of a summary: those of this process, and of others. It may be the
/// last one that writes to them.
pub(super) async fn sweep(app: &App, summary: &mut Summary) {
    // Quarantine last: tables may refuse rows.
    let quarantine = TableName::quarantine();
    let mut tables = summary.tables();
    tables.retain(|it| *it != quarantine);
    tables.push(quarantine);
    for table in tables {
        match handler::sweep(app, app.lake_of(&table), &table, &Deadline::none()).await {
            Ok(report) => summary.swept(&table, &report),
            Err(error) => {
                let trouble = Trouble::new(table.to_string(), error.to_string(), REPAIR_AND_RETRY);
                summary.add_trouble(trouble);
            }
        }
    }
}
