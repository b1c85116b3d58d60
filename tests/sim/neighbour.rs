//! Another writer of the tables, whose commits change nothing: swaps are lost to it, and heads are young, so
//! that functions leave their rows to others.

use std::sync::Arc;

use lakeward::store::Lake;
use lakeward::store::files::Files;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::head::{Head as _, commit_property};
use tokio::task::{JoinHandle, spawn_local};
use uuid::Uuid;

use super::function::LAKE;
use super::world::World;
use crate::support::store::Memory;

/// Begins to commit, in one run of three.
pub fn begin(world: &Arc<World>, memory: &Arc<Memory>) -> Option<JoinHandle<()>> {
    let is_here = world.one_in(3);
    is_here.then(|| {
        world.note("sometimes: another writer keeps the tables busy");
        spawn_local(write(Arc::clone(world), Arc::clone(memory)))
    })
}

async fn write(world: Arc<World>, memory: Arc<Memory>) {
    let files: Arc<dyn Files> = Arc::clone(&memory) as _;
    let lake = Lake::with(Arc::clone(&files), LAKE.to_owned(), String::new(), world.clock());
    loop {
        world.pause(50, 1_500).await;
        for table in lake.tables().await.unwrap_or_default() {
            let location = format!("{LAKE}/{}/{}", table.namespace(), table.table());
            let head = VersionFiles::new(Arc::clone(&files), world.clock(), &location);
            let Ok(Some(base)) = head.load().await else { continue };
            let commit = Uuid::from_u128(u128::from(world.random())).to_string();
            let builder = (*base.metadata).clone().into_builder(Some(base.location.clone()));
            let new = builder.set_properties(commit_property(&commit)).unwrap().build();
            if let Ok(new) = new {
                drop(head.swap(Some(&base), &new.metadata, &commit).await);
            }
        }
    }
}
