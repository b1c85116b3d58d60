//! Another writer of the tables: swaps are lost to it, and heads are young, so that functions leave their
//! rows to others; and it takes them along.

use std::sync::Arc;

use lakeward::deadline::Deadline;
use lakeward::record::{Lineage, Row};
use lakeward::store::{Lake, Offer};
use lakeward::table::layout::Policy;
use lakeward::time::Timestamp;
use tokio::task::{JoinHandle, spawn_local};

use super::function::LAKE;
use super::world::World;
use crate::support::store::Memory;

/// The source of its rows, which no oracle knows.
pub const SOURCE: &str = "neighbour";

/// Begins to commit, in one run of five.
pub fn begin(world: &Arc<World>, memory: &Arc<Memory>) -> Option<JoinHandle<()>> {
    let is_here = world.one_in(5);
    is_here.then(|| {
        world.note("sometimes: another writer keeps the tables busy");
        spawn_local(write(Arc::clone(world), Arc::clone(memory)))
    })
}

async fn write(world: Arc<World>, memory: Arc<Memory>) {
    let lake = Lake::with(Arc::clone(&memory) as _, LAKE.to_owned(), String::new(), world.clock());
    let lake = lake.removing(Arc::clone(&memory) as _);
    for n in 0..world.number(5, 40) {
        world.pause(50, 1_500).await;
        for table in lake.tables().await.unwrap_or_default() {
            if table.is_own() {
                continue;
            }
            let micros = i64::try_from(world.now()).unwrap() * 1_000;
            let arrived_at = Timestamp::from_micros(micros);
            let position = Some(format!("{n:060}"));
            let id = format!("{table} {n}");
            let lineage = Lineage { arrived_at, position, ..Lineage::new(SOURCE, id) };
            let rows = vec![Row { lineage, fields: Vec::new() }];
            let (policy, offer) = (Policy::default(), Offer { rows, ..Offer::default() });
            lake.offer(&table, &policy, offer, &Deadline::none()).await.unwrap();
        }
    }
}
