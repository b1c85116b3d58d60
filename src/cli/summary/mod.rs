//! What became of a replay's records, summed over its events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use crate::cli::print::{self, counted};
use crate::cli::{DONE, FAILED, shown};
use crate::handler::Report;
use crate::route::{Route, Target};
use crate::table::layout::Spread;
use crate::table_name::TableName;

mod warn;

/// Most troubles that are printed one by one; a store that is down says the same for each event.
const MOST_TROUBLES: usize = 20;

/// Where lakes are, as the config has it.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The lake.
    pub lake: &'a str,
    /// The lake that quarantine is in.
    pub quarantine: &'a str,
}

/// What became of a replay's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    tables: BTreeMap<String, Sums>,
    reasons: BTreeMap<String, u64>,
    records: u64,
    dropped: u64,
    filtered: u64,
    returned: u64,
    taken: BTreeMap<String, u64>,
    failed: u64,
    troubles: Vec<String>,
}

/// What became of the records for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    rows: u64,
    landed: u64,
    duplicates: u64,
    quarantined: u64,
    files: u64,
    extra: u64,
    new_columns: BTreeSet<String>,
    spread: BTreeMap<String, Spread>,
}

impl Summary {
    /// Adds the report of the event at `place`, sorted and landed by `routes`.
    pub fn add(&mut self, place: &str, report: &Report, routes: &[Route]) {
        grow(&mut self.records, report.records);
        grow(&mut self.dropped, report.dropped);
        grow(&mut self.failed, report.failed);
        report.filtered.values().for_each(|it| grow(&mut self.filtered, *it));
        for (route, count) in &report.taken {
            grow(self.taken.entry(route.clone()).or_default(), *count);
        }
        for (table, (rows, landed)) in &report.tables {
            let sums = self.tables.entry(table.clone()).or_default();
            grow(&mut sums.rows, *rows);
            grow(&mut sums.landed, landed.landed);
            grow(&mut sums.duplicates, landed.duplicates);
            grow(&mut sums.files, landed.files);
            grow(&mut sums.extra, landed.extra);
            sums.new_columns.extend(landed.new_columns.iter().cloned());
            warn::add(&mut sums.spread, &landed.spread);
        }
        for ((name, reason), count) in &report.rejected {
            let route = routes.iter().find(|it| it.name == *name);
            if route.is_some_and(|it| it.return_rejects) {
                grow(&mut self.returned, *count);
                continue;
            }
            grow(self.reasons.entry(reason.clone()).or_default(), *count);
            if let Some(Target::Table(table)) = route.map(|it| &it.target) {
                let sums = self.tables.entry(table.to_string()).or_default();
                grow(&mut sums.quarantined, *count);
            }
        }
        for trouble in &report.trouble {
            let remedy = "put it right and replay again; what has landed does not land again";
            self.trouble(place, trouble, remedy);
        }
    }

    /// Adds something that kept a file, an event or a record from landing.
    pub fn trouble(&mut self, place: &str, what: &str, remedy: &str) {
        self.troubles.push(format!("{place}: {what}: {remedy}"));
    }

    /// 0 when every record landed, was there already, is quarantined or dropped; else 1.
    pub fn exit_code(&self) -> u8 {
        if self.failed == 0 && self.troubles.is_empty() { DONE } else { FAILED }
    }

    /// Prints the table, what needs a second look, and what to type next.
    pub fn print(
        &self,
        program: &str,
        places: &Places<'_>,
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
        warn::print(self.tables.iter().map(|(table, sums)| (table, &sums.spread)), out)?;
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
        let known = |it: &Sums| it.landed == 0 && it.duplicates > 0;
        if self.failed == 0 && !self.tables.is_empty() && self.tables.values().all(known) {
            writeln!(out, "nothing new: the lake held all of these records")?;
        }
        if dry_run {
            return writeln!(out, "\ndry run: nothing was written");
        }
        self.print_next(program, places, out)
    }

    /// The same for programs, as one JSON object.
    pub fn json(&self, dry_run: bool) -> serde_json::Value {
        let tables: serde_json::Map<_, _> = self
            .tables
            .iter()
            .map(|(table, sums)| {
                let new: Vec<&String> = sums.new_columns.iter().collect();
                let value = serde_json::json!({
                    "landed": sums.landed,
                    "duplicates": sums.duplicates,
                    "quarantined": sums.quarantined,
                    "files": sums.files,
                    "new_columns": new,
                    "elsewhere": warn::json(&sums.spread),
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
            "troubles": self.troubles,
            "dry_run": dry_run,
        })
    }

    /// Records that each route took.
    pub fn taken(&self) -> &BTreeMap<String, u64> {
        &self.taken
    }

    /// Quarantined records.
    pub fn quarantined(&self) -> u64 {
        self.reasons.values().fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// Values in `_lw_extra`.
    pub fn in_extra(&self) -> u64 {
        let spread = self.tables.values().flat_map(|it| it.spread.values());
        spread.fold(0, |sum, it| sum.saturating_add(it.extra))
    }

    /// Values in sibling columns.
    pub fn in_siblings(&self) -> u64 {
        let spread = self.tables.values().flat_map(|it| it.spread.values());
        spread.flat_map(|it| it.siblings.values()).fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// Prints what kept files, events and records from landing.
    pub fn print_troubles(&self, err: &mut dyn Write) -> io::Result<()> {
        for trouble in self.troubles.iter().take(MOST_TROUBLES) {
            writeln!(err, "! {trouble}")?;
        }
        if let Some(more) = self.troubles.len().checked_sub(MOST_TROUBLES).filter(|it| *it > 0) {
            writeln!(err, "! and {more} more like these")?;
        }
        Ok(())
    }

    /// Prints what became of the records for each table.
    pub fn print_tables(&self, out: &mut dyn Write) -> io::Result<()> {
        let header =
            ["table", "read", "landed", "duplicate", "quarantined", "files", "new columns"];
        let quarantine = TableName::quarantine().to_string();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (table, sums) in self.tables.iter().filter(|(table, _)| **table != quarantine) {
            let new = sums.new_columns.len();
            rows.push(vec![
                table.clone(),
                sums.rows.saturating_add(sums.quarantined).to_string(),
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

    /// What to type next, with the lake's real path.
    fn print_next(
        &self,
        program: &str,
        places: &Places<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let quarantine = TableName::quarantine().to_string();
        let holds = |it: &Sums| it.landed > 0 || it.duplicates > 0;
        let filled: Vec<&String> =
            self.tables.iter().filter(|(_, sums)| holds(sums)).map(|(table, _)| table).collect();
        if filled.is_empty() {
            return Ok(());
        }
        let lake = shown(places.lake);
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
            let option = shell(&shown(places.quarantine).display().to_string());
            writeln!(out, "why:     {program} show {quarantine} --lake {option}")?;
        }
        Ok(())
    }
}

/// Where a table lies, for a text of SQL.
fn sql_path(lake: &Path, table: &TableName) -> String {
    let path = lake.join(table.namespace()).join(table.table());
    path.display().to_string().replace('\'', "''")
}

/// A word of a shell's command line, in double quotes where it needs some.
fn shell(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "./-_:".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
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

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

#[cfg(test)]
mod tests;
