//! `[[route]]`

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::document::{Item, Problems, in_order, kind};
use crate::config::keys::{ROUTE, nearest};
use crate::config::read::one_of;
use crate::config::steps::{self, DraftStep};
use crate::config::targets::{id, target};
use crate::pattern::Pattern;
use crate::route::{Path, Route, Target, When};
use crate::source::Unwrap;

/// A route that could be read, and where it stands.
pub(super) struct DraftRoute {
    pub route: Route,
    pub line: usize,
    /// Whether its name was written, not made up.
    pub named: bool,
    /// Line of each of its steps.
    pub step_lines: Vec<usize>,
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

/// Whether DynamoDB streams can be meant, and nothing else.
pub(super) fn may_be_dynamodb(source: &Pattern) -> bool {
    DYNAMODB.fits(source) && !KINESIS.fits(source) && !SQS.fits(source)
}

/// Whether a Kinesis stream can be meant.
pub(super) fn may_be_kinesis(source: &Pattern) -> bool {
    KINESIS.fits(source)
}

/// Whether a queue can be meant.
pub(super) fn may_be_sqs(source: &Pattern) -> bool {
    SQS.fits(source)
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
    let when = table.get("when").map(|it| conditions(problems, it, "when")).unwrap_or_default();
    let unwrap = unwrap(problems, table, source.as_ref());
    let target = target(problems, item, table);
    if target == Some(Target::Drop) {
        no_meaning(problems, table);
    }
    let id = id(problems, table, source.as_ref());
    let event_at = event_at(problems, table);
    let drafts = steps::read(problems, table);
    let return_rejects = return_rejects(problems, table, source.as_ref());
    let name = name(problems, table);
    let (source, target) = (source?, target?);
    let named = name.is_some();
    let name = name.unwrap_or_else(|| match &target {
        Target::Table(table) => table.to_string(),
        Target::Tables(template, _) => template.as_str().to_owned(),
        Target::Drop => format!("drop-{nth}"),
    });
    let (steps, step_lines) =
        drafts.into_iter().map(|DraftStep { step, line }| (step, line)).unzip();
    let route = Route { name, source, when, unwrap, target, steps, id, event_at, return_rejects };
    // A route that was read in part must not be held against the others.
    let whole = problems.list.len() == before;
    whole.then(|| DraftRoute { route, line: problems.line(item.span().start), named, step_lines })
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

pub(super) fn path(problems: &mut Problems<'_>, text: &str, span: &Range<usize>) -> Option<Path> {
    match text.parse() {
        Ok(path) => Some(path),
        Err(error) => {
            let remedy = "write names joined by dots, such as detail.type or \"a.b\".c";
            problems.add(span, format!("{error}"), remedy);
            None
        }
    }
}

/// Names the keys that say something about rows on a route that makes none.
fn no_meaning(problems: &mut Problems<'_>, table: &DeTable<'_>) {
    for key in ["id", "event_at", "transform"] {
        if let Some(item) = table.get(key) {
            let what = format!("`{key}` has no meaning on a route that drops its records");
            problems.add(&item.span(), what, "take it out");
        }
    }
}

fn event_at(problems: &mut Problems<'_>, table: &DeTable<'_>) -> Option<Path> {
    let (text, span) = problems.text(&ROUTE, table, "event_at")?;
    path(problems, text, &span)
}

fn unwrap(
    problems: &mut Problems<'_>,
    table: &DeTable<'_>,
    source: Option<&Pattern>,
) -> Option<Unwrap> {
    let (text, span) = problems.text(&ROUTE, table, "unwrap")?;
    if source.is_some_and(|it| !may_be_sqs(it)) {
        let what = "`unwrap` is for queues: nothing wraps the records of a stream";
        problems.add(&span, what, "take it out");
    }
    let known = [
        ("none", Unwrap::None),
        ("sns", Unwrap::Sns),
        ("eventbridge", Unwrap::EventBridge),
        ("auto", Unwrap::Auto),
    ];
    match one_of("unwrap", text, &known) {
        Ok(unwrap) => Some(unwrap),
        Err((what, remedy)) => {
            problems.add(&span, what, remedy);
            None
        }
    }
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

/// Reads the conditions of `key`, which is `when` or `filter`.
pub(super) fn conditions(problems: &mut Problems<'_>, item: &Item<'_>, key: &str) -> Vec<When> {
    let remedy = format!("write {key} = {{ field = \"text\" }}");
    let Some(table) = problems.table(&format!("`{key}`"), item, &remedy) else {
        return Vec::new();
    };
    let mut conditions = Vec::new();
    if table.is_empty() {
        let what = format!("`{key}` names no field");
        problems.add(&item.span(), what, "take it out to take every record");
    }
    conditions_of(problems, key, None, table, &mut conditions);
    conditions
}

/// Reads conditions; a bare dotted key of TOML is nesting, which is what the path means too.
fn conditions_of(
    problems: &mut Problems<'_>,
    key: &str,
    outer: Option<&Path>,
    table: &DeTable<'_>,
    conditions: &mut Vec<When>,
) {
    for (name, span, item) in in_order(table) {
        let Some(path) = path(problems, name, &span) else { continue };
        let path = outer.map_or_else(|| path.clone(), |it| it.join(&path));
        match item.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                conditions_of(problems, key, Some(&path), inner, conditions);
            }
            DeValue::Array(list) if !list.is_empty() => {
                let patterns: Vec<Pattern> =
                    list.iter().filter_map(|it| pattern(problems, key, &path, it)).collect();
                conditions.push(When { path, patterns });
            }
            DeValue::Table(_) | DeValue::Array(_) => problems.add(
                &item.span(),
                format!("`{key}` compares `{path}` with nothing"),
                "write a text, or a list of texts",
            ),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let patterns = pattern(problems, key, &path, item).into_iter().collect();
                conditions.push(When { path, patterns });
            }
        }
    }
}

fn pattern(
    problems: &mut Problems<'_>,
    key: &str,
    path: &Path,
    item: &Item<'_>,
) -> Option<Pattern> {
    let text = item.get_ref().as_str();
    if text.is_none() {
        problems.add(
            &item.span(),
            format!("`{key}` compares `{path}` with {}, not a text", kind(item.get_ref())),
            "write it in quotes: \"2\" matches the number 2, \"true\" matches true",
        );
    }
    text.map(Pattern::new)
}
