//! `lakeward sql`

use std::io::Write;

use crate::cli::args::Engine;
use crate::cli::print::counted;
use crate::cli::{DONE, Failure, no_such_table};
use crate::name;
use crate::store::{Description, Lake};
use crate::table_name::TableName;

const SPARK: &str = "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0";

/// Prints the query that opens a table; with `latest` (and its key columns, or none for `_lw_key`)
/// that for its newest rows.
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
        None => format!("SELECT * FROM {}", from(&table, engine)),
        Some(key) => newest(&table, engine, key)?,
    };
    for line in comments(&table, engine) {
        writeln!(out, "-- {line}")?;
    }
    if latest.is_some_and(|key| !key.is_empty()) {
        writeln!(out, "-- the newest by _lw_event_at; rows of one time are in no order")?;
        if let Some(rows) = timeless(&table) {
            writeln!(
                out,
                "-- {} of it without a time: give the route an event_at",
                counted(rows, "row")
            )?;
        }
    }
    writeln!(out, "{query};")?;
    Ok(DONE)
}

/// Rows that can't be put in order by time.
fn timeless(table: &Description) -> Option<u64> {
    let event_at = table.columns.iter().find(|it| it.name == "_lw_event_at")?;
    event_at.nulls.filter(|it| *it > 0)
}

/// What an engine needs before the query.
fn comments(table: &Description, engine: Engine) -> Vec<String> {
    let path = path(table);
    let warehouse = path.strip_suffix(&tail(table)).unwrap_or(path);
    let cataloged = |engine: &str| {
        vec![
            format!("{engine} reads tables of a catalog, such as AWS Glue; this one is in none."),
            "The query holds for the table under the same name in such a catalog.".to_owned(),
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
        Engine::Athena => cataloged("Athena"),
        Engine::Trino => cataloged("Trino"),
        Engine::Snowflake => cataloged("Snowflake"),
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

/// The table in a FROM clause.
fn from(table: &Description, engine: Engine) -> String {
    let (namespace, name) = (table.name.namespace(), table.name.table());
    let quoted = |it: &str| quoted(it, engine);
    match engine {
        Engine::Duckdb => format!("iceberg_scan({})", text(path(table))),
        Engine::Clickhouse => {
            let function = if in_s3(path(table)) { "icebergS3" } else { "icebergLocal" };
            format!("{function}({})", text(&path(table).replace('\\', "\\\\")))
        }
        Engine::Spark => format!("lake.{}.{}", quoted(namespace), quoted(name)),
        Engine::Trino => format!("iceberg.{}.{}", quoted(namespace), quoted(name)),
        Engine::Athena | Engine::Snowflake => format!("{}.{}", quoted(namespace), quoted(name)),
    }
}

/// A text literal.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An identifier.
fn quoted(name: &str, engine: Engine) -> String {
    match engine {
        // The one engine that reads backslashes in a name.
        Engine::Clickhouse => {
            format!("`{}`", name.replace('\\', "\\\\").replace('`', "``"))
        }
        Engine::Spark => format!("`{}`", name.replace('`', "``")),
        Engine::Duckdb | Engine::Athena | Engine::Trino | Engine::Snowflake => {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    }
}

/// The query for the newest row of each key that is not deleted. It names all columns, so that the
/// row's number is none of them, and says nothing that one of the engines does not know.
fn newest(table: &Description, engine: Engine, key: &[String]) -> Result<String, Failure> {
    let quoted = |it: &str| quoted(it, engine);
    let column = |name: &str| table.columns.iter().find(|it| it.name == name);
    let by = if key.is_empty() {
        if column("_lw_key").is_none() {
            return Err(Failure::Use(format!(
                "{} holds no changes: it has no _lw_key",
                table.name
            )));
        }
        let keyless = column("_lw_key").and_then(|it| it.nulls) == Some(table.rows);
        if keyless && table.rows > 0 {
            return Err(Failure::Use(format!(
                "the records of {} came without a key, as messages of standard queues do: name \
                 the columns that tell one thing from another, such as --key id",
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
                    return Err(Failure::Use(format!(
                        "{} has no column {name}: there it is {meant}",
                        table.name
                    )));
                }
                return Err(Failure::Use(format!(
                    "{} has no column {name}: its columns are {}",
                    table.name,
                    names.join(", ")
                )));
            }
        }
        key.to_vec()
    };
    // Positions are comparable within one source and shard; a later stream of a table, and a later
    // shard of a stream, compares greater. Columns of people's choice go across these.
    let order = if key.is_empty() {
        ["_lw_shard", "_lw_position"]
    } else {
        ["_lw_event_at", "_lw_position"]
    };
    // Rows without any key are no versions of one thing.
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
        from(table, engine),
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

    /// What an engine sees: a query in which each name and text is a `?`, and these.
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
        fn no_name_and_no_place_changes_the_statement(
            own in prop::collection::vec("[`\"'\\\\;\n a-c-]{1,8}|.{1,8}", 1..4),
            place in "[`\"'\\\\;\n a-c-]{0,12}",
        ) {
            let location = format!("file:///{place}/shop/orders");
            let hostile = table(&location, &own);
            let plain: Vec<String> = (0..own.len()).map(|n| format!("c{n}")).collect();
            let plain = table("file:///lake/shop/orders", &plain);
            for engine in ENGINES {
                for keyed in [false, true] {
                    let key = |it: &Description| match keyed {
                        true => vec![it.columns.last().unwrap().name.clone()],
                        false => Vec::new(),
                    };
                    let query = newest(&hostile, engine, &key(&hostile)).ok().unwrap();
                    let expected = newest(&plain, engine, &key(&plain)).ok().unwrap();
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
