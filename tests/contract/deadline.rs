//! An invocation answers before its deadline, whatever the store does: it names each record that is
//! not durable by then, and after redelivery each record is there once.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lakeward::config::{self, Config, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::{Intake, InvocationReport};
use lakeward::store::files::{Call, Files};
use lakeward::table::Cell;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::lake::{fresh_folder, lake_on};
use crate::support::lambda_events::{event, kinesis_id, kinesis_record, kinesis_sequence};
use crate::support::process::{Function, by_id, lakeward, printed, run};
use crate::support::s3::{Fault, S3};
use crate::support::store::{Hook, HookedFiles, Memory};

/// Two tables of one stream: the first commits before the second.
const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
when = { kind = "a" }
table = "web.a"

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.b"
"#;

/// Records of the event.
const RECORDS: u32 = 6;

fn config() -> Config {
    config::check(CONFIG, &Overrides::default()).config.unwrap()
}

/// Clicks from `from` on; the first two are the first table's.
fn clicks(from: u32) -> Value {
    let kind = |n| if n < 2 { "a" } else { "b" };
    event((from..RECORDS).map(|n| kinesis_record(n, &json!({"n": n, "kind": kind(n)}))))
}

/// The click that an answer asks to begin with again.
fn from(answer: &str) -> Option<u32> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let told = &answer["batchItemFailures"];
    assert!(told[1].is_null(), "a stream has one checkpoint: {answer}");
    let told = told[0]["itemIdentifier"].as_str()?;
    (0..RECORDS).find(|n| kinesis_sequence(*n) == told)
}

/// When a call never returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hangs {
    BeforeItIsDone,
    AfterItIsDone,
}

/// One call, counted from 0, never returns.
#[derive(Debug)]
struct Hanging {
    calls: AtomicUsize,
    at: usize,
    when: Hangs,
}

impl Hanging {
    fn on(memory: &Arc<Memory>, at: usize, when: Hangs) -> Arc<HookedFiles<Self>> {
        let hook = Self { calls: AtomicUsize::new(0), at, when };
        Arc::new(HookedFiles { memory: Arc::clone(memory), hook })
    }
}

impl Hook for Hanging {
    fn around<'a, T: Send + 'a>(
        &'a self,
        _: &'static str,
        _: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        Box::pin(async move {
            let hangs = self.calls.fetch_add(1, Ordering::Relaxed) == self.at;
            if hangs && self.when == Hangs::BeforeItIsDone {
                pending::<()>().await;
            }
            let done = call.await;
            if hangs {
                pending::<()>().await;
            }
            done
        })
    }
}

/// Handles an event that has a minute, and fails where it takes longer.
async fn invoke(files: Arc<dyn Files>, event: &Value) -> InvocationReport {
    let function = Intake::new(App::on(config(), lake_on(files, "memory://lake"), None));
    let left = Duration::from_secs(60);
    let began = Instant::now();
    let processed = function.handle(event.to_string().as_bytes(), &Deadline::after(left)).await;
    assert!(began.elapsed() < left, "Lambda has ended it after {:?}", began.elapsed());
    processed
}

fn answer(processed: &InvocationReport) -> &str {
    processed.answer.as_ref().unwrap()
}

