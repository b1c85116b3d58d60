//! Selectors of the values that a step changes: paths that may lead into lists (`items[].card`).

use crate::route::path::{BadPath, Name, names, write_name};

/// A segment of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The member of this name.
    Member(String),
    /// Every item of a list.
    Items,
}

/// A selector of one value or many: like a [`Path`](crate::route::Path), and `[]` after a name stands
/// for every item of the list there: `items[].card`, `matrix[][]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    segments: Vec<Segment>,
}

impl Selector {
    /// Returns the segments, outermost first; the first is a member.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns true if the value at `path` is selected, or inside a selected one.
    pub fn covers(&self, path: &[String]) -> bool {
        self.segments.len() <= path.len()
            && self.segments.iter().zip(path).all(|(segment, name)| match segment {
                Segment::Member(member) => member == name,
                Segment::Items => false,
            })
    }

    /// Returns true if `path` leads to a selected value, into one, or on the way to one.
    pub fn touches(&self, path: &[String]) -> bool {
        self.segments.iter().zip(path).all(|(segment, name)| match segment {
            Segment::Member(member) => member == name,
            Segment::Items => false,
        })
    }
}

impl std::str::FromStr for Selector {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let mut segments = Vec::new();
        for Name { text: name, lists } in names(text)? {
            segments.push(Segment::Member(name));
            segments.extend(std::iter::repeat_n(Segment::Items, lists));
        }
        Ok(Self { segments })
    }
}

/// Prints the selector so that it reads back as the same one.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Member(name) => {
                    f.write_str(if index == 0 { "" } else { "." })?;
                    write_name(name, f)?;
                }
                Segment::Items => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn segments(text: &str) -> Vec<String> {
        let selector: Selector = text.parse().unwrap();
        let each = selector.segments().iter().map(|it| match it {
            Segment::Member(name) => name.clone(),
            Segment::Items => "[]".to_owned(),
        });
        each.collect()
    }

    #[test]
    fn reads_names_quotes_and_lists() {
        assert_eq!(segments("payment.card"), ["payment", "card"]);
        assert_eq!(segments("items[].card"), ["items", "[]", "card"]);
        assert_eq!(segments("matrix[][].x"), ["matrix", "[]", "[]", "x"]);
        assert_eq!(segments("tags[]"), ["tags", "[]"]);
        assert_eq!(segments(r#""a.b"[].c"#), ["a.b", "[]", "c"]);
        assert_eq!(segments(r#""items[]""#), ["items[]"]);
    }

    #[test]
    fn errors_name_the_problem() {
        for (text, part) in [
            ("", "lacks a name"),
            ("[]", "lacks a name"),
            ("a[", "write [] for every item"),
            ("a[0].b", "write [] for every item"),
            ("a]b", "write [] for every item"),
            ("a[]b", "without a dot"),
            ("a[].", "lacks a name"),
        ] {
            let problem = text.parse::<Selector>().unwrap_err().to_string();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn a_selector_covers_what_is_inside() {
        let selector: Selector = "a.b".parse().unwrap();
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert!(selector.covers(&path("a.b")) && selector.covers(&path("a.b.c")));
        assert!(!selector.covers(&path("a")) && selector.touches(&path("a")));
        assert!(!selector.touches(&path("b")));
    }

    proptest! {
        #[test]
        fn a_printed_selector_parses_as_the_same(text in "[a-z.\"\\\\\\[\\]]{0,12}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
            }
        }

        #[test]
        fn any_text_is_parsed_or_rejected(text in any::<String>()) {
            drop(text.parse::<Selector>());
        }
    }
}
