//! Aggregated records of the Kinesis Producer Library: a magic number, a protobuf, its MD5.
//!
//! The format is that of `kinesis-aggregation`'s `KPL_AGGREGATED_RECORD_FORMAT`.

use bytes::Bytes;
use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

/// A user record of an aggregate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserRecord {
    /// Its partition key.
    pub key: String,
    /// Its data.
    pub data: Bytes,
}

/// The user records of an aggregate. One that can't be read has an error and its own bytes instead,
/// which its data is a part of.
pub(super) type UserRecords = Vec<Result<UserRecord, (AggregateError, Bytes)>>;

/// Why an aggregate, or one of its user records, can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AggregateError(pub &'static str);

/// Reads the user records of an aggregate; `None` for data that is not an aggregate.
pub(super) fn user_records(data: &Bytes) -> Option<Result<UserRecords, AggregateError>> {
    let rest = data.strip_prefix(&MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(DIGEST_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    Some(aggregate(data, message))
}

fn aggregate(data: &Bytes, message: &[u8]) -> Result<UserRecords, AggregateError> {
    let (mut keys, mut records) = (Vec::new(), Vec::new());
    for field in fields(message) {
        match field? {
            (1, Field::Bytes(key)) => keys.push(key),
            (3, Field::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    let each = records.into_iter().map(|record| {
        user_record(data, record, &keys).map_err(|error| (error, data.slice_ref(record)))
    });
    Ok(each.collect())
}

fn user_record(data: &Bytes, record: &[u8], keys: &[&[u8]]) -> Result<UserRecord, AggregateError> {
    let (mut key, mut payload) = (None, None);
    for field in fields(record) {
        match field? {
            (1, Field::Number(index)) => {
                key = usize::try_from(index).ok().and_then(|it| keys.get(it));
            }
            (3, Field::Bytes(it)) => payload = Some(it),
            _ => {}
        }
    }
    let error = AggregateError;
    let key = key.ok_or(error("a record of the aggregate has no partition key in its table"))?;
    let key = std::str::from_utf8(key)
        .map_err(|_utf8| error("a partition key of the aggregate is not UTF-8"))?;
    let payload = payload.ok_or(error("a record of the aggregate has no data"))?;
    Ok(UserRecord { key: key.to_owned(), data: data.slice_ref(payload) })
}

/// The value of a protobuf field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Reads the fields of a protobuf message in order, each as its number and value. Ends after the
/// first error.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), AggregateError>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || failed {
            return None;
        }
        let field = field(&mut rest);
        failed = field.is_none();
        Some(field.ok_or(AggregateError("the protobuf of the aggregate is damaged")))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Field::Number(varint(rest)?),
        1 => Field::Bytes(take(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Bytes(take(rest, 4)?),
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?.first()?;
        let bits = u64::from(byte & 0x7F);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let each = parts.iter().map(|(number, bytes)| {
            [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
        });
        each.collect::<Vec<_>>().concat()
    }

    fn aggregate(message: &[u8]) -> Bytes {
        [&MAGIC[..], message, Md5::digest(message).as_slice()].concat().into()
    }

    fn record(key: u8, data: &[u8]) -> Vec<u8> {
        [vec![8, key], message(&[(3, data)])].concat()
    }

    #[test]
    fn user_records_have_their_keys() {
        let tags = message(&[(1, b"k"), (2, b"v")]);
        let second = [record(1, b"{}"), message(&[(4, &tags)])].concat();
        let message = message(&[
            (1, b"a"),
            (1, b"b"),
            (2, b"9"),
            (3, &record(0, b"{\"n\":1}")),
            (3, &second),
        ]);
        let found = user_records(&aggregate(&message)).unwrap().unwrap();
        let user_record = |key: &str, data: &'static [u8]| {
            Ok(UserRecord { key: key.to_owned(), data: Bytes::from_static(data) })
        };
        assert_eq!(found, [user_record("a", b"{\"n\":1}"), user_record("b", b"{}")]);
    }

    #[test]
    fn a_bad_record_costs_only_itself() {
        let no_data = [8, 0];
        let message = message(&[
            (1, b"a"),
            (3, &record(7, b"{}")),
            (3, &no_data),
            (3, &[0xFF]),
            (3, &record(0, b"{}")),
        ]);
        let found = user_records(&aggregate(&message)).unwrap().unwrap();
        let bad: Vec<Option<&[u8]>> =
            found.iter().map(|it| it.as_ref().err().map(|(_, bytes)| bytes.as_ref())).collect();
        let of_no_key = record(7, b"{}");
        assert_eq!(bad, [Some(&of_no_key[..]), Some(&no_data[..]), Some(&[0xFF]), None]);
    }

    #[test]
    fn other_data_is_not_an_aggregate() {
        let whole = aggregate(&message(&[(1, b"a")]));
        let mut wrong = whole.to_vec();
        *wrong.last_mut().unwrap() ^= 1;
        for data in
            [Bytes::from(wrong), whole.slice(..10), Bytes::from_static(&MAGIC), Bytes::new()]
        {
            assert!(user_records(&data).is_none());
        }
        assert_eq!(user_records(&aggregate(b"")).unwrap().unwrap(), []);
        assert!(user_records(&aggregate(&[0xFF; 20])).unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(message in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            drop(user_records(&aggregate(&message)));
        }
    }
}
