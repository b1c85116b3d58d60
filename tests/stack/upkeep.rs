//! The function that the schedule calls for upkeep.

use aws_sdk_lambda::primitives::Blob;
use serde_json::json;

use super::queues::INVOICES;
use super::support::{Cloud, run_async};

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
            let call = cloud.lambda.invoke().function_name(&stack.outputs["UpkeepFunctionName"]);
            let payload = Blob::new(json!({"lakeward": "upkeep"}).to_string());
            let answer = call.payload(payload).send().await.unwrap();
            let said = String::from_utf8(answer.payload.unwrap().into_inner()).unwrap();
            assert_eq!(
                (answer.function_error, said.as_str()),
                (None, r#"{"batchItemFailures":[]}"#)
            );
        }
        cloud.send(&queue, &[4].map(invoice)).await;
        cloud.wait_for_rows("billing.invoices", 4).await;
        cloud.expect(&["billing.invoices"]);
    });
}
