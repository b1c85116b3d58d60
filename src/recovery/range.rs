//! Landing the records of a range, page by page.

use crate::deadline::Deadline;
use crate::handler::{self, App, Pass};
use crate::recovery::gap::{Gap, Reason};
use crate::recovery::notice::Range;
use crate::recovery::shard::{Page, Shard, ShardError, StartPosition, StreamRecord, Streams};
use crate::response::by_number;
use crate::source::{Event, StreamKind, event};

/// The number of empty pages of a DynamoDB shard in a row after which reading is left to another try.
/// The API returns an empty page for about each megabyte that does not match, and does not say whether
/// there is more.
const MAX_EMPTY_PAGES: u32 = 30;
/// The problem of a range that is not that of a batch.
const NEVER_HAD: &str = "the shard never had this range, so that it is not that of a failed batch";

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
    let begun = deadline.wait_for(async {
        check(&shard, range).await?;
        Reader::begin(shard, range).await
    });
    let begun = begun.await.ok_or_else(|| out_of_time(range))?;
    let mut reader = match begun {
        Ok(reader) => reader,
        Err(ShardError::Gone) => {
            report.gap = lost(Reason::StreamGone);
            return Ok(());
        }
        Err(error) => return Err(unreadable(range, &error)),
    };
    let mut first: Option<String> = None;
    loop {
        let page = deadline.wait_for(reader.page()).await.ok_or_else(|| out_of_time(range))?;
        let Some(records) = page.map_err(|it| unreadable(range, &it))? else { break };
        if deadline.passed() {
            return Err(out_of_time(range));
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
    if first.as_ref().is_some_and(|it| by_number(it, &range.first).is_eq()) {
        return Ok(());
    }
    // Records of other numbers may have followed the one before the range. Only what is older than the
    // oldest record that the stream holds is lost.
    let oldest = match reader.oldest {
        Some(oldest) => Some(oldest),
        None => deadline
            .wait_for(oldest(&shard, range))
            .await
            .ok_or_else(|| out_of_time(range))?
            .map_err(|it| unreadable(range, &it))?,
    };
    report.gap = match oldest {
        None => lost(Reason::Trimmed),
        Some(oldest) if by_number(&oldest, &range.first).is_gt() => {
            let before = before(&oldest);
            let is_whole = by_number(&range.last, &before).is_le();
            let last = if is_whole { range.last.clone() } else { before };
            Some(Gap { range: Range { last, ..range.clone() }, reason: Reason::Trimmed })
        }
        Some(_) => None,
    };
    Ok(())
}

/// Returns the number of the oldest record that the shard holds; `None` if it holds none.
async fn oldest(shard: &Shard<'_>, range: &Range) -> Result<Option<String>, ShardError> {
    let mut reader = Reader::at_oldest(*shard, range).await?;
    while reader.oldest.is_none() && reader.page().await?.is_some() {}
    Ok(reader.oldest)
}

/// Checks that the shard may have had all of a range. Whoever may send to a queue of failure notices can
/// name any range of a stream that has a route: it must not count as lost, nor make the function read
/// the whole shard.
async fn check(shard: &Shard<'_>, range: &Range) -> Result<(), ShardError> {
    let begin = shard.first_number().await?;
    let is_within =
        by_number(&range.first, &begin).is_ge() && by_number(&range.first, &range.last).is_le();
    if is_within { Ok(()) } else { Err(ShardError::Failed(NEVER_HAD.to_owned())) }
}

/// A reader of a range.
struct Reader<'a> {
    shard: Shard<'a>,
    range: &'a Range,
    iterator: Option<String>,
    /// The last record that was read.
    last: Option<String>,
    /// Whether it began with the oldest record, because the stream does not hold the first.
    trimmed: bool,
    /// Whether it did so because the shard does not know the number of the first.
    is_unknown: bool,
    /// The oldest record that the stream holds, if it began there and has come across it.
    oldest: Option<String>,
    /// Whether a page reached the end of the range.
    reached: bool,
    /// Empty pages in a row.
    empty: u32,
}

impl<'a> Reader<'a> {
    async fn begin(shard: Shard<'a>, range: &'a Range) -> Result<Self, ShardError> {
        match shard.iterator(StartPosition::At(&range.first)).await {
            // The oldest record that is left shows whether the range is lost.
            Err(ShardError::Trimmed) => Self::at_oldest(shard, range).await,
            Err(ShardError::Unknown) => {
                Ok(Self { is_unknown: true, ..Self::at_oldest(shard, range).await? })
            }
            iterator => Ok(Self { iterator: iterator?, ..Self::new(shard, range) }),
        }
    }

    async fn at_oldest(shard: Shard<'a>, range: &'a Range) -> Result<Self, ShardError> {
        let iterator = shard.iterator(StartPosition::Oldest).await?;
        Ok(Self { iterator, trimmed: true, ..Self::new(shard, range) })
    }

    fn new(shard: Shard<'a>, range: &'a Range) -> Self {
        Self {
            shard,
            range,
            iterator: None,
            last: None,
            trimmed: false,
            is_unknown: false,
            oldest: None,
            reached: false,
            empty: 0,
        }
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
        if let (true, None, Some(record)) = (self.trimmed, &self.oldest, records.first()) {
            self.oldest = Some(record.number.clone());
            // A record that the shard does not know is one that it has dropped, or never had. The rest
            // of the shard is not read to find out.
            if self.is_unknown && by_number(&record.number, first).is_le() {
                return Err(ShardError::Failed(NEVER_HAD.to_owned()));
            }
        }
        self.reached = records.last().is_some_and(|it| by_number(&it.number, last).is_ge());
        self.empty = if records.is_empty() { self.empty + 1 } else { 0 };
        // Kinesis says if there is nothing newer. DynamoDB does not: the range is complete if the shard
        // ends or a record after the range comes.
        let is_too_long = match self.shard.kind {
            StreamKind::DynamoDb => self.empty > MAX_EMPTY_PAGES && next.is_some(),
            StreamKind::Kinesis => false,
        };
        if is_too_long {
            let what = "the records were not reached after many empty pages; try again";
            return Err(ShardError::Failed(what.to_owned()));
        }
        let is_all = newest && records.is_empty();
        self.iterator = next.filter(|_| !self.reached && !is_all);
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

fn out_of_time(range: &Range) -> String {
    format!("there was no time to read all of {}", named(range))
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
