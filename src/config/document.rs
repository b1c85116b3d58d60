//! A TOML document that is read key by key, gathering everything that is wrong with it.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Problem;
use crate::config::keys::Section;

/// A value and where it stands.
pub(super) type Item<'t> = Spanned<DeValue<'t>>;

/// What is wrong so far.
pub(super) struct Problems<'t> {
    text: &'t str,
    pub list: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// The line, from 1, that a byte offset lies in.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|it| **it == b'\n').count().saturating_add(1)
    }

    /// Something is wrong where `span` begins.
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let line = Some(self.line(span.start));
        self.list.push(Problem { line, what: what.into(), remedy: remedy.into() });
    }

    /// Something is wrong that belongs to no line.
    pub(super) fn add_nowhere(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(Problem { line: None, what: what.into(), remedy: remedy.into() });
    }

    /// Names the keys of `table` that `section` does not have.
    pub(super) fn keys(&mut self, section: &Section, table: &DeTable<'_>) {
        for (key, _) in table {
            if let Some((what, remedy)) = section.complaint(key.get_ref()) {
                self.add(&key.span(), what, remedy);
            }
        }
    }

    /// The item as a table; anything else is a problem.
    pub(super) fn table<'a, 'i>(
        &mut self,
        what: &str,
        item: &'a Item<'i>,
        remedy: &str,
    ) -> Option<&'a DeTable<'i>> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            self.add(&item.span(), format!("{what} is {}", kind(item.get_ref())), remedy);
        }
        table
    }

    /// The text at `key`, if there is one; a value of another kind is a problem.
    pub(super) fn text<'a>(
        &mut self,
        section: &Section,
        table: &'a DeTable<'_>,
        key: &str,
    ) -> Option<(&'a str, Range<usize>)> {
        let item = table.get(key)?;
        let text = item.get_ref().as_str();
        if text.is_none() {
            let what =
                format!("`{key}` in {} is {}, not a text", section.name, kind(item.get_ref()));
            self.add(&item.span(), what, "write it in quotes");
        }
        text.map(|it| (it, item.span()))
    }
}

/// The whole number at `key` of a section, if there is one; anything but one in `range` is a
/// problem.
pub(super) fn whole_number(
    problems: &mut Problems<'_>,
    section: &Section,
    table: &DeTable<'_>,
    key: &str,
    range: RangeInclusive<usize>,
) -> Option<usize> {
    let item = table.get(key)?;
    let number = item.get_ref().as_integer().filter(|it| it.radix() == 10);
    let number = number.and_then(|it| it.as_str().replace('_', "").parse().ok());
    let number = number.filter(|it| range.contains(it));
    if number.is_none() {
        let (from, to) = (range.start(), range.end());
        problems.add(
            &item.span(),
            format!("`{key}` in {} is no whole number from {from} to {to}", section.name),
            format!("write {key} = 100 or the like"),
        );
    }
    number
}

/// The members of a table in file order.
pub(super) fn in_order<'a, 't>(
    table: &'a DeTable<'t>,
) -> Vec<(&'a str, Range<usize>, &'a Item<'t>)> {
    let mut members: Vec<_> =
        table.iter().map(|(key, item)| (&**key.get_ref(), key.span(), item)).collect();
    members.sort_by_key(|(_, span, _)| span.start);
    members
}

/// What kind of value it is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
