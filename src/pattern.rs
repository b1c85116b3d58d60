//! Texts in which `*` stands for any run of characters, matched in linear time.

/// A text in which `*` stands for any run of characters, even an empty one. Every other character
/// stands for itself; the whole text must match. Matching takes time linear in the text and never
/// backtracks, because the texts come from strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Makes a pattern; every text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let Some((head, rest)) = self.text.split_once('*') else { return self.text == text };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut left) = text.strip_prefix(head).and_then(|it| it.strip_suffix(tail)) else {
            return false;
        };
        // The leftmost match is as good as any: it leaves the most to the pieces that follow.
        for piece in middle.split('*') {
            let Some((_, after)) = left.split_once(piece) else { return false };
            left = after;
        }
        true
    }

    /// Returns true if every text that `other` matches also matches here. Exact.
    pub fn covers(&self, other: &Pattern) -> bool {
        // Only a star of ours can match a character that is not written here, so it stands for
        // whatever a star of theirs matches.
        let Some(stranger) = ('\u{e000}'..='\u{f8ff}').find(|it| !self.text.contains(*it)) else {
            return self == other;
        };
        self.matches(&other.text.replace('*', stranger.encode_utf8(&mut [0; 4])))
    }

    /// Returns true if some text matches both. Exact.
    pub fn may_overlap(&self, other: &Pattern) -> bool {
        let (Some((our_head, our_rest)), Some((their_head, their_rest))) =
            (self.text.split_once('*'), other.text.split_once('*'))
        else {
            return self.matches(&other.text) || other.matches(&self.text);
        };
        let our_tail = our_rest.rsplit('*').next().unwrap_or(our_rest);
        let their_tail = their_rest.rsplit('*').next().unwrap_or(their_rest);
        // Both have a star, which matches whatever the other has in between.
        (our_head.starts_with(their_head) || their_head.starts_with(our_head))
            && (our_tail.ends_with(their_tail) || their_tail.ends_with(our_tail))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Matches by the definition, in exponential time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => naive(rest, text),
            (Some((b'*', rest)), Some((_, after))) => naive(rest, text) || naive(pattern, after),
            (Some((want, rest)), Some((have, after))) => want == have && naive(rest, after),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[test]
    fn matches_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("ORDER#*", "ORDER#1", true),
            ("ORDER#*", "order#1", false),
            ("ORDER#*", "an ORDER#1", false),
            ("*META", "METAL", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-b-c", true),
            ("a**c", "ac", true),
            ("arn:aws:sqs:*:*:in*", "arn:aws:sqs:eu-west-1:1:invoices", true),
            ("?", "x", false),
            ("größe*", "größer", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        let pattern = Pattern::new(format!("{}b", "*a".repeat(5_000)));
        assert!(!pattern.matches(&"a".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,7}", text in "[ab]{0,10}") {
            prop_assert_eq!(
                Pattern::new(pattern.clone()).matches(&text),
                naive(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn any_text_is_a_pattern(pattern in any::<String>(), text in any::<String>()) {
            let _ = Pattern::new(pattern).matches(&text);
            if !text.contains('*') {
                prop_assert!(Pattern::new(text.clone()).matches(&text));
            }
        }

        #[test]
        fn relations_agree_with_the_texts(ours in "[ab*]{0,5}", theirs in "[ab*]{0,5}") {
            // `c` is in neither pattern, so it only matches stars.
            let mut texts = vec![String::new()];
            for at in 0..3906_usize {
                let longer: Vec<String> = match texts.get(at) {
                    Some(text) if text.len() < 5 => {
                        "abc".chars().map(|it| format!("{text}{it}")).collect()
                    }
                    _ => break,
                };
                texts.extend(longer);
            }
            let (a, b) = (Pattern::new(ours.clone()), Pattern::new(theirs.clone()));
            let covered = texts.iter().all(|it| !b.matches(it) || a.matches(it));
            if a.covers(&b) {
                prop_assert!(covered, "{ours} does not cover {theirs}");
            } else {
                let witness = theirs.replace('*', "c");
                prop_assert!(b.matches(&witness) && !a.matches(&witness));
            }
            let together = texts.iter().any(|it| a.matches(it) && b.matches(it));
            if together {
                prop_assert!(a.may_overlap(&b), "{ours} and {theirs} overlap");
            }
            if !a.may_overlap(&b) {
                prop_assert!(!together);
            } else if ours.len() + theirs.len() <= 5 {
                prop_assert!(together, "{ours} and {theirs} do not overlap");
            }
        }
    }
}
