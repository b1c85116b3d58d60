//! `lakeward redrive dlq`: messages of a dead-letter queue, on to where they were meant to go.
//!
//! A message keeps its id on the way into a DLQ and says which queue it came from, so what had
//! landed before lands no second time, and routes take it as if it came from there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::aws;
use crate::cli::args::How;
use crate::cli::print::counted;
use crate::cli::redrive::failed;
use crate::cli::{Failure, Summary, Terminal, redrive, replay};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::handler::{App, End};
use crate::recovery::{self, Streams};

/// Seconds for which nobody else gets the messages that are at work here.
const HIDDEN: i32 = 300;
/// Most messages that SQS takes or gives at once.
const AT_ONCE: i32 = 10;
/// Messages of one event: as many as a mapping without a window gives.
const BATCH: usize = 1_000;
/// Bytes of its bodies after which no more are asked for.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Seconds to wait for messages; SQS asks all of its servers then.
const WAIT: i32 = 2;
/// Longer than it waits.
const WHOLE_CALL: Duration = Duration::from_secs(20);
const SOURCE: &str = "DeadLetterQueueSourceArn";

/// What became of the messages.
#[derive(Debug, Default, serde::Serialize)]
struct Counts {
    /// Messages that the queue gave.
    received: u64,
    /// Of these, what has landed; deleted from the queue.
    landed: u64,
    /// What stays in the queue because today's config drops or filters it.
    left_out: u64,
    /// What stays in the queue.
    kept: u64,
}

/// A queue that is emptied.
struct Queue {
    client: Client,
    url: String,
    arn: String,
    /// The only queue that this is the DLQ of, where there is only one.
    only_source: Option<String>,
}

/// Sends the messages on, and prints what became of them.
pub(in crate::cli) async fn run(
    config: Config,
    queue: &str,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let app = redrive::open(config, how)?;
    let queue = Queue::open(queue).await?;
    let streams = Streams::default();
    let (mut counts, mut summary) = (Counts::default(), Summary::default());
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    let ended = loop {
        let batch = match queue.receive(&mut seen, &mut kept).await {
            Ok(batch) if batch.is_empty() => break Ok(()),
            Ok(batch) => batch,
            Err(error) => break Err(error),
        };
        counts.received = counts.received.saturating_add(count(batch.len()));
        let ends = handle(&app, &streams, &queue, &batch, &mut summary).await;
        let left_out = ends.iter().filter(|it| **it == End::LeftOut).count();
        counts.left_out = counts.left_out.saturating_add(count(left_out));
        let mut done = Vec::new();
        for (at, message) in batch.into_iter().enumerate() {
            let landed = ends.get(at) == Some(&End::Landed);
            if landed { done.push(message) } else { kept.push(message) }
        }
        counts.landed = counts.landed.saturating_add(count(done.len()));
        if how.dry_run {
            kept.extend(done);
        } else if let Err(error) = queue.delete(done).await {
            break Err(error);
        }
    };
    counts.kept = counts.received.saturating_sub(counts.landed);
    queue.release(kept).await;
    print(&counts, &summary, &app.config, how, terminal).and_then(|code| ended.map(|()| code))
}

/// Lands messages, and returns what became of each.
async fn handle(
    app: &App,
    streams: &Streams,
    queue: &Queue,
    batch: &[Message],
    summary: &mut Summary,
) -> Vec<End> {
    let place = &queue.arn;
    let records: Vec<Value> = batch.iter().map(|it| queue.record(it)).collect();
    let event = json!({"Records": records}).to_string();
    let (recovered, ends) =
        Box::pin(recovery::redrive(app, streams, event.as_bytes(), &Deadline::none())).await;
    failed::add(&recovered, place, app, summary);
    ends
}

