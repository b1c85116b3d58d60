//! The time for which a table keeps what it no longer needs.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The age up to which a commit adds files that it has written: later, upkeep may have removed them. A
/// process may be stopped, or its environment frozen, for days.
pub const MAX_FILE_AGE: Duration = HOUR.saturating_mul(12);

/// The time for which a table keeps what it no longer needs, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Snapshots, so that incremental readers can go on from them.
    pub snapshots: Duration,
    /// Manifests, and lists of them, that no snapshot names.
    pub metadata: Duration,
    /// Data files that no snapshot names.
    pub data: Duration,
}

impl Retention {
    /// The shortest time for manifests: a commit adds none that is half a day old, and a query may run a
    /// day.
    pub const MIN_METADATA: Duration = DAY.saturating_mul(2);
    /// The same for data files.
    pub const MIN_DATA: Duration = DAY.saturating_mul(3);
}

impl Default for Retention {
    fn default() -> Self {
        Self { snapshots: HOUR, metadata: Self::MIN_METADATA, data: Self::MIN_DATA }
    }
}
