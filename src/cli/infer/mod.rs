//! `lakeward infer`

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::cli::events::{self, Trouble};
use crate::cli::wrap::{Source, payloads};
use crate::cli::{DONE, FAILED, Failure, Terminal, print};
use crate::json;
use crate::name;
use crate::record::{Content, Record};
use crate::source::{Event, EventError, Unwrap, event};
use crate::table_name::TableName;
use crate::value::Value;

use seen::Seen;

mod seen;

/// Where plain lines come from, as far as decoding is concerned.
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:infer";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/infer";

/// Prints the columns to declare for the records in `paths`.
pub(super) fn run(
    paths: &[PathBuf],
    table: &str,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    if table != "namespace.table" {
        table.parse::<TableName>().map_err(|error| {
            Failure::Use(format!("--table: `{table}` is no table name: {error}"))
        })?;
    }
    let mut fields = Fields::default();
    let mut troubles = Vec::new();
    for path in events::find(paths, &mut troubles) {
        match events::read(&path) {
            Ok(text) => read(&path, &text, &mut fields, &mut troubles)?,
            Err(trouble) => troubles.push(trouble),
        }
    }
    for Trouble { place, what, remedy } in &troubles {
        writeln!(terminal.err, "! {place}: {what}: {remedy}")?;
    }
    if fields.records == 0 {
        return Err(Failure::Failed(
            "there is no record in these files that can be read".to_owned(),
        ));
    }
    write!(terminal.out, "{}", fields.block(table))?;
    Ok(if troubles.is_empty() { DONE } else { FAILED })
}

/// What was seen of all records.
#[derive(Default)]
struct Fields {
    records: u64,
    unreadable: u64,
    seen: BTreeMap<String, Seen>,
}

/// Reads a file of events, or of payloads.
fn read(
    path: &std::path::Path,
    text: &[u8],
    fields: &mut Fields,
    troubles: &mut Vec<Trouble>,
) -> Result<(), Failure> {
    let lines = payloads(text);
    let has = |line: &[u8], name: &str| {
        json::members(line).is_ok_and(|it| it.iter().any(|(it, _)| it == name))
    };
    let (_, first) = lines.first().copied().unwrap_or_default();
    if has(first, "Records") {
        for event in events::split(path, text, troubles) {
            see_event(Event::read(event.bytes), fields);
        }
        return Ok(());
    }
    let source =
        if has(first, "Item") { Source::of_any_export(TABLE) } else { Source::new(QUEUE, &[]) };
    let records = source.map_err(Failure::Use)?.records(path, text, troubles);
    for batch in event::batches(records, String::len) {
        see_event(Event::of(batch.iter().map(String::as_bytes).collect()), fields);
    }
    Ok(())
}

fn see_event(event: Result<Event<'_>, EventError>, fields: &mut Fields) {
    let Ok(event) = event else {
        fields.unreadable = fields.unreadable.saturating_add(1);
        return;
    };
    let all: Vec<usize> = (0..event.len()).collect();
    for delivery in event.decode(&all, |_| Unwrap::Auto) {
        let Content::Parts(parts) = delivery.content else { continue };
        for part in parts {
            match part.record {
                Ok(record) => fields.see(record),
                Err(_) => fields.unreadable = fields.unreadable.saturating_add(1),
            }
        }
    }
}

impl Fields {
    fn see(&mut self, record: Record) {
        self.records = self.records.saturating_add(1);
        for (name, value) in record.into_row() {
            let seen = self.seen.entry(name).or_default();
            if value != Value::Null {
                seen.see(&value);
            }
        }
    }

    /// The block to paste.
    fn block(&self, table: &str) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut stored: HashMap<String, &str> = HashMap::new();
        // Of several fields of one name, a declaration means the one that is called so.
        let mut fields: Vec<_> =
            self.seen.iter().map(|(it, seen)| (name::snake(it), it, seen)).collect();
        fields.sort_by_key(|(name, original, _)| (name.clone(), name != *original, *original));
        for (name, original, seen) in fields {
            let mut notes = Vec::new();
            if name != *original {
                notes.push(format!("from `{}`", print::safe(original)));
            }
            if let Some(other) = stored.insert(name.clone(), original) {
                let other = print::safe(other);
                lines.push((
                    format!("# {name}"),
                    format!(
                        "`{}` has the name of `{other}`, and gets another",
                        print::safe(original)
                    ),
                ));
                continue;
            }
            let Some(guess) = seen.guess() else {
                lines.push((format!("# {name} = \"string\""), "only null so far".to_owned()));
                continue;
            };
            notes.insert(0, guess.why);
            if seen.values < self.records {
                notes.push(format!("in {} of the records", share(seen.values, self.records)));
            }
            if let Some(ty) = seen.maybe_time().filter(|_| names_a_time(&name)) {
                notes.push(format!("looks like {ty}"));
            }
            lines.push((format!("{name} = \"{}\"", guess.ty), notes.join("; ")));
        }
        let width = lines.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
        let mut out = format!("# {} records", self.records);
        if self.unreadable > 0 {
            out.push_str(&format!(", and {} that can't be read", self.unreadable));
        }
        out.push_str(&format!("\n[table.\"{table}\".columns]\n"));
        for (left, right) in lines {
            out.push_str(&format!("{left:width$}   # {right}\n"));
        }
        out
    }
}

fn share(part: u64, of: u64) -> String {
    let percent = u128::from(part).saturating_mul(100) / u128::from(of.max(1));
    format!("{} %", percent.clamp(1, 99))
}

/// Whether a column is called like a time.
fn names_a_time(name: &str) -> bool {
    name.ends_with("_at")
        || name.ends_with("_on")
        || ["time", "date", "ts", "timestamp", "expires", "ttl", "_ms", "_us", "_ns"]
            .iter()
            .any(|it| name.ends_with(it))
}

#[cfg(test)]
mod tests;
