//! Amazon Resource Names, which are parsed once and then trusted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A parsed ARN: `arn:partition:service:region:account:resource`.
///
/// The ARN of a Kinesis consumer (`…:stream/NAME/consumer/C:ts`) becomes that of its stream: the
/// records are the same for every consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arn {
    /// Shared by its clones: each record of an event has its source.
    text: Arc<str>,
    /// Byte offsets in `text` where the service begins and ends.
    service: (usize, usize),
    /// Byte offset in `text` where the resource begins.
    resource: usize,
}

/// The error for a text that is not an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ARN of the form arn:partition:service:region:account:resource")]
pub struct BadArn;

/// The largest length of an ARN in bytes; AWS's own limits are below it.
const MAX_BYTES: usize = 2_048;

impl FromStr for Arn {
    type Err = BadArn;

    fn from_str(text: &str) -> Result<Self, BadArn> {
        if text.len() > MAX_BYTES || !text.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(BadArn);
        }
        let mut parts = text.splitn(6, ':');
        let (
            Some("arn"),
            Some(partition),
            Some(service),
            Some(region),
            Some(account),
            Some(resource),
        ) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadArn);
        };
        if partition.is_empty() || service.is_empty() || resource.is_empty() {
            return Err(BadArn);
        }
        let from = "arn:".len() + partition.len() + 1;
        let to = from + service.len();
        let at = to + 1 + region.len() + 1 + account.len() + 1;
        let length = match resource.split_once("/consumer/") {
            Some((stream, _)) if service == "kinesis" => at + stream.len(),
            _ => text.len(),
        };
        let text = text.get(..length).unwrap_or(text).into();
        Ok(Self { text, service: (from, to), resource: at })
    }
}

impl Arn {
    /// Returns the whole text. For the ARN of a Kinesis consumer this is the stream's ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the service: `dynamodb`, `kinesis`, `sqs`, …
    pub fn service(&self) -> &str {
        self.text.get(self.service.0..self.service.1).unwrap_or_default()
    }

    /// Returns the part after the account: `table/app/stream/2026-…`, `stream/clicks`, `invoices`.
    pub fn resource(&self) -> &str {
        self.text.get(self.resource..).unwrap_or_default()
    }

    /// Returns the table's ARN and the stream label of a DynamoDB stream.
    pub fn table_and_label(&self) -> Option<(String, &str)> {
        let (table, label) = self.resource().split_once("/stream/")?;
        let prefix = self.text.get(..self.resource)?;
        Some((format!("{prefix}{table}"), label))
    }

    /// Returns true if it names a FIFO queue, by the `.fifo` suffix. A message group proves nothing:
    /// messages of standard queues may have groups.
    pub fn is_fifo(&self) -> bool {
        self.service() == "sqs" && self.resource().ends_with(".fifo")
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(text: &str) -> Arn {
        text.parse().unwrap()
    }

    #[test]
    fn parts_of_every_partition_are_found() {
        for partition in ["aws", "aws-cn", "aws-us-gov", "aws-eusc"] {
            let queue = arn(&format!("arn:{partition}:sqs:eu-west-1:123456789012:invoices"));
            assert_eq!((queue.service(), queue.resource()), ("sqs", "invoices"));
        }
    }

    #[test]
    fn a_stream_label_may_hold_colons() {
        let stream = arn("arn:aws:dynamodb:eu-west-1:1:table/app/stream/2026-01-02T03:04:05.678");
        let (table, label) = stream.table_and_label().unwrap();
        assert_eq!(table, "arn:aws:dynamodb:eu-west-1:1:table/app");
        assert_eq!(label, "2026-01-02T03:04:05.678");
        assert_eq!(arn("arn:aws:dynamodb:eu-west-1:1:table/app").table_and_label(), None);
    }

    #[test]
    fn a_consumer_is_its_stream() {
        let consumer = arn("arn:aws:kinesis:eu-west-1:1:stream/clicks/consumer/fan-out:1700000000");
        assert_eq!(consumer, arn("arn:aws:kinesis:eu-west-1:1:stream/clicks"));
        assert_eq!(consumer.resource(), "stream/clicks");
    }

    #[test]
    fn only_the_suffix_makes_a_queue_fifo() {
        assert!(arn("arn:aws:sqs:eu-west-1:1:orders.fifo").is_fifo());
        assert!(!arn("arn:aws:sqs:eu-west-1:1:orders-fifo").is_fifo());
        assert!(!arn("arn:aws:kinesis:eu-west-1:1:stream/x.fifo").is_fifo());
    }

    #[test]
    fn other_texts_are_not_arns() {
        let long = format!("arn:aws:sqs:r:1:{}", "q".repeat(MAX_BYTES));
        for text in [
            "",
            "arn",
            "arn:aws:sqs:eu-west-1:1:",
            "arn::sqs:eu-west-1:1:q",
            "arn:aws::r:1:q",
            "arn:aws:sqs:eu-west-1:1",
            "ARN:aws:sqs:r:1:q",
            "arn:aws:sqs:r:1:q q",
            "arn:aws:sqs:r:1:q\n",
            "arn:aws:sqs:r:1:é",
            &long,
        ] {
            assert_eq!(text.parse::<Arn>(), Err(BadArn), "{text:?}");
        }
    }
}
