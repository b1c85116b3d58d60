//! `lakeward infer`

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::cli::events;
use crate::cli::failure::Failure;
use crate::cli::payloads::{self, PayloadSource};
use crate::cli::print::{self, share};
use crate::cli::setup;
use crate::cli::terminal::{DONE, FAILED, Terminal};
use crate::cli::trouble::Trouble;
use crate::json;
use crate::name;
use crate::record::{Content, Record};
use crate::source::{Event, EventError, Unwrap, event};

mod profile;

use profile::FieldProfile;

/// The source that plain lines are decoded as.
const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:infer";
/// The source that items of an export are decoded as.
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/infer";

/// Prints the columns to declare for the records in `paths`.
pub(super) fn run(
    paths: &[PathBuf],
    table: &str,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    if table != "namespace.table" {
        setup::table_name(table)?;
    }
    let mut profile = Profile::default();
    let mut troubles = Vec::new();
    for path in events::find(paths, &mut troubles) {
        match events::read(&path) {
            Ok(text) => read(&path, &text, &mut profile, &mut troubles)?,
            Err(trouble) => troubles.push(trouble),
        }
    }
    for trouble in &troubles {
        writeln!(terminal.err, "! {trouble}")?;
    }
    if profile.records == 0 {
        return Err(Failure::Failed("these files hold no record that can be read".to_owned()));
    }
    write!(terminal.out, "{}", profile.block(table))?;
    Ok(if troubles.is_empty() { DONE } else { FAILED })
}

/// The profile of all records.
#[derive(Default)]
struct Profile {
    records: u64,
    unreadable: u64,
    fields: BTreeMap<String, FieldProfile>,
}

/// Reads a file of events, or of payloads.
fn read(
    path: &std::path::Path,
    text: &[u8],
    profile: &mut Profile,
    troubles: &mut Vec<Trouble>,
) -> Result<(), Failure> {
    let lines = payloads::split(text);
    let has = |line: &[u8], name: &str| {
        json::members(line).is_ok_and(|it| it.iter().any(|(it, _)| it == name))
    };
    let (_, first) = lines.first().copied().unwrap_or_default();
    if has(first, "Records") {
        for event in events::split(path, text, troubles) {
            profile.add_event(Event::read(event.bytes));
        }
        return Ok(());
    }
    let source = match has(first, "Item") {
        true => PayloadSource::of_any_export(TABLE),
        false => PayloadSource::new(QUEUE, &[]),
    };
    let records = source.map_err(Failure::Usage)?.records(path, text, troubles);
    for batch in event::batches(records, String::len) {
        profile.add_event(Event::of(batch.iter().map(String::as_bytes).collect()));
    }
    Ok(())
}

impl Profile {
    fn add_event(&mut self, event: Result<Event<'_>, EventError>) {
        let Ok(event) = event else {
            self.unreadable += 1;
            return;
        };
        event.decode_all(
            |_| Unwrap::Auto,
            |delivery| {
                let Content::Parts(parts) = delivery.content else { return };
                for part in parts {
                    match part.record {
                        Ok(record) => self.add(record),
                        Err(_) => self.unreadable += 1,
                    }
                }
            },
        );
    }

    fn add(&mut self, record: Record) {
        self.records += 1;
        for (name, value) in record.into_row() {
            self.fields.entry(name).or_default().add(&value);
        }
    }

    /// Returns the block to paste.
    fn block(&self, table: &str) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut owners: HashMap<String, &str> = HashMap::new();
        // If several fields have one column name, a declaration means the field of that very name.
        let mut fields: Vec<_> =
            self.fields.iter().map(|(it, field)| (name::snake(it), it, field)).collect();
        fields.sort_by_key(|(name, original, _)| (name.clone(), name != *original, *original));
        for (name, original, field) in fields {
            let mut notes = Vec::new();
            if name != *original {
                notes.push(format!("from `{}`", print::safe(original)));
            }
            if let Some(owner) = owners.insert(name.clone(), original) {
                let (original, owner) = (print::safe(original), print::safe(owner));
                let why = format!("`{original}` gets another name, because `{owner}` has this one");
                lines.push((format!("# {name}"), why));
                continue;
            }
            let Some(guess) = field.guess() else {
                lines.push((format!("# {name} = \"string\""), "only null so far".to_owned()));
                continue;
            };
            notes.insert(0, guess.why);
            if field.values < self.records {
                notes.push(format!("in {} of the records", share(field.values, self.records)));
            }
            if let Some(ty) = field.maybe_time().filter(|_| names_a_time(&name)) {
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

/// Returns true if a column has a name like those of times.
fn names_a_time(name: &str) -> bool {
    let ends =
        ["_at", "_on", "time", "date", "ts", "timestamp", "expires", "ttl", "_ms", "_us", "_ns"];
    ends.iter().any(|it| name.ends_with(it))
}

#[cfg(test)]
mod tests;
