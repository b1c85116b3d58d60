//! Values of every kind are read as they were written.

use std::sync::Arc;

use lakeward::table::Cell;
use lakeward::value::Value;

use super::{AT, run};
use crate::support::lake::{expect_rows, fields, lake_on, land, local, number, read, row, text};
use crate::support::store::Memory;

#[test]
fn values_of_every_kind_come_back() {
    run(async {
        let (lake, _, folder) = local("commit-kinds");
        let all = fields([
            ("t", text("x")),
            ("b", Value::Bool(true)),
            ("l", number("-9223372036854775808")),
            ("d", number("19.99")),
            ("bin", Value::Binary(vec![0, 255])),
            ("tags", Value::Set(lakeward::value::Set::Text(vec!["a".into(), "b".into()]))),
            ("nested", Value::Map(fields([("a", number("1.50"))]))),
        ]);
        land(&lake, vec![row(1, all)]).await.unwrap();
        let rows = read(&lake).await;
        let row = &rows["shardId-000000000000:1"];
        assert_eq!(row["l"], Cell::Long(i64::MIN));
        assert_eq!(row["d"], Cell::Double(19.99));
        assert_eq!(row["bin"], Cell::Binary(vec![0, 255]));
        let tags = ["a", "b"].map(|it| Cell::Text(it.to_owned()));
        assert_eq!(row["tags"], Cell::List(tags.into()));
        assert_eq!(row["nested"], Cell::Text(r#"{"a":1.50}"#.to_owned()));
        expect_rows(&folder, 1);
    });
}

#[test]
fn the_null_share_of_nested_columns_is_not_made_up() {
    run(async {
        let lake = lake_on(Arc::new(Memory::default()), AT);
        let tags = Value::Set(lakeward::value::Set::Text(vec!["a".into()]));
        land(&lake, vec![row(1, fields([("tags", tags), ("n", number("1"))]))]).await.unwrap();
        land(&lake, vec![row(2, fields([("n", number("2"))]))]).await.unwrap();
        let found = lake.describe(&crate::support::lake::table()).await.unwrap().unwrap();
        let nulls = |name: &str| found.columns.iter().find(|it| it.name == name).unwrap().nulls;
        assert_eq!((nulls("tags"), nulls("n"), nulls("_lw_digest")), (None, Some(0), Some(2)));
    });
}
