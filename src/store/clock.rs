//! The wall clock of commits, which tests replace to let time pass.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wall clock. Heads age by it even while an execution environment is frozen, which a monotonic
/// clock would not notice.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that tests set.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time now.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    pub fn millis(&self) -> i64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Returns whether `then` is more than `age` ago, or ahead of this clock: then its age is
    /// unknown.
    pub fn is_older(&self, then: SystemTime, age: Duration) -> bool {
        self.now().duration_since(then).map_or(true, |passed| passed > age)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
