//! Makes rows of records: the route's steps, then the lineage. No I/O.

mod edit;
mod hash;

mod steps;

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
    let as_delivered = digest(route, &record).filter(|_| !hides(route));
    let mut transformation = Transformation::new(record, policy.old_image);
    if !transformation.apply(&route.steps, keys)? {
        return Ok(None);
    }
    let key = transformation.key();
    let mut record = transformation.record;
    let digest = as_delivered.or_else(|| digest(route, &record));
    let mut id = origin.id.clone().ok_or_else(|| missing("identity"))?;
    if digest.is_some() {
        id = own_id(route, &record)?;
    }
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
    let id_window = route.id.as_ref().filter(|_| digest.is_some()).map(|it| it.window);
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

/// Returns the digest of a record's payload if its route has an `id`; changes of items have an id of
/// their own.
fn digest(route: &Route, record: &Record) -> Option<String> {
    match (&route.id, &record.payload) {
        (Some(_), Payload::Event(fields)) => Some(hash::digest(fields)),
        _ => None,
    }
}

/// Returns true if the route's steps hide anything. Then the digest is of the fields that they leave,
/// because a reader of the table could guess hidden values from a hash of them. Else it is of the
/// delivered payload, so that a change of the config does not make another event of it.
fn hides(route: &Route) -> bool {
    let hides = |it: &Step| matches!(it, Step::Drop(..) | Step::Keep(..) | Step::Hash { .. });
    route.steps.iter().any(hides)
}

/// Returns the `_lw_id` by the route's `id`: a text, or a whole number.
fn own_id(route: &Route, record: &Record) -> Result<String, Reject> {
    let Some(id) = &route.id else { return Err(Reject::new("no_id", "its route has no id")) };
    let found = match record.find(id.field.parts()) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => number.whole(),
        _ => None,
    };
    found.ok_or_else(|| {
        let detail = format!(
            "field {}, which identifies the event, is missing or neither a text nor a whole number",
            id.field
        );
        Reject::new("no_id", detail)
    })
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
