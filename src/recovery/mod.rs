//! The way back of what Lambda has given up: the function itself, woken by a new object in the
//! bucket for such batches or by a message that tells of one, and the command line land them again.
//!
//! A batch comes with its event, or only with the range of its shard, which is then read again. What
//! no source holds any more is kept in `lakeward.gaps` and told, and never tried again.

mod gap;
pub mod given;
mod range;
mod shard;

use crate::deadline::Deadline;
use crate::handler::{self, App, End, Handled, InvocationError, Report};
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
    if let Some((told, others)) = given::told(event, &app.config.routes) {
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
        Ok(handled) => {
            recovered.answer = Ok(handled.answer.clone());
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
    others: &[given::Other<'_>],
    deadline: &Deadline,
) -> Recovered {
    let mut recovered = Recovered::of(told.len());
    let mut failures = Vec::new();
    for message in told {
        if !recovered.take(app, streams, &message.given, deadline).await {
            failures.extend(Receipt::new(message.id.as_str()));
        }
    }
    if !others.is_empty() {
        let records: Vec<&[u8]> = others.iter().map(|it| it.record).collect();
        match Box::pin(handler::handle(app, &event_of(&records), deadline)).await {
            Ok(handled) => {
                failures.extend(handled.failures.iter().cloned());
                recovered.handled.push(handled);
            }
            // Only they come again, where they can be named.
            Err(error) => {
                match others.iter().map(given::Other::receipt).collect::<Option<Vec<_>>>() {
                    Some(receipts) => {
                        failures.extend(receipts);
                        recovered.troubles.push(error.to_string());
                    }
                    None => {
                        recovered.answer = Err(error);
                        return recovered;
                    }
                }
            }
        }
    }
    let failures: Vec<&Receipt> = failures.iter().collect();
    recovered.answer = response::answer(&failures, None).map_err(InvocationError::Answer);
    recovered
}

/// Handles messages for which no mapping calls again, all of them, and returns what became of each.
/// One that tells of a batch has landed when all of the batch has, or is known to be lost.
pub(crate) async fn redrive(
    app: &App,
    streams: &Streams,
    event: &[u8],
    deadline: &Deadline,
) -> (Recovered, Vec<End>) {
    let told = given::told(event, &app.config.routes);
    let (told, others) = told.unwrap_or_else(|| (Vec::new(), given::others(event)));
    let mut recovered = Recovered::of(told.len());
    let mut ends = vec![End::Failed; told.len().saturating_add(others.len())];
    let mut set = |at: usize, end| ends.get_mut(at).into_iter().for_each(|it| *it = end);
    for message in &told {
        if recovered.take(app, streams, &message.given, deadline).await {
            set(message.place, End::Landed);
        }
    }
    if !others.is_empty() {
        let records: Vec<&[u8]> = others.iter().map(|it| it.record).collect();
        let whole = whole(app, &event_of(&records), deadline).await;
        others.iter().zip(whole.ends).for_each(|(other, end)| set(other.place, end));
        recovered.handled.extend(whole.handled);
        recovered.troubles.extend(whole.error.map(|error| error.to_string()));
    }
    (recovered, ends)
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
        if deadline.passed() {
            recovered.troubles.push(format!("there was no time for {place}"));
            failed = true;
            continue;
        }
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

/// What became of all of an event's records.
pub(crate) struct Whole {
    /// Each part that was handled by itself.
    pub handled: Vec<Handled>,
    /// Of each record as it was delivered, what became of it.
    pub ends: Vec<End>,
    /// Why a part was not handled.
    pub error: Option<InvocationError>,
}

impl Whole {
    /// Why not all of it is durable.
    pub(crate) fn trouble(&self) -> Option<String> {
        let comes_again = |it: &&End| matches!(it, End::Failed | End::Deferred);
        let failed = self.ends.iter().filter(comes_again).count();
        match &self.error {
            Some(error) => Some(error.to_string()),
            None => (failed > 0).then(|| format!("{failed} of its records did not land")),
        }
    }
}

/// Handles all of an event. What its records unpack to may be more than can be held at once: the
/// rest is handled again by itself, as Lambda would deliver it again.
pub(crate) async fn whole(app: &App, event: &[u8], deadline: &Deadline) -> Whole {
    let mut whole = Whole { handled: Vec::new(), ends: Vec::new(), error: None };
    // Places of the records that a part of the event has; at first it is all of it.
    let (mut part, mut places) = (None, Vec::new());
    loop {
        let text: &[u8] = part.as_deref().unwrap_or(event);
        let mut handled = match Box::pin(handler::handle(app, text, deadline)).await {
            Ok(handled) => handled,
            Err(error) => {
                whole.error = Some(error);
                return whole;
            }
        };
        if part.is_none() {
            places = (0..handled.ends.len()).collect();
            whole.ends = vec![End::Failed; places.len()];
        }
        for (at, end) in places.iter().zip(&handled.ends) {
            whole.ends.get_mut(*at).into_iter().for_each(|it| *it = *end);
        }
        let deferred = places.iter().zip(&handled.ends).filter(|it| *it.1 == End::Deferred);
        let deferred: Vec<usize> = deferred.map(|it| *it.0).collect();
        if deferred.is_empty() || deferred.len() == places.len() || deadline.passed() {
            whole.handled.push(handled);
            return whole;
        }
        // They count where they are handled.
        let count = u64::try_from(deferred.len()).unwrap_or(u64::MAX);
        let Report { records, failed, .. } = &mut handled.report;
        *records = records.saturating_sub(count);
        *failed = failed.saturating_sub(count);
        whole.handled.push(handled);
        let records = given::records(event).unwrap_or_default();
        let texts: Vec<&[u8]> =
            deferred.iter().filter_map(|at| records.get(*at).copied()).collect();
        part = Some(event_of(&texts));
        places = deferred;
    }
}

/// An event of these records.
pub(crate) fn event_of(records: &[&[u8]]) -> Vec<u8> {
    [&b"{\"Records\":["[..], &records.join(&b','), b"]}"].concat()
}

impl Recovered {
    /// Of so many batches, none yet.
    pub(crate) fn of(batches: usize) -> Self {
        Self {
            handled: Vec::new(),
            batches,
            gaps: Vec::new(),
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
            Given::Event(event) => {
                let whole = whole(app, event, deadline).await;
                let trouble = whole.trouble();
                self.handled.extend(whole.handled);
                let landed = trouble.is_none();
                self.troubles.extend(trouble);
                landed
            }
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
