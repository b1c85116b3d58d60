//! A TOML document that is read key by key; every mistake is collected on the way.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::keys::Section;
use crate::config::problem::Problem;
use crate::config::values::one_of;

/// A value and its position in the document.
pub(super) type Item<'d> = Spanned<DeValue<'d>>;

/// A document's text and the problems found so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    pub problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: Vec::new() }
    }

    /// Returns the line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|it| *it == b'\n').count() + 1
    }

    /// Adds a problem on the line where `span` begins.
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem::new(what, remedy).on_line(self.line(span.start)));
    }

    /// Returns the value that was parsed, or adds the problem on the line where `span` begins.
    pub(super) fn accept<T>(
        &mut self,
        span: &Range<usize>,
        parsed: Result<T, Problem>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.push(problem.on_line(self.line(span.start)));
                None
            }
        }
    }

    /// Reads an item as a table; anything else is a problem.
    pub(super) fn table<'d>(
        &mut self,
        what: &str,
        item: &'d Item<'_>,
        remedy: &str,
    ) -> Option<&'d DeTable<'d>> {
        let table = item.get_ref().as_table();
        let refuse = || Problem::new(format!("{what} must be a table"), remedy);
        self.accept(&item.span(), table.ok_or_else(refuse))
    }

    /// Reads an item as an array of `elements`; anything else is a problem.
    pub(super) fn array<'d>(
        &mut self,
        what: &str,
        item: &'d Item<'_>,
        elements: &str,
        remedy: &str,
    ) -> Option<&'d [Item<'d>]> {
        let array = item.get_ref().as_array().map(|it| &**it);
        let refuse = || Problem::new(format!("{what} must be an array of {elements}"), remedy);
        self.accept(&item.span(), array.ok_or_else(refuse))
    }

    /// Reads an item as a table with the keys of `section`; other keys are problems.
    pub(super) fn section<'d>(
        &'d mut self,
        section: &'static Section,
        item: &'d Item<'_>,
    ) -> Option<SectionReader<'d, 't>> {
        let table = self.table(section.name, item, section.remedy)?;
        Some(SectionReader::new(self, section, table, item.span()))
    }
}

/// A table of the document whose keys are those of a section. Each method reads one key: it returns
/// `None` if the key is absent, and adds a problem and returns `None` if its value is wrong.
pub(super) struct SectionReader<'d, 't> {
    pub reader: &'d mut Reader<'t>,
    section: &'static Section,
    table: &'d DeTable<'d>,
    span: Range<usize>,
}

impl<'d, 't> SectionReader<'d, 't> {
    pub(super) fn new(
        reader: &'d mut Reader<'t>,
        section: &'static Section,
        table: &'d DeTable<'d>,
        span: Range<usize>,
    ) -> Self {
        for key in table.keys().filter(|it| !section.keys.contains(&&**it.get_ref())) {
            reader.accept::<()>(&key.span(), Err(section.unknown(key.get_ref())));
        }
        Self { reader, section, table, span }
    }

    /// Returns the line on which the table begins.
    pub(super) fn line(&self) -> usize {
        self.reader.line(self.span.start)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn item(&self, key: &str) -> Option<&'d Item<'d>> {
        self.table.get(key)
    }

    /// Adds a problem on the line where the table begins.
    pub(super) fn add(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.reader.add(&self.span, what, remedy);
    }

    /// Adds a problem if the table has no `key`.
    pub(super) fn require(
        &mut self,
        key: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if !self.has(key) {
            self.add(what, remedy);
        }
    }

    /// Adds a problem if the table has `key`.
    pub(super) fn refuse(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        if let Some(item) = self.table.get(key) {
            self.reader.add(&item.span(), what, remedy);
        }
    }

    /// Reads a value of any kind.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&'d DeValue<'d>) -> Result<T, Problem>,
    ) -> Option<T> {
        let item = self.table.get(key)?;
        self.reader.accept(&item.span(), parse(item.get_ref()))
    }

    /// Reads a value that `convert` accepts; the message about any other names `expected`.
    pub(super) fn convert<T>(
        &mut self,
        key: &str,
        expected: &str,
        remedy: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let what = format!("`{key}` in {} must be {expected}", self.section.name);
        self.value(key, |it| convert(it).ok_or_else(|| Problem::new(what, remedy)))
    }

    /// Reads a string.
    pub(super) fn text<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.convert(key, "a string", "write it in quotes", DeValue::as_str)?;
        self.value(key, |_| parse(text))
    }

    /// Reads a string that is one of `known`.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, known: &[(&str, T)]) -> Option<T> {
        self.text(key, |text| one_of(key, text, known))
    }

    /// Reads `true` or `false`; an absent key is `false`.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        if !self.has(key) {
            return Some(false);
        }
        self.convert(key, "true or false", &format!("write {key} = true"), DeValue::as_bool)
    }

    /// Reads a decimal whole number in `range`.
    pub(super) fn whole_number(
        &mut self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let remedy = format!("write, for example, {key} = 100");
        self.convert(key, &expected, &remedy, |value| {
            let number = value.as_integer().filter(|it| it.radix() == 10)?;
            let number = number.as_str().replace('_', "").parse().ok()?;
            Some(number).filter(|it| range.contains(it))
        })
    }
}

/// Returns the members of a table in file order.
pub(super) fn in_order<'d>(table: &'d DeTable<'_>) -> Vec<(&'d str, Range<usize>, &'d Item<'d>)> {
    let mut members: Vec<_> =
        table.iter().map(|(key, item)| (&**key.get_ref(), key.span(), item)).collect();
    members.sort_by_key(|(_, span, _)| span.start);
    members
}
