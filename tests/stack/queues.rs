//! SQS queues, standard and FIFO.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::{Value, json};

use super::support::{Cloud, run_async, wait_for, zip};

pub const INVOICES: &str = r#"
version = 1

[[route]]
source = "arn:aws:sqs:*:*:*-invoices"
table = "billing.invoices"
"#;

fn returning(queue: &str, require: &str) -> String {
    format!(
        r#"
version = 1

[[route]]
source = "arn:aws:sqs:*:*:{queue}"
table = "billing.invoices"
on_reject = "return"
transform = [{{ require = ["{require}"] }}]
"#
    )
}

pub struct Queue {
    pub url: String,
    pub arn: String,
}

impl Cloud {
    /// A queue; messages that were received twice go to the dead-letter queue, if it has one.
    pub async fn queue(&self, name: &str, dlq: Option<&Queue>) -> Queue {
        let mut create = self.sqs.create_queue().queue_name(self.name(name));
        create = create.attributes(QueueAttributeName::VisibilityTimeout, "10");
        if name.ends_with(".fifo") {
            create = create.attributes(QueueAttributeName::FifoQueue, "true");
        }
        if let Some(Queue { arn, .. }) = dlq {
            let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": 2}).to_string();
            create = create.attributes(QueueAttributeName::RedrivePolicy, policy);
        }
        let url = create.send().await.unwrap().queue_url.unwrap();
        let name = QueueAttributeName::QueueArn;
        let get = self.sqs.get_queue_attributes().queue_url(&url).attribute_names(name.clone());
        let arn = get.send().await.unwrap().attributes().unwrap()[&name].clone();
        Queue { url, arn }
    }

    /// Sends messages and returns their ids.
    pub async fn send(&self, queue: &Queue, messages: &[(Option<&str>, String)]) -> Vec<String> {
        let mut ids = Vec::new();
        for batch in messages.chunks(10) {
            let entries = batch.iter().enumerate().map(|(n, (group, body))| {
                let at = ids.len() + n;
                let entry = SendMessageBatchRequestEntry::builder().id(format!("m{n}"));
                let entry = entry.message_body(body).set_message_group_id(group.map(str::to_owned));
                let once = group.map(|_| format!("{}-{at}", self.name("once")));
                entry.set_message_deduplication_id(once).build().unwrap()
            });
            let send = self.sqs.send_message_batch().queue_url(&queue.url);
            let sent = send.set_entries(Some(entries.collect())).send().await.unwrap();
            assert!(sent.failed().is_empty(), "{:?}", sent.failed());
            let sent: BTreeMap<&str, &str> =
                sent.successful().iter().map(|it| (it.id(), it.message_id())).collect();
            ids.extend((0..batch.len()).map(|n| sent[format!("m{n}").as_str()].to_owned()));
        }
        ids
    }

    /// Waits until the queue has no message, not even one in flight.
    async fn wait_for_empty(&self, queue: &Queue) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        wait_for("an empty queue", async || {
            let get = self.sqs.get_queue_attributes().queue_url(&queue.url);
            let found = get.set_attribute_names(Some(names.to_vec())).send().await.unwrap();
            found.attributes()?.values().all(|it| it == "0").then_some(())
        })
        .await;
    }

    /// Bodies of all messages of a queue.
    async fn take_all(&self, queue: &Queue) -> Vec<Value> {
        let mut bodies = Vec::new();
        loop {
            let receive = self.sqs.receive_message().queue_url(&queue.url);
            let received = receive.max_number_of_messages(10).send().await.unwrap();
            if received.messages().is_empty() {
                return bodies;
            }
            for message in received.messages() {
                bodies.push(serde_json::from_str(message.body().unwrap()).unwrap());
                let delete = self.sqs.delete_message().queue_url(&queue.url);
                delete.receipt_handle(message.receipt_handle().unwrap()).send().await.unwrap();
            }
        }
    }

    pub async fn wait_for_messages(&self, queue: &Queue, count: &str) {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        wait_for("messages in a queue", async || {
            let get = self.sqs.get_queue_attributes().queue_url(&queue.url);
            let found = get.attribute_names(name.clone()).send().await.unwrap();
            (found.attributes()?[&name] == count).then_some(())
        })
        .await;
    }
}

