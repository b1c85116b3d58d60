//! When the rows of a manifest's files arrived. The manifest's name says it, so that a commit opens few.

use uuid::Uuid;

/// The longest time, in ms, between two arrivals of one message: a queue keeps it for at most fourteen
/// days, and then its DLQ.
pub const MAX_MOVE_MS: i64 = 28 * 24 * 3_600 * 1_000;

/// The arrivals of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// All arrived in this interval.
    Within(Interval),
    /// Some came through a DLQ, which gave them a later arrival: all arrived first in this interval.
    Moved(Interval),
    /// Any: some have no arrival.
    Unknown,
}

/// A closed interval, in ms since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// Its first millisecond.
    pub from: i64,
    /// Its last.
    pub to: i64,
}

impl Arrivals {
    /// The arrivals of rows, by the millisecond of each, if it is known. `moved` says whether some came
    /// through a DLQ.
    pub fn of(millis: impl IntoIterator<Item = Option<i64>>, moved: bool) -> Self {
        let mut all: Option<Interval> = None;
        for it in millis {
            let Some(at) = it else { return Self::Unknown };
            let one = Interval { from: at, to: at };
            all = Some(all.map_or(one, |all| all.and(one)));
        }
        match all {
            Some(Interval { from, to }) if moved => {
                Self::Moved(Interval { from: from.saturating_sub(MAX_MOVE_MS), to })
            }
            Some(interval) => Self::Within(interval),
            None => Self::Unknown,
        }
    }

    /// Makes a new name for a manifest: `m-<from>-<to>-<uuid>.avro`, of moved rows `w-…`, and
    /// `m-any-<uuid>.avro` if the arrivals are not known.
    pub fn file_name(self) -> String {
        let unique = Uuid::new_v4();
        match self {
            Self::Within(Interval { from, to }) if from >= 0 => {
                format!("m-{from}-{to}-{unique}.avro")
            }
            Self::Moved(Interval { from, to }) if from >= 0 => {
                format!("w-{from}-{to}-{unique}.avro")
            }
            Self::Within(_) | Self::Moved(_) | Self::Unknown => format!("m-any-{unique}.avro"),
        }
    }

    /// Makes a new name that says nothing, as those of other engines do: `f-<uuid>.avro`.
    pub fn foreign_name() -> String {
        format!("f-{}.avro", Uuid::new_v4())
    }

    /// Returns what a manifest's name says; `None` for a name that Lakeward does not give.
    pub fn of_manifest(location: &str) -> Option<Self> {
        let name = location.rsplit('/').next()?.strip_suffix(".avro")?;
        let (kind, rest) = name.split_once('-')?;
        if kind == "m" && rest.strip_prefix("any-").is_some_and(is_unique) {
            return Some(Self::Unknown);
        }
        let (from, rest) = rest.split_once('-')?;
        let (to, unique) = rest.split_once('-')?;
        let interval = Interval { from: from.parse().ok()?, to: to.parse().ok()? };
        match kind {
            _ if !is_unique(unique) => None,
            "m" => Some(Self::Within(interval)),
            "w" => Some(Self::Moved(interval)),
            _ => None,
        }
    }

    /// Returns the number of the kind: manifests of two kinds are not merged.
    pub fn kind(self) -> u8 {
        match self {
            Self::Within(_) => 0,
            Self::Moved(_) => 1,
            Self::Unknown => 2,
        }
    }

    /// Returns the interval in which the rows arrived first; `None` means any.
    pub fn interval(self) -> Option<Interval> {
        match self {
            Self::Within(interval) | Self::Moved(interval) => Some(interval),
            Self::Unknown => None,
        }
    }

    /// Returns the arrivals of these rows and others of the same kind.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Within(one), Self::Within(other)) => Self::Within(one.and(other)),
            (Self::Moved(one), Self::Moved(other)) => Self::Moved(one.and(other)),
            _ => Self::Unknown,
        }
    }
}

impl Interval {
    fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

fn is_unique(text: &str) -> bool {
    Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_was_made_of() {
        const DAY: i64 = 24 * 3_600 * 1_000;
        let first = 40 * DAY;
        let within = Arrivals::of([Some(first + 5), Some(first), Some(first + 9)], false);
        assert_eq!(within, Arrivals::Within(Interval { from: first, to: first + 9 }));
        let moved = Arrivals::of([Some(first)], true);
        assert_eq!(moved, Arrivals::Moved(Interval { from: 12 * DAY, to: first }));
        for arrivals in
            [within, moved, Arrivals::of([Some(1), None], true), Arrivals::of([], false)]
        {
            let location = format!("s3://lake/test/rows/metadata/{}", arrivals.file_name());
            assert_eq!(Arrivals::of_manifest(&location), Some(arrivals), "{location}");
        }
        // Before 1970 the name would have a sign.
        let early = Arrivals::of([Some(1)], true).file_name();
        assert_eq!(Arrivals::of_manifest(&early), Some(Arrivals::Unknown), "{early}");
    }

    #[test]
    fn a_name_that_someone_else_gave_says_nothing() {
        let foreign = Arrivals::foreign_name();
        for name in [
            foreign.as_str(),
            "",
            "m-any.avro",
            "m-1-2-x.avro",
            "optimized-m-1.avro",
            "x-1-2-4dbb9d2c-9b6b-4a53-9a60-2b1d0b9f4d11.avro",
            "4dbb9d2c-9b6b-4a53-9a60-2b1d0b9f4d11-m0.avro",
            "m-1-2-4dbb9d2c-9b6b-4a53-9a60-2b1d0b9f4d11",
        ] {
            assert_eq!(Arrivals::of_manifest(name), None, "{name}");
        }
    }

    #[test]
    fn arrivals_of_two_kinds_are_unknown() {
        let within = |from, to| Arrivals::Within(Interval { from, to });
        let moved = |from, to| Arrivals::Moved(Interval { from, to });
        assert_eq!(within(3, 5).and(within(1, 4)), within(1, 5));
        assert_eq!(moved(3, 5).and(moved(4, 9)), moved(3, 9));
        for (one, other) in [(within(1, 2), moved(1, 2)), (Arrivals::Unknown, within(1, 2))] {
            assert_eq!(one.and(other), Arrivals::Unknown);
            assert_eq!(other.and(one), Arrivals::Unknown);
        }
    }
}
