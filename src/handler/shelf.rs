//! What is quarantined, as rows. They are made when all else has landed, because most events have
//! none, and within limits, because a record that holds many can become many times its size.

use crate::handler::App;
use crate::handler::sort::Ticket;
use crate::quarantine::{self, Keep};
use crate::record::{Origin, Reject, Row};
use crate::source::Carrier;

/// Most bytes of text that the records within one delivered record become. Beyond it, that is kept
/// once and whole.
const MOST_OF_A_RECORD: usize = 16 * 1024 * 1024;
/// Most bytes of text that an event's records become. What is beyond comes again.
const MOST_OF_AN_EVENT: usize = 64 * 1024 * 1024;

/// Rows for quarantine.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) rows: Vec<Row>,
    /// Slips of what they were delivered in.
    pub(super) slips: Vec<usize>,
    /// Slips that there was no room for.
    pub(super) later: Vec<usize>,
}

/// The rows of rejected records.
pub(super) fn shelve(app: &App, mut rejected: Vec<(Ticket<'_>, Reject)>) -> Shelf {
    rejected.sort_by_key(|(ticket, _)| ticket.slip);
    let mut shelf = Shelf::default();
    let mut weight = 0_usize;
    for delivered in rejected.chunk_by(|(a, _), (b, _)| a.slip == b.slip) {
        let Some((first, reject)) = delivered.first() else { continue };
        let carrier = first.raw.piece.is_some().then(|| Carrier::of(&first.raw));
        let pieces = || delivered.iter().filter_map(|(it, _)| it.raw.piece.as_ref());
        let of_pieces = match (&carrier, app.config.quarantine.keep) {
            (Some(carrier), Keep::Raw) => {
                pieces().map(|it| carrier.weight(it)).fold(0, usize::saturating_add)
            }
            _ => 0,
        };
        let whole = carrier.as_ref().filter(|_| of_pieces > MOST_OF_A_RECORD);
        let own = if whole.is_some() { first.raw.record.len() } else { of_pieces };
        weight = weight.saturating_add(own);
        // The first of all finds room whatever its size, so that the next event begins behind it.
        if weight > MOST_OF_AN_EVENT && !shelf.slips.is_empty() {
            shelf.later.push(first.slip);
            continue;
        }
        match whole {
            Some(carrier) => {
                let origin = Origin { id: Some(carrier.id().to_owned()), ..first.origin.clone() };
                let count = delivered.len();
                let detail = format!("{count} of its records are no rows, one of them: ");
                let reject = Reject { detail: detail + &reject.detail, ..reject.clone() };
                shelf.put(app, first, &origin, &reject, first.raw.record);
            }
            None => {
                for (ticket, reject) in delivered {
                    let alone = carrier.as_ref().zip(ticket.raw.piece.as_ref());
                    let alone = alone.filter(|_| app.config.quarantine.keep == Keep::Raw);
                    let alone = alone.map(|(carrier, piece)| carrier.alone(piece));
                    let text = alone.as_deref().unwrap_or(ticket.raw.record);
                    shelf.put(app, ticket, &ticket.origin, reject, text);
                }
            }
        }
    }
    shelf
}

impl Shelf {
    fn put(
        &mut self,
        app: &App,
        ticket: &Ticket<'_>,
        origin: &Origin,
        reject: &Reject,
        text: &[u8],
    ) {
        let config = &app.config;
        let (keep, hash) = (config.quarantine.keep, &config.lake.config_hash);
        let route = ticket.route.map(|it| it.name.as_str());
        self.rows.push(quarantine::row(text, keep, origin, reject, route, hash));
        self.slips.push(ticket.slip);
    }
}
