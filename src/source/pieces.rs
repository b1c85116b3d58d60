//! A payload that holds several records: a JSON array, or JSON lines.

use bytes::Bytes;

use crate::json::{self, Json, JsonError};
use crate::record::Reject;
use crate::source::archive::{Budget, Packed};
use crate::source::members::too_deep;

/// First items of the arrays that SQS's extended client sends in place of a payload in S3.
const POINTERS: [&str; 2] = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
];
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a payload is.
pub(super) enum Payload<'a> {
    /// One JSON object.
    One(Vec<(std::borrow::Cow<'a, str>, Json<'a>)>),
    /// A text for each of several records, which [`object`] reads.
    Several(Vec<Bytes>),
}

/// Reads a payload, which `what` names.
pub(super) fn read<'a>(
    text: &'a Bytes,
    what: &str,
    budget: &mut Budget,
) -> Result<Payload<'a>, Packed> {
    let begin = text.strip_prefix(MARK).unwrap_or(text).trim_ascii_start();
    let found = if begin.starts_with(b"[") {
        array(text, what)
    } else {
        match json::parse(text) {
            Ok(Json::Object(members)) => return Ok(Payload::One(members)),
            Ok(_) => Err(no_object(what)),
            Err(error) => lines(text).ok_or_else(|| no_json(what, error)),
        }
    };
    let found = found.map_err(Packed::Bad)?;
    budget.count(found.len())?;
    Ok(Payload::Several(found.into_iter().map(|it| text.slice_ref(it)).collect()))
}

/// One of several records, which must be a JSON object.
pub(super) fn object(text: &[u8]) -> Result<Vec<(std::borrow::Cow<'_, str>, Json<'_>)>, Reject> {
    let what = "this one of several records";
    match json::parse(text) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(no_object(what)),
        Err(error) => Err(no_json(what, error)),
    }
}

fn no_json(what: &str, error: JsonError) -> Reject {
    if error.is_too_deep() {
        return too_deep(what, error);
    }
    Reject::new("no_json", format!("{what} is no JSON: {error}"))
}

fn no_object(what: &str) -> Reject {
    Reject::new("no_object", format!("{what} is JSON, but no object"))
}

/// The items are not read here: each that is bad costs only itself.
fn array<'a>(text: &'a [u8], what: &str) -> Result<Vec<&'a [u8]>, Reject> {
    let items = json::items(text).map_err(|error| no_json(what, error))?;
    if let Some(Ok(Json::String(class))) = items.first().map(|it| json::parse(it))
        && POINTERS.contains(&class.as_ref())
    {
        let detail = "it points to an object in S3, which is not fetched: whoever sends a message \
                      would choose what this function reads";
        return Err(Reject::new("s3_pointer", detail));
    }
    if items.is_empty() {
        return Err(Reject::new("no_records", format!("{what} is an empty list")));
    }
    Ok(items)
}

/// The lines of a text that is JSON lines: several, and one at either end is a whole object.
fn lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let lines: Vec<&[u8]> =
        text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii).filter(|it| !it.is_empty()).collect();
    let whole = |it: Option<&&[u8]>| it.is_some_and(|it| json::members(it).is_ok());
    let several = lines.len() > 1 && (whole(lines.first()) || whole(lines.last()));
    several.then_some(lines)
}
