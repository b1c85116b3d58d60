//! The pending rows that travel with a batch into its commit.

use std::collections::BTreeMap;

use crate::quarantine;
use crate::record::Row;
use crate::store::batch::{Batch, Place, TakenRows};
use crate::store::candidates::Search;
use crate::store::land_report::TakenReport;
use crate::store::pending::{Pending, TakenObjects};

/// Pending rows that a commit takes along. They are chosen before its first swap is sent: what a commit id
/// can have put into the head never grows.
#[derive(Debug, Default)]
pub struct Company {
    /// Each object, with the number of its rows.
    objects: Vec<(String, usize)>,
    /// The row of quarantine of each row that the table may refuse, by index among all rows.
    originals: Vec<Option<Row>>,
}

impl Company {
    /// Takes the rows out of their objects.
    pub fn of(taken: TakenObjects) -> (Self, Vec<Vec<Row>>) {
        let mut company = Self::default();
        let mut all = Vec::with_capacity(taken.objects.len());
        for (location, pending) in taken.objects {
            company.objects.push((location, pending.len()));
            let mut rows = Vec::with_capacity(pending.len());
            for it in pending {
                company.originals.push(it.original);
                rows.push(it.row);
            }
            all.push(rows);
        }
        (company, all)
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The search for the rows of a batch, and for those of each object, which have a reach of their own.
    pub fn search(company: Option<&Self>, batch: &Batch) -> Search {
        let mut taken: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
        let mut own = Vec::new();
        for (place, row) in batch.sought_by_place() {
            match place {
                Place::Own(_) => own.push(row),
                Place::Taken(index) => {
                    let object = company.map_or(0, |it| it.object_of(index));
                    taken.entry(object).or_default().push(row);
                }
            }
        }
        let mut search = Search::new(own);
        taken.into_values().for_each(|rows| search.add(rows));
        search
    }

    /// Returns the object of a row, as a number.
    fn object_of(&self, index: usize) -> usize {
        let mut behind = 0;
        let object = self.objects.iter().position(|(_, count)| {
            behind += count;
            index < behind
        });
        object.unwrap_or(self.objects.len())
    }

    /// Returns true if a row can be refused, because it has a row of quarantine.
    pub fn may_refuse(&self, index: usize) -> bool {
        self.originals.get(index).is_some_and(Option::is_some)
    }

    /// Removes the objects whose rows are all in the table. Where some are refused, or rows of the batch
    /// that came with them are, they stay until those are in quarantine.
    pub async fn settle(
        mut self,
        mut rows: TakenRows,
        is_batch_refused: bool,
        pending: &Pending,
    ) -> TakenReport {
        let mut report = TakenReport { landed: rows.landed, ..TakenReport::default() };
        for (index, reject) in std::mem::take(&mut rows.refused) {
            match self.originals.get_mut(index).and_then(Option::take) {
                Some(original) => report.refused.push(quarantine::refused(original, &reject)),
                None => rows.left.push(index),
            }
        }
        let mut first = 0;
        let mut settled = Vec::with_capacity(self.objects.len());
        for (location, count) in self.objects {
            let own = first..first + count;
            first = own.end;
            if !rows.left.iter().any(|it| own.contains(it)) {
                settled.push(location);
            }
        }
        if report.refused.is_empty() && !is_batch_refused {
            pending.remove(&settled).await;
            report.settled = settled;
        } else {
            report.unsettled = settled;
        }
        report
    }
}
