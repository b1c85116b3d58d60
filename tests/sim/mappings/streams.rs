//! Kinesis and DynamoDB streams: shards, checkpoints, bisecting, what runs out of retries.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};

use super::{Batch, Ledger, deliver};
use crate::sim::function::Function;
use crate::sim::records::{Record, Source, records};
use crate::sim::world::World;

/// A stream and one mapping of it.
pub struct Stream {
    /// Records of each shard; the third and later ones are children of the first.
    shards: Vec<Vec<Arc<Record>>>,
    batch: usize,
    window: u64,
    factor: u64,
    bisect: bool,
    retries: Option<u32>,
    most_age: Option<u64>,
}

impl Stream {
    pub fn new(world: &World, source: Source, first: u32) -> Self {
        let (count, split) = (world.number(4, 24) as u32, world.one_in(3));
        if split {
            world.note("sometimes: a shard is split");
        }
        let of = |n: u32| match (split, n - first) {
            (true, at) if at >= count / 2 => 2 + (at % 2) as usize,
            (_, at) => (at % 2) as usize,
        };
        let mut shards = vec![Vec::new(); 4];
        for record in records(world, source, first..first + count, of) {
            shards[of(record.n)].push(record);
        }
        Self {
            shards,
            batch: world.number(1, 13),
            window: world.number(0, 5_000) as u64,
            factor: *world.pick(&[1, 1, 1, 2, 10]),
            bisect: world.one_in(2),
            retries: world.one_in(5).then(|| world.number(0, 4) as u32),
            most_age: world.one_in(6).then(|| world.number(60_000, 600_000) as u64),
        }
    }

    pub fn records(&self) -> Batch {
        self.shards.iter().flatten().cloned().collect()
    }

    /// Delivers all of it.
    pub async fn run(self: Arc<Self>, function: Arc<Function>, ledger: Arc<Ledger>) {
        if self.factor > 1 {
            function.world.note("sometimes: several batches of a shard at once");
        }
        let mut running: VecDeque<JoinHandle<()>> = VecDeque::new();
        let children = |at: usize| at >= 2;
        for wave in [false, true] {
            for at in (0..self.shards.len()).filter(|it| children(*it) == wave) {
                for lane in 0..self.factor {
                    let it = Arc::clone(&self);
                    let (function, ledger) = (Arc::clone(&function), Arc::clone(&ledger));
                    running.push_back(spawn_local(async move {
                        it.run_lane(at, lane, &function, &ledger).await;
                    }));
                }
            }
            // A child is read when its parent has been.
            while let Some(shard) = running.pop_front() {
                shard.await.unwrap();
            }
        }
    }

    /// Records of one partition key stay in one lane, in their order.
    async fn run_lane(&self, at: usize, lane: u64, function: &Arc<Function>, ledger: &Ledger) {
        let world = &function.world;
        let mine: Batch =
            self.shards[at].iter().filter(|it| self.lane(&it.key) == lane).cloned().collect();
        let mut rest = mine.as_slice();
        while let Some(first) = rest.first() {
            let wait = (first.at + self.window).saturating_sub(world.now());
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let now = world.now();
            let ready = rest.iter().take(self.batch).take_while(|it| it.at <= now).count().max(1);
            let (batch, others) = rest.split_at(ready);
            self.deliver_until_done(batch.to_vec(), function, ledger).await;
            rest = others;
        }
    }

    fn lane(&self, key: &str) -> u64 {
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        hash.finish() % self.factor
    }

    async fn deliver_until_done(&self, batch: Batch, function: &Arc<Function>, ledger: &Ledger) {
        let world = &function.world;
        let mut parts = VecDeque::from([(batch, 0_u32)]);
        while let Some((mut batch, tried)) = parts.pop_front() {
            let oldest =
                |it: &Arc<Record>| self.most_age.is_some_and(|age| it.at + age < world.now());
            let too_old: Batch = batch.iter().filter(|it| oldest(it)).cloned().collect();
            if tried > 0 && !too_old.is_empty() {
                world.note("sometimes: records grow too old");
                give_up(&too_old, ledger);
                batch.retain(|it| !oldest(it));
                if batch.is_empty() {
                    continue;
                }
            }
            let records = batch.iter().map(|it| it.json.clone()).collect();
            let (rest, is_partial) = match deliver(function, ledger, &batch, records).await {
                Ok(reported) if reported.is_empty() => continue,
                Ok(reported) => (after_checkpoint(&batch, &reported), true),
                Err(_) => (batch, false),
            };
            if self.retries.is_some_and(|most| tried >= most) {
                // The tail goes with the one that failed.
                world.note("sometimes: retries run out");
                give_up(&rest, ledger);
                continue;
            }
            if is_partial {
                world.note("sometimes: a checkpoint in the middle of a batch");
            }
            if self.bisect && !is_partial && rest.len() > 1 {
                world.note("sometimes: a batch is bisected");
                let (first, second) = rest.split_at(rest.len() / 2);
                parts.push_front((second.to_vec(), tried));
                parts.push_front((first.to_vec(), tried));
            } else {
                parts.push_front((rest, tried + 1));
            }
            world.pause(100, 1_000 << tried.min(6)).await;
        }
    }
}

/// Returns the records from the lowest reported number on, which are redelivered.
fn after_checkpoint(batch: &Batch, reported: &BTreeSet<String>) -> Batch {
    let first = batch.iter().position(|it| reported.contains(&it.receipt)).unwrap_or(0);
    batch[first..].to_vec()
}

fn give_up(records: &[Arc<Record>], ledger: &Ledger) {
    ledger.given_up.lock().unwrap().extend(records.iter().map(|it| it.n));
}
