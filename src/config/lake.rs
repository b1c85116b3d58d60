//! `[lake]` and `[quarantine]`

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::config::document::Reader;
use crate::config::keys::{LAKE, QUARANTINE};
use crate::config::problem::Problem;
use crate::config::values::{duration, location, numbers, one_of, refuse_later};
use crate::name::Names;
use crate::quarantine::Keep;
use crate::store::Retention;
use crate::table::layout::Policy;

/// The longest retention of snapshots, metadata and data files.
const MAX_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// `[lake]`
#[derive(Default)]
pub(super) struct DraftLake {
    pub location: Option<String>,
    pub keep_snapshots_for: Option<Duration>,
    pub keep_metadata_for: Option<Duration>,
    pub keep_data_for: Option<Duration>,
    /// Policy of every table, unless its own section differs.
    pub policy: Policy,
}

impl DraftLake {
    pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
        let mut lake = Self::default();
        let item = root.get("lake");
        if let Some(mut keys) = item.and_then(|it| reader.section(&LAKE, it)) {
            for key in LAKE.keys {
                keys.text(key, |text| lake.set(key, text));
            }
        }
        lake
    }

    /// Sets a key to the value that `text` stands for.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<(), Problem> {
        let names = [("snake", Names::Snake), ("lower", Names::Lower), ("keep", Names::Keep)];
        let timestamps = [("timestamp", false), ("timestamptz", true)];
        let policy = &mut self.policy;
        match key {
            "location" => self.location = Some(location(text)?),
            "keep_snapshots_for" => {
                self.keep_snapshots_for = Some(retention(key, text, Duration::ZERO)?);
            }
            "keep_metadata_for" => {
                self.keep_metadata_for = Some(retention(key, text, Retention::MIN_METADATA)?);
            }
            "keep_data_for" => {
                self.keep_data_for = Some(retention(key, text, Retention::MIN_DATA)?);
            }
            "names" => policy.names = one_of(key, text, &names)?,
            "numbers" => policy.numbers = numbers(text)?,
            "timestamps" => policy.zoned = one_of(key, text, &timestamps)?,
            "catalog" => {
                refuse_later(key, text, &["glue", "s3tables"])?;
                one_of(key, text, &[("files", ())])?;
            }
            "commit" => {
                refuse_later(key, text, &["queue"])?;
                one_of(key, text, &[("auto", ()), ("direct", ())])?;
            }
            _ => return Err(LAKE.unknown(key)),
        }
        Ok(())
    }
}

/// Parses the time for which something is kept, `min` or longer.
fn retention(key: &str, text: &str, min: Duration) -> Result<Duration, Problem> {
    let micros = duration(text).and_then(|it| u64::try_from(it).ok());
    let found = micros.map(Duration::from_micros).filter(|it| (min..=MAX_RETENTION).contains(it));
    found.ok_or_else(|| {
        let range = match min.as_secs() / (24 * 60 * 60) {
            0 => "of up to 30 days".to_owned(),
            days => format!("from {days} to 30 days"),
        };
        Problem::new(
            format!("`{key}` \"{text}\" is not a duration {range}"),
            "write a whole number of days, hours or minutes: \"7d\", \"12h\", \"90m\"",
        )
    })
}

/// `[quarantine]`
#[derive(Default)]
pub(super) struct DraftQuarantine {
    pub location: Option<String>,
    pub keep: Keep,
    pub reject_limit: Option<f64>,
}

impl DraftQuarantine {
    pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
        let item = root.get("quarantine");
        let Some(mut keys) = item.and_then(|it| reader.section(&QUARANTINE, it)) else {
            return Self::default();
        };
        let payload = [("raw", Keep::Raw), ("none", Keep::None)];
        let remedy = "write the largest share of rejected records that is still normal, such as \
                      0.5; 1.0 turns the limit off";
        Self {
            location: keys.text("location", location),
            keep: keys.one_of("payload", &payload).unwrap_or_default(),
            reject_limit: keys.convert("reject_limit", "a number from 0 to 1", remedy, share),
        }
    }
}

fn share(value: &DeValue<'_>) -> Option<f64> {
    let share = match value {
        DeValue::Integer(it) => it.as_str().parse().ok(),
        DeValue::Float(it) => it.as_str().parse().ok(),
        _ => None,
    };
    share.filter(|it| (0.0..=1.0).contains(it))
}
