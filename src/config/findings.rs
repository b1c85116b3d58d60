//! What is wrong, or worth a second look, only when the parts of a config are seen together.

use std::collections::BTreeMap;

use crate::config::read::Draft;
use crate::config::routes::{DraftRoute, may_be_dynamodb, may_be_kinesis, may_be_sqs};
use crate::config::tables::{DraftTable, Named};
use crate::config::{Problem, hidden};
use crate::name::{declared, is_lineage, snake};
use crate::route::{Target, When};

/// Adds what keeps the config from being used.
pub(super) fn problems(draft: &mut Draft<'_>) {
    let mut found = Vec::new();
    same_names(&draft.routes, &mut found);
    unreachable(&draft.routes, &mut found);
    unwraps(&draft.routes, &mut found);
    hidden::problems(&draft.routes, &draft.tables, &mut found);
    for table in &draft.tables {
        columns(table, &mut found);
    }
    draft.problems.list.append(&mut found);
}

/// What may well be meant.
pub(super) fn notes(routes: &[DraftRoute], tables: &[DraftTable]) -> Vec<Problem> {
    let mut found = Vec::new();
    if routes.is_empty() {
        found.push(Problem {
            line: None,
            what: "there is no [[route]], so every event fails".to_owned(),
            remedy: "write one for each stream and queue".to_owned(),
        });
    }
    unrouted(routes, tables, &mut found);
    renamed(tables, &mut found);
    never_keys(routes, &mut found);
    several_places(routes, &mut found);
    short_windows(routes, &mut found);
    no_old_images(routes, tables, &mut found);
    found
}

pub(super) fn problem(line: usize, what: String, remedy: impl Into<String>) -> Problem {
    Problem { line: Some(line), what, remedy: remedy.into() }
}

fn same_names(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &DraftRoute> = BTreeMap::new();
    for draft in routes {
        let name = draft.route.name.as_str();
        let Some(first) = seen.get(name) else {
            seen.insert(name, draft);
            continue;
        };
        // Routes that fill one table and were given no name share the table's.
        if draft.named || first.named {
            found.push(problem(
                draft.line,
                format!("the route on line {} is called `{name}` too", first.line),
                "give one of them another `name`",
            ));
        }
    }
}

fn unreachable(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    for (at, draft) in routes.iter().enumerate() {
        let earlier = routes.iter().take(at).find(|it| it.route.covers(&draft.route));
        if let Some(earlier) = earlier {
            found.push(problem(
                draft.line,
                format!(
                    "route `{}` never gets a record: route `{}` on line {} takes them all",
                    draft.route.name, earlier.route.name, earlier.line
                ),
                "move it before that route, or narrow that route's `when`",
            ));
        }
    }
}

/// A message is unwrapped before a route is chosen, so all routes that may get it must agree.
fn unwraps(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    for (at, draft) in routes.iter().enumerate() {
        let disagrees = routes.iter().take(at).find(|it| {
            it.route.unwrap.is_some()
                && draft.route.unwrap.is_some()
                && it.route.unwrap != draft.route.unwrap
                && it.route.source.may_overlap(&draft.route.source)
        });
        if let Some(other) = disagrees {
            found.push(problem(
                draft.line,
                format!(
                    "routes `{}` and `{}` (line {}) may get the same message and unwrap it \
                     differently",
                    draft.route.name, other.route.name, other.line
                ),
                "write the same `unwrap` in both, or sources that no queue has in common",
            ));
        }
    }
}

fn columns(table: &DraftTable, found: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for (column, line) in table.policy.columns.iter().zip(&table.column_lines) {
        let name = column.name.as_str();
        if name.is_empty() {
            found.push(problem(*line, "a column has no name".to_owned(), "give it one"));
            continue;
        }
        if is_lineage(name) {
            found.push(problem(
                *line,
                format!("column `{name}` has a name that is Lakeward's own"),
                format!("a record's field of that name lands in `{}`: write that", snake(name)),
            ));
            continue;
        }
        let stored = declared(name, table.policy.names);
        // No engine tells names apart by case alone.
        match seen.get(&stored.to_lowercase()) {
            Some((other, first)) => {
                let both = format!("columns `{name}` and `{other}` (line {first})");
                let text = if declared(other, table.policy.names) == stored {
                    format!("{both} are both stored as `{stored}`")
                } else {
                    format!("{both} differ only in case, by which engines tell no columns apart")
                };
                found.push(problem(*line, text, "declare one of them"));
            }
            None => {
                seen.insert(stored.to_lowercase(), (name, *line));
            }
        }
    }
}

