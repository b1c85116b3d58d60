//! The cases of `fixtures/`, and the ones that are too large to keep as files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::support::compare::exact;
use crate::support::fixture::{Case, Contents, contents, deliver, fixtures, function, walk};
use crate::support::lake::fresh_folder;

/// Fewer means that the walk lost its way.
const MIN_CASES: usize = 80;

/// Cases are independent and wait for the disk most of the time.
const THREADS: usize = 4;

const ALL_GOOD: &str = r#"{"batchItemFailures":[]}"#;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

/// `UPDATE_FIXTURES=1` makes the cases say what happened; review the diff. `FIXTURE=text` runs
/// only the cases with the text in their name.
#[test]
fn every_case_ends_as_it_says() {
    let update = variable("UPDATE_FIXTURES").is_some();
    let only = variable("FIXTURE");
    let mut cases = walk();
    assert!(cases.len() >= MIN_CASES, "only {} cases", cases.len());
    cases.retain(|it| only.as_ref().is_none_or(|only| it.name.contains(only)));

    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let differences = check(case, update);
                    if !differences.is_empty() {
                        failures.lock().unwrap().push((case.name.clone(), differences));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let text: String = failures
        .iter()
        .map(|(name, differences)| format!("\n\n  {name}\n    {}", differences.join("\n    ")))
        .collect();
    let (failed, of) = (failures.len(), cases.len());
    assert!(failures.is_empty(), "{failed} of {of} cases differ from what they say:{text}\n");
}

/// A case that panics is a case that differs, not the end of the walk.
fn check(case: &Case, update: bool) -> Vec<String> {
    catch_unwind(AssertUnwindSafe(|| run(case.check(update)))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        vec![format!("panics: {}", text.unwrap_or("?"))]
    })
}

/// A record of each source, good or bad, by number.
type Record = fn(usize, &str) -> String;

const GOOD: &str = r#"{\"n\":1,\"text\":\"all fine\"}"#;
const BAD: &str = "not even json";

fn sqs(n: usize, body: &str) -> String {
    format!(
        r#"{{"messageId":"00000000-0000-4000-8000-{n:012}","receiptHandle":"AQEB{n}","body":"{body}","attributes":{{"ApproximateReceiveCount":"1","SentTimestamp":"{sent}","SenderId":"AIDAIENQZJOLO23YVJ4VO","ApproximateFirstReceiveTimestamp":"{sent}"}},"messageAttributes":{{}},"md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:notes","awsRegion":"eu-central-1"}}"#,
        sent = 1_795_428_900_000 + n,
    )
}

fn kinesis(n: usize, data: &str) -> String {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(data.replace('\\', ""));
    let number = 49_590_338_271_490_256_608_559_692_538_361_571_u128 + n as u128;
    format!(
        r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"user-{n}","sequenceNumber":"{number}","data":"{data}","approximateArrivalTimestamp":1795428900.{n:05}}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:{number}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lakeward","awsRegion":"eu-central-1","eventSourceARN":"arn:aws:kinesis:eu-central-1:123456789012:stream/clicks"}}"#,
    )
}

