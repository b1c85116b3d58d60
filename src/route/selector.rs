//! Places in a record that a step works on: paths that may go into lists (`items[].card`).

use crate::route::path::{BadPath, Name, names, write_name};

/// A part of the way to a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the member of this name.
    Member(String),
    /// To every item of a list.
    Items,
}

/// A place in a record, or many: like a [`crate::route::Path`], and `[]` after a name stands for
/// every item of the list there: `items[].card`, `matrix[][]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    ways: Vec<Way>,
}

impl Selector {
    /// The way, outermost first; begins with a member.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Whether whatever is at `path` is at this place, or inside of it.
    pub fn covers(&self, path: &[String]) -> bool {
        self.ways.len() <= path.len()
            && self.ways.iter().zip(path).all(|(way, name)| match way {
                Way::Member(member) => member == name,
                Way::Items => false,
            })
    }

    /// Whether `path` leads through this place, to it, or into it.
    pub fn touches(&self, path: &[String]) -> bool {
        self.ways.iter().zip(path).all(|(way, name)| match way {
            Way::Member(member) => member == name,
            Way::Items => false,
        })
    }
}

impl std::str::FromStr for Selector {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let mut ways = Vec::new();
        for Name { text: name, lists } in names(text)? {
            ways.push(Way::Member(name));
            ways.extend(std::iter::repeat_n(Way::Items, lists));
        }
        Ok(Self { ways })
    }
}

/// Prints the selector so that it reads back as the same one.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, way) in self.ways.iter().enumerate() {
            match way {
                Way::Member(name) => {
                    f.write_str(if at == 0 { "" } else { "." })?;
                    write_name(name, f)?;
                }
                Way::Items => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn ways(text: &str) -> Vec<String> {
        let selector: Selector = text.parse().unwrap();
        let each = selector.ways().iter().map(|it| match it {
            Way::Member(name) => name.clone(),
            Way::Items => "[]".to_owned(),
        });
        each.collect()
    }

    #[test]
    fn reads_names_quotes_and_lists() {
        assert_eq!(ways("payment.card"), ["payment", "card"]);
        assert_eq!(ways("items[].card"), ["items", "[]", "card"]);
        assert_eq!(ways("matrix[][].x"), ["matrix", "[]", "[]", "x"]);
        assert_eq!(ways("tags[]"), ["tags", "[]"]);
        assert_eq!(ways(r#""a.b"[].c"#), ["a.b", "[]", "c"]);
        assert_eq!(ways(r#""items[]""#), ["items[]"]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "lacks a name"),
            ("[]", "lacks a name"),
            ("a[", "[] stands for every item"),
            ("a[0].b", "[] stands for every item"),
            ("a]b", "[] stands for every item"),
            ("a[]b", "without a dot"),
            ("a[].", "lacks a name"),
        ] {
            let problem = text.parse::<Selector>().unwrap_err().to_string();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn knows_what_lies_inside() {
        let selector: Selector = "a.b".parse().unwrap();
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert!(selector.covers(&path("a.b")) && selector.covers(&path("a.b.c")));
        assert!(!selector.covers(&path("a")) && selector.touches(&path("a")));
        assert!(!selector.touches(&path("b")));
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(text in "[a-z.\"\\\\\\[\\]]{0,12}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            drop(text.parse::<Selector>());
        }
    }
}
