//! Table names.

/// Number of bytes of the longest part of a table name.
pub const MAX_PART_BYTES: usize = 120;

/// `namespace.table`, each part `[a-z0-9_]+`, starting with a letter, at most 120 bytes: safe as
/// a path and as an identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    namespace: String,
    table: String,
}

/// An error of a text that is not a table name. Never quotes the text, which may come from a
/// record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTableName(pub String);

impl std::str::FromStr for TableName {
    type Err = BadTableName;

    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let Some((namespace, table)) = text.split_once('.') else {
            return Err(BadTableName("a table is named `namespace.table`".to_owned()));
        };
        check_part("namespace", namespace)?;
        check_part("table", table)?;
        Ok(Self { namespace: namespace.to_owned(), table: table.to_owned() })
    }
}

impl TableName {
    /// Lakeward's own namespace, which no route may fill.
    pub const OWN_NAMESPACE: &'static str = "lakeward";

    /// The quarantine table, `lakeward.quarantine`.
    pub fn quarantine() -> Self {
        Self { namespace: Self::OWN_NAMESPACE.to_owned(), table: "quarantine".to_owned() }
    }

    /// The table of quarantined records that have landed since, `lakeward.resolved`.
    pub fn resolved() -> Self {
        Self { namespace: Self::OWN_NAMESPACE.to_owned(), table: "resolved".to_owned() }
    }

    /// The table of records that are lost in their source and in no table, `lakeward.gaps`.
    pub fn gaps() -> Self {
        Self { namespace: Self::OWN_NAMESPACE.to_owned(), table: "gaps".to_owned() }
    }

    /// Returns whether it is one of Lakeward's own tables, which are in the lake of quarantine.
    pub fn is_own(&self) -> bool {
        self.namespace == Self::OWN_NAMESPACE
    }

    /// The part before the dot.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The part after the dot.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.namespace, self.table)
    }
}

/// Checks one part of a table name.
fn check_part(what: &str, part: &str) -> Result<(), BadTableName> {
    let problem = if !part.starts_with(|it: char| it.is_ascii_lowercase()) {
        "must begin with a letter a-z".to_owned()
    } else if part.len() > MAX_PART_BYTES {
        format!("is longer than {MAX_PART_BYTES} bytes")
    } else if !part.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        "may hold only a-z, 0-9 and _".to_owned()
    } else {
        return Ok(());
    };
    Err(BadTableName(format!("the {what} part of a table name {problem}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table_names() {
        for good in ["shop.orders", "s.o", "shop.orders_changes2", "lakeward.quarantine"] {
            assert_eq!(good.parse::<TableName>().unwrap().to_string(), good);
        }
        let long = format!("shop.{}", "x".repeat(121));
        for bad in [
            "",
            "orders",
            "shop.",
            ".orders",
            "Shop.orders",
            "shop.orders.x",
            "shop.1st",
            "shop._x",
            "shop.or-ders",
            "../x.y",
            "shop/x.orders",
            "shop.örders",
            "shop. orders",
            long.as_str(),
        ] {
            assert!(bad.parse::<TableName>().is_err(), "{bad:?}");
        }
        assert_eq!("lakeward.quarantine".parse(), Ok(TableName::quarantine()));
    }

    proptest! {
        #[test]
        fn a_table_name_is_a_path_and_an_identifier(text in "[a-z._/A-Z0-9\\\\-]{1,12}|.{0,8}") {
            if let Ok(name) = text.parse::<TableName>() {
                prop_assert_eq!(name.to_string(), text);
                for part in [name.namespace(), name.table()] {
                    prop_assert!(part.len() <= MAX_PART_BYTES);
                    prop_assert!(part.starts_with(|it: char| it.is_ascii_lowercase()));
                    let is_plain = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_');
                    prop_assert!(part.bytes().all(is_plain));
                }
            }
        }
    }
}
