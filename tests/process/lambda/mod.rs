//! The real binary as Lambda runs it: one process, event after event, and crashes.
//!
//! Payloads carry a canary, and each [`Function::kill`] searches what the process printed for it.

mod log;
mod start;
mod upkeep;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{
    change, change_id, event, fifo, kinesis_id, kinesis_raw, kinesis_record, kinesis_sequence,
    message_id,
};
use crate::support::process::{CANARY, Function, by_id, killable, rows};
use crate::support::runtime_api::Answer;

const ALL_GOOD: &str = r#"{"batchItemFailures":[]}"#;

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"

[[route]]
source = "arn:aws:dynamodb:*:*:table/app/stream/*"
table = "shop.orders_changes"

[[route]]
source = "arn:aws:sqs:*:*:tasks.fifo"
when = { kind = "call" }
table = "jobs.calls"

[[route]]
source = "arn:aws:sqs:*:*:tasks.fifo"
when = { kind = "mail" }
table = "jobs.mails"
"#;

/// A lake of its own, and the config beside it.
struct Workspace {
    folder: PathBuf,
    config: PathBuf,
    lake: PathBuf,
}

impl Workspace {
    fn new(name: &str) -> Self {
        let folder = fresh_folder(&format!("lambda-{name}"));
        let config = folder.join("lakeward.toml");
        fs::write(&config, CONFIG).unwrap();
        Self { lake: folder.join("lake"), config, folder }
    }

    fn start(&self) -> Function {
        Function::start(&self.config, &self.lake)
    }

    fn ids(&self, table: &str) -> BTreeSet<String> {
        by_id(rows(&self.lake, table)).into_keys().collect()
    }

    /// Writes the rows that the independent readers must find.
    fn expect(&self, tables: &[(&str, usize)]) {
        let tables: serde_json::Map<String, Value> =
            tables.iter().map(|(name, rows)| ((*name).to_owned(), json!({"rows": rows}))).collect();
        let expected = json!({"tables": tables}).to_string();
        fs::write(self.folder.join("expected.json"), expected).unwrap();
    }

    /// Writes a file where a table's folder must be, so that the table can't be written to.
    fn block(&self, table: &str) -> PathBuf {
        let path = self.lake.join(table.replace('.', "/"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "in the way").unwrap();
        path
    }
}

fn clicks(numbers: impl IntoIterator<Item = u32>) -> Value {
    let payload = |n| json!({"n": n, "type": "page_view", "note": CANARY});
    event(numbers.into_iter().map(|n| kinesis_record(n, &payload(n))))
}

fn click_ids(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(kinesis_id).collect()
}

fn order(n: u32) -> Value {
    change(n, &json!({"pk": {"S": format!("ORDER#{n}")}, "note": {"S": CANARY}}))
}

fn task(n: u32, group: &str, kind: &str) -> Value {
    fifo(n, group, &json!({"kind": kind, "n": n, "note": CANARY}).to_string())
}

fn failures<const N: usize>(ids: [String; N]) -> Value {
    json!({"batchItemFailures": ids.map(|id| json!({"itemIdentifier": id})).to_vec()})
}

fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(answer.response()).unwrap()
}

#[test]
fn one_process_serves_event_after_event() {
    let workspace = Workspace::new("event-after-event");
    let mut function = workspace.start();
    for from in [0, 20, 10, 0] {
        let answer = function.invoke(&clicks(from..from + 20));
        assert_eq!(answer.response(), ALL_GOOD);
    }
    assert_eq!(function.invoke(&event([])).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..40));
    workspace.expect(&[("web.clicks", 40)]);

    let logs = function.kill();
    let of_events = logs.iter().filter(|it| it.contains_key("request_id"));
    assert!(of_events.count() >= 5, "no line for each event: {logs:?}");
}

