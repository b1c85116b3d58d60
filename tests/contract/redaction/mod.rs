//! No byte of the lake outside quarantine holds a value that a route drops, hashes, does not keep or
//! leaves out, and no printed text holds a value of any record.

mod events;
mod search;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use self::events::{CONFIG, Canaries, Fate, HIDDEN_NUMBERS, SHOWN_NUMBER};
use self::search::{Haystack, forms, haystacks, places, places_of_number};
use crate::support::fixture::function;
use crate::support::lake::fresh_folder;
use crate::support::process::{self, Function, lakeward, printed, replay};

/// The key that `.cargo/config.toml` gives to tests.
const KEY: &str = env!("LAKEWARD_HASH_KEY");

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A folder with the config in it.
fn folder(name: &str, key: &str) -> (PathBuf, PathBuf) {
    let folder = fresh_folder(&format!("traces-{name}"));
    let config = folder.join("lakeward.toml");
    std::fs::write(&config, CONFIG.replace("KEY", key)).unwrap();
    (folder, config)
}

/// Searches a lake and what was printed while it was filled.
fn search(lake: &Path, printed: String, canaries: &Canaries) {
    let quarantine = lake.join("lakeward/quarantine");
    let outside = haystacks(lake, Some(&quarantine));
    let quarantined = haystacks(&quarantine, None);
    let printed: [Haystack; 1] = [("the output".to_owned(), printed.into_bytes())];
    let none: Vec<&str> = Vec::new();

    for canary in canaries.of(Fate::Hidden) {
        assert_eq!(places(&forms(&canary), &outside), none, "{canary}");
    }
    for number in HIDDEN_NUMBERS {
        assert_eq!(places_of_number(number, &outside), none, "{number}");
        assert_eq!(places_of_number(number, &printed), none, "{number}");
    }
    for canary in canaries.of(Fate::Rejected) {
        assert_eq!(places(&forms(&canary), &outside), none, "{canary}");
        assert_ne!(places(&forms(&canary), &quarantined), none, "{canary} is nowhere");
    }
    // The search finds what is there: in columns, and in the bounds of columns.
    for canary in canaries.of(Fate::Shown) {
        let found = places(&forms(&canary), &outside);
        assert!(found.iter().any(|it| it.starts_with("cells of")), "{canary}: {found:?}");
    }
    for in_bounds in ["canary-Shown-partition-key-91c7e5", "canary-Shown-message-group-91c7e5"] {
        let found = places(&forms(in_bounds), &outside);
        assert!(found.iter().any(|it| it.starts_with("entries of")), "{in_bounds}: {found:?}");
    }
    assert_ne!(places_of_number(SHOWN_NUMBER, &outside), none);

    for fate in [Fate::Hidden, Fate::Shown, Fate::Rejected] {
        for canary in canaries.of(fate) {
            assert_eq!(places(&forms(&canary), &printed), none, "{canary}");
        }
    }
    for haystacks in [&outside[..], &quarantined, &printed] {
        assert_eq!(places(&forms(KEY), haystacks), none, "the key");
    }
}

/// Rows of each table.
fn check_rows(lake: &Path) {
    let expected = [
        ("crm.people", 1),
        ("crm.people_changes", 4),
        ("crm.moves", 1),
        ("crm.mail_letter", 1),
        ("lakeward.quarantine", 9),
    ];
    for (table, rows) in expected {
        let found = process::rows(lake, table);
        assert_eq!(found.len(), rows, "{table}: {found:#?}");
        for row in found.iter().filter(|_| table == "lakeward.quarantine") {
            // Only what holds the record holds its values.
            let mut row = row.clone();
            assert!(row.remove("record").is_some_and(|it| it.is_string()), "{row:?}");
            let row = serde_json::to_string(&row).unwrap();
            assert!(!row.contains("canary"), "{row}");
        }
    }
    let tables =
        expected.map(|(table, rows)| (table.to_owned(), serde_json::json!({ "rows": rows })));
    let expected = serde_json::json!({"tables": serde_json::Map::from_iter(tables)});
    std::fs::write(lake.parent().unwrap().join("expected.json"), expected.to_string()).unwrap();
}

#[test]
fn the_handler_leaves_no_trace_of_what_is_hidden() {
    let (folder, config) = folder("handler", "env:LAKEWARD_HASH_KEY");
    let (events, canaries) = events::all();
    let function = function(&config, &folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut printed = String::new();
    for event in &events {
        let event = event.to_string();
        let deadline = lakeward::deadline::Deadline::none();
        let processed = function.handle(event.as_bytes(), &deadline);
        printed += &format!("{:?}", runtime.block_on(processed));
    }
    printed += &format!("{function:?}");
    check_rows(&folder.join("lake"));
    search(&folder.join("lake"), printed, &canaries);
}

#[test]
fn replay_leaves_no_trace_of_what_is_hidden() {
    let (folder, config) = folder("replay", "env:LAKEWARD_HASH_KEY");
    let (events, canaries) = events::all();
    let (lake, file) = (folder.join("lake"), folder.join("events.json"));
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut all = String::new();
    for _ in 0..2 {
        let mut command = replay(&config, &lake);
        let output = process::run(command.arg(&file).env("LAKEWARD_HASH_KEY", KEY));
        assert!(output.status.success(), "{}", printed(&output));
        all += &printed(&output);
    }
    let output = process::run(lakeward().arg("tables").arg("--lake").arg(&lake));
    assert!(output.status.success(), "{}", printed(&output));
    all += &printed(&output);
    check_rows(&lake);
    search(&lake, all, &canaries);
}

/// A server that answers like AWS Systems Manager; returns its address.
fn parameter_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(it) = line.to_lowercase().strip_prefix("content-length:") {
                    length = it.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let body = serde_json::json!({"Parameter": {"Value": KEY}}).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    endpoint
}

#[test]
fn the_function_leaves_no_trace_of_what_is_hidden() {
    let (folder, config) = folder("function", "ssm:/lakeward/hash");
    let (events, canaries) = events::all();
    let lake = folder.join("lake");
    let endpoint = parameter_store();
    let aws = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_ENDPOINT_URL_SSM", endpoint.as_str()),
    ];
    let mut function = Function::start_in(&config, &lake, &aws);
    let mut printed = String::new();
    for event in &events {
        printed += function.invoke(event).response();
    }
    printed += &serde_json::to_string(&function.kill()).unwrap();
    check_rows(&lake);
    search(&lake, printed, &canaries);
}

#[test]
fn without_the_key_nothing_lands_and_nothing_is_told() {
    let (folder, config) = folder("no-key", "env:LAKEWARD_HASH_KEY");
    let (events, canaries) = events::all();
    let lake = folder.join("lake");
    let mut function = Function::start(&config, &lake);
    let mut told = String::new();
    for event in &events[..4] {
        let error = function.invoke(event).error_message();
        assert!(error.contains("env:LAKEWARD_HASH_KEY") && error.contains("not set"), "{error}");
        told += &error;
    }
    told += &serde_json::to_string(&function.kill()).unwrap();
    assert!(!lake.join("crm").exists() && !lake.join("lakeward").exists());
    let printed: [Haystack; 1] = [("the output".to_owned(), told.into_bytes())];
    for fate in [Fate::Hidden, Fate::Shown, Fate::Rejected] {
        for canary in canaries.of(fate) {
            assert_eq!(places(&forms(&canary), &printed), Vec::<&str>::new(), "{canary}");
        }
    }
}
