//! Events of Lambda's event source mappings. An event is split into raw records first, and each is
//! decoded by itself: with the typed batch structs of the event crates, one bad record would fail the
//! batch.

use std::borrow::Cow;

use crate::arn::Arn;
use crate::json::{self, Json};
use crate::record::{Content, Delivery, Receipt};
use crate::source::archive::Budget;
use crate::source::envelope::Unwrap;
use crate::source::kind::{Kind, Redelivery};
use crate::source::members::malformed;
use crate::source::{dynamodb, kinesis, sqs};

/// The largest number of records in an event; Lambda's own limit.
pub const MAX_RECORDS: usize = 10_000;
/// The largest size in bytes of an event; Lambda's own limit for synchronous invocations.
pub const MAX_BYTES: usize = 6 * 1024 * 1024;

/// The records of one event source mapping, as Lambda delivers them or would.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// `None` for an event without records, which names no source.
    kind: Option<Kind>,
    redelivery: Redelivery,
    window_state: Option<&'a [u8]>,
    records: Vec<RawRecord<'a>>,
}

/// A record that is not decoded yet.
#[derive(Debug, Clone)]
struct RawRecord<'a> {
    text: &'a [u8],
    /// Its own ARN, or that of another record of the event if it has none.
    source: Arn,
    /// The problem of its `eventSource` and `eventSourceARN`, if there is one.
    problem: Option<&'static str>,
}

/// Why an event can't be split into records: the whole invocation fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event is not a JSON object with `Records`.
    #[error(
        "{0}: Lakeward takes the events of event source mappings of DynamoDB streams, Kinesis and \
         SQS, which have a list of Records"
    )]
    NotAnEvent(String),
    /// The records are of a source that Lakeward does not serve, or of several.
    #[error("{0}")]
    Source(String),
}

