//! `lakeward init`

use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::terminal::{DONE, FAILED, Terminal, WRONG_USE};
use crate::config::FILE_NAME;

/// A config to start from.
const CONFIG: &str = include_str!("lakeward.toml");
/// An event that its route takes.
const EVENT: &str = include_str!("sample.json");

/// Writes a config and a sample event into a folder. Changes no existing file.
pub(super) fn run(folder: &Path, terminal: &mut Terminal<'_>) -> Result<u8, Failure> {
    let files = [(folder.join(FILE_NAME), CONFIG), (folder.join("events/sample.json"), EVENT)];
    for (path, _) in &files {
        if path.exists() {
            let path = path.display();
            writeln!(
                terminal.err,
                "error: {path} exists, so nothing was written: name another folder, or move the file"
            )?;
            return Ok(WRONG_USE);
        }
    }
    for (path, text) in &files {
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, text));
        if let Err(error) = written {
            writeln!(terminal.err, "error: can't write {}: {error}", path.display())?;
            return Ok(FAILED);
        }
        writeln!(terminal.out, "wrote {}", path.display())?;
    }
    let program = &terminal.program;
    let cd = if folder == Path::new(".") {
        String::new()
    } else {
        format!("cd {} && ", folder.display())
    };
    writeln!(terminal.out, "\nnext:    {cd}{program} replay events/")?;
    writeln!(
        terminal.out,
        "yours:   {program} infer FILE.jsonl     the columns to declare for your own records"
    )?;
    writeln!(
        terminal.out,
        "         {program} plan --as ARN FILE.jsonl     what a replay of them would do"
    )?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, check};

    #[test]
    fn the_config_is_fine_and_explains_every_section() {
        let checked = check(CONFIG, &Overrides::default());
        assert_eq!((checked.problems, checked.notes), (vec![], vec![]));
        // The lines that are commented out are valid once the comment marks are removed.
        let all: String = CONFIG
            .lines()
            .map(|it| it.strip_prefix("#  ").unwrap_or(it).to_owned() + "\n")
            .collect();
        let checked = check(&all, &Overrides::default());
        assert_eq!(checked.problems, vec![], "{all}");
        for section in ["[lake]", "[[route]]", ".columns]", "[quarantine]"] {
            assert!(all.contains(section), "{section}");
        }
    }
}
