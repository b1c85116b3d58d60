//! `[[route]]`

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Problems, in_order, kind};
use crate::config::keys::{ROUTE, nearest, not_yet};
use crate::config::tables::table_name;
use crate::route::{Path, Pattern, Route, Target, When};

/// A route that could be read, and where it stands.
pub(super) struct DraftRoute {
    pub route: Route,
    pub line: usize,
    /// Whether its name was written, not made up.
    pub named: bool,
}

/// A source that Lakeward serves: its service and what its ARNs' last part looks like.
struct Shape {
    service: &'static str,
    resource: &'static str,
    example: &'static str,
}

const DYNAMODB: Shape = Shape {
    service: "dynamodb",
    resource: "table/*/stream/*",
    example: "arn:aws:dynamodb:*:*:table/NAME/stream/*",
};
const KINESIS: Shape =
    Shape { service: "kinesis", resource: "stream/*", example: "arn:aws:kinesis:*:*:stream/NAME" };
const SQS: Shape = Shape { service: "sqs", resource: "*", example: "arn:aws:sqs:*:*:NAME" };

impl Shape {
    /// Whether ARNs of this source can match. Each of the six parts is compared by itself.
    fn fits(&self, source: &Pattern) -> bool {
        let shape = ["arn", "*", self.service, "*", "*", self.resource];
        let parts: Vec<&str> = source.as_str().splitn(shape.len(), ':').collect();
        let agree = parts
            .iter()
            .zip(shape)
            .all(|(part, shape)| Pattern::new(*part).may_overlap(&Pattern::new(shape)));
        // A star at the end also takes in the parts that were not written.
        agree && (parts.len() == shape.len() || parts.last().is_some_and(|it| it.ends_with('*')))
    }
}

/// Whether a DynamoDB stream can be meant.
pub(super) fn may_be_dynamodb(source: &Pattern) -> bool {
    DYNAMODB.fits(source) && !KINESIS.fits(source) && !SQS.fits(source)
}

/// Reads every `[[route]]`.
pub(super) fn read(problems: &mut Problems<'_>, root: &DeTable<'_>) -> Vec<DraftRoute> {
    let remedy = "write [[route]], with two brackets, above each route";
    let Some(item) = root.get("route") else { return Vec::new() };
    let Some(list) = item.get_ref().as_array() else {
        problems.add(&item.span(), format!("`route` is {}", kind(item.get_ref())), remedy);
        return Vec::new();
    };
    list.iter()
        .zip(1..)
        .filter_map(|(item, nth)| {
            let table = problems.table("a route", item, remedy)?;
            read_one(problems, item, table, nth)
        })
        .collect()
}

fn read_one(
    problems: &mut Problems<'_>,
    item: &Item<'_>,
    table: &DeTable<'_>,
    nth: usize,
) -> Option<DraftRoute> {
    let before = problems.list.len();
    problems.keys(&ROUTE, table);
    let source = source(problems, item, table);
    let when = table.get("when").map(|it| when(problems, it)).unwrap_or_default();
    let target = target(problems, item, table);
    let drops = matches!(target, Some(Target::Drop));
    let event_at = event_at(problems, table, drops);
    let return_rejects = return_rejects(problems, table, source.as_ref());
    let name = name(problems, table);
    let (source, target) = (source?, target?);
    let named = name.is_some();
    let name = name.unwrap_or_else(|| match &target {
        Target::Table(table) => table.to_string(),
        Target::Tables(template, _) => template.as_str().to_owned(),
        Target::Drop => format!("drop-{nth}"),
    });
    let route = Route {
        name,
        source,
        when,
        unwrap: None,
        target,
        steps: Vec::new(),
        id: None,
        event_at,
        return_rejects,
    };
    // A route that was read in part must not be held against the others.
    let whole = problems.list.len() == before;
    whole.then(|| DraftRoute { route, line: problems.line(item.span().start), named })
}

fn source(problems: &mut Problems<'_>, item: &Item<'_>, table: &DeTable<'_>) -> Option<Pattern> {
    if !table.contains_key("source") {
        problems.add(
            &item.span(),
            "this route has no `source`",
            format!("write source = \"{}\" or the like", KINESIS.example),
        );
    }
    let (text, span) = problems.text(&ROUTE, table, "source")?;
    let pattern = Pattern::new(text);
    let shapes = [DYNAMODB, KINESIS, SQS];
    if !shapes.iter().any(|it| it.fits(&pattern)) {
        let meant = shapes.iter().find(|it| text.split(':').nth(2) == Some(it.service));
        let remedy = match meant {
            Some(shape) => format!("its ARNs look like {}", shape.example),
            None => {
                let examples = shapes.map(|it| it.example);
                format!("sources look like {}", examples.join(" or "))
            }
        };
        problems.add(&span, format!("no stream and no queue matches source `{text}`"), remedy);
        return None;
    }
    if let Some((stream, _)) = text.split_once("/consumer/").filter(|_| KINESIS.fits(&pattern)) {
        problems.add(
            &span,
            format!("source `{text}` names a consumer, whose records count as their stream's"),
            format!("write source = \"{stream}\""),
        );
        return None;
    }
    Some(pattern)
}

