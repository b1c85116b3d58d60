//! The real binary on a lake in S3, and on stores that fail in every way S3 can.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::compare::Object;
use crate::support::fixture::fixtures;
use crate::support::lake::fresh_folder;
use crate::support::lambda_events::{event, kinesis_id, kinesis_record};
use crate::support::process::{Function, by_id, lakeward, printed, rows, run};
use crate::support::s3::{Fault, Request, S3};

const LAKE: &str = "s3://lake/prod";
const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"
"#;

fn environment(store: &S3) -> [(&'static str, &str); 6] {
    [
        ("AWS_ENDPOINT_URL", store.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]
}

fn on(store: &S3, command: &str) -> Command {
    let mut it = lakeward();
    it.arg(command).args(["--lake", LAKE]).envs(environment(store));
    it
}

fn shown(store: &S3, table: &str) -> Vec<Object> {
    let output = run(on(store, "show").args([table, "--format", "json", "--limit", "10000"]));
    assert!(output.status.success(), "{}", printed(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows = lines.lines().map(|it| serde_json::from_str::<Object>(it).unwrap());
    rows.map(|it| it.into_iter().filter(|(_, value)| !value.is_null()).collect()).collect()
}

/// A config, and files with events of clicks.
struct Clicks(PathBuf);

impl Clicks {
    fn new(name: &str) -> Self {
        let folder = fresh_folder(name);
        fs::write(folder.join("lakeward.toml"), CONFIG).unwrap();
        for (batch, numbers) in [("first", 0..4_u32), ("second", 2..6)] {
            let records = numbers.map(|n| {
                let mut payload = json!({"n": n});
                payload[batch] = json!("a column of its own");
                kinesis_record(n, &payload)
            });
            let event = event(records).to_string();
            fs::write(folder.join(batch).with_extension("json"), event).unwrap();
        }
        Self(folder)
    }

    fn replay(&self, store: &S3, batch: &str) -> Output {
        let mut command = on(store, "replay");
        command.arg("--json").arg("--config").arg(self.0.join("lakeward.toml"));
        run(command.arg(self.0.join(batch).with_extension("json")))
    }
}

fn ids(store: &S3) -> BTreeSet<String> {
    by_id(shown(store, "web.clicks")).into_keys().collect()
}

#[test]
fn a_lake_in_s3_holds_what_a_directory_holds() {
    let (store, folder) = (S3::start(), fresh_folder("s3-shop"));
    let shop = fixtures().join("shop");
    let replay = |command: &mut Command| {
        let command = command.arg("--config").arg(shop.join("lakeward.toml"));
        let output = run(command.arg(shop.join("events")));
        assert!(output.status.success(), "{}", printed(&output));
        printed(&output)
    };
    let local = folder.join("lake");
    replay(lakeward().args(["replay", "--lake"]).arg(&local));
    let said = replay(&mut on(&store, "replay"));
    let look = "duckdb -c \"create secret (type s3, provider credential_chain); from \
                iceberg_scan('s3://lake/prod/billing/invoices') limit 5\"";
    assert!(said.contains(look) && said.contains("--lake s3://lake/prod\n"), "{said}");
    for (engine, part) in [
        ("duckdb", "CREATE SECRET (TYPE s3, PROVIDER credential_chain);"),
        ("clickhouse", "icebergS3('s3://lake/prod/web/clicks')"),
        ("spark", "spark.sql.catalog.lake.warehouse=s3a://lake/prod\n"),
    ] {
        let said = run(on(&store, "sql").args(["web.clicks", "--engine", engine]));
        assert!(printed(&said).contains(part), "{}", printed(&said));
    }
    let tables = || -> BTreeMap<String, u64> {
        let output = run(on(&store, "tables").arg("--json"));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let tables = found["tables"].as_array().unwrap().iter();
        tables
            .map(|it| (it["table"].as_str().unwrap().to_owned(), it["rows"].as_u64().unwrap()))
            .collect()
    };
    let before = tables();
    assert_eq!(before.len(), 5, "{before:?}");
    for (table, count) in &before {
        let (there, here) = (by_id(shown(&store, table)), by_id(rows(&local, table)));
        assert_eq!(there, here, "{table}");
        assert_eq!(there.len() as u64, *count);
    }
    replay(&mut on(&store, "replay"));
    assert_eq!(tables(), before);
}

#[test]
fn whichever_request_fails_in_whatever_way_every_record_lands_once() {
    let clicks = Clicks::new("s3-faults");
    let prepared = S3::start();
    assert!(clicks.replay(&prepared, "first").status.success());
    let begun = (prepared, "second", (0..6).map(kinesis_id).collect::<BTreeSet<_>>(), 4);
    let empty = (S3::start(), "first", (0..4).map(kinesis_id).collect(), 1);
    let faults = [
        Fault::Refused(500),
        Fault::Refused(503),
        Fault::Refused(429),
        Fault::Refused(409),
        Fault::Done(500),
        Fault::Done(409),
        Fault::Lost,
        Fault::Cut,
        Fault::Silent,
        Fault::Page,
        Fault::Refused(403),
        Fault::Flipped,
    ];
    let mut cases = Vec::new();
    for (store, batch, expected, of_each) in [&begun, &empty] {
        let clean = store.copy();
        assert!(clicks.replay(&clean, batch).status.success());
        let requests = clean.requests().len();
        assert!(requests > 5, "{requests}");
        // All faults at all requests take minutes; these walk through them.
        for at in 0..requests {
            let faults = faults.iter().cycle().skip(at * 3).step_by(5).take(*of_each);
            cases.extend(faults.map(|fault| (store, *batch, expected, at, *fault)));
        }
    }
    // Most of a case is waiting.
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((store, batch, expected, at, fault)) =
                    cases.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let store = store.copy();
                    store.fail_at(*at, *fault);
                    let first = clicks.replay(&store, batch);
                    store.requests();
                    let again = clicks.replay(&store, batch);
                    let what = format!("{fault:?} at request {at} of {batch}: {}", printed(&first));
                    assert!(again.status.success(), "{what}\nthen {}", printed(&again));
                    assert_eq!(ids(&store), **expected, "{what}");
                    if first.status.success() {
                        assert_eq!(landed(&again), 0, "{what}\nthen {}", printed(&again));
                    }
                }
            });
        }
    });
}