impl<'a> Event<'a> {
    /// Splits the text of an event into records. An event without records is fine.
    ///
    /// # Errors
    /// If it is not an event of an event source mapping, or its source is not served.
    pub fn read(event: &'a [u8]) -> Result<Self, EventError> {
        let not_an_event = |what: &str| EventError::NotAnEvent(what.to_owned());
        let members = json::members(event).map_err(|error| {
            EventError::NotAnEvent(format!("the event is not a JSON object ({error})"))
        })?;
        let member = |name: &'static str| {
            let mut found = members.iter().filter(|(it, _)| it == name).map(|(_, value)| *value);
            let value = found.next();
            // Choosing one of two lists would lose the other.
            if found.next().is_some() {
                return Err(EventError::NotAnEvent(format!("the event has {name} twice")));
            }
            Ok(value)
        };
        let records = member("Records")?.ok_or_else(|| not_an_event("the event has no Records"))?;
        let records = json::items(records)
            .map_err(|_why| not_an_event("the event's Records is not a list"))?;
        let in_window = member("window")?.is_some_and(|it| it != b"null");
        let state = member("state")?;
        let window_state = in_window.then(|| state.unwrap_or(b"{}"));
        Ok(Self { window_state, ..Self::of(records)? })
    }

    /// Makes an event of records, each the JSON text that Lambda would deliver.
    ///
    /// # Errors
    /// If the records are of several sources, or of one that is not served.
    pub fn of(records: Vec<&'a [u8]>) -> Result<Self, EventError> {
        let empty = Self {
            kind: None,
            redelivery: Redelivery::FromFirstFailure,
            window_state: None,
            records: Vec::new(),
        };
        if records.is_empty() {
            return Ok(empty);
        }
        let mut senders: Vec<Sender> = Vec::with_capacity(records.len());
        for record in &records {
            let last = senders.last().and_then(|it| it.arn.as_ref());
            senders.push(Sender::of(record, last));
        }
        let (kind, common) = common_sender(&senders)?;
        let records = records.into_iter().zip(senders).map(|(text, sender)| RawRecord {
            text,
            source: sender.arn.unwrap_or_else(|| common.clone()),
            problem: sender.problem,
        });
        let records = records.collect();
        Ok(Self { kind: Some(kind), redelivery: kind.redelivery(&common), records, ..empty })
    }

    /// Returns the kind of its source; `None` if it has no records.
    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// Returns how Lambda redelivers its records.
    pub fn redelivery(&self) -> Redelivery {
        self.redelivery
    }

    /// Returns the `state` of a tumbling window as JSON text, which the answer repeats unchanged (`{}`
    /// if the event has a `window` but no state); `None` outside windows.
    pub fn window_state(&self) -> Option<&'a [u8]> {
        self.window_state
    }

    /// Returns the number of its records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns true if it has no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the JSON texts of its records, in order.
    pub fn records(&self) -> impl Iterator<Item = &'a [u8]> {
        self.records.iter().map(|it| it.text)
    }

    /// Returns the event of some of its records, by their indices.
    pub fn part(&self, indices: &[usize]) -> Self {
        let records =
            indices.iter().filter_map(|index| self.records.get(*index).cloned()).collect();
        Self { records, ..self.clone() }
    }

    /// Returns the identifier of an SQS message without decoding it.
    pub fn receipt(&self, index: usize) -> Option<Receipt> {
        let members = json::members(self.records.get(index)?.text).ok()?;
        let (_, id) = members.into_iter().find(|(name, _)| name == "messageId")?;
        match json::parse(id) {
            Ok(Json::String(id)) => Receipt::new(id),
            _ => None,
        }
    }

    /// Decodes all records and hands each delivery over, as many at a time as fit into memory. The
    /// first of them always fits, or is a reject, so none is passed over.
    pub fn decode_all(&self, unwrap: impl Fn(&Arn) -> Unwrap, mut each: impl FnMut(Delivery<'a>)) {
        let mut open: Vec<usize> = (0..self.len()).collect();
        while !open.is_empty() {
            let deliveries = self.decode(&open, &unwrap);
            let mut deferred = Vec::new();
            for (index, delivery) in open.into_iter().zip(deliveries) {
                match delivery.content {
                    Content::Deferred => deferred.push(index),
                    Content::Parts(_) => each(delivery),
                }
            }
            open = deferred;
        }
    }

    /// Decodes the records at `indices`, in order; `unwrap` returns the envelope of a queue's
    /// messages. Records that do not fit the memory of one pass are [`Content::Deferred`].
    pub fn decode(&self, indices: &[usize], unwrap: impl Fn(&Arn) -> Unwrap) -> Vec<Delivery<'a>> {
        let Some(kind) = self.kind else { return Vec::new() };
        let mut deliveries: Vec<Delivery<'a>> = Vec::with_capacity(indices.len());
        let mut budget = Budget::of_a_pass();
        for RawRecord { text, source, problem } in
            indices.iter().filter_map(|index| self.records.get(*index))
        {
            budget.next_record();
            let source = source.clone();
            let mut delivery = match kind {
                Kind::DynamoDb => dynamodb::delivery(text, source),
                Kind::Kinesis => kinesis::delivery(text, source, &mut budget),
                Kind::Sqs => sqs::delivery(text, source, &unwrap, &mut budget),
            };
            // A stream redelivers everything behind a record that it redelivers.
            let behind =
                matches!(deliveries.last(), Some(Delivery { content: Content::Deferred, .. }));
            if behind && self.redelivery == Redelivery::FromFirstFailure {
                delivery.content = Content::Deferred;
            }
            if let (Some(problem), Content::Parts(parts)) = (problem, &mut delivery.content) {
                for part in parts.iter_mut().filter(|it| it.record.is_ok()) {
                    part.record = Err(malformed(*problem));
                }
            }
            deliveries.push(delivery);
        }
        deliveries
    }
}

