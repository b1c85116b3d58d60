//! Event source mappings: who delivers which batch when, and what follows from the answer.
//!
//! https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html

mod queues;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::spawn_local;

use super::function::{Failure, Function};
use super::records::{Record, Source};

pub use queues::Queue;
pub use streams::Stream;

/// Results of the mappings: failed records and wrong answers.
#[derive(Default)]
pub struct Ledger {
    /// Records that went to an on-failure destination or a DLQ.
    pub given_up: Mutex<BTreeSet<u32>>,
    /// Records that the function has called handled.
    pub answered: Mutex<BTreeSet<u32>>,
    /// Answers that no function may give.
    pub wrong_answers: Mutex<Vec<String>>,
}

type Batch = Vec<Arc<Record>>;

/// Delivers a batch once, as `records`, and whatever else Lambda makes of it: the receipts that were reported.
async fn deliver(
    function: &Arc<Function>,
    ledger: &Ledger,
    batch: &[Arc<Record>],
    mut records: Vec<Value>,
) -> Result<BTreeSet<String>, Failure> {
    let world = &function.world;
    if world.strikes("lambda: a record twice in a batch") {
        let at = world.number(0, records.len());
        records.insert(at, records[at].clone());
    }
    let event = Arc::new(json!({"Records": records}).to_string().into_bytes());
    for (again, from, to) in [
        ("lambda: delivers a batch twice at once", 0, 100),
        ("lambda: delivers a batch again later", 1_000, 300_000),
    ] {
        if world.strikes(again) {
            let (function, event) = (Arc::clone(function), Arc::clone(&event));
            spawn_local(async move {
                function.world.pause(from, to).await;
                drop(function.invoke(event).await);
            });
        }
    }
    let answer = function.invoke(event).await?;
    match reported(batch, &answer) {
        Ok(reported) => {
            ledger.answered.lock().unwrap().extend(handled(batch, &reported));
            Ok(reported)
        }
        Err(wrong) => {
            ledger.wrong_answers.lock().unwrap().push(wrong);
            Err(Failure::Error)
        }
    }
}

/// Returns the records that an answer calls handled: of a stream, those before the first that it reports.
fn handled(batch: &[Arc<Record>], reported: &BTreeSet<String>) -> Vec<u32> {
    let is_reported = |it: &&Arc<Record>| reported.contains(&it.receipt);
    match batch[0].source {
        Source::Kinesis | Source::Dynamo => {
            batch.iter().take_while(|it| !is_reported(it)).map(|it| it.n).collect()
        }
        _ => batch.iter().filter(|it| !is_reported(it)).map(|it| it.n).collect(),
    }
}

/// Returns the items that an answer reports; an error if it breaks the contract of its source.
fn reported(batch: &[Arc<Record>], answer: &str) -> Result<BTreeSet<String>, String> {
    let parsed: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let Some(failures) = parsed["batchItemFailures"].as_array() else {
        return Err(format!("I5: no batchItemFailures: {answer}"));
    };
    let ids: Vec<String> = failures
        .iter()
        .map(|it| it["itemIdentifier"].as_str().unwrap_or_default().to_owned())
        .collect();
    for id in &ids {
        if batch.iter().all(|it| it.receipt != *id) {
            return Err(format!("I5: {id} was not in the batch"));
        }
    }
    let ids: BTreeSet<String> = ids.into_iter().collect();
    if batch[0].source == Source::Fifo {
        let mut closed: BTreeMap<&str, &str> = BTreeMap::new();
        for record in batch {
            if ids.contains(&record.receipt) {
                closed.entry(&record.key).or_insert(&record.receipt);
            } else if let Some(before) = closed.get(record.key.as_str()) {
                return Err(format!("I4: {} passed {before} of its group", record.receipt));
            }
        }
    }
    Ok(ids)
}
