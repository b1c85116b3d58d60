//! Aggregated records of the Kinesis Producer Library: a magic number, a protobuf, its MD5.
//!
//! The format is that of `kinesis-aggregation`'s `KPL_AGGREGATED_RECORD_FORMAT`.

use bytes::Bytes;
use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST: usize = 16;

/// A record of an aggregate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    /// Its partition key.
    pub key: String,
    /// Its data.
    pub data: Bytes,
}

/// The records of an aggregate, and what is broken among them.
pub(super) type Users = Vec<Result<User, (Broken, Bytes)>>;

/// Why a record of an aggregate, or all of it, is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

/// The records of an aggregate, each by itself: one that is broken with the bytes that it is made
/// of, which its data is a part of. `None` for data that is no aggregate.
pub(super) fn users(data: &Bytes) -> Option<Result<Users, Broken>> {
    let rest = data.strip_prefix(&MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(DIGEST)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    Some(aggregate(data, message))
}

fn aggregate(data: &Bytes, message: &[u8]) -> Result<Users, Broken> {
    let (mut keys, mut records) = (Vec::new(), Vec::new());
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(key)) => keys.push(key),
            (3, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    let each = records
        .into_iter()
        .map(|record| user(data, record, &keys).map_err(|broken| (broken, data.slice_ref(record))));
    Ok(each.collect())
}

fn user(data: &Bytes, record: &[u8], keys: &[&[u8]]) -> Result<User, Broken> {
    let (mut key, mut payload) = (None, None);
    for field in fields(record) {
        match field? {
            (1, Value::Number(at)) => key = usize::try_from(at).ok().and_then(|it| keys.get(it)),
            (3, Value::Bytes(it)) => payload = Some(it),
            _ => {}
        }
    }
    let key = key.ok_or(Broken("a record of the aggregate has no partition key in its table"))?;
    let key = std::str::from_utf8(key);
    Ok(User {
        key: key
            .map_err(|_utf8| Broken("a partition key of the aggregate is no UTF-8"))?
            .to_owned(),
        data: data.slice_ref(payload.ok_or(Broken("a record of the aggregate has no data"))?),
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, in order: number and value. Ends after the first bad one.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>), Broken>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || failed {
            return None;
        }
        let field = field(&mut rest);
        failed = field.is_none();
        Some(field.ok_or(Broken("the protobuf of the aggregate is damaged")))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)?),
        1 => Value::Bytes(take(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Bytes(take(rest, 4)?),
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
    fn records_come_with_their_keys() {
        let tags = message(&[(1, b"k"), (2, b"v")]);
        let second = [record(1, b"{}"), message(&[(4, &tags)])].concat();
        let message = message(&[
            (1, b"a"),
            (1, b"b"),
            (2, b"9"),
            (3, &record(0, b"{\"n\":1}")),
            (3, &second),
        ]);
        let found = users(&aggregate(&message)).unwrap().unwrap();
        let user = |key: &str, data: &'static [u8]| {
            Ok(User { key: key.to_owned(), data: Bytes::from_static(data) })
        };
        assert_eq!(found, [user("a", b"{\"n\":1}"), user("b", b"{}")]);
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
        let found = users(&aggregate(&message)).unwrap().unwrap();
        let broken: Vec<Option<&[u8]>> =
            found.iter().map(|it| it.as_ref().err().map(|(_, bytes)| bytes.as_ref())).collect();
        let of_no_key = record(7, b"{}");
        assert_eq!(broken, [Some(&of_no_key[..]), Some(&no_data[..]), Some(&[0xFF]), None]);
    }

    #[test]
    fn what_is_no_aggregate_is_left_alone() {
        let whole = aggregate(&message(&[(1, b"a")]));
        let mut wrong = whole.to_vec();
        *wrong.last_mut().unwrap() ^= 1;
        for data in
            [Bytes::from(wrong), whole.slice(..10), Bytes::from_static(&MAGIC), Bytes::new()]
        {
            assert!(users(&data).is_none());
        }
        assert_eq!(users(&aggregate(b"")).unwrap().unwrap(), []);
        assert!(users(&aggregate(&[0xFF; 20])).unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(message in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            drop(users(&aggregate(&message)));
        }
    }
}
