//! Recovery: a route is broken, retries run out, the route is repaired, and every record lands once,
//! by the function itself and by hand.

use aws_sdk_lambda::types::{DestinationConfig, OnFailure};
use serde_json::{Value, json};

use crate::support::lake::fresh_folder;
use crate::support::process::{by_id, printed};

use super::queues::Queue;
use super::streams::{CLICKS, ORDERS, number, text};
use super::support::{Cloud, Stack, run_async, wait_for};

const NOTHING: &str = r#"
version = 1

[[route]]
source = "arn:aws:sqs:*:*:nobody"
table = "of.nobody"
"#;

const NOTES: &str = r#"
version = 1

[[route]]
source = "arn:aws:sqs:*:*:*-notes"
table = "office.notes"
on_reject = "return"
"#;

impl Cloud {
    /// Runs a command with a config, and returns what it says in JSON.
    fn told(&self, config: &str, arguments: &[&str]) -> Value {
        let path = fresh_folder(&self.name("config")).join("lakeward.toml");
        std::fs::write(&path, config).unwrap();
        let more = ["--json", "--config", path.to_str().unwrap()];
        let output = self.lakeward(&[arguments, &more].concat());
        let said = serde_json::from_slice(&output.stdout);
        said.unwrap_or_else(|_| panic!("{arguments:?}: {}", printed(&output)))
    }

    async fn put_clicks(&self, stream: &str, numbers: std::ops::Range<u32>) {
        let record = |n: u32| ("user".to_owned(), json!({"n": n}).to_string().into_bytes());
        self.put_records(stream, &numbers.map(record).collect::<Vec<_>>()).await;
    }
}

impl Stack<'_> {
    /// Returns the keys of the failed batches.
    async fn failed(&self) -> Vec<String> {
        let bucket = &self.outputs["FailedBucket"];
        let found = self.cloud.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        found.contents().iter().filter_map(|it| it.key().map(str::to_owned)).collect()
    }
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn a_batch_that_lambda_has_given_up_wakes_the_function_and_can_be_redriven() {
    run_async(async {
        let cloud = Cloud::of("failed").await;
        let (stream, arn) = cloud.stream("clicks", 1).await;
        // No route names the stream, so every invocation fails.
        let parameters = [("KinesisStreams", arn.as_str()), ("MaximumRetryAttempts", "1")];
        let stack = cloud.deploy(ORDERS, &parameters).await;
        cloud.put_clicks(&stream, 0..5).await;
        let key = wait_for("the failed batch", async || stack.failed().await.pop()).await;
        let bucket = &stack.outputs["FailedBucket"];
        let object = cloud.s3.get_object().bucket(bucket).key(&key).send().await.unwrap();
        let body = object.body.collect().await.unwrap().into_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["KinesisBatchInfo"]["streamArn"], arn.as_str(), "{body}");
        wait_for("the function to be woken", async || {
            let lines = stack.log().await;
            lines.iter().any(|it| it.get("kind") == Some(&json!("Recovery"))).then_some(())
        })
        .await;
        assert!(cloud.rows("web.clicks").is_empty());

        // With the route it lands by hand, once however often it is tried…
        let place = format!("s3://{bucket}/aws/lambda");
        for _ in 0..2 {
            let said = cloud.told(CLICKS, &["redrive", "failed", &place]);
            assert_eq!(said["troubles"], json!([]), "{said}");
            assert!(!by_id(cloud.rows("web.clicks")).is_empty());
        }
        // …and by itself.
        stack.repair(CLICKS).await;
        cloud.put_clicks(&stream, 5..8).await;
        cloud.wait_for_rows("web.clicks", 8).await;
        let copy = cloud.s3.copy_object().bucket(bucket).key(format!("{key}-again"));
        copy.copy_source(format!("{bucket}/{key}")).send().await.unwrap();
        wait_for("the function to land it", async || {
            let lines = stack.log().await;
            let mut recovered = lines.iter().filter(|it| it.get("batches").is_some());
            recovered.any(|it| it["level"] == "INFO").then_some(())
        })
        .await;
        let said = cloud.told(CLICKS, &["audit", "--stream", &arn, "--grace", "0"]);
        let line = &said["audit"][0];
        let counts = ["landed", "in_stream", "missing", "lost"].map(|name| line[name].as_u64());
        assert_eq!(counts, [Some(8), Some(8), Some(0), Some(0)], "{said}");
        cloud.expect(&["web.clicks"]);
    });
}

