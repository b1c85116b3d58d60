//! The summary of a replay: what became of its records, summed over its events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use crate::cli::print::{self, counted};
use crate::cli::terminal::{DONE, FAILED};
use crate::cli::trouble::{REPAIR_AND_RETRY, Trouble};
use crate::config::Config;
use crate::handler::Report;
use crate::number::count;
use crate::quarantine;
use crate::route::{Route, Target};
use crate::store::SweepReport;
use crate::table::layout::Spread;
use crate::table_name::TableName;

mod spread;

/// The largest number of troubles that are printed; a store that is down causes the same for each
/// event.
const MAX_PRINTED_TROUBLES: usize = 20;

/// The locations of a config's lakes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LakeLocations<'a> {
    lake: &'a str,
    /// The lake that quarantine is in.
    quarantine: &'a str,
}

impl<'a> LakeLocations<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let quarantine = &config.lake_of(&TableName::quarantine()).location;
        Self { lake: &config.lake.location, quarantine }
    }
}

/// The counts of a replay's records, and what kept them from landing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Summary {
    tables: BTreeMap<String, TableSums>,
    reasons: BTreeMap<String, u64>,
    records: u64,
    dropped: u64,
    filtered: u64,
    returned: u64,
    taken: BTreeMap<String, u64>,
    failed: u64,
    troubles: Vec<Trouble>,
}

/// The counts of the records for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TableSums {
    rows: u64,
    landed: u64,
    duplicates: u64,
    /// Rows that were left to another commit.
    pending: u64,
    quarantined: u64,
    files: u64,
    new_columns: BTreeSet<String>,
    spread: BTreeMap<String, Spread>,
}

impl Summary {
    /// Adds the report of a pass over the event at `location`, sorted and landed by `routes`.
    pub(super) fn add(&mut self, location: &str, report: &Report, routes: &[Route]) {
        self.records += report.records;
        self.dropped += report.dropped;
        self.failed += report.failed;
        self.filtered += report.filtered.values().sum::<u64>();
        for (route, count) in &report.taken {
            *self.taken.entry(route.clone()).or_default() += count;
        }
        for (table, (rows, landed)) in &report.tables {
            let sums = self.tables.entry(table.clone()).or_default();
            sums.rows += rows;
            sums.landed += landed.landed;
            sums.duplicates += landed.duplicates;
            sums.pending += count(landed.pending.len());
            sums.files += landed.files;
            sums.new_columns.extend(landed.new_columns.iter().cloned());
            spread::add(&mut sums.spread, &landed.spread);
        }
        for ((name, reason), count) in &report.rejected {
            let route = routes.iter().find(|it| it.name == *name);
            if route.is_some_and(|it| it.return_rejects) {
                self.returned += count;
                continue;
            }
            *self.reasons.entry(reason.clone()).or_default() += count;
            if let Some(Target::Table(table)) = route.map(|it| &it.target) {
                let sums = self.tables.entry(table.to_string()).or_default();
                sums.quarantined += count;
            }
        }
        for trouble in &report.trouble {
            self.add_trouble(Trouble::new(location, trouble, REPAIR_AND_RETRY));
        }
    }

    /// Returns the tables that rows were offered to.
    pub(super) fn tables(&self) -> Vec<TableName> {
        let tables = self.tables.iter().filter(|(_, it)| it.rows > 0);
        tables.filter_map(|(name, _)| name.parse().ok()).collect()
    }

    /// Counts the pending rows of a table as landed, unless the table has refused them, if none waits any
    /// more: all were swept, by this process or another.
    pub(super) fn swept(&mut self, table: &TableName, report: &SweepReport) {
        let Some(sums) = self.tables.get_mut(&table.to_string()) else { return };
        for row in &report.taken.refused {
            sums.quarantined += 1;
            *self.reasons.entry(quarantine::reason(row)).or_default() += 1;
        }
        if report.waiting == 0 {
            let refused = count(report.taken.refused.len());
            sums.landed += std::mem::take(&mut sums.pending).saturating_sub(refused);
        }
    }

