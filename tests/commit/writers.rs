//! Hole 2: several writers create one table, or add columns to it, at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::store::files::local::LocalFiles;
use lakeward::table::Cell;

use super::{counts, run};
use crate::support::lake::{expect_rows, lake_on, land, local, read, row, text};
use crate::support::store::{Fault, ScriptedFiles};

/// Every writer's values are under their own names.
fn assert_own_names(rows: &BTreeMap<String, BTreeMap<String, Cell>>) {
    for (id, row) in rows {
        let n = id.rsplit(':').next().unwrap();
        let own: Vec<_> = row.iter().filter(|(name, _)| !name.starts_with("_lw_")).collect();
        assert!(!own.is_empty(), "{id} has lost its columns");
        for (name, cell) in own {
            assert_eq!(*cell, Cell::Text(format!("{name} of {n}")), "{id}, column {name}");
        }
    }
}

fn named_row(n: u32, names: &[String]) -> Row {
    let fields = names.iter().map(|name| (name.clone(), text(&format!("{name} of {n}"))));
    row(n, fields.collect())
}

#[test]
fn sixteen_writers_with_overlapping_attributes_create_one_table() {
    let (_, location, folder) = local("commit-first-batches");
    let files: Arc<dyn Files> =
        Arc::new(ScriptedFiles::new(Arc::new(LocalFiles), |_, _| Fault::None));
    run(async {
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..16_u32 {
            let lake = lake_on(Arc::clone(&files), &location);
            let mut names: Vec<String> = (n..n + 5).map(|it| format!("a{}", it % 19)).collect();
            fastrand::shuffle(&mut names);
            writers.spawn(async move { land(&lake, vec![named_row(n, &names)]).await.unwrap() });
        }
        while let Some(landed) = writers.join_next().await {
            assert_eq!(counts(&landed.unwrap()), (1, 0));
        }
        let rows = read(&lake_on(Arc::clone(&files), &location)).await;
        assert_eq!(rows.len(), 16);
        assert_own_names(&rows);
        assert!(rows.values().all(|row| row.keys().filter(|it| !it.starts_with('_')).count() == 5));
    });
    expect_rows(&folder, 16);
}

#[test]
fn sixteen_writers_add_one_new_attribute_each_to_one_table() {
    let (lake, location, folder) = local("commit-new-attributes");
    let files: Arc<dyn Files> =
        Arc::new(ScriptedFiles::new(Arc::new(LocalFiles), |_, _| Fault::None));
    run(async {
        land(&lake, vec![named_row(100, &["common".to_owned()])]).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..16_u32 {
            let lake = lake_on(Arc::clone(&files), &location);
            let names = ["common".to_owned(), format!("new{n}")];
            writers.spawn(async move { land(&lake, vec![named_row(n, &names)]).await.unwrap() });
        }
        while let Some(landed) = writers.join_next().await {
            assert_eq!(counts(&landed.unwrap()), (1, 0));
        }
        let rows = read(&lake).await;
        assert_eq!(rows.len(), 17);
        assert_own_names(&rows);
    });
    expect_rows(&folder, 17);
}
