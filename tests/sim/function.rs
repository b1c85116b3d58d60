//! The function as Lambda runs it: execution environments that are reused, crash, freeze and wake.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use lakeward::config::Config;
use lakeward::deadline::Deadline;
use lakeward::handler::App;
use lakeward::intake::{Intake, InvocationReport};
use lakeward::store::Lake;
use lakeward::store::clock::Clock;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::store::Faulty;
use super::world::World;
use crate::support::store::Memory;

/// Where the simulated lake is.
pub const LAKE: &str = "memory:/lake";

/// The end of a process in the middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// For good.
    Crash,
    /// It goes on when someone wakes it.
    Freeze,
}

/// State that the process of one environment shares with the world outside.
#[derive(Default)]
pub struct Environment {
    pub stopped: Mutex<Option<Stop>>,
    pub told: Notify,
    pub woken: Notify,
}

impl Environment {
    /// Called from within the process: it gets no further, unless it was frozen and is woken.
    pub async fn stop(&self, how: Stop) {
        *self.stopped.lock().unwrap() = Some(how);
        self.told.notify_one();
        match how {
            Stop::Crash => std::future::pending().await,
            Stop::Freeze => self.woken.notified().await,
        }
    }

    /// Something of the store's, which goes on whatever becomes of the process.
    pub fn background(&self, task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }
}

/// Why Lambda delivers a batch again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The function said so.
    Error,
    /// It crashed.
    Crashed,
    /// It took too long.
    TimedOut,
    /// It answered, and the answer was lost.
    Unheard,
}

/// All environments of the function.
pub struct Function {
    pub world: Arc<World>,
    pub memory: Arc<Memory>,
    config: Config,
    timeout: Duration,
    idle: Mutex<Vec<(Arc<Environment>, Arc<Intake>)>>,
    /// Panics and invocations without an answer; there must be none.
    pub problems: Mutex<Vec<String>>,
}

impl Function {
    pub fn new(world: Arc<World>, memory: Arc<Memory>, config: Config) -> Arc<Self> {
        let timeout = Duration::from_secs(world.number(5, 121) as u64);
        let (idle, problems) = (Mutex::default(), Mutex::default());
        Arc::new(Self { world, memory, config, timeout, idle, problems })
    }

    fn environment(&self) -> (Arc<Environment>, Arc<Intake>) {
        let mut idle = self.idle.lock().unwrap();
        if !idle.is_empty() && !self.world.one_in(12) {
            let at = self.world.number(0, idle.len());
            return idle.swap_remove(at);
        }
        let environment = Arc::new(Environment::default());
        let clock = self.world.clock();
        let lake = lake(&self.world, &self.memory, &environment, clock, "test");
        self.world.note("a cold start");
        (environment, Arc::new(Intake::new(App::on(self.config.clone(), lake, None))))
    }

    /// One invocation, to its answer or whatever happens instead.
    pub async fn invoke(self: &Arc<Self>, event: Arc<Vec<u8>>) -> Result<String, Failure> {
        self.world.pause(1, 50).await;
        let (environment, intake) = self.environment();
        let deadline = Deadline::after(self.timeout);
        let (process, world) = (Arc::clone(&intake), Arc::clone(&self.world));
        let mut running: Running = Box::pin(async move {
            let processed = PanicGuard(Box::pin(process.handle(&event, &deadline))).await;
            processed.map(|report| {
                note(&world, &report);
                report.answer.ok()
            })
        });
        let end = tokio::time::sleep(self.timeout);
        tokio::pin!(end);
        let how = tokio::select! {
            biased;
            handled = &mut running => match handled {
                Ok(answer) => {
                    self.idle.lock().unwrap().push((environment, intake));
                    self.world.remember(("answer", answer.is_some()));
                    let answer = answer.ok_or(Failure::Error)?;
                    let unheard = self.world.strikes("lambda: loses the answer");
                    return if unheard { Err(Failure::Unheard) } else { Ok(answer) };
                }
                Err(panic) => {
                    self.problems.lock().unwrap().push(format!("I8: panic: {panic}"));
                    return Err(Failure::Error);
                }
            },
            () = environment.told.notified() => environment.stopped.lock().unwrap().take(),
            () = &mut end => None,
        };
        match how {
            Some(Stop::Crash) => Err(Failure::Crashed),
            None => {
                let problem = "I10: no answer within the timeout".to_owned();
                self.problems.lock().unwrap().push(problem);
                Err(Failure::TimedOut)
            }
            Some(Stop::Freeze) => {
                end.await;
                spawn_local(wake(Arc::clone(&self.world), environment, running));
                Err(Failure::TimedOut)
            }
        }
    }
}

/// Makes the lake of a process, in an environment of its own.
pub fn lake(
    world: &Arc<World>,
    memory: &Arc<Memory>,
    environment: &Arc<Environment>,
    clock: Clock,
    config_hash: &str,
) -> Lake {
    let files = Arc::new(Faulty {
        world: Arc::clone(world),
        memory: Arc::clone(memory),
        environment: Arc::clone(environment),
    });
    let removal = Arc::clone(&files);
    Lake::with(files, LAKE.to_owned(), config_hash.to_owned(), clock).removing(removal)
}

fn note(world: &World, report: &InvocationReport) {
    for (_, landed) in report.passes.iter().flat_map(|it| it.report.tables.values()) {
        if !landed.pending.is_empty() {
            world.note("sometimes: rows are left to others");
        }
        if landed.taken.landed > 0 {
            world.note("sometimes: a commit takes pending rows along");
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Option<String>, String>>>>;

/// Lets a frozen process go on after its timeout, when Lambda no longer reads its answer.
async fn wake(world: Arc<World>, environment: Arc<Environment>, running: Running) {
    world.pause(500, 180_000).await;
    environment.woken.notify_one();
    tokio::select! {
        _ = running => world.note("a zombie ran to its end"),
        () = environment.told.notified() => {}
    }
}

/// A future whose panic is an error, as in the real function.
struct PanicGuard<F>(Pin<Box<F>>);

impl<F: Future> Future for PanicGuard<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
                Poll::Ready(Err(text.unwrap_or_default()))
            }
        }
    }
}
