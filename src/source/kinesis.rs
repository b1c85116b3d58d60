//! Kinesis records. Their data is JSON, which may be packed or aggregated, or a change of a DynamoDB
//! item.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::arn::Arn;
use crate::json::Json;
use crate::record::{
    self, Content, Delivery, Op, Origin, Part, Piece, Raw, Receipt, Record, Reject,
};
use crate::source::archive::{Budget, Deferral, UnpackError};
use crate::source::dynamodb;
use crate::source::kpl::{self, AggregateError, UserRecord, UserRecords};
use crate::source::members::{
    Object, get, malformed, object, padded, piece_origin, salvage, sequence, single, take_object,
    text, text_or_number,
};
use crate::source::pieces::{self, Document};
use crate::time::Timestamp;

/// Returns the delivery of a record.
pub(super) fn delivery<'a>(raw: &'a [u8], arn: Arn, budget: &mut Budget) -> Delivery<'a> {
    match object(raw) {
        Ok(mut members) => {
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            let content = match data(kinesis.as_ref(), &origin) {
                Ok(data) => {
                    // A stream that distributes its records itself has no keys.
                    let key = kinesis.as_ref().and_then(|it| text(it, "partitionKey"));
                    let mut splitter =
                        Splitter { raw, arn: &arn, origin: &origin, budget, parts: Vec::new() };
                    match splitter.split(data.into(), key) {
                        Ok(()) => Content::Parts(splitter.parts),
                        Err(Deferral) => Content::Deferred,
                    }
                }
                Err(reject) => return single(raw, arn, receipt, origin, Err(reject)),
            };
            Delivery { receipt: receipt.and_then(Receipt::new), group: None, source: arn, content }
        }
        Err(reject) => {
            let mut members = salvage(raw, Some("kinesis"));
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            single(raw, arn, receipt, origin, Err(reject))
        }
    }
}

/// Splits a delivered record into parts.
struct Splitter<'a, 's> {
    raw: &'a [u8],
    arn: &'s Arn,
    origin: &'s Origin,
    budget: &'s mut Budget,
    parts: Vec<Part<'a>>,
}

impl Splitter<'_, '_> {
    /// Adds the parts of the record's data, which may be a KPL aggregate.
    fn split(&mut self, data: Bytes, key: Option<String>) -> Result<(), Deferral> {
        let user_records = kpl::user_records(&data);
        let whole = Piece { sub: String::new(), text: data, key, wrappers: Arc::default() };
        let Some(user_records) = user_records else { return self.unpack(whole) };
        let user_records = match self.count(user_records) {
            Ok(user_records) => user_records,
            Err(error) => return self.fail(whole, error),
        };
        for (index, user_record) in user_records.into_iter().enumerate() {
            let sub = format!(":{index}");
            match user_record {
                Ok(UserRecord { key, data }) => {
                    let key = Some(key).filter(|it| !it.is_empty());
                    self.unpack(Piece { sub, text: data, key, ..whole.clone() })?;
                }
                Err((AggregateError(problem), text)) => {
                    self.add(Piece { sub, text, ..whole.clone() }, Err(malformed(problem)));
                }
            }
        }
        Ok(())
    }

    /// Returns the records of an aggregate if there are some and not too many.
    fn count(
        &mut self,
        user_records: Result<UserRecords, AggregateError>,
    ) -> Result<UserRecords, UnpackError> {
        let user_records = user_records
            .map_err(|AggregateError(problem)| UnpackError::Rejected(malformed(problem)))?;
        if user_records.is_empty() {
            let reject = Reject::new("no_records", "the aggregate holds no records");
            return Err(UnpackError::Rejected(reject));
        }
        self.budget.count(user_records.len())?;
        Ok(user_records)
    }