    pub(super) fn add_trouble(&mut self, trouble: Trouble) {
        self.troubles.push(trouble);
    }

    /// Returns 0 if every record landed, was there already, is quarantined, dropped or filtered;
    /// else 1.
    pub(super) fn exit_code(&self) -> u8 {
        let is_done = self.failed == 0 && self.troubles.is_empty() && self.pending() == 0;
        if is_done { DONE } else { FAILED }
    }

    /// Returns the number of rows that wait for another commit.
    fn pending(&self) -> u64 {
        self.tables.values().map(|it| it.pending).sum()
    }

    /// Prints the table, warnings, and the commands to type next.
    pub(super) fn print(
        &self,
        program: &str,
        locations: LakeLocations<'_>,
        dry_run: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.tables.is_empty() {
            writeln!(out, "no rows in {}", counted(self.records, "record"))?;
        } else {
            self.print_tables(out)?;
        }
        if self.dropped > 0 {
            writeln!(
                out,
                "{} dropped by routes with drop = true",
                counted(self.dropped, "record")
            )?;
        }
        if self.filtered > 0 {
            writeln!(out, "{} left out by filters", counted(self.filtered, "record"))?;
        }
        spread::print(self.tables.iter().map(|(table, sums)| (table, &sums.spread)), out)?;
        if self.returned > 0 {
            let records = counted(self.returned, "record");
            writeln!(
                out,
                "! {records} rejected and returned to the queue (on_reject = \"return\")"
            )?;
        }
        let lost = self.failed.saturating_sub(self.returned);
        if lost > 0 {
            writeln!(out, "! {} neither landed nor quarantined", counted(lost, "record"))?;
        }
        let is_known = |it: &TableSums| it.landed == 0 && it.duplicates > 0;
        if self.failed == 0 && !self.tables.is_empty() && self.tables.values().all(is_known) {
            writeln!(out, "nothing new: the lake already held all of these records")?;
        }
        if self.pending() > 0 {
            let rows = counted(self.pending(), "row");
            writeln!(
                out,
                "! {rows} wait for the next commit: other processes write to the same table; land\n  \
                 them now with lakeward upkeep"
            )?;
        }
        if dry_run {
            return writeln!(out, "\ndry run: nothing was written");
        }
        self.print_next(program, locations, out)
    }

    /// Returns the summary as a JSON object.
    pub(super) fn json(&self, dry_run: bool) -> serde_json::Value {
        let tables: serde_json::Map<_, _> = self
            .tables
            .iter()
            .map(|(table, sums)| {
                let new: Vec<&String> = sums.new_columns.iter().collect();
                let value = serde_json::json!({
                    "landed": sums.landed,
                    "duplicates": sums.duplicates,
                    "pending": sums.pending,
                    "quarantined": sums.quarantined,
                    "files": sums.files,
                    "new_columns": new,
                    "elsewhere": spread::json(&sums.spread),
                });
                (table.clone(), value)
            })
            .collect();
        serde_json::json!({
            "records": self.records,
            "dropped": self.dropped,
            "filtered": self.filtered,
            "returned": self.returned,
            "failed": self.failed,
            "routes": self.taken,
            "reasons": self.reasons,
            "tables": tables,
            "troubles": self.troubles.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "dry_run": dry_run,
        })
    }

    /// Returns the number of records that each route took.
    pub(super) fn taken(&self) -> &BTreeMap<String, u64> {
        &self.taken
    }

