//! The steps of a route, applied to a record in file order.

use std::cell::Cell;
use std::sync::Arc;

use crate::record::{Op, Payload, Record, Reject};
use crate::route::{Path, Segment, Selector, Step};
use crate::secret::Keys;
use crate::transform::edit::{keep, remove, rename, visit};
use crate::transform::hash::Hasher;
use crate::value::{self, Fields, Value};

/// A transformation of a record.
#[derive(Debug)]
pub(super) struct Transformation {
    pub record: Record,
    /// Names of the key attributes of a DynamoDB item: as delivered, and as they are now.
    key_names: Vec<(String, String)>,
}

impl Transformation {
    /// Begins with a record as it was delivered; `before` is true if its row holds the old image. An
    /// image that is in no row can't clash with a new name.
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

    /// Applies the steps. Returns false if a `filter` leaves the record out.
    pub(super) fn apply(&mut self, steps: &[Step], keys: &Keys) -> Result<bool, Reject> {
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
                        self.edit_fields(field, |it, segments| visit(it, segments, &hash));
                        self.edit_metadata(field, |it, segments| visit(it, segments, &hash));
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

    /// Returns the `_lw_key`: for a change its keys, under the names that they were delivered with.
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

    /// Edits the record's own fields: those of every image.
    fn edit_fields(&mut self, selector: &Selector, edit: impl Fn(&mut Fields, &[Segment])) {
        let segments = selector.segments();
        match &mut self.record.payload {
            Payload::Event(fields) => edit(fields, segments),
            Payload::Change { keys, new, old } => {
                edit(keys, segments);
                new.iter_mut().chain(old).for_each(|it| edit(it, segments));
            }
        }
    }

    /// Edits the attributes or the envelope if the selector leads there. Returns false if it does not.
    fn edit_metadata(
        &mut self,
        selector: &Selector,
        edit: impl FnOnce(&mut Fields, &[Segment]),
    ) -> bool {
        let [Segment::Member(first), rest @ ..] = selector.segments() else { return false };
        let fields = match first.as_str() {
            "attributes" => self.record.attributes.as_mut(),
            "envelope" => self.record.envelope.as_mut(),
            _ => None,
        };
        match fields {
            Some(fields) if matches!(rest, [Segment::Member(_), ..]) => {
                edit(Arc::make_mut(fields), rest);
                true
            }
            _ => false,
        }
    }

    /// Removes fields. Hidden values must not depend on other fields of the same name, so
    /// `attributes.ssn` removes it from the message's attributes and from a field `attributes` of its
    /// body. The same holds for `hash`.
    fn drop(&mut self, selectors: &[Selector]) {
        for selector in selectors {
            self.edit_fields(selector, remove);
            self.edit_metadata(selector, remove);
        }
        if let Payload::Change { keys, .. } = &self.record.payload {
            self.key_names.retain(|(_, now)| value::get(keys, now).is_some());
        }
    }

    /// Removes all other fields. The keys of an item stay, because they tell which item has changed.
    fn keep(&mut self, selectors: &[Selector]) {
        let selected: Vec<&[Segment]> = selectors.iter().map(Selector::segments).collect();
        match &mut self.record.payload {
            Payload::Event(fields) => keep(fields, &selected, &[]),
            Payload::Change { keys, new, old } => {
                let names: Vec<&str> = self.key_names.iter().map(|(_, now)| now.as_str()).collect();
                keep(keys, &selected, &names);
                new.iter_mut().chain(old).for_each(|it| keep(it, &selected, &names));
            }
        }
    }

    fn rename(&mut self, old: &Selector, new: &str) -> Result<(), Reject> {
        let taken = || {
            let detail = format!(
                "field {old} can't be renamed: the record already has a field of its new name"
            );
            Reject::new("name_taken", detail)
        };
        let mut lifted = None;
        let is_metadata = self.edit_metadata(old, |fields, segments| {
            if let [Segment::Member(name)] = segments
                && let Some(index) = fields.iter().position(|(it, _)| it == name)
            {
                lifted = Some(fields.remove(index).1);
            }
        });
        if let Some(value) = lifted {
            let fields = self.record.row_mut();
            if value::get(fields, new).is_some() {
                return Err(taken());
            }
            fields.push((new.to_owned(), value));
        }
        if is_metadata {
            return Ok(());
        }
        if let [Segment::Member(name)] = old.segments() {
            for (_, now) in self.key_names.iter_mut().filter(|(_, now)| now == name) {
                new.clone_into(now);
            }
        }
        let clash = Cell::new(false);
        self.edit_fields(old, |fields, segments| {
            clash.set(clash.get() | !rename(fields, segments, new));
        });
        if clash.get() { Err(taken()) } else { Ok(()) }
    }

    /// Rejects a record without one of these fields. A row that has only the keys of a change has none
    /// that could be required.
    fn require(&self, paths: &[Path]) -> Result<(), Reject> {
        let record = &self.record;
        let fields = match &record.payload {
            Payload::Event(fields) => Some(fields),
            Payload::Change { old, .. } if record.op == Op::Delete => old.as_ref(),
            Payload::Change { new, .. } => new.as_ref(),
        };
        let Some(fields) = fields else { return Ok(()) };
        for path in paths {
            if matches!(record.find_in(fields, path.parts()), None | Some(Value::Null)) {
                return Err(Reject::new("missing_field", format!("it has no {path}")));
            }
        }
        Ok(())
    }
}
