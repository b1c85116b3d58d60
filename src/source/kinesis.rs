//! Kinesis records: JSON objects as data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::arn::Arn;
use crate::json::Json;
use crate::record::{Delivery, Op, Origin, Payload, Record, Reject};
use crate::source::{
    Object, delivered, get, malformed, object, padded, payload, salvage, sequence, take_object,
    text, text_or_number,
};
use crate::time::Timestamp;
use crate::value::Fields;

/// The delivery of one record.
pub(super) fn delivery(raw: &[u8], arn: Arn) -> Delivery<'_> {
    match object(raw) {
        Ok(mut members) => {
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            let record = decode(kinesis, &origin);
            delivered(raw, arn, receipt, origin, record)
        }
        Err(reject) => {
            let mut members = salvage(raw, Some("kinesis"));
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            delivered(raw, arn, receipt, origin, Err(reject))
        }
    }
}

/// The sequence number and the origin, as far as they are there.
fn identify(
    members: &Object<'_>,
    kinesis: Option<&Object<'_>>,
    arn: &Arn,
) -> (Option<String>, Origin) {
    let number = kinesis.and_then(|it| sequence(it, "sequenceNumber"));
    let time = kinesis.and_then(|it| text_or_number(it, "approximateArrivalTimestamp"));
    // `shardId-000000000000:4959…`
    let id = text(members, "eventID");
    let shard = id.as_deref().and_then(|it| it.split_once(':')).map(|(shard, _)| shard.to_owned());
    let shard = shard.filter(|it| !it.is_empty());
    let origin = Origin {
        id,
        source: arn.as_str().to_owned(),
        shard,
        position: number.as_deref().map(padded),
        arrived_at: time.and_then(Timestamp::from_epoch_seconds),
        moved: false,
    };
    (number, origin)
}

fn decode(kinesis: Option<Object<'_>>, origin: &Origin) -> Result<Record, Reject> {
    let kinesis = kinesis.ok_or_else(|| malformed("it has no kinesis object"))?;
    if origin.shard.is_none() {
        return Err(malformed("it has no eventID of shard and sequence number"));
    }
    if origin.position.is_none() {
        return Err(malformed("it has no sequenceNumber of digits"));
    }
    let Some(Json::String(data)) = get(&kinesis, "data") else {
        return Err(malformed("it has no data"));
    };
    let data = BASE64.decode(data.as_bytes());
    let data = data.map_err(|error| Reject::new("bad_base64", base64_problem(&error)))?;
    Ok(Record {
        // A stream that distributes its records itself has none.
        key: text(&kinesis, "partitionKey"),
        op: Op::Event,
        deleted_by: None,
        payload: Payload::Event(fields(&data)?),
        attributes: None,
        envelope: None,
    })
}

/// The error without the byte that it complains of.
fn base64_problem(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(at, _) => {
            format!("the data is no base64: a foreign character at byte {at}")
        }
        base64::DecodeError::InvalidLength(length) => {
            format!("the data is no base64: {length} characters are no whole number of bytes")
        }
        base64::DecodeError::InvalidLastSymbol(at, _) => {
            format!("the data is no base64: its last character, at byte {at}, does not fit")
        }
        base64::DecodeError::InvalidPadding => {
            "the data is no base64: its padding is wrong".to_owned()
        }
    }
}

/// What a record's bytes say.
fn fields(data: &[u8]) -> Result<Fields, Reject> {
    if let Err(error) = std::str::from_utf8(data) {
        let at = error.valid_up_to();
        return Err(Reject::new("not_utf8", format!("the data is not UTF-8 at byte {at}")));
    }
    payload(data, "the data")
}
