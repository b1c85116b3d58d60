//! Column names.
//!
//! Any text becomes a lower-case identifier that is safe in SQL and as a part of a path, and that
//! has no special meaning for readers of Iceberg. Athena, Glue and Lake Formation lower-case
//! everything, so case never tells two names apart.

use crate::digest::sha256_hex;

/// Number of bytes of the longest column name.
pub const MAX_COLUMN_BYTES: usize = 120;

/// Number of hex digits at the end of a name that was cut.
const CUT_DIGITS: usize = 8;

/// Number of hex digits that tell the second owner of a name from the first.
const SECOND_DIGITS: usize = 4;

/// The suffix of a record's own column whose name would be reserved.
const UNRESERVED: &str = "_field";

/// The prefix of lineage columns.
const LINEAGE: &str = "_lw_";

/// Metadata columns of the Iceberg spec (section "Reserved Field IDs"), the columns of delete
/// files, and the partition field.
const RESERVED: [&str; 13] = [
    "_file",
    "_pos",
    "_deleted",
    "_spec_id",
    "_partition",
    "_row_id",
    "_last_updated_sequence_number",
    "_change_type",
    "_change_ordinal",
    "_commit_snapshot_id",
    "pos",
    "file_path",
    "arrived_day",
];

/// `names`: the rule by which columns are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// `createdAt` → `created_at`, see [`snake`].
    #[default]
    Snake,
    /// `createdAt` → `createdat`
    Lower,
    /// `createdAt`
    Keep,
}

/// Returns the column name for an original name. Total: any text has a name.
pub fn short(original: &str, names: Names) -> String {
    match names {
        Names::Snake => snake(original),
        Names::Lower => finished(lower(original), original),
        Names::Keep => finished(kept(original), original),
    }
}

/// Returns the name of a declared column: as declared where that is a valid name, else the short
/// name of it as an original name.
pub fn declared(name: &str, names: Names) -> String {
    let plain = name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !name.starts_with(|it: char| it.is_ascii_digit())
        && (1..=MAX_COLUMN_BYTES).contains(&name.len());
    if plain && !is_reserved(name) { name.to_owned() } else { short(name, names) }
}

/// Returns the column name for an original name under `names = "snake"`: lower snake_case, foreign
/// runs become one `_`, a leading digit gets `n`, at most 120 bytes (cut with a hash), reserved
/// names get `_field`. Total: any text has a name.
pub fn snake(original: &str) -> String {
    finished(lower_words(original), original)
}

/// Makes a name that is not reserved, within the length limit.
fn finished(words: String, original: &str) -> String {
    let named = match words.chars().next() {
        None => "_".to_owned(),
        Some('0'..='9') => format!("n{words}"),
        Some(_) => words,
    };
    let reserved = named.to_lowercase().starts_with(LINEAGE) || is_reserved(&named);
    join(&named, if reserved { UNRESERVED } else { "" }, original)
}

/// Returns the name in lower case, each foreign run as one `_`.
fn lower(original: &str) -> String {
    let lower = original.chars().map(|it| it.to_ascii_lowercase());
    joined(lower, |it| matches!(it, 'a'..='z' | '0'..='9' | '_'))
}

/// Returns the name as it is, but each run of characters that some engine can't have in a name as
/// one `_`.
fn kept(original: &str) -> String {
    let unfit = |it: char| it.is_control() || ".\"'`/\\{}".contains(it);
    joined(original.chars(), |it| !unfit(it))
}

fn joined(chars: impl Iterator<Item = char>, fits: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    let mut foreign = false;
    for it in chars {
        if fits(it) {
            if std::mem::take(&mut foreign) && it != '_' && !out.ends_with('_') {
                out.push('_');
            }
            out.push(it);
        } else {
            foreign = true;
        }
    }
    if foreign && !out.ends_with('_') {
        out.push('_');
    }
    out
}

/// Returns the name for the second owner of `short`: `short_` and four hex digits of the hash of
/// `original`, within the length limit.
pub fn second(short: &str, original: &str) -> String {
    nth(short, original, 1)
}

/// Returns the name for the `n`th try at owning `short`, from 0: `short`, then more and more hex
/// digits of the hash of `original`. Depends on nothing but its arguments.
pub fn nth(short: &str, original: &str, n: usize) -> String {
    if n == 0 {
        return short.to_owned();
    }
    let mut digits = sha256_hex(original.as_bytes());
    digits.truncate(SECOND_DIGITS * n);
    // Beyond 64 digits the count alone tells two equal hashes apart.
    let full = digits.len() / SECOND_DIGITS;
    let count = if n > full { format!("_{n}") } else { String::new() };
    join(short, &format!("_{digits}{count}"), short)
}

/// Returns a sibling's name: `price` and `double` → `price__double`, within the length limit.
pub fn sibling(short: &str, kind: &str) -> String {
    join(short, &format!("__{kind}"), short)
}

/// Returns whether a column of this name belongs to the lineage. No name made here does: one with
/// that prefix contains `_field`.
pub fn is_lineage(name: &str) -> bool {
    name.starts_with(LINEAGE) && !name.contains(UNRESERVED)
}

/// Returns whether a record's own column must not have this name.
pub fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_lineage(&lower) || RESERVED.contains(&lower.as_str())
}

/// Returns lower-case words of `a-z0-9_`, joined by `_` where case or a foreign run separates them.
fn lower_words(original: &str) -> String {
    let mut out = String::with_capacity(original.len() + 4);
    let mut previous = None;
    let mut foreign = false;
    let mut rest = original.chars().peekable();
    while let Some(it) = rest.next() {
        if !(it.is_ascii_alphanumeric() || it == '_') {
            foreign = true;
            previous = None;
            continue;
        }
        if std::mem::take(&mut foreign) && it != '_' && !out.ends_with('_') {
            out.push('_');
        }
        let after_small = matches!(previous, Some('a'..='z' | '0'..='9'));
        let ends_run = matches!(previous, Some('A'..='Z'))
            && rest.peek().is_some_and(char::is_ascii_lowercase);
        if it.is_ascii_uppercase() && (after_small || ends_run) {
            out.push('_');
        }
        out.push(it.to_ascii_lowercase());
        previous = Some(it);
    }
    if foreign && !out.ends_with('_') {
        out.push('_');
    }
    out
}

/// Joins `stem` and `suffix` within the limit: a `stem` that is too long is cut, with a hash of
/// `identity`. The result is never reserved.
fn join(stem: &str, suffix: &str, identity: &str) -> String {
    let name = format!("{}{suffix}", cut(stem, suffix.len(), identity));
    if !is_reserved(&name) {
        return name;
    }
    let room = suffix.len() + UNRESERVED.len();
    format!("{}{UNRESERVED}{suffix}", cut(stem, room, identity))
}

/// Cuts `stem` so that `room` bytes may follow it.
fn cut(stem: &str, room: usize, identity: &str) -> String {
    let max_bytes = MAX_COLUMN_BYTES - room;
    if stem.len() <= max_bytes {
        return stem.to_owned();
    }
    // A name that is not ASCII is cut between two characters.
    let kept = stem.floor_char_boundary(max_bytes - CUT_DIGITS - 1);
    let kept = stem.get(..kept).unwrap_or("");
    let mut digits = sha256_hex(identity.as_bytes());
    digits.truncate(CUT_DIGITS);
    format!("{kept}_{digits}")
}

#[cfg(test)]
mod tests;
