//! `source` of a route, and what can be told from its pattern.

use crate::config::problem::Problem;
use crate::pattern::Pattern;
use crate::source::Kind;

/// A source to show in a remedy.
pub(super) fn example() -> &'static str {
    Kind::Kinesis.example()
}

/// Parses `source`.
pub(super) fn source(text: &str) -> Result<Pattern, Problem> {
    let pattern = Pattern::new(text);
    if !Kind::all().any(|it| it.is_meant_by(&pattern)) {
        let remedy = match text.split(':').nth(2).and_then(Kind::of_service) {
            Some(kind) => format!("its ARNs look like {}", kind.example()),
            None => {
                let examples: Vec<&str> = Kind::all().map(Kind::example).collect();
                format!("ARNs of sources look like {}", examples.join(", "))
            }
        };
        let what = format!("source `{text}` does not match any stream or queue");
        return Err(Problem::new(what, remedy));
    }
    if let Some((stream, _)) = text.split_once("/consumer/")
        && Kind::Kinesis.is_meant_by(&pattern)
    {
        return Err(Problem::new(
            format!("source `{text}` names a consumer, but its records belong to the stream"),
            format!("write source = \"{stream}\""),
        ));
    }
    Ok(pattern)
}

/// Returns true if the source leaves the region or the account open.
pub(super) fn has_open_origin(source: &Pattern) -> bool {
    let parts: Vec<&str> = source.as_str().splitn(6, ':').collect();
    parts.len() < 6 || parts.iter().skip(3).take(2).any(|it| it.contains('*'))
}
