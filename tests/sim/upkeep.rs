//! Upkeep at any time, in processes that crash and freeze like those of the function.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lakeward::config::{self, Overrides};
use lakeward::deadline::Deadline;
use lakeward::handler::{self, App};
use lakeward::store::files::Files;
use lakeward::store::head::Head as _;
use lakeward::store::head::versions::VersionFiles;
use lakeward::store::manifest::Manifests;
use lakeward::store::{Lake, UpkeepReport};
use lakeward::upkeep;
use tokio::task::{JoinHandle, spawn_local};

use super::function::{Environment, LAKE, Stop, lake};
use super::records::CONFIG;
use super::world::World;
use crate::support::store::Memory;

/// The lead of its clock: by this one nothing arrived in the last hour.
const AHEAD: Duration = Duration::from_secs(2 * 3600);

/// The time for which a reader holds a snapshot.
const ALMOST_A_DAY: Duration = Duration::from_secs(23 * 3600);

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

/// Lets days pass with an upkeep each, and a reader that holds a snapshot for a day.
pub async fn days(world: &World, memory: &Arc<Memory>) -> Vec<String> {
    world.note("sometimes: upkeep cleans for days");
    let mut problems = Vec::new();
    let before = memory.objects().len();
    for _ in 0..6 {
        let held = held(world, memory).await;
        tokio::time::sleep(ALMOST_A_DAY).await;
        problems.extend(once(world, memory, true).await);
        let gone = held.into_iter().filter(|it| memory.get(it).is_none());
        problems.extend(gone.map(|it| format!("I6: a reader of a day misses {it}")));
    }
    if memory.objects().len() < before {
        world.note("sometimes: upkeep removes files");
    }
    problems
}

/// All files that the current snapshot of each table names.
async fn held(world: &World, memory: &Arc<Memory>) -> BTreeSet<String> {
    let files: Arc<dyn Files> = Arc::clone(memory) as _;
    let lake = Lake::with(Arc::clone(&files), LAKE.to_owned(), String::new(), world.clock());
    let mut held = BTreeSet::new();
    for table in lake.tables().await.unwrap() {
        let location = format!("{LAKE}/{}/{}", table.namespace(), table.table());
        let head = VersionFiles::new(Arc::clone(&files), world.clock(), &location);
        let head = head.load().await.unwrap().unwrap();
        let Some(snapshot) = head.metadata.current_snapshot() else { continue };
        let manifests = Manifests::new(Arc::clone(&files), &location);
        held.extend([head.location.clone(), snapshot.manifest_list().to_owned()]);
        for manifest in manifests.list(snapshot).await.unwrap() {
            let live = manifests.live_files(&manifest, head.metadata.current_schema());
            held.extend(live.await.unwrap().iter().map(|it| it.location.clone()));
            held.insert(manifest.manifest_path);
        }
    }
    held
}
