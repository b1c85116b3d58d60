//! DynamoDB stream records: changes of items.

use crate::arn::Arn;
use crate::json::Json;
use crate::number::Number;
use crate::record::{DeletedBy, Delivery, Op, Origin, Payload, Record, Reject, SHARD_OF_KINESIS};
use crate::source::attribute;
use crate::source::members::{
    Object, POSITION_DIGITS, get, malformed, object, padded, salvage, sequence, single, take,
    take_object, text, text_or_number,
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

/// The longest time between the arrival of a Kinesis record and a later creation of the change in it:
/// clocks differ.
const MAX_AHEAD_MICROS: i64 = 5 * 60 * 1_000_000;
/// The longest time from the creation of a change to the arrival of its Kinesis record: DynamoDB and its
/// streams keep changes for 24 hours, and a function that forwards them may have tried for days.
const MAX_AGE_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;

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
        ..Origin::default()
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

/// Returns the origin and the record of a change that came in a Kinesis record of the stream `arn`;
/// `carrier` is the identity that AWS gave that record. The change's own is the word of whoever wrote
/// to the stream: what can't be true is a reject, and the carrier's identity goes along.
pub(super) fn through_kinesis(
    mut members: Object<'_>,
    arn: &Arn,
    carrier: Origin,
) -> (Origin, Result<Record, Reject>) {
    let Some(change) = take_object(&mut members, "dynamodb") else {
        return (carrier, Err(malformed("it has no dynamodb object")));
    };
    let origin = match claimed_origin(&members, &change, arn, carrier.arrived_at) {
        Ok(origin) => Origin { carrier: Some(Box::new(carrier)), ..origin },
        Err(reject) => return (carrier, Err(reject)),
    };
    let record = record(&members, change).map(|mut record| {
        let mut envelope = crate::value::fields(members);
        envelope.retain(|(name, _)| name != "eventID");
        record.envelope = Some(envelope.into());
        record
    });
    (origin, record)
}

/// Returns the identity that a change in a Kinesis record has of itself: that of the stream record that
/// it was, if a function forwarded it, else that of a change that DynamoDB wrote there, which has no
/// sequence number, and may come twice and out of order.
fn claimed_origin(
    members: &Object<'_>,
    change: &Object<'_>,
    stream: &Arn,
    arrived_at: Option<Timestamp>,
) -> Result<Origin, Reject> {
    if is_read(members) {
        return Err(bad_origin("only an export has items that were read"));
    }
    let is_forwarded = get(members, "eventSourceARN").is_some_and(|it| *it != Json::Null);
    let origin = if is_forwarded {
        let arn = text(members, "eventSourceARN").and_then(|it| it.parse::<Arn>().ok());
        let arn = arn.filter(is_stream_of_a_table).ok_or_else(|| {
            bad_origin(
                "its eventSourceARN is not the ARN of a table's stream, as that of a forwarded \
                 change must be",
            )
        })?;
        let (number, origin) = identify(members, Some(change), &arn);
        if number.is_none_or(|it| it.len() > POSITION_DIGITS) {
            return Err(bad_origin(&format!(
                "its SequenceNumber is not a number of at most {POSITION_DIGITS} digits"
            )));
        }
        origin
    } else {
        let created = created_at(change);
        Origin {
            id: text(members, "eventID"),
            source: table_arn(members, stream)?,
            shard: Some(SHARD_OF_KINESIS.to_owned()),
            position: created.map(|it| padded(&it.micros().max(0).to_string())),
            arrived_at: created,
            ..Origin::default()
        }
    };
    if origin.id.is_none() {
        return Err(bad_origin("it has no eventID"));
    }
    let created = origin
        .arrived_at
        .ok_or_else(|| bad_time("it has no ApproximateCreationDateTime that can be read"))?;
    check_creation(created, arrived_at)?;
    Ok(origin)
}

/// Checks the time that a change claims against the time at which Kinesis took it.
fn check_creation(created: Timestamp, arrived_at: Option<Timestamp>) -> Result<(), Reject> {
    // Lambda always says when a record arrived. Lines of a file that pose as records have no arrival.
    let Some(arrived) = arrived_at else { return Ok(()) };
    let age = arrived.micros().saturating_sub(created.micros());
    if age < -MAX_AHEAD_MICROS {
        return Err(bad_time("it was created after its Kinesis record arrived"));
    }
    if age > MAX_AGE_MICROS {
        return Err(bad_time("it was created more than 7 days before its Kinesis record arrived"));
    }
    Ok(())
}

/// Returns the reject of a change that can't be of the origin that it claims.
fn bad_origin(detail: &str) -> Reject {
    Reject::new("bad_origin", detail)
}

fn bad_time(detail: &str) -> Reject {
    Reject::new("bad_time", detail)
}

/// Returns the time of a change that DynamoDB wrote. Its unit is the one that the record names, else it
/// is found by the number's size.
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

/// Returns the ARN of the table whose changes DynamoDB writes to the Kinesis stream: both are in one
/// account and one region.
/// Source: DynamoDB Developer Guide, "Using Kinesis Data Streams to capture changes to DynamoDB".
fn table_arn(members: &Object<'_>, stream: &Arn) -> Result<String, Reject> {
    let mut parts = stream.as_str().splitn(6, ':').skip(1);
    let partition = parts.next().unwrap_or_default();
    let region = parts.nth(1).unwrap_or_default();
    let account = parts.next().unwrap_or_default();
    let is_elsewhere = |it: &Json<'_>| !matches!(it, Json::String(it) if it == region);
    if get(members, "awsRegion").is_some_and(|it| *it != Json::Null && is_elsewhere(it)) {
        return Err(bad_origin("its awsRegion is not that of the Kinesis stream"));
    }
    let prefix = format!("arn:{partition}:dynamodb:{region}:{account}:table/");
    let named = text(members, "tableName").unwrap_or_default();
    let name = named.strip_prefix(&prefix).unwrap_or(&named);
    if !is_table_name(name) {
        return Err(bad_origin(
            "its tableName is not the name of a table of the stream's account and region",
        ));
    }
    Ok(format!("{prefix}{name}"))
}

fn is_stream_of_a_table(arn: &Arn) -> bool {
    let table = arn.resource().strip_prefix("table/");
    arn.service() == "dynamodb"
        && table
            .and_then(|it| it.split_once("/stream/"))
            .is_some_and(|(name, label)| is_table_name(name) && !label.is_empty())
}

/// Returns true for a name that a table can have.
/// Source: DynamoDB API reference, `CreateTable`.
fn is_table_name(name: &str) -> bool {
    let is_allowed = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.');
    (3..=255).contains(&name.len()) && name.bytes().all(is_allowed)
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
