//! Events: every record is delivered once, on one way, and the answer names only what was delivered.

use std::collections::HashSet;
use std::sync::OnceLock;

use lakeward::config::{self, Config, Overrides};
use lakeward::outcome::{Outcome, RecordState};
use lakeward::record::{Content, Delivery, Part, Receipt, Row};
use lakeward::response;
use lakeward::route::{self, Target};
use lakeward::secret::Keys;
use lakeward::source::{Event, Redelivery};
use lakeward::table::layout::Policy;
use lakeward::transform;
use serde_json::Value;

use super::{accounts, canary};

/// Routes of every kind, but for those that need a key.
const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:*:dynamodb:*:*:table/*"
when = { pk = "SESSION#*" }
drop = true

[[route]]
source = "arn:*:dynamodb:*:*:table/*"
table = "shop.changes"
transform = [{ rename = { "note" = "remark" } }, { drop = ["payment.card", "items[].card"] }]

[[route]]
source = "arn:*:kinesis:*:*:stream/*"
when = { type = ["page*", "signup"] }
table = "web.{type}"

[[route]]
source = "arn:*:kinesis:*:*:stream/*"
table = "web.events"
event_at = "at"
transform = [{ filter = { kind = "mail*" } }]

[[route]]
source = "arn:*:sqs:*:*:*"
unwrap = "auto"
table = "jobs.tasks"
id = "id"

[table."shop.changes"]
old_image = "json"

[table."web.events".columns]
at = "timestamp(rfc3339)"
amount = "decimal(12,2)"

[table."jobs.tasks"]
max_columns = 5
"#;

/// Rows that are placed; more take long and show nothing new.
const MAX_ROWS: usize = 32;

fn routes() -> &'static Config {
    static CHECKED: OnceLock<Config> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let checked = config::check(CONFIG, &Overrides::default());
        assert_eq!(checked.problems, []);
        checked.config.unwrap()
    })
}

/// Reads an event; no message repeats its content.
fn read(event: &[u8]) -> Option<Event<'_>> {
    match Event::read(event) {
        Ok(event) => Some(event),
        Err(error) => {
            canary::silent(&error.to_string());
            None
        }
    }
}

fn decode<'a>(event: &Event<'a>) -> Vec<Delivery<'a>> {
    let all: Vec<usize> = (0..event.len()).collect();
    event.decode(&all, |arn| route::unwrap_of(&routes().routes, arn))
}

pub fn run(data: &[u8]) {
    let Some(event) = read(data) else { return };
    let deliveries = decode(&event);
    // Another reader of JSON counts the same records.
    let records = serde_json::from_slice::<Value>(data);
    if let Some(records) = records.as_ref().ok().and_then(|it| it["Records"].as_array()) {
        assert_eq!(deliveries.len(), records.len(), "a record is lost or made up");
    }
    let again = read(data).map(|it| said(&decode(&it)));
    assert_eq!(again, Some(said(&deliveries)), "read again, it differs");
    alone(&deliveries);
    answered(&event, &deliveries);
    sent(deliveries);
}

/// Describes each record: its identity and its decoded form.
fn said(deliveries: &[Delivery<'_>]) -> Vec<String> {
    let of_delivery = |parts: &Vec<Part<'_>>| {
        let each = parts.iter().map(|it| format!("{:?} {:?}", it.origin, it.record));
        each.collect::<Vec<_>>().join("\n")
    };
    let each = deliveries.iter().map(|it| match &it.content {
        Content::Parts(parts) => format!("{:?} {} {}", it.receipt, it.source, of_delivery(parts)),
        Content::Deferred => "deferred".to_owned(),
    });
    each.collect()
}

/// A record is the same by itself as in its batch.
fn alone(deliveries: &[Delivery<'_>]) {
    for delivery in deliveries {
        let Content::Parts(parts) = &delivery.content else { continue };
        let Some(first) = parts.first() else { continue };
        let by_itself = [b"{\"Records\":[", first.raw.record, b"]}"].concat();
        // What does not say where it comes from is nothing by itself.
        let Some(by_itself) = read(&by_itself).map(|it| decode(&it)) else { continue };
        assert_eq!(by_itself.len(), 1, "one record became several");
        let found = said(&by_itself);
        assert!(said(deliveries).contains(&found[0]), "by itself a record is another: {found:?}");
    }
}

/// The answer names each record that is not durable, and none that was not delivered.
fn answered(event: &Event<'_>, deliveries: &[Delivery<'_>]) {
    let durable = |at: usize| !at.wrapping_mul(2_654_435_761).is_multiple_of(3);
    let states = |all: bool| {
        let each = deliveries.iter().enumerate().map(move |(at, it)| {
            let mut state = RecordState::new(it.receipt.clone(), it.group.clone());
            state.worsen(if all || durable(at) { Outcome::Landed } else { Outcome::Failed });
            state
        });
        each.collect::<Vec<_>>()
    };
    assert_eq!(response::failures(event.redelivery(), &states(true)), Ok(vec![]));
    let states = states(false);
    let Ok(failures) = response::failures(event.redelivery(), &states) else {
        assert!(states.iter().any(|it| it.receipt.is_none()), "each could have been told");
        return;
    };
    let told: HashSet<&Receipt> = failures.iter().copied().collect();
    let batch: HashSet<&Receipt> = states.iter().filter_map(|it| it.receipt.as_ref()).collect();
    assert!(told.is_subset(&batch), "the answer names what was not delivered");
    assert_eq!(told.len(), failures.len(), "the answer names a record twice");
    let failed = || states.iter().filter(|it| !it.outcome.is_durable());
    match event.redelivery() {
        Redelivery::FromFirstFailure => assert_eq!(told.len(), usize::from(failed().count() > 0)),
        Redelivery::EachFailure | Redelivery::RestOfGroup => {
            assert!(
                failed().all(|it| told.contains(it.receipt.as_ref().unwrap())),
                "a loss is not told"
            );
        }
    }
    let Ok(answer) = response::answer(event.kind(), &failures, event.window_state()) else {
        return;
    };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let told = answer["batchItemFailures"].as_array().unwrap().iter();
    let told: Vec<&str> = told.map(|it| it["itemIdentifier"].as_str().unwrap()).collect();
    assert_eq!(told, failures.iter().map(|it| it.as_str()).collect::<Vec<_>>());
}

/// Each record becomes a row, a reject, or is left out by its route; each value of a row has a place.
fn sent(deliveries: Vec<Delivery<'_>>) {
    let config = routes();
    let keys = Keys::default();
    let mut rows: Vec<(&Policy, Row)> = Vec::new();
    for delivery in deliveries {
        let of_source = route::of_source(&config.routes, &delivery.source);
        let Content::Parts(parts) = delivery.content else { continue };
        for Part { origin, record, raw: _ } in parts {
            let record = match record {
                Ok(record) => record,
                Err(reject) => {
                    canary::sound(&reject);
                    continue;
                }
            };
            let Some(route) = route::choose(&of_source, &record) else { continue };
            let table = match &route.target {
                Target::Drop => continue,
                Target::Table(table) => table.clone(),
                Target::Tables(template, _) => match template.fill(&record) {
                    Ok(table) => {
                        assert!(template.makes(&table) && !table.is_own(), "{table}");
                        table
                    }
                    Err(reject) => {
                        canary::sound(&reject);
                        continue;
                    }
                },
            };
            let policy = config.policy(&table);
            match transform::row(route, policy, &keys, &origin, record) {
                Ok(Some(row)) => rows.push((policy, row)),
                Ok(None) => {}
                Err(reject) => canary::sound(&reject),
            }
        }
    }
    for (_, row) in &rows {
        let lineage = &row.lineage;
        assert!(!lineage.id.is_empty() && !lineage.source.is_empty());
        let position = lineage.position.as_deref().unwrap();
        assert!(position.len() >= 60 && position.bytes().all(|it| it.is_ascii_digit()));
    }
    rows.truncate(MAX_ROWS);
    while let Some((policy, _)) = rows.first() {
        let policy = *policy;
        let of_policy = |it: &mut (&Policy, Row)| std::ptr::eq(it.0, policy);
        let batch: Vec<Row> = rows.extract_if(.., of_policy).map(|(_, row)| row).collect();
        accounts::check(&batch, policy);
    }
}
