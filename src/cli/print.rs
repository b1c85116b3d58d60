//! Aligned columns and readable cells.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::table::{Cell, ColumnType};

/// The largest number of characters of a cell in a table.
const MAX_CELL_CHARS: usize = 40;

/// Returns aligned columns without borders; those at the indices `right` are numbers.
pub(super) fn aligned(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Prints aligned columns, as [`aligned`] returns them.
pub(super) fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: &[Vec<String>],
    right: &[usize],
) -> io::Result<()> {
    writeln!(out, "{}", aligned(header, rows, right))
}

/// The part of a long cell that a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellPart {
    /// The beginning, as of texts.
    Start,
    /// The end, where ARNs, ids and positions differ.
    End,
}

/// Returns a cell for a table: cut, and safe for a terminal, because strangers wrote it.
pub(super) fn short(cell: &Cell, ty: &ColumnType, part: CellPart) -> String {
    let whole = text(cell, ty).unwrap_or_default();
    match part {
        CellPart::Start => match cut(whole.chars()) {
            (kept, false) => kept.concat(),
            (kept, true) => format!("{}…", kept.concat()),
        },
        CellPart::End => {
            let (mut kept, is_cut) = cut(whole.chars().rev());
            kept.reverse();
            format!("{}{}", if is_cut { "…" } else { "" }, kept.concat())
        }
    }
}

/// Returns the first characters as they are shown, and whether there were more than a cell holds.
fn cut(chars: impl Iterator<Item = char>) -> (Vec<String>, bool) {
    let (mut kept, mut width) = (Vec::new(), 0_usize);
    for it in chars {
        let shown = escape(it);
        width += shown.chars().count();
        if width >= MAX_CELL_CHARS {
            return (kept, true);
        }
        kept.push(shown);
    }
    (kept, false)
}

/// Returns a text that is safe for a terminal.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(escape).collect()
}

/// Returns a character as a terminal may show it: control characters and those that change the
/// writing direction are spelt out.
fn escape(it: char) -> String {
    match it {
        '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            it.escape_unicode().to_string()
        }
        _ if it.is_control() => it.escape_default().to_string(),
        _ => it.to_string(),
    }
}

/// Returns a cell as plain text, without the quotes of JSON; `None` for null.
pub(super) fn text(cell: &Cell, ty: &ColumnType) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.clone()),
        Cell::Bool(_)
        | Cell::Int(_)
        | Cell::Long(_)
        | Cell::Float(_)
        | Cell::Double(_)
        | Cell::Decimal(_)
        | Cell::Date(_)
        | Cell::Micros(_)
        | Cell::Binary(_)
        | Cell::List(_)
        | Cell::Struct(_) => {
            let mut json = String::new();
            cell.write_json(ty, &mut json);
            // These texts hold nothing that JSON escapes: digits, times, base64.
            let bare = json.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            Some(bare.map(str::to_owned).unwrap_or(json))
        }
    }
}

/// Returns a number with its noun: `1 file`, `2 files`.
pub(super) fn counted(number: impl Display, what: &str) -> String {
    let number = number.to_string();
    let s = if number == "1" { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Returns a size in its largest unit: `1.4 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, as a whole number, so that nothing is rounded up.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while tenths >= 10_240 {
        let Some(larger) = units.next() else { break };
        (tenths, unit) = (tenths / 1024, larger);
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Returns a share in percent, which is 0 or 100 only if it is exactly so.
pub(super) fn share(part: u64, of: u64) -> String {
    if part == 0 || of == 0 {
        return "0 %".to_owned();
    }
    if part >= of {
        return "100 %".to_owned();
    }
    let percent = u128::from(part) * 100 / u128::from(of);
    format!("{} %", percent.clamp(1, 99))
}

/// Returns a lake's location as it is typed: without `./`.
pub(super) fn location(location: &str) -> &Path {
    let path = Path::new(location);
    path.strip_prefix(".").ok().filter(|it| !it.as_os_str().is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn a_share_is_whole_only_when_it_is() {
        for (part, of, expected) in [
            (0, 0, "0 %"),
            (0, 9, "0 %"),
            (1, 1000, "1 %"),
            (1, 3, "33 %"),
            (999, 1000, "99 %"),
            (9, 9, "100 %"),
        ] {
            assert_eq!(share(part, of), expected);
        }
    }

    #[test]
    fn cells_are_cut_and_harmless() {
        let both = |it: &str, part| short(&Cell::Text(it.to_owned()), &ColumnType::String, part);
        let short = |it: &str| both(it, CellPart::Start);
        assert_eq!(short("plain ü"), "plain ü");
        assert_eq!(short("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(short("\u{202e}evil"), "\\u{202e}evil");
        let cut = short(&"x".repeat(100));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (MAX_CELL_CHARS, true));
        let arn = format!("arn:{}/clicks", "x".repeat(100));
        let cut = both(&arn, CellPart::End);
        assert_eq!(cut.chars().count(), MAX_CELL_CHARS);
        assert!(cut.starts_with('…') && cut.ends_with("x/clicks"), "{cut}");
        assert_eq!(both("short", CellPart::End), "short");
    }

    #[test]
    fn numbers_stand_right_and_lines_end_with_text() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bc".to_owned(), "10".to_owned()]];
        assert_eq!(aligned(&["name", "n"], &rows, &[1]), "name   n\na      1\nbc    10");
    }
}
