//! The function that the schedule calls for upkeep.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::json;

use super::faults::signal_all;
use super::queues::INVOICES;
use super::streams::{CLICKS, ORDERS};
use super::support::{Cloud, Stack, run_async};

/// Calls for upkeep as the schedule does, and waits for its answer.
async fn keep_up(stack: &Stack<'_>) {
    let call = stack.cloud.lambda.invoke().function_name(&stack.outputs["UpkeepFunctionName"]);
    let payload = Blob::new(json!({"lakeward": "upkeep"}).to_string());
    let answer = call.payload(payload).send().await.unwrap();
    let said = String::from_utf8(answer.payload.unwrap().into_inner()).unwrap();
    assert_eq!((answer.function_error, said.as_str()), (None, r#"{"batchItemFailures":[]}"#));
}

/// Its role may read, add and remove; the lake stays as it is, and the other function goes on.
#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn upkeep_of_the_deployed_lake_leaves_every_row_where_it_is() {
    run_async(async {
        let cloud = Cloud::of("upkeep").await;
        let queue = cloud.queue("invoices", None).await;
        let stack = cloud.deploy(INVOICES, &[("Queues", &queue.arn), ("Freshness", "0")]).await;
        let invoice = |n: u32| (None, json!({"n": n}).to_string());
        cloud.send(&queue, &[1, 2, 3].map(invoice)).await;
        cloud.wait_for_rows("billing.invoices", 3).await;
        for _ in 0..2 {
            keep_up(&stack).await;
        }
        cloud.send(&queue, &[4].map(invoice)).await;
        cloud.wait_for_rows("billing.invoices", 4).await;
        cloud.expect(&["billing.invoices"]);
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn upkeep_that_is_killed_under_load_loses_and_doubles_nothing() {
    run_async(async {
        let cloud = Cloud::of("killed-upkeep").await;
        let (table, table_stream) = cloud.table("orders").await;
        let (stream, stream_arn) = cloud.stream("clicks", 2).await;
        let queue = cloud.queue("invoices", None).await;
        let body = |it: &str| it.replacen("version = 1", "", 1);
        let config = format!("{ORDERS}{}{}", body(CLICKS), body(INVOICES));
        let sources = [
            ("TableStreams", table_stream.as_str()),
            ("KinesisStreams", stream_arn.as_str()),
            ("Queues", queue.arn.as_str()),
            ("Freshness", "0"),
        ];
        let stack = cloud.deploy(&config, &sources).await;
        let upkeep = stack.outputs["UpkeepFunctionName"].clone();
        let (mut sent, mut killed) = (0_u32, 0);
        while killed < 5 {
            assert!(sent < 400, "upkeep was killed only {killed} times");
            let numbers = sent..sent + 10;
            sent += 10;
            let clicks = numbers.clone().map(|n| (n.to_string(), json!({"n": n}).to_string()));
            let clicks = clicks.map(|(key, text)| (key, text.into_bytes()));
            cloud.put_records(&stream, &clicks.collect::<Vec<_>>()).await;
            let invoice = |n: u32| (None, json!({"n": n}).to_string());
            cloud.send(&queue, &numbers.clone().map(invoice).collect::<Vec<_>>()).await;
            for n in numbers {
                let put = cloud.dynamodb.put_item().table_name(&table);
                let put = put.item("id", AttributeValue::S(n.to_string()));
                put.send().await.unwrap();
            }
            let call = cloud.lambda.invoke().function_name(&upkeep);
            let call = call.invocation_type(InvocationType::Event);
            let payload = Blob::new(json!({"lakeward": "upkeep"}).to_string());
            call.payload(payload).send().await.unwrap();
            // It starts some time later, and takes some time.
            for _ in 0..fastrand::u32(1..20) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            killed += signal_all(&upkeep, "KILL");
        }
        for name in ["shop.orders_changes", "web.clicks", "billing.invoices"] {
            cloud.wait_for_rows(name, sent as usize).await;
        }
        keep_up(&stack).await;
        for name in ["shop.orders_changes", "web.clicks", "billing.invoices"] {
            cloud.wait_for_rows(name, sent as usize).await;
        }
        cloud.expect(&["shop.orders_changes", "web.clicks", "billing.invoices"]);
    });
}
