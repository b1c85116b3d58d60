//! The commit: rows enter a table's head only if that head does not hold their ids.
//!
//! The check and the swap use the same metadata, so anything that happens between them (a retry, a
//! bisected half, a zombie, another committer) makes the swap fail and the check run again.
//!
//! Where others are committing, the rows are left to them; and a commit takes along what others have left.

use std::time::SystemTime;

use iceberg::spec::{DataFile, ManifestFile};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::number::count;
use crate::store::agreement::Agreement;
use crate::store::batch::{Batch, BatchReport, IndexedItem, Place};
use crate::store::company::Company;
use crate::store::data;
use crate::store::draft::Draft;
use crate::store::error::StoreError;
use crate::store::head::{HeadVersion, Swap};
use crate::store::land_report::LandReport;
use crate::store::look::{LookResult, Looks};
use crate::store::offer::{Leaving, Offer};
use crate::store::pause::{pause, wait_for_others};
use crate::store::pending::gate::Gate;
use crate::store::pending::{Listing, Pending, TakenObjects};
use crate::store::proposal::{self, CommitId};
use crate::store::schema;
use crate::store::table::Table;
use crate::table::judge;
use crate::table::layout::{Layout, Policy};

/// Times that a commit waits for those who take pending rows along, where there are too many.
const MAX_WAITS: u32 = 30;
/// Swaps of unknown outcome before the commit fails.
const MAX_UNKNOWN_TRIES: u32 = 8;

/// The next step of a commit at a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It tries a swap.
    Swap,
    /// It leaves its rows to others.
    Leave,
    /// It looks again in a moment.
    Wait,
}

/// One batch on its way into one table.
#[derive(Debug)]
pub struct Commit<'a> {
    table: &'a Table,
    policy: &'a Policy,
    commit: CommitId,
    batch: Batch,
    /// The offer without its rows, which are in the batch.
    offer: Offer<'a>,
    /// The pending rows in the batch; `None` before it is known whether there are some.
    company: Option<Company>,
    /// Whether the rows may be left to another commit.
    may_leave: bool,
    /// Whether each attempt takes pending rows along, because there are too many.
    is_helping: bool,
    /// The memory of the rows that were taken along, and when.
    taken: Option<(usize, Instant)>,
    looks: Looks,
    /// The number of swaps that were lost, or whose outcome is not known.
    lost: u32,
    waits: u32,
    draft: Draft,
    agreement: Agreement,
    report: LandReport,
}

impl<'a> Commit<'a> {
    /// The commit of a batch.
    pub fn new(table: &'a Table, policy: &'a Policy, mut offer: Offer<'a>) -> Self {
        let may_leave = table.may_leave && table.pending.is_some() && offer.may_be_left();
        let rows = std::mem::take(&mut offer.rows);
        Self {
            table,
            policy,
            commit: CommitId::random(),
            batch: Batch::new(rows),
            offer,
            company: None,
            may_leave,
            is_helping: false,
            taken: None,
            looks: Looks::default(),
            lost: 0,
            waits: 0,
            draft: Draft::new(table.clock.now()),
            agreement: Agreement::default(),
            report: LandReport::default(),
        }
    }

    /// A commit of pending rows alone.
    pub fn of_pending(table: &'a Table, policy: &'a Policy, taken: TakenObjects) -> Self {
        let mut commit = Self::new(table, policy, Offer::default());
        commit.join(taken);
        commit
    }