/// Divides items that become records into batches that are at most as large as Lambda's own; `size`
/// returns the length of an item's JSON text in bytes.
pub fn batches<T>(items: impl IntoIterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0_usize;
    for item in items {
        // Each needs a comma.
        let own = size(&item) + 1;
        bytes += own;
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_RECORDS && bytes <= MAX_BYTES => batch.push(item),
            _ => {
                bytes = own;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

/// The source that a record names.
struct Sender {
    kind: Option<Kind>,
    /// The `eventSource`, if Lakeward does not serve it.
    foreign: Option<String>,
    arn: Option<Arn>,
    problem: Option<&'static str>,
}

impl Sender {
    /// Reads the sender of a record; `last` is the ARN of the record before, nearly always the same.
    fn of(record: &[u8], last: Option<&Arn>) -> Self {
        let members = json::members(record).unwrap_or_default();
        let text = |name: &str| {
            let values = members.iter().filter(|(it, _)| it == name).map(|(_, value)| *value);
            let mut texts = values.filter_map(|value| match json::parse(value) {
                Ok(Json::String(it)) if !it.is_empty() => Some(it),
                _ => None,
            });
            texts.next()
        };
        let named = text("eventSource");
        let service = named.as_deref().map(|it| it.strip_prefix("aws:").unwrap_or(it));
        let kind = service.and_then(Kind::of_service);
        let arn = text("eventSourceARN").and_then(|it| match last {
            Some(last) if last.as_str() == it => Some(last.clone()),
            _ => it.parse::<Arn>().ok(),
        });
        let of_arn = arn.as_ref().and_then(Kind::of);
        let foreign = named.filter(|_| kind.is_none()).map(Cow::into_owned);
        match (kind, of_arn) {
            (Some(kind), Some(of_arn)) if kind != of_arn => Self {
                kind: Some(kind),
                foreign,
                arn: None,
                problem: Some("its eventSource and its eventSourceARN disagree"),
            },
            (_, None) => Self {
                kind,
                foreign,
                arn: None,
                problem: Some("its eventSourceARN is missing or is not the ARN of a source"),
            },
            (_, Some(of_arn)) => Self { kind: kind.or(Some(of_arn)), foreign, arn, problem: None },
        }
    }
}

/// Returns the one kind of source that the records name, and an ARN for those that do not name
/// theirs.
fn common_sender(senders: &[Sender]) -> Result<(Kind, Arn), EventError> {
    let fail = |text: String| Err(EventError::Source(text));
    if let Some(foreign) = senders.iter().find_map(|it| it.foreign.as_deref()) {
        return fail(format!(
            "records of {} are not served: Lakeward takes those of aws:dynamodb, aws:kinesis and \
             aws:sqs",
            printable(foreign)
        ));
    }
    let mut kinds = senders.iter().filter_map(|it| it.kind);
    let Some(kind) = kinds.next() else {
        return fail("no record of the event names its eventSource and eventSourceARN".to_owned());
    };
    if kinds.any(|it| it != kind) {
        return fail(
            "the event mixes records of several sources, which no event source mapping does; \
             send each source's records by themselves"
                .to_owned(),
        );
    }
    let mut arns = senders.iter().filter_map(|it| it.arn.as_ref());
    let Some(arn) = arns.next() else {
        return fail("no record of the event has an eventSourceARN that is an ARN".to_owned());
    };
    if arns.any(|it| it.is_fifo() != arn.is_fifo()) {
        return fail(
            "the event mixes messages of standard and FIFO queues; send each queue's by themselves"
                .to_owned(),
        );
    }
    Ok((kind, arn.clone()))
}

/// Returns a short name as it is; other texts could be payload.
fn printable(name: &str) -> &str {
    let harmless = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b':' | b'-' | b'_' | b'.');
    if name.len() <= 64 && name.bytes().all(harmless) { name } else { "an unknown eventSource" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_larger_than_lambda_s_own() {
        let sizes = |sizes: &[usize]| {
            batches(sizes.iter().copied(), |it| *it).into_iter().map(|it| it.len()).collect()
        };
        let many: Vec<usize> = vec![1; MAX_RECORDS + 1];
        for (items, expected) in [
            (&many[..], vec![MAX_RECORDS, 1]),
            (&[MAX_BYTES / 3; 4][..], vec![2, 2]),
            (&[MAX_BYTES + 1, 1, 1], vec![1, 2]),
            (&[], vec![]),
        ] {
            let found: Vec<usize> = sizes(items);
            assert_eq!(found, expected);
        }
    }
}