/// Has mappings tell a queue of what they give up.
async fn tell(stack: &Stack<'_>, queue: &Queue) {
    let on_failure = OnFailure::builder().destination(&queue.arn).build();
    let destination = DestinationConfig::builder().on_failure(on_failure).build();
    for id in stack.mappings().await {
        let update = stack.cloud.lambda.update_event_source_mapping().uuid(&id);
        update.destination_config(destination.clone()).send().await.unwrap();
    }
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn what_a_queue_is_told_of_is_read_from_its_stream_again() {
    run_async(async {
        let cloud = Cloud::of("told").await;
        let (stream, clicks) = cloud.stream("clicks", 1).await;
        let (table, orders) = cloud.table("orders").await;
        let told = cloud.queue("told", None).await;
        let parameters = [
            ("KinesisStreams", clicks.as_str()),
            ("TableStreams", orders.as_str()),
            ("MaximumRetryAttempts", "0"),
        ];
        let stack = cloud.deploy(NOTHING, &parameters).await;
        tell(&stack, &told).await;
        cloud.put_clicks(&stream, 0..6).await;
        for n in 0..4 {
            let put = cloud.dynamodb.put_item().table_name(&table).item("id", text(&n.to_string()));
            put.item("total", number("19.90")).send().await.unwrap();
        }
        // A stream that is gone by the time that it is read.
        let gone = json!({
            "requestContext": {"condition": "RecordAgeExceeded"},
            "version": "1.0",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": "1",
                "endSequenceNumber": "2",
                "approximateArrivalOfFirstRecord": "2026-11-23T10:00:01.000Z",
                "batchSize": 2,
                "streamArn": clicks.replace("clicks", "gone-clicks"),
            },
        });
        cloud.send(&told, &[(None, gone.to_string())]).await;
        wait_for("both to be told", async || {
            let name = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
            let get = cloud.sqs.get_queue_attributes().queue_url(&told.url);
            let found = get.attribute_names(name.clone()).send().await.unwrap();
            let waiting: u32 = found.attributes().unwrap()[&name].parse().unwrap();
            (waiting >= 3).then_some(())
        })
        .await;
        assert!(
            cloud.rows("web.clicks").is_empty() && cloud.rows("shop.orders_changes").is_empty()
        );

        // With the routes the function reads them again.
        let routes = format!("{CLICKS}{}", ORDERS.replace("version = 1", ""));
        stack.repair(&routes).await;
        let mapping = cloud.lambda.create_event_source_mapping().event_source_arn(&told.arn);
        let alias = format!("{}:live", stack.function());
        let types = aws_sdk_lambda::types::FunctionResponseType::ReportBatchItemFailures;
        mapping.function_name(alias).function_response_types(types).send().await.unwrap();
        cloud.wait_for_rows("web.clicks", 6).await;
        cloud.wait_for_rows("shop.orders_changes", 4).await;
        let gaps = cloud.wait_for_rows("lakeward.gaps", 1).await;
        let gap = gaps.values().next().unwrap();
        assert_eq!((&gap["reason"], &gap["batch_size"]), (&json!("stream_gone"), &json!(2)));
        cloud.expect(&["web.clicks", "shop.orders_changes", "lakeward.gaps"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn a_dlq_is_redriven_by_hand() {
    run_async(async {
        let cloud = Cloud::of("byhand").await;
        let dlq = cloud.queue("notes-dlq", None).await;
        let queue = cloud.queue("notes", Some(&dlq)).await;
        let parameters = [("Queues", queue.arn.as_str()), ("Freshness", "0")];
        let strict = format!("{NOTES}transform = [{{ require = [\"customer\"] }}]\n");
        let _stack = cloud.deploy(&strict, &parameters).await;
        let note = |n: u32| (None, json!({"n": n}).to_string());
        let sent = cloud.send(&queue, &[note(1), note(2), (None, "no JSON".to_owned())]).await;
        cloud.wait_for_messages(&dlq, "3").await;
        assert!(cloud.rows("office.notes").is_empty());

        let landed = |said: &Value| (said["dlq"]["landed"].clone(), said["dlq"]["kept"].clone());
        let said = cloud.told(NOTES, &["redrive", "dlq", &dlq.url, "--dry-run"]);
        assert_eq!(landed(&said), (json!(2), json!(1)), "{said}");
        let said = cloud.told(NOTES, &["redrive", "dlq", &dlq.arn]);
        assert_eq!(landed(&said), (json!(2), json!(1)), "{said}");
        let rows = cloud.wait_for_rows("office.notes", 2).await;
        let mut ids: Vec<&String> = sent.iter().take(2).collect();
        ids.sort();
        assert_eq!(rows.keys().collect::<Vec<_>>(), ids);
        assert!(rows.values().all(|it| it["_lw_source"] == queue.arn.as_str()), "{rows:?}");
        cloud.wait_for_messages(&dlq, "1").await;
        let said = cloud.told(NOTES, &["redrive", "dlq", &dlq.arn]);
        assert_eq!(landed(&said), (json!(0), json!(1)), "{said}");
        cloud.expect(&["office.notes"]);
    });
}