    /// Makes the rows durable, each once. Returns those that are left to another commit, because they
    /// are of too many partitions for one, by index in the batch as it was offered.
    pub async fn run(
        mut self,
        deadline: &Deadline,
    ) -> Result<(LandReport, Vec<IndexedItem>), StoreError> {
        let gate = self.table.pending.as_ref().map(|it| &it.gate);
        // Rows that the table may reject are judged first.
        if self.may_leave
            && !self.policy.refuses()
            && gate.is_some_and(Gate::is_still_shut)
            && self.leave(false).await?
        {
            return Ok(self.into_report().await);
        }
        while !self.batch.rows().is_empty() {
            if deadline.passed() {
                self.part();
                if self.batch.rows().is_empty() {
                    break;
                }
                return Err(StoreError::OutOfTime(self.table.name.clone()));
            }
            self.draft.renew(self.table);
            let Some((head, layout)) = self.agree_on_schema(deadline).await? else {
                return Ok(self.into_report().await);
            };
            let manifests = match head.metadata.current_snapshot() {
                Some(snapshot) => self.table.manifests.list(snapshot).await?,
                None => Vec::new(),
            };
            if self.find_duplicates(&head, &manifests, deadline).await? {
                break;
            }
            if self.judge(&layout) {
                // Later rows have replaced refused ones, and may need other columns.
                continue;
            }
            if self.batch.rows().is_empty() {
                break;
            }
            self.leave_partitions(&head, &layout)?;
            let (table, commit) = (self.table, &self.commit);
            let rows = (self.batch.rows(), self.policy);
            let new = self.draft.write(table, commit, (&head, &layout), rows).await?;
            new.iter().for_each(|it| self.looks.add_own(it));
            let is_first = self.lost == 0;
            let old = self.draft.merged(table, commit, &head, manifests, is_first).await;
            let Some((files, new)) = &self.draft.written else { continue };
            let entries: Vec<&DataFile> = files.entries().collect();
            let next =
                proposal::append(self.table, &head, &self.commit, old, new, &entries).await?;
            self.report.attempts += 1;
            match self.table.head.swap(Some(&head), &next, &self.commit.id).await {
                Swap::Swapped => {
                    if let Some(gate) = gate {
                        gate.won(&head, &self.commit.id);
                        self.taken.inspect(|(weight, began)| gate.took(*weight, began.elapsed()));
                    }
                    break;
                }
                Swap::TooOld => {}
                // The rows of the table decide, at the next check.
                Swap::Conflict => {
                    self.report.conflicts += 1;
                    gate.inspect(|it| it.lost());
                    // Others may have taken them.
                    self.part();
                    if self.is_helping {
                        self.begin_again();
                        self.company = None;
                    }
                }
                Swap::Unknown(error) => {
                    tracing::warn!(table = %self.table.name, %error, "unknown outcome of a swap");
                    if self.lost >= MAX_UNKNOWN_TRIES {
                        return Err(error);
                    }
                }
            }
            self.lost += 1;
            pause(self.lost).await;
        }
        Ok(self.into_report().await)
    }

    async fn into_report(self) -> (LandReport, Vec<IndexedItem>) {
        let Self { table, batch, company, draft, agreement, report, commit, .. } = self;
        let is_empty = batch.rows().is_empty();
        let BatchReport { indexes, duplicates, refused, rest, taken } = batch.into_report();
        let commit = (!is_empty).then_some(commit);
        let landed = count(indexes.len());
        let mut report = LandReport { landed, indexes, duplicates, refused, commit, ..report };
        report.new_columns = agreement.new_columns;
        if let Some((files, _)) = draft.written {
            report.files = count(files.entries().count());
            report.bytes = files.entries().map(DataFile::file_size_in_bytes).sum();
            report.extra = files.extra;
            report.spread = files.spread;
        }
        if let (Some(company), Some(pending)) = (company, &table.pending) {
            report.taken = company.settle(taken, !report.refused.is_empty(), pending).await;
        }
        (report, rest)
    }

    /// Leaves the batch's own rows to another commit, if none of them can be lost by it: they are durable
    /// then. Returns whether it did.
    async fn leave(&mut self, asked: bool) -> Result<bool, StoreError> {
        let Some(pending) = &self.table.pending else { return Ok(false) };
        self.part();
        let rows = self.batch.take_own();
        let indexes = rows.iter().map(|(index, _)| *index).collect();
        let rows = match self.offer.pending(rows, self.policy) {
            Ok(rows) => rows,
            Err(rows) => {
                self.batch.put_back(rows);
                self.may_leave = false;
                return Ok(false);
            }
        };
        let millis = self.draft.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(millis.as_millis()).unwrap_or(i64::MAX);
        pending.leave(millis, &self.commit.id, &rows).await?;
        pending.gate.left(asked);
        self.draft.written = None;
        self.report.pending = indexes;
        Ok(true)
    }

