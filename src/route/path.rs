//! Paths to values: `detail.type`, `"a.b".c`.

use crate::value::{self, Fields, Value};

/// A path to a value: names joined by dots. A name that contains a dot, a quote or a bracket is in
/// double quotes (`"a.b".c`), in which `\"` and `\\` stand for `"` and `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    parts: Vec<String>,
}

/// Why a text is not a path, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPath(String);

impl Path {
    /// Returns the names on the way, outermost first; never empty.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Returns the path `inner` below this one.
    pub fn join(&self, inner: &Path) -> Path {
        Path { parts: self.parts.iter().chain(&inner.parts).cloned().collect() }
    }

    /// Returns the value at this path; `None` if a name on the way is missing or not a map.
    pub fn find<'a>(&self, fields: &'a Fields) -> Option<&'a Value> {
        value::find(&self.parts, fields)
    }
}

/// A name of a path, and the number of lists that it leads into.
pub(super) struct Name {
    pub text: String,
    pub lists: usize,
}

/// Splits a path into its names: joined by dots, in quotes if they must be, and with `[]` for every
/// list that they lead into.
pub(super) fn names(text: &str) -> Result<Vec<Name>, BadPath> {
    let bad = |what: &str| Err(BadPath(format!("path `{text}` {what}")));
    let mut names = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let mut name = Name { text: String::new(), lists: 0 };
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next() {
                    Some('"') => break,
                    Some('\\') => name.text.extend(chars.next()),
                    Some(it) => name.text.push(it),
                    None => return Err(BadPath(format!("the quote in path `{text}` never ends"))),
                }
            }
        } else {
            while let Some(it) = chars.next_if(|it| !matches!(it, '.' | '[' | ']')) {
                name.text.push(it);
            }
            if name.text.contains('"') {
                return bad(
                    "has a quote inside a name; put the whole name in double quotes and write \\\" \
                     for a quote",
                );
            }
            if name.text.is_empty() {
                return bad("lacks a name before, between or after its dots");
            }
        }
        while chars.next_if_eq(&'[').is_some() {
            if chars.next() != Some(']') {
                return bad(BRACKETS);
            }
            name.lists += 1;
        }
        let in_list = name.lists > 0;
        names.push(name);
        match chars.next() {
            None => return Ok(names),
            Some('.') => {}
            Some(']') => return bad(BRACKETS),
            Some(_) if in_list => return bad("goes on after [] without a dot"),
            Some(_) => return bad("goes on after a closing quote without a dot"),
        }
    }
}

const BRACKETS: &str = "has a bracket that is not part of []: write [] for every item of a list, or \
                        put a name that contains a bracket in double quotes";

impl std::str::FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let names = names(text)?;
        if names.iter().any(|it| it.lists > 0) {
            return Err(BadPath(format!(
                "path `{text}` goes into a list, which only the steps drop, keep, rename and hash \
                 can; if a bracket belongs to the name, put the name in double quotes"
            )));
        }
        Ok(Path { parts: names.into_iter().map(|it| it.text).collect() })
    }
}

/// Prints the path so that it reads back as the same one.
impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "." })?;
            write_name(part, f)?;
        }
        Ok(())
    }
}

/// Prints a name, in quotes if it must be.
pub(super) fn write_name(name: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    if name.is_empty() || name.contains(['.', '"', '[', ']']) {
        write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn parts(text: &str) -> Vec<String> {
        text.parse::<Path>().unwrap().parts
    }

    #[test]
    fn reads_names_and_quotes() {
        assert_eq!(parts("pk"), ["pk"]);
        assert_eq!(parts("detail.type"), ["detail", "type"]);
        assert_eq!(parts(r#""a.b".c"#), ["a.b", "c"]);
        assert_eq!(parts(r#"a."b\"c\\""#), ["a", r#"b"c\"#]);
        assert_eq!(parts(r#""""#), [""]);
        assert_eq!(parts("with blank.ü"), ["with blank", "ü"]);
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, expected) in [
            ("", "lacks a name"),
            ("a.", "lacks a name"),
            (".a", "lacks a name"),
            ("a..b", "lacks a name"),
            ("items[].card", "only the steps"),
            ("a]", "has a bracket"),
            ("\"a", "never ends"),
            ("a\"b", "quote inside a name"),
            ("\"a\"b", "without a dot"),
        ] {
            let problem = text.parse::<Path>().unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn finds_through_maps_only() {
        let fields = vec![
            ("a".to_owned(), Value::Map(vec![("b.c".to_owned(), Value::Bool(true))])),
            ("l".to_owned(), Value::List(vec![Value::Null])),
        ];
        let find = |text: &str| text.parse::<Path>().unwrap().find(&fields).cloned();
        assert_eq!(find(r#"a."b.c""#), Some(Value::Bool(true)));
        assert_eq!(find("l"), Some(Value::List(vec![Value::Null])));
        assert_eq!(find("a.b"), None);
        assert_eq!(find("l.x"), None);
        assert_eq!(find("x"), None);
    }

    proptest! {
        #[test]
        fn a_printed_path_parses_as_the_same(parts in vec(any::<String>(), 1..4)) {
            let path = Path { parts };
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }

        #[test]
        fn any_text_is_parsed_or_rejected(text in any::<String>()) {
            drop(text.parse::<Path>());
        }
    }
}
