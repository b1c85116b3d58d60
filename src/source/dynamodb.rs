//! DynamoDB stream records: changes of items.

use crate::arn::Arn;
use crate::json::Json;
use crate::record::{DeletedBy, Delivery, Op, Origin, Payload, Record, Reject};
use crate::source::{
    Object, attribute, delivered, get, malformed, object, padded, salvage, sequence, take,
    take_object, text, text_or_number,
};
use crate::time::Timestamp;
use crate::value::Fields;

/// The principal of deletes that time to live makes.
const TTL_PRINCIPAL: &str = "dynamodb.amazonaws.com";

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
        shard: label,
        position: number.as_deref().map(padded),
        arrived_at: time.and_then(Timestamp::from_epoch_seconds),
        moved: false,
    };
    (number, origin)
}

fn decode(
    members: Object<'_>,
    change: Option<Object<'_>>,
    origin: &Origin,
) -> Result<Record, Reject> {
    let mut change = change.ok_or_else(|| malformed("it has no dynamodb object"))?;
    if origin.id.is_none() {
        return Err(malformed("it has no eventID"));
    }
    if origin.position.is_none() {
        return Err(malformed("it has no SequenceNumber of digits"));
    }
    let op = match get(&members, "eventName") {
        Some(Json::String(name)) => match name.as_ref() {
            "INSERT" => Op::Insert,
            "MODIFY" => Op::Update,
            "REMOVE" => Op::Delete,
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
        deleted_by: (op == Op::Delete).then(|| deleted_by(&members)),
        payload: Payload::Change { keys, new, old },
        attributes: None,
        envelope: None,
    })
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
