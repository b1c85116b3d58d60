//! The steps of a route, taken on a record in file order.

use std::cell::Cell;

use std::sync::Arc;

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
    /// `before`: whether the row holds the old image too. One that nobody will see can't clash with
    /// anything.
    pub(super) fn new(mut record: Record, before: bool) -> Self {
        let mut key_names = Vec::new();
        if let Payload::Change { keys, new, old } = &mut record.payload {
            key_names = keys.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
            if new.is_some() && record.op != Op::Delete && !before {
                *old = None;
            }
        }
        Self { record, key_names }
    }

    /// Takes the steps. `false`: a `filter` leaves the record out.
    pub(super) fn take(&mut self, steps: &[Step], keys: &Keys) -> Result<bool, Reject> {
        for step in steps {
            match step {
                Step::Drop(fields) => self.drop(fields),
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
                        let hash = |value: &mut Value| hasher.hash(value);
                        self.each(field, |it, ways| visit(it, ways, &hash));
                        self.beside(field, |it, ways| visit(it, ways, &hash));
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

    /// Works on the record's own fields: those of every image.
    fn each(&mut self, selector: &Selector, work: impl Fn(&mut Fields, &[Way])) {
        let ways = selector.ways();
        match &mut self.record.payload {
            Payload::Event(fields) => work(fields, ways),
            Payload::Change { keys, new, old } => {
                work(keys, ways);
                new.iter_mut().chain(old).for_each(|it| work(it, ways));
            }
        }
    }

    /// Works on the attributes or the envelope, where a selector leads there.
    fn beside(&mut self, selector: &Selector, work: impl FnOnce(&mut Fields, &[Way])) -> bool {
        let [Way::Member(first), rest @ ..] = selector.ways() else { return false };
        let fields = match first.as_str() {
            "attributes" => self.record.attributes.as_mut(),
            "envelope" => self.record.envelope.as_mut(),
            _ => None,
        };
        match fields {
            Some(fields) if matches!(rest, [Way::Member(_), ..]) => {
                work(Arc::make_mut(fields), rest);
                true
            }
            _ => false,
        }
    }

    /// What is to be hidden must not depend on what else is called so: `attributes.ssn` goes from
    /// the message's attributes and from a field `attributes` of its body. The same holds for
    /// `hash`.
    fn drop(&mut self, selectors: &[Selector]) {
        for selector in selectors {
            self.each(selector, remove);
            self.beside(selector, remove);
        }
        if let Payload::Change { keys, .. } = &self.record.payload {
            self.key_names.retain(|(_, now)| value::get(keys, now).is_some());
        }
    }

    /// The keys of an item stay, or nobody could tell whose change it was.
    fn keep(&mut self, selectors: &[Selector]) {
        let ways: Vec<&[Way]> = selectors.iter().map(Selector::ways).collect();
        match &mut self.record.payload {
            Payload::Event(fields) => keep(fields, &ways, &[]),
            Payload::Change { keys, new, old } => {
                let names: Vec<&str> = self.key_names.iter().map(|(_, now)| now.as_str()).collect();
                keep(keys, &ways, &names);
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
        let mut lifted = None;
        let is_beside = self.beside(old, |fields, ways| {
            if let [Way::Member(name)] = ways
                && let Some(at) = fields.iter().position(|(it, _)| it == name)
            {
                lifted = Some(fields.remove(at).1);
            }
        });
        if let Some(value) = lifted {
            let fields = self.row();
            if value::get(fields, new).is_some() {
                return Err(taken());
            }
            fields.push((new.to_owned(), value));
        }
        if is_beside {
            return Ok(());
        }
        if let [Way::Member(name)] = old.ways() {
            for (_, now) in self.key_names.iter_mut().filter(|(_, now)| now == name) {
                new.clone_into(now);
            }
        }
        let clash = Cell::new(false);
        self.each(old, |fields, ways| clash.set(clash.get() | !rename(fields, ways, new)));
        if clash.get() { Err(taken()) } else { Ok(()) }
    }

    /// The fields that [`Record::into_row`] will take.
    fn row(&mut self) -> &mut Fields {
        match &mut self.record.payload {
            Payload::Event(fields) => fields,
            Payload::Change { keys, new, old } => match (self.record.op, new, old) {
                (Op::Delete, _, Some(old)) => old,
                (Op::Delete, _, None) | (_, None, _) => keys,
                (_, Some(new), _) => new,
            },
        }
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
                [first, _, ..] if first == "attributes" && record.attributes.is_some() => {
                    record.find(path.parts())
                }
                [first, _, ..] if first == "envelope" && record.envelope.is_some() => {
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
