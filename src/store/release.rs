//! Releases of Lakeward, and which of them may write to a table: tables outlive releases, and
//! during a deployment two of them write to one table at the same time.

use iceberg::spec::TableMetadata;

/// Table property with the format of Lakeward's conventions; a table without it has format 1.
pub const FORMAT_PROPERTY: &str = "lakeward.format";
/// Table property with the lowest release that may write to the table.
pub const MIN_WRITER_PROPERTY: &str = "lakeward.min-writer";
/// The format of a table without the property.
const FIRST_FORMAT: u32 = 1;
/// The format that this release writes.
const FORMAT: u32 = 1;
/// The first release that wrote [`FORMAT`]: any later release may be rolled back to it.
const MIN_WRITER: &str = "0.1.0";

/// A release, as tables see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version, `0.1.0`.
    pub version: String,
    /// The format of new tables, and the newest format that it may write to.
    pub format: u32,
    /// The lowest release that may write that format.
    pub min_writer: String,
}

impl Release {
    /// This release.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            min_writer: MIN_WRITER.to_owned(),
        }
    }

    /// Returns the properties of new tables that tell which releases may write to them.
    pub fn properties(&self) -> [(&'static str, String); 2] {
        [(FORMAT_PROPERTY, self.format.to_string()), (MIN_WRITER_PROPERTY, self.min_writer.clone())]
    }

    /// Checks that this release may write to a table.
    ///
    /// # Errors
    /// Where it may not: the reason and the remedy, for an operator.
    pub fn may_write(&self, metadata: &TableMetadata) -> Result<(), String> {
        let property = |name: &str| metadata.properties().get(name).map(String::as_str);
        let min_writer = property(MIN_WRITER_PROPERTY).map(|it| {
            let unreadable = || self.unreadable(MIN_WRITER_PROPERTY, it);
            numbers(it).ok_or_else(unreadable).map(|numbers| (it, numbers))
        });
        let min_writer = min_writer.transpose()?;
        let format = match property(FORMAT_PROPERTY) {
            None => FIRST_FORMAT,
            Some(it) => {
                let read = it.parse::<u32>().ok();
                read.ok_or_else(|| self.unreadable(FORMAT_PROPERTY, it))?
            }
        };
        let own = numbers(without_suffix(&self.version)).unwrap_or_default();
        match min_writer {
            Some((min_writer, numbers)) if numbers > own => Err(format!(
                "only release {min_writer} or newer may write to it, and this is release {}: use \
                 release {min_writer} or newer; nothing was written",
                self.version
            )),
            _ if format > self.format => Err(format!(
                "it has format {format}, and this release, {}, writes up to format {}: use a newer \
                 release; nothing was written",
                self.version, self.format
            )),
            _ => Ok(()),
        }
    }

    fn unreadable(&self, property: &str, value: &str) -> String {
        format!(
            "its property {property} is {value:?}, which this release, {}, can't read: use a newer \
             release, or correct the property; nothing was written",
            self.version
        )
    }
}

/// Returns a version up to its suffix: `0.2.0-rc.1` comes before `0.2.0` and writes like it.
fn without_suffix(version: &str) -> &str {
    version.split(['-', '+']).next().unwrap_or_default()
}

/// Returns the dotted numbers of a version without trailing zeros: `0.1` is `0.1.0`. `None` for any
/// other text.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let number = |it: &str| {
        let digits = !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| it.parse().ok()).flatten()
    };
    let mut numbers = version.split('.').map(number).collect::<Option<Vec<u64>>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadataBuilder};

    use super::*;

    fn table(properties: &[(&str, &str)]) -> TableMetadata {
        let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let metadata = TableMetadataBuilder::new(
            Schema::builder().build().unwrap(),
            PartitionSpec::unpartition_spec(),
            SortOrder::unsorted_order(),
            "memory:/t".to_owned(),
            FormatVersion::V2,
            properties.collect(),
        );
        metadata.unwrap().build().unwrap().metadata
    }

    fn may(version: &str, properties: &[(&str, &str)]) -> Result<(), String> {
        let version = version.to_owned();
        Release { version, format: 1, min_writer: "0.1.0".to_owned() }.may_write(&table(properties))
    }

    #[test]
    fn a_release_writes_formats_that_it_knows() {
        for min_writer in ["0.1.0", "0.1", "0", "0.9.9", "0.10.0", "00.2.0"] {
            assert_eq!(may("0.10.0", &[("lakeward.min-writer", min_writer)]), Ok(()));
        }
        assert_eq!(may("0.1.0", &[]), Ok(()), "a table without properties has format 1");
        assert_eq!(may("0.2.0-rc.1", &[("lakeward.min-writer", "0.2.0")]), Ok(()));
        assert_eq!(may("0.1.0", &[("lakeward.format", "1")]), Ok(()));
    }

    #[test]
    fn a_release_that_is_too_old_names_the_one_to_use() {
        for min_writer in ["0.9.10", "0.10", "1", "9.9.9", "99999999999.0.0"] {
            let refused = may("0.9.9", &[("lakeward.min-writer", min_writer)]).unwrap_err();
            let remedy = format!("use release {min_writer} or newer; nothing was written");
            assert!(refused.contains("0.9.9") && refused.ends_with(&remedy), "{refused}");
        }
        assert_eq!(
            may("0.1.0", &[("lakeward.format", "2")]).unwrap_err(),
            "it has format 2, and this release, 0.1.0, writes up to format 1: use a newer release; \
             nothing was written"
        );
        let both = [("lakeward.format", "2"), ("lakeward.min-writer", "2.0.0")];
        let refused = may("0.1.0", &both).unwrap_err();
        assert!(refused.ends_with("use release 2.0.0 or newer; nothing was written"), "{refused}");
    }

    #[test]
    fn unreadable_properties_are_refused() {
        for min_writer in ["", " 0.1.0", "0.1.0-rc", "latest", "0..1", "-1", "99999999999999999999"]
        {
            let refused = may("0.1.0", &[("lakeward.min-writer", min_writer)]).unwrap_err();
            assert!(refused.contains("lakeward.min-writer") && refused.contains("0.1.0"));
        }
        for format in ["", "one", "-1", "1.5", "99999999999"] {
            let refused = may("9.0.0", &[("lakeward.format", format)]).unwrap_err();
            assert!(refused.contains("lakeward.format"), "{refused}");
        }
    }

    #[test]
    fn this_release_may_write_to_its_own_tables() {
        let current = Release::current();
        let properties = current.properties();
        let properties = properties.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(may(&current.version, &properties), Ok(()));
    }
}