#[test]
fn a_record_that_can_not_become_a_row_costs_only_itself() {
    let workspace = Workspace::new("bad-records");
    let mut function = workspace.start();
    let two_types = json!({"pk": {"S": "ORDER#2"}, "note": {"S": CANARY, "N": "1"}});
    let answer = function.invoke(&event([order(1), change(2, &two_types), order(3)]));
    assert_eq!(answer.response(), ALL_GOOD);
    let bad_base64 = kinesis_raw(2, &format!("{CANARY}%%"));
    let good = |n| kinesis_record(n, &json!({"n": n}));
    let answer = function.invoke(&event([good(1), bad_base64, good(3)]));
    assert_eq!(answer.response(), ALL_GOOD);
    let answer = function.invoke(&event([fifo(1, "a", &format!("{{\"note\": \"{CANARY}"))]));
    assert_eq!(answer.response(), ALL_GOOD);

    assert_eq!(workspace.ids("shop.orders_changes"), BTreeSet::from([change_id(1), change_id(3)]));
    assert_eq!(workspace.ids("web.clicks"), click_ids([1, 3]));
    let quarantine = by_id(rows(&workspace.lake, "lakeward.quarantine"));
    let reasons: Vec<_> = quarantine.iter().map(|(id, row)| (id.clone(), &row["reason"])).collect();
    let mut expected = [
        (change_id(2), &json!("bad_attribute")),
        (kinesis_id(2), &json!("bad_base64")),
        (message_id(1), &json!("no_json")),
    ];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(reasons, expected);
    for row in quarantine.values() {
        assert!(row["record"].as_str().unwrap().contains(CANARY), "not the whole record: {row:?}");
        assert!(!row["detail"].as_str().unwrap().contains(CANARY), "payload in {row:?}");
    }
    workspace.expect(&[("shop.orders_changes", 2), ("web.clicks", 2), ("lakeward.quarantine", 3)]);
    function.kill();
}

#[test]
fn a_fifo_message_that_is_not_stored_holds_back_the_rest_of_its_group() {
    let workspace = Workspace::new("fifo");
    let mut function = workspace.start();
    let fine = event([task(1, "a", "mail"), task(2, "b", "mail")]);
    assert_eq!(function.invoke(&fine).response(), ALL_GOOD);

    let in_the_way = workspace.block("jobs.calls");
    let batch = event([
        task(3, "a", "mail"),
        task(4, "b", "call"),
        task(5, "a", "mail"),
        task(6, "b", "mail"),
        task(7, "c", "mail"),
    ]);
    assert_eq!(parsed(&function.invoke(&batch)), failures([message_id(4), message_id(6)]));
    let of_others = BTreeSet::from([3, 5, 7].map(message_id));
    assert!(workspace.ids("jobs.mails").is_superset(&of_others), "deleted, and not stored");

    fs::remove_file(in_the_way).unwrap();
    let rest = event([task(4, "b", "call"), task(6, "b", "mail")]);
    assert_eq!(function.invoke(&rest).response(), ALL_GOOD);
    assert_eq!(workspace.ids("jobs.calls"), BTreeSet::from([message_id(4)]));
    assert_eq!(workspace.ids("jobs.mails"), BTreeSet::from([1, 2, 3, 5, 6, 7].map(message_id)));
    workspace.expect(&[("jobs.calls", 1), ("jobs.mails", 6)]);
    function.kill();
}

#[test]
fn a_store_that_takes_nothing_fails_the_whole_event() {
    let workspace = Workspace::new("store-down");
    let in_the_way = workspace.block("web.clicks");
    let mut function = workspace.start();
    let error = function.invoke(&clicks(0..5)).error_message();
    assert!(error.contains("web/clicks"), "the location is not named: {error}");
    fs::remove_file(in_the_way).unwrap();
    assert_eq!(function.invoke(&clicks(0..5)).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..5));
    workspace.expect(&[("web.clicks", 5)]);
    function.kill();
}

#[test]
fn an_event_of_another_source_fails_alone_and_says_why() {
    let workspace = Workspace::new("no-event-of-ours");
    let mut function = workspace.start();
    let other = "arn:aws:kinesis:eu-west-1:123456789012:stream/unheard-of";
    let mut unknown = kinesis_record(1, &json!({"note": CANARY}));
    unknown["eventSourceARN"] = json!(other);
    let mut foreign = kinesis_record(1, &json!({"note": CANARY}));
    foreign["eventSource"] = json!("aws:kafka");
    foreign["eventSourceARN"] = json!("arn:aws:kafka:eu-west-1:123456789012:cluster/c/1");
    for (event, says) in [
        (event([unknown]), other),
        (event([foreign]), "kafka"),
        (json!({"key1": CANARY, "key2": "value2", "key3": "value3"}), "Records"),
        (json!({"Records": CANARY}), "Records"),
        (json!({"Records": null}), "Records"),
        (json!([CANARY]), "Records"),
        (json!(CANARY), "Records"),
        (json!(null), "Records"),
    ] {
        let error = function.invoke(&event).error_message();
        assert!(error.contains(says), "{event}: {error} does not name {says}");
        assert!(!error.contains(CANARY), "payload in {error}");
    }
    assert_eq!(function.invoke(&clicks([1])).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids([1]));
    workspace.expect(&[("web.clicks", 1)]);
    function.kill();
}

