//! Problems of a text that is not valid TOML, without a quote of its values, which may be secrets.

use toml::de::{DeTable, Error};

use crate::config::problem::Problem;

/// The parser's message about a key or a table that is there twice.
const DUPLICATE: &str = "duplicate key";

/// Returns the problems that the parser's errors stand for.
pub(super) fn problems(text: &str, errors: &[Error]) -> Vec<Problem> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    // The line of the last table that is there twice: its keys are not to blame.
    let mut doubled = None;
    for error in errors {
        let line = match error.span() {
            Some(span) => line_of(text, span.start),
            None => first_line_that_fails(text),
        };
        let section = (1..=line).rev().find(|it| header(&lines, *it).is_some());
        let is_doubled = error.message() == DUPLICATE;
        if is_doubled && doubled.is_some() && section == doubled && section != Some(line) {
            continue;
        }
        let known = is_doubled.then(|| twice(&lines, line, section)).flatten();
        if known.is_some() && section == Some(line) {
            doubled = section;
        }
        let problem = known.unwrap_or_else(|| {
            let what = format!("the config is not valid TOML: {}", error.message());
            Problem::new(what, "see https://toml.io for its syntax")
        });
        problems.push(problem.on_line(line));
    }
    problems
}

/// Returns the problem of a table or a key on a line that an earlier line has as well.
fn twice(lines: &[&str], line: usize, section: Option<usize>) -> Option<Problem> {
    if let Some(table) = header(lines, line) {
        let first = (1..line).find(|it| header(lines, *it) == Some(table))?;
        return Some(Problem::new(
            format!("the table {table} is there twice, first on line {first}"),
            "keep one of them, with the keys of both",
        ));
    }
    let name = key(lines, line)?;
    let first = (section.unwrap_or(0) + 1..line).find(|it| key(lines, *it) == Some(name))?;
    let what = format!("the key `{name}` is there twice, first on line {first}");
    Some(Problem::new(what, "remove one of the two lines"))
}

/// Returns the header of a table on a line, with its brackets.
fn header<'a>(lines: &[&'a str], line: usize) -> Option<&'a str> {
    let text = lines.get(line.checked_sub(1)?)?.trim();
    let end = text.rfind(']').filter(|_| text.starts_with('['))?;
    text.get(..=end)
}

/// Returns the key that a line gives a value.
fn key<'a>(lines: &[&'a str], line: usize) -> Option<&'a str> {
    let (name, _) = lines.get(line.checked_sub(1)?)?.split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && !name.starts_with('#')).then_some(name)
}

/// Returns the line, from 1, of a position in the text.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|it| *it == b'\n').count() + 1
}

/// Returns the line, from 1, of an error without a position, such as one about nesting: the text
/// before that line has no such error.
fn first_line_that_fails(text: &str) -> usize {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let parses = |end: &usize| {
        let (_, errors) = DeTable::parse_recoverable(text.get(..*end).unwrap_or(text));
        errors.iter().all(|it| it.span().is_some())
    };
    ends.partition_point(parses) + 1
}
