//! Limits on what an event's records unpack to: gzip and zstd are unpacked within them, and records
//! in records are counted.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::MultiGzDecoder;

use crate::record::Reject;

/// The largest size in bytes that one record may unpack to.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// The largest ratio of that size to the packed size…
const MAX_RATIO: usize = 100;
/// …unless a record unpacks to this size in bytes or less. Real JSON shrinks to a tenth or a
/// thirtieth; data that shrinks to a hundredth is made to fill memory.
const FREE_BYTES: usize = 64 * 1024;
/// The largest size in bytes that the records of one pass may unpack to.
const MAX_PASS_BYTES: usize = 128 * 1024 * 1024;
/// The largest number of pieces that the records of one pass may hold.
const MAX_PIECES: usize = 100_000;
/// The most memory in bytes that the texts of a pass may take until they are durable, as [`weight`]
/// estimates it: with the process and the event itself less than 512 MB.
const MAX_WEIGHT: usize = 320 * 1024 * 1024;
/// The memory in bytes that a piece takes beside its text: an identity and a row.
const PIECE_WEIGHT: usize = 1_500;

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// The base64 of the first bytes of either, as far as these alone decide it.
const GZIP_BASE64: &[u8] = b"H4s";
const ZSTD_BASE64: &[u8] = b"KLUv/";

/// The rest of the limits of a pass.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    pieces: usize,
    weight: usize,
    /// The weight of the record at hand.
    own: usize,
    /// Whether records before this one have used some of it: then this one may fit the next pass.
    is_shared: bool,
}

/// Why a record is not unpacked.
#[derive(Debug)]
pub(super) enum UnpackError {
    /// It is bad, or too large by itself.
    Rejected(Reject),
    /// Together with the records before it, it is more than a pass may hold.
    Deferred,
}

/// The signal that a record must wait for the next pass.
pub(super) struct Deferral;

impl Budget {
    /// Returns the limits of a pass that has no records yet.
    pub(super) fn of_a_pass() -> Self {
        let (bytes, pieces, weight) = (MAX_PASS_BYTES, MAX_PIECES, MAX_WEIGHT);
        Self { bytes, pieces, weight, own: 0, is_shared: false }
    }

    /// Begins the next record.
    pub(super) fn next_record(&mut self) {
        self.is_shared = self.bytes < MAX_PASS_BYTES || self.pieces < MAX_PIECES;
        self.own = 0;
    }

    /// Takes the weight of a text that was not packed. Such a text is never too large by itself,
    /// because Lambda limits the size of an event.
    pub(super) fn hold(&mut self, text: &[u8]) -> Result<(), UnpackError> {
        match self.take(weight(text)) {
            Err(UnpackError::Rejected(_)) => Ok(()),
            result => result,
        }
    }

    fn take(&mut self, weight: usize) -> Result<(), UnpackError> {
        self.own += weight;
        let left = self.weight.checked_sub(weight);
        self.weight = left.unwrap_or_default();
        if self.own > MAX_WEIGHT {
            let detail = "its values take more memory than a function should need for one record";
            return Err(UnpackError::Rejected(Reject::new("too_large", detail)));
        }
        if left.is_none() { Err(UnpackError::Deferred) } else { Ok(()) }
    }

    /// Takes the number and the weight of a record's pieces.
    pub(super) fn count(&mut self, pieces: usize) -> Result<(), UnpackError> {
        let left = self.pieces.checked_sub(pieces);
        self.pieces = left.ok_or_else(|| self.exceeded(&format!("{MAX_PIECES} records")))?;
        self.take(pieces * PIECE_WEIGHT)
    }

    /// Returns the error for a record that exceeds the rest of a limit. One that exceeds the whole
    /// limit would do so in every pass.
    fn exceeded(&self, limit: &str) -> UnpackError {
        if self.is_shared {
            return UnpackError::Deferred;
        }
        let detail = format!("it holds more than {limit}, the limit for one record");
        UnpackError::Rejected(Reject::new("too_large", detail))
    }

