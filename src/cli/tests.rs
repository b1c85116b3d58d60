//! Tests of whole commands, from the arguments to the exit code.

use std::io::Write;
use std::path::Path;

use super::*;
use crate::cli::terminal::FAILED;
use crate::config::FILE_NAME;

/// Runs a command and returns its exit code and what it printed to `out` and `err`.
fn lakeward(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal =
        Terminal { out: &mut out, err: &mut err, program: "lakeward".to_owned(), progress: false };
    let args = std::iter::once("lakeward").chain(args.iter().copied()).map(OsString::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(run(args, &mut terminal));
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A folder with a config and an empty lake.
struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

const CONFIG: &str = "version = 1\n[[route]]\n\
    source = \"arn:aws:kinesis:eu-west-1:1:stream/clicks\"\ntable = \"web.clicks\"\n";

#[test]
fn help_teaches() {
    let (code, out, err) = lakeward(&["--help"]);
    assert_eq!((code, err.as_str()), (DONE, ""));
    for part in [
        "Streams run lakeward",
        "Usage: lakeward <COMMAND>",
        "replay       Run event files",
        "Examples:",
        "lakeward replay events/",
        "LAKEWARD_LAKE__LOCATION",
        "Exit codes:",
        "  2  the arguments or the config are wrong",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, _) = lakeward(&["replay", "--help"]);
    assert_eq!(code, DONE);
    for part in ["An event file holds", "one event a line", ".zst", "[default: lakeward.toml]"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, _) = lakeward(&["show", "--help"]);
    assert_eq!(code, DONE);
    assert!(out.contains("Newest first") && out.contains("json") && out.contains("csv"));
}

#[test]
fn version_is_the_package_s() {
    let (code, out, _) = lakeward(&["--version"]);
    assert_eq!((code, out), (DONE, format!("lakeward {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_arguments_end_with_2_and_say_so_on_standard_error() {
    for (args, part) in [
        (&["replay"][..], "<PATH>..."),
        (&["reply", "x"], "replay"),
        (&["show", "a.b", "--format", "xml"], "table, json, csv"),
        (&["show", "nodot"], "`nodot` is not a table name"),
        (
            &["tables", "--lake", "gs://x"],
            "--lake: this release does not support lakes at gs://: write",
        ),
        (&["tables", "--lake", "s3://x"], "--lake: `x` is not a valid bucket name: write the path"),
        (&["tables", "--config", "/nowhere/x.toml"], "can't read the config /nowhere/x.toml"),
        (&["replay", "--config", "/nowhere/x.toml", "x"], "can't read the config"),
        (&[], "Usage"),
    ] {
        let (code, out, err) = lakeward(args);
        assert_eq!((code, out.as_str()), (WRONG_USE, ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn an_empty_lake_has_no_tables() {
    let workspace = Workspace::new(CONFIG);
    let lake = workspace.path("lake");
    let (code, out, err) = lakeward(&["tables", "--lake", &lake]);
    let missing = format!("error: --lake: there is no directory {lake}\n");
    assert_eq!((code, out.as_str(), err), (WRONG_USE, "", missing));
    std::fs::create_dir(&lake).unwrap();
    let (code, out, err) = lakeward(&["tables", "--lake", &lake]);
    assert_eq!(
        (code, out, err.as_str()),
        (DONE, format!("the lake {lake} has no tables yet\n"), "")
    );
    for command in ["tables", "show"] {
        let (code, out, err) = lakeward(&[command, "web.clicks", "--lake", &lake]);
        assert_eq!((code, out.as_str()), (FAILED, ""));
        assert_eq!(
            err,
            "error: the lake has no table web.clicks: it has none; name another lake with --lake\n"
        );
    }
    assert_eq!(std::fs::read_dir(&lake).unwrap().count(), 0, "looking creates nothing");
}

/// A `.DS_Store`, a note, a backup: it is not a table, and hides none.
#[test]
fn files_among_the_folders_of_a_lake_are_skipped() {
    let workspace = Workspace::new(CONFIG);
    let (config, lake, event) =
        (workspace.path(FILE_NAME), workspace.path("lake"), workspace.path("e.json"));
    std::fs::write(&event, click("1")).unwrap();
    let (code, out, _) = lakeward(&["replay", "--config", &config, "--lake", &lake, &event]);
    assert_eq!(code, DONE, "{out}");
    for name in ["note", "web/note", "web/empty/metadata", "other/note"] {
        let path = Path::new(&lake).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "1").unwrap();
    }
    let (code, out, err) = lakeward(&["tables", "--lake", &lake]);
    assert_eq!((code, err.as_str(), out.lines().count()), (DONE, "", 2), "{out}");
    assert!(out.lines().nth(1).unwrap().starts_with("web.clicks "), "{out}");
}

#[test]
fn check_names_every_problem() {
    let fine = Workspace::new(CONFIG);
    let path = fine.path(FILE_NAME);
    let (code, out, err) = lakeward(&["check", "--config", &path]);
    assert_eq!((code, err.as_str()), (DONE, ""));
    assert_eq!(out, format!("{path} is fine: 1 route, 0 declared tables\n"));
    let wrong = Workspace::new("version = 1\ntabel = 1\n[lake]\nlocation = 2\n");
    let path = wrong.path(FILE_NAME);
    let (code, out, err) = lakeward(&["check", "--config", &path]);
    assert_eq!((code, err.as_str()), (WRONG_USE, ""));
    assert_eq!(
        out,
        format!(
            "error: {path}:2: unknown key `tabel` in the file: did you mean `table`?\n\
             error: {path}:4: `location` in [lake] must be a string: write it in quotes\n\
             {path} has 2 problems\n"
        )
    );
    let (code, _, err) = lakeward(&["replay", "--config", &path, "x"]);
    assert_eq!(code, WRONG_USE);
    assert!(err.starts_with(&format!("error: {path}:2: ")) && err.lines().count() == 2, "{err}");
}

#[test]
fn a_broken_file_costs_only_itself() {
    let workspace = Workspace::new(CONFIG);
    let (config, lake, events) =
        (workspace.path(FILE_NAME), workspace.path("lake"), workspace.path("events"));
    std::fs::create_dir(&events).unwrap();
    for (name, text) in [
        ("1.json", r#"{"Records": [}"#),
        ("2.json", &click("1")),
        ("3.json", r#"{"Records": 7}"#),
        ("4.jsonl", &format!("{}\n{{\n{}\n", click("1"), click("2"))),
        ("5.json", &click("3").replace("stream/clicks", "stream/other")),
    ] {
        std::fs::write(workspace.path(&format!("events/{name}")), text).unwrap();
    }
    let missing = workspace.path("missing.json");
    let args = ["replay", "--config", &config, "--lake", &lake, &events, &missing];
    let (code, out, err) = lakeward(&args);
    assert_eq!(code, FAILED, "{out}");
    assert!(!out.contains("! "), "{out}");
    let troubles: Vec<&str> = err.lines().collect();
    let starts = [
        format!("! {events}/1.json:1: not an event: "),
        format!("! {events}/3.json: "),
        format!("! {events}/4.jsonl:2: not an event: "),
        format!("! {events}/5.json: no route for arn:aws:kinesis:eu-west-1:1:stream/other: "),
        format!("! {missing}: can't be read: "),
    ];
    assert_eq!(troubles.len(), starts.len(), "{err}");
    for (trouble, start) in troubles.iter().zip(&starts) {
        assert!(trouble.starts_with(start), "{trouble} starts with {start}");
    }
    let numbers: Vec<&str> = out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(numbers, ["web.clicks", "3", "2", "1", "0", "2", "+1"], "{out}");
}

#[test]
fn replayed_records_are_shown() {
    let workspace = Workspace::new(CONFIG);
    let (config, lake, event) =
        (workspace.path(FILE_NAME), workspace.path("lake"), workspace.path("e.json"));
    std::fs::write(&event, click("1")).unwrap();
    let replay = || lakeward(&["replay", "--config", &config, "--lake", &lake, &event]);
    let (code, out, err) = replay();
    assert_eq!((code, err.as_str()), (DONE, ""), "{out}");
    assert!(out.contains(&format!("from iceberg_scan('{lake}/web/clicks') limit 5")), "{out}");
    let (code, out, _) = replay();
    assert_eq!(code, DONE);
    let numbers: Vec<&str> = out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(numbers, ["web.clicks", "1", "0", "1", "0", "0"], "{out}");

    let (code, out, err) = lakeward(&["tables", "--lake", &lake]);
    assert_eq!((code, err.as_str()), (DONE, ""));
    assert!(out.starts_with("table       rows  files"), "{out}");
    assert!(out.lines().nth(1).unwrap().starts_with("web.clicks     1      1"), "{out}");
    let (code, out, _) = lakeward(&["tables", "web.clicks", "--lake", &lake]);
    assert_eq!(code, DONE);
    assert!(out.lines().any(|it| it.starts_with("page ") && it.contains("string")), "{out}");
    let (code, out, _) = lakeward(&["show", "web.clicks", "--lake", &lake, "--format", "json"]);
    assert_eq!(code, DONE);
    assert!(out.starts_with('{') && out.contains(r#""page":"1""#), "{out}");
    let (_, out, _) = lakeward(&["show", "web.clicks", "--lake", &lake, "--format", "csv"]);
    assert!(out.starts_with("_lw_id,"), "{out}");
    assert_eq!(out.lines().count(), 2);
    let (code, _, err) = lakeward(&["show", "web.klicks", "--lake", &lake]);
    assert_eq!(code, FAILED);
    assert_eq!(err, "error: the lake has no table web.klicks: its tables are web.clicks\n");
}

/// A Kinesis event of one record whose sequence number is `n`.
fn click(n: &str) -> String {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(format!("{{\"page\":\"{n}\"}}"));
    format!(
        r#"{{"Records":[{{"eventSource":"aws:kinesis","eventName":"aws:kinesis:record","eventVersion":"1.0","eventID":"shardId-000000000000:{n}","awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:1:stream/clicks","kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"k","sequenceNumber":"{n}","data":"{data}","approximateArrivalTimestamp":1545084650.987}}}}]}}"#
    )
}

/// A writer whose reader has gone.
struct ClosedPipe;

impl Write for ClosedPipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let workspace = Workspace::new(CONFIG);
    let (config, missing) = (workspace.path(FILE_NAME), workspace.path("missing.json"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (args, expected) in [
        (vec!["check", "--config", &config], DONE),
        (vec!["tables", "--config", &config], DONE),
        (vec!["--help"], DONE),
        (vec!["replay", "--config", &config, &missing], FAILED),
    ] {
        let mut err = Vec::new();
        let mut terminal = Terminal {
            out: &mut ClosedPipe,
            err: &mut err,
            program: "lakeward".to_owned(),
            progress: false,
        };
        let args: Vec<&str> = std::iter::once("lakeward").chain(args).collect();
        let code = runtime.block_on(run(args.iter().map(OsString::from), &mut terminal));
        assert_eq!(code, expected, "{args:?}");
        // A file that a replay can't read is reported even then.
        let errors = String::from_utf8(err).unwrap();
        assert_eq!(errors.contains("missing.json"), expected == FAILED, "{args:?}: {errors}");
        assert_eq!(errors.lines().count(), usize::from(expected == FAILED), "{args:?}: {errors}");
    }
}
