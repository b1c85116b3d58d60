//! A store that is not to be relied on, and functions that end in the middle.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::support::{Cloud, Stack, endpoint, run_async, wait_for};
use crate::support::s3::{Fault, S3};

const ROUTES: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/*-clicks"
table = "web.clicks"

[[route]]
source = "arn:aws:sqs:*:*:*-invoices"
table = "billing.invoices"
"#;

/// Time for which the store stays as it is.
const WHILE: Duration = Duration::from_secs(3);
/// The shortest timeout that the template takes, in seconds.
const TIMEOUT: i32 = 10;

/// A stack whose function sees the lake through a store that can fail.
struct Traffic<'a> {
    stack: Stack<'a>,
    store: S3,
    stream: String,
    queue: String,
    sent: usize,
}

impl<'a> Traffic<'a> {
    async fn through_a_store(cloud: &'a Cloud) -> Self {
        let (stream, stream_arn) = cloud.stream("clicks", 1).await;
        let queue = cloud.queue("invoices", None).await;
        let sources = [("KinesisStreams", stream_arn.as_str()), ("Queues", queue.arn.as_str())];
        let parameters = [&sources[..], &[("Freshness", "0")]].concat();
        let stack = cloud.deploy(ROUTES, &parameters).await;
        let (listen, host) = Cloud::this_machine();
        let store = S3::before(endpoint().trim_start_matches("http://"), listen);
        let port = store.endpoint.rsplit(':').next().unwrap();
        let endpoint = format!("http://{host}:{port}");
        stack.reconfigure(&[("AWS_ENDPOINT_URL_S3", &endpoint)], TIMEOUT).await;
        Self { stack, store, stream, queue: queue.url, sent: 0 }
    }

    /// Sends ten records and ten messages.
    async fn send(&mut self) {
        let cloud = self.stack.cloud;
        let numbers = self.sent..self.sent + 10;
        let body = |n: usize| json!({"n": n}).to_string();
        let records = numbers.clone().map(|n| ("user".to_owned(), body(n).into_bytes()));
        cloud.put_records(&self.stream, &records.collect::<Vec<_>>()).await;
        for n in numbers {
            let send = cloud.sqs.send_message().queue_url(&self.queue).message_body(body(n));
            send.send().await.unwrap();
        }
        self.sent += 10;
    }

    /// All that was sent is there, once.
    async fn arrives(&self) {
        let cloud = self.stack.cloud;
        for table in ["web.clicks", "billing.invoices"] {
            let rows = cloud.wait_for_rows(table, self.sent).await;
            let numbers: BTreeSet<u64> = rows.values().filter_map(|it| it["n"].as_u64()).collect();
            assert_eq!(numbers, (0..self.sent as u64).collect(), "{table}");
        }
        cloud.expect(&["web.clicks", "billing.invoices"]);
    }
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn what_comes_while_the_store_fails_lands_once() {
    run_async(async {
        let cloud = Cloud::of("outage").await;
        let mut traffic = Traffic::through_a_store(&cloud).await;
        traffic.send().await;
        traffic.arrives().await;
        let failing: [fn(&str, &str) -> Option<Fault>; 4] = [
            |_, _| Some(Fault::Refused(503)),
            |_, _| Some(Fault::Silent),
            |method, _| (method == "PUT").then_some(Fault::Lost),
            |method, _| (method == "PUT").then_some(Fault::Done(500)),
        ];
        for rule in failing {
            traffic.store.fail(rule);
            traffic.send().await;
            tokio::time::sleep(WHILE).await;
            traffic.send().await;
        }
        let met = traffic.store.requests().len();
        assert!(met > 20, "only {met} requests went through the failing store");
        traffic.arrives().await;
    });
}

#[test]
#[ignore = "needs LocalStack: tests/run stack"]
fn a_function_that_ends_in_the_middle_loses_and_doubles_nothing() {
    run_async(async {
        let cloud = Cloud::of("ends").await;
        let mut traffic = Traffic::through_a_store(&cloud).await;
        traffic.send().await;
        traffic.arrives().await;
        // Killed before and after it has written data, the list of it, and the commit; frozen until
        // Lambda's timeout kills it, before and after the commit.
        let ends = [
            (".parquet", "KILL", false),
            (".parquet", "KILL", true),
            ("snap-", "KILL", true),
            (".metadata.json", "KILL", false),
            (".metadata.json", "KILL", true),
            (".metadata.json", "STOP", false),
            (".metadata.json", "STOP", true),
        ];
        for (object, signal, written) in ends {
            let met = Arc::new(AtomicUsize::new(0));
            let function = traffic.stack.function().to_owned();
            let count = Arc::clone(&met);
            traffic.store.fail(move |method, path| {
                let here = method == "PUT" && path.contains(object);
                if !here || count.load(Ordering::Relaxed) > 0 {
                    return None;
                }
                let hit = signal_all(&function, signal);
                assert!(hit > 0, "no process of {function}");
                count.fetch_add(hit, Ordering::Relaxed);
                (!written).then_some(Fault::Refused(503))
            });
            traffic.send().await;
            let what = format!("a SIG{signal} at {object}");
            wait_for(&what, async || (met.load(Ordering::Relaxed) > 0).then_some(())).await;
        }
        traffic.store.requests();
        traffic.arrives().await;
    });
}

/// Sends a signal to all processes of a function, and returns how many there were.
pub fn signal_all(function: &str, signal: &str) -> usize {
    let name = format!("AWS_LAMBDA_FUNCTION_NAME={function}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_function = processes.filter(|it| {
        let environment = std::fs::read(it.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&name)
    });
    let ids: Vec<String> = of_function.filter_map(|it| it.file_name().into_string().ok()).collect();
    if ids.is_empty() {
        return 0;
    }
    // One that has ended meanwhile is not an error.
    Command::new("kill").arg(format!("-{signal}")).args(&ids).status().unwrap();
    ids.len()
}
