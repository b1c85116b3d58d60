//! Redriving a dead-letter queue: its messages are received, and deleted once they have landed.
//!
//! A message keeps its id on the way into a DLQ and names the queue that it came from. So a message that
//! had landed before is a duplicate, and routes take it as if it came from that queue. If no route names
//! that queue, it may be a DLQ itself, and SQS says whose: the message is of the first queue of the chain
//! that a route names, as long as each DLQ before it has only one queue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::arn::Arn;
use crate::aws;
use crate::number::count;
use crate::outcome::Outcome;
use crate::recovery::notice::DLQ_SOURCE;
use crate::route::{self, Route};
use crate::source::Kind;

/// Seconds for which a received message is hidden from other receivers.
const VISIBILITY_SECONDS: i32 = 300;
/// The largest number of messages that one call to SQS takes or returns.
const MAX_CALL_MESSAGES: i32 = 10;
/// The largest number of messages of a batch. They must land well before they become visible again.
const MAX_BATCH_MESSAGES: usize = 1_000;
/// The number of bytes of bodies after which a batch takes no more messages.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Seconds that a call waits for messages, so that SQS asks all of its servers.
const WAIT_SECONDS: i32 = 2;
/// The largest number of DLQs in a chain.
const MAX_CHAIN: usize = 8;
/// Time limit of a call, longer than it waits for messages.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The counts of a redrive of messages.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DlqCounts {
    /// Received messages.
    pub received: u64,
    /// Of these, messages that have landed and are deleted from the queue.
    pub landed: u64,
    /// Messages that stay in the queue because today's config drops or filters them.
    pub left_out: u64,
    /// Messages that stay in the queue.
    pub kept: u64,
}

/// A dead-letter queue.
#[derive(Debug)]
pub struct Queue {
    client: Client,
    url: String,
    /// Its ARN.
    pub arn: String,
    /// The queue whose DLQ this is, if there is only one.
    only_source: Option<String>,
    /// By the ARN of a queue that messages came from: the queue of its chain that a route names.
    origins: Mutex<HashMap<String, String>>,
}

/// A redrive of a queue, batch by batch.
#[derive(Debug)]
pub struct DlqRedrive<'q> {
    queue: &'q Queue,
    routes: &'q [Route],
    dry_run: bool,
    seen: HashSet<String>,
    /// Messages that stay in the queue.
    kept: Vec<Message>,
    batch: Vec<Message>,
    /// The counts of the messages so far.
    pub counts: DlqCounts,
}

impl<'q> DlqRedrive<'q> {
    /// Begins a redrive of messages that these routes take. A dry run deletes nothing.
    pub fn new(queue: &'q Queue, routes: &'q [Route], dry_run: bool) -> Self {
        let (seen, kept, batch) = (HashSet::new(), Vec::new(), Vec::new());
        Self { queue, routes, dry_run, seen, kept, batch, counts: DlqCounts::default() }
    }

    /// Receives the next messages, as records; none if all have been received.
    ///
    /// # Errors
    /// Says why SQS returns none.
    pub async fn receive(&mut self) -> Result<Vec<String>, String> {
        self.batch = self.queue.receive(&mut self.seen, &mut self.kept).await?;
        self.queue.find_origins(&self.batch, self.routes).await;
        self.counts.received += count(self.batch.len());
        Ok(self.batch.iter().map(|it| self.queue.record(it)).collect())
    }

    /// Deletes the messages of the last batch that have landed, or are pending, by the outcome of each.
    ///
    /// # Errors
    /// Says why SQS did not delete them.
    pub async fn settle(&mut self, outcomes: &[Outcome]) -> Result<(), String> {
        let left_out = outcomes.iter().filter(|it| **it == Outcome::LeftOut).count();
        self.counts.left_out += count(left_out);
        let mut landed = Vec::new();
        for (index, message) in std::mem::take(&mut self.batch).into_iter().enumerate() {
            match outcomes.get(index) {
                Some(Outcome::Landed | Outcome::Pending) => landed.push(message),
                _ => self.kept.push(message),
            }
        }
        self.counts.landed += count(landed.len());
        if self.dry_run {
            self.kept.append(&mut landed);
            return Ok(());
        }
        self.queue.delete(landed).await
    }

    /// Makes the messages that stay visible to other receivers, and returns the counts of all.
    pub async fn end(mut self) -> DlqCounts {
        self.kept.append(&mut self.batch);
        self.queue.release(self.kept).await;
        self.counts.kept = self.counts.received - self.counts.landed;
        self.counts
    }
}

