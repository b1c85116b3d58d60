#!/usr/bin/env python3
"""Breaks the code on purpose, one way at a time, and shows which seed and oracle, or which test, tells.

    python3 tests/sim/breaks.py [NAME…]

A simulator is trusted for what it has caught. Each break is a small change of a copy of the
repository; a break that no seed catches is a failure, and so is one whose place is no longer there.
It prints a table in Markdown.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "breaks" / "copy"
RUNS = os.environ.get("SIM_RUNS", "2000")

COMMIT, VERSIONS, LAND = "src/store/commit.rs", "src/store/head/versions.rs", "src/handler/land.rs"
LOOK, PENDING, COMPANY = "src/store/look.rs", "src/store/pending/mod.rs", "src/store/company.rs"
RESPONSE, DEADLINE = "src/response.rs", "src/deadline.rs"
REPLACE, REWRITE = "src/store/compact/replace.rs", "src/store/compact/rewrite.rs"
NAMES = "src/store/clean/names.rs"
# By name: a file, what stands there once, and what is put in its place.
BREAKS = {
    "skip the id check": [
        (
            LOOK,
            "Ok(LookResult::Verdicts(batch.verdicts(&occurrences)))",
            "drop(occurrences);\n        Ok(LookResult::Verdicts(batch.verdicts(&batch.occurrences())))",
        )
    ],
    "trust the receive count": [
        (
            "src/handler/mod.rs",
            "    let mut longest = Duration::ZERO;\n",
            "    let first = event.records().any(|it| String::from_utf8_lossy(it).contains(FIRST));\n"
            "    crate::deadline::TRUST.store(first, std::sync::atomic::Ordering::Relaxed);\n"
            "    let mut longest = Duration::ZERO;\n",
        ),
        (
            "src/handler/mod.rs",
            "/// Handles an event:",
            'const FIRST: &str = r#""ApproximateReceiveCount":"1""#;\n\n/// Handles an event:',
        ),
        (
            DEADLINE,
            "/// The reserve for answering is",
            "/// A break.\n"
            "pub static TRUST: std::sync::atomic::AtomicBool =\n"
            "    std::sync::atomic::AtomicBool::new(false);\n\n/// The reserve for answering is",
        ),
        (
            COMMIT,
            "        let search = Company::search(",
            "        if crate::deadline::TRUST.load(std::sync::atomic::Ordering::Relaxed) {\n"
            "            return Ok(false);\n        }\n"
            "        let search = Company::search(",
        ),
    ],
    "guess field ids": [
        ("src/store/schema.rs", "metadata.last_column_id().saturating_add(1) };\n    let mut fields = metadata", "40 };\n    let mut fields = metadata")
    ],
    "spoil files on an unknown outcome": [
        (
            COMMIT,
            '                    tracing::warn!(table = %self.table.name, %error, "unknown outcome of a swap");\n',
            "                    for file in files.entries().map(DataFile::file_path) {\n"
            "                        drop(self.table.files.write(file, bytes::Bytes::new()).await);\n"
            "                    }\n                    self.draft.written = None;\n",
        )
    ],
    "let a version's number be free again": [
        (
            VERSIONS,
            "match self.files.create(&location, text.clone()).await {",
            "match self.files.write(&location, text.clone()).await.map(|()| Creation::Done) {",
        )
    ],
    "move the hint back": [
        (VERSIONS, "        let mut target = number;\n", "        let mut target = number.div_ceil(2);\n"),
        (VERSIONS, "(current > target && self.exists(current).await?)", "false"),
        (VERSIONS, "                target = self.probe(target).await?;\n", "                return Ok(());\n"),
    ],
    "answer before the commit": [
        (
            LAND,
            "            sorted.fail(origins.iter().map(|it| it.record));\n            continue;\n",
            "            continue;\n",
        )
    ],
    "report the wrong sequence number": [(RESPONSE, "is_lt()", "is_gt()")],
    "report one message of a group, not the rest": [
        (
            RESPONSE,
            "                    closed.extend(group);\n",
            "                    closed.extend(group.filter(|_| false));\n",
        )
    ],
    "ignore the deadline": [
        (DEADLINE, "self.limits.is_some_and(|it| Instant::now() >= it.no_new_work)", "false"),
        (DEADLINE, "        match self.limits {\n            None => Some(Box::pin(work).await),", "        match self.limits {\n            _ if !self.passed() => Some(Box::pin(work).await),\n            None => None,"),
    ],
    "swallow an error of the store": [
        (
            COMMIT,
            "                    if self.lost >= MAX_UNKNOWN_TRIES {\n                        return Err(error);",
            "                    if self.lost < MAX_UNKNOWN_TRIES {\n                        return Ok(self.into_report().await);",
        )
    ],
    "take a 412 for one's own": [
        (VERSIONS, "Ok(Creation::Exists) => true,", "Ok(Creation::Exists) => return Swap::Swapped,")
    ],
    "retry a lost swap blindly": [
        (
            COMMIT,
            "            if self.find_duplicates(&head, &manifests, deadline).await? {",
            "            if self.lost == 0 && self.find_duplicates(&head, &manifests, deadline).await? {",
        )
    ],
    "drop quarantine's failures": [
        (
            LAND,
            "            sorted.fail(records);\n",
            "            drop((records, commits.failed.pop()));\n            commits.tried -= 1;\n",
        )
    ],
    "forget duplicates within a batch": [
        ("src/store/batch/mod.rs", "            if verdict == Verdict::Stays {\n                self.push(index, row);\n            } else if row", "            if verdict == Verdict::Stays || row.lineage.digest.is_none() {\n                self.push(index, row);\n            } else if row")
    ],
    "believe every id": [
        (
            "src/store/verdict.rs",
            "is_claimed: digest.is_some() || came_through_kinesis",
            "is_claimed: false",
        ),
        ("src/store/verdict.rs", "let came_through_kinesis = shard", "let _ = digest;\n        let _came_through_kinesis = shard"),
    ],
    "believe every source": [
        ("src/source/dynamodb.rs", "if !is_table_name(name) {", "if named.starts_with(\"arn:\") {\n        return Ok(named);\n    }\n    if !is_table_name(name) {")
    ],
    "drop an entry in a merge": [
        ("src/store/merge.rs", "        let entries = entries.into_iter().flatten().collect();", "        let entries = entries.into_iter().flatten().skip(1).collect();"),
        ("src/store/merge.rs", "if before.is_none() || before != Counts::of(&output) {", "if before.is_none() {"),
    ],
    "join files that others have joined": [
        (REPLACE, "        if removed.len() != self.inputs.len() {\n", "        if removed.len() > self.inputs.len() {\n"),
        (REPLACE, "        if after != Some(expected) || gone.rows != self.output.record_count() {\n", "        if after.is_none() || expected.files == u64::MAX {\n"),
    ],
    "drop a row in a compaction": [
        ("src/store/compact/rewrite.rs", "                output.add(batch)?;\n", "                output.add(batch.slice(0, batch.num_rows().saturating_sub(1).max(1)))?;\n"),
        ("src/store/compact/rewrite.rs", "    if entry.record_count() != rows {\n", "    if entry.record_count() > rows {\n"),
        (REPLACE, "        if after != Some(expected) || gone.rows != self.output.record_count() {\n", "        if after.is_none() || expected.files == u64::MAX {\n"),
    ],
    "believe that an object exists": [
        (PENDING, "                    Ok(true) => return Ok(()),\n", "                    Ok(_) if location.len() > 1 => return Ok(()),\n                    Ok(true) => return Ok(()),\n"),
    ],
    "believe every time": [
        ("src/source/dynamodb.rs", "    if age > MAX_AGE_MICROS {", "    if age > i64::MAX {")
    ],
}

# What other tests must catch: by name the filter of the tests, and the changes.
OF_TESTS = {
    "take more along under the id of a swap that was sent": (
        "commit::pending",
        [
        (COMMIT, "        let is_first = self.lost == 0 || self.is_helping;\n        if self.company.is_none() && is_first &&", "        let is_first = self.lost < 9;\n        if is_first &&"),
        (COMMIT, "let may_take = self.company.is_none() && is_first &&", "let may_take ="),
        (COMMIT, "        self.company = Some(company);\n        // Files that were looked into may hold the new rows.\n        self.looks.begin_again();\n", "        self.company.get_or_insert_default().add(company);\n"),
        (
            COMPANY,
            "    /// Returns whether it is empty.\n",
            "    /// A break.\n    pub fn add(&mut self, other: Self) {\n"
            "        self.objects.extend(other.objects);\n"
            "        self.originals.extend(other.originals);\n    }\n\n"
            "    /// Returns whether it is empty.\n",
        ),
        ],
    ),
    "remove pending rows on an unknown outcome": (
        "commit::pending",
        [
        (
            COMMIT,
            '                    tracing::warn!(table = %self.table.name, %error, "unknown outcome of a swap");\n',
            "                    if let (Some(company), Some(pending)) = (&self.company, &self.table.pending) {\n"
            "                        pending.remove(&company.locations()).await;\n                    }\n",
        ),
        (
            COMPANY,
            "    /// Returns whether it is empty.\n",
            "    /// A break.\n    pub fn locations(&self) -> Vec<String> {\n"
            "        self.objects.iter().map(|(it, _)| it.clone()).collect()\n    }\n\n"
            "    /// Returns whether it is empty.\n",
        ),
        ],
    ),
    "narrow a bound in a compaction": (
        "commit::compaction",
        [(REWRITE, "        Kind::Loose => inherited(inputs, &[]),", "        Kind::Loose => FileBounds::OfRows,")],
    ),
    "forget in a compaction that rows were moved": (
        "commit::compaction",
        [(REWRITE, "arrived.arrivals(kind != Kind::Known)", "arrived.arrivals(false)")],
    ),
    "clean what is pending": (
        "commit::pending::sweep",
        [(NAMES, '            ["metadata"] => {\n', '            ["metadata", "pending"] => Some(Self::Metadata),\n            ["metadata"] => {\n')],
    ),
    "remove pending rows before quarantine": (
        "commit::pending::refusal",
        [(COMPANY, "if report.refused.is_empty() && !is_batch_refused {", "if report.refused.len() < usize::MAX {")],
    ),
    "call a taken row done because of its twin": (
        "store::batch",
        [("src/store/batch/mod.rs", "row.lineage.digest.is_some() || !self.is_own(index)", "row.lineage.digest.is_some()")],
    ),
    "shut the gate whatever the age of the head": (
        "store::pending",
        [("src/store/pending/gate.rs", "self.is_within(lost_at, CONTENDED) && self.is_young(head)", "self.is_within(lost_at, CONTENDED)")],
    ),
}


def main() -> None:
    wanted = sys.argv[1:] or [*BREAKS, *OF_TESTS]
    caught = 0
    print("| what is broken | seed | what it breaks |\n|---|---:|---|", flush=True)
    for name in wanted:
        if name in OF_TESTS:
            failed = run_tests(*OF_TESTS[name])
            caught += failed is not None
            print(f"| {name} | - | {failed or 'nothing'} |", flush=True)
            continue
        seed, problem = run(BREAKS[name])
        caught += seed is not None
        print(f"| {name} | {seed or 'none'} | {problem} |", flush=True)
    print(f"\n{caught} of {len(wanted)} caught")
    sys.exit(caught != len(wanted))


def run_tests(tests: str, changes: list[tuple[str, str, str]]) -> str | None:
    """The first test that fails."""
    said, _ = broken(["--lib", "--test", "main", "--no-fail-fast", tests], changes)
    found = re.search(r"test (\S+) \.\.\. FAILED", said)
    return f"`{found[1]}`" if found else None


def broken(arguments: list[str], changes: list[tuple[str, str, str]]) -> tuple[str, int]:
    """What the tests say of the changed copy, and their exit code."""
    files = {file for file, _, _ in changes}
    for file, old, new in changes:
        text = (COPY / file).read_text()
        if text.count(old) != 1:
            sys.exit(f"breaks: {file} has {text.count(old)} times, not once:\n{old}")
        (COPY / file).write_text(text.replace(old, new))
    environment = os.environ | {"CARGO_TARGET_DIR": str(COPY.parent / "target"), "SIM_RUNS": RUNS}
    command = ["cargo", "test", "--locked", *arguments]
    ended = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True)
    for file in files:
        (COPY / file).write_text((ROOT / file).read_text())
    said = ended.stdout + ended.stderr
    if "could not compile" in said:
        sys.exit(said[-3000:])
    return said, ended.returncode


def run(changes: list[tuple[str, str, str]]) -> tuple[str | None, str]:
    """The first seed that fails, and the first problem of it."""
    said, code = broken(["--test", "main", "simulated", "--", "--nocapture"], changes)
    found = re.search(r"\n    (\d+): \[\n\s+\"(.*?)\",?\n", said)
    if not found:
        return None, "nothing" if code == 0 else said[-300:].replace("\n", " ")
    return found[1], found[2].replace('\\"', '`')


if __name__ == "__main__":
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    shutil.rmtree(COPY, ignore_errors=True)
    for name in names.stdout.splitlines():
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, COPY / name)
    main()
