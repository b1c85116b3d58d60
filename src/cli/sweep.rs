//! The end of a replay or a redrive: no row stays pending.

use crate::cli::summary::Summary;
use crate::cli::trouble::{REPAIR_AND_RETRY, Trouble};
use crate::deadline::Deadline;
use crate::handler::{self, App};

/// Lands the pending rows of the tables of a summary: those of this process, and of others. It may be the
/// last one that writes to them.
pub(super) async fn sweep(app: &App, summary: &mut Summary) {
    for table in summary.tables() {
        match handler::sweep(app, &table, &Deadline::none()).await {
            Ok(report) if report.waiting == 0 => summary.swept(&table),
            // The summary shows the rows that wait.
            Ok(_) => {}
            Err(error) => {
                let trouble = Trouble::new(table.to_string(), error.to_string(), REPAIR_AND_RETRY);
                summary.add_trouble(trouble);
            }
        }
    }
}
