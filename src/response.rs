//! The answer to Lambda. It is built only here, because Lambda reads an answer of another shape as
//! full success, or as a failure of the whole batch.

use std::cmp::Ordering;
use std::collections::HashSet;

use aws_lambda_events::sqs::SqsBatchResponse;
use aws_lambda_events::streams::{
    DynamoDbBatchItemFailure, DynamoDbEventResponse, KinesisEventResponse,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::outcome::RecordState;
use crate::record::Receipt;
use crate::source::{Kind, Redelivery};

/// The error for a record that is neither durable nor reportable: the whole invocation must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record that is not durable has no identifier to report it by, so Lambda redelivers the \
     whole batch: see `trouble` in the log"
)]
pub struct UnreportableRecord;

/// Returns the identifiers to report, for records in batch order.
///
/// SQS standard: each failed message. SQS FIFO: each failed message and those behind it in its group,
/// because a later message must not be deleted before an earlier one. Streams: the failed record with
/// the lowest sequence number, because Lambda redelivers everything from there on; instead of a failed
/// record without a number the nearest one before it.
pub fn failures(
    redelivery: Redelivery,
    records: &[RecordState],
) -> Result<Vec<&Receipt>, UnreportableRecord> {
    let failed: Vec<&RecordState> = match redelivery {
        Redelivery::FromFirstFailure => return from_first_failure(records),
        Redelivery::EachFailure => records.iter().filter(|it| !it.outcome.is_durable()).collect(),
        Redelivery::RestOfGroup => {
            let mut closed = HashSet::new();
            let reported = records.iter().filter(|it| {
                let group = it.group.as_deref();
                let failed =
                    !it.outcome.is_durable() || group.is_some_and(|it| closed.contains(it));
                if failed {
                    closed.extend(group);
                }
                failed
            });
            reported.collect()
        }
    };
    let receipts = failed.into_iter().map(|it| it.receipt.as_ref().ok_or(UnreportableRecord));
    let receipts = receipts.collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    Ok(receipts.into_iter().filter(|it| seen.insert(*it)).collect())
}

fn from_first_failure(records: &[RecordState]) -> Result<Vec<&Receipt>, UnreportableRecord> {
    let (mut last, mut lowest) = (None, None);
    for record in records {
        last = record.receipt.as_ref().or(last);
        if !record.outcome.is_durable() {
            let from = last.ok_or(UnreportableRecord)?;
            let least = lowest.get_or_insert(from);
            if by_number(from.as_str(), least.as_str()).is_lt() {
                *least = from;
            }
        }
    }
    Ok(lowest.into_iter().collect())
}

/// Compares sequence numbers as integers of any size; as text, `9` would come after `10`.
pub(crate) fn by_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A response to a tumbling window. The crate's own have the state as a map of texts, which can't hold
/// every state; this one repeats it byte for byte.
#[derive(Serialize)]
struct WindowResponse<'a, R> {
    state: &'a RawValue,
    #[serde(flatten)]
    response: R,
}

/// Returns the answer's JSON text for an event of a source of this kind. The answer to a tumbling
/// window repeats its `state` unchanged.
pub fn answer(
    kind: Option<Kind>,
    failures: &[&Receipt],
    window_state: Option<&[u8]>,
) -> Result<String, serde_json::Error> {
    let failures = failures.iter().map(|it| it.as_str());
    match kind {
        Some(Kind::DynamoDb) => {
            let mut response = DynamoDbEventResponse::default();
            response.batch_item_failures = failures.map(failure).collect();
            text(response, window_state)
        }
        Some(Kind::Kinesis) => {
            let mut response = KinesisEventResponse::default();
            response.set_failures(failures);
            text(response, window_state)
        }
        Some(Kind::Sqs) | None => {
            let mut response = SqsBatchResponse::default();
            response.set_failures(failures);
            text(response, window_state)
        }
    }
}

fn failure(identifier: &str) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = Some(identifier.to_owned());
    failure
}