/// S3 compares what it got with the checksum that was sent along.
#[test]
fn a_file_that_is_damaged_on_its_way_is_refused_and_is_in_no_table() {
    let clicks = Clicks::new("s3-damaged");
    for part in [".parquet", ".avro", ".metadata.json"] {
        let store = S3::start();
        store.fail(move |method, path| {
            (method == "PUT" && path.contains(part)).then_some(Fault::Flipped)
        });
        let damaged = clicks.replay(&store, "first");
        let text = printed(&damaged);
        assert_eq!(damaged.status.code(), Some(1), "{part}: {text}");
        assert!(text.contains("s3:PutObject: BadDigest"), "{part}: {text}");
        let sent = store.requests().into_iter().any(|(_, path)| path.contains(part));
        assert!(sent && !store.keys().iter().any(|it| it.contains(part)), "{part}");
        assert!(clicks.replay(&store, "first").status.success(), "{part}");
        assert_eq!(ids(&store), (0..4).map(kinesis_id).collect(), "{part}");
    }
}

/// The store ends the connection only when the other end does, so this test ends only if that
/// gives up waiting.
#[test]
fn a_body_that_stops_without_end_is_fetched_again() {
    let clicks = Clicks::new("s3-stalled");
    let store = S3::start();
    assert!(clicks.replay(&store, "first").status.success());
    store.requests();
    let (asked, stalled) = (Arc::new(AtomicUsize::new(0)), Fault::Stalled);
    let counted = Arc::clone(&asked);
    store.fail(move |method, path| {
        let hit = method == "GET" && path.contains(".metadata.json");
        (hit && counted.fetch_add(1, Ordering::Relaxed) == 0).then_some(stalled)
    });
    let output = clicks.replay(&store, "second");
    assert!(output.status.success(), "{}", printed(&output));
    assert!(asked.load(Ordering::Relaxed) >= 2, "it was not asked for again");
    assert_eq!(ids(&store), (0..6).map(kinesis_id).collect());
}

