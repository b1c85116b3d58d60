//! An event that unpacks to more than fits into memory at once is handled in several passes, for as
//! long as there is time; what is left is reported, and lands once when it is redelivered.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lakeward::config::{self, Config, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::{Intake, InvocationReport};
use lakeward::store::files::Call;
use lakeward::table::Cell;
use serde_json::{Value, json};

use crate::support::lake::lake_on;
use crate::support::lambda_events::{event, kinesis_raw, kinesis_sequence, message_id};
use crate::support::store::{Hook, HookedFiles, Memory};

const CONFIG: &str = r#"
version = 1
[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.lines"
transform = [{ filter = { kept = "*" } }]
[[route]]
source = "arn:aws:sqs:*:*:lines"
table = "web.lines"
transform = [{ filter = { kept = "*" } }]
"#;

/// Records in a delivered one: two deliveries fit into a pass, a third does not.
const LINES: usize = 40_000;

fn config() -> Config {
    config::check(CONFIG, &Overrides::default()).config.unwrap()
}

/// Lines of which the route keeps the last.
fn lines(n: u32) -> String {
    "{}\n".repeat(LINES - 1) + &json!({"kept": n}).to_string()
}

fn message(n: u32) -> Value {
    json!({
        "messageId": message_id(n),
        "body": lines(n),
        "attributes": {"SentTimestamp": "1795428000000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:lines",
    })
}

fn record(n: u32) -> Value {
    use base64::Engine as _;
    kinesis_raw(n, &base64::engine::general_purpose::STANDARD.encode(lines(n)))
}

/// Calls take a while, and fail from one on, counted from 0.
#[derive(Debug)]
struct Slow {
    calls: AtomicUsize,
    takes: Duration,
    fails_from: usize,
}

impl Hook for Slow {
    fn around<'a, T: Send + 'a>(
        &'a self,
        _: &'static str,
        _: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            if self.calls.fetch_add(1, Ordering::Relaxed) >= self.fails_from {
                return Err(io::Error::other("the store is down"));
            }
            call.await
        })
    }
}

/// A store, and the function on it.
struct Stage {
    memory: Arc<Memory>,
}

impl Stage {
    fn new() -> Self {
        Self { memory: Arc::new(Memory::default()) }
    }

    /// Handles an event that has a minute, on files whose calls take a while; returns what became of
    /// it and how many calls that took.
    async fn invoke(
        &self,
        event: &Value,
        takes: Duration,
        fails_from: usize,
    ) -> (InvocationReport, usize) {
        let hook = Slow { calls: AtomicUsize::new(0), takes, fails_from };
        let files = Arc::new(HookedFiles { memory: Arc::clone(&self.memory), hook });
        let lake = lake_on(Arc::<HookedFiles<Slow>>::clone(&files), "memory://lake");
        let function = Intake::new(App::on(config(), lake, None));
        let deadline = Deadline::after(Duration::from_secs(60));
        let processed = function.handle(event.to_string().as_bytes(), &deadline).await;
        (processed, files.hook.calls.load(Ordering::Relaxed))
    }

    /// Counts the rows of each line that the route kept.
    async fn kept(&self) -> BTreeMap<String, usize> {
        let lake = lake_on(Arc::<Memory>::clone(&self.memory), "memory://lake");
        let read = lake.all_rows(&"web.lines".parse().unwrap()).await.unwrap().unwrap();
        let at = read.columns.iter().position(|(name, _)| name == "kept").unwrap();
        let mut kept = BTreeMap::new();
        for row in &read.rows {
            let Cell::Long(n) = row[at] else { panic!("{:?}", row[at]) };
            *kept.entry(n.to_string()).or_default() += 1;
        }
        kept
    }
}