    /// Unpacks `data`; `None` if it is not packed.
    pub(super) fn unpack(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, UnpackError> {
        let unpacked = if data.starts_with(&GZIP) {
            self.read(data.len(), MultiGzDecoder::new(data))
        } else if data.starts_with(&ZSTD) {
            let decoder = zstd::stream::read::Decoder::with_buffer(data);
            self.read(data.len(), decoder.map_err(|error| damaged(&error))?)
        } else {
            return Ok(None);
        };
        unpacked.map(Some)
    }

    /// Unpacks a text, in which packed data is base64; `None` if it is not packed.
    pub(super) fn unpack_text(&mut self, text: &[u8]) -> Result<Option<Vec<u8>>, UnpackError> {
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

    fn read(&mut self, packed: usize, from: impl Read) -> Result<Vec<u8>, UnpackError> {
        let exceeded = || self.exceeded(&format!("{MAX_PASS_BYTES} bytes"));
        if self.bytes == 0 {
            return Err(exceeded());
        }
        let limit = (packed * MAX_RATIO).clamp(FREE_BYTES, MAX_RECORD_BYTES);
        let mut unpacked = Vec::new();
        let beyond = u64::try_from(limit + 1).unwrap_or(u64::MAX);
        from.take(beyond).read_to_end(&mut unpacked).map_err(|error| damaged(&error))?;
        if unpacked.len() > self.bytes {
            let exceeded = exceeded();
            self.bytes = 0;
            return Err(exceeded);
        }
        // Unpacking costs time even if the result is refused.
        self.bytes -= unpacked.len();
        if unpacked.len() > limit {
            let detail = format!(
                "it unpacks to more than {limit} bytes; the limits are {MAX_RECORD_BYTES} bytes and \
                 {MAX_RATIO} times its packed size"
            );
            return Err(UnpackError::Rejected(Reject::new("too_large", detail)));
        }
        self.take(weight(&unpacked))?;
        Ok(unpacked)
    }
}

/// Estimates the memory in bytes that a JSON text takes on its way to a table: itself, its values, a
/// row's cells, a column, a page of a file. Small values cost many times their text, so brackets,
/// commas and colons are counted; `tests/contract/memory` measures real processes.
fn weight(text: &[u8]) -> usize {
    const BYTE: usize = 6;
    const BEGIN: usize = 160;
    const PART: usize = 80;
    const NAME: usize = 150;
    let (mut sum, mut quoted, mut escaped) = (text.len() * BYTE, false, false);
    for byte in text {
        let cost = match byte {
            b'[' | b'{' if !quoted => BEGIN,
            b',' if !quoted => PART,
            b':' if !quoted => NAME,
            _ => 0,
        };
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && quoted && !escaped;
        sum += cost;
    }
    sum
}

fn damaged(error: &io::Error) -> UnpackError {
    // The error's own text may quote bytes.
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early",
        _ => "its bytes are damaged",
    };
    let detail = format!("it is packed and can't be unpacked: {problem}");
    UnpackError::Rejected(Reject::new("bad_archive", detail))
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

    fn reason(outcome: Result<Option<Vec<u8>>, UnpackError>) -> &'static str {
        match outcome {
            Err(UnpackError::Rejected(reject)) => reject.reason,
            Err(UnpackError::Deferred) => "deferred",
            Ok(Some(_)) => "fine",
            Ok(None) => "not packed",
        }
    }

    #[test]
    fn packed_data_is_unpacked_and_other_data_is_left() {
        let text = b"{\"a\":1}".repeat(1_000);
        let packed = [gzip(&text), zstd::encode_all(text.as_slice(), 0).unwrap()];
        for packed in packed {
            let mut budget = Budget::of_a_pass();
            assert_eq!(budget.unpack(&packed).unwrap().unwrap(), text);
            let base64 = format!(" {}\n", BASE64.encode(&packed));
            assert_eq!(budget.unpack_text(base64.as_bytes()).unwrap().unwrap(), text);
        }
        let mut budget = Budget::of_a_pass();
        for data in [&b"{}"[..], b"", b"\x1F", b"H4s", b"H4sI not base64"] {
            assert_eq!(reason(budget.unpack(data)), "not packed");
            assert_eq!(reason(budget.unpack_text(data)), "not packed");
        }
        let two = [gzip(b"{\"a\":"), gzip(b"1}")].concat();
        assert_eq!(budget.unpack(&two).unwrap().unwrap(), b"{\"a\":1}");
    }

