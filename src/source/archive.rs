//! What an event's records may be taken apart into: gzip and zstd are unpacked within limits, and
//! records that hold records are counted.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::MultiGzDecoder;

use crate::record::Reject;

/// Most bytes that one record may unpack to.
const MOST: usize = 16 * 1024 * 1024;
/// Most times its packed size…
const RATIO: usize = 100;
/// …beyond so many bytes. Real JSON shrinks to a tenth or a thirtieth; what shrinks to a hundredth
/// is made to fill memory.
const FREE: usize = 64 * 1024;
/// Most bytes that the records of one event may unpack to.
const MOST_OF_AN_EVENT: usize = 128 * 1024 * 1024;
/// Most records that those which hold several may hold together, in one event.
const MOST_PIECES: usize = 100_000;
/// Most bytes of memory that the texts of an event may take until they are durable, as [`weight`]
/// guesses it: with the process and the event itself less than 512 MB.
const MOST_WEIGHT: usize = 320 * 1024 * 1024;
/// What a record of several takes beside its text: an identity, a row.
const WEIGHT_OF_A_PIECE: usize = 1_500;

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// What base64 makes of the first bytes of either, as far as they decide it alone.
const GZIP_BASE64: &[u8] = b"H4s";
const ZSTD_BASE64: &[u8] = b"KLUv/";

/// What the rest of an event's records may be taken apart into.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    pieces: usize,
    weight: usize,
    /// What the record at hand weighs.
    own: usize,
    /// Whether records before this one have used some of it: then this one may fit a smaller batch.
    shared: bool,
}

/// Why a record is not taken apart.
#[derive(Debug)]
pub(super) enum Packed {
    /// It is bad, or too large by itself.
    Bad(Reject),
    /// With those before it, it is more than an invocation should hold.
    Later,
}

impl Budget {
    pub(super) fn of_an_event() -> Self {
        let (bytes, pieces, weight) = (MOST_OF_AN_EVENT, MOST_PIECES, MOST_WEIGHT);
        Self { bytes, pieces, weight, own: 0, shared: false }
    }

    /// The next record's turn.
    pub(super) fn next_record(&mut self) {
        self.shared = self.bytes < MOST_OF_AN_EVENT || self.pieces < MOST_PIECES;
        self.own = 0;
    }

    /// Allows for a text that came as it is. None of them is too much by itself, because Lambda
    /// delivers so much at most.
    pub(super) fn hold(&mut self, text: &[u8]) -> Result<(), Packed> {
        match self.take(weight(text)) {
            Err(Packed::Bad(_)) => Ok(()),
            held => held,
        }
    }

    fn take(&mut self, weight: usize) -> Result<(), Packed> {
        self.own = self.own.saturating_add(weight);
        let left = self.weight.checked_sub(weight);
        self.weight = left.unwrap_or_default();
        if self.own > MOST_WEIGHT {
            let detail = "its values take more memory than a function should need for one record";
            return Err(Packed::Bad(Reject::new("too_large", detail)));
        }
        if left.is_none() { Err(Packed::Later) } else { Ok(()) }
    }

    /// Allows for the records that a record holds.
    pub(super) fn count(&mut self, pieces: usize) -> Result<(), Packed> {
        let left = self.pieces.checked_sub(pieces);
        self.pieces = left.ok_or_else(|| self.exceeded(&format!("{MOST_PIECES} records")))?;
        self.take(pieces.saturating_mul(WEIGHT_OF_A_PIECE))
    }

    /// A record that is too much by itself is no less next time.
    fn exceeded(&self, most: &str) -> Packed {
        if self.shared {
            return Packed::Later;
        }
        let detail = format!("it holds more than {most} in all, the most that one record may hold");
        Packed::Bad(Reject::new("too_large", detail))
    }

