//! Decides whether a writer commits, or leaves its rows to whoever does.
//!
//! Where many write to one table, most swaps are lost, and each lost one is work done in vain. A writer
//! that has lost one leaves its rows while others commit, so that the head moves as fast as it can and
//! takes the rows of all along. One of them always commits: a head that has not moved for two seconds, or
//! that is a writer's own, shuts no gate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::store::clock::Clock;
use crate::store::head::HeadVersion;

/// The time after a lost swap in which the table counts as contended.
const CONTENDED: Duration = Duration::from_secs(60);
/// The age up to which a head shows that others are committing.
const YOUNG: Duration = Duration::from_secs(2);
/// The time after rows were left in which the next ones are left without a look at the head.
const UNASKED: Duration = Duration::from_secs(1);

/// The knowledge of this process about others that write to a table.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The last time that a swap was lost.
    lost_at: Option<SystemTime>,
    /// The last time that rows were left after a look at the head.
    left_at: Option<SystemTime>,
    /// The commit of the head that this process made last.
    own: Option<String>,
    /// The commit of the head at the last look for pending rows, or of this process since.
    known: Option<String>,
    /// Whether there may be pending rows that the last look has not shown.
    may_wait: bool,
}

impl Gate {
    /// A gate that is open.
    pub fn new(clock: Clock) -> Self {
        Self { clock, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_within(&self, time: Option<SystemTime>, age: Duration) -> bool {
        time.is_some_and(|it| !self.clock.is_older(it, age))
    }

    /// Notes that another commit has won.
    pub fn lost(&self) {
        let now = self.clock.now();
        let mut memory = self.memory();
        (memory.lost_at, memory.may_wait) = (Some(now), true);
    }

    /// Notes that a commit of this process has replaced `base`.
    pub fn won(&self, base: &HeadVersion, commit: &str) {
        let mut memory = self.memory();
        if memory.known.as_deref() == base.commit() {
            memory.known = Some(commit.to_owned());
        }
        memory.own = Some(commit.to_owned());
    }

    /// Notes that rows were left, after a look at the head that said so.
    pub fn left(&self) {
        let now = self.clock.now();
        self.memory().left_at = Some(now);
    }

    /// Returns true if rows are left without a look at the head, because the last look was a moment ago.
    pub fn is_still_shut(&self) -> bool {
        let left_at = self.memory().left_at;
        self.is_within(left_at, UNASKED)
    }

    /// Returns true if this head shows that others commit, so that rows are left to them.
    pub fn is_shut(&self, head: &HeadVersion) -> bool {
        let (lost_at, is_own) = {
            let memory = self.memory();
            (memory.lost_at, memory.own.is_some() && memory.own.as_deref() == head.commit())
        };
        let millis = u64::try_from(head.metadata.last_updated_ms()).unwrap_or(0);
        let moved_at = UNIX_EPOCH + Duration::from_millis(millis);
        // A head of a clock that is ahead has no age that is known here: it shuts nothing.
        !is_own && self.is_within(lost_at, CONTENDED) && self.is_within(Some(moved_at), YOUNG)
    }

    /// Returns true if there may be pending rows: at the first look, after a lost swap, after others have
    /// moved the head, and where the last look found some. So a single writer lists once.
    pub fn may_have_pending(&self, head: &HeadVersion) -> bool {
        let memory = self.memory();
        memory.may_wait || memory.known.is_none() || memory.known.as_deref() != head.commit()
    }

    /// Notes a look for pending rows at this head: whether there were some.
    pub fn looked(&self, head: &HeadVersion, found: bool) {
        let mut memory = self.memory();
        memory.known = head.commit().map(str::to_owned);
        memory.may_wait = found;
    }
}