/// A fault of Lakeward, such as an index beyond the end of a list, here in the store. Its text
/// holds the canary.
#[test]
fn a_panic_fails_its_event_alone_and_quotes_nothing() {
    for point in ["before write data file", "before create metadata", "after create metadata"] {
        let workspace = Workspace::new("panic");
        let at = format!("{point}#1");
        let variables = [("KILL_AT", at.as_str()), ("KILL_BY", "panic")];
        let mut function =
            Function::start_as(killable(), &workspace.config, &workspace.lake, &variables);
        let error = function.invoke(&clicks(0..5)).error_message();
        assert!(error.contains("a fault of Lakeward") && !error.contains(CANARY), "{error}");
        assert_eq!(function.invoke(&clicks(0..8)).response(), ALL_GOOD, "{point}");
        assert_eq!(workspace.ids("web.clicks"), click_ids(0..8), "{point}");
        workspace.expect(&[("web.clicks", 8)]);
        let logs = function.kill();
        let panics = logs.iter().filter(|it| it.contains_key("at"));
        assert_eq!(panics.count(), 1, "{logs:?}");
    }
}

#[test]
fn a_tumbling_window_gets_its_state_back() {
    let workspace = Workspace::new("window");
    let mut function = workspace.start();
    let state = json!({"sum": 1.5, "by": {"a": [1, null]}});
    let mut batch = clicks(0..3);
    batch["window"] = json!({"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T10:02:00Z"});
    batch["state"] = state.clone();
    batch["shardId"] = json!("shardId-000000000000");
    batch["eventSourceARN"] = batch["Records"][0]["eventSourceARN"].clone();
    batch["isFinalInvokeForWindow"] = json!(false);
    batch["isWindowTerminatedEarly"] = json!(false);
    let expected = json!({"batchItemFailures": [], "state": state});
    assert_eq!(parsed(&function.invoke(&batch)), expected);
    batch["Records"] = json!([]);
    batch["isFinalInvokeForWindow"] = json!(true);
    assert_eq!(parsed(&function.invoke(&batch)), expected);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..3));
    workspace.expect(&[("web.clicks", 3)]);
    function.kill();
}

#[test]
fn a_crash_costs_no_record_and_doubles_none() {
    let workspace = Workspace::new("crash");
    // Between two invocations, as if the response had been lost.
    let mut function = workspace.start();
    assert_eq!(function.invoke(&clicks(0..10)).response(), ALL_GOOD);
    function.kill();
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..10));

    // In the middle of invocations, at different moments. Each time Lambda redelivers the records
    // in other batches.
    let mut moments = fastrand::Rng::with_seed(7);
    for from in (0..60).step_by(5) {
        let mut function = workspace.start();
        function.hand_over(&clicks(from..from + 20));
        std::thread::sleep(Duration::from_millis(moments.u64(0..60)));
        function.kill();
        by_id(rows(&workspace.lake, "web.clicks"));
    }

    let mut function = workspace.start();
    assert_eq!(function.invoke(&clicks(0..75)).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..75));
    workspace.expect(&[("web.clicks", 75)]);
    function.kill();
}

/// Fails if the response calls a record durable that the table does not hold.
fn assert_true(answer: &Answer, workspace: &Path, numbers: std::ops::Range<u32>) {
    let Answer::Response(text) = answer else { return };
    let answer: Value = serde_json::from_str(text).unwrap();
    let reported = answer["batchItemFailures"].as_array().unwrap();
    assert!(reported.len() <= 1, "a stream has one checkpoint: {text}");
    let checkpoint = reported.first().map(|it| it["itemIdentifier"].as_str().unwrap().to_owned());
    let reached = |n: &u32| Some(kinesis_sequence(*n)) != checkpoint;
    let durable = click_ids(numbers.clone().take_while(reached));
    assert!(durable.len() < numbers.len() || checkpoint.is_none(), "{text} names no record");
    let there: BTreeSet<String> = by_id(rows(workspace, "web.clicks")).into_keys().collect();
    let missing: Vec<_> = durable.difference(&there).collect();
    assert!(missing.is_empty(), "called durable in {text}, but not there: {missing:?}");
}

#[test]
fn records_that_are_not_durable_in_time_are_reported() {
    let workspace = Workspace::new("timeout");
    let mut function = workspace.start();
    for (at, millis) in (0..).zip([50, 0, 250, 260, 280, 320, 400, 600]) {
        let numbers = at * 10..at * 10 + 40;
        let batch = clicks(numbers.clone());
        let answer = function.invoke_within(&batch, Duration::from_millis(millis));
        assert_true(&answer, &workspace.lake, numbers);
        if millis == 50 {
            assert_ne!(answer, Answer::Response(ALL_GOOD.to_owned()), "no new work in the reserve");
        }
    }
    assert_eq!(function.invoke(&clicks(0..110)).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..110));
    workspace.expect(&[("web.clicks", 110)]);
    function.kill();
}
