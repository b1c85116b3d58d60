//! Routes that are in each other's way.

use std::collections::BTreeMap;

use crate::config::problem::Problem;
use crate::config::routes::DraftRoute;

pub(super) fn names_used_twice(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &DraftRoute> = BTreeMap::new();
    for draft in routes {
        let name = draft.route.name.as_str();
        let Some(first) = seen.get(name) else {
            seen.insert(name, draft);
            continue;
        };
        // Routes without a name of their own share the name of their table.
        if draft.has_name || first.has_name {
            let what = format!("the route on line {} already has the name `{name}`", first.line);
            let remedy = "give one of them another `name`";
            found.push(Problem::new(what, remedy).on_line(draft.line));
        }
    }
}

pub(super) fn unreachable(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    for (index, draft) in routes.iter().enumerate() {
        let earlier = routes.iter().take(index).find(|it| it.route.covers(&draft.route));
        if let Some(earlier) = earlier {
            let (name, first, line) = (&draft.route.name, &earlier.route.name, earlier.line);
            let what = format!(
                "route `{name}` never gets a record: route `{first}` on line {line} matches them \
                 all"
            );
            let remedy = "move it above that route, or narrow that route's `when`";
            found.push(Problem::new(what, remedy).on_line(draft.line));
        }
    }
}

/// A message is unwrapped before its route is chosen, so all routes that may get it must agree.
pub(super) fn different_unwraps(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    for (index, draft) in routes.iter().enumerate() {
        let differs = routes.iter().take(index).find(|it| {
            it.route.unwrap.is_some()
                && draft.route.unwrap.is_some()
                && it.route.unwrap != draft.route.unwrap
                && it.route.source.may_overlap(&draft.route.source)
        });
        if let Some(other) = differs {
            let what = format!(
                "routes `{}` and `{}` (line {}) may get the same message but unwrap it differently",
                draft.route.name, other.route.name, other.line
            );
            let remedy = "write the same `unwrap` in both, or sources that have no queue in common";
            found.push(Problem::new(what, remedy).on_line(draft.line));
        }
    }
}
