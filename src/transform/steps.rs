//! The steps of a route, taken on a record in file order.

use std::cell::RefCell;

use crate::record::{Op, Payload, Record, Reject};
use crate::route::{Path, Selector, Step, Way};
use crate::secret::Keys;
use crate::transform::hash::Hasher;
use crate::transform::place::{keep, remove, rename, visit};
use crate::value::{self, Fields, Value};

/// A record on its way through the steps.
#[derive(Debug)]
pub(super) struct Work {
    pub record: Record,
    /// Names of the key attributes of a DynamoDB item: as delivered, and as they are now.
    key_names: Vec<(String, String)>,
}

impl Work {
    pub(super) fn new(record: Record) -> Self {
        let key_names = match &record.payload {
            Payload::Change { keys, .. } => {
                keys.iter().map(|(name, _)| (name.clone(), name.clone())).collect()
            }
            Payload::Event(_) => Vec::new(),
        };
        Self { record, key_names }
    }

    /// Takes the steps. `false`: a `filter` leaves the record out.
    pub(super) fn take(&mut self, steps: &[Step], keys: &Keys) -> Result<bool, Reject> {
        for step in steps {
            match step {
                Step::Drop(fields) => fields.iter().for_each(|it| self.each(it, remove)),
                Step::Keep(fields) => self.keep(fields),
                Step::Rename(pairs) => {
                    for (old, new) in pairs {
                        self.rename(old, new)?;
                    }
                }
                Step::Hash { fields, key } => {
                    // The handler has fetched the key of every step before the first record.
                    let key = keys.get(key).ok_or_else(|| {
                        Reject::new("no_key", format!("the key {key} was not fetched"))
                    })?;
                    let hasher = Hasher::new(key);
                    for field in fields {
                        self.each(field, |it, ways| visit(it, ways, &|value| hasher.hash(value)));
                    }
                }
                Step::Require(paths) => self.require(paths)?,
                Step::Filter(conditions) => {
                    if !conditions.iter().all(|it| it.matches(&self.record)) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// `_lw_key` of a change: its keys under the names they were delivered with.
    pub(super) fn key(&self) -> Option<String> {
        let Payload::Change { keys, .. } = &self.record.payload else {
            return self.record.key.clone();
        };
        let named = self.key_names.iter().filter_map(|(delivered, now)| {
            Some((delivered.clone(), value::get(keys, now)?.clone()))
        });
        let mut text = String::new();
        Value::Map(named.collect()).write_json(true, &mut text);
        Some(text)
    }

    /// Works on the fields that a selector means: those of every image, or what came beside the
    /// record.
    fn each(&mut self, selector: &Selector, work: impl Fn(&mut Fields, &[Way])) {
        let ways = selector.ways();
        if let Some((beside, rest)) = self.beside(ways) {
            work(beside, rest);
            return;
        }
        match &mut self.record.payload {
            Payload::Event(fields) => work(fields, ways),
            Payload::Change { keys, new, old } => {
                work(keys, ways);
                new.iter_mut().chain(old).for_each(|it| work(it, ways));
            }
        }
    }

    /// The attributes or the envelope, where a way leads there, and the rest of the way.
    fn beside<'w>(&mut self, ways: &'w [Way]) -> Option<(&mut Fields, &'w [Way])> {
        let (Way::Member(first), rest) = ways.split_first()? else { return None };
        let fields = match first.as_str() {
            "attributes" => self.record.attributes.as_mut(),
            "envelope" => self.record.envelope.as_mut(),
            _ => None,
        };
        fields.filter(|_| !rest.is_empty()).map(|it| (it, rest))
    }

    /// The keys of an item stay, or nobody could tell whose change it was.
    fn keep(&mut self, selectors: &[Selector]) {
        let ways: Vec<&[Way]> = selectors.iter().map(Selector::ways).collect();
        match &mut self.record.payload {
            Payload::Event(fields) => keep(fields, &ways, &[]),
            Payload::Change { new, old, .. } => {
                let names: Vec<&str> = self.key_names.iter().map(|(_, now)| now.as_str()).collect();
                new.iter_mut().chain(old).for_each(|it| keep(it, &ways, &names));
            }
        }
    }

    fn rename(&mut self, old: &Selector, new: &str) -> Result<(), Reject> {
        let taken = || {
            let detail =
                format!("field {old} can't be renamed: the record has its new name already");
            Reject::new("name_taken", detail)
        };
        if let Some((beside, rest)) = self.beside(old.ways()) {
            let [Way::Member(name)] = rest else { return Ok(()) };
            let Some(at) = beside.iter().position(|(it, _)| it == name) else { return Ok(()) };
            let (_, value) = beside.remove(at);
            let fields = match &mut self.record.payload {
                Payload::Event(fields) => Some(fields),
                Payload::Change { new, old, .. } => new.as_mut().or(old.as_mut()),
            };
            let Some(fields) = fields else { return Ok(()) };
            if value::get(fields, new).is_some() {
                return Err(taken());
            }
            fields.push((new.to_owned(), value));
            return Ok(());
        }
        if let [Way::Member(name)] = old.ways() {
            for (_, now) in self.key_names.iter_mut().filter(|(_, now)| now == name) {
                new.clone_into(now);
            }
        }
        let clash = RefCell::new(false);
        self.each(old, |fields, ways| {
            if !rename(fields, ways, new) {
                clash.replace(true);
            }
        });
        if clash.into_inner() { Err(taken()) } else { Ok(()) }
    }

    /// Rows that show a change by its keys alone have nothing that could be required.
    fn require(&self, paths: &[Path]) -> Result<(), Reject> {
        let record = &self.record;
        let fields = match &record.payload {
            Payload::Event(fields) => Some(fields),
            Payload::Change { old, .. } if record.op == Op::Delete => old.as_ref(),
            Payload::Change { new, .. } => new.as_ref(),
        };
        let Some(fields) = fields else { return Ok(()) };
        for path in paths {
            let found = match path.parts() {
                [first, _, ..] if first == "attributes" || first == "envelope" => {
                    record.find(path.parts())
                }
                parts => value::find(parts, fields),
            };
            if matches!(found, None | Some(Value::Null)) {
                return Err(Reject::new("missing_field", format!("it has no {path}")));
            }
        }
        Ok(())
    }
}