    /// Adds the parts of a text that may be packed and may be several JSON texts.
    fn unpack(&mut self, mut piece: Piece) -> Result<(), Deferral> {
        match self.budget.unpack(&piece.text) {
            Ok(None) => {
                if let Err(error) = self.budget.hold(&piece.text) {
                    return self.fail(piece, error);
                }
            }
            Ok(Some(unpacked)) => piece.text = unpacked.into(),
            Err(error) => return self.fail(piece, error),
        }
        let text = piece.text.clone();
        let is_utf8 = check_utf8(&text).map_err(UnpackError::Rejected);
        match is_utf8.and_then(|()| pieces::read(&text, "the data", self.budget)) {
            Ok(Document::Object(members)) => self.add(piece, Ok(members)),
            Ok(Document::Pieces(texts)) => {
                for (index, text) in texts.into_iter().enumerate() {
                    let sub = format!("{}:{index}", piece.sub);
                    let piece = Piece { sub, text: text.clone(), ..piece.clone() };
                    self.add(piece, pieces::object(&text));
                }
            }
            Err(error) => return self.fail(piece, error),
        }
        Ok(())
    }

    fn fail(&mut self, piece: Piece, error: UnpackError) -> Result<(), Deferral> {
        match error {
            UnpackError::Deferred => Err(Deferral),
            UnpackError::Rejected(reject) => {
                self.add(piece, Err(reject));
                Ok(())
            }
        }
    }

    fn add(&mut self, piece: Piece, members: Result<Object<'_>, Reject>) {
        let own = piece_origin(&piece.sub, self.origin);
        let (origin, record) = match members {
            Ok(members) if dynamodb::is_change(&members) => {
                dynamodb::through_kinesis(members, self.arn, own)
            }
            Ok(members) => (own, Ok(event(members, piece.key.clone()))),
            Err(reject) => (own, Err(reject)),
        };
        let piece = Some(piece).filter(|it| !it.sub.is_empty());
        self.parts.push(Part { raw: Raw { record: self.raw, piece }, origin, record });
    }
}

/// Returns the record of an event.
fn event(members: Object<'_>, key: Option<String>) -> Record {
    Record {
        key,
        op: Op::Event,
        deleted_by: None,
        payload: record::Payload::Event(crate::value::fields(members)),
        attributes: None,
        envelope: None,
    }
}

/// Returns the sequence number and the origin, as far as the record has them.
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
        ..Origin::default()
    };
    (number, origin)
}

/// Returns the data of a record if it can be identified.
fn data(kinesis: Option<&Object<'_>>, origin: &Origin) -> Result<Vec<u8>, Reject> {
    let kinesis = kinesis.ok_or_else(|| malformed("it has no kinesis object"))?;
    if origin.shard.is_none() {
        return Err(malformed(
            "its eventID is missing or is not a shard, a colon and a sequence number",
        ));
    }
    if origin.position.is_none() {
        return Err(malformed("its sequenceNumber is missing or has other characters than digits"));
    }
    let Some(Json::String(data)) = get(kinesis, "data") else {
        return Err(malformed("it has no data"));
    };
    let data = BASE64.decode(data.as_bytes());
    data.map_err(|error| Reject::new("bad_base64", base64_problem(&error)))
}

/// Returns an error's text without the byte that it is about.
fn base64_problem(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(at, _) => {
            format!("the data is not base64: it has a foreign character at byte {at}")
        }
        base64::DecodeError::InvalidLength(length) => {
            format!("the data is not base64: {length} characters do not make whole bytes")
        }
        base64::DecodeError::InvalidLastSymbol(at, _) => {
            format!("the data is not base64: its last character, at byte {at}, does not fit")
        }
        base64::DecodeError::InvalidPadding => {
            "the data is not base64: its padding is wrong".to_owned()
        }
    }
}

fn check_utf8(data: &[u8]) -> Result<(), Reject> {
    std::str::from_utf8(data).map(|_| ()).map_err(|error| {
        let at = error.valid_up_to();
        Reject::new("not_utf8", format!("the data is not UTF-8 (first bad byte: {at})"))
    })
}