impl Queue {
    /// The queue of an URL, an ARN or a name.
    async fn open(queue: &str) -> Result<Self, Failure> {
        let timeouts =
            aws_config::timeout::TimeoutConfig::builder().operation_timeout(WHOLE_CALL).build();
        let shared = aws::defaults().timeout_config(timeouts).load().await;
        let client = Client::new(&shared);
        let failed = |call: &str, why: String| {
            Failure::Failed(format!(
                "sqs:{call} for {queue}: {why}; check name, region and credentials"
            ))
        };
        let url = if queue.contains("://") {
            queue.to_owned()
        } else {
            let name = queue.rsplit(':').next().unwrap_or(queue);
            let owner = queue.starts_with("arn:").then(|| queue.split(':').nth(4)).flatten();
            let call = client.get_queue_url().queue_name(name);
            let answer = call.set_queue_owner_aws_account_id(owner.map(str::to_owned)).send().await;
            let answer = answer.map_err(|it| failed("GetQueueUrl", aws::error_text(&it)))?;
            answer.queue_url.unwrap_or_default()
        };
        let call = client.get_queue_attributes().queue_url(&url);
        let answer = call.attribute_names(QueueAttributeName::QueueArn).send().await;
        let answer = answer.map_err(|it| failed("GetQueueAttributes", aws::error_text(&it)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let sources = client.list_dead_letter_source_queues().queue_url(&url).send().await;
        let sources =
            sources.map_err(|it| failed("ListDeadLetterSourceQueues", aws::error_text(&it)))?;
        let only_source = match sources.queue_urls.as_slice() {
            [one] => arn_beside(&arn, one),
            _ => None,
        };
        Ok(Self { client, url, arn, only_source })
    }

    /// The next messages; none when there are no more that have not been seen.
    async fn receive(
        &self,
        seen: &mut HashSet<String>,
        again: &mut Vec<Message>,
    ) -> Result<Vec<Message>, Failure> {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH && bytes < MOST_BYTES {
            let call = self.client.receive_message().queue_url(&self.url);
            let call = call.max_number_of_messages(AT_ONCE).wait_time_seconds(WAIT);
            let call = call.visibility_timeout(HIDDEN).message_attribute_names("All");
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = call.send().await.map_err(|error| {
                Failure::Failed(format!(
                    "sqs:ReceiveMessage of {}: {}",
                    self.arn,
                    aws::error_text(&error)
                ))
            })?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                bytes = bytes.saturating_add(message.body.as_ref().map_or(0, String::len));
                match seen.insert(message.message_id.clone().unwrap_or_default()) {
                    true => batch.push(message),
                    // It took so long that a message came again.
                    false => again.push(message),
                }
            }
        }
        Ok(batch)
    }

    /// A message as a mapping of this queue would deliver it.
    fn record(&self, message: &Message) -> Value {
        let own: &HashMap<_, _> = &message.attributes.clone().unwrap_or_default();
        let mut attributes: BTreeMap<&str, &str> =
            own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if let Some(source) = &self.only_source {
            attributes.entry(SOURCE).or_insert(source);
        }
        let of_sender = message.message_attributes.iter().flatten();
        let of_sender: Map<String, Value> =
            of_sender.map(|(name, it)| (name.clone(), attribute(it))).collect();
        json!({
            "messageId": message.message_id,
            "body": message.body,
            "md5OfBody": message.md5_of_body,
            "attributes": attributes,
            "messageAttributes": of_sender,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": self.arn.split(':').nth(3),
        })
    }

    async fn delete(&self, messages: Vec<Message>) -> Result<(), Failure> {
        for some in messages.chunks(usize::try_from(AT_ONCE).unwrap_or(1)) {
            let entries = some.iter().enumerate().filter_map(|(at, message)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
                entry.set_receipt_handle(message.receipt_handle.clone()).build().ok()
            });
            let call = self.client.delete_message_batch().queue_url(&self.url);
            let answer = call.set_entries(Some(entries.collect())).send().await;
            let failed = match answer {
                Ok(answer) => answer.failed.into_iter().map(|it| it.code).next(),
                Err(error) => Some(aws::error_text(&error)),
            };
            if let Some(why) = failed {
                return Err(Failure::Failed(format!(
                    "sqs:DeleteMessage of {}: {why}; the messages have landed, and redriving them \
                     again deletes them",
                    self.arn
                )));
            }
        }
        Ok(())
    }

    /// Lets others have the messages that stay. Where that fails they have them a little later.
    async fn release(&self, messages: Vec<Message>) {
        for message in messages {
            let call = self.client.change_message_visibility().queue_url(&self.url);
            let call = call.set_receipt_handle(message.receipt_handle).visibility_timeout(0);
            drop(call.send().await);
        }
    }
}

/// The ARN of a queue by its URL, which is in the account and region of another.
fn arn_beside(arn: &str, url: &str) -> Option<String> {
    let (place, _) = arn.rsplit_once(':')?;
    let (_, name) = url.rsplit_once('/')?;
    Some(format!("{place}:{name}"))
}

fn attribute(value: &MessageAttributeValue) -> Value {
    let mut attribute = Map::new();
    if let Some(text) = &value.string_value {
        attribute.insert("stringValue".to_owned(), json!(text));
    }
    if let Some(bytes) = &value.binary_value {
        attribute.insert("binaryValue".to_owned(), json!(BASE64.encode(bytes.as_ref())));
    }
    attribute.insert("dataType".to_owned(), json!(value.data_type));
    Value::Object(attribute)
}

fn print(
    counts: &Counts,
    summary: &Summary,
    config: &Config,
    how: &How,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Failure> {
    let out = &mut *terminal.out;
    if how.json {
        writeln!(out, "{}", redrive::said(summary, how, &[("dlq", json!(counts))]))?;
    } else {
        if counts.received > 0 {
            summary.print(&terminal.program, &replay::places(config), how.dry_run, out)?;
            writeln!(out)?;
        }
        writeln!(out, "{} in the queue:", counted(counts.received, "message"))?;
        let landed =
            if how.dry_run { "would land and be deleted" } else { "landed, and are deleted" };
        writeln!(out, "{:9} {landed}", counts.landed)?;
        let others = counts.kept.saturating_sub(counts.left_out);
        for (count, why) in
            [(others, ""), (counts.left_out, ": today's config drops or filters them")]
        {
            if count > 0 {
                writeln!(out, "{count:9} stay in the queue{why}")?;
            }
        }
    }
    out.flush()?;
    summary.print_troubles(terminal.err)?;
    Ok(summary.exit_code())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