    /// Returns whether the rows are left to others at this head.
    fn is_to_leave(&self, head: &HeadVersion, pending: &Pending, deadline: &Deadline) -> bool {
        let is_late = self.lost > 0 && deadline.is_half_over();
        let is_now = self.offer.leaving == Leaving::Now || is_late;
        self.may_leave && (is_now || pending.gate.is_shut(head))
    }

    /// Looks for pending rows at a head, and takes some along; unless the rows of the batch are to become
    /// pending as well.
    async fn meet(&mut self, head: &HeadVersion, layout: &Layout, deadline: &Deadline) -> Turn {
        let Some(pending) = &self.table.pending else { return Turn::Swap };
        let is_to_leave = self.is_to_leave(head, pending, deadline)
            // What the table rejects now is not left: `reject_limit` and `on_reject` decide on it.
            && judge::judge(self.batch.rows(), layout, self.policy).is_empty();
        let is_first = self.lost == 0 || self.is_helping;
        let may_take = self.company.is_none() && is_first && !deadline.is_half_over();
        let may_have_some = self.is_helping || pending.gate.may_have_pending(head);
        let is_to_look = is_to_leave || (may_take && may_have_some);
        if !is_to_look {
            return Turn::Swap;
        }
        let listing = match pending.list_recent().await {
            Ok(listing) => listing,
            Err(error) => {
                // The rows can land without it. The next look is at the last minutes alone.
                pending.gate.looked(head, true);
                tracing::warn!(table = %self.table.name, %error, "can't look for pending rows");
                return Turn::Swap;
            }
        };
        pending.gate.looked(head, !listing.objects.is_empty());
        if is_to_leave {
            if !pending.is_full(&listing) {
                return Turn::Leave;
            }
            // Those who commit can't keep up. To lose swaps against them would not help.
            self.waits += 1;
            if self.waits <= MAX_WAITS && pending.gate.is_shut(head) && !deadline.is_half_over() {
                return Turn::Wait;
            }
            self.help();
        }
        let is_first = self.lost == 0 || self.is_helping;
        if self.company.is_none() && is_first && !deadline.is_half_over() {
            let Listing { mut objects, .. } = listing;
            // Several who commit at once take different ones.
            let first = fastrand::usize(..objects.len().max(1));
            objects.rotate_left(first);
            let taken = pending.take(&objects, deadline).await;
            self.join(taken);
        }
        Turn::Swap
    }

    /// Takes pending rows along in each attempt from now on, because others can't keep up.
    fn help(&mut self) {
        (self.may_leave, self.is_helping) = (false, true);
        if self.company.as_ref().is_none_or(Company::is_empty) {
            if self.lost > 0 {
                self.begin_again();
            }
            self.company = None;
        }
    }

    /// Takes pending rows into the batch.
    fn join(&mut self, taken: TakenObjects) {
        self.taken = Some((taken.weight, Instant::now()));
        let (company, rows) = Company::of(taken);
        self.batch.take_along(rows.into_iter().flatten());
        self.company = Some(company);
        // Files that were looked into may hold the new rows.
        self.looks.begin_again();
        self.draft.written = None;
    }

    /// Leaves pending rows where they are.
    fn part(&mut self) {
        if self.company.as_ref().is_some_and(|it| !it.is_empty()) {
            self.batch.leave_taken();
            self.draft.written = None;
        }
        self.company = Some(Company::default());
    }

    /// Goes on under another id: what a commit id can have put into the head never grows.
    fn begin_again(&mut self) {
        self.commit = CommitId::random();
        self.looks.begin_again();
        self.draft.written = None;
    }