fn dynamodb(n: usize, content: &str) -> String {
    let value = if content == BAD { r#"{"Q":"?"}"# } else { r#"{"N":"1"}"# };
    let number = 4_421_584_500_000_000_017_450_439_091_u128 + n as u128;
    format!(
        r#"{{"eventID":"{n:032x}","eventName":"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1","dynamodb":{{"ApproximateCreationDateTime":{at},"Keys":{{"pk":{{"S":"T#{n}"}}}},"NewImage":{{"pk":{{"S":"T#{n}"}},"n":{value}}},"SequenceNumber":"{number}","SizeBytes":59,"StreamViewType":"NEW_IMAGE"}},"eventSourceARN":"arn:aws:dynamodb:eu-central-1:123456789012:table/things/stream/2026-01-15T08:30:00.000"}}"#,
        at = 1_795_428_900 + n / 1_000,
    )
}

const SOURCES: [(&str, &str, Record); 3] = [
    ("dynamodb", "lab.things", dynamodb),
    ("kinesis", "web.clicks", kinesis),
    ("sqs", "office.notes", sqs),
];

fn event(records: impl Iterator<Item = String>) -> Vec<u8> {
    format!(r#"{{"Records":[{}]}}"#, records.collect::<Vec<_>>().join(",")).into_bytes()
}

/// Delivers events to a fresh lake; returns answers and what each table holds then.
fn delivered(
    name: &str,
    events: &[Vec<u8>],
) -> (Vec<Result<String, String>>, std::collections::BTreeMap<String, Contents>) {
    let folder: PathBuf = fresh_folder(&format!("golden/{name}"));
    let config = fixtures().join("lakeward.toml");
    let (answers, tables) = run(async {
        let mut answers = Vec::new();
        for event in events {
            answers.push(deliver(&function(&config, &folder), event).await);
        }
        (answers, contents(&function(&config, &folder).app.lake).await)
    });
    let rows = tables.iter().map(|(table, it)| (table.clone(), json!({"rows": it.rows.len()})));
    let expected = json!({"tables": rows.collect::<serde_json::Map<_, _>>()});
    std::fs::write(folder.join("expected.json"), expected.to_string()).unwrap();
    (answers, tables)
}

fn rows(tables: &std::collections::BTreeMap<String, Contents>, table: &str) -> usize {
    tables.get(table).map_or(0, |it| it.rows.len())
}

#[test]
fn ten_thousand_records_of_each_source_land_once() {
    for (name, table, record) in SOURCES {
        let all = event((0..10_000).map(|n| record(n, GOOD)));
        let half = event((5_000..15_000).map(|n| record(n, GOOD)));
        let (answers, tables) =
            delivered(&format!("ten-thousand-{name}"), &[all.clone(), half, all]);
        assert_eq!(answers, [(); 3].map(|()| Ok(ALL_GOOD.to_owned())), "{name}");
        let ids: std::collections::BTreeSet<String> =
            tables[table].rows.iter().map(|row| row["_lw_id"].to_string()).collect();
        assert_eq!((rows(&tables, table), ids.len()), (15_000, 15_000), "{name}");
        assert_eq!(tables.len(), 1, "{name}: {:?}", tables.keys());
    }
}

#[test]
fn a_message_of_one_mebibyte_lands_whole() {
    let frame = r#"{"text":""}"#.len();
    let text: String = ('a'..='z').cycle().take((1 << 20) - frame).collect();
    let body = format!(r#"{{\"text\":\"{text}\"}}"#);
    let events = [event([sqs(1, &body)].into_iter()), event([sqs(1, &body)].into_iter())];
    let (answers, tables) = delivered("one-mebibyte", &events);
    assert_eq!(answers, [(); 2].map(|()| Ok(ALL_GOOD.to_owned())));
    assert_eq!(rows(&tables, "office.notes"), 1);
    assert!(tables["office.notes"].rows[0]["text"] == text.as_str(), "the text came out different");
}

/// Quarantine keeps all of a bad record of one mebibyte.
#[test]
fn a_bad_message_of_one_mebibyte_is_quarantined_whole() {
    let record = sqs(1, &"x".repeat(1 << 20));
    let (answers, tables) = delivered("one-bad-mebibyte", &[event([record.clone()].into_iter())]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert!(tables["lakeward.quarantine"].rows[0]["record"] == record.as_str());
}

/// Four messages unpack to more than one pass holds: the fourth lands in the next.
#[test]
fn messages_that_unpack_to_too_much_at_once_land_one_pass_after_the_other() {
    let body = |n: u32| {
        let noise: String = (0..50_000_u32)
            .scan(n + 1, |state, _| {
                *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some(format!("{state:08x}"))
            })
            .collect();
        let text = format!(r#"{{"text":"{noise}"{}}}"#, " ".repeat(15_000_000));
        BASE64.encode(zstd::encode_all(text.as_bytes(), 1).unwrap())
    };
    let records: Vec<String> = (0..4).map(|n| sqs(n, &body(n as u32))).collect();
    let (answers, tables) = delivered("too-much-at-once", &[event(records.into_iter())]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!((rows(&tables, "office.notes"), tables.len()), (4, 1));
}

#[test]
fn of_more_rejects_than_the_limit_none_is_quarantined() {
    // Records, bad ones among them, and whether they are held back.
    let table =
        [(100, 50, false), (100, 51, true), (99, 99, false), (200, 101, true), (1_000, 500, false)];
    for (source, name, record) in SOURCES {
        for (records, bad, are_held_back) in table {
            // The bad ones are the last, except for the first record.
            let is_bad = |n: usize| n == 0 || n > records - bad;
            let batch = event((0..records).map(|n| record(n, if is_bad(n) { BAD } else { GOOD })));
            let label = format!("reject-limit-{source}-{bad}-of-{records}");
            let (answers, tables) = delivered(&label, &[batch]);
            if are_held_back {
                let reported = answers[0].as_ref().unwrap().matches("itemIdentifier").count();
                // Of a stream the first record, so that Lambda redelivers the same event: of a part
                // of it, cut off by bisecting or at a checkpoint, the limit would say something else.
                let expected = if source == "sqs" { (bad, records - bad) } else { (1, 0) };
                assert_eq!((reported, rows(&tables, name)), expected, "{label}");
                assert_eq!(rows(&tables, "lakeward.quarantine"), 0, "{label}");
                let answer: serde_json::Value =
                    serde_json::from_str(answers[0].as_ref().unwrap()).unwrap();
                let first = answer["batchItemFailures"][0]["itemIdentifier"].as_str().unwrap();
                assert!(record(0, BAD).contains(first), "{label}: {first}");
            } else {
                assert_eq!(answers, [Ok(ALL_GOOD.to_owned())], "{label}");
                assert_eq!(rows(&tables, "lakeward.quarantine"), bad, "{label}");
                assert_eq!(rows(&tables, name), records - bad, "{label}");
            }
        }
    }
}

/// A record that holds many bad ones counts as one reject: it does not stop its shard.
#[test]
fn many_bad_records_in_one_fail_no_invocation() {
    let items = vec!["null"; 150].join(",");
    let list = |n| kinesis(n, &format!("[{items}]"));
    let (answers, tables) = delivered("bad-items", &[event((0..1).map(list))]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!(rows(&tables, "lakeward.quarantine"), 150);
    let (answers, tables) = delivered("all-bad-items", &[event((0..100).map(list))]);
    assert_eq!(answers[0].as_ref().unwrap().matches("itemIdentifier").count(), 1, "{answers:?}");
    assert!(tables.is_empty());
}

/// The format of dropped records does not matter, and a fault in it must not stop their shard.
#[test]
fn bad_records_of_a_source_that_is_dropped_fail_no_invocation() {
    let noise = |n| kinesis(n, BAD).replace("stream/clicks", "stream/noise");
    let (answers, tables) = delivered("bad-noise", &[event((0..150).map(noise))]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!(rows(&tables, "lakeward.quarantine"), 150);
}

/// Each bad item would be kept with a copy of the attribute: a thousand times the event.
#[test]
fn a_message_of_many_bad_items_is_kept_whole() {
    let body = vec!["1"; 1_000].join(",");
    let large = format!(
        r#""messageAttributes":{{"a":{{"stringValue":"{}","dataType":"String"}}}}"#,
        "x".repeat(200_000)
    );
    let message =
        |n| sqs(n, &format!("[{body}]")).replace(r#""messageAttributes":{}"#, large.as_str());
    let (answers, tables) = delivered("many-bad-items", &[event((0..5).map(message))]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    let kept = &tables["lakeward.quarantine"].rows;
    assert_eq!(kept.len(), 5);
    for (n, row) in kept.iter().enumerate() {
        assert!(row["record"] == message(n).as_str());
        assert_eq!(row["_lw_id"], format!("00000000-0000-4000-8000-{n:012}"));
        let detail = row["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("1000 of its records can't become rows, one of them: "),
            "{detail}"
        );
    }
}

/// Messages whose bad items are less than quarantine keeps of one, but together more than it writes
/// at once: they are written by two commits.
#[test]
fn bad_items_that_are_too_many_at_once_are_written_by_two_commits() {
    let body = vec!["1"; 70].join(",");
    let large = format!(
        r#""messageAttributes":{{"a":{{"stringValue":"{}","dataType":"String"}}}}"#,
        "x".repeat(200_000)
    );
    let message =
        |n| sqs(n, &format!("[{body}]")).replace(r#""messageAttributes":{}"#, large.as_str());
    let (answers, tables) = delivered("too-many-bad-items", &[event((0..5).map(message))]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!(rows(&tables, "lakeward.quarantine"), 5 * 70);
}

/// One record that is more than an invocation holds is quarantined, or it would come for ever; the
/// next one does not suffer.
#[test]
fn a_record_that_holds_too_many_is_quarantined() {
    let list = |items: usize| format!("[{}]", vec!["{}"; items].join(","));
    let bomb = [kinesis(0, &list(100_001)), kinesis(1, GOOD), kinesis(2, &list(2))];
    let (answers, tables) = delivered("too-many-items", &[event(bomb.into_iter())]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!(rows(&tables, "lakeward.quarantine"), 1);
    assert_eq!(tables["lakeward.quarantine"].rows[0]["reason"], "too_large");
    assert_eq!(rows(&tables, "web.clicks"), 3);
}

/// A record may be nothing but keys, and a table takes no more columns for it than it has room for.
#[test]
fn an_object_of_fifty_thousand_keys_lands_whole() {
    let keys = |n: usize| {
        let keys = (0..50_000).map(|key| format!(r#""key {key}":{}"#, key + n));
        format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
    };
    let batch = event([kinesis(1, &keys(1)), kinesis(2, &keys(2))].into_iter());
    let (answers, tables) = delivered("many-keys", &[batch.clone(), batch]);
    assert_eq!(answers, [(); 2].map(|()| Ok(ALL_GOOD.to_owned())));
    let rows = &tables["web.clicks"].rows;
    assert_eq!((rows.len(), tables.len()), (2, 1));
    for (n, row) in (1..).zip(rows) {
        let own = row.keys().filter(|it| !it.starts_with("_lw_")).count();
        let extra = exact(row["_lw_extra"].as_str().unwrap()).unwrap();
        let extra = extra.as_object().unwrap();
        assert_eq!(own + extra.len(), 50_000);
        assert!(own <= 200, "{own} columns");
        assert_eq!(extra["key 49999"], json!(49_999 + n));
    }
}

#[test]
fn a_missing_route_is_no_reject() {
    let stray = |n| dynamodb(n, GOOD).replace("table/things", "table/app");
    let (answers, tables) = delivered("no-route-is-no-reject", &[event((0..150).map(stray))]);
    assert_eq!(answers, [Ok(ALL_GOOD.to_owned())]);
    assert_eq!(rows(&tables, "lakeward.quarantine"), 150);
}
