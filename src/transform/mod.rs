//! From a record to a row: the route's steps, then the lineage. Arithmetic only.

mod hash;
mod place;
mod steps;

use crate::record::{Lineage, Origin, Payload, Record, Reject, Row};
use crate::route::{self, Path, Route, Step};
use crate::secret::Keys;
use crate::table::layout::Policy;
use crate::value::{self, Fields, Value};

use steps::Work;

/// The row of a delivered record, or why it is none; `None` where a `filter` leaves it out. `keys`
/// holds those that the route's steps name.
pub fn row(
    route: &Route,
    policy: &Policy,
    keys: &Keys,
    origin: &Origin,
    record: Record,
) -> Result<Option<Row>, Reject> {
    let missing = |what: &str| Reject::new("malformed_record", format!("it has no {what}"));
    let as_delivered = digest(route, &record).filter(|_| !hides(route));
    let mut work = Work::new(record, policy.old_image);
    if !work.take(&route.steps, keys)? {
        return Ok(None);
    }
    let key = work.key();
    let record = work.record;
    let digest = as_delivered.or_else(|| digest(route, &record));
    let mut id = origin.id.clone().ok_or_else(|| missing("identity"))?;
    if digest.is_some() {
        id = own_id(route, &record)?;
    }
    let before = match &record.payload {
        Payload::Change { old: Some(old), .. } if policy.old_image => Some(canonical(old)),
        Payload::Change { .. } | Payload::Event(_) => None,
    };
    let (op, deleted_by) = (record.op, record.deleted_by);
    let beside = beside(policy, &record);
    let told = route::told(route, policy, &record);
    let mut fields = record.into_row();
    let event_at = told.unwrap_or_else(|| route::event_at(route, policy, &fields));
    for (name, value) in beside {
        if value::get(&fields, &name).is_some() {
            let detail = format!("column {name} is declared, and the record has a field called so");
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
        op,
        deleted_by,
        event_at: event_at.or(origin.arrived_at),
        arrived_at: origin.arrived_at,
        digest,
        moved: origin.moved,
        id_window,
        before,
    };
    Ok(Some(Row { lineage, fields }))
}

/// The hash of a record's content, where its route names it; changes of items have a name of
/// their own.
fn digest(route: &Route, record: &Record) -> Option<String> {
    match (&route.id, &record.payload) {
        (Some(_), Payload::Event(fields)) => Some(hash::digest(fields)),
        _ => None,
    }
}

/// Whether the route's steps hide anything. Then the content is what they leave: whoever reads the
/// table could try values on a hash of the rest. Else it is what was delivered, so that a change
/// of the config makes no other event of it.
fn hides(route: &Route) -> bool {
    let hides = |it: &Step| matches!(it, Step::Drop(..) | Step::Keep(..) | Step::Hash { .. });
    route.steps.iter().any(hides)
}

/// `_lw_id` by the route's `id`: a text, or a whole number.
fn own_id(route: &Route, record: &Record) -> Result<String, Reject> {
    let Some(id) = &route.id else { return Err(Reject::new("no_id", "its route has no id")) };
    let found = match record.find(id.field.parts()) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => number.whole(),
        _ => None,
    };
    found.ok_or_else(|| {
        let detail = format!("{}, which names the event, is no text and no whole number", id.field);
        Reject::new("no_id", detail)
    })
}

fn canonical(fields: &Fields) -> String {
    let mut text = String::new();
    Value::Map(fields.clone()).write_json(true, &mut text);
    text
}

/// The attributes and envelope fields that the table declares a column for.
fn beside(policy: &Policy, record: &Record) -> Fields {
    let found = policy.columns.iter().filter_map(|column| {
        let (place, name) = column.name.split_once('.')?;
        let fields = match place {
            "attributes" => record.attributes.as_ref()?,
            "envelope" => record.envelope.as_ref()?,
            _ => return None,
        };
        // Names of attributes may hold dots, which nobody puts in quotes here.
        let nested = || value::find(name.parse::<Path>().ok()?.parts(), fields);
        let value = value::get(fields, name).or_else(nested)?;
        Some((column.name.clone(), value.clone()))
    });
    found.collect()
}

#[cfg(test)]
mod tests;
