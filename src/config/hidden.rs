//! What a route's steps take away, against what else the route and its table ask for.

use crate::config::Problem;
use crate::config::findings::{fills, problem};
use crate::config::routes::DraftRoute;
use crate::config::tables::DraftTable;
use crate::name::snake;
use crate::route::{Path, Selector, Step, Target, Way};
use crate::table::declared::Declared;

/// Adds what asks for a field that is gone by then, or shows one that is to be hidden.
pub(super) fn problems(routes: &[DraftRoute], tables: &[DraftTable], found: &mut Vec<Problem>) {
    for draft in routes {
        named(draft, found);
        required(draft, found);
        renamed_twice(draft, found);
        in_the_table_name(draft, found);
        for table in tables {
            hashed_columns(draft, table, found);
        }
    }
}

/// The steps of a route with their lines.
fn steps(draft: &DraftRoute) -> impl Iterator<Item = (&Step, usize)> {
    draft.route.steps.iter().zip(draft.step_lines.iter().copied())
}

/// Whether nothing is left at `path` after a step.
fn takes_away(step: &Step, path: &Path) -> bool {
    let parts = path.parts();
    // What came with the record is no field of it until a step makes it one.
    let beside = matches!(parts, [first, _, ..] if first == "attributes" || first == "envelope");
    match step {
        Step::Drop(fields) => fields.iter().any(|it| it.covers(parts)),
        Step::Keep(fields) => !beside && !fields.iter().any(|it| it.touches(parts)),
        Step::Rename(_) | Step::Hash { .. } | Step::Require(_) | Step::Filter(_) => false,
    }
}

fn named(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let route = &draft.route;
    let id = route.id.as_ref().map(|it| ("id", &it.field));
    let event_at = route.event_at.as_ref().map(|it| ("event_at", it));
    for (key, path) in id.into_iter().chain(event_at) {
        if let Some((_, line)) = steps(draft).find(|(step, _)| takes_away(step, path)) {
            found.push(problem(
                line,
                format!("this step takes `{path}` away, which `{key}` of the route reads after it"),
                format!("leave `{path}` in, or hash it, or choose another field for `{key}`"),
            ));
        }
    }
}

fn required(draft: &DraftRoute, found: &mut Vec<Problem>) {
    for (at, (step, line)) in steps(draft).enumerate() {
        let paths: Vec<&Path> = match step {
            Step::Require(paths) => paths.iter().collect(),
            Step::Filter(conditions) => conditions.iter().map(|it| &it.path).collect(),
            _ => continue,
        };
        for path in paths {
            if steps(draft).take(at).any(|(before, _)| takes_away(before, path)) {
                found.push(problem(
                    line,
                    format!("this step looks at `{path}`, which a step before it takes away"),
                    "move it before that step: no record would pass",
                ));
            }
        }
    }
}

/// The name that a selector's last member has.
fn siblings(selector: &Selector) -> &[Way] {
    selector.ways().split_last().map_or(&[], |(_, rest)| rest)
}

fn renamed_twice(draft: &DraftRoute, found: &mut Vec<Problem>) {
    for (step, line) in steps(draft) {
        let Step::Rename(pairs) = step else { continue };
        for (at, (old, new)) in pairs.iter().enumerate() {
            let clash = pairs
                .iter()
                .take(at)
                .find(|(other, name)| name == new && siblings(other) == siblings(old));
            if let Some((other, _)) = clash {
                found.push(problem(
                    line,
                    format!("`{other}` and `{old}` are both renamed to `{new}`"),
                    "give one of them another name",
                ));
            }
        }
    }
}

fn in_the_table_name(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let Target::Tables(template, _) = &draft.route.target else { return };
    for path in template.fields() {
        let hidden = steps(draft).find(|(step, _)| match step {
            Step::Hash { fields, .. } => fields.iter().any(|it| it.touches(path.parts())),
            step => takes_away(step, path) && matches!(step, Step::Drop(_)),
        });
        if let Some((_, line)) = hidden {
            found.push(problem(
                line,
                format!(
                    "this step hides `{path}`, and the name of the table `{}` would show it",
                    template.as_str()
                ),
                "name the table by another field, or leave this one as it is",
            ));
        }
    }
}

/// A hash is a text, whatever was hashed.
fn hashed_columns(draft: &DraftRoute, table: &DraftTable, found: &mut Vec<Problem>) {
    if !fills(draft, &table.name) {
        return;
    }
    for (step, line) in steps(draft) {
        let Step::Hash { fields, .. } = step else { continue };
        for (column, at) in table.policy.columns.iter().zip(&table.column_lines) {
            let name = std::slice::from_ref(&column.name);
            let hashed = fields.iter().find(|it| {
                it.covers(name)
                    || matches!(it.ways(), [Way::Member(one)] if snake(one) == column.name)
            });
            if let Some(field) = hashed
                && !matches!(column.ty, Declared::String | Declared::Json)
            {
                found.push(problem(
                    *at,
                    format!("column `{}` is hashed by the step on line {line}", column.name),
                    format!("declare `{field}` as \"string\": a hash is a text"),
                ));
            }
        }
    }
}
