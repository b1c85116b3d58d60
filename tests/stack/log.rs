//! The log of the function in CloudWatch, with the samples of the template.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::streams::{number, text};
use super::support::{Cloud, leave, run_async, wait_for};
use crate::support::compare::Object;

/// Stands in every record, and must not stand in the log.
const CANARY: &str = "canary-4711";

/// The metrics of a route, as docs/OPERATING.md lists them.
const OF_ROUTES: [&str; 10] = [
    "Records",
    "Landed",
    "Duplicates",
    "Quarantined",
    "Filtered",
    "Overflowed",
    "Bytes",
    "Files",
    "CommitConflicts",
    "IdFilesRead",
];

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn samples_land_and_the_log_tells_of_each_invocation() {
    run_async(async {
        let cloud = Cloud::of("samples").await;
        let stack = cloud.deploy_samples().await;
        let body = json!({"id": "i1", "note": CANARY}).to_string();
        let put = cloud.dynamodb.put_item().table_name(&stack.outputs["SampleTableName"]);
        let put = put.item("order_id", text("o1")).item("note", text(CANARY));
        put.item("total", number("19.90")).send().await.unwrap();
        let stream = &stack.outputs["SampleStreamName"];
        cloud.put_records(stream, &[("user".to_owned(), body.clone().into_bytes())]).await;
        for body in [&body, CANARY] {
            let send = cloud.sqs.send_message().queue_url(&stack.outputs["SampleQueueUrl"]);
            send.message_body(body).send().await.unwrap();
        }
        for table in
            ["shop.orders_changes", "web.clicks", "billing.invoices", "lakeward.quarantine"]
        {
            cloud.wait_for_rows(table, 1).await;
        }

        let lines = wait_for("the log of all records", async || {
            let lines = stack.log().await;
            let told = |name: &str| whole(&lines).filter_map(|it| it[name].as_f64()).sum::<f64>();
            (told("Records") >= 4.0 && told("Landed") >= 3.0).then_some(lines)
        })
        .await;
        for line in whole(&lines) {
            let request = line["request_id"].as_str().unwrap();
            assert_eq!(request.len(), 36, "{request}");
            assert_eq!(line["config_hash"], lines[0]["config_hash"]);
            assert!(line["config_hash"].as_str().unwrap().len() >= 12, "{line:?}");
            for (name, table) in line["tables"].as_object().unwrap() {
                for key in ["snapshot", "commit"] {
                    assert!(table[key].is_string(), "{key} of {name}: {table}");
                }
                assert!(table["ms"].is_number() && table["routes"].is_array(), "{table}");
            }
        }
        let rejected: Vec<&Value> =
            whole(&lines).map(|it| &it["rejected"]["billing.invoices"]["no_json"]).collect();
        assert!(rejected.contains(&&json!(1)), "{rejected:?}");

        for line in &lines {
            embedded_metrics(line);
            assert!(!Value::Object(line.clone()).to_string().contains(CANARY), "{line:?}");
        }
        let routes: BTreeSet<&str> =
            lines.iter().filter_map(|it| it.get("Route")?.as_str()).collect();
        let expected = ["billing.invoices", "shop.orders_changes", "web.clicks"];
        assert_eq!(routes, BTreeSet::from(expected));

        let starts: Vec<f64> = whole(&lines).map(|it| it["ColdStart"].as_f64().unwrap()).collect();
        assert!(starts.contains(&1.0), "{starts:?}");
        let times = whole(&lines).map(|it| {
            let kind = if it["ColdStart"] == 1.0 { "cold" } else { "warm" };
            format!("{kind}: {} records, ms {}\n", it["Records"], it["ms"])
        });
        leave("times.txt", &times.collect::<String>());
        cloud.expect(&["shop.orders_changes", "web.clicks", "billing.invoices"]);
    });
}

/// Returns the lines that report whole invocations.
fn whole(lines: &[Object]) -> impl Iterator<Item = &Object> {
    lines.iter().filter(|it| it.contains_key("request_id"))
}

/// Reads a line as CloudWatch does:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn embedded_metrics(line: &Object) {
    let metadata = &line["_aws"];
    assert!(metadata["Timestamp"].is_u64(), "{metadata}");
    let [directive] = metadata["CloudWatchMetrics"].as_array().unwrap().as_slice() else {
        panic!("{metadata}")
    };
    assert_eq!(directive["Namespace"], "Lakeward");
    let of_route = line.contains_key("Route");
    let dimensions = if of_route { json!([["Route"]]) } else { json!([[], ["FunctionName"]]) };
    assert_eq!(directive["Dimensions"], dimensions);
    assert!(of_route || line["FunctionName"].is_string(), "{line:?}");
    let metrics = directive["Metrics"].as_array().unwrap();
    let names: BTreeSet<&str> = metrics.iter().map(|it| it["Name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), metrics.len(), "a metric is named twice");
    assert!(names.is_superset(&BTreeSet::from(OF_ROUTES)), "{names:?}");
    for metric in metrics {
        let name = metric["Name"].as_str().unwrap();
        let unit = match name {
            "Bytes" => "Bytes",
            "CommitMs" | "LagMs" => "Milliseconds",
            _ => "Count",
        };
        assert_eq!(metric["Unit"], unit, "{name}");
        let value = &line[name];
        let numbers = |it: &Value| it.as_array().is_some_and(|it| it.iter().all(Value::is_number));
        assert!(value.is_number() || numbers(value), "{name}: {value}");
    }
}
