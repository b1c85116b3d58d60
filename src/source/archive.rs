//! Packed data: gzip and zstd, unpacked within limits.

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

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// What base64 makes of the first bytes of either, as far as they decide it alone.
const GZIP_BASE64: &[u8] = b"H4s";
const ZSTD_BASE64: &[u8] = b"KLUv/";

/// Bytes that the rest of an event's records may unpack to.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

/// Why there is nothing unpacked.
#[derive(Debug)]
pub(super) enum Packed {
    /// The record is bad.
    Bad(Reject),
    /// The event has unpacked as much as an invocation should hold.
    Later,
}

impl Budget {
    pub(super) fn of_an_event() -> Self {
        Self { left: MOST_OF_AN_EVENT }
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
        if self.left == 0 {
            return Err(Packed::Later);
        }
        let limit = packed.saturating_mul(RATIO).clamp(FREE, MOST);
        let mut unpacked = Vec::new();
        let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        from.take(more).read_to_end(&mut unpacked).map_err(|error| broken(&error))?;
        // Also what is thrown away was work.
        let first = self.left == MOST_OF_AN_EVENT;
        let enough = unpacked.len() <= self.left || first;
        self.left = self.left.saturating_sub(unpacked.len());
        if !enough {
            self.left = 0;
            return Err(Packed::Later);
        }
        if unpacked.len() > limit {
            let detail = format!(
                "it unpacks to more than {limit} bytes: {MOST} are the most, and {RATIO} times its \
                 packed size"
            );
            return Err(Packed::Bad(Reject::new("too_large", detail)));
        }
        Ok(unpacked)
    }
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
        assert_eq!(reason(budget.unpack(&[&ZSTD[..], b"garbage"].concat())), "bad_archive");
        assert_eq!(reason(budget.unpack(&[&GZIP[..], b"garbage"].concat())), "bad_archive");
    }

    #[test]
    fn an_event_is_taken_apart_as_far_as_memory_should_hold() {
        let mut budget = Budget::of_an_event();
        // Noise does not shrink, so each of these is as large as a record may be.
        let mut noise = fastrand::Rng::with_seed(1);
        let block: Vec<u8> = (0..MOST).map(|_| noise.u8(b'a'..=b'z')).collect();
        let packed = zstd::encode_all(block.as_slice(), 1).unwrap();
        let outcomes: Vec<_> = (0..10).map(|_| reason(budget.unpack(&packed))).collect();
        assert_eq!(outcomes, [vec!["fine"; 8], vec!["later"; 2]].concat());
        assert_eq!(reason(budget.unpack(&gzip(b"{}"))), "later");
    }
}
