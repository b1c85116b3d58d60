//! Where a `[[route]]` sends its records, and what names them: `table`, `max_tables`, `drop`, `id`.

use toml::de::DeTable;

use crate::config::document::{Item, Problems, whole_number};
use crate::config::keys::ROUTE;
use crate::config::routes::{may_be_dynamodb, path};
use crate::config::tables::{table_name, template};
use crate::pattern::Pattern;
use crate::route::{DEFAULT_ID_WINDOW_DAYS, DEFAULT_MAX_TABLES, Id, Target};

const MINUTE: i64 = 60 * 1_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Reads `table`, `max_tables` and `drop`.
pub(super) fn target(
    problems: &mut Problems<'_>,
    item: &Item<'_>,
    table: &DeTable<'_>,
) -> Option<Target> {
    let drops = match table.get("drop").map(|it| (it.get_ref().as_bool(), it.span())) {
        None => false,
        Some((Some(drops), _)) => drops,
        Some((None, span)) => {
            problems.add(&span, "`drop` in [[route]] is not true or false", "write drop = true");
            return None;
        }
    };
    let text = problems.text(&ROUTE, table, "table");
    let placeholder = text.as_ref().is_some_and(|(it, _)| it.contains(['{', '}']));
    let most = whole_number(problems, &ROUTE, table, "max_tables", 1..=1_000);
    if let Some(item) = table.get("max_tables").filter(|_| !placeholder) {
        problems.add(
            &item.span(),
            "`max_tables` has no meaning without a placeholder in `table`",
            "take it out, or write table = \"events.{type}\" or the like",
        );
    }
    match (text, drops) {
        (Some((_, span)), true) => {
            problems.add(
                &span,
                "this route has a `table` and drop = true",
                "take out one: a route either fills a table or discards its records",
            );
            None
        }
        (Some((text, span)), false) if placeholder => template(problems, text, &span)
            .map(|it| Target::Tables(it, most.unwrap_or(DEFAULT_MAX_TABLES))),
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

/// Reads `id` and `id_window`.
pub(super) fn id(
    problems: &mut Problems<'_>,
    table: &DeTable<'_>,
    source: Option<&Pattern>,
) -> Option<Id> {
    let window = window(problems, table);
    let field = problems.text(&ROUTE, table, "id");
    if let Some(item) = table.get("id_window").filter(|_| !table.contains_key("id")) {
        let remedy = "take it out, or say which field names the event: id = \"event_id\"";
        problems.add(&item.span(), "`id_window` has no meaning without an `id`", remedy);
    }
    let (text, span) = field?;
    if source.is_some_and(may_be_dynamodb) {
        problems.add(
            &span,
            "`id` is for queues and Kinesis streams; a change of a DynamoDB item has an id of its \
             own",
            "take it out",
        );
    }
    let field = path(problems, text, &span)?;
    Some(Id { field, window: window.unwrap_or(DEFAULT_ID_WINDOW_DAYS.saturating_mul(DAY)) })
}

/// Reads `id_window`, in microseconds.
fn window(problems: &mut Problems<'_>, table: &DeTable<'_>) -> Option<i64> {
    let (text, span) = problems.text(&ROUTE, table, "id_window")?;
    let window = duration(text).filter(|it| (MINUTE..=DAY.saturating_mul(366)).contains(it));
    if window.is_none() {
        problems.add(
            &span,
            format!("`id_window` \"{text}\" is no time from 1 minute to 366 days"),
            "write a whole number of days, hours or minutes: \"15d\", \"36h\", \"90m\"",
        );
    }
    window
}

/// `15d`, `36h`, `90m` in microseconds.
fn duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "d" => DAY,
        "h" => MINUTE.saturating_mul(60),
        "m" => MINUTE,
        _ => return None,
    };
    let digits = number.bytes().all(|it| it.is_ascii_digit());
    number.parse::<i64>().ok().filter(|_| digits)?.checked_mul(unit)
}