/// The identifiers that an answer reports.
fn reported(processed: &InvocationReport) -> Vec<String> {
    let answer: Value = serde_json::from_str(processed.answer.as_ref().unwrap()).unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap().iter();
    failures.map(|it| it["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

fn records(processed: &InvocationReport) -> Vec<u64> {
    processed.passes.iter().map(|it| it.report.records).collect()
}

fn once(numbers: std::ops::Range<u32>) -> BTreeMap<String, usize> {
    numbers.map(|n| (n.to_string(), 1)).collect()
}

const LINES_OF_TWO: u64 = 2 * LINES as u64;

#[tokio::test(start_paused = true)]
async fn what_one_pass_has_no_memory_for_lands_in_the_next() {
    for event in [event((0..5).map(message)), event((0..5).map(record))] {
        let stage = Stage::new();
        let (processed, _) = stage.invoke(&event, Duration::ZERO, usize::MAX).await;
        assert_eq!(reported(&processed), Vec::<String>::new());
        // Each record counts in the pass that handled it.
        assert_eq!(records(&processed), [LINES_OF_TWO, LINES_OF_TWO, LINES as u64]);
        assert!(processed.passes.iter().all(|it| it.report.failed == 0));
        assert_eq!(stage.kept().await, once(0..5));
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_for_another_pass_the_rest_is_reported() {
    let messages = event((0..5).map(message));
    let (_, calls) = Stage::new().invoke(&messages, Duration::ZERO, usize::MAX).await;
    // The first pass, which makes the table, takes about half of the time.
    let takes = Duration::from_secs(60) / u32::try_from(calls).unwrap();
    for (event, expected) in [
        (&messages, vec![message_id(2), message_id(3), message_id(4)]),
        (&event((0..5).map(record)), vec![kinesis_sequence(2)]),
    ] {
        let stage = Stage::new();
        let (processed, _) = stage.invoke(event, takes, usize::MAX).await;
        assert_eq!(reported(&processed), expected);
        // What was not reached counts as failed, record by record as it was delivered.
        assert_eq!(records(&processed), [LINES_OF_TWO + 3]);
        assert_eq!(processed.passes[0].report.failed, 3);
        assert_eq!(stage.kept().await, once(0..2));

        let (processed, _) = stage.invoke(event, Duration::ZERO, usize::MAX).await;
        assert_eq!(reported(&processed), Vec::<String>::new());
        assert_eq!(stage.kept().await, once(0..5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_between_two_passes_costs_only_the_second() {
    for (of_two, of_three, expected) in [
        (event((0..2).map(message)), event((0..3).map(message)), message_id(2)),
        (event((0..2).map(record)), event((0..3).map(record)), kinesis_sequence(2)),
    ] {
        let (_, calls) = Stage::new().invoke(&of_two, Duration::ZERO, usize::MAX).await;
        let stage = Stage::new();
        let (processed, _) = stage.invoke(&of_three, Duration::ZERO, calls).await;
        assert_eq!(reported(&processed), [expected]);
        assert_eq!(processed.passes[0].report.failed, 1);
        let trouble = &processed.passes[0].report.trouble;
        assert!(trouble.iter().any(|it| it.contains("the store is down")), "{trouble:?}");
        assert_eq!(stage.kept().await, once(0..2));
    }
}

/// The share of rejected records is that of the whole event, whatever fits into a pass.
#[tokio::test(start_paused = true)]
async fn the_limit_of_rejects_counts_the_records_of_all_passes() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let small = |n: u32, bad: u32| match n < 3 + bad {
        true => "no JSON".to_owned(),
        false => json!({"kept": n}).to_string(),
    };
    let all = |bad: u32| -> [Vec<Value>; 2] {
        let messages = (0..120).map(|n| {
            let mut message = message(n);
            if n >= 3 {
                message["body"] = small(n, bad).into();
            }
            message
        });
        let records = (0..120).map(|n| match n < 3 {
            true => record(n),
            false => kinesis_raw(n, &encode(&small(n, bad))),
        });
        [messages.collect(), records.collect()]
    };
    let [messages, records_of_stream] = all(61);
    let (processed, _) = Stage::new().invoke(&event(messages), Duration::ZERO, usize::MAX).await;
    assert_eq!(processed.passes.len(), 2);
    assert_eq!(reported(&processed), (3..64).map(message_id).collect::<Vec<_>>());
    let (processed, _) =
        Stage::new().invoke(&event(records_of_stream), Duration::ZERO, usize::MAX).await;
    assert_eq!(reported(&processed), [kinesis_sequence(0)]);
    for within in all(59) {
        let (processed, _) = Stage::new().invoke(&event(within), Duration::ZERO, usize::MAX).await;
        assert_eq!((reported(&processed).len(), processed.passes.len()), (0, 2));
    }
}
