//! Redriving quarantine: its records are decoded again with today's config. Those that land are
//! marked in `lakeward.resolved`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::deadline::Deadline;
use crate::handler::{self, App, Pass};
use crate::outcome::Outcome;
use crate::pattern::Pattern;
use crate::quarantine;
use crate::record::{Lineage, Row};
use crate::route::{Route, Target};
use crate::source::{Event, event};
use crate::store::inspect::ReadRows;
use crate::store::{Lake, StoreError};
use crate::table::layout::Policy;
use crate::table::{Cell, ColumnType, lineage};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// A selection of rows of quarantine.
#[derive(Debug, Default)]
pub struct Selection {
    /// The table that they were meant for; `None` for any.
    pub table: Option<TableName>,
    /// Columns, and the patterns that their text must match.
    pub conditions: Vec<(String, Pattern)>,
}

/// The counts of a redrive of quarantine.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuarantineCounts {
    /// Selected rows.
    pub asked: u64,
    /// Of these, rows that had landed before.
    pub resolved_before: u64,
    /// Rows that have landed now.
    pub resolved: u64,
    /// Rows that today's config drops or filters; they are not marked.
    pub left_out: u64,
    /// Rows that today's config rejects, or that could not be written.
    pub unresolved: u64,
    /// Rows that can't be decoded again, because quarantine did not keep their payload.
    pub not_kept: u64,
}

/// A redrive of quarantine.
#[derive(Debug, Default)]
pub struct QuarantineRedrive {
    /// The counts of its rows.
    pub counts: QuarantineCounts,
    /// The passes, each with the ARN of its source (empty: the records name none).
    pub passes: Vec<(String, Pass)>,
    /// The reasons why some records stay in quarantine, each with their source.
    pub troubles: Vec<(String, String)>,
}

/// An error that keeps quarantine from being redriven.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The lake has no quarantine.
    #[error("the lake has no quarantine")]
    NoTable,
    /// A condition names a column that quarantine does not have.
    #[error("quarantine has no column `{column}`; it has {}", known.join(", "))]
    UnknownColumn {
        /// The column.
        column: String,
        /// The columns that it has.
        known: Vec<String>,
    },
    /// The lake can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decodes the selected rows again and lands them under the ids that they have.
///
/// # Errors
/// If quarantine can't be read, a condition names an unknown column, or a row that has landed can't
/// be marked.
pub async fn redrive(
    app: &App,
    selection: &Selection,
) -> Result<QuarantineRedrive, QuarantineError> {
    let name = TableName::quarantine();
    let lake = app.lake_of(&name);
    let rows = lake.all_rows(&name).await?.ok_or(QuarantineError::NoTable)?;
    let columns = columns(&rows);
    let is_unknown = |it: &&(String, Pattern)| !columns.contains_key(it.0.as_str());
    if let Some((column, _)) = selection.conditions.iter().find(is_unknown) {
        let known: BTreeSet<&str> = columns.keys().copied().collect();
        let known = known.into_iter().map(str::to_owned).collect();
        return Err(QuarantineError::UnknownColumn { column: column.clone(), known });
    }

    let resolved = resolved(lake).await?;
    let mut redrive = QuarantineRedrive::default();
    let counts = &mut redrive.counts;
    let mut by_source: BTreeMap<String, Vec<QuarantineRow<'_>>> = BTreeMap::new();
    // Oldest first.
    let all = rows.rows.iter().rev().map(|cells| QuarantineRow { columns: &columns, cells });
    for row in all.filter(|it| selection.contains(it, &app.config.routes)) {
        counts.asked += 1;
        match row.record() {
            _ if resolved.contains(&row.identity()) => counts.resolved_before += 1,
            None => counts.not_kept += 1,
            Some(record) => by_source.entry(source_of(record)).or_default().push(row),
        }
    }
    for (source, rows) in by_source {
        for batch in event::batches(rows, |it| it.record().map_or(0, <[u8]>::len)) {
            redrive.batch(app, &source, &batch).await?;
        }
    }
    Ok(redrive)
}

