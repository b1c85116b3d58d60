//! The keys of each section, those of later releases, and the likely meaning of a misspelt one.

use crate::config::problem::Problem;

/// A section of the config and its keys.
pub(super) struct Section {
    /// The section as messages name it: `[[route]]`.
    pub name: &'static str,
    /// Remedy if its value is not a table.
    pub remedy: &'static str,
    pub keys: &'static [&'static str],
    /// Keys of the language that this release does not support.
    pub later: &'static [&'static str],
    /// Keys that are often expected here, and where to write them.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

pub(super) const ROOT: Section = Section {
    name: "the file",
    remedy: "write version = 1 as the first line",
    keys: &["version", "lake", "route", "table", "quarantine"],
    later: &["store", "metrics"],
    elsewhere: &[("routes", "write [[route]] for each route"), ("tables", "write [table.\"…\"]")],
};

pub(super) const LAKE: Section = Section {
    name: "[lake]",
    remedy: "write [lake] and its keys below it",
    keys: &[
        "location",
        "catalog",
        "commit",
        "keep_snapshots_for",
        "keep_metadata_for",
        "keep_data_for",
        "names",
        "numbers",
        "timestamps",
    ],
    later: &["commit_queue", "region", "endpoint"],
    elsewhere: &[
        ("warehouse", "the directory of the lake is `location`"),
        ("path", "the directory of the lake is `location`"),
        (
            "keep_for",
            "how long snapshots are kept is `keep_snapshots_for`; files that none of them names, \
             `keep_metadata_for` and `keep_data_for`",
        ),
    ],
};

pub(super) const ROUTE: Section = Section {
    name: "[[route]]",
    remedy: "write [[route]], with two brackets, above each route",
    keys: &[
        "name",
        "source",
        "when",
        "unwrap",
        "table",
        "max_tables",
        "drop",
        "id",
        "id_window",
        "event_at",
        "transform",
        "on_reject",
    ],
    later: &["decode"],
    elsewhere: &[
        ("columns", "declare columns in [table.\"…\".columns]"),
        ("where", "write the conditions of a route as `when`"),
        ("filter", "write it as a step: transform = [{ filter = { field = \"text\" } }]"),
        ("keep", "write it as a step: transform = [{ keep = [\"field\"] }]"),
        ("rename", "write it as a step: transform = [{ rename = { old = \"new\" } }]"),
        ("hash", "write it as a step: transform = [{ hash = [\"field\"], key = \"ssm:/name\" }]"),
        ("require", "write it as a step: transform = [{ require = [\"field\"] }]"),
        ("old_image", "write it in [table.\"…\"]"),
    ],
};

pub(super) const TABLE: Section = Section {
    name: "[table.\"…\"]",
    remedy: "write [table.\"namespace.name\"] and its keys below it",
    keys: &["columns", "new_columns", "misfits", "max_columns", "numbers", "old_image"],
    later: &["partition", "keep", "current"],
    elsewhere: &[
        ("id", "write `id` in a [[route]]"),
        ("when", "write `when` in a [[route]]"),
        ("transform", "write `transform` in a [[route]]"),
        ("names", "write `names` in [lake]; it applies to all tables"),
        ("timestamps", "write `timestamps` in [lake]; it applies to all tables"),
    ],
};

pub(super) const COLUMN: Section = Section {
    name: "a column",
    remedy: "write the type in quotes, such as \"long\", or { type = \"long\", doc = \"…\" }",
    keys: &["type", "doc", "pii"],
    later: &["tags"],
    elsewhere: &[],
};

pub(super) const QUARANTINE: Section = Section {
    name: "[quarantine]",
    remedy: "write [quarantine] and its keys below it",
    keys: &["location", "payload", "reject_limit"],
    later: &["keep"],
    elsewhere: &[],
};

/// A step has one of these keys; `hash` also has `key`.
pub(super) const STEP: Section = Section {
    name: "a step of `transform`",
    remedy: "write, for example, { drop = [\"field\"] }",
    keys: &["drop", "keep", "rename", "hash", "key", "require", "filter"],
    later: &[],
    elsewhere: &[("when", "write a step that leaves records out as `filter`")],
};

impl Section {
    /// Returns the problem of a key that the section does not have.
    pub(super) fn unknown(&self, key: &str) -> Problem {
        if self.later.contains(&key) {
            return Problem::not_yet(&format!("`{key}` in {}", self.name));
        }
        let elsewhere = self.elsewhere.iter().find(|(name, _)| *name == key);
        let remedy = match (elsewhere, nearest(key, self.keys)) {
            (Some((_, remedy)), _) => (*remedy).to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("valid keys: {}", self.keys.join(", ")),
        };
        Problem::new(format!("unknown key `{key}` in {}", self.name), remedy)
    }
}

/// Returns the word of `known` that `word` is most likely a misspelling of.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (distance, near) = known.iter().map(|it| (distance(&word, it), *it)).min()?;
    let max = (word.chars().count() / 3).clamp(1, 3);
    (distance <= max).then_some(near)
}

/// Counts the letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let mut rows = [Vec::new(), (0..=a.len()).collect::<Vec<usize>>()];
    let mut before = None;
    for (row_index, b) in b.chars().enumerate() {
        let [older, old] = &rows;
        let mut row = vec![row_index + 1];
        let mut left = None;
        for (column, a) in a.iter().enumerate() {
            let cell = |row: &[usize], column: usize| *row.get(column).unwrap_or(&usize::MAX);
            let replace = cell(old, column).saturating_add(usize::from(*a != b));
            let remove = cell(old, column + 1).saturating_add(1);
            let insert = cell(&row, column).saturating_add(1);
            let swap = match column.checked_sub(1) {
                Some(column) if before == Some(*a) && left == Some(b) => {
                    cell(older, column).saturating_add(1)
                }
                _ => usize::MAX,
            };
            row.push(replace.min(remove).min(insert).min(swap));
            left = Some(*a);
        }
        before = Some(b);
        let [_, old] = rows;
        rows = [old, row];
    }
    let [_, last] = rows;
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("table", "table", 0),
            ("tabel", "table", 1),
            ("sorce", "source", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn guesses_only_what_is_near() {
        assert_eq!(nearest("Source", ROUTE.keys), Some("source"));
        assert_eq!(nearest("eventat", ROUTE.keys), Some("event_at"));
        assert_eq!(nearest("colour", ROUTE.keys), None);
        assert_eq!(nearest("", ROUTE.keys), None);
    }

    #[test]
    fn no_known_key_is_later_or_elsewhere() {
        for section in [ROOT, LAKE, ROUTE, TABLE, COLUMN, QUARANTINE, STEP] {
            for key in section.keys {
                assert!(!section.later.contains(key), "{key} in {}", section.name);
                assert!(!section.elsewhere.iter().any(|(name, _)| name == key), "{key}");
            }
        }
    }
}
