//! Configs with mistakes, and the messages about them.

use super::*;
use crate::pattern::Pattern;
use crate::route::Target;
use crate::table::declared::DeclaredType;

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|it| it.at(Path::new("f"))).collect()
}

/// Returns the problems of a text below `version = 1`.
fn problems(rest: &str) -> Vec<String> {
    lines(&check(&format!("version = 1\n{rest}"), &Overrides::default()).problems)
}

fn notes(rest: &str) -> Vec<String> {
    let checked = check(&format!("version = 1\n{rest}"), &Overrides::default());
    assert_eq!(lines(&checked.problems), Vec::<String>::new());
    lines(&checked.notes)
}

fn environment(variables: &[(&str, &str)]) -> Overrides {
    Overrides::of(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

const WHOLE: &str = r##"version = 1

[lake]
location = "./lake"
catalog  = "files"
commit   = "direct"

[[route]]
name   = "orders"
source = "arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/*"
when   = { pk = "ORDER#*", sk = ["META", "LINE#*"], detail.type = "x", '"a.b".c' = "y" }
table  = "shop.orders_changes"

[[route]]
source = "arn:aws:dynamodb:eu-west-1:123456789012:table/app/stream/*"
drop   = true

[[route]]
source   = "arn:aws:sqs:eu-west-1:123456789012:invoices"
table    = "billing.invoices"
event_at = "issued"
on_reject = "return"

[table."billing.invoices".columns]
zeta   = "timestamp(rfc3339)"
amount = { type = "decimal(12,2)", doc = "with tax" }

[quarantine]
reject_limit = 1
"##;

#[test]
fn every_key_is_read() {
    let checked = check(WHOLE, &Overrides::default());
    assert_eq!(lines(&checked.problems), Vec::<String>::new());
    let config = checked.config.unwrap();
    assert_eq!(config.lake.location, "./lake");
    assert_eq!(config.lake.config_hash, hash(WHOLE));
    assert_eq!(config.quarantine.reject_limit.to_string(), "1");
    let names: Vec<&str> = config.routes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["orders", "drop-2", "billing.invoices"]);
    let when: Vec<(String, Vec<&str>)> = config.routes[0]
        .when
        .iter()
        .map(|it| (it.path.to_string(), it.patterns.iter().map(Pattern::as_str).collect()))
        .collect();
    assert_eq!(
        when,
        [
            ("pk".to_owned(), vec!["ORDER#*"]),
            ("sk".to_owned(), vec!["META", "LINE#*"]),
            ("detail.type".to_owned(), vec!["x"]),
            ("\"a.b\".c".to_owned(), vec!["y"]),
        ]
    );
    assert_eq!(config.routes[0].target, Target::Table("shop.orders_changes".parse().unwrap()));
    assert_eq!(config.routes[1].target, Target::Drop);
    assert!(config.routes[2].return_rejects);
    assert_eq!(config.routes[2].event_at.as_ref().unwrap().to_string(), "issued");
    let columns = &config.tables[&"billing.invoices".parse().unwrap()].columns;
    assert_eq!((columns[0].name.as_str(), &columns[0].ty), ("zeta", &DeclaredType::Rfc3339));
    assert_eq!((columns[1].name.as_str(), columns[1].doc.as_deref()), ("amount", Some("with tax")));
}

#[test]
fn the_hash_is_sha_256_of_the_file() {
    assert_eq!(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn a_version_is_required() {
    for (text, expected) in [
        ("", "f:1: the config has no `version`: write version = 1 as the first line"),
        (
            "version = 2",
            "f:1: this release does not support version 2 of the config: write version = 1, or use \
             a newer release",
        ),
        ("version = \"1\"", "f:1: `version` must be a whole number: write version = 1"),
    ] {
        assert_eq!(lines(&check(text, &Overrides::default()).problems), [expected]);
    }
}

#[test]
fn sources_that_match_no_stream_or_queue_are_refused() {
    let found = |source: &str| {
        problems(&format!("[[route]]\nsource = \"{source}\"\ntable = \"a.b\"")).pop()
    };
    for fine in [
        "*",
        "arn:*",
        "arn:aws:sqs:*",
        "arn:aws-cn:sqs:cn-north-1:1:q.fifo",
        "arn:aws:*:*:*:*orders*",
        "arn:aws:dynamodb:*:*:table/app/stream/*",
        "arn:aws:kinesis:*:*:stream/*",
    ] {
        assert_eq!(found(fine), None, "{fine}");
    }
    for (wrong, remedy) in [
        ("orders", "ARNs of sources look like arn:aws:dynamodb:"),
        ("arn:aws:s3:::bucket", "ARNs of sources look like arn:aws:dynamodb:"),
        ("arn:aws:sqs", "its ARNs look like arn:aws:sqs:*:*:NAME"),
        (
            "arn:aws:dynamodb:*:*:table/app",
            "its ARNs look like arn:aws:dynamodb:*:*:table/NAME/stream/*",
        ),
        ("arn:aws:kinesis:*:*:events", "its ARNs look like arn:aws:kinesis:*:*:stream/NAME"),
        (
            "arn:aws:kinesis:*:*:stream/s/consumer/*",
            "write source = \"arn:aws:kinesis:*:*:stream/s\"",
        ),
    ] {
        let found = found(wrong).unwrap();
        assert!(found.starts_with("f:3: ") && found.contains(remedy), "{wrong}: {found}");
    }
}

#[test]
fn all_problems_are_reported_in_line_order() {
    let found = problems(
        "[quarantine]\nreject_limit = 2\n[[route]]\nsource = 1\ntable = \"x\"\n\
         [lake]\nlocation = 1\n[[route]]\ntabel = \"a.b\"",
    );
    let lines: Vec<&str> = found.iter().map(|it| it.get(..4).unwrap()).collect();
    assert_eq!(lines, ["f:3:", "f:5:", "f:6:", "f:8:", "f:9:", "f:9:", "f:10"], "{found:#?}");
}

#[test]
fn syntax_errors_never_quote_the_line() {
    let found = problems("key = \"sec\\qret\"\nother = = hidden\n");
    assert!(!found.is_empty());
    assert!(found.iter().all(|it| !it.contains("sec") && !it.contains("hidden")), "{found:?}");
}

#[test]
fn routes_are_compared() {
    let route = |name: &str, when: &str| {
        format!("[[route]]\n{name}source = \"arn:aws:sqs:r:1:q\"\n{when}table = \"a.b\"\n")
    };
    let narrow = "when = { kind = \"x\" }\n";
    let (first, second) = (route("", narrow), route("", "when = { kind = \"y\" }\n"));
    assert_eq!(problems(&format!("{first}{second}")), Vec::<String>::new());
    assert_eq!(
        problems(&format!("{}{}", route("", ""), route("name = \"late\"\n", narrow))),
        ["f:5: route `late` never gets a record: route `a.b` on line 2 matches them all: move \
          it above that route, or narrow that route's `when`"]
    );
    assert_eq!(
        problems(&format!("{}{second}", route("name = \"a.b\"\n", narrow))),
        ["f:7: the route on line 2 already has the name `a.b`: give one of them another `name`"]
    );
}

#[test]
fn notes_do_not_keep_a_config_from_being_used() {
    let here = "source = \"arn:aws:dynamodb:r:1:table/t/stream/*\"";
    let there = "source = \"arn:aws:sqs:*:*:q\"";
    for (text, expected) in [
        (
            String::new(),
            "the config has no [[route]], so every event fails: write one for each stream and \
             queue",
        ),
        (
            format!("[[route]]\n{here}\ndrop = true\n[table.\"a.b\".columns]\nx = \"long\""),
            "f:5: no route fills table `a.b`: write a [[route]] for it, or remove the section",
        ),
        (
            format!("[[route]]\n{here}\ntable = \"a.b\"\n[table.\"a.b\".columns]\naB = \"long\""),
            "f:6: column `aB` is stored as `a_b`: write `a_b`, the name that queries use",
        ),
        (
            format!("[[route]]\n{here}\ntable = \"a.b\"\nwhen = {{ detail.type = \"x\" }}"),
            "f:2: `when` reads `detail.type`, which can't be a key: make sure that the stream has \
             images; with keys only, this route matches no records",
        ),
        (
            format!("[[route]]\n{there}\ntable = \"a.b\"\nwhen = {{ detail.type = \"x\" }}"),
            "f:2: routes match sources in any region or account: a.b: if that is not intended, \
             write region and account in `source`; `_lw_source` holds the source of each row",
        ),
    ] {
        assert_eq!(notes(&text), [expected], "{text}");
    }
}

#[test]
fn the_environment_overrides_the_lake_and_nothing_else() {
    let text = "version = 1\n[lake]\nlocation = \"here\"\n";
    let location = |variables: &[(&str, &str)]| {
        let checked = check(text, &environment(variables));
        checked.config.map(|it| it.lake.location).ok_or_else(|| lines(&checked.problems).join("\n"))
    };
    assert_eq!(location(&[]).unwrap(), "here");
    assert_eq!(location(&[("LAKEWARD_LAKE__LOCATION", "there")]).unwrap(), "there");
    assert_eq!(location(&[("LAKEWARD_CONFIG", "x"), ("PATH", "y")]).unwrap(), "here");
    let names = "LAKEWARD_LAKE__LOCATION, LAKEWARD_LAKE__CATALOG, LAKEWARD_LAKE__COMMIT, LAKEWARD_LAKE__KEEP_SNAPSHOTS_FOR, LAKEWARD_LAKE__KEEP_METADATA_FOR, \
             LAKEWARD_LAKE__KEEP_DATA_FOR, \
                 LAKEWARD_LAKE__NAMES, LAKEWARD_LAKE__NUMBERS, LAKEWARD_LAKE__TIMESTAMPS, \
                 LAKEWARD_QUARANTINE__LOCATION";
    for wrong in ["LAKEWARD_LAKE__LOCATOIN", "LAKEWARD_LAKE_LOCATION", "LAKEWARD_LAKE__location"] {
        assert_eq!(
            location(&[(wrong, "there")]).unwrap_err(),
            format!(
                "environment variable {wrong}: it does not override a key of [lake] or \
                 [quarantine]: unset it; valid variables: {names}"
            )
        );
    }
    assert!(location(&[("LAKEWARD_LAKE__LOCATION", "gs://x")]).unwrap_err().starts_with(
        "environment variable LAKEWARD_LAKE__LOCATION: this release does not support"
    ));
}

#[test]
fn an_unreadable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join(FILE_NAME);
    let error = Config::load(&missing).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("can't read the config {}: ", missing.display())),
        "{error}"
    );
    assert!(error.ends_with(
        ": create it with version = 1 and a [[route]], or name another file with --config, or in \
         Lambda with LAKEWARD_CONFIG"
    ));
    std::fs::write(&missing, b"version = 1 # \xff").unwrap();
    let error = Config::load(&missing).unwrap_err().to_string();
    assert!(
        error.ends_with(" is not valid UTF-8 (first bad byte: 14): save it as UTF-8"),
        "{error}"
    );
}