fn name(problems: &mut Problems<'_>, table: &DeTable<'_>) -> Option<String> {
    let (text, span) = problems.text(&ROUTE, table, "name")?;
    if text.is_empty() || text.len() > 120 || text.contains(char::is_control) {
        problems.add(
            &span,
            "`name` of a route must have 1 to 120 printable bytes",
            "choose a short name, or leave it out to use the table's",
        );
        return None;
    }
    Some(text.to_owned())
}

fn target(problems: &mut Problems<'_>, item: &Item<'_>, table: &DeTable<'_>) -> Option<Target> {
    let drops = match table.get("drop").map(|it| (it.get_ref().as_bool(), it.span())) {
        None => false,
        Some((Some(drops), _)) => drops,
        Some((None, span)) => {
            problems.add(&span, "`drop` in [[route]] is not true or false", "write drop = true");
            return None;
        }
    };
    let text = problems.text(&ROUTE, table, "table");
    match (text, drops) {
        (Some((_, span)), true) => {
            problems.add(
                &span,
                "this route has a `table` and drop = true",
                "take out one: a route either fills a table or discards its records",
            );
            None
        }
        (Some((text, span)), false) if text.contains(['{', '}']) => {
            let (what, _) = not_yet("placeholders in `table`");
            problems.add(&span, what, "write a route with a `when` and a table for each value");
            None
        }
        (Some((text, span)), false) => table_name(problems, text, &span).map(Target::Table),
        (None, true) => Some(Target::Drop),
        (None, false) => {
            if !table.contains_key("table") {
                problems.add(
                    &item.span(),
                    "this route has no `table`",
                    "write table = \"namespace.name\", or drop = true to discard its records",
                );
            }
            None
        }
    }
}

fn path(problems: &mut Problems<'_>, text: &str, span: &Range<usize>) -> Option<Path> {
    match text.parse() {
        Ok(path) => Some(path),
        Err(error) => {
            let remedy = "write names joined by dots, such as detail.type or \"a.b\".c";
            problems.add(span, format!("{error}"), remedy);
            None
        }
    }
}

fn event_at(problems: &mut Problems<'_>, table: &DeTable<'_>, drops: bool) -> Option<Path> {
    let (text, span) = problems.text(&ROUTE, table, "event_at")?;
    if drops {
        let what = "`event_at` has no meaning on a route that drops its records";
        problems.add(&span, what, "take it out");
    }
    path(problems, text, &span)
}

fn return_rejects(
    problems: &mut Problems<'_>,
    table: &DeTable<'_>,
    source: Option<&Pattern>,
) -> bool {
    let Some((text, span)) = problems.text(&ROUTE, table, "on_reject") else { return false };
    match text {
        "quarantine" => false,
        "return" => {
            if source.is_some_and(|it| !SQS.fits(it)) {
                problems.add(
                    &span,
                    "on_reject = \"return\" is for queues; a stream would stand still",
                    "take it out: rejected records go to quarantine",
                );
            }
            true
        }
        other => {
            let known = ["quarantine", "return"];
            let remedy = match nearest(other, &known) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("write \"{}\"", known.join("\" or \"")),
            };
            problems.add(&span, format!("unknown on_reject \"{other}\""), remedy);
            false
        }
    }
}

fn when(problems: &mut Problems<'_>, item: &Item<'_>) -> Vec<When> {
    let remedy = "write when = { field = \"text\" }";
    let Some(table) = problems.table("`when` in [[route]]", item, remedy) else {
        return Vec::new();
    };
    let mut conditions = Vec::new();
    if table.is_empty() {
        problems.add(&item.span(), "`when` names no field", "take it out to take every record");
    }
    conditions_of(problems, None, table, &mut conditions);
    conditions
}

/// Reads conditions; a bare dotted key of TOML is nesting, which is what the path means too.
fn conditions_of(
    problems: &mut Problems<'_>,
    outer: Option<&Path>,
    table: &DeTable<'_>,
    conditions: &mut Vec<When>,
) {
    for (key, span, item) in in_order(table) {
        let Some(path) = path(problems, key, &span) else { continue };
        let path = outer.map_or_else(|| path.clone(), |it| it.join(&path));
        match item.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                conditions_of(problems, Some(&path), inner, conditions);
            }
            DeValue::Array(list) if !list.is_empty() => {
                let patterns: Vec<Pattern> =
                    list.iter().filter_map(|it| pattern(problems, &path, it)).collect();
                conditions.push(When { path, patterns });
            }
            DeValue::Table(_) | DeValue::Array(_) => problems.add(
                &item.span(),
                format!("`when` compares `{path}` with nothing"),
                "write a text, or a list of texts",
            ),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let patterns = pattern(problems, &path, item).into_iter().collect();
                conditions.push(When { path, patterns });
            }
        }
    }
}

fn pattern(problems: &mut Problems<'_>, path: &Path, item: &Item<'_>) -> Option<Pattern> {
    let text = item.get_ref().as_str();
    if text.is_none() {
        problems.add(
            &item.span(),
            format!("`when` compares `{path}` with {}, not a text", kind(item.get_ref())),
            "write it in quotes: \"2\" matches the number 2, \"true\" matches true",
        );
    }
    text.map(Pattern::new)
}
