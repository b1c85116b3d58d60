//! Table names with a part that each record fills in: `events.{type}`.

use crate::name::snake;
use crate::record::{Record, Reject};
use crate::route::path::Path;
use crate::table_name::{BadTableName, TableName};
use crate::value::Value;

/// A table name in which each of the two parts may contain one placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    namespace: Part,
    table: Part,
}

/// `before{path}after`, or `before` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    before: String,
    value: Option<Path>,
    after: String,
}

impl Template {
    /// Returns the name as the config has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the paths of the fields that fill it.
    pub fn fields(&self) -> impl Iterator<Item = &Path> {
        [&self.namespace, &self.table].into_iter().filter_map(|it| it.value.as_ref())
    }

    /// Returns the table of a record, as it was delivered. Values follow the rules for names:
    /// `OrderPlaced` fills in `order_placed`.
    pub fn fill(&self, record: &Record) -> Result<TableName, Reject> {
        let name = format!("{}.{}", self.namespace.fill(record)?, self.table.fill(record)?);
        let name: TableName = name.parse().map_err(|error: BadTableName| {
            Reject::new("no_table", format!("its fields do not make a table name: {error}"))
        })?;
        if name.namespace() == TableName::OWN_NAMESPACE {
            return Err(Reject::new("no_table", "its fields name one of Lakeward's own tables"));
        }
        Ok(name)
    }

    /// Returns the namespace of its tables; `None` if records fill it in.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.value.is_none().then_some(self.namespace.before.as_str())
    }

    /// Returns true if a record could fill in this namespace.
    pub fn makes_namespace(&self, namespace: &str) -> bool {
        self.namespace.makes(namespace)
    }

    /// Returns true if a record could fill in this name.
    pub fn makes(&self, table: &TableName) -> bool {
        self.namespace.makes(table.namespace()) && self.table.makes(table.table())
    }
}

impl Part {
    fn fill(&self, record: &Record) -> Result<String, Reject> {
        let Part { before, value, after } = self;
        let Some(path) = value else { return Ok(before.clone()) };
        let value = match record.find(path.parts()) {
            Some(Value::Text(text)) if !text.is_empty() => text.clone(),
            Some(Value::Number(number)) => number.literal().to_owned(),
            Some(Value::Bool(it)) => it.to_string(),
            _ => {
                let detail =
                    format!("field {path}, which names its table, is missing or not a text");
                return Err(Reject::new("no_table", detail));
            }
        };
        let name = snake(&value);
        // Only a whole name must not begin with a digit.
        let digit = !before.is_empty() && value.starts_with(|it: char| it.is_ascii_digit());
        let name = if digit { name.strip_prefix('n').unwrap_or(&name) } else { &name };
        Ok(format!("{before}{name}{after}"))
    }

    fn makes(&self, name: &str) -> bool {
        match &self.value {
            None => name == self.before,
            Some(_) => name
                .strip_prefix(self.before.as_str())
                .is_some_and(|it| it.len() > self.after.len() && it.ends_with(&self.after)),
        }
    }
}

impl std::str::FromStr for Template {
    type Err = BadTableName;

    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let (namespace, table) = halves(text)
            .ok_or_else(|| BadTableName("a table is named `namespace.table`".to_owned()))?;
        let template =
            Self { text: text.to_owned(), namespace: namespace.parse()?, table: table.parse()? };
        // The texts around the values must be parts of a name.
        let sample = |part: &Part| match &part.value {
            None => part.before.clone(),
            Some(_) => format!("{}x{}", part.before, part.after),
        };
        let sample = format!("{}.{}", sample(&template.namespace), sample(&template.table));
        sample.parse::<TableName>()?;
        Ok(template)
    }
}

