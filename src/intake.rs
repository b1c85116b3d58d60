//! The intake: every payload of an invocation enters here. It separates events of records, failure
//! notices, notifications of new objects and the call for upkeep, and builds the answer.

use crate::deadline::Deadline;
use crate::handler::{self, App, InvocationError, Pass};
use crate::outcome::{Outcome, RecordState};
use crate::recovery::notice::{self, FailureNotice};
use crate::recovery::{FailedBatch, RecoveryReport, Streams};
use crate::response;
use crate::source::{Event, Unwrap};
use crate::store::files;
use crate::upkeep::{self, NamedReport};

/// The payload of the schedule that calls for upkeep, as the template gives it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UpkeepCall {
    lakeward: Task,
}

/// A task that is not about an event.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Task {
    Upkeep,
}

/// The intake of an app, with the clients that recovery reads streams with.
#[derive(Debug)]
pub struct Intake {
    /// The app.
    pub app: App,
    streams: Streams,
}

/// A report of an invocation, and its answer.
#[derive(Debug)]
pub struct InvocationReport {
    /// The passes that handled the records of the event.
    pub passes: Vec<Pass>,
    /// The report of the failed batches that the event names.
    pub recovery: RecoveryReport,
    /// The report of the upkeep of each table, if the payload called for it.
    pub upkeep: Vec<NamedReport>,
    /// The state of each record of the event, in order. A failure notice has landed once every
    /// record of its batch has, or is known to be lost.
    pub records: Vec<RecordState>,
    /// The JSON text for Lambda, or the reason why it must redeliver the event.
    pub answer: Result<String, InvocationError>,
}

impl Intake {
    /// Makes the intake of an app. No client is made before it is needed.
    pub fn new(app: App) -> Self {
        Self { app, streams: Streams::default() }
    }

    /// Handles an invocation's payload.
    pub async fn handle(&self, payload: &[u8], deadline: &Deadline) -> InvocationReport {
        match Event::read(payload) {
            Ok(event) => self.records(&event, deadline).await,
            // A notification of objects is rare, and is never an event of records.
            Err(error) => match notice::objects(payload) {
                Some(locations) => self.objects(&locations, deadline).await,
                None => match serde_json::from_slice(payload) {
                    Ok(UpkeepCall { lakeward: Task::Upkeep }) => self.upkeep(deadline).await,
                    Err(_) => {
                        InvocationReport { answer: Err(error.into()), ..InvocationReport::of(0) }
                    }
                },
            },
        }
    }

    /// Handles an event of records: recovers the batches of its failure notices, and lands the
    /// other records.
    pub async fn records(&self, event: &Event<'_>, deadline: &Deadline) -> InvocationReport {
        let notices = notice::notices(event, &self.app.config.routes);
        let mut report = InvocationReport::of(event.len());
        let error = if notices.is_empty() {
            let all: Vec<usize> = (0..event.len()).collect();
            self.data(event, &all, &mut report, deadline).await.err()
        } else {
            self.notices(event, &notices, &mut report, deadline).await
        };
        report.answer = match error {
            Some(error) => Err(error),
            None => answer(event, &report.records),
        };
        report
    }

    /// Lands an event whose records are those at `indices` of the invocation.
    async fn data(
        &self,
        event: &Event<'_>,
        indices: &[usize],
        report: &mut InvocationReport,
        deadline: &Deadline,
    ) -> Result<(), InvocationError> {
        let handled = Box::pin(handler::handle(&self.app, event, deadline)).await?;
        report.passes.extend(handled.passes);
        for (index, state) in indices.iter().zip(handled.records) {
            report.set(*index, state);
        }
        Ok(())
    }

