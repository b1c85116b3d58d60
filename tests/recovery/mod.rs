//! Recovery of failed batches and of messages in a dead-letter queue, and the audit, against
//! services in memory that trim streams, refuse calls and return empty pages.

mod audit;
mod dlq;
mod failed_batches;
mod redrive;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::aws::Aws;
use crate::support::compare::Object;
use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{
    CHANGES, STREAM, change, change_sequence, kinesis_id, kinesis_record, kinesis_sequence,
    message_id,
};
use crate::support::process::{Function, by_id, lakeward, printed, rows, run};

const SHARD: &str = "shardId-000000000000";

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"
transform = [{ filter = { n = "*" } }]

[[route]]
source = "arn:aws:dynamodb:*:*:table/app/stream/*"
table = "shop.orders_changes"

[[route]]
source = "arn:aws:sqs:*:*:notes"
table = "office.notes"
"#;

/// A lake, and the services beside it.
struct Workspace {
    folder: PathBuf,
    aws: Aws,
}

impl Workspace {
    fn new(name: &str) -> Self {
        let workspace =
            Self { folder: fresh_folder(&format!("recovery-{name}")), aws: Aws::start() };
        fs::write(workspace.folder.join("lakeward.toml"), CONFIG).unwrap();
        workspace
    }

    fn lakeward(&self, arguments: &[&str]) -> Output {
        run(self.aws.asked_by(lakeward()).args(arguments).current_dir(&self.folder))
    }

    /// Runs a command with `--json`, and returns its exit code, its output and its errors.
    fn json(&self, arguments: &[&str]) -> (i32, Value, String) {
        let output = self.lakeward(&[arguments, &["--json"]].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{arguments:?}: {}", printed(&output));
        });
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), json, errors)
    }

    fn start(&self, variables: &[(&str, &str)]) -> Function {
        let variables = [variables, &self.aws.environment()].concat();
        let (config, lake) = (self.folder.join("lakeward.toml"), self.folder.join("lake"));
        Function::start_in(&config, &lake, &variables)
    }

    /// Stores a failure notice where Lambda would.
    fn store(&self, name: &str, document: &Value) {
        let folder = self.folder.join("failed/aws/lambda/mapping").join(SHARD);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), document.to_string()).unwrap();
    }

    fn rows(&self, table: &str) -> Vec<Object> {
        rows(&self.folder.join("lake"), table)
    }

    fn ids(&self, table: &str) -> Vec<String> {
        by_id(self.rows(table)).into_keys().collect()
    }
}

fn click(n: u32) -> Value {
    kinesis_record(n, &json!({"n": n}))
}

fn order(n: u32) -> Value {
    change(n, &json!({"pk": {"S": format!("ORDER#{n}")}, "n": {"N": n.to_string()}}))
}

fn clicks(numbers: Range<u32>) -> Vec<String> {
    numbers.map(kinesis_id).collect()
}

/// Returns the failure notice that Lambda sends to a queue or a topic.
fn notice(kind: &str, stream: &str, first: &str, last: &str) -> Value {
    json!({
        "requestContext": {
            "requestId": "d95c4fc3-6b1b-4c0a-8f13-3c5f8f1f8f4e",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:lakeward",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 4,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "7", "functionError": null},
        "version": "1.0",
        "timestamp": "2026-11-23T10:05:00.000Z",
        kind: {
            "shardId": SHARD,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": "2026-11-23T10:00:01.000Z",
            "approximateArrivalOfLastRecord": "2026-11-23T10:00:02.000Z",
            "batchSize": 6,
            "streamArn": stream,
        },
    })
}

fn notice_of_clicks(first: u32, last: u32) -> Value {
    notice("KinesisBatchInfo", STREAM, &kinesis_sequence(first), &kinesis_sequence(last))
}

fn notice_of_orders(first: u32, last: u32) -> Value {
    notice("DDBStreamBatchInfo", CHANGES, &change_sequence(first), &change_sequence(last))
}

fn message(n: u32, queue: &str, body: &str) -> Value {
    json!({
        "messageId": message_id(n),
        "receiptHandle": "r",
        "body": body,
        "attributes": {"SentTimestamp": "1795428000000", "ApproximateReceiveCount": "4"},
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:eu-west-1:123456789012:{queue}"),
        "awsRegion": "eu-west-1",
    })
}

/// Returns the payload of a record; three such records unpack to more than fits into one pass.
fn packed() -> String {
    (0..45_000).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}
