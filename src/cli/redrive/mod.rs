//! `lakeward redrive`: here what is in quarantine, in [`failed`] what Lambda has given up, in [`dlq`]
//! what a queue has.

pub(super) mod dlq;
pub(super) mod failed;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::args::How;
use crate::cli::print::counted;
use crate::cli::{Failure, Summary, Terminal, no_such_table, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{App, End};
use crate::quarantine;
use crate::record::{Lineage, Op, Row};
use crate::recovery;
use crate::route::{Pattern, Route, Target};
use crate::store::Lake;
use crate::store::inspect::ReadRows;
use crate::table::{Cell, ColumnType, lineage};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// Most records of one event, and most of their bytes: as large as Lambda's own.
const MOST_RECORDS: usize = 10_000;
const MOST_BYTES: usize = 6 * 1024 * 1024;

/// Which records are sent on.
#[derive(Debug)]
pub(super) struct Which {
    /// The table that they are for; `None` for whatever it is.
    table: Option<TableName>,
    /// Columns, and what their text must match.
    conditions: Vec<(String, Pattern)>,
}

impl Which {
    /// Reads the arguments.
    pub(super) fn new(
        config: &Config,
        table: Option<TableName>,
        conditions: &[String],
    ) -> Result<Self, Failure> {
        if let Some(table) = &table
            && !config.routes.iter().any(|it| fills(it, table))
        {
            return Err(Failure::Use(format!("no route of the config fills {table}")));
        }
        let conditions = conditions.iter().map(|text| match text.split_once('=') {
            Some((column, pattern)) => Ok((column.trim().to_owned(), Pattern::new(pattern.trim()))),
            None => Err(Failure::Use(format!(
                "--where takes COLUMN=TEXT, such as reason=no_json, not `{text}`"
            ))),
        });
        Ok(Self { table, conditions: conditions.collect::<Result<_, _>>()? })
    }

    fn takes(&self, row: &Quarantined<'_>, routes: &[Route]) -> bool {
        self.table.as_ref().is_none_or(|table| is_for(row, table, routes))
            && self
                .conditions
                .iter()
                .all(|(column, pattern)| row.shown(column).is_some_and(|it| pattern.matches(&it)))
    }
}

fn fills(route: &Route, table: &TableName) -> bool {
    match &route.target {
        Target::Table(it) => it == table,
        Target::Tables(template, _) => template.makes(table),
        Target::Drop => false,
    }
}

/// Whether a row was meant for a table, as far as anybody knows: the route that it names fills it.
/// Where it names none that fills a table today, it is whether another route of its source does.
fn is_for(row: &Quarantined<'_>, table: &TableName, routes: &[Route]) -> bool {
    let named = row.text("route").and_then(|name| routes.iter().find(|it| it.name == name));
    if let Some(named) = named.filter(|it| it.target != Target::Drop) {
        return fills(named, table);
    }
    let arns = [row.record().map(arn).unwrap_or_default(), row.name().0];
    let of_source = |route: &Route| arns.iter().any(|it| route.source.matches(it));
    routes.iter().any(|it| fills(it, table) && of_source(it))
}

/// A row of quarantine.
struct Quarantined<'a> {
    columns: &'a HashMap<&'a str, Place<'a>>,
    cells: &'a [Cell],
}

/// Where a column is among the cells, and its type.
type Place<'a> = (usize, &'a ColumnType);

