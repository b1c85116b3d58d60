//! `lakeward show`

use std::io::{self, Write};

use crate::cli::args::Format;
use crate::cli::failure::Failure;
use crate::cli::print::{self, CellPart};
use crate::cli::setup::no_such_table;
use crate::cli::terminal::DONE;
use crate::json;
use crate::name::is_lineage;
use crate::store::{Lake, ReadRows};
use crate::table::{Cell, ColumnType};
use crate::table_name::TableName;

/// Prints the newest rows of a table.
pub(super) async fn run(
    lake: &Lake,
    name: &TableName,
    limit: usize,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let Some(found) = lake.newest(name, limit).await? else {
        return Err(no_such_table(lake, name).await);
    };
    match format {
        Format::Table => table(&found, out)?,
        Format::Json => lines(&found, out)?,
        Format::Csv => csv(&found, out)?,
    }
    Ok(DONE)
}

/// Prints the record's own columns first, then the lineage. Columns without a value are only named.
fn table(found: &ReadRows, out: &mut dyn Write) -> io::Result<()> {
    if found.rows.is_empty() {
        return writeln!(out, "no rows");
    }
    let has_value =
        |at: usize| found.rows.iter().any(|row| !matches!(row.get(at), None | Some(Cell::Null)));
    let (lineage, own): (Vec<_>, Vec<_>) =
        found.columns.iter().enumerate().partition(|(_, (name, _))| is_lineage(name));
    let (full, empty): (Vec<_>, Vec<_>) =
        own.into_iter().chain(lineage).partition(|(at, _)| has_value(*at));
    let header: Vec<String> = full.iter().map(|(_, (name, _))| print::safe(name)).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let right: Vec<usize> = full
        .iter()
        .zip(0..)
        .filter(|((_, (_, ty)), _)| is_number(ty))
        .map(|(_, index)| index)
        .collect();
    let rows: Vec<Vec<String>> = found
        .rows
        .iter()
        .map(|row| {
            let cell = |(at, (name, ty)): &(usize, &(String, ColumnType))| {
                let part = if is_lineage(name) { CellPart::End } else { CellPart::Start };
                row.get(*at).map(|it| print::short(it, ty, part)).unwrap_or_default()
            };
            full.iter().map(cell).collect()
        })
        .collect();
    print::table(out, &header, &rows, &right)?;
    if !empty.is_empty() {
        let names: Vec<&str> = empty.iter().map(|(_, (name, _))| name.as_str()).collect();
        writeln!(out, "\nwithout a value here: {}", names.join(", "))?;
    }
    Ok(())
}

fn is_number(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int
            | ColumnType::Long
            | ColumnType::Float
            | ColumnType::Double
            | ColumnType::Decimal { .. }
    )
}

/// Prints one object a line, with every column.
fn lines(found: &ReadRows, out: &mut dyn Write) -> io::Result<()> {
    for row in &found.rows {
        let mut line = String::from("{");
        for ((name, ty), cell) in found.columns.iter().zip(row) {
            if line.len() > 1 {
                line.push(',');
            }
            json::write_string(name, &mut line);
            line.push(':');
            cell.write_json(ty, &mut line);
        }
        writeln!(out, "{line}}}")?;
    }
    Ok(())
}

/// Prints RFC 4180, except that lines end as this system's do.
fn csv(found: &ReadRows, out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = found.columns.iter().map(|(name, _)| field(Some(name))).collect();
    writeln!(out, "{}", names.join(","))?;
    for row in &found.rows {
        let cells = found.columns.iter().zip(row);
        let fields: Vec<String> =
            cells.map(|((_, ty), cell)| field(print::text(cell, ty).as_deref())).collect();
        writeln!(out, "{}", fields.join(","))?;
    }
    Ok(())
}

/// Returns a field: null is empty, the empty text is quoted.
fn field(text: Option<&str>) -> String {
    match text {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> ReadRows {
        let text = |it: &str| Cell::Text(it.to_owned());
        ReadRows {
            columns: vec![
                ("_lw_id".to_owned(), ColumnType::String),
                ("_lw_key".to_owned(), ColumnType::String),
                ("note".to_owned(), ColumnType::String),
                ("price".to_owned(), ColumnType::Decimal { precision: 12, scale: 2 }),
            ],
            rows: vec![
                vec![text("2"), Cell::Null, text("say \"hi\",\nthere"), Cell::Decimal(1990)],
                vec![text("1"), Cell::Null, text(""), Cell::Null],
            ],
        }
    }

    fn printed(print: fn(&ReadRows, &mut dyn Write) -> io::Result<()>, found: &ReadRows) -> String {
        let mut out = Vec::new();
        print(found, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_shows_own_columns_first_and_names_empty_ones() {
        assert_eq!(
            printed(table, &found()),
            "note              price  _lw_id\n\
             say \"hi\",\\nthere  19.90  2\n                         1\n\n\
             without a value here: _lw_key\n"
        );
        let nothing = ReadRows { columns: found().columns, rows: Vec::new() };
        assert_eq!(printed(table, &nothing), "no rows\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        assert_eq!(
            printed(lines, &found()),
            "{\"_lw_id\":\"2\",\"_lw_key\":null,\"note\":\"say \\\"hi\\\",\\nthere\",\
             \"price\":\"19.90\"}\n\
             {\"_lw_id\":\"1\",\"_lw_key\":null,\"note\":\"\",\"price\":null}\n"
        );
    }

    #[test]
    fn csv_tells_null_from_the_empty_text() {
        assert_eq!(
            printed(csv, &found()),
            "_lw_id,_lw_key,note,price\n2,,\"say \"\"hi\"\",\nthere\",19.90\n1,,\"\",\n"
        );
    }
}
