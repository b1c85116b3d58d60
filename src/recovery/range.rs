//! Landing the records of a range again, page by page.

use crate::deadline::Deadline;
use crate::handler::{self, App, Pass};
use crate::recovery::gap::{Gap, Reason};
use crate::recovery::notice::Range;
use crate::recovery::shard::{Page, Problem, Shard, Start, StreamRecord, Streams};
use crate::response::by_number;
use crate::source::{Event, StreamKind, event};

/// Empty pages in a row after which a shard of DynamoDB has nothing more. The API does not say, and
/// returns an empty page for about each megabyte that does not match.
const MAX_EMPTY_PAGES: u32 = 30;

/// What became of a range.
#[derive(Debug, Default)]
pub(super) struct RangeReport {
    /// What was done with its records.
    pub passes: Vec<Pass>,
    /// The part of it that is lost.
    pub gap: Option<Gap>,
    /// Why it must be tried again.
    pub trouble: Option<String>,
}

/// Reads a range and lands it. Records of other batches that lie within land once all the same.
pub(super) async fn land(
    app: &App,
    streams: &Streams,
    range: &Range,
    deadline: &Deadline,
) -> RangeReport {
    let mut report = RangeReport::default();
    let outcome = read(app, streams, range, deadline, &mut report).await;
    report.trouble = outcome.err();
    if report.trouble.is_some() {
        // Only a range that has been read to its end shows what is lost.
        report.gap = None;
    }
    report
}

async fn read(
    app: &App,
    streams: &Streams,
    range: &Range,
    deadline: &Deadline,
    report: &mut RangeReport,
) -> Result<(), String> {
    let shard = Shard { streams, stream: &range.stream, kind: range.kind, name: &range.shard };
    let lost = |reason| Some(Gap { range: range.clone(), reason });
    let mut reader = match Reader::begin(shard, range).await {
        Ok(reader) => reader,
        Err(Problem::Gone) => {
            report.gap = lost(Reason::StreamGone);
            return Ok(());
        }
        Err(problem) => return Err(unreadable(range, &problem)),
    };
    let mut first: Option<String> = None;
    while let Some(records) = reader.page().await.map_err(|it| unreadable(range, &it))? {
        if deadline.passed() {
            return Err(format!("there was no time for all of {}", named(range)));
        }
        if let (None, Some(record)) = (&first, records.first()) {
            first = Some(record.number.clone());
        }
        for batch in event::batches(&records, |it| it.text.len()) {
            let trouble = |why: String| format!("{}: {why}", named(range));
            let event = Event::of(batch.into_iter().map(|it| it.text.as_bytes()).collect());
            let event = event.map_err(|it| trouble(it.to_string()))?;
            let handled = handler::handle(app, &event, deadline).await;
            let handled = handled.map_err(|it| trouble(it.to_string()))?;
            let not_durable = handled.trouble();
            report.passes.extend(handled.passes);
            if let Some(why) = not_durable {
                return Err(trouble(why));
            }
        }
    }
    // A shard that still holds the first records holds the last.
    if first.is_some() && !reader.reached {
        return Err(format!("the shard ended before {} did", named(range)));
    }
    report.gap = match first {
        None => lost(Reason::Trimmed),
        Some(first) if by_number(&first, &range.first).is_gt() => {
            let range = Range { last: before(&first), ..range.clone() };
            Some(Gap { range, reason: Reason::Trimmed })
        }
        Some(_) => None,
    };
    Ok(())
}

/// Reading a range.
struct Reader<'a> {
    shard: Shard<'a>,
    range: &'a Range,
    iterator: Option<String>,
    /// The last record that was read.
    last: Option<String>,
    /// Whether the first record is no longer there.
    trimmed: bool,
    /// Whether a page went as far as the range does.
    reached: bool,
    empty: u32,
}

impl<'a> Reader<'a> {
    async fn begin(shard: Shard<'a>, range: &'a Range) -> Result<Self, Problem> {
        let (iterator, trimmed) = match shard.iterator(Start::At(&range.first)).await {
            Err(Problem::Trimmed) => (shard.iterator(Start::Oldest).await?, true),
            other => (other?, false),
        };
        Ok(Self { shard, range, iterator, last: None, trimmed, reached: false, empty: 0 })
    }

    /// The range's next records; none of a page that has none, `None` at its end.
    async fn page(&mut self) -> Result<Option<Vec<StreamRecord>>, Problem> {
        let Some(iterator) = self.iterator.take() else { return Ok(None) };
        let Page { mut records, next, newest } = match self.shard.page(iterator).await {
            // It was trimmed meanwhile, or asking took too long.
            Err(Problem::Trimmed) if !self.trimmed && self.last.is_none() => {
                self.trimmed = true;
                self.iterator = self.shard.iterator(Start::Oldest).await?;
                return Ok(Some(Vec::new()));
            }
            Err(Problem::Expired) => {
                let start = match (&self.last, self.trimmed) {
                    (Some(last), _) => Start::After(last),
                    (None, true) => Start::Oldest,
                    (None, false) => Start::At(&self.range.first),
                };
                self.iterator = self.shard.iterator(start).await?;
                return Ok(Some(Vec::new()));
            }
            other => other?,
        };
        let Range { first, last, .. } = self.range;
        self.reached = records.last().is_some_and(|it| by_number(&it.number, last).is_ge());
        self.empty = if records.is_empty() { self.empty.saturating_add(1) } else { 0 };
        // Kinesis says when there is nothing newer.
        let too_many = match self.shard.kind {
            StreamKind::DynamoDb => self.empty > MAX_EMPTY_PAGES,
            StreamKind::Kinesis => false,
        };
        if too_many && !self.trimmed && next.is_some() {
            let what = "the records were not reached after many empty pages".to_owned();
            return Err(Problem::Refused(what));
        }
        let nothing_more = newest && records.is_empty() || too_many;
        self.iterator = next.filter(|_| !self.reached && !nothing_more);
        // Reading from the oldest on, there may be records from before the range.
        records.retain(|it| by_number(&it.number, first).is_ge());
        records.retain(|it| by_number(&it.number, last).is_le());
        self.last = records.last().map(|it| it.number.clone()).or(self.last.take());
        Ok(Some(records))
    }
}

/// The sequence number before another. No record has it, but every lost one has at most this.
fn before(number: &str) -> String {
    let mut digits = number.as_bytes().to_vec();
    for digit in digits.iter_mut().rev() {
        if *digit > b'0' {
            *digit = digit.saturating_sub(1);
            break;
        }
        *digit = b'9';
    }
    String::from_utf8(digits).unwrap_or_default()
}

fn named(range: &Range) -> String {
    let Range { stream, shard, first, last, .. } = range;
    format!("{stream}, {shard}, from {first} to {last}")
}

fn unreadable(range: &Range, problem: &Problem) -> String {
    let why = match problem {
        Problem::Refused(why) => why,
        Problem::Gone => "the stream or its shard is gone",
        Problem::Trimmed => "the stream has dropped its oldest records meanwhile",
        Problem::Expired => "asking for its records took too long",
    };
    format!("can't read {}: {why}", named(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_ends_before_what_is_left() {
        for (number, expected) in [("100", "099"), ("1", "0"), ("4959", "4958")] {
            assert_eq!(before(number), expected);
        }
    }
}
