//! Hole 12: a record that brings its own `_id`, `_source`, `arrived_day`, …

use std::collections::{BTreeMap, BTreeSet};

use lakeward::table::Cell;

use super::{counts, run};
use crate::support::lake::{expect_rows, land, local, read, row, text, types};

/// Returns true if a column is the record's own. One named like ours has another name.
fn is_own(column: &str) -> bool {
    lakeward::table::lineage::RECORD.iter().all(|it| it.name != column)
}

#[test]
fn no_name_of_a_record_can_make_a_batch_fail() {
    let (lake, _, folder) = local("commit-names");
    let mut names: Vec<String> = [
        "_id",
        "_ID",
        "_source",
        "_extra",
        "_file",
        "_pos",
        "_deleted",
        "_spec_id",
        "_partition",
        "_row_id",
        "_lw_id",
        "_lw_source",
        "_LW_ID",
        "_lw_extra",
        "_lw_arrived_at",
        "arrived_day",
        "arrivedDay",
        "pos",
        "file_path",
        "",
        " ",
        ".",
        "a.b",
        "/",
        "..",
        "\0",
        "é",
        "日本",
        "💥",
        "id",
        "Id",
        "ID",
        "iD",
        "select",
        "1",
        "1a",
        "n1",
        "price",
        "price__double",
        "Price",
    ]
    .map(str::to_owned)
    .into();
    let mut random = fastrand::Rng::with_seed(12);
    while names.len() < 1_040 {
        let length = random.usize(0..200);
        names.push((0..length).map(|_| random.char(..)).collect());
    }
    run(async {
        for (n, chunk) in names.chunks(20).enumerate() {
            let rows = chunk
                .iter()
                .enumerate()
                .map(|(at, name)| row((n * 20 + at) as u32, vec![(name.clone(), text(name))]));
            let landed = land(&lake, rows.collect()).await.unwrap();
            assert_eq!(counts(&landed), (chunk.len() as u64, 0));
        }
        let rows = read(&lake).await;
        assert_eq!(rows.len(), names.len());
        for (n, name) in names.iter().enumerate() {
            let row = &rows[&format!("shardId-000000000000:{n}")];
            assert_eq!(row["_lw_position"], Cell::Text(format!("{n:060}")), "identity is ours");
            let own: Vec<_> =
                row.iter().filter(|(column, _)| is_own(column) || *column == "_lw_extra").collect();
            let [(column, Cell::Text(value))] = own[..] else { panic!("{name:?}: {own:?}") };
            if column == "_lw_extra" {
                let extra: BTreeMap<String, String> = serde_json::from_str(value).unwrap();
                assert_eq!(extra, BTreeMap::from([(name.clone(), name.clone())]));
            } else {
                assert_eq!(value, name);
            }
        }
        let columns = types(&lake).await;
        let folded: BTreeSet<String> = columns.keys().map(|it| it.to_lowercase()).collect();
        assert_eq!(folded.len(), columns.len(), "columns that differ only in case");
    });
    expect_rows(&folder, names.len());
}
