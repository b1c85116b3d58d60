//! The one door: whatever Lambda invokes the function with enters here. It tells events of records
//! from failure notices and from notifications of new objects, and builds the answer.

use crate::deadline::Deadline;
use crate::handler::{self, App, InvocationError, Pass};
use crate::outcome::{Outcome, RecordState};
use crate::recovery::notice::{self, FailureNotice};
use crate::recovery::{FailedBatch, Recovered, Streams};
use crate::response;
use crate::source::{Event, Unwrap};
use crate::store::files;

/// The function: an app, and the clients that recovery reads streams with.
#[derive(Debug)]
pub struct Intake {
    /// The app.
    pub app: App,
    streams: Streams,
}

/// What became of an invocation.
#[derive(Debug)]
pub struct Processed {
    /// What was done with the records of the event.
    pub passes: Vec<Pass>,
    /// What became of the failed batches that the event names.
    pub recovered: Recovered,
    /// What became of each record of the event, in order. A failure notice has landed once every
    /// record of its batch has, or is known to be lost.
    pub records: Vec<RecordState>,
    /// The JSON text for Lambda, or why it must deliver the event again.
    pub answer: Result<String, InvocationError>,
}

impl Intake {
    /// The function of an app. No client is made before it is needed.
    pub fn new(app: App) -> Self {
        Self { app, streams: Streams::default() }
    }

    /// Handles an invocation's payload.
    pub async fn handle(&self, payload: &[u8], deadline: &Deadline) -> Processed {
        match Event::read(payload) {
            Ok(event) => self.records(&event, deadline).await,
            // Nearly no payload is a notification of objects, and none that is an event of records.
            Err(error) => match notice::objects(payload) {
                Some(locations) => self.objects(&locations, deadline).await,
                None => Processed { answer: Err(error.into()), ..Processed::of(0) },
            },
        }
    }

    /// Handles an event of records: recovers the batches of failure notices among them, and lands
    /// all others.
    pub async fn records(&self, event: &Event<'_>, deadline: &Deadline) -> Processed {
        let notices = notice::notices(event, &self.app.config.routes);
        let mut processed = Processed::of(event.len());
        let error = if notices.is_empty() {
            let all: Vec<usize> = (0..event.len()).collect();
            self.data(event, &all, &mut processed, deadline).await.err()
        } else {
            self.notices(event, &notices, &mut processed, deadline).await
        };
        processed.answer = match error {
            Some(error) => Err(error),
            None => answer(event, &processed.records),
        };
        processed
    }

    /// Lands an event whose records are those at `indices` of the invocation.
    async fn data(
        &self,
        event: &Event<'_>,
        indices: &[usize],
        processed: &mut Processed,
        deadline: &Deadline,
    ) -> Result<(), InvocationError> {
        let handled = Box::pin(handler::handle(&self.app, event, deadline)).await?;
        processed.passes.extend(handled.passes);
        for (index, state) in indices.iter().zip(handled.records) {
            processed.set(*index, state);
        }
        Ok(())
    }

    /// Recovers the batches of failure notices and lands the other messages.
    async fn notices(
        &self,
        event: &Event<'_>,
        notices: &[FailureNotice],
        processed: &mut Processed,
        deadline: &Deadline,
    ) -> Option<InvocationError> {
        // Each can be reported by itself, whatever becomes of the others.
        let all: Vec<usize> = (0..event.len()).collect();
        for (index, delivery) in all.iter().zip(event.decode(&all, |_| Unwrap::None)) {
            let mut state = RecordState::new(delivery.receipt, delivery.group);
            state.worsen(Outcome::Failed);
            processed.set(*index, state);
        }
        let (streams, recovered) = (&self.streams, &mut processed.recovered);
        for FailureNotice { index, batch } in notices {
            if recovered.land(&self.app, streams, batch, deadline).await
                && let Some(state) = processed.records.get_mut(*index)
            {
                state.outcome = Outcome::Landed;
            }
        }
        let is_notice = |at: &usize| notices.iter().any(|it| it.index == *at);
        let others: Vec<usize> = all.into_iter().filter(|it| !is_notice(it)).collect();
        if others.is_empty() {
            return None;
        }
        let part = event.part(&others);
        match self.data(&part, &others, processed, deadline).await {
            Ok(()) => None,
            // Only they are redelivered, if each can be named.
            Err(error) if others.iter().all(|it| processed.is_reportable(*it)) => {
                processed.recovered.troubles.push(error.to_string());
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Recovers the failed batches in these objects. Lambda retries the invocation if not all of
    /// them have landed.
    async fn objects(&self, locations: &[String], deadline: &Deadline) -> Processed {
        let mut processed = Processed::of(0);
        let (streams, recovered) = (&self.streams, &mut processed.recovered);
        let mut failed = false;
        for location in locations {
            if deadline.passed() {
                recovered.batches += 1;
                recovered.troubles.push(format!("there was no time for {location}"));
                failed = true;
                continue;
            }
            let read = async {
                let (files, path) = files::at(location)?;
                files.read(&path).await
            };
            let trouble = match read.await {
                Ok(Some(text)) => match FailedBatch::read(&text) {
                    Ok(batch) => {
                        failed |= !recovered.land(&self.app, streams, &batch, deadline).await;
                        continue;
                    }
                    // A retry would find the same: someone must look at it.
                    Err(problem) => format!("{location}: {problem}"),
                },
                Ok(None) => format!("{location} is gone, and the batch in it as well"),
                Err(error) => {
                    failed = true;
                    format!("can't read {location}: {error}")
                }
            };
            recovered.batches += 1;
            recovered.troubles.push(trouble);
        }
        processed.answer = if failed {
            let what = "a failed batch has not landed; `lakeward redrive failed` lands it as well";
            Err(InvocationError::Recovery(what.to_owned()))
        } else {
            response::answer(None, &[], None).map_err(InvocationError::Answer)
        };
        processed
    }
}

fn answer(event: &Event<'_>, records: &[RecordState]) -> Result<String, InvocationError> {
    let failures = response::failures(event.redelivery(), records)?;
    let answer = response::answer(event.kind(), &failures, event.window_state());
    answer.map_err(InvocationError::Answer)
}

impl Processed {
    /// Nothing done yet with an event of this many records.
    fn of(records: usize) -> Self {
        let mut state = RecordState::new(None, None);
        state.worsen(Outcome::Failed);
        Self {
            passes: Vec::new(),
            recovered: Recovered::default(),
            records: vec![state; records],
            answer: Ok(String::new()),
        }
    }

    fn set(&mut self, index: usize, state: RecordState) {
        if let Some(record) = self.records.get_mut(index) {
            *record = state;
        }
    }

    fn is_reportable(&self, index: usize) -> bool {
        self.records.get(index).is_some_and(|it| it.receipt.is_some())
    }
}
