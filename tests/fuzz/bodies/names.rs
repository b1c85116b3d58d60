//! Names from outside: fields that become columns, values that become tables, ARNs, paths, patterns.
//!
//! The text is taken line by line.

use std::collections::HashSet;
use std::path::{Component, Path as FilePath};

use lakeward::arn::Arn;
use lakeward::name::{self, Names};
use lakeward::number::Number;
use lakeward::pattern::Pattern;
use lakeward::record::{Op, Payload, Record};
use lakeward::route::{Path, Selector, Template};
use lakeward::table::layout::{Change, Layout, Policy};
use lakeward::table::place;
use lakeward::table_name::TableName;
use lakeward::time::{self, TimeUnit, Timestamp};
use lakeward::value::Value;

use super::{accounts, exact};

/// Lines that are looked at.
const MOST: usize = 12;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.split('\n').take(MOST).collect();
    for line in &lines {
        column(line);
        table(line);
        arn(line);
        paths(line);
        times(line);
    }
    for pair in lines.windows(2) {
        let [left, right] = pair else { continue };
        told_apart(left, right);
        pattern(left, right);
        template(left, right);
    }
    columns(&lines);
}

/// Whatever a field is called, its column has a name that every engine takes.
fn column(original: &str) {
    for names in [Names::Snake, Names::Lower, Names::Keep] {
        for short in [name::short(original, names), name::declared(original, names)] {
            identifier(&short, names);
            assert_eq!(name::short(original, names), name::short(original, names));
            for kind in ["double", "decimal", "text", "bool", "json"] {
                identifier(&name::sibling(&short, kind), names);
            }
        }
        let short = name::short(original, names);
        if short == original {
            assert_eq!(name::declared(&short, names), short, "a name is declared as itself");
        }
    }
}

fn identifier(column: &str, names: Names) {
    assert!(!column.is_empty() && column.len() <= name::MAX_COLUMN_BYTES, "{column:?}");
    assert!(!name::is_reserved(column) && !name::is_lineage(column), "{column:?} is reserved");
    let plain = |it: char| matches!(it, 'a'..='z' | '0'..='9' | '_');
    let fits = match names {
        Names::Snake | Names::Lower => {
            column.chars().all(plain) && !column.starts_with(|it: char| it.is_ascii_digit())
        }
        Names::Keep => !column.contains(['.', '"', '\'', '`', '/', '\\', '{', '}', '\0', '\n']),
    };
    assert!(fits, "{column:?} is no identifier");
}

/// Two fields whose names become one are told apart, always in the same way.
fn told_apart(left: &str, right: &str) {
    if left == right {
        return;
    }
    let short = name::snake(left);
    assert_eq!(name::nth(&short, left, 0), short);
    let mut seen = HashSet::new();
    for n in 0..4 {
        for original in [left, right] {
            let name = name::nth(&short, original, n);
            identifier(&name, Names::Snake);
            assert_eq!(name, name::nth(&short, original, n));
            // The first try is the plain name for both; a later one is its owner's alone.
            assert!(seen.insert((n, name)) || n < 2, "{left:?} and {right:?} share a name");
        }
    }
}

/// A record of these fields gets one column each, whatever order they come in.
fn columns(lines: &[&str]) {
    let mut seen = HashSet::new();
    let fields = lines.iter().filter(|it| seen.insert(**it));
    let fields = fields.map(|it| ((*it).to_owned(), Value::Bool(true))).collect();
    let row = super::values::row(fields);
    // One rule for each text: all of them take long.
    let rules = [Names::Snake, Names::Lower, Names::Keep];
    let names = rules[lines.iter().map(|it| it.len()).sum::<usize>() % rules.len()];
    let policy = Policy { names, ..Policy::default() };
    let rows = std::slice::from_ref(&row);
    for change in place::changes(rows, &Layout::default(), &policy, policy.max_columns) {
        let Change::Add { owner, .. } = change else { panic!("{change:?}") };
        identifier(&owner.name, names);
    }
    accounts::check(rows, &policy);
}

