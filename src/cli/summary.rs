//! What became of a replay's records, summed over its events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use crate::cli::{DONE, FAILED, print, shown};
use crate::handler::Report;
use crate::name::TableName;
use crate::route::{Route, Target};

/// Most troubles that are printed one by one; a store that is down says the same for each event.
const MOST_TROUBLES: usize = 20;

/// What became of a replay's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    tables: BTreeMap<String, Sums>,
    reasons: BTreeMap<String, u64>,
    records: u64,
    dropped: u64,
    returned: u64,
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
}

impl Summary {
    /// Adds the report of the event at `place`, sorted and landed by `routes`.
    pub fn add(&mut self, place: &str, report: &Report, routes: &[Route]) {
        grow(&mut self.records, report.records);
        grow(&mut self.dropped, report.dropped);
        grow(&mut self.failed, report.failed);
        for (table, (rows, landed)) in &report.tables {
            let sums = self.tables.entry(table.clone()).or_default();
            grow(&mut sums.rows, *rows);
            grow(&mut sums.landed, landed.landed);
            grow(&mut sums.duplicates, landed.duplicates);
            grow(&mut sums.files, landed.files);
            grow(&mut sums.extra, landed.extra);
            sums.new_columns.extend(landed.new_columns.iter().cloned());
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

    /// Prints the table, what needs a second look, and what to type next about the lake at `location`.
    pub fn print(&self, program: &str, location: &str, out: &mut dyn Write) -> io::Result<()> {
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
        for (table, sums) in &self.tables {
            if sums.extra > 0 {
                let rows = counted(sums.extra, "row");
                writeln!(out, "! {table}: {rows} with values in _lw_extra that no column holds")?;
            }
        }
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
        self.print_next(program, location, out)
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

    fn print_tables(&self, out: &mut dyn Write) -> io::Result<()> {
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
    fn print_next(&self, program: &str, location: &str, out: &mut dyn Write) -> io::Result<()> {
        let quarantine = TableName::quarantine().to_string();
        let holds = |it: &Sums| it.landed > 0 || it.duplicates > 0;
        let filled: Vec<&String> =
            self.tables.iter().filter(|(_, sums)| holds(sums)).map(|(table, _)| table).collect();
        if filled.is_empty() {
            return Ok(());
        }
        let lake = shown(location);
        let program = shell(program);
        let option = shell(&lake.display().to_string());
        writeln!(out)?;
        let own = filled.iter().find(|it| ***it != quarantine);
        if let Some((table, name)) = own.and_then(|it| Some((it, it.parse::<TableName>().ok()?))) {
            let sql = format!("from iceberg_scan('{}') limit 5", sql_path(lake, &name));
            writeln!(out, "look:    duckdb -c {}", shell(&sql))?;
            writeln!(out, "rows:    {program} show {table} --lake {option}")?;
        }
        writeln!(out, "tables:  {program} tables --lake {option}")?;
        if filled.iter().any(|it| **it == quarantine) {
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
    let plain = |it: char| it.is_ascii_alphanumeric() || "./-_".contains(it);
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

fn counted(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, check};
    use crate::store::Landed;

    fn routes() -> Vec<Route> {
        let text = "version = 1\n\
            [[route]]\nsource = \"arn:aws:kinesis:*:*:stream/clicks\"\ntable = \"web.clicks\"\n\
            [[route]]\nname = \"bills\"\nsource = \"arn:aws:sqs:*:*:bills\"\n\
            table = \"billing.invoices\"\non_reject = \"return\"\n";
        check(text, &Overrides::default()).config.unwrap().routes
    }

    fn landed(landed: u64, duplicates: u64, new: &[&str], extra: u64) -> Landed {
        Landed {
            landed,
            duplicates,
            files: 1,
            new_columns: new.iter().map(|it| (*it).to_owned()).collect(),
            extra,
            ..Landed::default()
        }
    }

    fn report(tables: &[(&str, u64, Landed)], rejected: &[(&str, &str, u64)]) -> Report {
        Report {
            records: 10,
            tables: tables
                .iter()
                .map(|(name, rows, landed)| ((*name).to_owned(), (*rows, landed.clone())))
                .collect(),
            rejected: rejected
                .iter()
                .map(|(route, reason, count)| (((*route).to_owned(), (*reason).to_owned()), *count))
                .collect(),
            ..Report::default()
        }
    }

    fn printed(summary: &Summary, location: &str) -> String {
        let mut out = Vec::new();
        summary.print("lakeward", location, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn troubles(summary: &Summary) -> String {
        let mut err = Vec::new();
        summary.print_troubles(&mut err).unwrap();
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn sums_events_and_says_what_to_type_next() {
        let mut summary = Summary::default();
        let clicks = landed(298, 1, &["a", "b"], 3);
        let first = report(
            &[("web.clicks", 299, clicks), ("lakeward.quarantine", 2, landed(2, 0, &[], 0))],
            &[("web.clicks", "bad_base64", 1), ("", "no_route", 1)],
        );
        summary.add("a.json", &first, &routes());
        let mut again = report(&[("web.clicks", 299, landed(0, 299, &["b", "c"], 0))], &[]);
        again.dropped = 1;
        summary.add("b.json", &again, &routes());
        assert_eq!(summary.exit_code(), DONE);
        assert_eq!(
            printed(&summary, "./lake"),
            "table                read  landed  duplicate  quarantined  files  new columns\n\
             web.clicks            599     298        300            1      2  +3\n\
             lakeward.quarantine             2          0                   1  bad_base64 1, no_route 1\n\
             1 record dropped by routes with drop = true\n\
             ! web.clicks: 3 rows with values in _lw_extra that no column holds\n\
             \n\
             look:    duckdb -c \"from iceberg_scan('lake/web/clicks') limit 5\"\n\
             rows:    lakeward show web.clicks --lake lake\n\
             tables:  lakeward tables --lake lake\n\
             why:     lakeward show lakeward.quarantine --lake lake\n"
        );
    }

    #[test]
    fn what_is_not_durable_fails_the_replay() {
        let mut summary = Summary::default();
        let mut stuck = report(&[("web.clicks", 3, Landed::default())], &[("bills", "no_json", 2)]);
        stuck.failed = 5;
        stuck.trouble = vec!["can't list x: denied".to_owned()];
        summary.add("a.json:7", &stuck, &routes());
        assert_eq!(summary.exit_code(), FAILED);
        assert_eq!(
            printed(&summary, "lake"),
            "table       read  landed  duplicate  quarantined  files  new columns\n\
             web.clicks     3       0          0            0      0\n\
             ! 2 records rejected and returned to the queue (on_reject = \"return\")\n\
             ! 3 records neither landed nor quarantined\n"
        );
        assert_eq!(
            troubles(&summary),
            "! a.json:7: can't list x: denied: put it right and replay again; what has landed \
             does not land again\n"
        );
    }

    #[test]
    fn many_troubles_are_cut_short() {
        let mut summary = Summary::default();
        for at in 0..25 {
            summary.trouble(&format!("{at}.json"), "can't be read", "check its path");
        }
        assert_eq!(printed(&summary, "lake"), "no rows in 0 records\n");
        let text = troubles(&summary);
        assert!(text.starts_with("! 0.json: can't be read: check its path\n"), "{text}");
        assert!(
            text.ends_with("! 19.json: can't be read: check its path\n! and 5 more like these\n"),
            "{text}"
        );
        assert_eq!(summary.exit_code(), FAILED);
    }

    #[test]
    fn commands_survive_odd_paths() {
        assert_eq!(shell("lake"), "lake");
        assert_eq!(shell("my $lake"), "\"my \\$lake\"");
        let mut summary = Summary::default();
        let one = report(&[("web.clicks", 1, landed(1, 0, &[], 0))], &[]);
        summary.add("a", &one, &routes());
        assert!(
            printed(&summary, "/tmp/o'lake")
                .contains("duckdb -c \"from iceberg_scan('/tmp/o''lake/web/clicks') limit 5\"\n")
        );
    }
}
