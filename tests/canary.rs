//! What a route drops, hashes, leaves out or filters is in no byte of the lake, and in no log.
//!
//! Every value that must not show is a text that occurs nowhere else. The lake is searched as
//! bytes and, because data files and manifests are compressed, as what readers see in them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lakeward::config::{Config, Overrides, check};
use lakeward::deadline::Deadline;
use lakeward::handler::{App, handle};
use lakeward::store::Lake;

use crate::support::lake::fresh_folder;

/// Begins each value that a step takes away.
const HIDDEN: &str = "canary-hidden-";
/// Begins each value that stays.
const SHOWN: &str = "canary-shown-";
/// Begins each value of a record that is rejected.
const REJECTED: &str = "canary-rejected-";

const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:dynamodb:*:*:table/people/stream/*"
table = "crm.people_changes"
transform = [
  { drop = ["card", "nested.secret", "list[].secret"] },
  { hash = ["pk", "email", "set[]"], key = "env:LAKEWARD_HASH_KEY" },
]

[[route]]
source = "arn:aws:kinesis:*:*:stream/people"
table = "crm.people"
transform = [
  { filter = { kind = "keep" } },
  { require = ["id"] },
  { hash = ["email"], key = "env:LAKEWARD_HASH_KEY" },
  { keep = ["id", "email", "nested.plain"] },
]

[[route]]
source = "arn:aws:sqs:*:*:people"
unwrap = "sns"
table = "crm.messages"
id = "id"
transform = [
  { drop = ["attributes.secret", "envelope.Subject", "body"] },
  { rename = { "attributes.plain" = "plain" } },
  { hash = ["id"], key = "env:LAKEWARD_HASH_KEY" },
]

[table."crm.people_changes"]
old_image = "json"

[table."crm.people".columns]
id = "long"

[table."crm.messages".columns]
"attributes.secret" = "string"
"envelope.Subject" = "string"
"#;

/// Numbers the canaries of a text: each `#` of `{HIDDEN}#` becomes another number.
fn numbered(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('#').enumerate() {
        if at > 0 {
            write!(out, "{at}x").unwrap();
        }
        out.push_str(part);
    }
    out
}

fn dynamodb() -> String {
    let image = |n: u32| {
        format!(
            r#"{{"pk":{{"S":"{HIDDEN}#"}},"card":{{"S":"{HIDDEN}#"}},"email":{{"S":"{HIDDEN}#"}},
            "nested":{{"M":{{"secret":{{"S":"{HIDDEN}#"}},"plain":{{"S":"{SHOWN}#"}}}}}},
            "list":{{"L":[{{"M":{{"secret":{{"S":"{HIDDEN}#"}}}}}}]}},"set":{{"SS":["{HIDDEN}#"]}},
            "name":{{"S":"{SHOWN}#"}},"n":{{"N":"{n}"}}}}"#
        )
    };
    let record = |n: u32, op: &str, images: &str| {
        format!(
            r#"{{"eventID":"e{n}","eventName":"{op}","eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:eu-west-1:1:table/people/stream/2026-01-01T00:00:00.000","dynamodb":{{"ApproximateCreationDateTime":1795428000,"Keys":{{"pk":{{"S":"{HIDDEN}#"}}}},"SequenceNumber":"{n}",{images}}}}}"#
        )
    };
    let records = [
        record(1, "INSERT", &format!(r#""NewImage":{}"#, image(1))),
        record(2, "MODIFY", &format!(r#""NewImage":{},"OldImage":{}"#, image(2), image(1))),
        record(3, "REMOVE", &format!(r#""OldImage":{}"#, image(2))),
        record(4, "REMOVE", r#""SizeBytes":1"#),
    ];
    numbered(&format!(r#"{{"Records":[{}]}}"#, records.join(",")))
}

fn kinesis() -> String {
    use base64::Engine as _;
    let record = |n: u32, data: &str| {
        let data = base64::engine::general_purpose::STANDARD.encode(numbered(data));
        format!(
            r#"{{"eventID":"shardId-000000000000:{n}","eventSource":"aws:kinesis","eventSourceARN":"arn:aws:kinesis:eu-west-1:1:stream/people","kinesis":{{"partitionKey":"k","sequenceNumber":"{n}","data":"{data}","approximateArrivalTimestamp":1795428000}}}}"#
        )
    };
    let records = [
        record(
            1,
            &format!(
                r#"{{"kind":"keep","id":1,"email":"{HIDDEN}k#","other":"{HIDDEN}k#","nested":{{"plain":"{SHOWN}k#","x":"{HIDDEN}k#"}}}}"#
            ),
        ),
        record(2, &format!(r#"{{"kind":"drop","id":2,"email":"{HIDDEN}f#"}}"#)),
        record(3, &format!(r#"{{"kind":"keep","email":"{REJECTED}#"}}"#)),
        record(4, &format!(r#"{{"kind":"keep","id":"{SHOWN}misfit#","email":null}}"#)),
    ];
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

fn sqs() -> String {
    let inner =
        format!(r#"{{\"id\":\"{HIDDEN}m#\",\"body\":\"{HIDDEN}m#\",\"name\":\"{SHOWN}m#\"}}"#);
    let notification = format!(
        r#"{{"Type":"Notification","TopicArn":"t","Subject":"{HIDDEN}m#","Message":"{inner}","MessageAttributes":{{"secret":{{"Type":"String","Value":"{HIDDEN}m#"}},"plain":{{"Type":"String","Value":"{SHOWN}m#"}}}}}}"#
    );
    let mut body = String::new();
    lakeward::json::write_string(&numbered(&notification), &mut body);
    format!(
        r#"{{"Records":[{{"messageId":"m1","body":{body},"attributes":{{"SentTimestamp":"1795428000000"}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:1:people"}},
        {{"messageId":"m2","body":"{{\\"name\\":\\"{REJECTED}m\\"}}","attributes":{{"SentTimestamp":"1795428000000"}},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:1:people"}}]}}"#
    )
}

fn events() -> [String; 3] {
    [dynamodb(), kinesis(), sqs()]
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
        if entry.is_dir() { files(&entry, found) } else { found.push(entry) }
    }
}

/// All that is in a lake outside quarantine, as bytes and as cells; and all that is inside of it.
async fn everything(lake: &Lake, folder: &Path) -> (String, String) {
    let (mut outside, mut inside) = (String::new(), String::new());
    let mut found = Vec::new();
    files(folder, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for file in found {
        let bytes = std::fs::read(&file).unwrap();
        let quarantined = file.to_str().unwrap().contains("/lakeward/quarantine/");
        let text = if quarantined { &mut inside } else { &mut outside };
        writeln!(text, "{} {}", file.display(), String::from_utf8_lossy(&bytes)).unwrap();
        // Blocks of manifests are packed with deflate; what is in them shows once unpacked.
        if file.extension().is_some_and(|it| it == "avro") {
            let reader = apache_avro_blocks(&bytes);
            text.push_str(&reader);
        }
    }
    for table in lake.tables().await.unwrap() {
        let rows = lake.newest(&table, usize::MAX).await.unwrap().unwrap();
        let quarantined = table.namespace() == "lakeward";
        let text = if quarantined { &mut inside } else { &mut outside };
        for row in &rows.rows {
            for (cell, (name, ty)) in row.iter().zip(&rows.columns) {
                write!(text, "{name}=").unwrap();
                cell.write_json(ty, text);
            }
        }
    }
    (outside, inside)
}

/// Whatever deflate finds at any place of an Avro file.
fn apache_avro_blocks(bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    for at in 0..bytes.len() {
        let mut block = Vec::new();
        let mut decoder = flate2::read::DeflateDecoder::new(&bytes[at..]);
        // A wrong place ends in an error at once, nearly always.
        let _size = decoder.by_ref().take(1 << 16).read_to_end(&mut block);
        if block.len() > 16 {
            text.push_str(&String::from_utf8_lossy(&block));
        }
    }
    text
}

fn config(folder: &Path) -> Config {
    let checked = check(CONFIG, &Overrides::default());
    assert_eq!(checked.problems, vec![]);
    let mut config = checked.config.unwrap();
    config.lake.location = folder.join("lake").to_str().unwrap().to_owned();
    config
}

#[test]
fn what_a_route_hides_is_in_no_byte_of_the_lake() {
    let folder = fresh_folder("canary");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = App::open(config(&folder)).unwrap();
        let mut told = String::new();
        for event in events() {
            let handled = handle(&app, event.as_bytes(), &Deadline::none()).await.unwrap();
            write!(told, "{handled:?}").unwrap();
        }
        let (outside, inside) = everything(&app.lake, &folder.join("lake")).await;
        for canary in [HIDDEN, REJECTED] {
            let around = outside.split_once(canary).map(|(before, after)| {
                let before: Vec<char> = before.chars().rev().take(80).collect();
                let before: String = before.into_iter().rev().collect();
                format!("{before}{canary}{}", after.chars().take(20).collect::<String>())
            });
            assert_eq!(around, None, "{canary}");
            assert!(!told.contains(canary), "{told}");
        }
        // The same search finds what is not hidden, where it belongs.
        for shown in ["1x", "k", "m", "misfit"] {
            assert!(outside.contains(&format!("{SHOWN}{shown}")) || shown == "1x", "{shown}");
        }
        assert!(outside.matches(SHOWN).count() > 8);
        assert!(inside.contains(REJECTED));
        assert!(!inside.contains(HIDDEN));
    });
}

#[test]
fn what_a_route_hides_is_in_nothing_that_the_binary_says() {
    let folder = fresh_folder("canary-told");
    std::fs::write(folder.join("lakeward.toml"), CONFIG).unwrap();
    for (at, event) in events().iter().enumerate() {
        std::fs::write(folder.join(format!("{at}.json")), event).unwrap();
    }
    // An event that fails as a whole says why, and a broken file too.
    std::fs::write(folder.join("8.json"), events()[1].replace("stream/people", "stream/other"))
        .unwrap();
    std::fs::write(folder.join("9.json"), events()[2].replace("}]}", "}]")).unwrap();
    for arguments in [&["replay"][..], &["replay", "--json", "--dry-run"], &["plan"], &["infer"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lakeward"));
        command.current_dir(&folder).args(arguments).env("RUST_LOG", "trace");
        command.args(["0.json", "1.json", "2.json", "8.json", "9.json"]);
        let output = command.output().unwrap();
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8_lossy(&text);
            for canary in [HIDDEN, REJECTED, SHOWN] {
                assert!(!text.contains(canary), "{arguments:?}: {text}");
            }
        }
    }
}