/// A table's folder is below its lake, and two tables never share one.
fn table(text: &str) {
    let Ok(table) = text.parse::<TableName>() else { return };
    assert_eq!(table.to_string(), text, "a table has one name");
    below(&table);
}

fn below(table: &TableName) {
    let folder = format!("{}/{}", table.namespace(), table.table());
    let normal = |it: Component<'_>| matches!(it, Component::Normal(_));
    assert!(FilePath::new(&folder).components().all(normal), "{folder} leads elsewhere");
    assert_eq!(FilePath::new(&folder).components().count(), 2, "{folder}");
    for part in [table.namespace(), table.table()] {
        let plain = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_');
        assert!(part.bytes().all(plain) && part.starts_with(|it: char| it.is_ascii_lowercase()));
        assert!(part.len() <= lakeward::table_name::MAX_PART_BYTES);
    }
}

fn template(text: &str, value: &str) {
    for text in [text, "events.{a}", "{a}.x_{a}_y"] {
        let Ok(template) = text.parse::<Template>() else { continue };
        assert_eq!(template.as_str(), text);
        let value = || Value::Text(value.to_owned());
        let fields = template.fields().map(|it| (it.parts()[0].clone(), value())).collect();
        let record = Record {
            key: None,
            op: Op::Event,
            deleted_by: None,
            payload: Payload::Event(fields),
            attributes: None,
            envelope: None,
        };
        if let Ok(table) = template.fill(&record) {
            below(&table);
            assert!(template.makes(&table), "{text} made {table}");
            assert!(!table.is_own(), "a record chose {table}");
        }
    }
}

fn arn(text: &str) {
    let Ok(arn) = text.parse::<Arn>() else { return };
    assert!(text.starts_with(arn.as_str()), "{arn} is no part of {text}");
    assert_eq!(arn.as_str().parse::<Arn>().as_ref(), Ok(&arn), "read again, it differs");
    assert!(!arn.service().is_empty() && !arn.resource().is_empty(), "{arn}");
    assert!(arn.as_str().ends_with(arn.resource()));
    if let Some((table, label)) = arn.table_and_label() {
        assert_eq!(format!("{table}/stream/{label}"), arn.as_str());
    }
}

fn paths(text: &str) {
    if let Ok(path) = text.parse::<Path>() {
        assert!(!path.parts().is_empty());
        assert_eq!(path.to_string().parse::<Path>().as_ref(), Ok(&path), "{path}");
    }
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string().parse::<Selector>().as_ref(), Ok(&selector), "{selector}");
    }
}

fn pattern(pattern: &str, text: &str) {
    if pattern.len() * text.len() > 10_000 {
        return;
    }
    let it = Pattern::new(pattern);
    assert_eq!(it.matches(text), slowly(pattern, text), "{pattern:?} on {text:?}");
    let other = Pattern::new(text);
    assert_eq!(it.may_overlap(&other), other.may_overlap(&it));
    if it.covers(&other) {
        assert!(it.matches(text) && it.may_overlap(&other), "{pattern:?} covers {text:?}");
    }
}

/// The plain way to match, one character after the other.
fn slowly(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for part in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match part {
                '*' => reached[at] || (at > 0 && next[at - 1]),
                it => at > 0 && reached[at - 1] && text[at - 1] == it,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// Checks that a time, once read, prints as the same time.
fn times(text: &str) {
    if let Some(days) = time::date(text) {
        assert_eq!(time::date_text(days), text);
    }
    if let Some(it) = Timestamp::from_rfc3339(text) {
        assert_eq!(Timestamp::from_rfc3339(&format!("{it}Z")), Some(it), "{text} is {it}");
    }
    if let Ok(number) = Number::parse(text) {
        exact::check(&number);
        for (unit, places) in [(TimeUnit::Seconds, 6), (TimeUnit::Millis, 3), (TimeUnit::Nanos, -3)]
        {
            if let Some(it) = Timestamp::from_number(&number, unit) {
                assert!(
                    exact::equal(text.trim_ascii(), &format!("{}e{}", it.micros(), -places)),
                    "{text}"
                );
            }
        }
    }
    assert_eq!(Timestamp::from_epoch_seconds(text), Timestamp::from_epoch_seconds(text));
}