fn text(
    response: impl Serialize,
    window_state: Option<&[u8]>,
) -> Result<String, serde_json::Error> {
    match window_state {
        None => serde_json::to_string(&response),
        Some(state) => {
            let state = serde_json::from_slice(state)?;
            serde_json::to_string(&WindowResponse { state, response })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Outcome;

    fn receipt(text: &str) -> Receipt {
        Receipt::new(text).unwrap()
    }

    fn state(receipt: Option<Receipt>, group: Option<&str>, durable: bool) -> RecordState {
        let mut state = RecordState::new(receipt, group.map(str::to_owned));
        state.worsen(if durable { Outcome::Landed } else { Outcome::Failed });
        state
    }

    fn report(redelivery: Redelivery, records: &[(&str, Option<&str>, bool)]) -> Vec<String> {
        let states =
            records.iter().map(|(id, group, durable)| state(Some(receipt(id)), *group, *durable));
        let states: Vec<RecordState> = states.collect();
        let failures = failures(redelivery, &states).unwrap();
        failures.into_iter().map(|it| it.as_str().to_owned()).collect()
    }

    #[test]
    fn full_success_is_exactly_this_text() {
        for kind in Kind::all().map(Some).chain([None]) {
            assert_eq!(answer(kind, &[], None).unwrap(), r#"{"batchItemFailures":[]}"#);
        }
    }

    #[test]
    fn failures_are_listed_by_their_identifiers() {
        let (a, b) = (receipt("a"), receipt("b"));
        for kind in Kind::all() {
            assert_eq!(
                answer(Some(kind), &[&a, &b], None).unwrap(),
                r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}"#
            );
        }
    }

    #[test]
    fn a_window_keeps_its_state_byte_for_byte() {
        let state = r#"{"n": 1.50, "x":{"y":[1e400]}}"#;
        assert_eq!(
            answer(Some(Kind::Kinesis), &[], Some(state.as_bytes())).unwrap(),
            format!(r#"{{"state":{state},"batchItemFailures":[]}}"#)
        );
    }

    #[test]
    fn the_lowest_sequence_number_is_the_lowest_integer() {
        let records = [("10", None, false), ("9", None, false), ("008", None, true)];
        assert_eq!(report(Redelivery::FromFirstFailure, &records), ["9"]);
        let long = "49590338271490256608559692538361571095921575989136588898";
        let records = [(long, None, false), ("100000000003498069978", None, false)];
        assert_eq!(report(Redelivery::FromFirstFailure, &records), ["100000000003498069978"]);
    }

    #[test]
    fn a_failed_record_without_a_number_is_redelivered_with_those_before_it() {
        for (numbers, durable, expected) in [
            (["7", "", "9"], [true, false, true], Ok("7")),
            (["7", "8", ""], [true, false, false], Ok("8")),
            (["", "8", ""], [true, true, false], Ok("8")),
            (["", "8", "9"], [false, false, true], Err(UnreportableRecord)),
        ] {
            let receipts = numbers.map(Receipt::new);
            let states: Vec<_> = std::iter::zip(receipts, durable)
                .map(|(it, durable)| state(it, None, durable))
                .collect();
            let reported = failures(Redelivery::FromFirstFailure, &states);
            let reported = reported.map(|it| it.iter().map(|it| it.as_str()).collect::<String>());
            assert_eq!(reported, expected.map(str::to_owned), "{numbers:?}");
        }
    }

    #[test]
    fn a_failed_message_closes_its_group_and_no_other() {
        let records = [
            ("1", Some("a"), true),
            ("2", Some("b"), false),
            ("3", Some("a"), true),
            ("4", Some("b"), true),
            ("5", None, true),
        ];
        assert_eq!(report(Redelivery::RestOfGroup, &records), ["2", "4"]);
        assert_eq!(report(Redelivery::EachFailure, &records), ["2"]);
    }

    #[test]
    fn a_failed_record_without_identifier_fails_the_invocation() {
        let failed = state(None, None, false);
        assert_eq!(failures(Redelivery::EachFailure, &[failed]), Err(UnreportableRecord));
        let landed = state(None, None, true);
        assert_eq!(failures(Redelivery::EachFailure, &[landed]), Ok(vec![]));
    }

    #[test]
    fn ten_thousand_failures_fit_the_response_limit() {
        let receipts: Vec<Receipt> =
            (0..10_000).map(|n| receipt(&format!("{n:08}-aaaa-bbbb-cccc-dddddddddddd"))).collect();
        let all: Vec<&Receipt> = receipts.iter().collect();
        assert!(answer(Some(Kind::Sqs), &all, None).unwrap().len() < 6 * 1024 * 1024);
    }

    proptest! {
        #[test]
        fn every_answer_keeps_its_promise(
            records in prop::collection::vec((0_u32..40, 0_usize..4, any::<bool>()), 0..60),
            kind in 0_usize..3,
        ) {
            let redelivery = [
                Redelivery::EachFailure, Redelivery::RestOfGroup, Redelivery::FromFirstFailure,
            ][kind];
            let groups = ["a", "b", "c"];
            let ids: Vec<String> = records.iter().map(|(id, ..)| format!("{}", id + 1)).collect();
            let records: Vec<(&str, Option<&str>, bool)> = records
                .iter()
                .zip(&ids)
                .map(|((_, group, durable), id)| (id.as_str(), groups.get(*group).copied(), *durable))
                .collect();
            let reported = report(redelivery, &records);
            let unique: HashSet<&String> = reported.iter().collect();
            prop_assert_eq!(unique.len(), reported.len(), "no identifier twice");
            prop_assert!(reported.iter().all(|id| ids.contains(id)), "only delivered records");
            let failed: Vec<&str> =
                records.iter().filter(|it| !it.2).map(|(id, ..)| *id).collect();
            prop_assert_eq!(failed.is_empty(), reported.is_empty());
            match redelivery {
                Redelivery::EachFailure => {
                    prop_assert!(failed.iter().all(|id| reported.contains(&(*id).to_owned())));
                }
                Redelivery::RestOfGroup => {
                    for group in groups {
                        let of_group: Vec<_> =
                            records.iter().filter(|it| it.1 == Some(group)).collect();
                        let first = of_group.iter().position(|it| !it.2);
                        let rest = first.map_or(&[][..], |at| &of_group[at..]);
                        prop_assert!(rest.iter().all(|it| reported.contains(&it.0.to_owned())));
                    }
                }
                Redelivery::FromFirstFailure => {
                    let lowest = failed.iter().filter_map(|it| it.parse::<u32>().ok()).min();
                    let numbers: Vec<u32> = reported.iter().map(|it| it.parse().unwrap()).collect();
                    prop_assert_eq!(numbers, lowest.into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}