impl Quarantined<'_> {
    fn cell(&self, column: &str) -> Option<&Cell> {
        self.cells.get(self.columns.get(column)?.0)
    }

    /// A value as `lakeward show` prints it; none of what is null.
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

    /// What names it.
    fn name(&self) -> (String, String) {
        let text = |name: &str| self.text(name).unwrap_or_default().to_owned();
        (text(lineage::SOURCE), text(lineage::ID))
    }

    /// The record as it was delivered; `None` where quarantine keeps no payload.
    fn record(&self) -> Option<&[u8]> {
        match (self.text("record"), self.cell("record_binary")) {
            (Some(text), _) => Some(text.as_bytes()),
            (None, Some(Cell::Binary(bytes))) => Some(bytes),
            _ => None,
        }
    }

    fn lineage(&self) -> Lineage {
        let (source, id) = self.name();
        let text = |name: &str| self.text(name).map(str::to_owned);
        Lineage {
            id,
            source,
            shard: text(lineage::SHARD),
            key: None,
            position: text(lineage::POSITION),
            op: Op::Event,
            deleted_by: None,
            event_at: None,
            arrived_at: match self.cell(lineage::ARRIVED_AT) {
                Some(Cell::Micros(micros)) => Timestamp::from_micros(*micros),
                _ => None,
            },
            digest: None,
            moved: false,
            id_window: None,
            before: None,
        }
    }
}

/// What became of the records.
#[derive(Debug, Default, serde::Serialize)]
struct Counts {
    /// Rows of quarantine that were asked for.
    asked: u64,
    /// Of these, what had landed before.
    resolved_before: u64,
    /// What has landed now.
    resolved: u64,
    /// What today's config drops or filters; it is not marked.
    left_out: u64,
    /// What is no row today either, or could not be written.
    unresolved: u64,
    /// What can't be decoded again, because its payload was not kept.
    not_kept: u64,
}

/// Sends the records on, and prints what became of them.
pub(super) async fn run(
    config: Config,
    which: &Which,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = open(config, how)?;
    let name = TableName::quarantine();
    let lake = app.lake_of(&name);
    let Some(rows) = lake.newest(&name, usize::MAX).await? else {
        return Err(no_such_table(lake, &name).await);
    };
    let columns = places(&rows);
    if let Some((unknown, _)) =
        which.conditions.iter().find(|(column, _)| !columns.contains_key(column.as_str()))
    {
        let known: BTreeSet<&&str> = columns.keys().collect();
        return Err(Failure::Use(format!(
            "--where: quarantine has no column `{unknown}`; it has {}",
            known.into_iter().copied().collect::<Vec<_>>().join(", ")
        )));
    }

    let settled = settled(lake).await?;
    let (mut counts, mut summary) = (Counts::default(), Summary::default());
    let mut events: BTreeMap<String, Vec<Quarantined<'_>>> = BTreeMap::new();
    let all = rows.rows.iter().map(|cells| Quarantined { columns: &columns, cells });
    for row in all.filter(|it| which.takes(it, &app.config.routes)) {
        grow(&mut counts.asked);
        match row.record() {
            _ if settled.contains(&row.name()) => grow(&mut counts.resolved_before),
            None => grow(&mut counts.not_kept),
            Some(record) => events.entry(arn(record)).or_default().push(row),
        }
    }
    for (arn, rows) in events {
        for batch in batches(rows) {
            handle(&app, &arn, &batch, &mut counts, &mut summary).await?;
        }
    }
    print(&counts, &summary, &app.config, how, terminal)
}

/// The app that redrives: people asked for these very records, so no share of them is too many.
fn open(mut config: Config, how: &How) -> Result<App, Failure> {
    config.quarantine.reject_limit = 1.0;
    Ok(if how.dry_run { replay::pretend(config)? } else { App::open(config)? })
}

/// What `--json` prints: what became of the records, and what a command has to say besides.
fn said(summary: &Summary, how: &How, more: &[(&str, Value)]) -> Value {
    let mut said = summary.json(how.dry_run);
    if let Some(object) = said.as_object_mut() {
        object.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }
    said
}

fn places(rows: &ReadRows) -> HashMap<&str, Place<'_>> {
    rows.columns.iter().enumerate().map(|(at, (name, ty))| (name.as_str(), (at, ty))).collect()
}

/// Source and id of what is marked as resolved.
async fn settled(lake: &Lake) -> Result<BTreeSet<(String, String)>, Failure> {
    let Some(rows) = lake.newest(&TableName::resolved(), usize::MAX).await? else {
        return Ok(BTreeSet::new());
    };
    let columns = places(&rows);
    let marks = rows.rows.iter().map(|cells| Quarantined { columns: &columns, cells }.name());
    Ok(marks.collect())
}

