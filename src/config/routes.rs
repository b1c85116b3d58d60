//! `[[route]]`

use toml::de::DeTable;

use crate::config::conditions::conditions;
use crate::config::document::{Item, Reader, SectionReader};
use crate::config::keys::ROUTE;
use crate::config::problem::Problem;
use crate::config::values::{
    DAY_MICROS, MINUTE_MICROS, Scope, duration, has_placeholder, path, scope,
};
use crate::config::{sources, steps};
use crate::pattern::Pattern;
use crate::route::{DEFAULT_ID_WINDOW_DAYS, DEFAULT_MAX_TABLES, Id, Route, Target};
use crate::source::{Kind, Unwrap};

/// A route without problems of its own, and its position.
pub(super) struct DraftRoute {
    pub route: Route,
    pub line: usize,
    /// Whether the config gives it a name.
    pub has_name: bool,
    /// Line of each of its steps.
    pub step_lines: Vec<usize>,
}

impl DraftRoute {
    /// Returns true if the route may fill the tables of a section.
    pub(super) fn fills(&self, scope: &Scope) -> bool {
        match (&self.route.target, scope) {
            (Target::Table(table), Scope::Table(name)) => table == name,
            (Target::Tables(template, _), Scope::Table(name)) => template.makes(name),
            (Target::Tables(template, _), Scope::Template(other)) => template == other,
            (Target::Table(_) | Target::Drop, _) => false,
        }
    }
}

/// Reads every `[[route]]`.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<DraftRoute> {
    let Some(item) = root.get("route") else { return Vec::new() };
    let list = reader.array("`route`", item, "tables", ROUTE.remedy).unwrap_or_default();
    list.iter().zip(1..).filter_map(|(item, nth)| read_one(reader, item, nth)).collect()
}

fn read_one(reader: &mut Reader<'_>, item: &Item<'_>, nth: usize) -> Option<DraftRoute> {
    let problems = reader.problems.len();
    let keys = &mut reader.section(&ROUTE, item)?;
    let source = keys.text("source", sources::source);
    let when = keys.item("when").map(|it| conditions(keys.reader, "when", it));
    let unwrap = keys.one_of("unwrap", &UNWRAPS);
    let target = target(keys);
    let window = keys.text("id_window", window);
    let id = keys.text("id", path);
    let event_at = keys.text("event_at", path);
    let steps = keys.item("transform").map(|it| steps::read(keys.reader, it));
    let return_rejects = keys.one_of("on_reject", &[("quarantine", false), ("return", true)]);
    let name = keys.text("name", name);

    keys.require(
        "source",
        "this route has no `source`",
        format!("write, for example, source = \"{}\"", sources::example()),
    );
    if !keys.has("id") {
        let remedy = "remove it, or name the field that identifies an event: id = \"event_id\"";
        keys.refuse("id_window", "`id_window` has no effect without `id`", remedy);
    }
    if target == Some(Target::Drop) {
        for key in ["id", "event_at", "transform"] {
            let what = format!("`{key}` has no effect on a route that drops its records");
            keys.refuse(key, what, "remove it");
        }
    }
    if let Some(source) = &source {
        refuse_for_source(keys, source, return_rejects == Some(true));
    }

    let line = keys.line();
    // A route with problems of its own must not be compared with others.
    if reader.problems.len() > problems {
        return None;
    }
    let (source, target) = (source?, target?);
    let has_name = name.is_some();
    let name = name.unwrap_or_else(|| match &target {
        Target::Table(table) => table.to_string(),
        Target::Tables(template, _) => template.as_str().to_owned(),
        Target::Drop => format!("drop-{nth}"),
    });
    let (steps, step_lines) = steps.unwrap_or_default().into_iter().unzip();
    let route = Route {
        name,
        source,
        when: when.unwrap_or_default(),
        unwrap,
        target,
        steps,
        id: id.map(|field| Id {
            field,
            window: window.unwrap_or(DEFAULT_ID_WINDOW_DAYS * DAY_MICROS),
        }),
        event_at,
        return_rejects: return_rejects.unwrap_or_default(),
    };
    Some(DraftRoute { route, line, has_name, step_lines })
}

const UNWRAPS: [(&str, Unwrap); 4] = [
    ("none", Unwrap::None),
    ("sns", Unwrap::Sns),
    ("eventbridge", Unwrap::EventBridge),
    ("auto", Unwrap::Auto),
];

/// Adds a problem for each key that routes of this source can't have.
fn refuse_for_source(keys: &mut SectionReader<'_, '_>, source: &Pattern, return_rejects: bool) {
    if !Kind::any_meant_by(source, Kind::may_unwrap) {
        let what = "`unwrap` is only for queues; records of a stream are not wrapped";
        keys.refuse("unwrap", what, "remove it");
    }
    if return_rejects && !Kind::any_meant_by(source, Kind::may_return_rejects) {
        let what = "on_reject = \"return\" is only for queues; it would block a stream";
        keys.refuse("on_reject", what, "remove it; rejected records go to quarantine");
    }
    if !Kind::any_meant_by(source, Kind::may_have_id) {
        let what = "`id` is only for queues and Kinesis streams; a change of a DynamoDB item \
                    already has an id";
        keys.refuse("id", what, "remove it");
    }
}

/// Reads `table`, `max_tables` and `drop`.
fn target(keys: &mut SectionReader<'_, '_>) -> Option<Target> {
    let scope = keys.text("table", scope);
    let max_tables = keys.whole_number("max_tables", 1..=1_000);
    let drop = keys.flag("drop")?;
    let text = keys.item("table").and_then(|it| it.get_ref().as_str());
    if !text.is_some_and(has_placeholder) {
        let what = "`max_tables` has no effect without a placeholder in `table`";
        let remedy = "remove it, or write, for example, table = \"events.{type}\"";
        keys.refuse("max_tables", what, remedy);
    }
    if drop {
        let what = "this route has both `table` and drop = true";
        let remedy = "remove one of them; a route either fills a table or drops its records";
        keys.refuse("table", what, remedy);
        return Some(Target::Drop).filter(|_| !keys.has("table"));
    }
    let remedy = "write table = \"namespace.name\", or drop = true to drop its records";
    keys.require("table", "this route has no `table`", remedy);
    Some(match scope? {
        Scope::Table(name) => Target::Table(name),
        Scope::Template(it) => Target::Tables(it, max_tables.unwrap_or(DEFAULT_MAX_TABLES)),
    })
}

/// Parses `name`.
fn name(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.len() > 120 || text.contains(char::is_control) {
        return Err(Problem::new(
            "`name` of a route must have 1 to 120 bytes and no control characters",
            "choose a short name, or remove it to use the name of the table",
        ));
    }
    Ok(text.to_owned())
}

/// Parses `id_window` into microseconds.
fn window(text: &str) -> Result<i64, Problem> {
    let window = duration(text).filter(|it| (MINUTE_MICROS..=366 * DAY_MICROS).contains(it));
    window.ok_or_else(|| {
        Problem::new(
            format!("`id_window` \"{text}\" is not a duration from 1 minute to 366 days"),
            "write a whole number of days, hours or minutes: \"15d\", \"36h\", \"90m\"",
        )
    })
}
