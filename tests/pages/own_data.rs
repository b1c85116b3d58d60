//! The first steps with one's own data: a config to start from, a file of JSON lines, the columns
//! to declare, a plan, the rows, the query.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::lake::fresh_folder;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:orders";

struct Shell {
    folder: PathBuf,
}

impl Shell {
    fn new(name: &str) -> Self {
        Self { folder: fresh_folder(name) }
    }

    /// Runs the binary and returns its exit code and what it prints.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakeward"));
        let output = command.current_dir(&self.folder).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn fine(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.run(arguments).1).unwrap()
    }
}

/// Reads every file below a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
        if path.is_dir() {
            found.append(&mut tree(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

const LINES: &str = r#"{"orderId":"1","total":19.9,"placedAt":"2026-11-23T10:00:00Z","items":[{"sku":"mug","quantity":2}]}
{"orderId":"2","total":5,"placedAt":"2026-11-23T10:01:00Z","items":[]}
{"orderId":"1","total":17.5,"placedAt":"2026-11-23T10:02:00Z","items":[{"sku":"mug","quantity":1}]}
"#;

#[test]
fn from_nothing_to_a_query() {
    let shell = Shell::new("newcomer");
    let out = shell.fine(&["init"]);
    assert!(out.contains("lakeward.toml") && out.contains("replay events/"), "{out}");
    assert!(shell.fine(&["check"]).contains("is fine"));
    assert!(shell.fine(&["replay", "--lake", "sample", "events/"]).contains("shop.orders"));
    let (code, _, err) = shell.run(&["init"]);
    assert!(code == 2 && err.contains("exists, so nothing was written"), "{err}");

    shell.write("orders.jsonl", LINES);
    let block = shell.fine(&["infer", "orders.jsonl", "--table", "shop.orders"]);
    for line in [
        "order_id  = \"string\"",
        "total     = \"decimal(12,2)\"",
        "placed_at = \"timestamp(rfc3339)\"",
        "items     = \"list<struct<quantity: long, sku: string>>\"",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let there = block.lines().any(|it| it.starts_with(&words.join(" ")));
        assert!(there, "{line} in {block}");
    }
    // The block replaces the one that `init` wrote, and nothing may misfit.
    let config = std::fs::read_to_string(shell.folder.join("lakeward.toml")).unwrap();
    let (before, _) = config.split_once("[table.").unwrap();
    let config = format!(
        "{before}\n[lake2]\n[table.\"shop.orders\"]\nmisfits = \"reject\"\nnew_columns = \"reject\"\n{block}"
    );
    shell.write("lakeward.toml", &config.replace("[lake2]\n", ""));

    let before = tree(&shell.folder);
    let plan = shell.fine(&["plan", "--as", QUEUE, "orders.jsonl"]);
    assert!(plan.contains("items") && plan.contains("nothing was written"), "{plan}");
    let dry = shell.json(&["replay", "--as", QUEUE, "--dry-run", "--json", "orders.jsonl"]);
    assert_eq!(dry["tables"]["shop.orders"]["landed"], 3, "{dry}");
    assert_eq!(before, tree(&shell.folder), "a plan and a dry run write nothing");

    let landed = |value: &serde_json::Value| {
        let table = &value["tables"]["shop.orders"];
        (table["landed"].as_u64().unwrap(), table["duplicates"].as_u64().unwrap())
    };
    let replay =
        ["replay", "--as", QUEUE, "--json", "--fail-on", "quarantine,extra", "orders.jsonl"];
    assert_eq!(landed(&shell.json(&replay)), (3, 0));
    assert_eq!(landed(&shell.json(&replay)), (0, 3), "the same file again");
    // An edited line is a new record, and the others are not; the same line twice is two.
    let edited = LINES.replace("17.5", "16.5") + LINES.lines().next().unwrap() + "\n";
    shell.write("orders.jsonl", &edited);
    assert_eq!(landed(&shell.json(&replay)), (2, 2));

    let (code, _, err) = shell.run(&["sql", "shop.orders", "--latest"]);
    assert!(code == 2 && err.contains("--key"), "{err}");
    let sql = shell.fine(&["sql", "shop.orders", "--latest", "--key", "order_id"]);
    assert!(sql.contains("row_number()") && sql.contains("iceberg_scan('/"), "{sql}");
}

#[test]
fn a_replay_fails_on_the_conditions_that_it_is_given() {
    let shell = Shell::new("newcomer-fail-on");
    shell.fine(&["init"]);
    shell.write("bad.jsonl", "{\"orderId\":7}\nno json\n{\"extra\":1}\n{\"extra\":\"x\"}\n");
    for (what, code) in [("quarantine", 3), ("extra", 3), ("sibling", 3)] {
        let folder = format!("lake-{what}");
        let arguments =
            ["replay", "--as", QUEUE, "--lake", &folder, "--fail-on", what, "bad.jsonl"];
        let (got, out, err) = shell.run(&arguments);
        assert_eq!(got, code, "{what}: {out}{err}");
        assert!(out.contains("! shop.orders.extra: 50 % in extra__text"), "{out}");
    }
    assert_eq!(shell.run(&["replay", "--as", QUEUE, "bad.jsonl"]).0, 0);
    assert_eq!(shell.run(&["replay", "--as", "arn:aws:s3:::b", "bad.jsonl"]).0, 2);
    assert_eq!(shell.run(&["replay", "--as", QUEUE, "--fail-on", "rain", "bad.jsonl"]).0, 2);
}

#[test]
fn an_export_of_a_table_lands_as_reads() {
    let shell = Shell::new("newcomer-export");
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/app";
    shell.write(
        "lakeward.toml",
        "version = 1\n[[route]]\nsource = \"arn:aws:dynamodb:*:*:table/app/stream/*\"\ntable = \"a.b\"\n",
    );
    std::fs::create_dir_all(shell.folder.join("AWSDynamoDB/01/data")).unwrap();
    shell.write(
        "AWSDynamoDB/01/manifest-summary.json",
        r#"{"exportArn":"arn:aws:dynamodb:eu-west-1:1:table/app/export/01-abc","exportTime":"2026-11-20T00:00:00.250Z"}"#,
    );
    shell.write(
        "AWSDynamoDB/01/data/x.json",
        "{\"Item\":{\"pk\":{\"S\":\"a\"},\"n\":{\"N\":\"1\"}}}\n{\"Item\":{\"pk\":{\"S\":\"b\"},\"tags\":{\"SS\":[\"x\"]}}}\n",
    );
    let replay = ["replay", "--as", table, "--key", "pk", "AWSDynamoDB"];
    let out = shell.fine(&replay);
    // The manifest is not data.
    assert!(out.contains("a.b") && !out.contains("quarantine "), "{out}");
    let rows = shell.fine(&["show", "a.b", "--format", "json"]);
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let items: Vec<_> = rows.iter().filter(|it| it["pk"] != serde_json::Value::Null).collect();
    assert_eq!(items.len(), 2, "{rows:?}");
    for row in items {
        assert_eq!(row["_lw_op"], "read");
        assert_eq!(row["_lw_shard"], serde_json::Value::Null);
        assert!(row["_lw_id"].as_str().unwrap().starts_with("export:01-abc:"), "{row}");
        assert_eq!(row["_lw_arrived_at"], "2026-11-20T00:00:00.25");
        let position = row["_lw_position"].as_str().unwrap();
        assert!(position.len() == 60 && position.ends_with("01795132800250"), "{position}");
    }
    let (code, _, err) = shell.run(&["replay", "--as", table, "AWSDynamoDB"]);
    assert!(code == 2 && err.contains("--key pk,sk"), "{err}");
}

#[test]
fn a_declared_type_that_a_column_can_not_be_widened_to_is_an_error_of_plan() {
    let shell = Shell::new("newcomer-clash");
    let config = |ty: &str| {
        format!(
            "version = 1\n[[route]]\nsource = \"{QUEUE}\"\ntable = \"a.b\"\n[table.\"a.b\".columns]\nn = \"{ty}\"\n"
        )
    };
    shell.write("lakeward.toml", &config("long"));
    shell.write("x.jsonl", "{\"n\":1}\n");
    shell.fine(&["replay", "--as", QUEUE, "x.jsonl"]);
    shell.write("lakeward.toml", &config("string"));
    let (code, _, err) = shell.run(&["plan", "--as", QUEUE, "x.jsonl"]);
    assert!(
        code == 1 && err.contains("a.b.n is long in the table and declared as string"),
        "{err}"
    );
}

#[test]
fn a_line_that_is_not_an_item_costs_only_itself() {
    let shell = Shell::new("newcomer-items");
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/app";
    shell.write(
        "lakeward.toml",
        "version = 1\n[[route]]\nsource = \"arn:aws:dynamodb:*:*:table/app/stream/*\"\ntable = \"a.b\"\n",
    );
    shell.write(
        "x.jsonl",
        "{\"Item\":{\"pk\":{\"S\":\"a\"}}}\n\n{\"pk\":{\"S\":\"b\"}}\n{\"Item\":{\"PK\":{\"S\":\"c\"}}}\n{\"Item\":7}\nno\n{\"Item\":{\"pk\":{\"S\":\"d\"}}}\n{\"Items\":[]}\n",
    );
    let (code, out, err) = shell.run(&["replay", "--as", table, "--key", "pk", "x.jsonl"]);
    assert_eq!(code, 1, "{out}{err}");
    let landed: Vec<&str> =
        out.lines().find(|it| it.starts_with("a.b")).unwrap().split_whitespace().collect();
    assert_eq!(landed[1..4], ["2", "2", "0"], "{out}");
    for (line, what) in [
        (3, "it has no `Item`"),
        (4, "its item has no attribute `pk`"),
        (5, "its `Item` is not a JSON object"),
        (6, "it is not a JSON object"),
        (8, "it is the response of a scan"),
    ] {
        assert!(err.contains(&format!("! x.jsonl:{line}: {what}")), "{line}: {err}");
    }
    let (code, _, err) = shell.run(&["replay", "--as", QUEUE, "--key", "pk", "x.jsonl"]);
    assert!(code == 2 && err.contains("--key is for the items"), "{err}");
}

#[test]
fn files_of_one_name_are_not_one_file() {
    let shell = Shell::new("newcomer-files");
    shell.write(
        "lakeward.toml",
        &format!("version = 1\n[[route]]\nsource = \"{QUEUE}\"\ntable = \"a.b\"\n"),
    );
    for day in ["day1", "day2"] {
        std::fs::create_dir(shell.folder.join(day)).unwrap();
        shell.write(&format!("{day}/o.jsonl"), "{\"event\":\"ping\"}\n{\"event\":\"ping\"}\n");
    }
    let landed = |paths: &[&str]| {
        let arguments = [&["replay", "--as", QUEUE, "--json"], paths].concat();
        let table = shell.json(&arguments)["tables"]["a.b"].clone();
        (table["landed"].as_u64().unwrap(), table["duplicates"].as_u64().unwrap())
    };
    assert_eq!(landed(&["."]), (4, 0), "the lake and its metadata are not data");
    assert_eq!(landed(&["."]), (0, 4));
    assert_eq!(landed(&["day1", "./day2/o.jsonl"]), (0, 4));
    let mut bytes = b"{\"event\":\"".to_vec();
    bytes.extend_from_slice(b"\xff\"}\nno json\n");
    std::fs::write(shell.folder.join("odd.jsonl"), bytes).unwrap();
    let (code, _, err) = shell.run(&["replay", "--as", QUEUE, "odd.jsonl"]);
    assert!(code == 1 && err.contains("! odd.jsonl:1: it is not UTF-8"), "{err}");
    let bad = shell.fine(&["show", "lakeward.quarantine", "--format", "json"]);
    assert!(bad.contains("replayedFrom") && bad.contains("odd.jsonl:2"), "{bad}");
}

#[test]
fn quarantine_is_shown_in_whichever_lake_it_is() {
    let shell = Shell::new("newcomer-quarantine");
    shell.write(
        "lakeward.toml",
        &format!(
            "version = 1\n[[route]]\nsource = \"{QUEUE}\"\ntable = \"a.b\"\n[quarantine]\nlocation = \"./restricted\"\n"
        ),
    );
    shell.write("x.jsonl", "{\"n\":1}\nno json\n");
    let out = shell.fine(&["replay", "--as", QUEUE, "x.jsonl"]);
    assert!(out.contains("show lakeward.quarantine --lake restricted"), "{out}");
    assert!(shell.fine(&["show", "lakeward.quarantine"]).contains("no_json"));
    assert!(shell.fine(&["tables", "lakeward.quarantine"]).contains("reason"));
    let tables = shell.json(&["tables", "--json"]);
    let names: Vec<&str> =
        tables["tables"].as_array().unwrap().iter().filter_map(|it| it["table"].as_str()).collect();
    assert_eq!(names, ["a.b", "lakeward.quarantine"]);
    let table = shell.json(&["tables", "a.b", "--json"]);
    assert!(table["columns"].as_array().unwrap().iter().any(|it| it["name"] == "n"), "{table}");
}