    /// Unpacks `data` where it is packed; `None` where it is not.
    pub(super) fn unpack(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, Packed> {
        let unpacked = if data.starts_with(&GZIP) {
            self.read(data.len(), MultiGzDecoder::new(data))
        } else if data.starts_with(&ZSTD) {
            let decoder = zstd::stream::read::Decoder::with_buffer(data);
            self.read(data.len(), decoder.map_err(|error| broken(&error))?)
        } else {
            return Ok(None);
        };
        unpacked.map(Some)
    }

    /// The same for text, in which packed data stands as base64.
    pub(super) fn unpack_text(&mut self, text: &[u8]) -> Result<Option<Vec<u8>>, Packed> {
        let text = text.trim_ascii();
        if !(text.starts_with(GZIP_BASE64) || text.starts_with(ZSTD_BASE64)) {
            return Ok(None);
        }
        match BASE64.decode(text) {
            Ok(data) => self.unpack(&data),
            // It only begins like that.
            Err(_) => Ok(None),
        }
    }

    fn read(&mut self, packed: usize, from: impl Read) -> Result<Vec<u8>, Packed> {
        let exceeded = || self.exceeded(&format!("{MOST_OF_AN_EVENT} bytes"));
        if self.bytes == 0 {
            return Err(exceeded());
        }
        let limit = packed.saturating_mul(RATIO).clamp(FREE, MOST);
        let mut unpacked = Vec::new();
        let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        from.take(more).read_to_end(&mut unpacked).map_err(|error| broken(&error))?;
        if unpacked.len() > self.bytes {
            let exceeded = exceeded();
            self.bytes = 0;
            return Err(exceeded);
        }
        // Also what is thrown away was work.
        self.bytes = self.bytes.saturating_sub(unpacked.len());
        if unpacked.len() > limit {
            let detail = format!(
                "it unpacks to more than {limit} bytes: {MOST} are the most, and {RATIO} times its \
                 packed size"
            );
            return Err(Packed::Bad(Reject::new("too_large", detail)));
        }
        self.take(weight(&unpacked))?;
        Ok(unpacked)
    }
}

/// About how much memory a JSON text takes on its way to a table: itself, its values, a row's cells,
/// a column, a page of a file. Small values cost many times their text, so what begins, parts and
/// names them is counted; `tests/contract/memory` measures what processes really take.
fn weight(text: &[u8]) -> usize {
    const BYTE: usize = 6;
    const BEGIN: usize = 160;
    const PART: usize = 80;
    const NAME: usize = 150;
    let (mut sum, mut quoted, mut escaped) = (text.len().saturating_mul(BYTE), false, false);
    for byte in text {
        let cost = match byte {
            b'[' | b'{' if !quoted => BEGIN,
            b',' if !quoted => PART,
            b':' if !quoted => NAME,
            _ => 0,
        };
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        sum = sum.saturating_add(cost);
    }
    sum
}

fn broken(error: &io::Error) -> Packed {
    // The error's own text may quote bytes.
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early",
        _ => "its bytes are damaged",
    };
    Packed::Bad(Reject::new("bad_archive", format!("it is packed, and can't be unpacked: {what}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(data).unwrap();
        packed.finish().unwrap()
    }

    fn reason(outcome: Result<Option<Vec<u8>>, Packed>) -> &'static str {
        match outcome {
            Err(Packed::Bad(reject)) => reject.reason,
            Err(Packed::Later) => "later",
            Ok(Some(_)) => "fine",
            Ok(None) => "not packed",
        }
    }

    #[test]
    fn packed_data_is_unpacked_and_other_data_is_left() {
        let text = b"{\"a\":1}".repeat(1_000);
        let packed = [gzip(&text), zstd::encode_all(text.as_slice(), 0).unwrap()];
        for packed in packed {
            let mut budget = Budget::of_an_event();
            assert_eq!(budget.unpack(&packed).unwrap().unwrap(), text);
            let base64 = format!(" {}\n", BASE64.encode(&packed));
            assert_eq!(budget.unpack_text(base64.as_bytes()).unwrap().unwrap(), text);
        }
        let mut budget = Budget::of_an_event();
        for data in [&b"{}"[..], b"", b"\x1F", b"H4s", b"H4sI not base64"] {
            assert_eq!(reason(budget.unpack(data)), "not packed");
            assert_eq!(reason(budget.unpack_text(data)), "not packed");
        }
        let two = [gzip(b"{\"a\":"), gzip(b"1}")].concat();
        assert_eq!(budget.unpack(&two).unwrap().unwrap(), b"{\"a\":1}");
    }

    #[test]
    fn a_bomb_is_stopped_and_a_broken_archive_named() {
        let mut budget = Budget::of_an_event();
        let zeros = vec![b' '; 64 * 1024 * 1024];
        assert_eq!(reason(budget.unpack(&gzip(&zeros))), "too_large");
        let zstd = zstd::encode_all(zeros.as_slice(), 0).unwrap();
        assert_eq!(reason(budget.unpack(&zstd)), "too_large");
        let small = gzip(&vec![b' '; FREE]);
        assert_eq!(reason(budget.unpack(&small)), "fine");
        assert_eq!(reason(budget.unpack(&small[..small.len() - 9])), "bad_archive");
        let Err(Packed::Bad(torn)) = budget.unpack(&small[..small.len() - 9]) else { panic!() };
        assert!(torn.detail.ends_with("it ends too early"), "{}", torn.detail);
        assert_eq!(reason(budget.unpack(&[&ZSTD[..], b"garbage"].concat())), "bad_archive");
        assert_eq!(reason(budget.unpack(&[&GZIP[..], b"garbage"].concat())), "bad_archive");
    }

    /// Noise does not shrink, so this is as large as an archive may be.
    fn largest() -> Vec<u8> {
        let mut noise = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = (0..MOST).map(|_| noise.u8(b'a'..=b'z')).collect();
        zstd::encode_all(block.as_slice(), 1).unwrap()
    }

    #[test]
    fn an_event_is_taken_apart_as_far_as_memory_should_hold() {
        let (mut budget, packed) = (Budget::of_an_event(), largest());
        let outcomes: Vec<_> = (0..10)
            .map(|_| {
                budget.next_record();
                reason(budget.unpack(&packed))
            })
            .collect();
        assert_eq!(outcomes, [vec!["fine"; 3], vec!["later"; 7]].concat());
        budget.next_record();
        assert_eq!(reason(budget.unpack(&gzip(b"{}"))), "later");
    }

    #[test]
    fn small_values_weigh_many_times_their_text_and_long_texts_little() {
        let text = format!("\"{}\"", "[{,:\\\"".repeat(1_000));
        assert_eq!(weight(text.as_bytes()), text.len() * 6);
        let list = format!("[{}1]", "1,".repeat(1_000));
        assert!(weight(list.as_bytes()) > list.len() * 40);
        assert!(weight(b"[{\"a\":1}]") > weight(b"[1]") + weight(b"{}"));
        for mark in [&b"["[..], b"{", b":", b","] {
            assert!(weight(mark) > weight(b"1") + 50);
        }
        // What is quoted ends: at a quotation mark, unless that is escaped.
        assert_eq!(weight(br#"{"[{":[1,2]}"#), weight(br#"{xxxx:[1,2]}"#));
        assert_eq!(weight(br#"{"a\\":1}"#), weight(br#"{xxxxx:1}"#));
        assert_eq!(weight(br#"{"a\":1}"#), weight(br#"{xxxxxxx"#));
    }

    #[test]
    fn what_weighs_too_much_is_refused_alone_and_waits_beside_others() {
        let half = format!("[{}1]", "1,".repeat(2_000_000)).into_bytes();
        let whole = format!("[{}1]", "1,".repeat(4_000_000)).into_bytes();
        let take = |budget: &mut Budget, text: &[u8]| {
            budget.next_record();
            reason(budget.take(weight(text)).map(|()| None))
        };
        let mut budget = Budget::of_an_event();
        assert_eq!(take(&mut budget, &half), "not packed");
        assert_eq!(take(&mut budget, &whole), "too_large", "beside others, too");
        assert_eq!(take(&mut budget, &half), "later");
        let mut budget = Budget::of_an_event();
        assert!(budget.hold(&whole).is_ok(), "so much can't be delivered");
        assert_eq!(take(&mut budget, b"{}"), "later");
    }

    #[test]
    fn a_record_that_is_too_much_by_itself_does_not_come_again() {
        let (mut budget, packed) = (Budget::of_an_event(), largest());
        budget.next_record();
        let outcomes: Vec<_> = (0..10).map(|_| reason(budget.unpack(&packed))).collect();
        assert_eq!(outcomes, [vec!["fine"; 3], vec!["too_large"; 7]].concat());
        budget.next_record();
        assert_eq!(reason(budget.unpack(&packed)), "later", "there is less for the next record");
    }

    #[test]
    fn records_within_records_are_counted() {
        let mut budget = Budget::of_an_event();
        let mut count = |pieces, next| {
            if next {
                budget.next_record();
            }
            reason(budget.count(pieces).map(|()| None))
        };
        assert_eq!(count(MOST_PIECES + 1, true), "too_large");
        assert_eq!(count(MOST_PIECES + 1, true), "too_large", "which took nothing from this one");
        assert_eq!(count(MOST_PIECES - 1, true), "not packed");
        assert_eq!(count(2, false), "too_large");
        assert_eq!(count(2, true), "later");
        assert_eq!(count(1, true), "not packed");
    }
}
