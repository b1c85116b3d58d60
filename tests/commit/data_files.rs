//! The files of a commit: what is in them, and when they are written.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::Manifest;
use lakeward::record::Row;
use lakeward::store::files::Files;
use lakeward::time::Timestamp;
use parquet::basic::Compression;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::{counts, land_meddled, run};
use crate::support::lake::{fields, lake_on, land, number, read, row, text};
use crate::support::store::Memory;

/// The metadata that engines look at before they read a file.
#[test]
fn a_file_is_compressed_and_its_ids_and_row_groups_are_found() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::<Memory>::clone(&memory);
        let rows = vec![row(1, fields([("n", number("1"))]))];
        land(&lake_on(files, "memory:/lake"), rows).await.unwrap();
        let of = |part: &str, end: &str| {
            let all = memory.sizes("memory:/lake");
            let mut found = all.iter().filter(|(it, _)| it.contains(part) && it.ends_with(end));
            memory.get(&found.next().unwrap().0).unwrap()
        };
        let file = SerializedFileReader::new(of("/data/", ".parquet")).unwrap();
        let by = file.metadata().file_metadata().created_by().unwrap();
        assert!(by.starts_with("lakeward "), "{by}");
        let group = file.metadata().row_group(0);
        for column in group.columns() {
            let name = column.column_path().string();
            assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
            assert_eq!(column.bloom_filter_offset().is_some(), name == "_lw_id", "{name}");
        }
        let manifest = Manifest::parse_avro(&of("/metadata/m-", ".avro")).unwrap();
        let entry = &manifest.entries()[0];
        assert_eq!(entry.data_file().split_offsets(), Some(&[4][..]), "after the magic number");
        // Inherited from the commit that wins: deletes of others are for files before them.
        assert_eq!(entry.sequence_number(), None);
    });
}

#[test]
fn a_lost_swap_writes_no_file_again_that_still_fits() {
    run(async {
        let memory = Arc::new(Memory::default());
        let files: Arc<dyn Files> = Arc::<Memory>::clone(&memory);
        let of = |n: u32| vec![row(n, fields([("price", number("1")), ("name", text("x"))]))];
        land(&lake_on(Arc::clone(&files), "memory:/lake"), of(0)).await.unwrap();
        let landed = land_meddled(&files, "memory:/lake", of(1), |_, builder| {
            builder.set_properties(HashMap::from([("a".to_owned(), "b".to_owned())])).unwrap()
        });
        let landed = landed.await.unwrap();
        assert_eq!((counts(&landed), landed.files), ((1, 0), 1));
        let written = memory.sizes("memory:/lake");
        let data: Vec<_> = written.iter().filter(|(it, _)| it.ends_with(".parquet")).collect();
        assert_eq!(data.len(), 2, "{data:?}");
    });
}

/// Rows of many days, as a replay of an archive has them. No commit writes more files than it can in
/// the time of an invocation.
#[test]
fn a_batch_of_many_days_lands_in_several_commits() {
    const DAY: i64 = 86_400_000_000;
    run(async {
        let memory = Arc::new(Memory::default());
        let lake = lake_on(Arc::<Memory>::clone(&memory), "memory:/lake");
        let of_day = |n: u32| {
            let mut row = row(n, fields([("n", number(&n.to_string()))]));
            row.lineage.arrived_at = Timestamp::from_micros(i64::from(n % 150) * DAY);
            row
        };
        // The days come mixed, and some rows come twice.
        let batch: Vec<Row> = (0..450).chain(0..10).map(of_day).collect();
        let landed = land(&lake, batch.clone()).await.unwrap();
        assert_eq!((counts(&landed), landed.files, landed.attempts), ((450, 10), 150, 3));
        let mut indexes = landed.indexes.clone();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..450).collect::<Vec<usize>>());
        let files_of = |manifest: &[u8]| Manifest::parse_avro(manifest).unwrap().entries().len();
        let manifests: Vec<usize> = memory
            .ending(".avro")
            .iter()
            .filter(|(at, _)| at.contains("/m-"))
            .map(|(_, it)| files_of(it))
            .collect();
        assert_eq!(manifests.iter().max(), Some(&64), "{manifests:?}");
        assert_eq!(counts(&land(&lake, batch).await.unwrap()), (0, 460));
        assert_eq!(read(&lake).await.len(), 450);
    });
}
