//! The types that travel from an event to its answer.

use std::sync::Arc;

use bytes::Bytes;

use crate::arn::Arn;
use crate::time::Timestamp;
use crate::value::{self, Fields, Value};

/// The identifier by which a record is reported to Lambda: a stream's sequence number or an SQS
/// message id. Never empty, because an empty identifier makes Lambda redeliver the whole batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(String);

impl Receipt {
    /// Makes a receipt; `None` for an empty text.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Returns the identifier as Lambda delivered it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A record of an event: every record yields exactly one delivery, decoded or not.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Its identifier; `None` if it has none that can be reported.
    pub receipt: Option<Receipt>,
    /// Its message group, for records of a FIFO queue.
    pub group: Option<String>,
    /// Its source; of a message from a DLQ, the queue that it was first sent to. Routes match this
    /// ARN.
    pub source: Arn,
    /// Its content.
    pub content: Content<'a>,
}

/// The content of a delivered record.
#[derive(Debug)]
pub enum Content<'a> {
    /// Nearly always one part. Several if a producer packed several records into one (KPL
    /// aggregates, arrays, JSON lines). None if it is known to have no data (the test message of an
    /// S3 notification).
    Parts(Vec<Part<'a>>),
    /// Not decoded: the records before it fill the memory of a pass. It is decoded in a later pass,
    /// or redelivered.
    Deferred,
}

/// The bytes of a record; [`crate::source::Carrier`] makes a text of them.
#[derive(Debug, Clone)]
pub struct Raw<'a> {
    /// The whole record as Lambda delivered it, byte for byte.
    pub record: &'a [u8],
    /// The piece of it, if it packs several.
    pub piece: Option<Piece>,
}

/// One of several records that a producer packed into one.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The suffix that it adds to the whole record's id: `:3`, `:3:0`.
    pub sub: String,
    /// Its JSON text.
    pub text: Bytes,
    /// The partition key that a KPL aggregate has for it.
    pub key: Option<String>,
    /// SNS notifications around it, outermost first.
    pub wrappers: Arc<[Bytes]>,
}

/// A record in the sense of a table: it becomes a row, or is quarantined by itself.
#[derive(Debug)]
pub struct Part<'a> {
    /// The bytes it came in.
    pub raw: Raw<'a>,
    /// Its identity, as far as it is known even if it can't be decoded.
    pub origin: Origin,
    /// The decoded record, or why there is none.
    pub record: Result<Record, Reject>,
}

/// `_lw_shard` of a change that DynamoDB wrote to a Kinesis stream.
pub const SHARD_OF_KINESIS: &str = "kinesis";

/// The identity and the position of a record, for lineage columns and for quarantine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// `_lw_id`; `None` if the record has no identity.
    pub id: Option<String>,
    /// `_lw_source`: table ARN, stream ARN or queue ARN.
    pub source: String,
    /// `_lw_shard`
    pub shard: Option<String>,
    /// `_lw_position`, padded to 60 digits.
    pub position: Option<String>,
    /// `_lw_arrived_at`
    pub arrived_at: Option<Timestamp>,
    /// True if it came through a DLQ. SQS gives a FIFO message a new time and number when it moves
    /// it, so only its id tells whether it has landed before.
    pub moved: bool,
    /// The identity that AWS gave the Kinesis record that it came in, if its own is the word of whoever
    /// wrote to the stream: then another record may have the same.
    pub carrier: Option<Box<Origin>>,
}

impl Origin {
    /// Returns the identity that AWS vouches for.
    pub fn vouched(&self) -> &Self {
        self.carrier.as_deref().unwrap_or(self)
    }
}

/// A decoded record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Kinesis partition key or FIFO message group; `None` for DynamoDB, whose key is made of
    /// `payload`'s keys after transforms.
    pub key: Option<String>,
    /// `_lw_op`
    pub op: Op,
    /// `_lw_deleted_by`, for deletes.
    pub deleted_by: Option<DeletedBy>,
    /// Its payload.
    pub payload: Payload,
    /// SQS message attributes, which `when` reaches as `attributes.NAME`; they are not columns. `None`
    /// for other sources, where such a path leads into the record's own fields.
    pub attributes: Option<Arc<Fields>>,
    /// The fields of the SNS notification, the EventBridge event or the change record that it came
    /// in, which `when` reaches as `envelope.NAME`; they are not columns. `None` without an envelope:
    /// then such a path leads into the record's own fields.
    pub envelope: Option<Arc<Fields>>,
}

/// The payload of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A Kinesis record or an SQS message.
    Event(Fields),
    /// A change of a DynamoDB item. An image that was not delivered is `None`; an empty one is
    /// `Some` of nothing.
    Change {
        /// Key attributes.
        keys: Fields,
        /// The item after the change.
        new: Option<Fields>,
        /// The item before the change.
        old: Option<Fields>,
    },
}

