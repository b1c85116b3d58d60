//! Makes rows of records: the route's steps, then the lineage. No I/O.

mod edit;
mod hash;

mod steps;

use crate::digest;
use crate::json;
use crate::record::{Lineage, Origin, Payload, Record, Reject, Row};
use crate::route::{self, Path, Route, Step};
use crate::secret::Keys;
use crate::table::layout::Policy;
use crate::value::{self, Fields, Value};

use steps::Transformation;

/// Makes a row of a delivered record; `None` if a `filter` leaves it out. `keys` has those that the
/// route's steps name.
pub fn row(
    route: &Route,
    policy: &Policy,
    keys: &Keys,
    origin: &Origin,
    record: Record,
) -> Result<Option<Row>, Reject> {
    let missing = |what: &str| Reject::new("malformed_record", format!("it has no {what}"));
    // A record that has an id of its own word is told from others of the same id by its content.
    let is_claimed = match record.payload {
        Payload::Event(_) => route.id.is_some(),
        Payload::Change { .. } => origin.carrier.is_some(),
    };
    let as_delivered = (is_claimed && !hides(route)).then(|| content(&record));
    let mut transformation = Transformation::new(record, policy.old_image);
    if !transformation.apply(&route.steps, keys)? {
        return Ok(None);
    }
    let key = transformation.key();
    let mut record = transformation.record;
    let vouched_id = origin.vouched().id.as_deref().ok_or_else(|| missing("identity"))?;
    let digest = is_claimed.then(|| {
        let content = as_delivered.unwrap_or_else(|| content(&record));
        digest::of_record(&content, vouched_id)
    });
    let id_of_route = route.id.as_ref().filter(|_| matches!(record.payload, Payload::Event(_)));
    let id = match id_of_route {
        Some(id) => own_id(id, &record)?,
        None => origin.id.clone().ok_or_else(|| missing("identity"))?,
    };
    let before = match &record.payload {
        Payload::Change { old: Some(old), .. } if policy.old_image => Some(canonical(old)),
        Payload::Change { .. } | Payload::Event(_) => None,
    };
    let mut fields = std::mem::take(record.row_mut());
    let event_at = route.event_at.as_ref();
    let event_at = event_at.and_then(|it| route::event_time(it, policy, &record, &fields));
    for (name, value) in declared_metadata(policy, &record) {
        if value::get(&fields, &name).is_some() {
            let detail =
                format!("column {name} is declared, and the record has a field of this name");
            return Err(Reject::new("name_taken", detail));
        }
        fields.push((name, value));
    }
    let id_window = id_of_route.map(|it| it.window);
    let lineage = Lineage {
        id,
        source: origin.source.clone(),
        shard: origin.shard.clone(),
        key,
        position: Some(origin.position.clone().ok_or_else(|| missing("position"))?),
        op: record.op,
        deleted_by: record.deleted_by,
        event_at: event_at.or(origin.arrived_at),
        arrived_at: origin.arrived_at,
        digest,
        moved: origin.moved,
        id_window,
        before,
    };
    Ok(Some(Row { lineage, fields }))
}

/// Returns the reject of a record that looks like an envelope which could not be opened, if the route
/// hides fields: what they are to hide may be in the text within it, where no step finds it.
pub fn closed_envelope(route: &Route, record: &Record) -> Option<Reject> {
    let Payload::Event(fields) = &record.payload else { return None };
    // What was in an envelope is data.
    if !hides(route) || record.envelope.is_some() {
        return None;
    }
    let has = |name: &str| value::get(fields, name).is_some();
    let holds_object = |name: &str| match value::get(fields, name) {
        Some(Value::Text(text)) => json::members(text.as_bytes()).is_ok(),
        Some(Value::Map(_)) => name == "detail",
        _ => false,
    };
    let is_notification = holds_object("Message");
    let is_event = holds_object("detail") && (has("detail-type") || has("source"));
    let is_of_s3 = match value::get(fields, "Records") {
        Some(Value::List(records)) => records.iter().any(|it| match it {
            Value::Map(record) => {
                value::get(record, "eventSource") == Some(&Value::Text("aws:s3".to_owned()))
            }
            _ => false,
        }),
        _ => false,
    };
    (is_notification || is_event || is_of_s3).then(|| {
        let detail = "it looks like an envelope that can't be opened, and a step of its route hides \
                      fields that may be in it";
        Reject::new("no_envelope", detail)
    })
}

/// Returns true if the route's steps hide anything. Then the digest is of the fields that they leave,
/// because a reader of the table could guess hidden values from a hash of them. Else it is of the
/// delivered payload, so that a change of the config does not make another event of it.
fn hides(route: &Route) -> bool {
    let hides = |it: &Step| matches!(it, Step::Drop(..) | Step::Keep(..) | Step::Hash { .. });
    route.steps.iter().any(hides)
}

/// Returns the `_lw_id` by the route's `id`: a text, or a whole number.
fn own_id(id: &route::Id, record: &Record) -> Result<String, Reject> {
    let found = match record.find(id.field.parts()) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => number.whole(),
        _ => None,
    };
    found.ok_or_else(|| {
        let detail = format!(
            "field {}, which identifies the event, must be a text or a whole number; it is missing or \
             something else",
            id.field
        );
        Reject::new("no_id", detail)
    })
}

/// Returns the content of a record as canonical JSON. A producer that sends an event again with its
/// keys in another order has sent the same event.
fn content(record: &Record) -> String {
    match &record.payload {
        Payload::Event(fields) => canonical(fields),
        Payload::Change { keys, new, old } => {
            let image = |it: &Option<Fields>| it.as_ref().map_or("null".to_owned(), canonical);
            let (op, keys) = (record.op.as_str(), canonical(keys));
            format!("{op} {keys} {} {}", image(new), image(old))
        }
    }
}

fn canonical(fields: &Fields) -> String {
    let mut text = String::new();
    Value::Map(fields.clone()).write_json(true, &mut text);
    text
}

/// Returns the attributes and envelope fields that the table declares columns for.
fn declared_metadata(policy: &Policy, record: &Record) -> Fields {
    let found = policy.columns.iter().filter_map(|column| {
        let (metadata, name) = column.name.split_once('.')?;
        let fields = record.metadata(metadata)?;
        // A column is named like the attribute, even if that contains dots.
        let nested = || value::find(name.parse::<Path>().ok()?.parts(), fields);
        let value = value::get(fields, name).or_else(nested)?;
        Some((column.name.clone(), value.clone()))
    });
    found.collect()
}

#[cfg(test)]
mod tests;
