//! Payloads of Kinesis records: JSON, packed data, KPL aggregates, changes of items.
//!
//! The first byte says what the rest is wrapped in, since no fuzzer finds a digest by chance.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lakeward::source::Unwrap;
use md5::{Digest as _, Md5};

use super::pieces;

/// Number of forms that [`data`] makes.
pub const WAYS: u8 = 7;

pub fn run(input: &[u8]) {
    let Some((way, rest)) = input.split_first() else { return };
    let data = BASE64.encode(data(*way % WAYS, rest));
    let event = format!(
        r#"{{"Records":[{{"eventID":"shardId-000000000000:1","eventSource":"aws:kinesis","eventSourceARN":"arn:aws:kinesis:r:1:stream/s","kinesis":{{"partitionKey":"k","sequenceNumber":"1","approximateArrivalTimestamp":1.5,"data":"{data}"}}}}]}}"#
    );
    pieces::check(event.as_bytes(), Unwrap::None);
}

/// The data of a record.
fn data(way: u8, rest: &[u8]) -> Vec<u8> {
    match way {
        0 => rest.to_vec(),
        1 => aggregate(rest),
        2 => gzip(rest),
        3 => zstd::encode_all(rest, 1).unwrap(),
        4 => gzip(&aggregate(rest)),
        // An aggregate of one record, whose data is the rest.
        5 => aggregate(&of_one(rest)),
        _ => aggregate(&of_one(&gzip(rest))),
    }
}

/// A KPL aggregate: magic number, protobuf, MD5.
fn aggregate(message: &[u8]) -> Vec<u8> {
    [&[0xF3, 0x89, 0x9A, 0xC2], message, Md5::digest(message).as_slice()].concat()
}

fn of_one(data: &[u8]) -> Vec<u8> {
    let record = [&[8, 0][..], &field(3, data)].concat();
    [field(1, b"key"), field(3, &record), field(3, &record)].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    [&out, bytes].concat()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(data).unwrap();
    packed.finish().unwrap()
}
