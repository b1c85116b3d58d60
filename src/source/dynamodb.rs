//! DynamoDB stream records: changes of items.

use crate::arn::Arn;
use crate::json::Json;
use crate::number::Number;
use crate::record::{DeletedBy, Delivery, Op, Origin, Payload, Record, Reject};
use crate::source::attribute;
use crate::source::members::{
    Object, delivered, get, malformed, object, padded, salvage, sequence, take, take_object, text,
    text_or_number,
};
use crate::time::{TimeUnit, Timestamp};
use crate::value::Fields;

/// The principal of deletes that time to live makes.
const TTL_PRINCIPAL: &str = "dynamodb.amazonaws.com";

/// Name of what no stream delivers: an item of an export, as the command line hands it in.
const READ: &str = "READ";

/// Times from here on are microseconds since 1970, below milliseconds: the year 5138, or March 1973.
const MICROS_FROM: i64 = 100_000_000_000_000;

/// The delivery of one stream record.
pub(super) fn delivery(raw: &[u8], arn: Arn) -> Delivery<'_> {
    match object(raw) {
        Ok(mut members) => {
            let change = take_object(&mut members, "dynamodb");
            let (receipt, origin) = identify(&members, change.as_ref(), &arn);
            let record = decode(members, change, &origin);
            delivered(raw, arn, receipt, origin, record)
        }
        Err(reject) => {
            let mut members = salvage(raw, Some("dynamodb"));
            let change = take_object(&mut members, "dynamodb");
            let (receipt, origin) = identify(&members, change.as_ref(), &arn);
            delivered(raw, arn, receipt, origin, Err(reject))
        }
    }
}

/// The sequence number and the origin, as far as they are there.
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

/// What a change of an item says, however it was delivered.
fn record(members: &Object<'_>, mut change: Object<'_>) -> Result<Record, Reject> {
    let op = match get(members, "eventName") {
        Some(Json::String(name)) => match name.as_ref() {
            "INSERT" => Op::Insert,
            "MODIFY" => Op::Update,
            "REMOVE" => Op::Delete,
            READ => Op::Read,
            _ => return Err(malformed("its eventName is none of INSERT, MODIFY and REMOVE")),
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

/// Whether the data of a Kinesis record is a change of a DynamoDB item.
pub(super) fn is_change(members: &Object<'_>) -> bool {
    let is =
        |name: &str, text: &str| matches!(get(members, name), Some(Json::String(it)) if it == text);
    is("eventSource", "aws:dynamodb") && matches!(get(members, "dynamodb"), Some(Json::Object(_)))
}

/// A change that came through the Kinesis stream `arn`: the table is its source, and its time is
/// its position, because it has no sequence number, and comes twice and out of order.
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

/// Milliseconds or microseconds: as the record says, else by their size.
fn created_at(change: &Object<'_>) -> Option<Timestamp> {
    let time = Number::parse(text_or_number(change, "ApproximateCreationDateTime")?).ok()?;
    let unit = match get(change, "ApproximateCreationDateTimePrecision") {
        Some(Json::String(it)) if it == "MICROSECOND" => TimeUnit::Micros,
        Some(Json::String(it)) if it == "MILLISECOND" => TimeUnit::Millis,
        _ if time.as_i64()? < MICROS_FROM => TimeUnit::Millis,
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
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    let region = text(members, "awsRegion");
    let region = region.as_deref().unwrap_or(part(3));
    format!("arn:{}:dynamodb:{region}:{}:table/{name}", part(1), part(4))
}

/// An image; `None` when it was not delivered, which is not the same as an empty one.
fn image(change: &mut Object<'_>, name: &str) -> Result<Option<Fields>, Reject> {
    match take(change, name) {
        None => Ok(None),
        Some(Json::Object(members)) => attribute::item(members).map(Some),
        Some(_) => Err(malformed(format!("its {name} is no object"))),
    }
}

/// Time to live deletes as a service. Lambda writes the members in lower case, the API's own
/// model in upper case.
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
