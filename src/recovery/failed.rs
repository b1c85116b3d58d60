//! Landing a failed batch, from its event or from its range.

use crate::deadline::Deadline;
use crate::handler::{self, App, HandledEvent, InvocationError, Pass};
use crate::recovery::gap::{self, Gap};
use crate::recovery::notice::FailedBatch;
use crate::recovery::range;
use crate::recovery::shard::Streams;
use crate::source::Event;

/// A report of failed batches, and of what became of them.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// The number of batches.
    pub batches: usize,
    /// The passes that handled their records.
    pub passes: Vec<Pass>,
    /// The ranges of them that are lost.
    pub gaps: Vec<Gap>,
    /// The reasons why some must be tried again.
    pub troubles: Vec<String>,
}

impl RecoveryReport {
    /// Lands a batch. Returns true if every record of it is durable or known to be lost.
    pub async fn land(
        &mut self,
        app: &App,
        streams: &Streams,
        batch: &FailedBatch,
        deadline: &Deadline,
    ) -> bool {
        self.batches += 1;
        match batch {
            FailedBatch::Event(event) => match land(app, event, deadline).await {
                Ok(handled) => {
                    let trouble = handled.trouble();
                    let durable = trouble.is_none();
                    self.passes.extend(handled.passes);
                    self.troubles.extend(trouble);
                    durable
                }
                Err(error) => {
                    self.troubles.push(error.to_string());
                    false
                }
            },
            FailedBatch::Range(range) => {
                let report = Box::pin(range::land(app, streams, range, deadline)).await;
                self.passes.extend(report.passes);
                if let Some(trouble) = report.trouble {
                    self.troubles.push(trouble);
                    return false;
                }
                let Some(gap) = report.gap else { return true };
                let noted = gap::note(app, &gap, deadline).await;
                let durable = noted.is_ok();
                self.gaps.push(gap);
                self.troubles.extend(noted.err().map(|error| error.to_string()));
                durable
            }
        }
    }
}

async fn land(
    app: &App,
    event: &[u8],
    deadline: &Deadline,
) -> Result<HandledEvent, InvocationError> {
    handler::handle(app, &Event::read(event)?, deadline).await
}
