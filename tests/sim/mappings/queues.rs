//! SQS: what is received is hidden for a while, and there again unless it is deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::{Batch, Ledger, deliver};
use crate::sim::function::Function;
use crate::sim::records::{Record, Source, records};
use crate::sim::world::World;

/// A queue and the mapping of it.
pub struct Queue {
    messages: Mutex<Vec<Message>>,
    source: Source,
    batch: usize,
    visibility: Duration,
    pollers: usize,
    most_received: Option<u32>,
}

struct Message {
    record: Arc<Record>,
    visible: Instant,
    received: u32,
    gone: bool,
}

impl Queue {
    pub fn new(world: &World, source: Source, first: u32) -> Self {
        let count = world.number(3, 18) as u32;
        let sent = records(world, source, first..first + count, |_| 0);
        let message = |record: Arc<Record>| {
            let wait = Duration::from_millis(record.at.saturating_sub(world.now()));
            Message { record, visible: Instant::now() + wait, received: 0, gone: false }
        };
        Self {
            messages: Mutex::new(sent.into_iter().map(message).collect()),
            source,
            batch: world.number(1, 11),
            // Shorter than it should be: messages are redelivered while they are worked on.
            visibility: Duration::from_secs(world.number(10, 700) as u64),
            pollers: world.number(1, 4),
            most_received: (source == Source::Strict || world.one_in(4))
                .then(|| world.number(1, 6) as u32),
        }
    }

    pub fn records(&self) -> Batch {
        self.messages.lock().unwrap().iter().map(|it| Arc::clone(&it.record)).collect()
    }

    /// Delivers until no message is left.
    pub async fn run(self: Arc<Self>, function: Arc<Function>, ledger: Arc<Ledger>) {
        let pollers: Vec<_> = (0..self.pollers)
            .map(|_| {
                let it = Arc::clone(&self);
                let (function, ledger) = (Arc::clone(&function), Arc::clone(&ledger));
                spawn_local(async move { it.poll(&function, &ledger).await })
            })
            .collect();
        for poller in pollers {
            poller.await.unwrap();
        }
    }

    async fn poll(&self, function: &Arc<Function>, ledger: &Ledger) {
        let world = &function.world;
        while self.messages.lock().unwrap().iter().any(|it| !it.gone) {
            let (batch, records) = self.receive(world, ledger);
            if batch.is_empty() {
                world.pause(500, 5_000).await;
                continue;
            }
            let Ok(reported) = deliver(function, ledger, &batch, records).await else { continue };
            if !reported.is_empty() {
                world.note("sometimes: messages come again");
            }
            let handled = batch.iter().filter(|it| !reported.contains(&it.receipt));
            for record in handled {
                if self.source != Source::Fifo && world.one_in(50) {
                    world.note("sometimes: a deleted message comes again");
                    continue;
                }
                let mut messages = self.messages.lock().unwrap();
                let message = messages.iter_mut().find(|it| it.record.n == record.n);
                message.unwrap().gone = true;
            }
        }
    }

    /// A batch of what is visible. What was received too often goes to the DLQ instead.
    fn receive(&self, world: &World, ledger: &Ledger) -> (Batch, Vec<Value>) {
        let now = Instant::now();
        let mut messages = self.messages.lock().unwrap();
        let mut order: Vec<usize> = (0..messages.len()).collect();
        if self.source == Source::Fifo {
            // A group stays closed while one of its messages is hidden.
            let mut open: BTreeMap<String, bool> = BTreeMap::new();
            for message in messages.iter().filter(|it| !it.gone) {
                let is_open = open.entry(message.record.key.clone()).or_insert(true);
                *is_open &= message.visible <= now || message.received == 0;
            }
            order.retain(|at| open.get(&messages[*at].record.key).copied().unwrap_or_default());
        } else {
            world.shuffle(&mut order);
        }
        let (mut batch, mut records) = (Batch::new(), Vec::new());
        for at in order {
            let message = &mut messages[at];
            if message.gone || message.visible > now || batch.len() == self.batch {
                continue;
            }
            message.received += 1;
            if self.most_received.is_some_and(|most| message.received > most) {
                world.note("sometimes: a message goes to the DLQ");
                message.gone = true;
                ledger.given_up.lock().unwrap().insert(message.record.n);
                continue;
            }
            message.visible = now + self.visibility;
            let mut json = message.record.json.clone();
            json["attributes"]["ApproximateReceiveCount"] = message.received.to_string().into();
            records.push(json);
            batch.push(Arc::clone(&message.record));
        }
        (batch, records)
    }
}
