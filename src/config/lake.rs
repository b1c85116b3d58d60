//! `[lake]` and `[quarantine]`

use toml::de::{DeTable, DeValue};

use crate::config::document::Reader;
use crate::config::keys::{LAKE, QUARANTINE};
use crate::config::problem::Problem;
use crate::config::values::{location, numbers, one_of, refuse_later};
use crate::name::Names;
use crate::quarantine::Keep;
use crate::table::layout::Policy;

/// `[lake]`
#[derive(Default)]
pub(super) struct DraftLake {
    pub location: Option<String>,
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
