//! Fields that steps remove or hide, and that the route or its table needs or shows.

use crate::config::problem::Problem;
use crate::config::routes::DraftRoute;
use crate::config::tables::DraftTable;
use crate::name::snake;
use crate::route::{Path, Segment, Selector, Step, Target};
use crate::table::declared::DeclaredType;

/// Returns the steps of a route with their lines.
fn steps(draft: &DraftRoute) -> impl Iterator<Item = (&Step, usize)> {
    draft.route.steps.iter().zip(draft.step_lines.iter().copied())
}

/// Returns true if a step leaves nothing at `path`.
fn removes(step: &Step, path: &Path) -> bool {
    let parts = path.parts();
    // Attributes and envelopes are not fields of the record until a step makes them one.
    let is_field = !matches!(parts, [first, _, ..] if first == "attributes" || first == "envelope");
    match step {
        Step::Drop(fields) => fields.iter().any(|it| it.covers(parts)),
        Step::Keep(fields) => is_field && !fields.iter().any(|it| it.touches(parts)),
        Step::Rename(_) | Step::Hash { .. } | Step::Require(_) | Step::Filter(_) => false,
    }
}

/// Finds fields of `id` and `event_at` that a step removes.
pub(super) fn removed_fields(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let route = &draft.route;
    let id = route.id.as_ref().map(|it| ("id", &it.field));
    let event_at = route.event_at.as_ref().map(|it| ("event_at", it));
    for (key, path) in id.into_iter().chain(event_at) {
        if let Some((_, line)) = steps(draft).find(|(step, _)| removes(step, path)) {
            let what =
                format!("this step removes `{path}`, which `{key}` of the route reads afterwards");
            let remedy =
                format!("leave `{path}` in, or hash it, or choose another field for `{key}`");
            found.push(Problem::new(what, remedy).on_line(line));
        }
    }
}

/// Finds fields of `require` and `filter` that an earlier step removes.
pub(super) fn removed_conditions(draft: &DraftRoute, found: &mut Vec<Problem>) {
    for (index, (step, line)) in steps(draft).enumerate() {
        let paths: Vec<&Path> = match step {
            Step::Require(paths) => paths.iter().collect(),
            Step::Filter(conditions) => conditions.iter().map(|it| &it.path).collect(),
            Step::Drop(_) | Step::Keep(_) | Step::Rename(_) | Step::Hash { .. } => continue,
        };
        for path in paths {
            if steps(draft).take(index).any(|(earlier, _)| removes(earlier, path)) {
                let what = format!("this step reads `{path}`, which an earlier step removes");
                let remedy = "move it above that step, or no record passes";
                found.push(Problem::new(what, remedy).on_line(line));
            }
        }
    }
}

/// Finds fields that one step renames to the same name.
pub(super) fn renamed_to_same(draft: &DraftRoute, found: &mut Vec<Problem>) {
    // The way to the field without the field's own name.
    fn parent(selector: &Selector) -> &[Segment] {
        selector.segments().split_last().map_or(&[], |(_, rest)| rest)
    }
    for (step, line) in steps(draft) {
        let Step::Rename(pairs) = step else { continue };
        for (index, (old, new)) in pairs.iter().enumerate() {
            let mut earlier = pairs.iter().take(index);
            let same = earlier.find(|(other, name)| name == new && parent(other) == parent(old));
            if let Some((other, _)) = same {
                let what = format!("`{other}` and `{old}` are both renamed to `{new}`");
                let remedy = "give one of them another name";
                found.push(Problem::new(what, remedy).on_line(line));
            }
        }
    }
}

/// Finds hidden fields that the name of a table would show.
pub(super) fn shown_in_table_name(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let Target::Tables(template, _) = &draft.route.target else { return };
    for path in template.fields() {
        let hidden = steps(draft).find(|(step, _)| match step {
            Step::Hash { fields, .. } => fields.iter().any(|it| it.touches(path.parts())),
            step => matches!(step, Step::Drop(_)) && removes(step, path),
        });
        if let Some((_, line)) = hidden {
            let table = template.as_str();
            let what = format!("this step hides `{path}`, but the table name `{table}` shows it");
            let remedy = "use another field in the table name, or remove this step";
            found.push(Problem::new(what, remedy).on_line(line));
        }
    }
}

/// Finds columns of hashed fields whose type does not take a hash, which is text.
pub(super) fn hashed_columns(draft: &DraftRoute, table: &DraftTable, found: &mut Vec<Problem>) {
    if !draft.fills(&table.scope) {
        return;
    }
    for (step, step_line) in steps(draft) {
        let Step::Hash { fields, .. } = step else { continue };
        for (column, line) in table.columns() {
            let name = std::slice::from_ref(&column.name);
            let hashed = fields.iter().find(|it| {
                it.covers(name)
                    || matches!(it.segments(), [Segment::Member(one)] if snake(one) == column.name)
            });
            if let Some(field) = hashed
                && !matches!(column.ty, DeclaredType::String | DeclaredType::Json)
            {
                let name = &column.name;
                let what = format!("the step on line {step_line} hashes column `{name}`");
                let remedy = format!("declare `{field}` as \"string\", because a hash is text");
                found.push(Problem::new(what, remedy).on_line(line));
            }
        }
    }
}
