//! Decides whether a writer commits, or leaves its rows to whoever does.
//!
//! Where many write to one table, most swaps are lost, and each lost one is work done in vain. A writer
//! that has lost one leaves its rows while others commit, so that the head moves as fast as it can and
//! takes the rows of all along. One of them always commits: a head that has not moved for two seconds, or
//! that is a writer's own, shuts no gate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iceberg::spec::Operation;

use crate::store::clock::Clock;
use crate::store::head::{COMMIT_PROPERTY, HeadVersion};

/// The time after a lost swap in which the table counts as contended.
const CONTENDED: Duration = Duration::from_secs(60);
/// The age up to which a head shows that others are committing. Each process adds a time of its own, so that
/// not all of them try at once where commits take longer.
const YOUNG: Duration = Duration::from_secs(2);
/// The longest time that a process adds.
const MAX_PATIENCE_MS: u64 = 4_000;
/// The memory of pending rows, in bytes, that a commit takes along at least, at first, and at most.
const MIN_TAKEN: usize = 256 * 1024;
const FIRST_TAKEN: usize = 4 * 1024 * 1024;
const MAX_TAKEN: usize = 16 * 1024 * 1024;
/// The time of a commit up to which the next one takes more along, and from which on less: while one is
/// under way, the rows of others wait.
const QUICK: Duration = Duration::from_millis(1_000);
const SLOW: Duration = Duration::from_millis(1_500);
/// The time after rows were left in which the next ones are left without a look at the head.
const UNASKED: Duration = Duration::from_secs(1);

/// The knowledge of this process about others that write to a table.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    /// The age up to which a head of others is young for this process.
    young: Duration,
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
    /// The time of that look.
    looked_at: Option<SystemTime>,
    /// Whether there may be pending rows that the last look has not shown.
    may_wait: bool,
    /// The memory of pending rows that the next commit takes along.
    max_taken: usize,
}

impl Gate {
    /// A gate that is open.
    pub fn new(clock: Clock) -> Self {
        let patience = Duration::from_millis(fastrand::u64(..MAX_PATIENCE_MS));
        let memory = Memory { max_taken: FIRST_TAKEN, ..Memory::default() };
        Self { clock, young: YOUNG + patience, memory: Mutex::new(memory) }
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

    /// Notes that rows were left; `asked` says whether after a look at a head that shut the gate.
    pub fn left(&self, asked: bool) {
        let now = self.clock.now();
        let mut memory = self.memory();
        memory.may_wait = true;
        if asked {
            memory.left_at = Some(now);
        }
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
        !is_own && takes_along(head) && self.is_within(lost_at, CONTENDED) && self.is_young(head)
    }

    /// Returns whether a head was made a moment ago. One of a clock that is ahead has no age that is known
    /// here.
    fn is_young(&self, head: &HeadVersion) -> bool {
        let millis = u64::try_from(head.metadata.last_updated_ms()).unwrap_or(0);
        self.is_within(Some(UNIX_EPOCH + Duration::from_millis(millis)), self.young)
    }

    /// Returns true if there may be pending rows: at the first look, after a lost swap, after others have
    /// moved the head, where the last look found some, and every two seconds while this process alone
    /// moves the head, because others then leave their rows to it. So a quiet single writer lists once.
    pub fn may_have_pending(&self, head: &HeadVersion) -> bool {
        let is_known = {
            let memory = self.memory();
            let is_known = memory.known.is_some() && memory.known.as_deref() == head.commit();
            is_known && !memory.may_wait
        };
        let looked_at = self.memory().looked_at;
        !is_known || self.is_young(head) && !self.is_within(looked_at, YOUNG)
    }

    /// Returns the memory of pending rows that the next commit takes along at most.
    pub fn max_taken(&self) -> usize {
        self.memory().max_taken
    }

    /// Notes how long a commit took that has taken pending rows along, and how much memory they took.
    pub fn took(&self, weight: usize, time: Duration) {
        let mut memory = self.memory();
        if time > SLOW {
            memory.max_taken = (memory.max_taken / 2).max(MIN_TAKEN);
        } else if time < QUICK && weight >= memory.max_taken {
            memory.max_taken = memory.max_taken.saturating_mul(2).min(MAX_TAKEN);
        }
    }

    /// Returns whether this process has looked for pending rows before.
    pub fn has_looked(&self) -> bool {
        self.memory().looked_at.is_some()
    }

    /// Notes a look for pending rows at this head: whether there were some.
    pub fn looked(&self, head: &HeadVersion, found: bool) {
        let now = self.clock.now();
        let mut memory = self.memory();
        memory.known = head.commit().map(str::to_owned);
        memory.looked_at = Some(now);
        memory.may_wait = found;
    }
}

/// Returns true if a head was made by a commit of rows, which takes pending rows along. Compaction, a new
/// column, and other engines do not.
fn takes_along(head: &HeadVersion) -> bool {
    let Some(summary) = head.metadata.current_snapshot().map(|it| it.summary()) else {
        return false;
    };
    let commit = summary.additional_properties.get(COMMIT_PROPERTY).map(String::as_str);
    summary.operation == Operation::Append && commit.is_some() && commit == head.commit()
}
