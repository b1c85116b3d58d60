//! Hole 7 on a store whose listings lag behind: the hint is gone, and what is listed is not all.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use lakeward::record::Row;
use lakeward::store::files::{Call, Creation, Files, TaggedObject};

use super::{AT, TABLE_AT, assert_hint_is_head, counts, newest, run};
use crate::support::lake::{fields, lake_on, land, number, read, row};
use crate::support::store::Memory;

fn one(n: u32) -> Row {
    row(n, fields([("n", number("1"))]))
}

/// A store whose listings do not show the newest versions.
#[derive(Debug)]
struct Lagging {
    inner: Arc<Memory>,
    /// Versions above this one are not shown.
    shown: u64,
}

impl Files for Lagging {
    fn read<'a>(&'a self, location: &'a str) -> Call<'a, Option<Bytes>> {
        self.inner.read(location)
    }

    fn exists<'a>(&'a self, location: &'a str) -> Call<'a, bool> {
        self.inner.exists(location)
    }

    fn write<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, ()> {
        self.inner.write(location, bytes)
    }

    fn create<'a>(&'a self, location: &'a str, bytes: Bytes) -> Call<'a, Creation> {
        self.inner.create(location, bytes)
    }

    fn read_tagged<'a>(&'a self, location: &'a str) -> Call<'a, Option<TaggedObject>> {
        self.inner.read_tagged(location)
    }

    fn replace<'a>(
        &'a self,
        location: &'a str,
        expected: Option<&'a str>,
        bytes: Bytes,
    ) -> Call<'a, bool> {
        self.inner.replace(location, expected, bytes)
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            let names: io::Result<Vec<String>> = self.inner.list(folder).await;
            let shown = |name: &String| {
                let number = name.strip_prefix('v').and_then(|it| it.split('.').next());
                number.and_then(|it| it.parse::<u64>().ok()).is_none_or(|it| it <= self.shown)
            };
            Ok(names?.into_iter().filter(shown).collect())
        })
    }
}

#[test]
fn a_listing_that_lags_behind_loses_nothing_and_makes_no_second_table() {
    for shown in [0, 1, 4, 12] {
        run(async {
            let memory = Arc::new(Memory::default());
            let direct = || lake_on(Arc::clone(&memory) as Arc<dyn Files>, AT);
            for n in 0..12 {
                land(&direct(), vec![one(n)]).await.unwrap();
            }
            let files = Arc::clone(&memory) as Arc<dyn Files>;
            let before = newest(&files, TABLE_AT).await;
            memory.remove(&format!("{TABLE_AT}/metadata/version-hint.text"));
            let lagging = Arc::new(Lagging { inner: Arc::clone(&memory), shown });
            let lake = lake_on(lagging, AT);
            let batch = vec![one(3), one(99)];
            // A listing without any version looks like no table. It can't be made, and that is said.
            let landed = land(&lake, batch.clone()).await;
            assert_eq!(landed.is_ok(), shown > 0, "{shown} shown: {landed:?}");
            let expected = if shown > 0 { (0, 2) } else { (1, 1) };
            assert_eq!(counts(&land(&direct(), batch).await.unwrap()), expected, "{shown} shown");
            assert_eq!(read(&direct()).await.len(), 13, "{shown} shown");
            assert_eq!(newest(&files, TABLE_AT).await.uuid(), before.uuid(), "{shown} shown");
            assert_hint_is_head(&memory);
        });
    }
}
