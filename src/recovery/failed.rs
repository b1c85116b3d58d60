//! Landing a failed batch, with its event or by its range.

use crate::deadline::Deadline;
use crate::handler::{self, App, HandledEvent, InvocationError, Pass};
use crate::recovery::gap::{self, Gap};
use crate::recovery::notice::FailedBatch;
use crate::recovery::range;
use crate::recovery::shard::Streams;
use crate::source::Event;

/// What became of failed batches.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// How many batches there were.
    pub batches: usize,
    /// What was done with their records.
    pub passes: Vec<Pass>,
    /// Ranges of them that are lost.
    pub gaps: Vec<Gap>,
    /// Why some must be tried again.
    pub troubles: Vec<String>,
}

impl Recovered {
    /// Lands a batch. Returns true if every record of it is durable, or known to be lost.
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
                let kept = gap::keep(app, &gap, deadline).await;
                let durable = kept.is_ok();
                self.gaps.push(gap);
                self.troubles.extend(kept.err().map(|error| error.to_string()));
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
