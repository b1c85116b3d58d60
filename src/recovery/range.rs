//! Landing the records of a range again, page by page.

use crate::deadline::Deadline;
use crate::handler::{App, Handled};
use crate::recovery::gap::{Gap, Reason};
use crate::recovery::given::Range;
use crate::recovery::shard::{Found, Page, Problem, Shard, Start, Streams};
use crate::recovery::whole;
use crate::response::by_number;

/// Most records of one event, and most of their bytes: as large as Lambda's own.
const MOST_RECORDS: usize = 10_000;
const MOST_BYTES: usize = 6 * 1024 * 1024;
/// Empty pages in a row after which a shard of DynamoDB has nothing more. It does not tell, and
/// gives an empty page for about each megabyte that is of no use.
const MOST_EMPTY: u32 = 30;

/// What became of a range.
#[derive(Debug, Default)]
pub(crate) struct Landed {
    /// Each event that its records were handled in.
    pub handled: Vec<Handled>,
    /// What of it is lost.
    pub gap: Option<Gap>,
    /// Why it must be tried again.
    pub trouble: Option<String>,
}

/// Reads a range and lands it. Records of other batches that lie within have landed or will, and
/// land no second time.
pub(super) async fn land(
    app: &App,
    streams: &Streams,
    range: &Range,
    deadline: &Deadline,
) -> Landed {
    let mut landed = Landed::default();
    let outcome = read(app, streams, range, deadline, &mut landed).await;
    landed.trouble = outcome.err();
    if landed.trouble.is_some() {
        // What is there is known when the range has been read to its end.
        landed.gap = None;
    }
    landed
}

async fn read(
    app: &App,
    streams: &Streams,
    range: &Range,
    deadline: &Deadline,
    landed: &mut Landed,
) -> Result<(), String> {
    let shard = Shard { streams, stream: &range.stream, name: &range.shard };
    let lost = |reason| Some(Gap { range: range.clone(), reason });
    let mut reader = match Reader::begin(shard, range).await {
        Ok(reader) => reader,
        Err(Problem::Gone) => {
            landed.gap = lost(Reason::StreamGone);
            return Ok(());
        }
        Err(problem) => return Err(told(range, &problem)),
    };
    let mut first: Option<String> = None;
    while let Some(records) = reader.page().await.map_err(|it| told(range, &it))? {
        if deadline.passed() {
            return Err(format!("there was no time for all of {}", place(range)));
        }
        if let (None, Some(record)) = (&first, records.first()) {
            first = Some(record.number.clone());
        }
        for event in events(&records) {
            let whole = whole(app, &event, deadline).await;
            let trouble = whole.trouble();
            landed.handled.extend(whole.handled);
            if let Some(trouble) = trouble {
                return Err(format!("{}: {trouble}", place(range)));
            }
        }
    }
    // Who still holds its first records holds its last.
    if first.is_some() && !reader.reached {
        return Err(format!("the shard ended before {} did", place(range)));
    }
    landed.gap = match first {
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
    async fn page(&mut self) -> Result<Option<Vec<Found>>, Problem> {
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
        // Kinesis tells when there is nothing newer.
        let too_many = self.empty > MOST_EMPTY && self.shard.stream.service() == "dynamodb";
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

/// The sequence number before another: nobody has it, but all that are lost are at most this.
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

/// Events of records, each as large as Lambda's own at most.
pub(crate) fn events(records: &[Found]) -> Vec<Vec<u8>> {
    let mut events: Vec<Vec<u8>> = Vec::new();
    let mut count = 0_usize;
    for record in records {
        let fits = |it: &Vec<u8>| {
            count < MOST_RECORDS && it.len().saturating_add(record.text.len()) <= MOST_BYTES
        };
        match events.last_mut().filter(|it| fits(it)) {
            Some(event) => event.push(b','),
            None => {
                count = 0;
                events.push(b"{\"Records\":[".to_vec());
            }
        }
        count = count.saturating_add(1);
        events.last_mut().into_iter().for_each(|it| it.extend_from_slice(record.text.as_bytes()));
    }
    events.iter_mut().for_each(|it| it.extend_from_slice(b"]}"));
    events
}

fn place(range: &Range) -> String {
    let Range { stream, shard, first, last, .. } = range;
    format!("{stream}, {shard}, from {first} to {last}")
}

fn told(range: &Range, problem: &Problem) -> String {
    let why = match problem {
        Problem::Refused(why) => why,
        Problem::Gone => "the stream or its shard is gone",
        Problem::Trimmed => "the stream has dropped its oldest records meanwhile",
        Problem::Expired => "asking for its records took too long",
    };
    format!("can't read {}: {why}", place(range))
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

    #[test]
    fn no_event_is_larger_than_lambda_s_own() {
        let record = |length: usize| Found {
            number: "1".to_owned(),
            text: "x".repeat(length),
            arrived: None,
        };
        let many: Vec<Found> = (0..MOST_RECORDS + 1).map(|_| record(1)).collect();
        let large: Vec<Found> = (0..4).map(|_| record(MOST_BYTES / 3)).collect();
        let huge = [record(MOST_BYTES + 1)];
        for (records, expected) in [(&many[..], 2), (&large[..], 2), (&huge[..], 1), (&[], 0)] {
            let events = events(records);
            assert_eq!(events.len(), expected);
            let whole = |it: &Vec<u8>| it.starts_with(b"{\"Records\":[x") && it.ends_with(b"x]}");
            assert!(events.iter().all(whole));
        }
    }
}
