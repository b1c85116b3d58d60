//! The nouns that travel from an event to its answer.

use std::sync::Arc;

use bytes::Bytes;

use crate::arn::Arn;
use crate::time::Timestamp;
use crate::value::{self, Fields, Value};

/// What Lambda must be told when a record is not durable: a stream's sequence number or an
/// SQS message id. Never empty, because an empty identifier makes Lambda retry everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(String);

impl Receipt {
    /// `None` for an empty text.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self(text))
    }

    /// The identifier as Lambda delivered it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One record of an event: every record yields exactly one, decoded or not.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// How to report it; `None` when the record carries no usable identifier.
    pub receipt: Option<Receipt>,
    /// Message group, for records of a FIFO queue.
    pub group: Option<String>,
    /// Where the record was born: messages of a DLQ carry the queue they came from. This ARN is
    /// what routes match.
    pub source: Arn,
    /// What it holds.
    pub content: Content<'a>,
}

/// What a delivered record holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// Nearly always one part. Several where a producer packed several records into one (KPL
    /// aggregates, arrays, JSON lines). None where it is known to carry no data (the test message
    /// of an S3 notification).
    Parts(Vec<Part<'a>>),
    /// Not taken apart: what the event's records unpack to is more than one invocation should
    /// hold. It is reported and comes again, in a smaller batch.
    Deferred,
}

/// The bytes of a record; [`crate::source::Carrier`] makes one text of them.
#[derive(Debug, Clone)]
pub struct Raw<'a> {
    /// The whole record as Lambda delivered it, byte for byte.
    pub record: &'a [u8],
    /// Which piece of it, where it packs several.
    pub piece: Option<Piece>,
}

/// One of several records that a producer packed into one.
#[derive(Debug, Clone)]
pub struct Piece {
    /// What its id has more than the whole record's: `:3`, `:3:0`.
    pub sub: String,
    /// Its JSON text.
    pub text: Bytes,
    /// The partition key that a KPL aggregate has for it.
    pub key: Option<String>,
    /// SNS notifications around it, outermost first.
    pub wrappers: Arc<[Bytes]>,
}

/// One record in the sense of a table: what becomes one row, or is quarantined by itself.
#[derive(Debug)]
pub struct Part<'a> {
    /// The bytes it came in.
    pub raw: Raw<'a>,
    /// What is known of its identity even when it can't be decoded.
    pub origin: Origin,
    /// The decoded record, or why there is none.
    pub record: Result<Record, Reject>,
}

/// Identity and place of a record, for lineage columns and for quarantine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Origin {
    /// `_lw_id`; `None` when the record has no identity.
    pub id: Option<String>,
    /// `_lw_source`: table ARN, stream ARN or queue ARN.
    pub source: String,
    /// `_lw_shard`
    pub shard: Option<String>,
    /// `_lw_position`, padded to 60 digits.
    pub position: Option<String>,
    /// `_lw_arrived_at`
    pub arrived_at: Option<Timestamp>,
    /// Whether it came through a DLQ. SQS gives a FIFO message a new time and number when it moves
    /// it, so only its id says whether it has landed before.
    pub moved: bool,
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
    /// What it says.
    pub payload: Payload,
    /// SQS message attributes, reachable as `attributes.NAME` by `when`; no columns. `None` for
    /// other sources, where such a path is one of the record's own.
    pub attributes: Option<Arc<Fields>>,
    /// What the record was wrapped in: fields of the SNS notification, the EventBridge event or the
    /// change record it came in, reachable as `envelope.NAME`; no columns. `None` where it came
    /// without, and such a path is one of the record's own.
    pub envelope: Option<Arc<Fields>>,
}

/// What a record says.
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
    /// The column's text.
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
    /// Anyone else.
    User,
}

impl DeletedBy {
    /// The column's text.
    pub fn as_str(self) -> &'static str {
        match self {
            DeletedBy::Ttl => "ttl",
            DeletedBy::User => "user",
        }
    }
}

/// Why a record is no row. The detail never holds payload text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Reason code, stable, snake_case (`bad_base64`, `no_json`, `no_route`, …).
    pub reason: &'static str,
    /// A sentence for people: what, where, never the value.
    pub detail: String,
}

impl Reject {
    /// A reject with its code and a sentence.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl Record {
    /// What `when` looks at: the new image, else the old one, else the keys.
    pub fn seen(&self) -> &Fields {
        match &self.payload {
            Payload::Event(fields) => fields,
            Payload::Change { keys, new, old } => new.as_ref().or(old.as_ref()).unwrap_or(keys),
        }
    }

    /// The value at a path of [`Record::seen`], or below `attributes.` and `envelope.` of what came
    /// with the record.
    pub fn find(&self, path: &[String]) -> Option<&Value> {
        let beside = path.split_first().and_then(|(first, rest)| {
            let fields = match first.as_str() {
                "attributes" => self.attributes.as_ref(),
                "envelope" => self.envelope.as_ref(),
                _ => None,
            };
            fields.filter(|_| !rest.is_empty()).map(|it| (rest, it))
        });
        match beside {
            Some((rest, fields)) => value::find(rest, fields),
            None => value::find(path, self.seen()),
        }
    }

    /// What the row holds: the new image, else for a delete the old one, else the keys. Old
    /// values never pose as new ones.
    pub fn into_row(self) -> Fields {
        match self.payload {
            Payload::Event(fields) => fields,
            Payload::Change { keys, new, old } => match (self.op, new, old) {
                (Op::Delete, _, Some(old)) => old,
                (Op::Delete, _, None) | (_, None, _) => keys,
                (_, Some(new), _) => new,
            },
        }
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
    /// `_lw_digest`; only where the route has an `id`.
    pub digest: Option<String>,
    /// Whether the record came through a DLQ, see [`Origin::moved`].
    pub moved: bool,
    /// Where the route has an `id`: how far apart, in microseconds, two records of the same `id`
    /// may have arrived and still be one. Such a row has a digest.
    pub id_window: Option<i64>,
    /// `_lw_before`: the old image as JSON, where the table asks for it.
    pub before: Option<String>,
}

impl Lineage {
    /// The lineage of an event of which only source and id are known.
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