#[test]
fn a_body_that_breaks_off_again_and_again_is_told() {
    let clicks = Clicks::new("s3-cut");
    let store = S3::start();
    assert!(clicks.replay(&store, "first").status.success());
    store.requests();
    store.fail(|method, path| {
        (method == "GET" && path.contains(".metadata.json")).then_some(Fault::Cut)
    });
    let output = clicks.replay(&store, "second");
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("s3:GetObject: its body breaks off"), "{text}");
    store.requests();
    assert_eq!(ids(&store), (0..4).map(kinesis_id).collect());
}

/// Rows that a replay says it has landed.
fn landed(output: &Output) -> u64 {
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    summary["tables"].as_object().unwrap().values().filter_map(|it| it["landed"].as_u64()).sum()
}

#[test]
fn a_store_that_ignores_conditions_gets_no_commit() {
    let clicks = Clicks::new("s3-ignored");
    for header in ["if-none-match", "if-match"] {
        let store = S3::start();
        store.ignore(header);
        let output = clicks.replay(&store, "first");
        let text = printed(&output);
        assert!(!output.status.success(), "{text}");
        assert!(text.to_lowercase().contains(&format!("does not honour {header}")), "{text}");
        assert!(text.contains(&store.endpoint), "{text}");
        let keys = store.keys();
        assert!(!keys.iter().any(|it| it.contains(".metadata.json")), "{keys:?}");
    }
}

#[test]
fn a_proof_is_made_once_for_each_store() {
    let clicks = Clicks::new("s3-proof");
    let store = S3::start();
    let probes = |store: &S3| {
        let requests = store.requests();
        requests
            .iter()
            .filter(|(method, path)| method == "PUT" && path.contains(".conditional"))
            .count()
    };
    for (batch, expected) in [("first", 19), ("second", 0)] {
        assert!(clicks.replay(&store, batch).status.success());
        assert_eq!(probes(&store), expected);
    }
    // The same objects somewhere else prove nothing.
    let copy = store.copy();
    assert!(clicks.replay(&copy, "second").status.success());
    assert_eq!(probes(&copy), 0, "nothing to commit, nothing to prove");
}

#[test]
fn a_warm_invocation_asks_s3_for_what_the_cost_tables_count() {
    let (store, folder) = (S3::start(), fresh_folder("s3-requests"));
    let config = folder.join("lakeward.toml");
    fs::write(&config, CONFIG).unwrap();
    let lake = PathBuf::from(LAKE);
    let mut function = Function::start_in(&config, &lake, &environment(&store));
    let mut asked = (0, 0);
    for n in 0..5 {
        store.requests();
        let answer = function.invoke(&event([kinesis_record(n, &json!({"n": n}))]));
        assert_eq!(answer.response(), r#"{"batchItemFailures":[]}"#);
        let requests = store.requests();
        let puts = requests.iter().filter(|(method, _)| method == "PUT").count();
        assert!(requests.iter().all(|(_, path)| n == 0 || !path.contains("list-type")));
        asked = (puts, requests.len() - puts);
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pages/costs/prices.toml");
    let text = fs::read_to_string(path).unwrap();
    let prices = toml::de::DeTable::parse(&text).unwrap();
    let ways = prices.get_ref()["way"].get_ref().as_array().unwrap();
    let way = ways[0].get_ref().as_table().unwrap();
    let counted = |kind: &str| {
        let count = way[kind].get_ref().as_integer().unwrap();
        count.as_str().parse::<usize>().unwrap()
    };
    assert_eq!(asked, (counted("put"), counted("get")), "PUT, and GET or HEAD");
}

#[test]
fn what_s3_refuses_is_told_with_the_action_that_a_policy_must_allow() {
    let clicks = Clicks::new("s3-refused");
    let store = S3::start();
    let cases = [
        ("GET", "list-type", "s3:ListBucket: AccessDenied"),
        ("PUT", ".parquet", "s3:PutObject: AccessDenied"),
        ("GET", "hint", "s3:GetObject: AccessDenied"),
        // Its answers have no body that could hold a code.
        ("HEAD", "", "s3:GetObject (HEAD): answered with status 403:"),
    ];
    for (method, part, told) in cases {
        store.fail(move |it, path| {
            (it == method && path.contains(part)).then_some(Fault::Refused(403))
        });
        let output = clicks.replay(&store, "first");
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(told), "{text}");
    }
    // A lake that can't be listed is not one without tables.
    store.fail(|method, path| {
        (method == "GET" && path.contains("list-type")).then_some(Fault::Refused(403))
    });
    let output = run(&mut on(&store, "tables"));
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("s3:ListBucket: AccessDenied"), "{text}");
}

