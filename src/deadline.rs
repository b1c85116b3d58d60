//! The time that an invocation has left, and the part of it that is kept for answering.

use std::time::Duration;

use tokio::time::Instant;

/// The reserve for answering is the time left divided by this…
const RESERVE_DIVISOR: f64 = 10.0;
/// …at least this long…
const MIN_RESERVE: Duration = Duration::from_millis(250);
/// …and at most this long.
const MAX_RESERVE: Duration = Duration::from_secs(5);

/// The moments after which no new work is begun, and after which nothing is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    limits: Option<Limits>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    half: Instant,
    no_new_work: Instant,
    no_waiting: Instant,
}

impl Deadline {
    /// No limit: the command line.
    pub fn none() -> Self {
        Self { limits: None }
    }

    /// The deadline of an invocation that ends in `left`. New work stops a reserve before that: a
    /// tenth of the time, at least 250 ms, at most 5 s; work under way then has half of the
    /// reserve.
    pub fn after(left: Duration) -> Self {
        let reserve = left.div_f64(RESERVE_DIVISOR).clamp(MIN_RESERVE, MAX_RESERVE);
        let now = Instant::now();
        let half = now + left.div_f64(2.0);
        let no_new_work = now + left.saturating_sub(reserve);
        let no_waiting = now + left.saturating_sub(reserve.div_f64(2.0));
        Self { limits: Some(Limits { half, no_new_work, no_waiting }) }
    }

    /// Returns whether it is too late to begin new work.
    pub fn passed(&self) -> bool {
        self.limits.is_some_and(|it| Instant::now() >= it.no_new_work)
    }

    /// Returns the deadline of work that may take half of the time.
    pub fn first_half(&self) -> Self {
        let half = |it: Limits| Limits { no_new_work: it.half, no_waiting: it.half, ..it };
        Self { limits: self.limits.map(half) }
    }

    /// Returns whether half of the time is over: what was in vain so far is better left to others.
    pub fn is_half_over(&self) -> bool {
        self.limits.is_some_and(|it| Instant::now() >= it.half)
    }

    /// Returns true if new work that takes `time` ends before it is too late to begin any.
    pub fn leaves(&self, time: Duration) -> bool {
        self.limits.is_none_or(|it| Instant::now() + time < it.no_new_work)
    }

    /// Returns how long new work may still begin; `None` without a limit.
    pub fn left(&self) -> Option<Duration> {
        self.limits.map(|it| it.no_new_work.saturating_duration_since(Instant::now()))
    }

    /// Waits for work that is under way for as long as there is time; `None` if time is up before.
    pub async fn wait_for<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.limits {
            None => Some(Box::pin(work).await),
            Some(limits) => tokio::time::timeout_at(limits.no_waiting, Box::pin(work)).await.ok(),
        }
    }
}