    /// Returns the number of quarantined records.
    pub(super) fn quarantined(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// Returns the number of values in `_lw_extra`.
    pub(super) fn in_extra(&self) -> u64 {
        self.tables.values().flat_map(|it| it.spread.values()).map(|it| it.extra).sum()
    }

    /// Returns the number of values in sibling columns.
    pub(super) fn in_siblings(&self) -> u64 {
        let spread = self.tables.values().flat_map(|it| it.spread.values());
        spread.flat_map(|it| it.siblings.values()).sum()
    }

    /// Prints the troubles that kept files, events and records from landing.
    pub(super) fn print_troubles(&self, err: &mut dyn Write) -> io::Result<()> {
        for trouble in self.troubles.iter().take(MAX_PRINTED_TROUBLES) {
            writeln!(err, "! {trouble}")?;
        }
        let more = self.troubles.len().checked_sub(MAX_PRINTED_TROUBLES);
        if let Some(more) = more.filter(|it| *it > 0) {
            writeln!(err, "! and {more} more like these")?;
        }
        Ok(())
    }

    /// Prints the counts of the records for each table.
    fn print_tables(&self, out: &mut dyn Write) -> io::Result<()> {
        let header =
            ["table", "read", "landed", "duplicate", "quarantined", "files", "new columns"];
        let quarantine = TableName::quarantine().to_string();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (table, sums) in self.tables.iter().filter(|(table, _)| **table != quarantine) {
            let new = sums.new_columns.len();
            rows.push(vec![
                table.clone(),
                (sums.rows + sums.quarantined).to_string(),
                sums.landed.to_string(),
                sums.duplicates.to_string(),
                sums.quarantined.to_string(),
                sums.files.to_string(),
                if new == 0 { String::new() } else { format!("+{new}") },
            ]);
        }
        if let Some(sums) = self.tables.get(&quarantine) {
            let reasons: Vec<String> =
                self.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            rows.push(vec![
                quarantine,
                String::new(),
                sums.landed.to_string(),
                sums.duplicates.to_string(),
                String::new(),
                sums.files.to_string(),
                reasons.join(", "),
            ]);
        }
        print::table(out, &header, &rows, &[1, 2, 3, 4, 5])
    }

    /// Prints the commands to type next, with the lake's real path.
    fn print_next(
        &self,
        program: &str,
        locations: LakeLocations<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let quarantine = TableName::quarantine().to_string();
        let has_rows = |it: &TableSums| it.landed > 0 || it.duplicates > 0;
        let filled: Vec<&String> =
            self.tables.iter().filter(|(_, it)| has_rows(it)).map(|(table, _)| table).collect();
        if filled.is_empty() {
            return Ok(());
        }
        let lake = print::location(locations.lake);
        let program = shell(program);
        let option = shell(&lake.display().to_string());
        writeln!(out)?;
        let own = filled.iter().find(|it| ***it != quarantine);
        if let Some((table, name)) = own.and_then(|it| Some((it, it.parse::<TableName>().ok()?))) {
            let secret = match lake.starts_with("s3:") {
                true => "create secret (type s3, provider credential_chain); ",
                false => "",
            };
            let sql = format!("{secret}from iceberg_scan('{}') limit 5", sql_path(lake, &name));
            writeln!(out, "look:    duckdb -c {}", shell(&sql))?;
            writeln!(out, "rows:    {program} show {table} --lake {option}")?;
            writeln!(out, "query:   {program} sql {table} --lake {option}")?;
        }
        writeln!(out, "tables:  {program} tables --lake {option}")?;
        if filled.iter().any(|it| **it == quarantine) {
            let option = shell(&print::location(locations.quarantine).display().to_string());
            writeln!(out, "why:     {program} show {quarantine} --lake {option}")?;
        }
        Ok(())
    }
}

/// Returns the path of a table, for a text literal of SQL.
fn sql_path(lake: &Path, table: &TableName) -> String {
    let path = lake.join(table.namespace()).join(table.table());
    path.display().to_string().replace('\'', "''")
}

/// Returns a word of a shell's command line, in double quotes if it needs them.
fn shell(text: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "./-_:".contains(it);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for it in text.chars() {
        if matches!(it, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(it);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
