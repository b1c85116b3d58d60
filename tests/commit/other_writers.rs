//! Hole 16: another writer changes the table's schema or partitions during a commit.

use std::sync::Arc;

use iceberg::spec::{
    NestedField, PartitionSpec, PrimitiveType, TableMetadata, TableMetadataBuilder, Transform, Type,
};
use lakeward::store::Lake;
use lakeward::store::files::Files;
use lakeward::store::files::local::LocalFiles;
use lakeward::table::{Cell, ColumnType};

use super::{changed, counts, land_meddled, meddle, primitive, run, with};
use crate::support::lake::{expect_rows, fields, land, local, number, read, row, text, types};

async fn prepared(name: &str) -> (Arc<dyn Files>, Lake, String, std::path::PathBuf) {
    let (lake, location, folder) = local(name);
    let rows = vec![row(0, fields([("price", number("1")), ("name", text("one"))]))];
    land(&lake, rows).await.unwrap();
    (Arc::new(LocalFiles), lake, format!("{location}/test/rows"), folder)
}

fn lake_at(table: &str) -> String {
    table.strip_suffix("/test/rows").unwrap().to_owned()
}

#[test]
fn another_writer_adds_the_same_column_with_another_type() {
    let all = [
        ("boolean", PrimitiveType::Boolean),
        ("int", PrimitiveType::Int),
        ("long", PrimitiveType::Long),
        ("float", PrimitiveType::Float),
        ("double", PrimitiveType::Double),
        ("date", PrimitiveType::Date),
        ("timestamp", PrimitiveType::Timestamp),
        ("string", PrimitiveType::String),
        ("binary", PrimitiveType::Binary),
        ("decimal", PrimitiveType::Decimal { precision: 9, scale: 2 }),
        ("uuid", PrimitiveType::Uuid),
    ];
    for (name, ty) in all {
        run(async {
            let (files, lake, table, folder) = prepared(&format!("commit-other-type-{name}")).await;
            let batch = vec![row(1, fields([("price", number("2")), ("fresh", number("12.5"))]))];
            // The batch's own schema change comes first; theirs makes it conflict.
            let landed = land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
                let id = metadata.last_column_id() + 1;
                builder.add_current_schema(with(metadata, primitive(id, "fresh", ty))).unwrap()
            })
            .await
            .unwrap();
            assert_eq!(counts(&landed), (1, 0), "{name}");
            let rows = read(&lake).await;
            let row = &rows["shardId-000000000000:1"];
            assert_eq!(row["price"], Cell::Long(2), "{name}");
            let found: Vec<_> = row
                .iter()
                .filter(|(column, _)| column.starts_with("fresh") || *column == "_lw_extra")
                .collect();
            let exact = match found[..] {
                [(name, Cell::Text(it))] if name == "_lw_extra" => it == r#"{"fresh":12.5}"#,
                [(_, Cell::Double(it))] => (*it - 12.5).abs() < f64::EPSILON,
                [(_, Cell::Float(it))] => (*it - 12.5).abs() < f32::EPSILON,
                [(_, Cell::Decimal(it))] => *it == 1250,
                _ => false,
            };
            assert!(exact, "{name}: {found:?}");
            expect_rows(&folder, 2);
        });
    }
}

