//! The tables that records name themselves: what it costs to count them, and what their limit is worth.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakeward::config::{self, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::Intake;
use lakeward::store::files::{Call, Files};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::lake::lake_on;
use crate::support::lambda_events::{event, kinesis_record};
use crate::support::store::{Hook, HookedFiles, Memory};

const LAKE: &str = "memory:/lake";

/// A function whose records name their tables, on files that count or delay its calls.
fn function<H: Hook + 'static>(
    memory: &Arc<Memory>,
    table: &str,
    max_tables: usize,
    hook: H,
) -> (Intake, Arc<HookedFiles<H>>) {
    let config = format!(
        "version = 1\n[[route]]\nsource = \"arn:aws:kinesis:*:*:stream/clicks\"\n\
         table = \"{table}\"\nmax_tables = {max_tables}\n[quarantine]\nreject_limit = 1.0\n"
    );
    let config = config::check(&config, &Overrides::default()).config.unwrap();
    let files = Arc::new(HookedFiles { memory: Arc::clone(memory), hook });
    let lake = lake_on(Arc::clone(&files) as Arc<dyn Files>, LAKE);
    (Intake::new(App::on(config, lake, None)), files)
}

/// An event of one record for each type.
fn events(from: u32, types: &[&str]) -> Value {
    let each = types.iter().zip(from..);
    event(each.map(|(it, n)| kinesis_record(n, &json!({"type": it, "tenant": "acme", "n": n}))))
}

async fn handle(function: &Intake, event: &Value, left: Duration) -> Result<String, String> {
    let done = function.handle(event.to_string().as_bytes(), &Deadline::after(left)).await;
    done.answer.map_err(|it| it.to_string())
}

async fn land(function: &Intake, event: &Value) {
    let answer = handle(function, event, Duration::from_secs(60)).await;
    assert_eq!(answer.unwrap(), r#"{"batchItemFailures":[]}"#);
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().start_paused(true).build().unwrap().block_on(test)
}

/// Tables in the lake, by their first versions.
fn tables(memory: &Memory) -> Vec<String> {
    let first = memory.ending("/metadata/v1.metadata.json").into_iter();
    let names = first.filter_map(|(at, _)| {
        let at = at.strip_prefix(LAKE)?.strip_prefix('/')?.to_owned();
        at.strip_suffix("/metadata/v1.metadata.json").map(str::to_owned)
    });
    names.filter(|it| !it.starts_with("lakeward/")).collect()
}

/// Notes the folders that are listed and the number of other looks.
#[derive(Debug, Default)]
struct ListLog(Mutex<Vec<String>>);

impl ListLog {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Hook for ListLog {
    fn around<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        location: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        // A commit to a table that does not exist lists the folder of its versions.
        if name == "list" && !location.ends_with("/metadata") {
            self.0.lock().unwrap().push(location.to_owned());
        }
        call
    }
}

#[test]
fn a_cold_start_lists_the_names_of_tables_and_nothing_in_them() {
    run(async {
        let memory = Arc::new(Memory::default());
        let (first, _) = function(&memory, "events.{type}", 50, ListLog::default());
        land(&first, &events(0, &["a", "b", "c"])).await;
        let (cold, files) = function(&memory, "events.{type}", 50, ListLog::default());
        land(&cold, &events(10, &["a", "d"])).await;
        assert_eq!(files.hook.take(), ["memory:/lake/events"]);
        land(&cold, &events(20, &["a", "d", "e"])).await;
        assert_eq!(files.hook.take(), [] as [&str; 0], "the answer is remembered");
        let (tenants, files) = function(&memory, "{tenant}_x.{type}", 50, ListLog::default());
        land(&tenants, &events(30, &["a"])).await;
        assert_eq!(files.hook.take(), ["memory:/lake"]);
    });
}

#[test]
fn types_without_a_table_cost_no_list_in_each_invocation() {
    run(async {
        let memory = Arc::new(Memory::default());
        let (function, files) = function(&memory, "events.{type}", 2, ListLog::default());
        land(&function, &events(0, &["a", "b", "junk"])).await;
        files.hook.take();
        for n in 1..5 {
            land(&function, &events(n * 10, &["a", &format!("junk{n}")])).await;
        }
        assert_eq!(files.hook.take(), [] as [&str; 0]);
        // Hundreds of them in one event are found in one list.
        let many: Vec<String> = (0..300).map(|it| format!("many{it}")).collect();
        land(&function, &events(100, &many.iter().map(String::as_str).collect::<Vec<_>>())).await;
        assert_eq!(files.hook.take(), ["memory:/lake/events"]);
        assert_eq!(tables(&memory), ["events/a", "events/b"]);
    });
}

/// Copies that see room at the same moment may each add a table. Each copy's records land in the tables
/// that another copy has added.
#[test]
fn a_table_that_another_copy_has_added_takes_records_beyond_the_limit() {
    run(async {
        let memory = Arc::new(Memory::default());
        let slow = || SlowLists(Duration::from_millis(20));
        let (one, _) = function(&memory, "events.{type}", 1, slow());
        let (other, _) = function(&memory, "events.{type}", 1, slow());
        let (a, b) = (events(0, &["a"]), events(10, &["b"]));
        // Both list before one of them lands.
        tokio::join!(land(&one, &a), land(&other, &b));
        assert_eq!(tables(&memory), ["events/a", "events/b"]);
        land(&one, &events(20, &["b"])).await;
        land(&one, &events(30, &["c"])).await;
        let rows = |table: &'static str| {
            let lake = lake_on(Arc::clone(&memory) as Arc<dyn Files>, LAKE);
            async move { lake.all_rows(&table.parse().unwrap()).await.unwrap().unwrap().rows.len() }
        };
        assert_eq!((rows("events.b").await, rows("lakeward.quarantine").await), (2, 1));
        assert_eq!(tables(&memory), ["events/a", "events/b"]);
    });
}

/// Answers a list after some time.
#[derive(Debug)]
struct SlowLists(Duration);

impl Hook for SlowLists {
    fn around<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        _: &str,
        call: Call<'a, T>,
    ) -> Call<'a, T> {
        Box::pin(async move {
            if name == "list" {
                tokio::time::sleep(self.0).await;
            }
            call.await
        })
    }
}

#[test]
fn a_list_that_takes_too_long_ends_with_the_deadline() {
    run(async {
        let memory = Arc::new(Memory::default());
        let (function, _) =
            function(&memory, "events.{type}", 50, SlowLists(Duration::from_secs(60)));
        let began = Instant::now();
        let answer = handle(&function, &events(0, &["a"]), Duration::from_secs(10)).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(answer.unwrap_err().contains("out of time"), "it says why");
    });
}
