//! The keys of each section, those of later releases, and what a misspelt one was meant to be.

/// A section of the config and its keys.
pub(super) struct Section {
    /// As people write it: `[[route]]`.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
    /// Keys that the language has and this release does not.
    pub later: &'static [&'static str],
    /// Keys that people look for here and where they find them.
    pub elsewhere: &'static [(&'static str, &'static str)],
}

pub(super) const ROOT: Section = Section {
    name: "the file",
    keys: &["version", "lake", "route", "table", "quarantine"],
    later: &["store", "metrics"],
    elsewhere: &[("routes", "write [[route]] for each route"), ("tables", "write [table.\"…\"]")],
};

pub(super) const LAKE: Section = Section {
    name: "[lake]",
    keys: &["location", "catalog", "commit", "names", "numbers", "timestamps"],
    later: &["keep_for", "commit_queue", "region", "endpoint"],
    elsewhere: &[
        ("warehouse", "the directory of the lake is called `location`"),
        ("path", "the directory of the lake is called `location`"),
    ],
};

pub(super) const ROUTE: Section = Section {
    name: "[[route]]",
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
        ("where", "conditions of a route are called `when`"),
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
    keys: &["columns", "new_columns", "misfits", "max_columns", "numbers", "old_image"],
    later: &["partition", "keep", "current"],
    elsewhere: &[
        ("id", "`id` belongs to a [[route]]"),
        ("when", "`when` belongs to a [[route]]"),
        ("transform", "`transform` belongs to a [[route]]"),
        ("names", "`names` belongs to [lake]: it holds for all tables"),
        ("timestamps", "`timestamps` belongs to [lake]: it holds for all tables"),
    ],
};

pub(super) const COLUMN: Section =
    Section { name: "a column", keys: &["type", "doc", "pii"], later: &["tags"], elsewhere: &[] };

pub(super) const QUARANTINE: Section = Section {
    name: "[quarantine]",
    keys: &["location", "payload", "reject_limit"],
    later: &["keep"],
    elsewhere: &[],
};

/// A step of `transform`: one of these, and for `hash` its `key`.
pub(super) const STEP: Section = Section {
    name: "a step of `transform`",
    keys: &["drop", "keep", "rename", "hash", "key", "require", "filter"],
    later: &[],
    elsewhere: &[("when", "a step that leaves records out is called `filter`")],
};

impl Section {
    /// What is wrong with `key` and what to do; `None` for a key of this section.
    pub(super) fn complaint(&self, key: &str) -> Option<(String, String)> {
        if self.keys.contains(&key) {
            return None;
        }
        if self.later.contains(&key) {
            return Some(not_yet(&format!("`{key}` in {}", self.name)));
        }
        let what = format!("unknown key `{key}` in {}", self.name);
        let elsewhere = self.elsewhere.iter().find(|(name, _)| *name == key);
        let remedy = match (elsewhere, nearest(key, self.keys)) {
            (Some((_, remedy)), _) => (*remedy).to_owned(),
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => format!("its keys are {}", self.keys.join(", ")),
        };
        Some((what, remedy))
    }
}

/// What is said of something that a later release brings.
pub(super) fn not_yet(what: &str) -> (String, String) {
    (
        format!("this release does not know {what} yet"),
        "take it out, or use a release that knows it".to_owned(),
    )
}

/// The one of `known` that `word` most likely was meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let near = known.iter().map(|it| (distance(&word, it), *it)).min()?;
    let most = (word.chars().count() / 3).clamp(1, 3);
    (near.0 <= most).then_some(near.1)
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let mut rows = [Vec::new(), (0..=a.len()).collect::<Vec<usize>>()];
    let mut before = None;
    for (at, b) in b.chars().enumerate() {
        let [older, old] = &rows;
        let mut row = vec![at.saturating_add(1)];
        let mut left = None;
        for (place, a) in a.iter().enumerate() {
            let cell = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX);
            let replace = cell(old, place).saturating_add(usize::from(*a != b));
            let remove = cell(old, place.saturating_add(1)).saturating_add(1);
            let insert = cell(&row, place).saturating_add(1);
            let swap = match place.checked_sub(1) {
                Some(place) if before == Some(*a) && left == Some(b) => {
                    cell(older, place).saturating_add(1)
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
    fn no_key_is_both_known_and_later() {
        for section in [ROOT, LAKE, ROUTE, TABLE, COLUMN, QUARANTINE, STEP] {
            for key in section.keys {
                assert!(!section.later.contains(key), "{key} in {}", section.name);
                assert_eq!(section.complaint(key), None);
            }
        }
    }
}