/// `_lw_op`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A Kinesis record or SQS message.
    Event,
    /// A new item.
    Insert,
    /// A changed item.
    Update,
    /// A deleted item.
    Delete,
    /// An item as an export of its table shows it.
    Read,
}

impl Op {
    /// Returns the column's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Event => "event",
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Read => "read",
        }
    }
}

/// `_lw_deleted_by`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedBy {
    /// DynamoDB's time to live.
    Ttl,
    /// Another principal.
    User,
}

impl DeletedBy {
    /// Returns the column's text.
    pub fn as_str(self) -> &'static str {
        match self {
            DeletedBy::Ttl => "ttl",
            DeletedBy::User => "user",
        }
    }
}

/// Why a record can't become a row. The detail never holds payload text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its code, which is stable (`bad_base64`, `no_json`, `no_route`, …).
    pub reason: &'static str,
    /// A sentence for the operator: the problem and its position, never the value.
    pub detail: String,
}

impl Reject {
    /// Makes a reject of its code and a sentence.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl Record {
    /// Returns the value that a condition sees at a path: of the new image, else the old one, else the
    /// keys; or of the metadata, if the path leads there.
    pub fn find(&self, path: &[String]) -> Option<&Value> {
        let fields = match &self.payload {
            Payload::Event(fields) => fields,
            Payload::Change { keys, new, old } => new.as_ref().or(old.as_ref()).unwrap_or(keys),
        };
        self.find_in(fields, path)
    }

    /// Returns the value at a path of `fields`, or of the metadata, if the path leads there.
    pub fn find_in<'a>(&'a self, fields: &'a Fields, path: &[String]) -> Option<&'a Value> {
        match self.metadata_at(path) {
            Some((metadata, rest)) => value::find(rest, metadata),
            None => value::find(path, fields),
        }
    }

    /// Returns the metadata that a path leads into, and the rest of the path.
    pub fn metadata_at<'a>(&self, path: &'a [String]) -> Option<(&Fields, &'a [String])> {
        let (first, rest) = path.split_first().filter(|(_, rest)| !rest.is_empty())?;
        Some((self.metadata(first)?, rest))
    }

    /// Returns the metadata of this name: `attributes` or `envelope`.
    pub fn metadata(&self, name: &str) -> Option<&Fields> {
        let fields = match name {
            "attributes" => self.attributes.as_ref(),
            "envelope" => self.envelope.as_ref(),
            _ => None,
        };
        fields.map(Arc::as_ref)
    }

    /// Returns the fields of the row: those of the new image, else for a delete of the old one, else
    /// the keys. Old values never pose as new ones.
    pub fn row_mut(&mut self) -> &mut Fields {
        match &mut self.payload {
            Payload::Event(fields) => fields,
            Payload::Change { keys, new, old } => match (self.op, new, old) {
                (Op::Delete, _, Some(old)) => old,
                (Op::Delete, _, None) | (_, None, _) => keys,
                (_, Some(new), _) => new,
            },
        }
    }

    /// Returns the fields of the row, like [`Record::row_mut`].
    pub fn into_row(mut self) -> Fields {
        std::mem::take(self.row_mut())
    }
}

/// The lineage columns of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Lineage {
    /// `_lw_id`
    pub id: String,
    /// `_lw_source`
    pub source: String,
    /// `_lw_shard`
    pub shard: Option<String>,
    /// `_lw_key`
    pub key: Option<String>,
    /// `_lw_position`; quarantined records may have none.
    pub position: Option<String>,
    /// `_lw_op`
    pub op: Op,
    /// `_lw_deleted_by`
    pub deleted_by: Option<DeletedBy>,
    /// `_lw_event_at`
    pub event_at: Option<Timestamp>,
    /// `_lw_arrived_at`
    pub arrived_at: Option<Timestamp>,
    /// `_lw_digest`, by [`crate::digest`]; only if AWS did not give the id: the route's `id` did, or
    /// whoever wrote a change to a Kinesis stream.
    pub digest: Option<String>,
    /// True if the record came through a DLQ, see [`Origin::moved`].
    pub moved: bool,
    /// If the route has an `id`: the longest time in microseconds between the arrivals of two records
    /// of the same `id` that are one event. Such a row has a digest.
    pub id_window: Option<i64>,
    /// `_lw_before`: the old image as JSON, if the table asks for it.
    pub before: Option<String>,
}

impl Lineage {
    /// Makes the lineage of an event of which only source and id are known.
    pub fn new(source: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            shard: None,
            key: None,
            position: None,
            op: Op::Event,
            deleted_by: None,
            event_at: None,
            arrived_at: None,
            digest: None,
            moved: false,
            id_window: None,
            before: None,
        }
    }
}

/// One row on its way to a table, before its values have columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Lineage columns.
    pub lineage: Lineage,
    /// The record's own values under their original names.
    pub fields: Fields,
}
