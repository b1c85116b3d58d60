//! One delivered record, and the records within it: each has its own id, and each is the same after
//! quarantine has written it and `redrive` has read it.

use std::collections::HashSet;

use lakeward::record::{Content, Delivery, Part};
use lakeward::source::{Carrier, Event, Unwrap};

use super::canary;

/// Most records within one record; the library promises it.
const MAX_PIECES: usize = 100_000;
/// Most records that are written down and read again.
const MAX_READ_BACK: usize = 20;

/// Reads an event of one record and looks at what it holds.
pub fn check(event: &[u8], unwrap: Unwrap) {
    let delivery = read(event, unwrap);
    let Content::Parts(parts) = &delivery.content else { panic!("alone, it is deferred") };
    assert!(parts.len() <= MAX_PIECES);
    assert!(delivery.receipt.is_some(), "nobody can report it");
    let mut ids = HashSet::new();
    for part in parts {
        let id = part.origin.id.as_deref().unwrap();
        let change = part.origin.shard.as_deref() == Some("kinesis");
        assert!(ids.insert(id) || change, "two records of one id");
        if let Err(reject) = &part.record {
            canary::sound(reject);
        }
        if parts.len() > 1 || part.raw.piece.is_some() {
            assert!(part.raw.piece.as_ref().is_some_and(|it| !it.sub.is_empty()));
        }
    }
    let Some(first) = parts.iter().find(|it| it.raw.piece.is_some()) else { return };
    let carrier = Carrier::of(&first.raw);
    for part in parts.iter().take(MAX_READ_BACK) {
        again(&carrier, part, unwrap);
    }
}

fn read(event: &[u8], unwrap: Unwrap) -> Delivery<'_> {
    let mut deliveries = Event::read(event).unwrap().decode(&[0], |_| unwrap);
    assert_eq!(deliveries.len(), 1, "one record became several");
    deliveries.remove(0)
}

/// Checks that quarantine keeps a record whole, under its own id.
fn again(carrier: &Carrier, part: &Part<'_>, unwrap: Unwrap) {
    let Some(piece) = &part.raw.piece else { return };
    let event = [b"{\"Records\":[", &carrier.reframe(piece)[..], b"]}"].concat();
    let delivery = read(&event, unwrap);
    let Content::Parts(found) = &delivery.content else { panic!("alone, it is deferred") };
    match &part.record {
        Ok(record) => {
            let [it] = &found[..] else { panic!("alone, a record became {}", found.len()) };
            assert_eq!(it.origin, part.origin, "alone, it is another record");
            assert_eq!(it.record.as_ref(), Ok(record), "alone, it says something else");
        }
        Err(_) => {
            let id = part.origin.id.as_deref().unwrap();
            for it in found {
                assert!(it.origin.id.as_deref().unwrap().starts_with(id), "alone, it is another");
            }
        }
    }
}
