//! DynamoDB stream records: changes of items.

use crate::arn::Arn;
use crate::json::Json;
use crate::number::Number;
use crate::record::{DeletedBy, Delivery, Op, Origin, Payload, Record, Reject};
use crate::source::attribute;
use crate::source::members::{
    Object, get, malformed, object, padded, salvage, sequence, single, take, take_object, text,
    text_or_number,
};
use crate::time::{TimeUnit, Timestamp};
use crate::value::Fields;

/// The principal of deletions by time to live.
const TTL_PRINCIPAL: &str = "dynamodb.amazonaws.com";

/// The `eventName` of an item of an export, which the command line passes in; no stream has it.
const READ: &str = "READ";

/// Times from here on are microseconds since 1970 (March 1973); smaller ones are milliseconds (until
/// the year 5138).
const MIN_MICROS: i64 = 100_000_000_000_000;

/// Returns the delivery of a stream record.
pub(super) fn delivery(raw: &[u8], arn: Arn) -> Delivery<'_> {
    match object(raw) {
        Ok(mut members) => {
            let change = take_object(&mut members, "dynamodb");
            let (receipt, origin) = identify(&members, change.as_ref(), &arn);
            let record = decode(members, change, &origin);
            single(raw, arn, receipt, origin, record)
        }
        Err(reject) => {
            let mut members = salvage(raw, Some("dynamodb"));
            let change = take_object(&mut members, "dynamodb");
            let (receipt, origin) = identify(&members, change.as_ref(), &arn);
            single(raw, arn, receipt, origin, Err(reject))
        }
    }
}

/// Returns the sequence number and the origin, as far as the record has them.
fn identify(
    members: &Object<'_>,
    change: Option<&Object<'_>>,
    arn: &Arn,
) -> (Option<String>, Origin) {
    let number = change.and_then(|it| sequence(it, "SequenceNumber"));
    let time = change.and_then(|it| text_or_number(it, "ApproximateCreationDateTime"));
    let (table, label) = match arn.table_and_label() {
        Some((table, label)) => (table, Some(label.to_owned())),
        None => (arn.as_str().to_owned(), None),
    };
    let origin = Origin {
        id: text(members, "eventID"),
        source: table,
        shard: label.filter(|_| !is_read(members)),
        position: number.as_deref().map(padded),
        arrived_at: time.and_then(Timestamp::from_epoch_seconds),
        moved: false,
    };
    (number, origin)
}

fn is_read(members: &Object<'_>) -> bool {
    matches!(get(members, "eventName"), Some(Json::String(it)) if it == READ)
}

fn decode(
    members: Object<'_>,
    change: Option<Object<'_>>,
    origin: &Origin,
) -> Result<Record, Reject> {
    let change = change.ok_or_else(|| malformed("it has no dynamodb object"))?;
    if origin.id.is_none() {
        return Err(malformed("it has no eventID"));
    }
    if origin.position.is_none() {
        return Err(malformed("it has no SequenceNumber of digits"));
    }
    record(&members, change)
}

/// Returns the record of a change, from a stream or through Kinesis.
fn record(members: &Object<'_>, mut change: Object<'_>) -> Result<Record, Reject> {
    let op = match get(members, "eventName") {
        Some(Json::String(name)) => match name.as_ref() {
            "INSERT" => Op::Insert,
            "MODIFY" => Op::Update,
            "REMOVE" => Op::Delete,
            READ => Op::Read,
            _ => return Err(malformed("its eventName is not INSERT, MODIFY or REMOVE")),
        },
        _ => return Err(malformed("it has no eventName")),
    };
    let keys = image(&mut change, "Keys")?.ok_or_else(|| malformed("it has no Keys"))?;
    let new = image(&mut change, "NewImage")?;
    let old = image(&mut change, "OldImage")?;
    Ok(Record {
        key: None,
        op,
        deleted_by: (op == Op::Delete).then(|| deleted_by(members)),
        payload: Payload::Change { keys, new, old },
        attributes: None,
        envelope: None,
    })
}

