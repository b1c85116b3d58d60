//! Kinesis records: JSON as data, also packed and aggregated, and changes of DynamoDB items.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::arn::Arn;
use crate::json::Json;
use crate::record::{
    self, Content, Delivery, Op, Origin, Part, Piece, Raw, Receipt, Record, Reject,
};
use crate::source::archive::{Budget, Packed};
use crate::source::dynamodb;
use crate::source::kpl::{self, Broken, User, Users};
use crate::source::members::{
    Object, delivered, get, malformed, object, origin_of, padded, salvage, sequence, take_object,
    text, text_or_number,
};
use crate::source::pieces::{self, Payload};
use crate::time::Timestamp;

/// The delivery of one record.
pub(super) fn delivery<'a>(raw: &'a [u8], arn: Arn, budget: &mut Budget) -> Delivery<'a> {
    match object(raw) {
        Ok(mut members) => {
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            let content = match data(kinesis.as_ref(), &origin) {
                Ok(data) => {
                    // A stream that distributes its records itself has no keys.
                    let key = kinesis.as_ref().and_then(|it| text(it, "partitionKey"));
                    let mut taken =
                        Taken { raw, arn: &arn, origin: &origin, budget, parts: Vec::new() };
                    match taken.aggregate(data.into(), key) {
                        Ok(()) => Content::Parts(taken.parts),
                        Err(Later) => Content::Deferred,
                    }
                }
                Err(reject) => return delivered(raw, arn, receipt, origin, Err(reject)),
            };
            Delivery { receipt: receipt.and_then(Receipt::new), group: None, source: arn, content }
        }
        Err(reject) => {
            let mut members = salvage(raw, Some("kinesis"));
            let kinesis = take_object(&mut members, "kinesis");
            let (receipt, origin) = identify(&members, kinesis.as_ref(), &arn);
            delivered(raw, arn, receipt, origin, Err(reject))
        }
    }
}

/// The record must wait for a smaller batch.
struct Later;

/// A record that is being taken apart.
struct Taken<'a, 't> {
    raw: &'a [u8],
    arn: &'t Arn,
    origin: &'t Origin,
    budget: &'t mut Budget,
    parts: Vec<Part<'a>>,
}

impl Taken<'_, '_> {
    /// The records of a KPL aggregate, or the one that it is.
    fn aggregate(&mut self, data: Bytes, key: Option<String>) -> Result<(), Later> {
        let users = kpl::users(&data);
        let whole = Piece { sub: String::new(), text: data, key, wrappers: Arc::default() };
        let Some(users) = users else { return self.texts(whole) };
        let users = match self.counted(users) {
            Ok(users) => users,
            Err(problem) => return self.refuse(whole, problem),
        };
        for (at, user) in users.into_iter().enumerate() {
            let sub = format!(":{at}");
            match user {
                Ok(User { key, data }) => {
                    let key = Some(key).filter(|it| !it.is_empty());
                    self.texts(Piece { sub, text: data, key, ..whole.clone() })?;
                }
                Err((Broken(problem), text)) => {
                    self.add(Piece { sub, text, ..whole.clone() }, Err(malformed(problem)));
                }
            }
        }
        Ok(())
    }

    /// The records of an aggregate that is whole, has some, and not too many.
    fn counted(&mut self, users: Result<Users, Broken>) -> Result<Users, Packed> {
        let users = users.map_err(|Broken(problem)| Packed::Bad(malformed(problem)))?;
        if users.is_empty() {
            let reject = Reject::new("no_records", "the aggregate holds no records");
            return Err(Packed::Bad(reject));
        }
        self.budget.count(users.len())?;
        Ok(users)
    }

    /// The records of what may be packed, and may be several JSON texts.
    fn texts(&mut self, mut piece: Piece) -> Result<(), Later> {
        match self.budget.unpack(&piece.text) {
            Ok(None) => {
                if let Err(problem) = self.budget.hold(&piece.text) {
                    return self.refuse(piece, problem);
                }
            }
            Ok(Some(unpacked)) => piece.text = unpacked.into(),
            Err(problem) => return self.refuse(piece, problem),
        }
        let text = piece.text.clone();
        let payload = utf8(&text).map_err(Packed::Bad);
        match payload.and_then(|()| pieces::read(&text, "the data", self.budget)) {
            Ok(Payload::One(members)) => self.add(piece, Ok(members)),
            Ok(Payload::Several(texts)) => {
                for (at, text) in texts.into_iter().enumerate() {
                    let sub = format!("{}:{at}", piece.sub);
                    let piece = Piece { sub, text: text.clone(), ..piece.clone() };
                    self.add(piece, pieces::object(&text));
                }
            }
            Err(problem) => return self.refuse(piece, problem),
        }
        Ok(())
    }

    fn refuse(&mut self, piece: Piece, problem: Packed) -> Result<(), Later> {
        match problem {
            Packed::Later => Err(Later),
            Packed::Bad(reject) => {
                self.add(piece, Err(reject));
                Ok(())
            }
        }
    }

    fn add(&mut self, piece: Piece, members: Result<Object<'_>, Reject>) {
        let (origin, record) = match members {
            Ok(members) if dynamodb::is_change(&members) => {
                let (origin, record) = dynamodb::through_kinesis(members, self.arn);
                // Without an id of its own it is known by the record that carries it.
                let id = origin.id.clone().or_else(|| origin_of(&piece.sub, self.origin).id);
                (Origin { id, ..origin }, record)
            }
            Ok(members) => {
                (origin_of(&piece.sub, self.origin), Ok(event(members, piece.key.clone())))
            }
            Err(reject) => (origin_of(&piece.sub, self.origin), Err(reject)),
        };
        let piece = Some(piece).filter(|it| !it.sub.is_empty());
        self.parts.push(Part { raw: Raw { record: self.raw, piece }, origin, record });
    }
}

/// A record that is an event.
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

/// The data of a record that says who it is.
fn data(kinesis: Option<&Object<'_>>, origin: &Origin) -> Result<Vec<u8>, Reject> {
    let kinesis = kinesis.ok_or_else(|| malformed("it has no kinesis object"))?;
    if origin.shard.is_none() {
        return Err(malformed("it has no eventID of shard and sequence number"));
    }
    if origin.position.is_none() {
        return Err(malformed("it has no sequenceNumber of digits"));
    }
    let Some(Json::String(data)) = get(kinesis, "data") else {
        return Err(malformed("it has no data"));
    };
    let data = BASE64.decode(data.as_bytes());
    data.map_err(|error| Reject::new("bad_base64", base64_problem(&error)))
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

fn utf8(data: &[u8]) -> Result<(), Reject> {
    std::str::from_utf8(data).map(|_| ()).map_err(|error| {
        let at = error.valid_up_to();
        Reject::new("not_utf8", format!("the data is not UTF-8 at byte {at}"))
    })
}
