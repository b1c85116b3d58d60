//! `lakeward sql`

use std::io::Write;

use crate::cli::args::Engine;
use crate::cli::failure::Failure;
use crate::cli::print::counted;
use crate::cli::setup::no_such_table;
use crate::cli::terminal::DONE;
use crate::name;
use crate::store::{Description, Lake};
use crate::table_name::TableName;

const SPARK: &str = "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0";

/// Prints the query that opens a table. With `latest` it is the query for the newest row of each
/// key: of these columns, or of `_lw_key` if there are none.
pub(super) async fn run(
    lake: &Lake,
    name: &TableName,
    engine: Engine,
    latest: Option<&[String]>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let Some(table) = lake.describe(name).await? else {
        return Err(no_such_table(lake, name).await);
    };
    let query = match latest {
        None => format!("SELECT * FROM {}", table_expression(&table, engine)),
        Some(key) => newest_rows(&table, engine, key)?,
    };
    for line in comments(&table, engine) {
        writeln!(out, "-- {line}")?;
    }
    if latest.is_some_and(|key| !key.is_empty()) {
        writeln!(out, "-- the newest by _lw_event_at; rows with the same time are in no order")?;
        if let Some(rows) = rows_without_time(&table) {
            writeln!(
                out,
                "-- {} without a time: give the route an event_at",
                counted(rows, "row")
            )?;
        }
    }
    writeln!(out, "{query};")?;
    Ok(DONE)
}

/// Returns the number of rows that can't be put in order by time; `None` if there are none.
fn rows_without_time(table: &Description) -> Option<u64> {
    let event_at = table.columns.iter().find(|it| it.name == "_lw_event_at")?;
    event_at.nulls.filter(|it| *it > 0)
}

/// Returns the comments before the query: what its engine needs.
fn comments(table: &Description, engine: Engine) -> Vec<String> {
    let path = path(table);
    let warehouse = path.strip_suffix(&tail(table)).unwrap_or(path);
    let catalog = |engine: &str| {
        vec![
            format!(
                "{engine} reads the tables of a catalog, such as AWS Glue. This one is in none."
            ),
            "The query is for a table of the same name in such a catalog.".to_owned(),
        ]
    };
    match engine {
        Engine::Duckdb if in_s3(path) => vec![
            "once: INSTALL iceberg; INSTALL httpfs; INSTALL aws;".to_owned(),
            "then: LOAD iceberg; LOAD httpfs; LOAD aws; CREATE SECRET (TYPE s3, PROVIDER \
             credential_chain);"
                .to_owned(),
        ],
        Engine::Duckdb => vec!["once: INSTALL iceberg; LOAD iceberg;".to_owned()],
        Engine::Clickhouse => Vec::new(),
        Engine::Spark => vec![
            match in_s3(path) {
                true => format!("spark-sql --packages {SPARK},org.apache.hadoop:hadoop-aws:3.3.4"),
                false => format!("spark-sql --packages {SPARK}"),
            },
            "  --conf spark.sql.catalog.lake=org.apache.iceberg.spark.SparkCatalog".to_owned(),
            "  --conf spark.sql.catalog.lake.type=hadoop".to_owned(),
            format!(
                "  --conf spark.sql.catalog.lake.warehouse={}",
                warehouse.replacen("s3://", "s3a://", 1)
            ),
        ],
        Engine::Athena => catalog("Athena"),
        Engine::Trino => catalog("Trino"),
        Engine::Snowflake => catalog("Snowflake"),
    }
}

fn in_s3(path: &str) -> bool {
    path.starts_with("s3://")
}

fn path(table: &Description) -> &str {
    table.location.strip_prefix("file://").unwrap_or(&table.location)
}

fn tail(table: &Description) -> String {
    format!("/{}/{}", table.name.namespace(), table.name.table())
}

/// Returns the table as a FROM clause names it.
fn table_expression(table: &Description, engine: Engine) -> String {
    let (namespace, name) = (table.name.namespace(), table.name.table());
    let quoted = |it: &str| quoted(it, engine);
    match engine {
        Engine::Duckdb => format!("iceberg_scan({})", literal(path(table))),
        Engine::Clickhouse => {
            let function = if in_s3(path(table)) { "icebergS3" } else { "icebergLocal" };
            format!("{function}({})", literal(&path(table).replace('\\', "\\\\")))
        }
        Engine::Spark => format!("lake.{}.{}", quoted(namespace), quoted(name)),
        Engine::Trino => format!("iceberg.{}.{}", quoted(namespace), quoted(name)),
        Engine::Athena | Engine::Snowflake => format!("{}.{}", quoted(namespace), quoted(name)),
    }
}

