//! The time of an event, from the field that a route's `event_at` names.

use crate::name;
use crate::record::Record;
use crate::route::path::Path;
use crate::table::Cell;
use crate::table::declared::DeclaredType;
use crate::table::layout::{DeclaredColumn, Policy};
use crate::time::Timestamp;
use crate::value::{Fields, Value};

/// Returns the time of an event from the field at `path`: of its row's fields, or of the record's
/// metadata, if the path leads there. It is read as the declared type of that field (`timestamp(…)`,
/// `date`) if the table declares one, else as RFC 3339 text. `None` if the field is missing or does
/// not fit; numbers are never guessed.
pub fn event_time(
    path: &Path,
    policy: &Policy,
    record: &Record,
    row: &Fields,
) -> Option<Timestamp> {
    let value = record.find_in(row, path.parts())?;
    let declared = match record.metadata_at(path.parts()) {
        Some(_) => {
            let name = path.parts().join(".");
            policy.columns.iter().find(|it| it.name == name).map(|it| &it.ty)
        }
        None => declared(path, policy),
    };
    time(value, declared)
}

fn time(value: &Value, declared: Option<&DeclaredType>) -> Option<Timestamp> {
    match declared {
        Some(ty @ (DeclaredType::Epoch(_) | DeclaredType::Rfc3339 | DeclaredType::Date)) => {
            match ty.fit(value)? {
                Cell::Micros(micros) => Timestamp::from_micros(micros),
                Cell::Date(days) => {
                    Timestamp::from_micros(i64::from(days).checked_mul(86_400_000_000)?)
                }
                _ => None,
            }
        }
        _ => match value {
            Value::Text(text) => Timestamp::from_rfc3339(text),
            _ => None,
        },
    }
}

/// Returns the declared type at `path`: of the column, and within a declared struct of its field.
fn declared<'a>(path: &Path, policy: &'a Policy) -> Option<&'a DeclaredType> {
    let (first, rest) = path.parts().split_first()?;
    let column = policy.columns.iter().find(|it| it.name == *first).or_else(|| {
        let short = name::short(first, policy.names);
        let same = |it: &&DeclaredColumn| name::declared(&it.name, policy.names) == short;
        policy.columns.iter().find(same)
    })?;
    rest.iter().try_fold(&column.ty, |ty, part| match ty {
        DeclaredType::Struct(fields) => {
            fields.iter().find(|(name, _)| name == part).map(|it| &it.1)
        }
        _ => None,
    })
}
