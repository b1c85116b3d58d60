//! Notes on things that may be intended or may be mistakes.

use crate::config::draft::Draft;
use crate::config::problem::Problem;
use crate::config::routes::DraftRoute;
use crate::config::sources;
use crate::config::tables::DraftTable;
use crate::name::declared;
use crate::route::Target;
use crate::source::Kind;

/// The longest retention period of a queue.
const MAX_RETENTION_MICROS: i64 = 14 * 24 * 3_600 * 1_000_000;
/// `id_window`, if a route does not say another one.
const DEFAULT_WINDOW_MICROS: i64 = 15 * 24 * 3_600 * 1_000_000;

/// Returns the notes on a config without problems.
pub(in crate::config) fn notes(draft: &Draft) -> Vec<Problem> {
    let Draft { routes, tables, .. } = draft;
    let mut found = Vec::new();
    if routes.is_empty() {
        let what = "the config has no [[route]], so every event fails";
        let remedy = "write one for each stream and queue";
        found.push(Problem::new(what, remedy));
    }
    for table in tables {
        unfilled(routes, table, &mut found);
        stored_names(table, &mut found);
        old_images(routes, table, &mut found);
    }
    for route in routes {
        conditions_on_images(route, &mut found);
        short_window(route, &mut found);
        long_window(route, &mut found);
        returned_rejects(route, &mut found);
    }
    open_origins(routes, &mut found);
    found
}

fn unfilled(routes: &[DraftRoute], table: &DraftTable, found: &mut Vec<Problem>) {
    if !routes.iter().any(|it| it.fills(&table.scope)) {
        let what = format!("no route fills table `{}`", table.scope);
        let remedy = "write a [[route]] for it, or remove the section";
        found.push(Problem::new(what, remedy).on_line(table.line));
    }
}

fn stored_names(table: &DraftTable, found: &mut Vec<Problem>) {
    for (column, line) in table.columns() {
        let name = &column.name;
        let stored = declared(name, table.policy.names);
        let is_field = !["attributes.", "envelope."].iter().any(|it| name.starts_with(it));
        if stored != *name && is_field {
            let what = format!("column `{name}` is stored as `{stored}`");
            let remedy = format!("write `{stored}`, the name that queries use");
            found.push(Problem::new(what, remedy).on_line(line));
        }
    }
}

fn old_images(routes: &[DraftRoute], table: &DraftTable, found: &mut Vec<Problem>) {
    let has_changes = |it: &DraftRoute| {
        let source = &it.route.source;
        it.fills(&table.scope) && Kind::any_meant_by(source, Kind::may_have_images)
    };
    if table.policy.old_image && !routes.iter().any(has_changes) {
        let name = &table.scope;
        let what = format!(
            "table `{name}` has `old_image`, but no route fills it with changes of DynamoDB items"
        );
        let remedy = "remove `old_image`; only these changes have old images";
        found.push(Problem::new(what, remedy).on_line(table.line));
    }
}

fn conditions_on_images(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let only_changes = !Kind::any_meant_by(&draft.route.source, Kind::may_have_events);
    let conditions = draft.route.when.iter().filter(|it| it.path.parts().len() > 1);
    for when in conditions.filter(|_| only_changes) {
        let what = format!("`when` reads `{}`, which can't be a key", when.path);
        let remedy = "make sure that the stream has images; with keys only, this route matches \
                      no records";
        found.push(Problem::new(what, remedy).on_line(draft.line));
    }
}

fn short_window(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let route = &draft.route;
    let is_short = route.id.as_ref().is_some_and(|it| it.window < MAX_RETENTION_MICROS);
    if is_short && Kind::Sqs.is_meant_by(&route.source) {
        let what = format!("`id_window` of route `{}` is shorter than 14 days", route.name);
        let remedy = "write 14 days or more; queues keep messages for up to 14 days, and an event \
                      that arrives again after this time is two rows";
        found.push(Problem::new(what, remedy).on_line(draft.line));
    }
}

/// A process that has seen no file of the table yet reads a filter of each file of the window.
fn long_window(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let route = &draft.route;
    if route.id.as_ref().is_some_and(|it| it.window > DEFAULT_WINDOW_MICROS) {
        let what = format!("`id_window` of route `{}` is longer than 15 days", route.name);
        let remedy = "the first commit of a new environment reads about three bytes for each row of this \
                      time, and keeps 32 MB: beyond twenty million rows, commits take seconds; 15 days \
                      are enough for queues";
        found.push(Problem::new(what, remedy).on_line(draft.line));
    }
}

/// SQS gives a message that is moved back from a DLQ a new id.
fn returned_rejects(draft: &DraftRoute, found: &mut Vec<Problem>) {
    let route = &draft.route;
    if route.return_rejects && route.id.is_none() {
        let what = format!("route `{}` leaves rejected messages to the queue's DLQ", route.name);
        let remedy = "take them out with `lakeward redrive dlq` alone; messages that are moved back to \
                      their queue get new ids, so that a message of which a part has landed lands \
                      twice";
        found.push(Problem::new(what, remedy).on_line(draft.line));
    }
}

/// Adds one note for all routes, because most configs mean it.
fn open_origins(routes: &[DraftRoute], found: &mut Vec<Problem>) {
    let is_open = |it: &&DraftRoute| {
        it.route.target != Target::Drop && sources::has_open_origin(&it.route.source)
    };
    let open: Vec<&DraftRoute> = routes.iter().filter(is_open).collect();
    let Some(first) = open.first() else { return };
    let mut names: Vec<&str> = open.iter().map(|it| it.route.name.as_str()).collect();
    names.dedup();
    let what = format!("routes match sources in any region or account: {}", names.join(", "));
    let remedy = "if that is not intended, write region and account in `source`; `_lw_source` \
                  holds the source of each row";
    found.push(Problem::new(what, remedy).on_line(first.line));
}
