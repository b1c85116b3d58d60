//! The closed set of event sources, with the properties of each kind. Each property is a `match` that
//! names every kind, so that a new kind compiles only once all of them are known.

use strum::VariantArray as _;

use crate::arn::Arn;
use crate::pattern::Pattern;

/// A kind of event source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::VariantArray)]
pub enum Kind {
    /// The stream of a DynamoDB table.
    DynamoDb,
    /// A Kinesis data stream.
    Kinesis,
    /// An SQS queue, standard or FIFO.
    Sqs,
}

/// A kind of source whose records stay in shards until they expire, so that they can be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The stream of a DynamoDB table, which keeps records for 24 hours.
    DynamoDb,
    /// A Kinesis data stream, which keeps records for 24 hours to 365 days.
    Kinesis,
}

/// The records that Lambda redelivers after a failure. They decide how an answer is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// SQS standard: each reported message.
    EachFailure,
    /// SQS FIFO: the reported messages, which must be the rest of their group.
    RestOfGroup,
    /// Kinesis, DynamoDB streams: everything from the first reported record on.
    FromFirstFailure,
}

impl Kind {
    /// Returns every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied()
    }

    /// Returns the kind of a service by its name in ARNs: `dynamodb`, `kinesis`, `sqs`.
    pub fn of_service(service: &str) -> Option<Self> {
        Self::all().find(|it| it.service() == service)
    }

    /// Returns the kind of the source that an ARN names, by its service.
    pub fn of(arn: &Arn) -> Option<Self> {
        Self::of_service(arn.service())
    }

    /// Returns the service's name in ARNs, and after `aws:` in `eventSource`.
    pub fn service(self) -> &'static str {
        match self {
            Kind::DynamoDb => "dynamodb",
            Kind::Kinesis => "kinesis",
            Kind::Sqs => "sqs",
        }
    }

    /// Returns the pattern of the last part of its ARNs.
    fn resource(self) -> &'static str {
        match self {
            Kind::DynamoDb => "table/*/stream/*",
            Kind::Kinesis => "stream/*",
            Kind::Sqs => "*",
        }
    }

    /// Returns an example of a `source` pattern in a config.
    pub fn example(self) -> &'static str {
        match self {
            Kind::DynamoDb => "arn:aws:dynamodb:*:*:table/NAME/stream/*",
            Kind::Kinesis => "arn:aws:kinesis:*:*:stream/NAME",
            Kind::Sqs => "arn:aws:sqs:*:*:NAME",
        }
    }

    /// Returns how Lambda redelivers the records of the source `arn`.
    pub fn redelivery(self, arn: &Arn) -> Redelivery {
        match self {
            Kind::DynamoDb | Kind::Kinesis => Redelivery::FromFirstFailure,
            Kind::Sqs if arn.is_fifo() => Redelivery::RestOfGroup,
            Kind::Sqs => Redelivery::EachFailure,
        }
    }

    /// Returns the kind of stream if its records can be read again from their shard.
    pub fn stream(self) -> Option<StreamKind> {
        match self {
            Kind::DynamoDb => Some(StreamKind::DynamoDb),
            Kind::Kinesis => Some(StreamKind::Kinesis),
            Kind::Sqs => None,
        }
    }

    /// Returns true if its records may have envelopes, which `unwrap` of a route opens.
    pub fn may_unwrap(self) -> bool {
        match self {
            Kind::Sqs => true,
            Kind::DynamoDb | Kind::Kinesis => false,
        }
    }

    /// Returns true if a route may identify its records by one of their fields, with `id`. A change of
    /// a DynamoDB item has an id of its own.
    pub fn may_have_id(self) -> bool {
        match self {
            Kind::Kinesis | Kind::Sqs => true,
            Kind::DynamoDb => false,
        }
    }

    /// Returns true if a route may return rejected records, with `on_reject = "return"`. They would
    /// block a stream.
    pub fn may_return_rejects(self) -> bool {
        match self {
            Kind::Sqs => true,
            Kind::DynamoDb | Kind::Kinesis => false,
        }
    }

    /// Returns true if its records may be changes of DynamoDB items, which have images. A Kinesis stream may
    /// carry a table's changes.
    pub fn may_have_images(self) -> bool {
        match self {
            Kind::DynamoDb | Kind::Kinesis => true,
            Kind::Sqs => false,
        }
    }

    /// Returns true if its records may be anything but changes of DynamoDB items.
    pub fn may_have_events(self) -> bool {
        match self {
            Kind::Kinesis | Kind::Sqs => true,
            Kind::DynamoDb => false,
        }
    }

    /// Returns true if a `source` pattern can match ARNs of this kind. Each of the six parts is
    /// compared by itself.
    pub fn is_meant_by(self, source: &Pattern) -> bool {
        let form = ["arn", "*", self.service(), "*", "*", self.resource()];
        let parts: Vec<&str> = source.as_str().splitn(form.len(), ':').collect();
        let agree = parts
            .iter()
            .zip(form)
            .all(|(part, form)| Pattern::new(*part).may_overlap(&Pattern::new(form)));
        // A star at the end also stands for the missing parts.
        agree && (parts.len() == form.len() || parts.last().is_some_and(|it| it.ends_with('*')))
    }

    /// Returns true if a `source` pattern can match ARNs of a kind that has a property.
    pub fn any_meant_by(source: &Pattern, property: impl Fn(Self) -> bool) -> bool {
        Self::all().any(|kind| property(kind) && kind.is_meant_by(source))
    }
}

impl StreamKind {
    /// Returns the kind of the stream that an ARN names; `None` if it names something else.
    pub fn of(arn: &Arn) -> Option<Self> {
        Kind::of(arn)?.stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(source: &str) -> Vec<Kind> {
        let source = Pattern::new(source);
        Kind::all().filter(|it| it.is_meant_by(&source)).collect()
    }

    #[test]
    fn a_pattern_means_the_kinds_whose_arns_it_can_match() {
        for kind in Kind::all() {
            assert_eq!(meant(kind.example()), [kind]);
            assert_eq!(Kind::of_service(kind.service()), Some(kind));
        }
        assert_eq!(meant("*"), [Kind::DynamoDb, Kind::Kinesis, Kind::Sqs]);
        assert_eq!(meant("arn:aws:kinesis:*"), [Kind::Kinesis]);
        assert_eq!(meant("arn:aws:kinesis:*:*"), [Kind::Kinesis]);
        assert_eq!(meant("arn:aws:kinesis:eu-west-1:1"), []);
        assert_eq!(meant("arn:aws:dynamodb:*:*:table/app"), []);
        assert_eq!(meant("arn:aws:s3:::bucket"), []);
    }
}