/// Returns true if the data of a Kinesis record is a change of a DynamoDB item.
pub(super) fn is_change(members: &Object<'_>) -> bool {
    let is =
        |name: &str, text: &str| matches!(get(members, name), Some(Json::String(it)) if it == text);
    is("eventSource", "aws:dynamodb") && matches!(get(members, "dynamodb"), Some(Json::Object(_)))
}

/// Returns the origin and the record of a change that came through the Kinesis stream `arn`. The
/// table is its source, and its time is its position: it has no sequence number, and may come twice
/// and out of order.
pub(super) fn through_kinesis(
    mut members: Object<'_>,
    arn: &Arn,
) -> (Origin, Result<Record, Reject>) {
    let change = take_object(&mut members, "dynamodb");
    let created = change.as_ref().and_then(created_at);
    let origin = Origin {
        id: text(&members, "eventID"),
        source: table_arn(&members, arn),
        shard: Some("kinesis".to_owned()),
        position: created.map(|it| padded(&it.micros().max(0).to_string())),
        arrived_at: created,
        moved: false,
    };
    let record = change.ok_or_else(|| malformed("it has no dynamodb object")).and_then(|change| {
        if origin.id.is_none() {
            return Err(malformed("it has no eventID"));
        }
        if created.is_none() {
            return Err(malformed("it has no ApproximateCreationDateTime"));
        }
        let mut record = record(&members, change)?;
        let mut envelope = crate::value::fields(members);
        envelope.retain(|(name, _)| name != "eventID");
        record.envelope = Some(envelope.into());
        Ok(record)
    });
    (origin, record)
}

/// Returns the time of a change. Its unit is the one that the record names, else it is found by the
/// number's size.
fn created_at(change: &Object<'_>) -> Option<Timestamp> {
    let time = Number::parse(text_or_number(change, "ApproximateCreationDateTime")?).ok()?;
    let unit = match get(change, "ApproximateCreationDateTimePrecision") {
        Some(Json::String(it)) if it == "MICROSECOND" => TimeUnit::Micros,
        Some(Json::String(it)) if it == "MILLISECOND" => TimeUnit::Millis,
        _ if time.as_i64()? < MIN_MICROS => TimeUnit::Millis,
        _ => TimeUnit::Micros,
    };
    Timestamp::from_number(&time, unit)
}

fn table_arn(members: &Object<'_>, stream: &Arn) -> String {
    let name = text(members, "tableName").unwrap_or_default();
    if name.starts_with("arn:") {
        return name;
    }
    let parts: Vec<&str> = stream.as_str().splitn(6, ':').collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let region = text(members, "awsRegion");
    let region = region.as_deref().unwrap_or(part(3));
    format!("arn:{}:dynamodb:{region}:{}:table/{name}", part(1), part(4))
}

/// Returns an image; `None` if it was not delivered, which differs from an empty one.
fn image(change: &mut Object<'_>, name: &str) -> Result<Option<Fields>, Reject> {
    match take(change, name) {
        None => Ok(None),
        Some(Json::Object(members)) => attribute::item(members).map(Some),
        Some(_) => Err(malformed(format!("its {name} is not an object"))),
    }
}

/// Returns the actor of a deletion; time to live deletes as a service. Lambda writes the members in
/// lower case, the API's own model in upper case.
fn deleted_by(members: &Object<'_>) -> DeletedBy {
    let Some(Json::Object(identity)) = get(members, "userIdentity") else {
        return DeletedBy::User;
    };
    let is = |names: [&str; 2], value: &str| {
        names
            .iter()
            .any(|name| matches!(get(identity, name), Some(Json::String(it)) if it == value))
    };
    if is(["type", "Type"], "Service") && is(["principalId", "PrincipalId"], TTL_PRINCIPAL) {
        DeletedBy::Ttl
    } else {
        DeletedBy::User
    }
}
