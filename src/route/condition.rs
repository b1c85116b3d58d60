//! Conditions of `when` and of the step `filter`.

use crate::pattern::Pattern;
use crate::record::Record;
use crate::route::path::Path;
use crate::value::Value;

/// A condition: the value at `path` is a text that one of `patterns` matches. A number is matched by
/// the literal that it was delivered with, a truth value by `true` or `false`. A missing field, null
/// and a value that holds several do not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The path of the value. On an SQS message, a path that begins with `attributes.` leads into its
    /// message attributes, never into its body.
    pub path: Path,
    /// The patterns, of which one must match.
    pub patterns: Vec<Pattern>,
}

impl Condition {
    /// Returns true if the record, as it was delivered, meets the condition.
    pub fn matches(&self, record: &Record) -> bool {
        let text = match record.find(self.path.parts()) {
            Some(Value::Text(text)) => text.as_str(),
            Some(Value::Number(number)) => number.literal(),
            Some(Value::Bool(true)) => "true",
            Some(Value::Bool(false)) => "false",
            Some(
                Value::Null | Value::Binary(_) | Value::Set(_) | Value::List(_) | Value::Map(_),
            )
            | None => return false,
        };
        self.patterns.iter().any(|pattern| pattern.matches(text))
    }

    /// Returns true if every record that meets `other` also meets this condition.
    pub(super) fn covers(&self, other: &Condition) -> bool {
        self.path == other.path
            && other.patterns.iter().all(|it| self.patterns.iter().any(|our| our.covers(it)))
    }
}