/// Splits a text at its first dot outside of a placeholder.
fn halves(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let at = text.char_indices().find(|(_, it)| {
        match it {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *it == '.' && depth == 0
    })?;
    let (namespace, rest) = text.split_at_checked(at.0)?;
    Some((namespace, rest.strip_prefix('.')?))
}

impl std::str::FromStr for Part {
    type Err = BadTableName;

    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let bad = |what: &str| Err(BadTableName(what.to_owned()));
        let Some((before, rest)) = text.split_once('{') else {
            if text.contains('}') {
                return bad("a placeholder is written {field}");
            }
            return Ok(Self { before: text.to_owned(), value: None, after: String::new() });
        };
        let Some((path, after)) = rest.split_once('}') else {
            return bad("a placeholder is written {field}");
        };
        if after.contains(['{', '}']) {
            return bad("each of the two parts of a table name may contain one placeholder");
        }
        let path = path.parse::<Path>().map_err(|error| BadTableName(error.to_string()))?;
        Ok(Self { before: before.to_owned(), value: Some(path), after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Op, Payload};
    use crate::value::Fields;

    fn record(fields: &[(&str, &str)]) -> Record {
        let value = |it: &str| match it.parse::<i64>() {
            Ok(_) => Value::Number(crate::number::Number::parse(it).unwrap()),
            Err(_) => Value::Text(it.to_owned()),
        };
        let fields: Fields =
            fields.iter().map(|(name, it)| ((*name).to_owned(), value(it))).collect();
        Record {
            key: None,
            op: Op::Event,
            deleted_by: None,
            payload: Payload::Event(fields),
            attributes: None,
            envelope: None,
        }
    }

    #[expect(clippy::unwrap_in_result, reason = "a test may panic")]
    fn filled(template: &str, fields: &[(&str, &str)]) -> Result<String, &'static str> {
        let template: Template = template.parse().unwrap();
        let table = template.fill(&record(fields)).map_err(|it| it.reason)?;
        assert!(template.makes(&table), "{table}");
        Ok(table.to_string())
    }

    #[test]
    fn values_fill_in_names() {
        for (template, value, expected) in [
            ("events.{type}", "OrderPlaced", "events.order_placed"),
            ("events.{type}", "order-placed", "events.order_placed"),
            ("events.{type}", "2nd", "events.n2nd"),
            ("events.v{type}", "2", "events.v2"),
            ("events.raw_{type}_v1", "Click", "events.raw_click_v1"),
            ("{type}.changes", "Shop", "shop.changes"),
        ] {
            assert_eq!(filled(template, &[("type", value)]), Ok(expected.to_owned()));
        }
        let both = filled("{a}.{b}", &[("a", "x"), ("b", "y")]);
        assert_eq!(both, Ok("x.y".to_owned()));
    }

    #[test]
    fn a_value_that_can_not_be_a_name_rejects_its_record() {
        let long = "x".repeat(200);
        for value in ["", "\u{65e5}", "_a", "---"] {
            assert_eq!(filled("events.{type}", &[("type", value)]), Err("no_table"), "{value}");
        }
        assert_eq!(filled("events.e{type}", &[("type", &long)]), Err("no_table"));
        assert_eq!(filled("events.{type}", &[]), Err("no_table"));
        assert_eq!(filled("{a}.quarantine", &[("a", "lakeward")]), Err("no_table"));
    }

    #[test]
    fn a_name_knows_whether_it_was_filled_in() {
        let template: Template = "events.raw_{type}".parse().unwrap();
        let makes = |it: &str| template.makes(&it.parse().unwrap());
        assert!(makes("events.raw_x"));
        assert!(!makes("events.raw_"));
        assert!(!makes("events.other"));
        assert!(!makes("web.raw_x"));
    }

    #[test]
    fn other_texts_are_not_templates() {
        for (text, part) in [
            ("events", "namespace.table"),
            ("events.{type", "is written {field}"),
            ("events.type}", "is written {field}"),
            ("events.{a}{b}", "one placeholder"),
            ("events.{}", "lacks a name"),
            ("Events.{type}", "begin with a letter"),
            ("events.-{type}", "begin with a letter"),
        ] {
            let error = text.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!("events.{detail.type}".parse::<Template>().is_ok());
    }
}
