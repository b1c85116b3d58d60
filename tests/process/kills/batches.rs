//! The batches that are delivered, and the rows that must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::lambda_events::{
    change, change_id, fifo, kinesis_id, kinesis_raw, kinesis_record, message_id,
};

pub const CONFIG: &str = r#"
version = 1

[[route]]
source = "arn:aws:kinesis:*:*:stream/clicks"
table = "web.clicks"

[[route]]
source = "arn:aws:dynamodb:*:*:table/app/stream/*"
table = "shop.orders_changes"

[[route]]
source = "arn:aws:sqs:*:*:tasks.fifo"
when = { kind = "call" }
table = "jobs.calls"

[[route]]
source = "arn:aws:sqs:*:*:tasks.fifo"
table = "jobs.mails"
"#;

/// A batch of one source.
pub type Batch = Vec<Value>;

/// A generator of batches whose records have numbers, with the ids of all of them by table.
pub struct Batches {
    pub rng: Rng,
    next: u32,
    pub expected: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Batches {
    /// Makes a generator of batches whose records are numbered from `first` on.
    pub fn new(seed: u64, first: u32) -> Self {
        Self { rng: Rng::with_seed(seed), next: first, expected: BTreeMap::new() }
    }

    /// Returns the next batch: one in ten records is broken, and some have a new field.
    pub fn next(&mut self) -> Batch {
        let count = self.rng.u32(1..9);
        let numbers = self.next..self.next + count;
        self.next += count;
        match self.rng.u8(0..3) {
            0 => numbers.map(|n| self.click(n)).collect(),
            1 => numbers.map(|n| self.order(n)).collect(),
            _ => numbers.map(|n| self.task(n)).collect(),
        }
    }

    fn expect(&mut self, table: &'static str, id: String) {
        let is_new = self.expected.entry(table).or_default().insert(id);
        assert!(is_new, "a number was used twice");
    }

    fn is_poison(&mut self) -> bool {
        self.rng.u8(0..10) == 0
    }

    fn payload(&mut self, n: u32) -> Value {
        let mut payload = json!({"n": n});
        if self.rng.u8(0..12) == 0 {
            payload[format!("field_{}", self.rng.u8(0..20))] = json!(n);
        }
        payload
    }

    fn click(&mut self, n: u32) -> Value {
        if self.is_poison() {
            self.expect("lakeward.quarantine", kinesis_id(n));
            return kinesis_raw(n, "e2Jyb2tlbg==");
        }
        self.expect("web.clicks", kinesis_id(n));
        kinesis_record(n, &self.payload(n))
    }

    fn order(&mut self, n: u32) -> Value {
        let poison = self.is_poison();
        let table = if poison { "lakeward.quarantine" } else { "shop.orders_changes" };
        self.expect(table, change_id(n));
        let total = if poison { json!({"N": "no number"}) } else { json!({"N": n.to_string()}) };
        change(n, &json!({"pk": {"S": format!("ORDER#{n}")}, "total": total}))
    }

    fn task(&mut self, n: u32) -> Value {
        if self.is_poison() {
            self.expect("lakeward.quarantine", message_id(n));
            return fifo(n, "g", "no JSON");
        }
        let call = self.rng.bool();
        self.expect(if call { "jobs.calls" } else { "jobs.mails" }, message_id(n));
        let mut payload = self.payload(n);
        payload["kind"] = json!(if call { "call" } else { "mail" });
        fifo(n, &format!("g{}", n % 3), &payload.to_string())
    }
}
