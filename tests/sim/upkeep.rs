//! Upkeep at any time, in processes that crash and freeze like those of the function.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lakeward::deadline::Deadline;
use lakeward::store::{Lake, UpkeepReport};
use tokio::task::{JoinHandle, spawn_local};

use super::function::{Environment, LAKE, Stop};
use super::store::Faulty;
use super::world::World;
use crate::support::store::Memory;

/// The lead of its clock: by this one nothing arrived in the last hour.
const AHEAD: Duration = Duration::from_secs(2 * 3600);

/// Begins the upkeep of a run: of two runs in three none, else one or two at once.
pub fn begin(world: &Arc<World>, memory: &Arc<Memory>) -> Vec<JoinHandle<()>> {
    let count = *world.pick(&[0, 0, 0, 0, 1, 2]);
    if count == 2 {
        world.note("sometimes: two upkeeps at once");
    }
    (0..count).map(|_| spawn_local(keep_up(Arc::clone(world), Arc::clone(memory)))).collect()
}

/// Calls for upkeep again and again.
async fn keep_up(world: Arc<World>, memory: Arc<Memory>) {
    loop {
        world.pause(5_000, 120_000).await;
        let environment = Arc::new(Environment::default());
        let files = Faulty {
            world: Arc::clone(&world),
            memory: Arc::clone(&memory),
            environment: Arc::clone(&environment),
        };
        let clock = world.clock_ahead(AHEAD);
        let lake = Lake::with(Arc::new(files), LAKE.to_owned(), "upkeep".to_owned(), clock);
        let deadline = Deadline::after(Duration::from_secs(world.number(2, 120) as u64));
        let mut running: Running = Box::pin(async move { all(&lake, &deadline).await });
        let how = tokio::select! {
            biased;
            done = &mut running => {
                note(&world, &done);
                None
            }
            () = environment.told.notified() => environment.stopped.lock().unwrap().take(),
        };
        if how == Some(Stop::Freeze) {
            spawn_local(wake(Arc::clone(&world), environment, running));
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Vec<UpkeepReport>>>>;

async fn all(lake: &Lake, deadline: &Deadline) -> Vec<UpkeepReport> {
    let Ok(tables) = lake.tables().await else { return Vec::new() };
    lake.upkeep(&tables, deadline, |_, _| {}).await
}

async fn wake(world: Arc<World>, environment: Arc<Environment>, running: Running) {
    world.pause(500, 300_000).await;
    environment.woken.notify_one();
    tokio::select! {
        done = running => {
            world.note("sometimes: a frozen upkeep goes on");
            note(&world, &done);
        }
        () = environment.told.notified() => {}
    }
}

fn note(world: &World, done: &[UpkeepReport]) {
    if done.iter().any(|it| it.units > 0) {
        world.note("sometimes: upkeep joins files");
    }
    if done.iter().any(|it| it.is_unfinished && it.trouble.is_none()) {
        world.note("sometimes: others make a unit of upkeep void");
    }
}

/// The last upkeep of a run, when nothing fails any more.
pub async fn once(world: &World, memory: &Arc<Memory>) {
    let clock = world.clock_ahead(AHEAD);
    let lake = Lake::with(Arc::clone(memory) as _, LAKE.to_owned(), "upkeep".to_owned(), clock);
    for report in all(&lake, &Deadline::none()).await {
        assert_eq!(report.trouble, None);
    }
}
