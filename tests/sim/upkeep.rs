//! Upkeep at any time, in processes that crash and freeze like those of the function.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lakeward::config::{self, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::{self, App};
use lakeward::store::{Lake, UpkeepReport};
use lakeward::upkeep;
use tokio::task::{JoinHandle, spawn_local};

use super::function::{Environment, LAKE, Stop, lake};
use super::records::CONFIG;
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
        let clock = world.clock_ahead(AHEAD);
        let app = app(lake(&world, &memory, &environment, clock, "upkeep"));
        let deadline = Deadline::after(Duration::from_secs(world.number(2, 120) as u64));
        let mut running: Running = Box::pin(async move { all(&app, &deadline).await });
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

fn app(lake: Lake) -> App {
    App::on(config::check(CONFIG, &Overrides::default()).config.unwrap(), lake, None)
}

async fn all(app: &App, deadline: &Deadline) -> Vec<UpkeepReport> {
    let reports = upkeep::upkeep(app, &[], deadline, |_, _| {}).await.unwrap_or_default();
    reports.into_iter().map(|(_, report)| report).collect()
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
    if done.iter().any(|it| it.sweep.as_ref().is_some_and(|it| it.taken.landed > 0)) {
        world.note("sometimes: upkeep sweeps pending rows");
    }
    if done.iter().any(|it| it.is_unfinished && it.trouble.is_none()) {
        world.note("sometimes: others make a unit of upkeep void");
    }
}

/// The last upkeep of a run, when nothing fails any more: all of it, or the pending rows alone.
pub async fn once(world: &World, memory: &Arc<Memory>, is_whole: bool) -> Vec<String> {
    let clock = if is_whole { world.clock_ahead(AHEAD) } else { world.clock() };
    memory.now.store(world.now() / 1000, Ordering::Relaxed);
    let lake = Lake::with(Arc::clone(memory) as _, LAKE.to_owned(), "upkeep".to_owned(), clock);
    let app = app(lake.removing(Arc::clone(memory) as _));
    let mut problems = Vec::new();
    if is_whole {
        let done = all(&app, &Deadline::none()).await;
        problems.extend(done.into_iter().filter_map(|it| it.trouble));
    } else {
        for table in app.lake.tables().await.unwrap_or_default() {
            let swept = handler::sweep(&app, &app.lake, &table, &Deadline::none()).await;
            problems.extend(swept.err().map(|it| it.to_string()));
        }
    }
    let left = memory.sizes(LAKE).into_iter().filter(|(it, _)| it.contains("/pending/"));
    problems.extend(left.map(|(it, _)| format!("I10: nobody has taken {it}")));
    problems
}
