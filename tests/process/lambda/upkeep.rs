//! The upkeep that the template's schedule calls for.

use serde_json::json;

use super::{ALL_GOOD, Workspace, click_ids, clicks};

/// Kinesis records of the fixtures arrived long ago, so that nothing of them is left alone.
#[test]
fn the_schedule_s_call_keeps_all_tables_up() {
    let workspace = Workspace::new("upkeep");
    let mut function = workspace.start();
    for n in 0..12 {
        assert_eq!(function.invoke(&clicks([n])).response(), ALL_GOOD);
    }
    for _ in 0..2 {
        assert_eq!(function.invoke(&json!({"lakeward": "upkeep"})).response(), ALL_GOOD);
    }
    // A record that is redelivered afterwards is still a duplicate.
    assert_eq!(function.invoke(&clicks([3, 12])).response(), ALL_GOOD);
    assert_eq!(workspace.ids("web.clicks"), click_ids(0..13));
    workspace.expect(&[("web.clicks", 13)]);
    for other in [json!({"lakeward": "other"}), json!({"lakeward": "upkeep", "Records": 1})] {
        assert!(!function.invoke(&other).error_message().is_empty(), "{other}");
    }

    let logs = function.kill();
    let lines: Vec<_> = logs.iter().filter(|it| it.contains_key("Table")).collect();
    let [first, second] = lines[..] else { panic!("{logs:?}") };
    assert_eq!((&first["Table"], &first["files_joined"]), (&json!("web.clicks"), &json!(12)));
    assert_eq!((&second["files_joined"], &second["trouble"]), (&json!(0), &json!(null)));
    for line in lines {
        assert_eq!(line["LiveFiles"], json!(1.0));
        assert_eq!((&line["Pending"], &line["PendingOldestSeconds"]), (&json!(0.0), &json!(0.0)));
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["Table"], ["FunctionName"]])
        );
    }
    assert!(
        first["MetadataBytes"].as_f64().unwrap() > 0.0 && !second.contains_key("MetadataBytes")
    );
}

#[test]
fn a_table_that_can_not_be_kept_up_fails_the_call_and_no_other() {
    let workspace = Workspace::new("upkeep-fails");
    let mut function = workspace.start();
    for n in 0..6 {
        assert_eq!(function.invoke(&clicks([n])).response(), ALL_GOOD);
    }
    let broken = workspace.lake.join("web/broken/metadata");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("v1.metadata.json"), "no metadata").unwrap();
    let answer = function.invoke(&json!({"lakeward": "upkeep"}));
    assert!(answer.error_message().contains("upkeep of web.broken failed"), "{answer:?}");
    // Others read this lake as well.
    std::fs::remove_dir_all(workspace.lake.join("web/broken")).unwrap();
    let logs = function.kill();
    let line = |table: &str| {
        logs.iter().find(|it| it.get("Table") == Some(&json!(table))).unwrap().clone()
    };
    assert_eq!(line("web.clicks")["files_joined"], json!(6));
    assert!(line("web.broken")["trouble"].as_str().unwrap().contains("v1.metadata.json"));
}