impl Queue {
    /// Finds a queue by its URL, its ARN or its name.
    ///
    /// # Errors
    /// Says which call failed, and why.
    pub async fn open(queue: &str) -> Result<Self, String> {
        let timeouts =
            aws_config::timeout::TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
        let shared = aws::defaults().timeout_config(timeouts).load().await;
        let client = Client::new(&shared);
        let failed = |call: &str, why: String| {
            format!("sqs:{call} for {queue}: {why}; check name, region and credentials")
        };
        let url = if queue.contains("://") {
            queue.to_owned()
        } else {
            url_of(&client, queue).await.map_err(|it| failed("GetQueueUrl", it))?
        };
        let call = client.get_queue_attributes().queue_url(&url);
        let answer = call.attribute_names(QueueAttributeName::QueueArn).send().await;
        let answer = answer.map_err(|it| failed("GetQueueAttributes", aws::error_text(&it)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let only_source = only_source(&client, &url, &arn).await;
        let only_source = only_source.map_err(|it| failed("ListDeadLetterSourceQueues", it))?;
        Ok(Self { client, url, arn, only_source, origins: Mutex::default() })
    }

    /// Finds the first queue that a route names, of the chain of DLQs that ends with the queue `arn`;
    /// `None` if SQS does not tell. Then no route names the queue that the message came from, and the
    /// message stays.
    async fn find_origin(&self, arn: &str, routes: &[Route]) -> Option<String> {
        let mut origin = arn.to_owned();
        for _ in 0..MAX_CHAIN {
            let queue: Arn = origin.parse().ok()?;
            // A queue with a route is where its messages were sent to, even if it is a DLQ as well.
            if !route::of_source(routes, &queue).is_empty() {
                return Some(origin);
            }
            let url = url_of(&self.client, &origin).await.ok()?;
            origin = only_source(&self.client, &url, &origin).await.ok()??;
        }
        None
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the queue that a message came from, by its own word or because there is only one.
    fn source_of<'m>(&'m self, message: &'m Message) -> Option<&'m str> {
        let named = message.attributes.as_ref().and_then(|it| {
            let mut named = it.iter().filter(|(name, _)| name.as_str() == DLQ_SOURCE);
            named.next().map(|(_, source)| source.as_str())
        });
        named.or(self.only_source.as_deref())
    }

    /// Receives the next messages that have not been seen; those that have go to `repeated`.
    async fn receive(
        &self,
        seen: &mut HashSet<String>,
        repeated: &mut Vec<Message>,
    ) -> Result<Vec<Message>, String> {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while batch.len() < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES {
            let call = self.client.receive_message().queue_url(&self.url);
            let call =
                call.max_number_of_messages(MAX_CALL_MESSAGES).wait_time_seconds(WAIT_SECONDS);
            let call = call.visibility_timeout(VISIBILITY_SECONDS).message_attribute_names("All");
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = call.send().await.map_err(|error| {
                format!("sqs:ReceiveMessage of {}: {}", self.arn, aws::error_text(&error))
            })?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                bytes += message.body.as_ref().map_or(0, String::len);
                match seen.insert(message.message_id.clone().unwrap_or_default()) {
                    true => batch.push(message),
                    // The redrive took so long that the message became visible again.
                    false => repeated.push(message),
                }
            }
        }
        Ok(batch)
    }

    /// Finds the queues of which messages are.
    async fn find_origins(&self, batch: &[Message], routes: &[Route]) {
        let sources: BTreeSet<&str> = batch.iter().filter_map(|it| self.source_of(it)).collect();
        for source in sources {
            let is_known = self.origins().contains_key(source);
            if !is_known && let Some(origin) = self.find_origin(source, routes).await {
                self.origins().insert(source.to_owned(), origin);
            }
        }
    }

    /// Returns a message as an event source mapping of this queue would deliver it.
    fn record(&self, message: &Message) -> String {
        let own: &HashMap<_, _> = &message.attributes.clone().unwrap_or_default();
        let mut attributes: BTreeMap<&str, &str> =
            own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let origins = self.origins();
        if let Some(source) = self.source_of(message) {
            let origin = origins.get(source).map_or(source, String::as_str);
            attributes.insert(DLQ_SOURCE, origin);
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
            "eventSource": format!("aws:{}", Kind::Sqs.service()),
            "eventSourceARN": self.arn,
            "awsRegion": self.arn.split(':').nth(3),
        })
        .to_string()
    }

    async fn delete(&self, messages: Vec<Message>) -> Result<(), String> {
        for chunk in messages.chunks(usize::try_from(MAX_CALL_MESSAGES).unwrap_or(1)) {
            let entries = chunk.iter().enumerate().filter_map(|(at, message)| {
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
                return Err(format!(
                    "sqs:DeleteMessage of {}: {why}; the messages have landed, and redriving them \
                     again deletes them",
                    self.arn
                ));
            }
        }
        Ok(())
    }

    /// Makes messages visible to other receivers. If that fails, they become visible a little
    /// later.
    async fn release(&self, messages: Vec<Message>) {
        for message in messages {
            let call = self.client.change_message_visibility().queue_url(&self.url);
            let call = call.set_receipt_handle(message.receipt_handle).visibility_timeout(0);
            drop(call.send().await);
        }
    }
}

/// Returns the URL of a queue, by its ARN or its name.
async fn url_of(client: &Client, queue: &str) -> Result<String, String> {
    let name = queue.rsplit(':').next().unwrap_or(queue);
    let owner = queue.starts_with("arn:").then(|| queue.split(':').nth(4)).flatten();
    let call = client.get_queue_url().queue_name(name);
    let answer = call.set_queue_owner_aws_account_id(owner.map(str::to_owned)).send().await;
    Ok(answer.map_err(|it| aws::error_text(&it))?.queue_url.unwrap_or_default())
}

/// Returns the queue whose DLQ is the queue at `url`, if there is only one.
async fn only_source(client: &Client, url: &str, arn: &str) -> Result<Option<String>, String> {
    let sources = client.list_dead_letter_source_queues().queue_url(url).send().await;
    let sources = sources.map_err(|it| aws::error_text(&it))?;
    Ok(match sources.queue_urls.as_slice() {
        [one] => arn_beside(arn, one),
        _ => None,
    })
}

/// Returns the ARN of the queue at `url`, which is in the account and region of the queue `arn`.
fn arn_beside(arn: &str, url: &str) -> Option<String> {
    let (account, _) = arn.rsplit_once(':')?;
    let (_, name) = url.rsplit_once('/')?;
    Some(format!("{account}:{name}"))
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
