//! Rows of quarantine. They are made last, because most events have none, and in batches, because the
//! pieces of a record may take many times its size.

use std::sync::{Arc, Mutex, PoisonError};

use crate::handler::app::App;
use crate::handler::sort::RowOrigin;
use crate::quarantine::{self, Keep};
use crate::record::{Origin, Reject, Row};
use crate::source::Carrier;

/// The largest size in bytes of the pieces of one delivered record. Beyond it, the record is kept
/// once and whole.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// The largest size in bytes of a batch; further rows go to the next one.
const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Makes rows of quarantine, without a reason, of parts that their table may refuse later.
pub(super) struct OriginalRows<'p, 'a> {
    app: &'a App,
    origins: &'p [RowOrigin<'a>],
    state: Mutex<OriginalState>,
}

#[derive(Default)]
struct OriginalState {
    /// The carrier of the pieces of the last record.
    carrier: Option<(usize, Arc<Carrier>)>,
    /// The size in bytes of the rows so far.
    bytes: usize,
}

impl<'p, 'a> OriginalRows<'p, 'a> {
    pub(super) fn of(app: &'a App, origins: &'p [RowOrigin<'a>]) -> Self {
        Self { app, origins, state: Mutex::default() }
    }

    /// Makes the row of a part; `None` if it would become too large together with the others, or would have
    /// more readers than quarantine: then the part is not left to others.
    pub(super) fn make(&self, index: usize) -> Option<Row> {
        let (config, from) = (&self.app.config, self.origins.get(index)?);
        let keep = config.quarantine.keep;
        if self.app.quarantine.is_some() && keep == Keep::Raw {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reframed = match from.raw.piece.as_ref().filter(|_| keep == Keep::Raw) {
            None => None,
            Some(piece) => {
                let carrier = match &state.carrier {
                    Some((record, carrier)) if *record == from.record => Arc::clone(carrier),
                    _ => Arc::new(Carrier::of(&from.raw)),
                };
                state.carrier = Some((from.record, Arc::clone(&carrier)));
                state.bytes += carrier.weight(piece);
                if state.bytes > MAX_RECORD_BYTES {
                    return None;
                }
                Some(carrier.reframe(piece))
            }
        };
        let text = reframed.as_deref().unwrap_or(from.raw.record);
        let route = from.route.map(|it| it.name.as_str());
        let hash = &config.lake.config_hash;
        Some(quarantine::original(text, keep, &from.origin, route, hash))
    }
}

/// The rejected parts of a pass, which become rows batch by batch.
pub(super) struct QuarantineRows<'a> {
    app: &'a App,
    /// The parts by delivered record, the last one first.
    records: Vec<Vec<(RowOrigin<'a>, Reject)>>,
}

/// Rows of quarantine for one commit.
#[derive(Default)]
pub(super) struct QuarantineBatch {
    pub(super) rows: Vec<Row>,
    /// The delivered record of each row, by its index in the pass.
    pub(super) records: Vec<usize>,
}

impl<'a> QuarantineRows<'a> {
    /// Groups rejected parts by their delivered records.
    pub(super) fn of(app: &'a App, mut rejected: Vec<(RowOrigin<'a>, Reject)>) -> Self {
        rejected.sort_by_key(|(from, _)| std::cmp::Reverse(from.record));
        let mut records: Vec<Vec<_>> = Vec::new();
        for part in rejected {
            match records.last_mut() {
                Some(parts) if is_of(parts, part.0.record) => parts.push(part),
                _ => records.push(vec![part]),
            }
        }
        Self { app, records }
    }

    /// Makes the next rows; `None` if there are no more.
    pub(super) fn next_batch(&mut self) -> Option<QuarantineBatch> {
        let (mut batch, mut bytes) = (QuarantineBatch::default(), 0);
        while let Some(parts) = self.records.last() {
            let record = RejectedRecord::of(self.app, parts)?;
            bytes += record.bytes;
            if bytes > MAX_BATCH_BYTES && !batch.rows.is_empty() {
                break;
            }
            record.put(self.app, &mut batch);
            self.records.pop();
        }
        (!batch.rows.is_empty()).then_some(batch)
    }
}

fn is_of(parts: &[(RowOrigin<'_>, Reject)], record: usize) -> bool {
    parts.first().is_some_and(|(it, _)| it.record == record)
}

/// A delivered record with rejected parts.
struct RejectedRecord<'p, 'a> {
    parts: &'p [(RowOrigin<'a>, Reject)],
    first: &'p (RowOrigin<'a>, Reject),
    /// The carrier of its pieces, if it has some.
    carrier: Option<Carrier>,
    /// True if it is kept whole, because its pieces would become too large.
    is_whole: bool,
    /// The estimated size in bytes of its rows.
    bytes: usize,
}

impl<'p, 'a> RejectedRecord<'p, 'a> {
    fn of(app: &App, parts: &'p [(RowOrigin<'a>, Reject)]) -> Option<Self> {
        let first = parts.first()?;
        let carrier = first.0.raw.piece.is_some().then(|| Carrier::of(&first.0.raw));
        let pieces = parts.iter().filter_map(|(it, _)| it.raw.piece.as_ref());
        let of_pieces = match (&carrier, app.config.quarantine.keep) {
            (Some(carrier), Keep::Raw) => pieces.map(|it| carrier.weight(it)).sum(),
            _ => 0,
        };
        let is_whole = of_pieces > MAX_RECORD_BYTES;
        let bytes = if is_whole { first.0.raw.record.len() } else { of_pieces };
        Some(Self { parts, first, carrier, is_whole, bytes })
    }

    fn put(&self, app: &App, batch: &mut QuarantineBatch) {
        let (first, reject) = self.first;
        if let Some(carrier) = self.carrier.as_ref().filter(|_| self.is_whole) {
            let id = Some(carrier.id().to_owned());
            let origin = Origin { id, ..first.origin.vouched().clone() };
            let count = self.parts.len();
            let detail = format!("{count} of its records can't become rows, one of them: ");
            let reject = Reject { detail: detail + &reject.detail, ..reject.clone() };
            batch.put(app, first, &origin, &reject, first.raw.record);
            return;
        }
        for (from, reject) in self.parts {
            let reframed = self.carrier.as_ref().zip(from.raw.piece.as_ref());
            let reframed = reframed.filter(|_| app.config.quarantine.keep == Keep::Raw);
            let reframed = reframed.map(|(carrier, piece)| carrier.reframe(piece));
            let text = reframed.as_deref().unwrap_or(from.raw.record);
            batch.put(app, from, &from.origin, reject, text);
        }
    }
}

impl QuarantineBatch {
    fn put(
        &mut self,
        app: &App,
        from: &RowOrigin<'_>,
        origin: &Origin,
        reject: &Reject,
        text: &[u8],
    ) {
        let config = &app.config;
        let (keep, hash) = (config.quarantine.keep, &config.lake.config_hash);
        let route = from.route.map(|it| it.name.as_str());
        self.rows.push(quarantine::row(text, keep, origin, reject, route, hash));
        self.records.push(from.record);
    }
}