/// With 404 S3 refuses to replace a missing object, and reports a missing bucket.
#[test]
fn a_hint_that_is_gone_is_written_anew_and_a_bucket_that_is_gone_is_told() {
    let clicks = Clicks::new("s3-gone");
    let store = S3::start();
    assert!(clicks.replay(&store, "first").status.success());
    let mut gone = false;
    store.fail(move |method, path| {
        let replaced = method == "PUT" && path.contains("version-hint") && !gone;
        gone |= replaced;
        replaced.then_some(Fault::Refused(404))
    });
    let output = clicks.replay(&store, "second");
    assert!(output.status.success(), "{}", printed(&output));
    let hints = |it: &Request| it.0 == "PUT" && it.1.contains("version-hint");
    let requests = store.requests();
    assert!(requests.iter().filter(|it| hints(it)).count() > 2, "{requests:?}");
    assert_eq!(ids(&store), (0..6).map(kinesis_id).collect());

    for part in ["version-hint", ".metadata.json", ".conditional", ".parquet"] {
        let store = S3::start();
        store.fail(move |method, path| {
            (method == "PUT" && path.contains(part)).then_some(Fault::NoBucket)
        });
        let output = clicks.replay(&store, "first");
        let text = printed(&output);
        assert!(text.contains("s3:PutObject: NoSuchBucket"), "{part}: {text}");
    }
}

/// S3 answers 409 to one of two who write at once, and says nothing of what is there.
#[test]
fn a_conflict_with_another_writer_is_sent_again() {
    let clicks = Clicks::new("s3-conflict");
    let store = S3::start();
    let is_swap = |method: &str, path: &str| method == "PUT" && path.contains(".metadata.json");
    let mut conflicts = 2;
    store.fail(move |method, path| {
        let hit = is_swap(method, path) && conflicts > 0;
        conflicts -= u32::from(hit);
        hit.then_some(Fault::Refused(409))
    });
    let output = clicks.replay(&store, "first");
    assert!(output.status.success(), "{}", printed(&output));
    let requests = store.requests();
    let refused = requests.iter().position(|(method, path)| is_swap(method, path)).unwrap();
    assert!(requests[refused..refused + 3].iter().all(|it| *it == requests[refused]));
    assert_eq!(ids(&store), (0..4).map(kinesis_id).collect());
}

#[test]
fn a_dry_run_writes_nothing() {
    let clicks = Clicks::new("s3-dry");
    let store = S3::start();
    let mut command = on(&store, "replay");
    command.arg("--dry-run").arg("--config").arg(clicks.0.join("lakeward.toml"));
    let output = run(command.arg(clicks.0.join("first.json")));
    assert!(output.status.success(), "{}", printed(&output));
    assert!(store.requests().iter().all(|(method, _)| method != "PUT"));
}
