//! Routes decide which table a record goes to. They are data, and are tried in file order.

mod path;

mod condition;
mod selector;

mod step;
mod template;

mod event_time;

pub use condition::Condition;
pub use event_time::event_time;
pub use path::{BadPath, Path};
pub use selector::{Segment, Selector};
pub use step::Step;
pub use template::Template;

use crate::arn::Arn;
use crate::pattern::Pattern;
use crate::record::Record;
use crate::source::Unwrap;
use crate::table_name::TableName;

/// One `[[route]]` of the config.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `name`, by default the table's, or `drop-N` for the N-th route.
    pub name: String,
    /// The pattern of its sources' ARNs.
    pub source: Pattern,
    /// `when`: all conditions must match.
    pub when: Vec<Condition>,
    /// `unwrap`, if the route has it; all routes of a source that have it agree.
    pub unwrap: Option<Unwrap>,
    /// The destination of its records.
    pub target: Target,
    /// `transform`, in file order.
    pub steps: Vec<Step>,
    /// `id`: the field that identifies the event, whichever record or message it comes in.
    pub id: Option<Id>,
    /// `event_at`: the path of the field with the time of the event, for [`event_time()`].
    pub event_at: Option<Path>,
    /// `on_reject = "return"`: rejected SQS messages are reported, so that they end in the queue's own
    /// DLQ, instead of being quarantined.
    pub return_rejects: bool,
}

/// A route's own identity of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// The path of the field, after transforms.
    pub field: Path,
    /// `id_window`: the longest time in microseconds between two arrivals of one event.
    pub window: i64,
}

/// The default of `id_window`, in days; SQS keeps messages for 14.
pub const DEFAULT_ID_WINDOW_DAYS: i64 = 15;

/// The default of `max_tables`: the number of tables that a placeholder may fill.
pub const DEFAULT_MAX_TABLES: usize = 50;

/// The destination of a route's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A table.
    Table(TableName),
    /// The table that each record names, of which there may be this many.
    Tables(Template, usize),
    /// Discarded on purpose, and counted.
    Drop,
}

impl Target {
    /// Returns true if its records may land in a table.
    pub fn fills(&self, table: &TableName) -> bool {
        match self {
            Target::Table(it) => it == table,
            Target::Tables(template, _) => template.makes(table),
            Target::Drop => false,
        }
    }
}

impl Route {
    /// Returns true if this route takes every record that `later` could, so that `later` gets none
    /// behind it. Never wrongly true; false if only several routes together cover a later one.
    pub fn covers(&self, later: &Route) -> bool {
        self.source.covers(&later.source)
            && self.when.iter().all(|our| later.when.iter().any(|their| our.covers(their)))
    }
}

/// Returns the routes whose source pattern matches `arn`, in file order.
pub fn of_source<'a>(routes: &'a [Route], arn: &Arn) -> Vec<&'a Route> {
    routes.iter().filter(|route| route.source.matches(arn.as_str())).collect()
}

/// Returns the envelope of a source's messages, by its routes.
pub fn unwrap_of(routes: &[Route], arn: &Arn) -> Unwrap {
    of_source(routes, arn).iter().find_map(|it| it.unwrap).unwrap_or_default()
}

/// Returns the first of `routes` whose `when` matches.
pub fn choose<'a>(routes: &[&'a Route], record: &Record) -> Option<&'a Route> {
    routes.iter().copied().find(|route| route.when.iter().all(|when| when.matches(record)))
}

#[cfg(test)]
mod tests;