    /// Recovers the batches of failure notices and lands the other messages.
    async fn notices(
        &self,
        event: &Event<'_>,
        notices: &[FailureNotice],
        report: &mut InvocationReport,
        deadline: &Deadline,
    ) -> Option<InvocationError> {
        // Each message can be reported by itself.
        let all: Vec<usize> = (0..event.len()).collect();
        for (index, delivery) in all.iter().zip(event.decode(&all, |_| Unwrap::None)) {
            let mut state = RecordState::new(delivery.receipt, delivery.group);
            state.worsen(Outcome::Failed);
            report.set(*index, state);
        }
        let (streams, recovery) = (&self.streams, &mut report.recovery);
        for FailureNotice { index, batch } in notices {
            if recovery.land(&self.app, streams, batch, deadline).await
                && let Some(state) = report.records.get_mut(*index)
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
        match self.data(&part, &others, report, deadline).await {
            Ok(()) => None,
            // If each can be reported, only these messages are redelivered.
            Err(error) if others.iter().all(|it| report.is_reportable(*it)) => {
                report.recovery.troubles.push(error.to_string());
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Does the upkeep of all tables for as long as there is time. The next call goes on with what is left.
    async fn upkeep(&self, deadline: &Deadline) -> InvocationReport {
        let mut report = InvocationReport::of(0);
        let error = match upkeep::upkeep(&self.app, &[], deadline, |_, _| {}).await {
            Ok(tables) => {
                report.upkeep = tables;
                let troubled = report.upkeep.iter().filter(|(_, it)| it.trouble.is_some());
                let troubled: Vec<String> = troubled.map(|(name, _)| name.to_string()).collect();
                (!troubled.is_empty()).then(|| {
                    let tables = troubled.join(", ");
                    InvocationError::Upkeep(format!(
                        "upkeep of {tables} failed; the log says why, and the others are done"
                    ))
                })
            }
            Err(error) => Some(error.into()),
        };
        report.answer = match error {
            Some(error) => Err(error),
            None => response::answer(None, &[], None).map_err(InvocationError::Answer),
        };
        report
    }

    /// Recovers the failed batches in these objects. Lambda retries the invocation if one of them
    /// has not landed.
    async fn objects(&self, locations: &[String], deadline: &Deadline) -> InvocationReport {
        let mut report = InvocationReport::of(0);
        let (streams, recovery) = (&self.streams, &mut report.recovery);
        let mut failed = false;
        for location in locations {
            if deadline.passed() {
                recovery.batches += 1;
                recovery
                    .troubles
                    .push(format!("there was no time to read {location}: Lambda retries it"));
                failed = true;
                continue;
            }
            let read = async {
                let place = files::at(location)?;
                place.files.read(&place.location).await
            };
            let trouble = match read.await {
                Ok(Some(text)) => match FailedBatch::read(&text) {
                    Ok(batch) => {
                        failed |= !recovery.land(&self.app, streams, &batch, deadline).await;
                        continue;
                    }
                    // A retry would find the same.
                    Err(problem) => format!("{location}: {problem}"),
                },
                Ok(None) => format!(
                    "{location} does not exist any more, so its failed batch can't land: restore \
                     the object, or read the stream again from a new event source mapping"
                ),
                Err(error) => {
                    failed = true;
                    format!("can't read {location}: {error}")
                }
            };
            recovery.batches += 1;
            recovery.troubles.push(trouble);
        }
        report.answer = if failed {
            let what = "a failed batch has not landed; after the last retry, land it with `lakeward redrive failed`";
            Err(InvocationError::Recovery(what.to_owned()))
        } else {
            response::answer(None, &[], None).map_err(InvocationError::Answer)
        };
        report
    }
}

fn answer(event: &Event<'_>, records: &[RecordState]) -> Result<String, InvocationError> {
    let failures = response::failures(event.redelivery(), records)?;
    let answer = response::answer(event.kind(), &failures, event.window_state());
    answer.map_err(InvocationError::Answer)
}

impl InvocationReport {
    /// Makes the report of an event of this many records, with nothing handled yet.
    fn of(records: usize) -> Self {
        let mut state = RecordState::new(None, None);
        state.worsen(Outcome::Failed);
        Self {
            passes: Vec::new(),
            recovery: RecoveryReport::default(),
            upkeep: Vec::new(),
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
