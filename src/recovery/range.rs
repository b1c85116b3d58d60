//! Landing the records of a range, page by page.

use crate::deadline::Deadline;
use crate::handler::{self, App, Pass};
use crate::recovery::gap::{Gap, Reason};
use crate::recovery::notice::Range;
use crate::recovery::shard::{Page, Shard, ShardError, StartPosition, StreamRecord, Streams};
use crate::response::by_number;
use crate::source::{Event, StreamKind, event};

/// The number of empty pages in a row after which a DynamoDB shard is taken to have no more
/// records. The API does not say, and returns an empty page for about each megabyte that does not
/// match.
const MAX_EMPTY_PAGES: u32 = 30;

/// A report of a range, and of what became of its records.
#[derive(Debug, Default)]
pub(super) struct RangeReport {
    /// The passes that handled its records.
    pub passes: Vec<Pass>,
    /// The part of it that is lost.
    pub gap: Option<Gap>,
    /// The reason why it must be tried again.
    pub trouble: Option<String>,
}

/// Reads a range and lands its records. Records of other batches in it also land once.
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
        Err(ShardError::Gone) => {
            report.gap = lost(Reason::StreamGone);
            return Ok(());
        }
        Err(error) => return Err(unreadable(range, &error)),
    };
    let mut first: Option<String> = None;
    while let Some(records) = reader.page().await.map_err(|it| unreadable(range, &it))? {
        if deadline.passed() {
            return Err(format!("there was no time to read all of {}", named(range)));
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
    // A shard that still holds the first records of a range also holds the last.
    if first.is_some() && !reader.reached {
        return Err(format!("the shard ends before the end of {}", named(range)));
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

/// A reader of a range.
struct Reader<'a> {
    shard: Shard<'a>,
    range: &'a Range,
    iterator: Option<String>,
    /// The last record that was read.
    last: Option<String>,
    /// Whether the stream no longer holds the first record.
    trimmed: bool,
    /// Whether a page reached the end of the range.
    reached: bool,
    /// Empty pages in a row.
    empty: u32,
}

impl<'a> Reader<'a> {
    async fn begin(shard: Shard<'a>, range: &'a Range) -> Result<Self, ShardError> {
        let (iterator, trimmed) = match shard.iterator(StartPosition::At(&range.first)).await {
            Err(ShardError::Trimmed) => (shard.iterator(StartPosition::Oldest).await?, true),
            other => (other?, false),
        };
        Ok(Self { shard, range, iterator, last: None, trimmed, reached: false, empty: 0 })
    }

    /// Reads the next records of the range, none if a page has none of them; `None` at its end.
    async fn page(&mut self) -> Result<Option<Vec<StreamRecord>>, ShardError> {
        let Some(iterator) = self.iterator.take() else { return Ok(None) };
        let Page { mut records, next, newest } = match self.shard.page(iterator).await {
            // The stream was trimmed meanwhile, or the iterator expired.
            Err(ShardError::Trimmed) if !self.trimmed && self.last.is_none() => {
                self.trimmed = true;
                self.iterator = self.shard.iterator(StartPosition::Oldest).await?;
                return Ok(Some(Vec::new()));
            }
            Err(ShardError::Expired) => {
                let start = match (&self.last, self.trimmed) {
                    (Some(last), _) => StartPosition::After(last),
                    (None, true) => StartPosition::Oldest,
                    (None, false) => StartPosition::At(&self.range.first),
                };
                self.iterator = self.shard.iterator(start).await?;
                return Ok(Some(Vec::new()));
            }
            other => other?,
        };
        let Range { first, last, .. } = self.range;
        self.reached = records.last().is_some_and(|it| by_number(&it.number, last).is_ge());
        self.empty = if records.is_empty() { self.empty + 1 } else { 0 };
        // Kinesis says if there is nothing newer.
        let too_many = match self.shard.kind {
            StreamKind::DynamoDb => self.empty > MAX_EMPTY_PAGES,
            StreamKind::Kinesis => false,
        };
        if too_many && !self.trimmed && next.is_some() {
            let what = "the records were not reached after many empty pages".to_owned();
            return Err(ShardError::Failed(what));
        }
        let nothing_more = newest && records.is_empty() || too_many;
        self.iterator = next.filter(|_| !self.reached && !nothing_more);
        // A reader that begins with the oldest record may see records from before the range.
        records.retain(|it| by_number(&it.number, first).is_ge());
        records.retain(|it| by_number(&it.number, last).is_le());
        self.last = records.last().map(|it| it.number.clone()).or(self.last.take());
        Ok(Some(records))
    }
}

/// Returns the sequence number before another. No record has it, but lost ones have at most this.
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

fn unreadable(range: &Range, error: &ShardError) -> String {
    format!("can't read {}: {error}", named(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_before_the_first_record_that_is_left() {
        for (number, expected) in [("100", "099"), ("1", "0"), ("4959", "4958")] {
            assert_eq!(before(number), expected);
        }
    }
}