#[test]
fn another_writer_widens_drops_renames_or_replaces_a_column() {
    type Meddling = fn(&TableMetadata, TableMetadataBuilder) -> TableMetadataBuilder;
    let drop_price: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| (it.name != "price").then_some(it));
        builder.add_current_schema(schema).unwrap()
    };
    let rename: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| {
            let name = if it.name == "price" { "cost".to_owned() } else { it.name.clone() };
            Some(NestedField { name, ..it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let swap_names: Meddling = |metadata, builder| {
        let schema = changed(metadata, |it| {
            let name = if it.name == "price" { "name" } else { "price" }.to_owned();
            Some(NestedField { name, ..it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let replace: Meddling = |metadata, builder| {
        let id = metadata.last_column_id() + 1;
        let schema = changed(metadata, |it| {
            Some(if it.name == "price" { primitive(id, "price", PrimitiveType::Long) } else { it })
        });
        builder.add_current_schema(schema).unwrap()
    };
    let cases: [(&str, Meddling, &[(&str, Cell)]); 4] = [
        ("dropped", drop_price, &[("_lw_extra", Cell::Text(r#"{"price":2}"#.to_owned()))]),
        ("renamed", rename, &[("cost", Cell::Long(2))]),
        ("swapped", swap_names, &[("name", Cell::Long(2))]),
        ("replaced", replace, &[("price", Cell::Long(2))]),
    ];
    for (case, meddling, expected) in cases {
        run(async {
            let (files, lake, table, folder) = prepared(&format!("commit-{case}")).await;
            let batch = vec![row(1, fields([("price", number("2"))]))];
            let landed = land_meddled(&files, &lake_at(&table), batch, meddling).await.unwrap();
            assert_eq!(counts(&landed), (1, 0), "{case}");
            let rows = read(&lake).await;
            let own: Vec<(&str, Cell)> = rows["shardId-000000000000:1"]
                .iter()
                .filter(|(name, _)| !name.starts_with("_lw_") || *name == "_lw_extra")
                .map(|(name, cell)| (name.as_str(), cell.clone()))
                .collect();
            assert_eq!(own, expected, "{case}");
            // Inference does not bring it back.
            let more = vec![row(2, fields([("price", number("3"))]))];
            assert_eq!(
                land(&lake, more).await.unwrap().new_columns,
                Vec::<String>::new(),
                "{case}"
            );
            expect_rows(&folder, 3);
        });
    }
}

#[test]
fn another_writer_widens_a_column() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-widened").await;
        // Ours is a long; nothing is wider, so a narrow one is made first.
        meddle(&files, &table, |metadata, builder| {
            let id = metadata.last_column_id() + 1;
            let field = primitive(id, "count", PrimitiveType::Int);
            builder.add_current_schema(with(metadata, field)).unwrap()
        })
        .await;
        let batch = vec![row(1, fields([("count", number("7"))]))];
        land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
            let schema = changed(metadata, |it| {
                let wide = Box::new(Type::Primitive(PrimitiveType::Long));
                Some(if it.name == "count" { NestedField { field_type: wide, ..it } } else { it })
            });
            builder.add_current_schema(schema).unwrap()
        })
        .await
        .unwrap();
        assert_eq!(types(&lake).await["count"], ColumnType::Long);
        assert_eq!(read(&lake).await["shardId-000000000000:1"]["count"], Cell::Long(7));
        expect_rows(&folder, 2);
    });
}

/// Partitions a table by one field.
fn partition_by(
    (column, name, transform): (&str, &str, Transform),
    metadata: &TableMetadata,
    builder: TableMetadataBuilder,
) -> TableMetadataBuilder {
    let spec = PartitionSpec::builder(Arc::clone(metadata.current_schema()))
        .with_last_assigned_field_id(metadata.last_partition_id())
        .add_partition_field(column, name, transform)
        .unwrap()
        .build()
        .unwrap();
    builder.add_default_partition_spec(spec.into_unbound()).unwrap()
}

/// Rows of one day and two hours are in two partitions, which readers prune by.
#[test]
fn another_writer_partitions_by_the_hour_of_arrival() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-by-hour").await;
        meddle(&files, &table, |metadata, builder| {
            partition_by(("_lw_arrived_at", "by_hour", Transform::Hour), metadata, builder)
        })
        .await;
        let hour = 3_600_000;
        let batch = [1, 2, hour].map(|n| row(n, fields([("name", text("x"))])));
        assert_eq!(land(&lake, batch.to_vec()).await.unwrap().files, 2);
        expect_rows(&folder, 4);
    });
}

#[test]
fn another_writer_changes_the_partition_spec() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-other-spec").await;
        let batch = vec![
            row(1, fields([("name", text("two"))])),
            row(2, fields([("name", text("three"))])),
        ];
        land_meddled(&files, &lake_at(&table), batch.clone(), |metadata, builder| {
            partition_by(("name", "by_name", Transform::Identity), metadata, builder)
        })
        .await
        .unwrap();
        assert_eq!(read(&lake).await.len(), 3);
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 2));
        meddle(&files, &table, |metadata, builder| {
            let field = primitive(metadata.last_column_id() + 1, "theirs", PrimitiveType::Uuid);
            builder.add_current_schema(with(metadata, field)).unwrap()
        })
        .await;
        // A new column may not be named like a partition field.
        let named = vec![row(3, fields([("by_name", text("four")), ("name", text("four"))]))];
        assert_eq!(counts(&land(&lake, named).await.unwrap()), (1, 0));
        let found = read(&lake).await["shardId-000000000000:3"].clone();
        assert!(
            found.values().filter(|it| **it == Cell::Text("four".to_owned())).count() == 2
                || found["_lw_extra"] == Cell::Text(r#"{"by_name":"four"}"#.to_owned()),
            "{found:?}"
        );
        // Three names, three partitions.
        assert_eq!(lake.describe(&crate::support::lake::table()).await.unwrap().unwrap().files, 4);
        expect_rows(&folder, 4);
    });
}

/// Values of a sender's choice make as many partitions as it likes.
#[test]
fn a_batch_of_many_foreign_partitions_lands_in_several_commits() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-many-partitions").await;
        meddle(&files, &table, |metadata, builder| {
            partition_by(("name", "by_name", Transform::Identity), metadata, builder)
        })
        .await;
        let batch: Vec<_> =
            (1..=200).map(|n| row(n, fields([("name", text(&format!("n{}", n % 100)))]))).collect();
        let landed = land(&lake, batch.clone()).await.unwrap();
        assert_eq!((counts(&landed), landed.files, landed.attempts), ((200, 0), 100, 2));
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 200));
        expect_rows(&folder, 201);
    });
}

#[test]
fn a_required_column_of_someone_else_fails_the_batch_and_says_so() {
    run(async {
        let (files, lake, table, folder) = prepared("commit-required").await;
        let batch = vec![row(1, fields([("price", number("2"))]))];
        let landed = land_meddled(&files, &lake_at(&table), batch, |metadata, builder| {
            let schema = changed(metadata, |it| {
                let required = it.name == "name";
                Some(NestedField { required, ..it })
            });
            builder.add_current_schema(schema).unwrap()
        })
        .await;
        let error = landed.unwrap_err().to_string();
        assert!(error.contains("test.rows") && error.contains("column name required"), "{error}");
        assert_eq!(read(&lake).await.len(), 1);
        expect_rows(&folder, 1);
    });
}