    /// Returns a head whose schema has the columns that the rows need, and its layout; `None` if the rows
    /// are to be left to others.
    async fn agree_on_schema(
        &mut self,
        deadline: &Deadline,
    ) -> Result<Option<(HeadVersion, Layout)>, StoreError> {
        let (table, policy) = (self.table, self.policy);
        self.agreement.begin();
        loop {
            let head = table.head.load().await?;
            if deadline.passed() {
                return Err(StoreError::OutOfTime(table.name.clone()));
            }
            let Some(head) = head else {
                let rows = self.batch.rows();
                let changes = self.agreement.changes(rows, &Layout::default(), policy);
                self.agreement.create(table, policy, &changes).await?;
                continue;
            };
            // What the table refuses is not left to others.
            let layout = schema::layout(table, &head.metadata)?;
            match self.meet(&head, &layout, deadline).await {
                Turn::Leave => {
                    let is_asked = self.offer.leaving != Leaving::Now;
                    if self.leave(is_asked).await? {
                        return Ok(None);
                    }
                }
                Turn::Wait => {
                    wait_for_others().await;
                    continue;
                }
                Turn::Swap => {}
            }
            let changes = self.agreement.changes(self.batch.rows(), &layout, policy);
            // Placing is total: a value without a column after so many tries goes to _lw_extra.
            if changes.is_empty() || self.agreement.is_exhausted() {
                return Ok(Some((head, layout)));
            }
            if deadline.passed() {
                return Err(StoreError::OutOfTime(table.name.clone()));
            }
            self.agreement.change(table, &head, &layout, &changes).await?;
        }
    }

    /// Takes out the rows that the head holds. Returns `true` when it holds a file of this commit:
    /// an earlier attempt, whose answer was lost, has landed.
    async fn find_duplicates(
        &mut self,
        head: &HeadVersion,
        manifests: &[ManifestFile],
        deadline: &Deadline,
    ) -> Result<bool, StoreError> {
        let search = Company::search(self.company.as_ref(), &self.batch);
        let rows = (&self.batch, &search);
        let has_company =
            self.batch.has_own() && self.company.as_ref().is_some_and(|it| !it.is_empty());
        let found = self.looks.look(self.table, (head, manifests), rows, deadline, has_company);
        let found = found.await?;
        self.report.files_read = self.looks.files_read;
        match found {
            LookResult::HalfOver => {
                // The look for others takes the time of the batch's own rows.
                self.part();
                Box::pin(self.find_duplicates(head, manifests, deadline)).await
            }
            LookResult::OwnFile => Ok(true),
            LookResult::Verdicts(verdicts) => {
                if self.batch.settle(verdicts) {
                    // The files have rows that do not land.
                    self.draft.written = None;
                }
                Ok(false)
            }
        }
    }

    /// Refuses the rows that the policy does not let in. Rows that the table holds are not judged.
    /// Returns whether later rows have replaced refused ones.
    fn judge(&mut self, layout: &Layout) -> bool {
        let mut rejects = judge::judge(self.batch.rows(), layout, self.policy);
        // A pending row that was left when the table refused nothing has nothing that could be
        // quarantined: what does not fit goes to _lw_extra.
        rejects.retain(|(position, _)| match self.batch.place(*position) {
            Some(Place::Taken(index)) => {
                self.company.as_ref().is_some_and(|it| it.may_refuse(index))
            }
            Some(Place::Own(_)) | None => true,
        });
        if rejects.is_empty() {
            return false;
        }
        self.draft.written = None;
        let has_grown = self.batch.refuse(rejects);
        if has_grown && self.report.attempts > 0 {
            self.begin_again();
        }
        has_grown
    }

    /// Leaves rows to another commit where they are of too many partitions for one.
    fn leave_partitions(&mut self, head: &HeadVersion, layout: &Layout) -> Result<(), StoreError> {
        let (table, rows) = (self.table, self.batch.rows());
        let mut beyond = data::beyond_partitions(table, &head.metadata, layout, self.policy, rows)?;
        let is_crowded =
            self.batch.has_own() && self.company.as_ref().is_some_and(|it| !it.is_empty());
        if !beyond.is_empty() && is_crowded {
            // The batch's own rows come first.
            self.part();
            let rows = self.batch.rows();
            beyond = data::beyond_partitions(table, &head.metadata, layout, self.policy, rows)?;
        }
        if !beyond.is_empty() {
            self.draft.written = None;
            self.batch.leave(&beyond);
        }
        Ok(())
    }
}