fn invoice(n: u32) -> (Option<&'static str>, String) {
    (None, json!({"invoice_id": format!("i{n}"), "amount": n}).to_string())
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn poison_messages_of_a_queue_are_quarantined() {
    run_async(async {
        let cloud = Cloud::of("sqs").await;
        let queue = cloud.queue("invoices", None).await;
        let _stack = cloud.deploy(INVOICES, &[("Queues", &queue.arn)]).await;
        let mut messages: Vec<_> = (0..30).map(invoice).collect();
        messages.extend([(None, "{\"invoice".to_owned()), (None, "no JSON".to_owned())]);
        let ids = cloud.send(&queue, &messages).await;
        let rows = cloud.wait_for_rows("billing.invoices", 30).await;
        let poison = cloud.wait_for_rows("lakeward.quarantine", 2).await;
        let mut found: Vec<&str> = rows.keys().chain(poison.keys()).map(String::as_str).collect();
        found.sort_unstable();
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        assert_eq!(found, ids);
        assert!(poison.values().all(|it| it["reason"] == "no_json"), "{poison:?}");
        cloud.wait_for_messages(&queue, "0").await;
        cloud.expect(&["billing.invoices", "lakeward.quarantine"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn returned_messages_reach_the_dlq_and_land_once_from_there() {
    run_async(async {
        let cloud = Cloud::of("dlq").await;
        let dlq = cloud.queue("invoices-dlq", None).await;
        let queue = cloud.queue("invoices", Some(&dlq)).await;
        // LocalStack hides what a mapping with a window reads for as long as the function's timeout.
        let parameters = [("Queues", queue.arn.as_str()), ("Freshness", "0")];
        let stack = cloud.deploy(&returning("*-invoices", "customer"), &parameters).await;
        let full =
            |n: u32| (None, json!({"invoice_id": format!("i{n}"), "customer": "c"}).to_string());
        let poor = cloud.send(&queue, &[invoice(1), invoice(2)]).await;
        let good = cloud.send(&queue, &[full(3), full(4)]).await;
        cloud.wait_for_rows("billing.invoices", 2).await;
        cloud.wait_for_messages(&dlq, "2").await;
        assert!(cloud.rows("lakeward.quarantine").is_empty());

        // Someone repairs the config, and has the function read the DLQ itself.
        for id in stack.mappings().await {
            cloud.lambda.delete_event_source_mapping().uuid(id).send().await.unwrap();
        }
        let repaired = returning("*-invoices", "invoice_id");
        let _second =
            cloud.deploy_zip("repaired", zip(), &repaired, &[("Queues", dlq.arn.as_str())]).await;
        let rows = cloud.wait_for_rows("billing.invoices", 4).await;
        let mut ids: Vec<&String> = poor.iter().chain(&good).collect();
        ids.sort();
        assert_eq!(rows.keys().collect::<Vec<_>>(), ids);
        // They belong to the queue that they were sent to.
        assert!(rows.values().all(|it| it["_lw_source"] == queue.arn.as_str()), "{rows:?}");
        cloud.wait_for_messages(&dlq, "0").await;
        cloud.expect(&["billing.invoices"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn a_dlq_that_is_moved_back_lands_once() {
    run_async(async {
        let cloud = Cloud::of("moved").await;
        let dlq = cloud.queue("invoices-dlq", None).await;
        let queue = cloud.queue("invoices", Some(&dlq)).await;
        let parameters = [("Queues", queue.arn.as_str()), ("Freshness", "0")];
        let strict = cloud.deploy(&returning("*-invoices", "customer"), &parameters).await;
        cloud.send(&queue, &[invoice(1), invoice(2), invoice(3)]).await;
        cloud.wait_for_messages(&dlq, "3").await;
        for id in strict.mappings().await {
            cloud.lambda.delete_event_source_mapping().uuid(id).send().await.unwrap();
        }
        let _mild = cloud.deploy_zip("mild", zip(), INVOICES, &parameters).await;
        cloud.sqs.start_message_move_task().source_arn(&dlq.arn).send().await.unwrap();
        let rows = cloud.wait_for_rows("billing.invoices", 3).await;
        assert!(rows.values().all(|it| it["_lw_source"] == queue.arn.as_str()), "{rows:?}");
        cloud.wait_for_messages(&dlq, "0").await;
        cloud.wait_for_messages(&queue, "0").await;
        cloud.wait_for_rows("billing.invoices", 3).await;
        cloud.expect(&["billing.invoices"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn groups_of_a_fifo_queue_keep_their_order_while_one_of_them_fails() {
    run_async(async {
        let cloud = Cloud::of("fifo").await;
        let dlq = cloud.queue("dlq.fifo", None).await;
        let queue = cloud.queue("invoices.fifo", Some(&dlq)).await;
        let parameters = [("FifoQueues", queue.arn.as_str())];
        let _stack = cloud.deploy(&returning("*-invoices.fifo", "n"), &parameters).await;
        let mut messages = Vec::new();
        for n in 0..12 {
            for group in ["a", "b", "c"] {
                let body = if (group, n) == ("b", 4) { json!({}) } else { json!({"n": n}) };
                messages.push((Some(group), body.to_string()));
            }
        }
        cloud.send(&queue, &messages).await;
        let rows = cloud.wait_for_rows("billing.invoices", 35).await;
        let mut groups: BTreeMap<&str, Vec<(&str, &Value)>> = BTreeMap::new();
        for row in rows.values() {
            let group = groups.entry(row["_lw_shard"].as_str().unwrap()).or_default();
            group.push((row["_lw_position"].as_str().unwrap(), &row["n"]));
        }
        for (name, mut group) in groups {
            group.sort_by_key(|(position, _)| *position);
            let order: Vec<u64> = group.iter().filter_map(|(_, n)| n.as_u64()).collect();
            let expected = (0..12).filter(|n| (name, *n) != ("b", 4));
            assert_eq!(order, expected.collect::<Vec<u64>>(), "group {name}");
        }
        // The DLQ takes the failed message, and with it what came after it in its group as often.
        cloud.wait_for_empty(&queue).await;
        let dead = cloud.take_all(&dlq).await;
        assert_eq!(dead.iter().filter(|it| **it == json!({})).count(), 1, "{dead:?}");
        let later = |it: &Value| it["n"].as_u64().is_none_or(|n| n > 4);
        assert!(dead.iter().all(later), "{dead:?}");
        cloud.expect(&["billing.invoices"]);
    });
}