/// The ARN that a record names; none of one that is too broken to tell.
fn arn(record: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "eventSourceARN")]
        arn: String,
    }
    serde_json::from_slice::<Named>(record).map(|it| it.arn).unwrap_or_default()
}

/// Batches as large as Lambda's, oldest first.
fn batches(mut rows: Vec<Quarantined<'_>>) -> Vec<Vec<Quarantined<'_>>> {
    rows.reverse();
    let (mut batches, mut bytes): (Vec<Vec<Quarantined<'_>>>, usize) = (Vec::new(), 0);
    for row in rows {
        let size = row.record().map_or(0, <[u8]>::len);
        bytes = bytes.saturating_add(size);
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST_RECORDS && bytes <= MOST_BYTES => batch.push(row),
            _ => {
                bytes = size;
                batches.push(vec![row]);
            }
        }
    }
    batches
}

async fn handle(
    app: &App,
    arn: &str,
    batch: &[Quarantined<'_>],
    counts: &mut Counts,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let records: Vec<&[u8]> = batch.iter().filter_map(Quarantined::record).collect();
    let event = recovery::event_of(&records);
    let place = if arn.is_empty() { "records that name no source" } else { arn };
    let whole = recovery::whole(app, &event, &Deadline::none()).await;
    let mut marks = Vec::new();
    for (at, row) in batch.iter().enumerate() {
        match whole.ends.get(at) {
            Some(End::Landed) => {
                grow(&mut counts.resolved);
                let reason = row.text("reason").unwrap_or_default();
                let hash = &app.config.lake.config_hash;
                marks.push(quarantine::resolved(row.lineage(), reason, hash));
            }
            Some(End::LeftOut) => grow(&mut counts.left_out),
            _ => grow(&mut counts.unresolved),
        }
    }
    for handled in &whole.handled {
        summary.add(place, &handled.report, &app.config.routes);
    }
    if let Some(error) = &whole.error {
        summary.trouble(place, &error.to_string(), "they stay in quarantine");
    }
    mark(app, marks).await
}

/// Marks records once they have landed, so that a crash in between only has them looked at again.
async fn mark(app: &App, marks: Vec<Row>) -> Result<(), Failure> {
    if marks.is_empty() {
        return Ok(());
    }
    let name = TableName::resolved();
    let zoned = app.config.undeclared.zoned;
    let policy = crate::table::layout::Policy { zoned, ..quarantine::resolved_policy() };
    app.lake_of(&name).land(&name, &policy, marks, &Deadline::none()).await?;
    Ok(())
}

fn print(
    counts: &Counts,
    summary: &Summary,
    config: &Config,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let out = &mut *terminal.out;
    if how.json {
        writeln!(out, "{}", said(summary, how, &[("redrive", json!(counts))]))?;
    } else {
        if counts.resolved > 0 || counts.left_out > 0 || counts.unresolved > 0 {
            summary.print(&terminal.program, &replay::places(config), how.dry_run, out)?;
            writeln!(out)?;
        }
        let resolved = if how.dry_run { "would be resolved" } else { "resolved now" };
        writeln!(out, "{} of quarantine:", counted(counts.asked, "record"))?;
        for (count, what) in [
            (counts.resolved, format!("{resolved}: where today's config sends them")),
            (
                counts.left_out,
                "stay in quarantine: today's config drops or filters them".to_owned(),
            ),
            (counts.resolved_before, "resolved before".to_owned()),
            (counts.unresolved, "stay in quarantine".to_owned()),
            (counts.not_kept, "can't be decoded again: their payload was not kept".to_owned()),
        ] {
            if count > 0 {
                writeln!(out, "{count:9} {what}")?;
            }
        }
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}

fn grow(count: &mut u64) {
    *count = count.saturating_add(1);
}