    #[test]
    fn a_bomb_is_stopped_and_a_broken_archive_named() {
        let mut budget = Budget::of_a_pass();
        let zeros = vec![b' '; 64 * 1024 * 1024];
        assert_eq!(reason(budget.unpack(&gzip(&zeros))), "too_large");
        let zstd = zstd::encode_all(zeros.as_slice(), 0).unwrap();
        assert_eq!(reason(budget.unpack(&zstd)), "too_large");
        let small = gzip(&vec![b' '; FREE_BYTES]);
        assert_eq!(reason(budget.unpack(&small)), "fine");
        assert_eq!(reason(budget.unpack(&small[..small.len() - 9])), "bad_archive");
        let Err(UnpackError::Rejected(torn)) = budget.unpack(&small[..small.len() - 9]) else {
            panic!()
        };
        assert!(torn.detail.ends_with("it ends too early"), "{}", torn.detail);
        assert_eq!(reason(budget.unpack(&[&ZSTD[..], b"garbage"].concat())), "bad_archive");
        assert_eq!(reason(budget.unpack(&[&GZIP[..], b"garbage"].concat())), "bad_archive");
    }

    /// Returns the largest archive that is allowed: noise does not shrink.
    fn largest_archive() -> Vec<u8> {
        let mut noise = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = (0..MAX_RECORD_BYTES).map(|_| noise.u8(b'a'..=b'z')).collect();
        zstd::encode_all(block.as_slice(), 1).unwrap()
    }

    #[test]
    fn records_beyond_the_limits_of_a_pass_are_deferred() {
        let (mut budget, packed) = (Budget::of_a_pass(), largest_archive());
        let outcomes: Vec<_> = (0..10)
            .map(|_| {
                budget.next_record();
                reason(budget.unpack(&packed))
            })
            .collect();
        assert_eq!(outcomes, [vec!["fine"; 3], vec!["deferred"; 7]].concat());
        budget.next_record();
        assert_eq!(reason(budget.unpack(&gzip(b"{}"))), "deferred");
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
        // A string ends at a quotation mark, unless that is escaped.
        assert_eq!(weight(br#"{"[{":[1,2]}"#), weight(br#"{xxxx:[1,2]}"#));
        assert_eq!(weight(br#"{"a\\":1}"#), weight(br#"{xxxxx:1}"#));
        assert_eq!(weight(br#"{"a\":1}"#), weight(br#"{xxxxxxx"#));
    }

    #[test]
    fn a_text_that_weighs_too_much_is_rejected_and_others_are_deferred() {
        let half = format!("[{}1]", "1,".repeat(2_000_000)).into_bytes();
        let whole = format!("[{}1]", "1,".repeat(4_000_000)).into_bytes();
        let take = |budget: &mut Budget, text: &[u8]| {
            budget.next_record();
            reason(budget.take(weight(text)).map(|()| None))
        };
        let mut budget = Budget::of_a_pass();
        assert_eq!(take(&mut budget, &half), "not packed");
        assert_eq!(take(&mut budget, &whole), "too_large", "even beside others");
        assert_eq!(take(&mut budget, &half), "deferred");
        let mut budget = Budget::of_a_pass();
        assert!(budget.hold(&whole).is_ok(), "Lambda can't deliver so much");
        assert_eq!(take(&mut budget, b"{}"), "deferred");
    }

    #[test]
    fn a_record_that_is_too_large_by_itself_is_not_deferred() {
        let (mut budget, packed) = (Budget::of_a_pass(), largest_archive());
        budget.next_record();
        let outcomes: Vec<_> = (0..10).map(|_| reason(budget.unpack(&packed))).collect();
        assert_eq!(outcomes, [vec!["fine"; 3], vec!["too_large"; 7]].concat());
        budget.next_record();
        assert_eq!(reason(budget.unpack(&packed)), "deferred", "there is less for the next record");
    }

    #[test]
    fn records_within_records_are_counted() {
        let mut budget = Budget::of_a_pass();
        let mut count = |pieces, next| {
            if next {
                budget.next_record();
            }
            reason(budget.count(pieces).map(|()| None))
        };
        assert_eq!(count(MAX_PIECES + 1, true), "too_large");
        assert_eq!(
            count(MAX_PIECES + 1, true),
            "too_large",
            "the first took nothing from this one"
        );
        assert_eq!(count(MAX_PIECES - 1, true), "not packed");
        assert_eq!(count(2, false), "too_large");
        assert_eq!(count(2, true), "deferred");
        assert_eq!(count(1, true), "not packed");
    }
}
