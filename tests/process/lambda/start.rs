//! A start that fails says why.

use std::fs;

use super::{CONFIG, Workspace};
use crate::support::process::{Function, clean_logs};

#[test]
fn a_broken_config_ends_the_start_and_says_why() {
    let workspace = Workspace::new("broken-config");
    fs::write(&workspace.config, CONFIG.replace("version = 1", "version = 1\ncolour = \"blue\""))
        .unwrap();
    let (status, printed, init_error) = workspace.start().wait_end();
    assert!(!status.success(), "{status}");
    let error = init_error.expect("nothing was posted to /runtime/init/error").error_message();
    for part in ["lakeward.toml:3", "colour"] {
        assert!(error.contains(part), "{part} is missing in {error}");
    }
    assert!(!clean_logs(&printed).is_empty(), "nothing was logged");
    fs::remove_dir_all(&workspace.folder).unwrap();
}

#[test]
fn a_function_without_config_says_so() {
    let workspace = Workspace::new("no-config");
    fs::remove_file(&workspace.config).unwrap();
    let (status, _, init_error) = workspace.start().wait_end();
    assert!(!status.success(), "{status}");
    let error = init_error.expect("nothing was posted to /runtime/init/error").error_message();
    assert!(error.contains("lakeward.toml"), "{error}");
    fs::remove_dir_all(&workspace.folder).unwrap();
}

/// The disk of an environment ends with it, and the rows on it.
#[test]
fn a_lake_on_the_disk_of_the_environment_is_refused_in_lambda() {
    let workspace = Workspace::new("own-disk");
    let quarantine = "[quarantine]\nlocation = \"/tmp/q\"\n";
    fs::write(&workspace.config, format!("{CONFIG}\n{quarantine}")).unwrap();
    let in_lambda = [("LAMBDA_TASK_ROOT", "/var/task")];
    let function = Function::start_in(&workspace.config, &workspace.lake, &in_lambda);
    let (status, _, init_error) = function.wait_end();
    assert!(!status.success(), "{status}");
    let error = init_error.expect("nothing was posted to /runtime/init/error").error_message();
    let lake = workspace.lake.display().to_string();
    for part in [&lake, "/tmp/q", "s3://bucket/folder"] {
        assert!(error.contains(part), "{part} is missing in {error}");
    }
    fs::remove_dir_all(&workspace.folder).unwrap();
}
