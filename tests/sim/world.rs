//! State that all parts of a run share: chance, virtual time, and a history.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lakeward::store::clock::Clock;
use tokio::time::Instant;

/// 2026-11-23T10:00:00Z, when every run begins.
pub const MORNING: u64 = 1_795_428_000;

/// Faults. Each run turns some of them on, each with a rate of its own.
pub const FAULTS: [&str; 26] = [
    "read: refused",
    "read: hangs",
    "read: breaks off",
    "list: refused",
    "write: refused",
    "write: hangs",
    "write: done, answer lost",
    "write: refused, done later",
    "create: refused",
    "create: hangs",
    "create: done, answer lost",
    "create: refused, done later",
    "create: done, told it was there",
    "create: not done, told it was there",
    "hint: refused",
    "hint: done, answer lost",
    "hint: told that it changed",
    "remove: refused",
    "remove: breaks off",
    "store: slow",
    "function: crashes",
    "function: freezes, and wakes after its retry",
    "lambda: loses the answer",
    "lambda: delivers a batch twice at once",
    "lambda: delivers a batch again later",
    "lambda: a record twice in a batch",
];

/// One run. Everything random in it comes from its seed.
pub struct World {
    random: Mutex<fastrand::Rng>,
    /// Chance of each fault in this run.
    rates: BTreeMap<&'static str, f64>,
    happened: Mutex<BTreeMap<&'static str, u64>>,
    history: Mutex<DefaultHasher>,
    failing: AtomicBool,
    began: Instant,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // One run in eight is without faults; the others have a third of them.
        let calm = random.u8(..8) == 0;
        let rates = FAULTS.iter().filter_map(|fault| {
            let on = !calm && random.u8(..3) == 0;
            on.then(|| (*fault, 0.01 + random.f64() * 0.12))
        });
        Self {
            rates: rates.collect(),
            random: Mutex::new(random),
            happened: Mutex::default(),
            history: Mutex::default(),
            failing: AtomicBool::new(true),
            began: Instant::now(),
        }
    }

    /// Returns true if a fault comes now, and counts it.
    pub fn strikes(&self, fault: &'static str) -> bool {
        debug_assert!(FAULTS.contains(&fault), "{fault}");
        let rate = self.rates.get(fault).copied().unwrap_or_default();
        let strikes = self.failing.load(Ordering::Relaxed) && self.f64() < rate;
        if strikes {
            self.note(fault);
        }
        strikes
    }

    /// Counts that something has happened.
    pub fn note(&self, what: &'static str) {
        *self.happened.lock().unwrap().entry(what).or_default() += 1;
        self.remember(what);
    }

    /// Notes what a replay of the seed must repeat, in the same order at the same time.
    pub fn remember(&self, what: impl Hash) {
        let mut history = self.history.lock().unwrap();
        (self.began.elapsed().as_micros(), what).hash(&mut *history);
    }

    /// No fault from now on.
    pub fn calm_down(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.happened.lock().unwrap().clone()
    }

    pub fn history(&self) -> u64 {
        self.history.lock().unwrap().finish()
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> u64 {
        MORNING * 1000 + self.began.elapsed().as_millis() as u64
    }

    /// A clock for commits.
    pub fn clock(&self) -> Clock {
        self.clock_ahead(Duration::ZERO)
    }

    /// The same of a machine whose time is later.
    pub fn clock_ahead(&self, ahead: Duration) -> Clock {
        let began = self.began;
        Clock::from_fn(move || -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(MORNING) + began.elapsed() + ahead
        })
    }

    pub fn f64(&self) -> f64 {
        self.random.lock().unwrap().f64()
    }

    /// A number from `from` to below `to`.
    pub fn number(&self, from: usize, to: usize) -> usize {
        self.random.lock().unwrap().usize(from..to)
    }

    /// True once in so many times.
    pub fn one_in(&self, times: usize) -> bool {
        self.number(0, times) == 0
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.number(0, from.len())]
    }

    pub fn shuffle<T>(&self, items: &mut [T]) {
        self.random.lock().unwrap().shuffle(items);
    }

    /// Waits for a random while, in milliseconds.
    pub async fn pause(&self, from: usize, to: usize) {
        let millis = self.number(from, to) as u64;
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}
