//! The agreement of a batch and its table on a schema: columns are added by commits of their own, before
//! rows are written.

use uuid::Uuid;

use crate::record::Row;
use crate::store::error::StoreError;
use crate::store::head::{HeadVersion, Swap};
use crate::store::pause::pause;
use crate::store::schema;
use crate::store::table::Table;
use crate::table::layout::{Change, Layout, Policy};
use crate::table::lineage::BEFORE;
use crate::table::place;

/// Swaps of the schema alone before the batch is placed in the existing columns.
const MAX_TRIES: u32 = 32;
/// Swaps of unknown outcome before the commit fails.
const MAX_UNKNOWN_TRIES: u32 = 8;

/// The changes of the schema that a batch needs.
#[derive(Debug, Default)]
pub struct Agreement {
    /// The number of columns up to which one record may add some, as the first head had room.
    limit_of_one_record: Option<usize>,
    /// The number of swaps for one attempt of the rows.
    tries: u32,
    /// The names of the columns that were added.
    pub new_columns: Vec<String>,
}

impl Agreement {
    /// Begins another attempt of the rows.
    pub fn begin(&mut self) {
        self.tries = 0;
    }

    /// Returns true if so many swaps were lost that the rows must do with the columns there are.
    pub fn is_exhausted(&self) -> bool {
        self.tries >= MAX_TRIES
    }

    /// Returns the schema changes that the rows need.
    pub fn changes(&mut self, rows: &[Row], layout: &Layout, policy: &Policy) -> Vec<Change> {
        let limit = self.limit_of_one_record;
        let limit = limit.unwrap_or_else(|| place::limit_of_one_record(layout, policy));
        self.limit_of_one_record = Some(limit);
        place::changes(rows, layout, policy, limit)
    }

    /// Tries to create the table.
    pub async fn create(
        &mut self,
        table: &Table,
        policy: &Policy,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        if self.is_exhausted() {
            let problem = "others create and remove it at the same time; try again later";
            let (table, problem) = (table.name.clone(), problem.to_owned());
            return Err(StoreError::Table { table, problem });
        }
        let commit = Uuid::new_v4().to_string();
        let new = schema::create(table, changes, policy.zoned, &commit)?;
        let swap = table.head.swap(None, &new, &commit).await;
        self.swapped(table, swap, None, &commit, changes).await
    }

    /// Tries to change the schema of a head.
    pub async fn change(
        &mut self,
        table: &Table,
        head: &HeadVersion,
        layout: &Layout,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let commit = Uuid::new_v4().to_string();
        let new = schema::changed(table, head, layout, changes, &commit)?;
        let swap = table.head.swap(Some(head), &new, &commit).await;
        self.swapped(table, swap, Some(head), &commit, changes).await
    }

    /// Notes the outcome of a swap, and pauses where one was lost before.
    async fn swapped(
        &mut self,
        table: &Table,
        swap: Swap,
        base: Option<&HeadVersion>,
        commit: &str,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let gate = table.pending.as_ref().map(|it| &it.gate);
        match swap {
            Swap::Swapped => {
                if let (Some(gate), Some(base)) = (gate, base) {
                    gate.won(base, commit);
                }
                let added = changes.iter().filter_map(|change| match change {
                    Change::Add { owner, .. } => Some(owner.name.clone()),
                    Change::Before => Some(BEFORE.name.to_owned()),
                    Change::Claim { .. } | Change::Widen { .. } => None,
                });
                self.new_columns.extend(added);
            }
            Swap::Conflict => {
                gate.inspect(|it| it.lost());
            }
            Swap::TooOld => {}
            // The next load shows whether it happened.
            Swap::Unknown(_) if self.tries < MAX_UNKNOWN_TRIES => {}
            Swap::Unknown(error) => return Err(error),
        }
        self.tries += 1;
        if self.tries > 1 {
            pause(self.tries).await;
        }
        Ok(())
    }
}
