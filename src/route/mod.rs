//! Which table a record goes to: routes are data, tried in file order, record by record.

mod path;
mod selector;
mod step;
mod template;

pub use path::{BadPath, Path};
pub use selector::{Selector, Way};
pub use step::Step;
pub use template::Template;

use crate::arn::Arn;
use crate::name;
use crate::pattern::Pattern;
use crate::record::Record;
use crate::source::Unwrap;
use crate::table::Cell;
use crate::table::declared::Declared;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::table_name::TableName;
use crate::time::Timestamp;
use crate::value::{self, Fields, Value};

/// One `[[route]]` of the config.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `name`, by default the table's, or `drop-N` for the N-th route.
    pub name: String,
    /// ARN pattern; `*` stands for any run of characters.
    pub source: Pattern,
    /// All of them must match.
    pub when: Vec<When>,
    /// `unwrap`, where the route says it; all routes of a source that do agree.
    pub unwrap: Option<Unwrap>,
    /// Where records go.
    pub target: Target,
    /// `transform`, in file order.
    pub steps: Vec<Step>,
    /// `id`: the field that names the event, whichever record or message it comes in.
    pub id: Option<Id>,
    /// `event_at`: path of the field that says when the event happened; [`event_at`] reads it.
    pub event_at: Option<Path>,
    /// `on_reject = "return"`: rejected SQS messages are reported, so that the queue's own DLQ
    /// takes them, instead of being quarantined.
    pub return_rejects: bool,
}

/// A route's own identity of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// Path of the field, after transforms.
    pub field: Path,
    /// `id_window` in microseconds: how far apart two arrivals of one event may be.
    pub window: i64,
}

/// Days that `id_window` spans unless the route says otherwise; SQS keeps messages for 14.
pub const DEFAULT_ID_WINDOW_DAYS: i64 = 15;

/// Tables that a placeholder may fill unless the route says otherwise.
pub const DEFAULT_MAX_TABLES: usize = 50;

/// Where a route's records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Into a table.
    Table(TableName),
    /// Into the table that each record names, of which there may be so many.
    Tables(Template, usize),
    /// Discarded on purpose, and counted.
    Drop,
}

impl Target {
    /// Whether records that it takes may land in a table.
    pub fn fills(&self, table: &TableName) -> bool {
        match self {
            Target::Table(it) => it == table,
            Target::Tables(template, _) => template.makes(table),
            Target::Drop => false,
        }
    }
}

/// One condition of `when`: the value at `path` is a text that one of `patterns` matches. A
/// number is matched by the literal it was delivered with, a truth value by `true` or `false`.
/// An absent field, null and anything that holds several values do not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// Where to look; on an SQS message a path that begins with `attributes.` looks at its message
    /// attributes, never at its body.
    pub path: Path,
    /// Any of them.
    pub patterns: Vec<Pattern>,
}

/// Routes whose source pattern matches `arn`, in file order.
pub fn of_source<'a>(routes: &'a [Route], arn: &Arn) -> Vec<&'a Route> {
    routes.iter().filter(|route| route.source.matches(arn.as_str())).collect()
}

/// What messages of a source are wrapped in, by its routes.
pub fn unwrap_of(routes: &[Route], arn: &Arn) -> Unwrap {
    of_source(routes, arn).iter().find_map(|it| it.unwrap).unwrap_or_default()
}

/// The first of `routes` whose `when` matches.
pub fn choose<'a>(routes: &[&'a Route], record: &Record) -> Option<&'a Route> {
    routes.iter().copied().find(|route| route.when.iter().all(|when| when.matches(record)))
}

impl When {
    /// Whether the record, as it was delivered, meets the condition.
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

    /// Whether whatever meets `other` also meets this.
    fn covers(&self, other: &When) -> bool {
        self.path == other.path
            && other.patterns.iter().all(|it| self.patterns.iter().any(|our| our.covers(it)))
    }
}

impl Route {
    /// Whether this route takes every record that `later` could, so that `later` stands idle
    /// behind it. Never wrong when it says so; several routes that only together cover a later
    /// one go unnoticed.
    pub fn covers(&self, later: &Route) -> bool {
        self.source.covers(&later.source)
            && self.when.iter().all(|our| later.when.iter().any(|their| our.covers(their)))
    }
}

/// When the event happened, by the route's `event_at` in a row's fields: read as the declared type
/// of that field (`timestamp(…)`, `date`) where the table declares one, else as RFC 3339 text.
/// `None` without `event_at`, where the field is absent, and where it misfits; numbers are never
/// guessed.
pub fn event_at(route: &Route, policy: &Policy, fields: &Fields) -> Option<Timestamp> {
    let path = route.event_at.as_ref()?;
    time(path.find(fields)?, declared(path, policy))
}

/// The same, where `event_at` names something that came with the record: an attribute, or a field
/// of its envelope. `None` where it does not.
pub fn told(route: &Route, policy: &Policy, record: &Record) -> Option<Option<Timestamp>> {
    let path = route.event_at.as_ref()?;
    let [first, rest @ ..] = path.parts() else { return None };
    let fields = match first.as_str() {
        "attributes" => record.attributes.as_ref()?,
        "envelope" => record.envelope.as_ref()?,
        _ => return None,
    };
    let name = format!("{first}.{}", rest.join("."));
    let declared = policy.columns.iter().find(|it| it.name == name).map(|it| &it.ty);
    Some(value::find(rest, fields).and_then(|it| time(it, declared)))
}

fn time(value: &Value, declared: Option<&Declared>) -> Option<Timestamp> {
    match declared {
        Some(ty @ (Declared::Epoch(_) | Declared::Rfc3339 | Declared::Date)) => {
            match ty.fit(value)? {
                Cell::Micros(micros) => Timestamp::from_micros(micros),
                Cell::Date(days) => {
                    Timestamp::from_micros(i64::from(days).checked_mul(86_400_000_000)?)
                }
                _ => None,
            }
        }
        _ => match value {
            Value::Text(text) => Timestamp::from_rfc3339(text),
            _ => None,
        },
    }
}

/// The declared type at `path`: of the column, and within a declared struct of its field.
fn declared<'a>(path: &Path, policy: &'a Policy) -> Option<&'a Declared> {
    let (first, rest) = path.parts().split_first()?;
    let column = policy.columns.iter().find(|it| it.name == *first).or_else(|| {
        let short = name::short(first, policy.names);
        let same = |it: &&DeclaredColumn| name::declared(&it.name, policy.names) == short;
        policy.columns.iter().find(same)
    })?;
    rest.iter().try_fold(&column.ty, |ty, part| match ty {
        Declared::Struct(fields) => fields.iter().find(|(name, _)| name == part).map(|it| &it.1),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