impl QuarantineRedrive {
    async fn batch(
        &mut self,
        app: &App,
        source: &str,
        batch: &[QuarantineRow<'_>],
    ) -> Result<(), StoreError> {
        let outcomes = match self.land(app, source, batch).await {
            Ok(outcomes) => outcomes,
            Err(why) => {
                self.troubles.push((source.to_owned(), why));
                Vec::new()
            }
        };
        let mut marks = Vec::new();
        for (at, row) in batch.iter().enumerate() {
            match outcomes.get(at) {
                Some(Outcome::Landed) => {
                    self.counts.resolved += 1;
                    let reason = row.text("reason").unwrap_or_default();
                    let hash = &app.config.lake.config_hash;
                    marks.push(quarantine::resolved(row.lineage(), reason, hash));
                }
                Some(Outcome::LeftOut) => self.counts.left_out += 1,
                // A table may still refuse a pending row.
                Some(
                    Outcome::Pending | Outcome::Quarantined | Outcome::Failed | Outcome::Deferred,
                )
                | None => self.counts.unresolved += 1,
            }
        }
        mark(app, marks).await
    }

    async fn land(
        &mut self,
        app: &App,
        source: &str,
        batch: &[QuarantineRow<'_>],
    ) -> Result<Vec<Outcome>, String> {
        let event = Event::of(batch.iter().filter_map(QuarantineRow::record).collect());
        let event = event.map_err(|error| error.to_string())?;
        let handled = handler::handle(app, &event, &Deadline::none()).await;
        let handled = handled.map_err(|error| error.to_string())?;
        self.passes.extend(handled.passes.into_iter().map(|it| (source.to_owned(), it)));
        Ok(handled.records.iter().map(|it| it.outcome).collect())
    }
}

/// Marks rows as resolved. They have landed before: after a crash in between they are decoded once
/// more, and are duplicates.
async fn mark(app: &App, marks: Vec<Row>) -> Result<(), StoreError> {
    if marks.is_empty() {
        return Ok(());
    }
    let name = TableName::resolved();
    let policy = Policy { zoned: app.config.undeclared.zoned, ..quarantine::resolved_policy() };
    app.lake_of(&name).land(&name, &policy, marks, &Deadline::none()).await?;
    Ok(())
}

impl Selection {
    fn contains(&self, row: &QuarantineRow<'_>, routes: &[Route]) -> bool {
        self.table.as_ref().is_none_or(|table| row.is_for(table, routes))
            && self
                .conditions
                .iter()
                .all(|(column, pattern)| row.shown(column).is_some_and(|it| pattern.matches(&it)))
    }
}

/// A row of quarantine.
struct QuarantineRow<'a> {
    columns: &'a HashMap<&'a str, (usize, &'a ColumnType)>,
    cells: &'a [Cell],
}

impl QuarantineRow<'_> {
    fn cell(&self, column: &str) -> Option<&Cell> {
        self.cells.get(self.columns.get(column)?.0)
    }

    /// Returns a value as `lakeward show` prints it; `None` for null.
    fn shown(&self, column: &str) -> Option<String> {
        let (at, ty) = self.columns.get(column)?;
        let mut json = String::new();
        self.cells.get(*at)?.write_json(ty, &mut json);
        match serde_json::from_str(&json).ok()? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    fn text(&self, column: &str) -> Option<&str> {
        match self.cell(column)? {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the source and the id.
    fn identity(&self) -> (String, String) {
        let text = |name: &str| self.text(name).unwrap_or_default().to_owned();
        (text(lineage::SOURCE), text(lineage::ID))
    }

    /// Returns the record as it was delivered; `None` if quarantine keeps no payload.
    fn record(&self) -> Option<&[u8]> {
        match (self.text("record"), self.cell("record_binary")) {
            (Some(text), _) => Some(text.as_bytes()),
            (None, Some(Cell::Binary(bytes))) => Some(bytes),
            _ => None,
        }
    }

    /// Returns true if the record was meant for a table, as far as can be known: the route that it
    /// names fills the table, or if that route fills none today, another route of its source does.
    fn is_for(&self, table: &TableName, routes: &[Route]) -> bool {
        let route = self.text("route").and_then(|name| routes.iter().find(|it| it.name == name));
        if let Some(route) = route.filter(|it| it.target != Target::Drop) {
            return route.target.fills(table);
        }
        let arns = [self.record().map(source_of).unwrap_or_default(), self.identity().0];
        let of_source = |route: &Route| arns.iter().any(|it| route.source.matches(it));
        routes.iter().any(|it| it.target.fills(table) && of_source(it))
    }

    fn lineage(&self) -> Lineage {
        let (source, id) = self.identity();
        let text = |name: &str| self.text(name).map(str::to_owned);
        Lineage {
            shard: text(lineage::SHARD),
            position: text(lineage::POSITION),
            arrived_at: match self.cell(lineage::ARRIVED_AT) {
                Some(Cell::Micros(micros)) => Timestamp::from_micros(*micros),
                _ => None,
            },
            ..Lineage::new(source, id)
        }
    }
}

/// Returns the index and the type of each column, by name.
fn columns(rows: &ReadRows) -> HashMap<&str, (usize, &ColumnType)> {
    rows.columns.iter().enumerate().map(|(at, (name, ty))| (name.as_str(), (at, ty))).collect()
}

/// Reads the source and the id of each record that is marked as resolved.
async fn resolved(lake: &Lake) -> Result<BTreeSet<(String, String)>, StoreError> {
    let Some(rows) = lake.all_rows(&TableName::resolved()).await? else {
        return Ok(BTreeSet::new());
    };
    let columns = columns(&rows);
    let marks = rows.rows.iter().map(|cells| QuarantineRow { columns: &columns, cells }.identity());
    Ok(marks.collect())
}

/// Returns the ARN of a record's source; empty if the record is too broken.
fn source_of(record: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Sender {
        #[serde(rename = "eventSourceARN")]
        arn: String,
    }
    serde_json::from_slice::<Sender>(record).map(|it| it.arn).unwrap_or_default()
}