/// Whether a route may fill what a section is about.
pub(super) fn fills(route: &DraftRoute, name: &Named) -> bool {
    match (&route.route.target, name) {
        (Target::Table(table), Named::Table(name)) => table == name,
        (Target::Tables(template, _), Named::Table(name)) => template.makes(name),
        (Target::Tables(template, _), Named::Template(name)) => template == name,
        _ => false,
    }
}

fn unrouted(routes: &[DraftRoute], tables: &[DraftTable], found: &mut Vec<Problem>) {
    for table in tables.iter().filter(|it| !routes.iter().any(|route| fills(route, &it.name))) {
        found.push(problem(
            table.line,
            format!("no route fills table `{}`", table.name),
            "write a [[route]] for it, or take it out",
        ));
    }
}

fn renamed(tables: &[DraftTable], found: &mut Vec<Problem>) {
    for table in tables {
        for (column, line) in table.policy.columns.iter().zip(&table.column_lines) {
            let stored = declared(&column.name, table.policy.names);
            let beside = ["attributes.", "envelope."].iter().any(|it| column.name.starts_with(it));
            if stored != column.name && !beside {
                found.push(problem(
                    *line,
                    format!("column `{}` is stored as `{stored}`", column.name),
                    format!("write `{stored}`, the name that queries use"),
                ));
            }
        }
    }
}

fn never_keys(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    let nested = |when: &&When| when.path.parts().len() > 1;
    for draft in routes.iter().filter(|it| may_be_dynamodb(&it.route.source)) {
        for when in draft.route.when.iter().filter(nested) {
            found.push(problem(
                draft.line,
                format!("`when` looks at `{}`, which can be no key", when.path),
                "make sure that the stream carries images: with keys alone this route takes nothing",
            ));
        }
    }
}

fn short_windows(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    const RETENTION: i64 = 14 * 24 * 3_600 * 1_000_000;
    for draft in routes.iter().filter(|it| may_be_sqs(&it.route.source)) {
        if draft.route.id.as_ref().is_some_and(|it| it.window < RETENTION) {
            found.push(problem(
                draft.line,
                format!("`id_window` of route `{}` is shorter than 14 days", draft.route.name),
                "queues keep messages for up to 14 days; an event that is sent again later than \
                 the window lands twice",
            ));
        }
    }
}

fn no_old_images(routes: &[DraftRoute], tables: &[DraftTable], found: &mut Vec<Problem>) {
    for table in tables.iter().filter(|it| it.policy.old_image) {
        let has_changes = |it: &DraftRoute| {
            let source = &it.route.source;
            fills(it, &table.name) && (may_be_dynamodb(source) || may_be_kinesis(source))
        };
        if !routes.iter().any(has_changes) {
            found.push(problem(
                table.line,
                format!(
                    "table `{}` keeps old images, and no stream of changes fills it",
                    table.name
                ),
                "take old_image out: only changes of DynamoDB items have one",
            ));
        }
    }
}

/// One note for all of them: most configs mean it.
fn several_places(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    let anywhere: Vec<&DraftRoute> = routes
        .iter()
        .filter(|it| it.route.target != Target::Drop)
        .filter(|it| {
            let parts: Vec<&str> = it.route.source.as_str().splitn(6, ':').collect();
            parts.len() < 6 || parts.iter().skip(3).take(2).any(|it| it.contains('*'))
        })
        .collect();
    let Some(first) = anywhere.first() else { return };
    let mut names: Vec<&str> = anywhere.iter().map(|it| it.route.name.as_str()).collect();
    names.dedup();
    found.push(problem(
        first.line,
        format!("routes that match sources of any region or account: {}", names.join(", ")),
        "where that is not meant, write region and account into `source`; rows tell their source \
         in `_lw_source`",
    ));
}
