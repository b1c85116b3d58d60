//! The way back of what Lambda has given up: the function itself, woken by a new object in the
//! bucket for such batches or by a message that tells of one, and the command line land them again.
//!
//! A batch comes with its event, or only with the range of its shard, which is then read again. What
//! no source holds any more is kept in `lakeward.gaps` and told, and never tried again.

mod gap;
mod given;
mod range;
mod shard;

use crate::deadline::Deadline;
use crate::handler::{self, App, Handled, InvocationError};
use crate::record::Receipt;
use crate::response;
use crate::store::files;

pub(crate) use gap::Gap;
pub(crate) use given::Given;
pub(crate) use range::events;
pub(crate) use shard::{Found, Problem, Shard, Start, Streams};

/// What became of an event, or of the batches that it tells of.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Each event that was handled: the one that came, or those of the batches.
    pub handled: Vec<Handled>,
    /// How many batches the event told of.
    pub batches: usize,
    /// What of them is lost.
    pub gaps: Vec<Gap>,
    /// Of each record of the event that came, whether it is where a route sends it, or lost for good.
    pub settled: Vec<bool>,
    /// Why some must be tried again.
    pub troubles: Vec<String>,
    /// The JSON text for Lambda, or why it must deliver the event again.
    pub answer: Result<String, InvocationError>,
}

/// Handles an event of whatever mapping, and recovers batches where it tells of some.
pub(crate) async fn handle(
    app: &App,
    streams: &Streams,
    event: &[u8],
    deadline: &Deadline,
) -> Recovered {
    if let Some((told, others)) = given::told(event) {
        return messages(app, streams, &told, &others, deadline).await;
    }
    let mut recovered = Recovered::of(0);
    match handler::handle(app, event, deadline).await {
        // Nearly no event tells of objects, and none that has been handled.
        Err(error @ InvocationError::Event(_)) => match given::objects(event) {
            Some(places) => return objects(app, streams, &places, deadline).await,
            None => recovered.answer = Err(error),
        },
        Err(error) => recovered.answer = Err(error),
        Ok(mut handled) => {
            recovered.answer = Ok(handled.answer.clone());
            recovered.settled = std::mem::take(&mut handled.settled);
            recovered.handled.push(handled);
        }
    }
    recovered
}

/// Recovers what the messages of a queue tell of, and handles the others.
async fn messages(
    app: &App,
    streams: &Streams,
    told: &[given::Told],
    others: &given::Others<'_>,
    deadline: &Deadline,
) -> Recovered {
    let mut recovered = Recovered::of(told.len());
    recovered.settled = vec![false; told.len().saturating_add(others.len())];
    let mut failures = Vec::new();
    if !others.is_empty() {
        let records: Vec<&[u8]> = others.iter().map(|(_, record)| *record).collect();
        let event = [&b"{\"Records\":["[..], &records.join(&b','), b"]}"].concat();
        match Box::pin(handler::handle(app, &event, deadline)).await {
            Ok(handled) => {
                failures.extend(handled.failures.iter().cloned());
                for ((place, _), settled) in others.iter().zip(&handled.settled) {
                    recovered.settled.get_mut(*place).into_iter().for_each(|it| *it = *settled);
                }
                recovered.handled.push(handled);
            }
            Err(error) => {
                recovered.answer = Err(error);
                return recovered;
            }
        }
    }
    for message in told {
        let given = Given::Range(message.range.clone());
        let settled = recovered.take(app, streams, &given, deadline).await;
        recovered.settled.get_mut(message.place).into_iter().for_each(|it| *it = settled);
        if !settled {
            failures.extend(Receipt::new(message.id.as_str()));
        }
    }
    let failures: Vec<&Receipt> = failures.iter().collect();
    recovered.answer = response::answer(&failures, None).map_err(InvocationError::Answer);
    recovered
}

/// Recovers the batches in these objects. Lambda calls again when not all of them have landed.
async fn objects(
    app: &App,
    streams: &Streams,
    places: &[String],
    deadline: &Deadline,
) -> Recovered {
    let mut recovered = Recovered::of(places.len());
    let mut failed = false;
    for place in places {
        let read = async {
            let (files, place) = files::at(place)?;
            files.read(&place).await
        };
        let text = match read.await {
            Ok(Some(text)) => text,
            Ok(None) => {
                recovered.troubles.push(format!("{place} is gone, and what it told of with it"));
                continue;
            }
            Err(error) => {
                recovered.troubles.push(format!("can't read {place}: {error}"));
                failed = true;
                continue;
            }
        };
        match Given::read(&text) {
            Ok(given) => failed |= !recovered.take(app, streams, &given, deadline).await,
            // Another time it is no other: people must look at it.
            Err(problem) => recovered.troubles.push(format!("{place}: {problem}")),
        }
    }
    recovered.answer = if failed {
        let what = "a batch that Lambda had given up has not landed; lakeward redrive failed lands \
                    it, too";
        Err(InvocationError::Recovery(what.to_owned()))
    } else {
        response::answer(&[], None).map_err(InvocationError::Answer)
    };
    recovered
}

impl Recovered {
    /// Of so many batches, none yet.
    pub(crate) fn of(batches: usize) -> Self {
        Self {
            handled: Vec::new(),
            batches,
            gaps: Vec::new(),
            settled: Vec::new(),
            troubles: Vec::new(),
            answer: Ok(String::new()),
        }
    }

    /// Lands a batch. Whether all of it is durable, or known to be lost.
    pub(crate) async fn take(
        &mut self,
        app: &App,
        streams: &Streams,
        given: &Given,
        deadline: &Deadline,
    ) -> bool {
        match given {
            Given::Event(event) => match Box::pin(handler::handle(app, event, deadline)).await {
                Ok(handled) => {
                    let failed = handled.report.failed;
                    self.handled.push(handled);
                    if failed > 0 {
                        self.troubles.push(format!("{failed} records of a batch did not land"));
                    }
                    failed == 0
                }
                Err(error) => {
                    self.troubles.push(error.to_string());
                    false
                }
            },
            Given::Range(range) => {
                let landed = Box::pin(range::land(app, streams, range, deadline)).await;
                self.handled.extend(landed.handled);
                if let Some(trouble) = landed.trouble {
                    self.troubles.push(trouble);
                    return false;
                }
                let Some(gap) = landed.gap else { return true };
                let kept = gap::keep(app, &gap, deadline).await;
                let durable = kept.is_ok();
                self.gaps.push(gap);
                self.troubles.extend(kept.err().map(|error| error.to_string()));
                durable
            }
        }
    }
}
