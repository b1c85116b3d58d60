//! Upkeep: what keeps tables small and quick for years, beside the commits.

use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::store::clean::{CleanReport, clean};
use crate::store::compact::{Compaction, UnitReport};
use crate::store::error::StoreError;
use crate::store::files::Removal;
use crate::store::sweep::{self, SweepReport};
use crate::store::table::Table;

/// The size in bytes of the first unit of a call, and the smallest of any.
const FIRST_UNIT: u64 = 16 * 1024 * 1024;
/// The largest size of a unit. One of this size needs some 300 MB of memory.
const MAX_UNIT: u64 = 128 * 1024 * 1024;
/// A unit takes at most the time that is left divided by this.
const UNITS_LEFT: f64 = 4.0;
/// Units of a table that others made void before the table is left for another call.
const MAX_WASTED: u32 = 3;

/// The work that upkeep did to a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpkeepReport {
    /// The pending rows that landed, and those that still wait; of a plan, those that wait. `None` if they
    /// were not looked for.
    pub sweep: Option<SweepReport>,
    /// The units of compaction that were done.
    pub units: u64,
    /// The files that were joined.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// The bytes of the files that took their place.
    pub bytes_written: u64,
    /// The live files of the table afterwards.
    pub live_files: u64,
    /// The removal of files; `None` if that was done less than a day ago.
    pub cleaned: Option<CleanReport>,
    /// Whether there was no time for all of it.
    pub is_unfinished: bool,
    /// The reason why the table was left.
    pub trouble: Option<String>,
}

impl UpkeepReport {
    fn add(&mut self, unit: UnitReport) {
        self.units += 1;
        self.files += unit.files;
        self.rows += unit.rows;
        self.bytes_read += unit.bytes_read;
        self.bytes_written += unit.bytes_written;
    }
}

/// A table on which upkeep is at work.
struct Open<'a> {
    index: usize,
    compaction: Compaction<'a>,
    wasted: u32,
}

/// Does the upkeep of tables for as long as there is time: a unit of each in turn, in random order, so that
/// no table waits for another one; then it removes what no version names any more. `each` hears of every
/// unit, by the index of its table.
pub async fn upkeep(
    tables: &[&Table],
    removal: Option<&dyn Removal>,
    deadline: &Deadline,
    each: impl FnMut(usize, &UnitReport),
) -> Vec<UpkeepReport> {
    let mut reports = compact(tables, deadline, each).await;
    let Some(removal) = removal else { return reports };
    let mut order: Vec<_> = tables.iter().zip(&mut reports).collect();
    fastrand::shuffle(&mut order);
    for (table, report) in order {
        let cleaned = match deadline.passed() {
            true => None,
            false => deadline.wait_for(clean(table, removal, false)).await,
        };
        match cleaned {
            None => report.is_unfinished = true,
            Some(Ok(cleaned)) => report.cleaned = cleaned,
            Some(Err(error)) => {
                report.trouble.get_or_insert(error.to_string());
            }
        }
    }
    reports
}

/// Compacts tables for as long as there is time.
async fn compact(
    tables: &[&Table],
    deadline: &Deadline,
    mut each: impl FnMut(usize, &UnitReport),
) -> Vec<UpkeepReport> {
    let mut reports = vec![UpkeepReport::default(); tables.len()];
    let mut open: Vec<Open<'_>> = tables
        .iter()
        .enumerate()
        .map(|(index, table)| Open { index, compaction: Compaction::of(table), wasted: 0 })
        .collect();
    fastrand::shuffle(&mut open);
    let mut max_bytes = FIRST_UNIT;
    while !open.is_empty() {
        let mut next = Vec::with_capacity(open.len());
        for mut table in open {
            let Some(report) = reports.get_mut(table.index) else { continue };
            let began = Instant::now();
            let mut unit = match deadline.passed() {
                true => None,
                false => deadline.wait_for(table.compaction.next(max_bytes)).await,
            };
            if matches!(unit, Some(Ok(None))) && max_bytes < MAX_UNIT && !deadline.passed() {
                // Its files may be too large for a small unit.
                unit = deadline.wait_for(table.compaction.next(MAX_UNIT)).await;
            }
            match unit {
                None => report.is_unfinished = true,
                Some(Ok(None)) => {
                    report.live_files = table.compaction.live_files();
                    report.trouble = table.compaction.damage().map(str::to_owned);
                }
                Some(Ok(Some(unit))) if unit.bytes_written == 0 => {
                    table.wasted += 1;
                    if table.wasted < MAX_WASTED {
                        next.push(table);
                    } else {
                        report.is_unfinished = true;
                    }
                }
                Some(Ok(Some(unit))) => {
                    max_bytes = next_size(unit.bytes_read, began, deadline);
                    report.add(unit);
                    each(table.index, &unit);
                    next.push(table);
                }
                Some(Err(error)) => report.trouble = Some(error.to_string()),
            }
        }
        open = next;
    }
    reports
}

/// Returns the size of the next unit, by the time that one of `bytes` took.
fn next_size(bytes: u64, began: Instant, deadline: &Deadline) -> u64 {
    let Some(left) = deadline.left() else { return MAX_UNIT };
    let quarter = left.as_secs_f64() / UNITS_LEFT;
    let times = quarter / began.elapsed().as_secs_f64().max(0.001);
    scaled(bytes, times).clamp(FIRST_UNIT, MAX_UNIT)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of a size, which is clamped afterwards"
)]
fn scaled(bytes: u64, times: f64) -> u64 {
    (bytes as f64 * times) as u64
}

/// Returns what upkeep would do to a table: as many units as it takes, each as its files are now.
///
/// # Errors
/// If the table can't be read.
pub async fn plan(
    table: &Table,
    removal: Option<&dyn Removal>,
) -> Result<UpkeepReport, StoreError> {
    let sweep = Some(SweepReport::of_waiting(sweep::state(table).await?));
    let mut report = UpkeepReport { sweep, ..UpkeepReport::default() };
    let mut compaction = Compaction::of(table);
    for unit in compaction.plan(MAX_UNIT).await? {
        report.add(unit);
    }
    report.live_files = compaction.live_files();
    if let Some(removal) = removal {
        report.cleaned = clean(table, removal, true).await?;
    }
    Ok(report)
}
