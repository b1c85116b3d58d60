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
    match step {
        Step::Drop(fields) => fields.iter().any(|it| it.covers(parts)),
        Step::Keep(fields) => !is_metadata(parts) && !fields.iter().any(|it| it.touches(parts)),
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

/// Finds hidden fields that the name of a table would show: it is filled in with the fields as they are
/// delivered.
pub(super) fn shown_in_table_name(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let Target::Tables(template, _) = &draft.route.target else { return };
    for path in template.fields() {
        let mut places = vec![path.parts().to_vec()];
        let hidden = steps(draft).find(|(step, _)| {
            let hides = places.iter().any(|it| hides(step, it));
            places = places.iter().flat_map(|it| moved(step, it)).collect();
            hides
        });
        if let Some((step, line)) = hidden {
            let table = template.as_str();
            let what = format!("this step hides `{path}`, but the table name `{table}` shows it");
            let remedy = match step {
                // The keys of an item stay even so, but no config says which fields they are.
                Step::Keep(_) => "use another field in the table name, or add this one to `keep`",
                _ => "use another field in the table name, or remove this step",
            };
            found.push(Problem::new(what, remedy).on_line(line));
        }
    }
}

/// Returns true if a step hides a value at `place`, or a part of it.
fn hides(step: &Step, place: &[String]) -> bool {
    match step {
        Step::Drop(fields) | Step::Hash { fields, .. } => {
            fields.iter().any(|it| it.covers(place) || it.touches(place))
        }
        Step::Keep(fields) => !is_metadata(place) && !fields.iter().any(|it| it.covers(place)),
        Step::Rename(_) | Step::Require(_) | Step::Filter(_) => false,
    }
}

/// Returns the places that a value at `place` may have after a step. A `rename` of an attribute or an
/// envelope field makes a field of it, and renames a field of the record's own that is called so.
fn moved(step: &Step, place: &[String]) -> Vec<Vec<String>> {
    let Step::Rename(pairs) = step else { return vec![place.to_vec()] };
    let mut places = vec![place.to_vec()];
    for (old, new) in pairs {
        let length = old.segments().len();
        let (renamed, mut others): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|it| old.covers(it));
        for place in renamed {
            let (before, behind) = place.split_at_checked(length).unwrap_or_default();
            let parent = before.split_last().map_or(&[][..], |(_, it)| it);
            let within = |parent: &[String]| [parent, std::slice::from_ref(new), behind].concat();
            if is_metadata(&place) {
                others.push(within(&[]));
            }
            others.push(within(parent));
        }
        places = others;
    }
    places
}

/// Returns true if a path leads into a message's attributes or its envelope, which are not fields of
/// the record until a step makes them one.
fn is_metadata(path: &[String]) -> bool {
    matches!(path, [first, _, ..] if first == "attributes" || first == "envelope")
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
