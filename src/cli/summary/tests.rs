//! Tests of the output of a replay.

use super::*;
use crate::config::{Overrides, check};
use crate::store::LandReport;

fn routes() -> Vec<Route> {
    let text = "version = 1\n\
        [[route]]\nsource = \"arn:aws:kinesis:*:*:stream/clicks\"\ntable = \"web.clicks\"\n\
        [[route]]\nname = \"bills\"\nsource = \"arn:aws:sqs:*:*:bills\"\n\
        table = \"billing.invoices\"\non_reject = \"return\"\n";
    check(text, &Overrides::default()).config.unwrap().routes
}

fn landed(landed: u64, duplicates: u64, new: &[&str], extra: u64) -> LandReport {
    LandReport {
        landed,
        duplicates,
        files: 1,
        new_columns: new.iter().map(|it| (*it).to_owned()).collect(),
        extra,
        ..LandReport::default()
    }
}

fn spread(values: u64, siblings: &[(&str, u64)], extra: u64) -> Spread {
    let siblings = siblings.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Spread { values, siblings, extra }
}

fn report(tables: &[(&str, u64, LandReport)], rejected: &[(&str, &str, u64)]) -> Report {
    Report {
        records: 10,
        tables: tables
            .iter()
            .map(|(name, rows, landed)| ((*name).to_owned(), (*rows, landed.clone())))
            .collect(),
        rejected: rejected
            .iter()
            .map(|(route, reason, count)| (((*route).to_owned(), (*reason).to_owned()), *count))
            .collect(),
        ..Report::default()
    }
}

fn printed(summary: &Summary, location: &str) -> String {
    let mut out = Vec::new();
    let locations = LakeLocations { lake: location, quarantine: location };
    summary.print("lakeward", locations, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn troubles(summary: &Summary) -> String {
    let mut err = Vec::new();
    summary.print_troubles(&mut err).unwrap();
    String::from_utf8(err).unwrap()
}

#[test]
fn sums_events_and_says_what_to_type_next() {
    let mut summary = Summary::default();
    let clicks = LandReport {
        spread: BTreeMap::from([
            ("score".to_owned(), spread(300, &[("score__double", 116)], 0)),
            ("page".to_owned(), spread(1_000, &[], 3)),
        ]),
        ..landed(298, 1, &["a", "b"], 3)
    };
    let first = report(
        &[("web.clicks", 299, clicks), ("lakeward.quarantine", 2, landed(2, 0, &[], 0))],
        &[("web.clicks", "bad_base64", 1), ("", "no_route", 1)],
    );
    summary.add("a.json", &first, &routes());
    let mut again = report(&[("web.clicks", 299, landed(0, 299, &["b", "c"], 0))], &[]);
    again.dropped = 1;
    summary.add("b.json", &again, &routes());
    assert_eq!(summary.exit_code(), DONE);
    assert_eq!(
        printed(&summary, "./lake"),
        "table                read  landed  duplicate  quarantined  files  new columns\n\
         web.clicks            599     298        300            1      2  +3\n\
         lakeward.quarantine             2          0                   1  bad_base64 1, no_route 1\n\
         1 record dropped by routes with drop = true\n\
         ! web.clicks.score: 38 % in score__double → declare score = \"double\"\n\
         ! web.clicks.page: under 1 % in _lw_extra → declare a type that holds them, or see \
         max_columns and new_columns\n  declare types before a table is made. A table that exists \
         keeps its types: query coalesce(x__double, x), or fill a new table\n\
         \n\
         look:    duckdb -c \"from iceberg_scan('lake/web/clicks') limit 5\"\n\
         rows:    lakeward show web.clicks --lake lake\n\
         query:   lakeward sql web.clicks --lake lake\n\
         tables:  lakeward tables --lake lake\n\
         why:     lakeward show lakeward.quarantine --lake lake\n"
    );
}

#[test]
fn records_that_are_not_durable_fail_the_replay() {
    let mut summary = Summary::default();
    let mut stuck = report(&[("web.clicks", 3, LandReport::default())], &[("bills", "no_json", 2)]);
    stuck.failed = 5;
    stuck.trouble = vec!["can't list x: denied".to_owned()];
    summary.add("a.json:7", &stuck, &routes());
    assert_eq!(summary.exit_code(), FAILED);
    assert_eq!(
        printed(&summary, "lake"),
        "table       read  landed  duplicate  quarantined  files  new columns\n\
         web.clicks     3       0          0            0      0\n\
         ! 2 records rejected and returned to the queue (on_reject = \"return\")\n\
         ! 3 records neither landed nor quarantined\n"
    );
    assert_eq!(
        troubles(&summary),
        "! a.json:7: can't list x: denied: repair this and run the command again; records that \
         have landed do not land again\n"
    );
}

#[test]
fn many_troubles_are_cut_short() {
    let mut summary = Summary::default();
    for at in 0..25 {
        let location = format!("{at}.json");
        summary.add_trouble(Trouble::new(location, "can't be read", "check its path"));
    }
    assert_eq!(printed(&summary, "lake"), "no rows in 0 records\n");
    let text = troubles(&summary);
    assert!(text.starts_with("! 0.json: can't be read: check its path\n"), "{text}");
    assert!(
        text.ends_with("! 19.json: can't be read: check its path\n! and 5 more like these\n"),
        "{text}"
    );
    assert_eq!(summary.exit_code(), FAILED);
}

#[test]
fn commands_survive_odd_paths() {
    assert_eq!(shell("lake"), "lake");
    assert_eq!(shell("my $lake"), "\"my \\$lake\"");
    let mut summary = Summary::default();
    let one = report(&[("web.clicks", 1, landed(1, 0, &[], 0))], &[]);
    summary.add("a", &one, &routes());
    assert!(
        printed(&summary, "/tmp/o'lake")
            .contains("duckdb -c \"from iceberg_scan('/tmp/o''lake/web/clicks') limit 5\"\n")
    );
}
