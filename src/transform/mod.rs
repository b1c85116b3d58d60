//! From a record to a row: the route's steps, then the lineage. Arithmetic only.

use crate::record::{Lineage, Origin, Payload, Record, Reject, Row};
use crate::route::{self, Route};
use crate::secret::Keys;
use crate::table::layout::Policy;
use crate::value::Value;

/// What a record becomes.
#[derive(Debug)]
pub enum Outcome {
    /// A row.
    Row(Row),
    /// Nothing: a `filter` does not match.
    Filtered,
}

/// The row of a delivered record, or why it is none. `keys` holds those that the route's steps
/// name.
pub fn row(
    route: &Route,
    policy: &Policy,
    keys: &Keys,
    origin: &Origin,
    record: Record,
) -> Result<Outcome, Reject> {
    let missing = |what: &str| Reject::new("malformed_record", format!("it has no {what}"));
    let _ = keys;
    let (key, op, deleted_by) = (key(&record), record.op, record.deleted_by);
    let fields = record.into_row();
    let lineage = Lineage {
        id: origin.id.clone().ok_or_else(|| missing("identity"))?,
        source: origin.source.clone(),
        shard: origin.shard.clone(),
        key,
        position: Some(origin.position.clone().ok_or_else(|| missing("position"))?),
        op,
        deleted_by,
        event_at: route::event_at(route, policy, &fields).or(origin.arrived_at),
        arrived_at: origin.arrived_at,
        digest: None,
        moved: origin.moved,
        id_window: None,
        before: None,
    };
    Ok(Outcome::Row(Row { lineage, fields }))
}

/// `_lw_key`: what was delivered as one, or DynamoDB's keys as canonical JSON.
fn key(record: &Record) -> Option<String> {
    match &record.payload {
        Payload::Event(_) => record.key.clone(),
        Payload::Change { keys, .. } => {
            let mut text = String::new();
            Value::Map(keys.clone()).write_json(true, &mut text);
            Some(text)
        }
    }
}
