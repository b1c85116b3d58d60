//! A payload that holds several records: a JSON array, or JSON lines.

use bytes::Bytes;

use crate::json::{self, Json, JsonError};
use crate::record::Reject;
use crate::source::archive::{Budget, UnpackError};
use crate::source::members::{Object, too_deep};

/// The first items of the arrays that SQS's extended client sends in place of a payload in S3.
const S3_POINTERS: [&str; 2] = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    "com.amazon.sqs.javamessaging.MessageS3Pointer",
];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A payload's JSON.
pub(super) enum Document<'a> {
    /// One object.
    Object(Object<'a>),
    /// Several records, each as its text, which [`object`] reads.
    Pieces(Vec<Bytes>),
}

/// Reads a payload; `what` names it in rejects.
pub(super) fn read<'a>(
    text: &'a Bytes,
    what: &str,
    budget: &mut Budget,
) -> Result<Document<'a>, UnpackError> {
    let begin = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii_start();
    let found = if begin.starts_with(b"[") {
        array(text, what)
    } else {
        match json::parse(text) {
            Ok(Json::Object(members)) => return Ok(Document::Object(members)),
            Ok(_) => Err(not_an_object(what)),
            Err(error) => lines(text).ok_or_else(|| not_json(what, error)),
        }
    };
    let found = found.map_err(UnpackError::Rejected)?;
    budget.count(found.len())?;
    Ok(Document::Pieces(found.into_iter().map(|it| text.slice_ref(it)).collect()))
}

/// Reads one of several records, which must be a JSON object.
pub(super) fn object(text: &[u8]) -> Result<Object<'_>, Reject> {
    let what = "this one of several records";
    match json::parse(text) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(not_an_object(what)),
        Err(error) => Err(not_json(what, error)),
    }
}

fn not_json(what: &str, error: JsonError) -> Reject {
    if error.is_too_deep() {
        return too_deep(what, error);
    }
    Reject::new("no_json", format!("{what} is not JSON: {error}"))
}

fn not_an_object(what: &str) -> Reject {
    Reject::new("no_object", format!("{what} is JSON, but not an object"))
}

/// Splits an array into its items without reading them: a bad one costs only itself.
fn array<'a>(text: &'a [u8], what: &str) -> Result<Vec<&'a [u8]>, Reject> {
    let items = json::items(text).map_err(|error| not_json(what, error))?;
    if let Some(Ok(Json::String(class))) = items.first().map(|it| json::parse(it))
        && S3_POINTERS.contains(&class.as_ref())
    {
        let detail = "it points to an object in S3, which is not fetched: the sender of a message \
                      could make this function read any object";
        return Err(Reject::new("s3_pointer", detail));
    }
    if items.is_empty() {
        return Err(Reject::new("no_records", format!("{what} is an empty list")));
    }
    Ok(items)
}

/// Returns the lines of a text that is JSON lines: one of them is a whole object, and the next one
/// neither closes a bracket nor begins with a comma. No part of one document looks like this, wherever
/// it was cut off: within it, a comma or a closing bracket follows each object. Nor is it JSON lines if
/// the first line opens a bracket and breaks where documents do: then it begins a document over several
/// lines, whose end may be missing before another one.
fn lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let lines: Vec<&[u8]> =
        text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii).filter(|it| !it.is_empty()).collect();
    let is_followed_by_another = |pair: &[&[u8]]| match pair {
        [object, next] => {
            !next.starts_with(b"]")
                && !next.starts_with(b"}")
                && !next.starts_with(b",")
                && json::members(object).is_ok()
        }
        _ => false,
    };
    let begins_document = match lines.as_slice() {
        [first, second, ..] => {
            let breaks = first.ends_with(b"{")
                || first.ends_with(b"[")
                || first.ends_with(b",")
                || first.ends_with(b":")
                || second.starts_with(b",");
            breaks && opens_more_than_it_closes(first)
        }
        _ => false,
    };
    (!begins_document && lines.windows(2).any(is_followed_by_another)).then_some(lines)
}

/// Returns true if a line has brackets, outside of texts, that it does not close.
fn opens_more_than_it_closes(line: &[u8]) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0_i64, false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
    }
    depth > 0
}