/// Ids in both tables; fails on one that is there twice.
async fn ids(memory: &Arc<Memory>) -> BTreeSet<String> {
    let lake = lake_on(Arc::<Memory>::clone(memory), "memory://lake");
    let mut found = BTreeSet::new();
    for table in ["web.a", "web.b"] {
        let Some(read) = lake.all_rows(&table.parse().unwrap()).await.unwrap() else {
            continue;
        };
        let at = read.columns.iter().position(|(name, _)| name == "_lw_id").unwrap();
        for mut row in read.rows {
            let Cell::Text(id) = row.swap_remove(at) else { panic!("no id") };
            assert!(found.insert(id.clone()), "{id} is there twice");
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn whichever_call_hangs_the_answer_comes_in_time_and_what_it_names_lands_once() {
    let memory = Arc::new(Memory::default());
    let files = Hanging::on(&memory, usize::MAX, Hangs::AfterItIsDone);
    assert_eq!(
        from(answer(&invoke(Arc::<HookedFiles<Hanging>>::clone(&files), &clicks(0)).await)),
        None
    );
    let calls = files.hook.calls.load(Ordering::Relaxed);
    assert!(calls > 20, "only {calls} calls");
    let (mut named, mut partly) = (0, 0);
    for (at, when) in (0..calls)
        .flat_map(|at| [Hangs::BeforeItIsDone, Hangs::AfterItIsDone].map(|when| (at, when)))
    {
        let memory = Arc::new(Memory::default());
        let processed = invoke(Hanging::on(&memory, at, when), &clicks(0)).await;
        let again = from(answer(&processed));
        let there = ids(&memory).await;
        let durable: BTreeSet<_> = (0..again.unwrap_or(RECORDS)).map(kinesis_id).collect();
        assert!(
            there.is_superset(&durable),
            "call {at} {when:?}: {} is not true",
            answer(&processed)
        );
        if let Some(again) = again {
            assert!(!processed.passes[0].report.trouble.is_empty(), "nobody is told why");
            named += 1;
            partly += usize::from(again > 0);
            let again = invoke(Arc::<Memory>::clone(&memory), &clicks(again)).await;
            assert_eq!(from(answer(&again)), None, "call {at} {when:?}");
        }
        assert_eq!(
            ids(&memory).await,
            (0..RECORDS).map(kinesis_id).collect(),
            "call {at} {when:?}"
        );
    }
    assert!(named > calls && partly > 10, "of {calls} calls {named} were told, {partly} in part");
}

#[tokio::test(start_paused = true)]
async fn with_no_time_left_nothing_is_begun_and_everything_is_named() {
    let memory = Arc::new(Memory::default());
    let lake = lake_on(Arc::<Memory>::clone(&memory), "memory://lake");
    let function = Intake::new(App::on(config(), lake, None));
    let event = clicks(0).to_string();
    for left in [Duration::ZERO, Duration::from_millis(200)] {
        let processed = function.handle(event.as_bytes(), &Deadline::after(left)).await;
        assert_eq!(from(answer(&processed)), Some(0));
        assert_eq!(processed.passes[0].report.failed, u64::from(RECORDS));
        assert_eq!(memory.sizes("").len(), 0, "something was begun");
    }
}

#[test]
fn a_store_that_goes_silent_is_answered_for_before_the_real_deadline() {
    let (store, folder) = (S3::start(), fresh_folder("deadline"));
    std::fs::write(folder.join("lakeward.toml"), CONFIG).unwrap();
    let environment = [
        ("AWS_ENDPOINT_URL", store.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    let config = folder.join("lakeward.toml");
    let mut function = Function::start_in(&config, "s3://lake/prod".as_ref(), &environment);
    // Records that the first table's silence keeps from landing are redelivered, and land nowhere twice.
    for (silent, first) in [("/web/b/data/", 2), ("/web/b/metadata/", 2), ("/web/a/", 0)] {
        store.fail(move |_, path| path.contains(silent).then_some(Fault::Silent));
        let (began, left) = (std::time::Instant::now(), Duration::from_secs(5));
        let answer = function.invoke_within(&clicks(0), left);
        assert!(began.elapsed() < left, "{silent}: Lambda had ended it");
        assert_eq!(from(answer.response()), Some(first), "{silent}: {answer:?}");
        store.requests();
    }
    let answer = function.invoke(&clicks(0));
    assert_eq!(from(answer.response()), None);
    for (table, numbers) in [("web.a", 0..2), ("web.b", 2..RECORDS)] {
        let mut show = lakeward();
        show.args(["show", table, "--format", "json", "--lake", "s3://lake/prod"])
            .envs(environment);
        let output = run(&mut show);
        assert!(output.status.success(), "{}", printed(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let found: BTreeSet<String> = by_id(rows).into_keys().collect();
        assert_eq!(found, numbers.map(kinesis_id).collect(), "{table}");
    }
    function.kill();
    std::fs::remove_dir_all(&folder).unwrap();
}