/// Returns a text literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns an identifier.
fn quoted(name: &str, engine: Engine) -> String {
    match engine {
        // The only engine that reads backslashes in a name.
        Engine::Clickhouse => {
            format!("`{}`", name.replace('\\', "\\\\").replace('`', "``"))
        }
        Engine::Spark => format!("`{}`", name.replace('`', "``")),
        Engine::Duckdb | Engine::Athena | Engine::Trino | Engine::Snowflake => {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    }
}

/// Returns the query for the newest row of each key that is not deleted. It names all columns, so
/// that the row's number is not among them, and it is valid in every engine.
fn newest_rows(table: &Description, engine: Engine, key: &[String]) -> Result<String, Failure> {
    let quoted = |it: &str| quoted(it, engine);
    let column = |name: &str| table.columns.iter().find(|it| it.name == name);
    let by = if key.is_empty() {
        if column("_lw_key").is_none() {
            return Err(Failure::Usage(format!(
                "{} is not a table of changes: it has no _lw_key",
                table.name
            )));
        }
        let keyless = column("_lw_key").and_then(|it| it.nulls) == Some(table.rows);
        if keyless && table.rows > 0 {
            return Err(Failure::Usage(format!(
                "the records of {} have no key, as messages of standard queues do: name the \
                 columns that make one, such as --key id",
                table.name
            )));
        }
        vec!["_lw_source".to_owned(), "_lw_key".to_owned()]
    } else {
        for name in key {
            if column(name).is_none() {
                let names: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
                let meant = name::snake(name);
                if column(&meant).is_some() {
                    return Err(Failure::Usage(format!(
                        "{} has no column {name}: did you mean {meant}?",
                        table.name
                    )));
                }
                return Err(Failure::Usage(format!(
                    "{} has no column {name}: its columns are {}",
                    table.name,
                    names.join(", ")
                )));
            }
        }
        key.to_vec()
    };
    // Positions are comparable within one source and shard; a later stream of a table, and a later
    // shard of a stream, compares greater. Columns that --key names go across these.
    let order = if key.is_empty() {
        ["_lw_shard", "_lw_position"]
    } else {
        ["_lw_event_at", "_lw_position"]
    };
    // Rows without any key are not versions of the same item.
    let keyless = by.iter().map(|it| format!("{} IS NULL", quoted(it))).collect::<Vec<_>>();
    let newest = match key {
        [] => "lw_newest = 1".to_owned(),
        _ => format!("(lw_newest = 1 OR {})", keyless.join(" AND ")),
    };
    let columns: Vec<String> =
        table.columns.iter().map(|it| format!("  {}", quoted(&it.name))).collect();
    let by: Vec<String> = by.iter().map(|it| quoted(it)).collect();
    let order = order.map(|it| format!("{} DESC NULLS LAST", quoted(it)));
    Ok(format!(
        "SELECT\n{}\nFROM (\n  SELECT *, row_number() OVER (\n    PARTITION BY {}\n    ORDER BY {}\n  ) \
         AS lw_newest\n  FROM {}\n) AS changes\nWHERE {newest} AND {} <> 'delete'",
        columns.join(",\n"),
        by.join(", "),
        order.join(", "),
        table_expression(table, engine),
        quoted("_lw_op"),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::DescribedColumn;
    use crate::table::ColumnType;

    const ENGINES: [Engine; 6] = [
        Engine::Duckdb,
        Engine::Athena,
        Engine::Trino,
        Engine::Spark,
        Engine::Snowflake,
        Engine::Clickhouse,
    ];

    fn table(location: &str, own: &[String]) -> Description {
        let lineage = ["_lw_source", "_lw_key", "_lw_shard", "_lw_position", "_lw_op"];
        let names = lineage.into_iter().chain(own.iter().map(String::as_str));
        let column = |name: &str| DescribedColumn {
            name: name.to_owned(),
            ty: ColumnType::String,
            doc: None,
            nulls: None,
        };
        Description {
            median_bytes: 0,
            name: "shop.orders".parse().unwrap(),
            location: location.to_owned(),
            rows: 1,
            files: 1,
            bytes: 1,
            snapshots: 1,
            last_arrival: None,
            columns: names.map(column).collect(),
        }
    }

    /// Returns a query as its engine reads it, with `?` for each name and text, and these.
    fn read(query: &str, engine: Engine) -> (String, Vec<String>) {
        let (mut rest, mut quoted) = (query.chars().peekable(), Vec::new());
        let mut skeleton = String::new();
        while let Some(it) = rest.next() {
            if !['"', '`', '\''].contains(&it) {
                skeleton.push(it);
                continue;
            }
            let mut inside = String::new();
            loop {
                match rest.next() {
                    Some('\\') if engine == Engine::Clickhouse => inside.extend(rest.next()),
                    Some(end) if end == it && rest.peek() == Some(&it) => {
                        inside.extend(rest.next());
                    }
                    Some(end) if end == it => break,
                    Some(other) => inside.push(other),
                    None => panic!("{it} is not closed: {query}"),
                }
            }
            skeleton.push('?');
            quoted.push(inside);
        }
        (skeleton, quoted)
    }

    proptest! {
        #[test]
        fn no_name_and_no_location_changes_the_statement(
            own in prop::collection::vec("[`\"'\\\\;\n a-c-]{1,8}|.{1,8}", 1..4),
            folder in "[`\"'\\\\;\n a-c-]{0,12}",
        ) {
            let location = format!("file:///{folder}/shop/orders");
            let hostile = table(&location, &own);
            let plain: Vec<String> = (0..own.len()).map(|n| format!("c{n}")).collect();
            let plain = table("file:///lake/shop/orders", &plain);
            for engine in ENGINES {
                for keyed in [false, true] {
                    let key = |it: &Description| match keyed {
                        true => vec![it.columns.last().unwrap().name.clone()],
                        false => Vec::new(),
                    };
                    let query = newest_rows(&hostile, engine, &key(&hostile)).ok().unwrap();
                    let expected = newest_rows(&plain, engine, &key(&plain)).ok().unwrap();
                    let (skeleton, quoted) = read(&query, engine);
                    prop_assert_eq!(&skeleton, &read(&expected, engine).0);
                    for name in &own {
                        prop_assert!(quoted.contains(name), "{} is not in {}", name, &query);
                    }
                }
            }
        }
    }
}
