//! Mistakes that show only when the parts of a config are compared with each other.

mod columns;
mod notes;
mod routes;
mod steps;

pub(super) use notes::notes;

use crate::config::draft::Draft;
use crate::config::problem::Problem;

/// Returns the problems that keep the config from being used.
pub(super) fn problems(draft: &Draft) -> Vec<Problem> {
    let Draft { routes, tables, .. } = draft;
    let mut found = Vec::new();
    routes::names_used_twice(routes, &mut found);
    routes::unreachable(routes, &mut found);
    routes::different_unwraps(routes, &mut found);
    for route in routes {
        steps::removed_fields(route, &mut found);
        steps::removed_conditions(route, &mut found);
        steps::renamed_to_same(route, &mut found);
        steps::shown_in_table_name(route, &mut found);
        for table in tables {
            steps::hashed_columns(route, table, &mut found);
        }
    }
    for table in tables {
        columns::names(table, &mut found);
    }
    found
}
