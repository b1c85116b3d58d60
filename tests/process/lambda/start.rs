//! A start that fails says why.

use std::fs;

use super::{CONFIG, Workspace};
use crate::support::process::clean_logs;

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
