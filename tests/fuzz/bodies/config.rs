//! Configs: any text is a config, or problems that each say where and what to do.

use std::path::Path;

use lakeward::config::{self, Overrides, Problem};
use lakeward::route::Target;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let checked = config::check(text, &Overrides::default());
    assert_eq!(checked.config.is_none(), !checked.problems.is_empty(), "neither or both");
    let lines = text.bytes().filter(|it| *it == b'\n').count() + 1;
    for problem in &checked.problems {
        let line = problem.line.unwrap_or_else(|| panic!("no line: {problem:?}"));
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {problem:?}");
        sound(problem);
    }
    checked.notes.iter().for_each(sound);
    let in_order = |list: &[Problem]| list.is_sorted_by_key(|it| it.line);
    assert!(in_order(&checked.problems) && in_order(&checked.notes));
    let again = config::check(text, &Overrides::default());
    assert_eq!((again.problems, again.notes), (checked.problems, checked.notes));
    let Some(config) = checked.config else { return };
    assert_eq!(config::check_location(&config.lake.location), Ok(()));
    for route in &config.routes {
        assert!(!route.name.is_empty() || route.target == Target::Drop, "a route without name");
        if let Target::Table(table) = &route.target {
            assert!(!table.is_own(), "{table} is not for routes");
            config.policy(table);
        }
    }
}

fn sound(problem: &Problem) {
    assert!(!problem.what.trim().is_empty() && !problem.remedy.trim().is_empty(), "{problem:?}");
    assert!(!problem.at(Path::new("lakeward.toml")).is_empty());
}
