//! Reads Rust as far as the rules need it: what is code, what is a comment, what is a string.

/// A file below the root of the repository.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Code,
    Comment,
    Text,
}

/// Returns the parts of a Rust file in their order, without a gap.
pub fn parts(text: &str) -> Vec<(Kind, &str)> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        let found = match rest.as_bytes() {
            [b'/', b'/', ..] => Some((Kind::Comment, rest.find('\n').unwrap_or(rest.len()))),
            [b'/', b'*', ..] => Some((Kind::Comment, block_comment(rest))),
            [b'"', ..] => Some((Kind::Text, quoted(rest))),
            [b'r', ..] | [b'b' | b'c', b'r', ..] if !text[..at].ends_with(is_name) => {
                raw(rest).map(|length| (Kind::Text, length))
            }
            [b'\'', ..] => Some((Kind::Code, character(rest))),
            _ => None,
        };
        let Some((kind, length)) = found else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if kind != Kind::Code {
            parts.extend([(Kind::Code, &text[from..at]), (kind, &rest[..length])]);
            from = at + length;
        }
        at += length;
    }
    parts.push((Kind::Code, &text[from..]));
    parts
}

fn is_name(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of a raw string, and `None` for a name that begins with `r`.
fn raw(text: &str) -> Option<usize> {
    let marks = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let body = marks.trim_start_matches('#').strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks.len() - body.len() - 1));
    Some(body.find(&end).map_or(text.len(), |at| text.len() - body.len() + at + end.len()))
}

/// Returns the length of a character literal, or of the apostrophe of a lifetime.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some(_)) => rest.find(|it| it.1 == '\'').map_or(1, |it| it.0 + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Returns the code of a file, with strings and comments emptied.
pub fn code(text: &str) -> String {
    let parts = parts(text).into_iter().map(|(kind, part)| match kind {
        Kind::Code => part.to_owned(),
        Kind::Comment => "\n".repeat(part.matches('\n').count()),
        Kind::Text => format!("\"{}\"", "\n".repeat(part.matches('\n').count())),
    });
    parts.collect()
}

/// Leaves the items of tests out of code.
pub fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // Formatted code ends an item with a line of the same indent.
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut item = lines.by_ref().map(|it| it.strip_prefix(indent).unwrap_or_default());
        item.find(|it| it.starts_with('}') || it.ends_with(';') && !it.starts_with([' ', '#']));
    }
    kept
}

/// Returns names, `::` and single marks.
pub fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            ':' if rest.starts_with("::") => 2,
            it if is_name(it) => rest.find(|it| !is_name(it)).unwrap_or(rest.len()),
            it => it.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

#[test]
fn code_comments_and_strings_are_told_apart() {
    let text = r##"let a = "x // \" y"; // c "d"
let b = r#"/* " */"#; /* e /* f */ g */ let c = '"'; let d: &'a str = br"\";
let e = '\''; let r#type = "日";
"##;
    let of = |kind| -> Vec<&str> {
        parts(text).into_iter().filter(|it| it.0 == kind).map(|it| it.1).collect()
    };
    assert_eq!(of(Kind::Comment), ["// c \"d\"", "/* e /* f */ g */"]);
    let raw = r##"r#"/* " */"#"##;
    assert_eq!(of(Kind::Text), [r#""x // \" y""#, raw, r#"br"\""#, "\"日\""]);
    assert_eq!(parts(text).into_iter().map(|it| it.1).collect::<String>(), text);
}

#[test]
fn code_of_tests_is_left_out() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nfn f() {\n    #[cfg(test)]\n    g(\n        1,\n    );\n    h();\n}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    use b;\n}\n// c\nfn i() {}\n";
    assert_eq!(without_tests(&code(text)), "use a;\nfn f() {\n    h();\n}\n\nfn i() {}\n");
}

#[test]
fn tokens_are_names_and_marks() {
    assert_eq!(tokens("use a::{b_1, *};"), ["use", "a", "::", "{", "b_1", ",", "*", "}", ";"]);
}
