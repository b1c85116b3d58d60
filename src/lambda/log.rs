//! The log of an invocation: counts, names and times, never any part of a record.
//!
//! One line covers a pass and has its totals as metrics; one short line for each route has the
//! metrics of that route. An invocation that takes several passes or recovers failed batches has
//! these lines for each pass, and one line for the batches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::handler::{InvocationError, Pass, Report, RouteCounts, Times};
use crate::intake::InvocationReport;
use crate::lambda::metric::{Metric, Metrics, number};
use crate::number::count;
use crate::recovery::RecoveryReport;
use crate::store::{LandReport, SweepReport, UpkeepReport};
use crate::table_name::TableName;
use crate::time::Timestamp;

/// The dimensions of metrics of whole invocations: none, and the function's own, for its alarms.
const FUNCTION: &[&[&str]] = &[&[], &["FunctionName"]];
/// The dimensions of metrics of one table: its own, and the function's, for its alarms.
const TABLE: &[&[&str]] = &[&["Table"], &["FunctionName"]];
/// The dimension of metrics of one route.
const ROUTE: &[&[&str]] = &[&["Route"]];

/// An invocation as its log names it.
#[derive(Debug, Clone)]
pub(super) struct Invocation<'a> {
    pub(super) function: &'a str,
    pub(super) request_id: &'a str,
    pub(super) config_hash: &'a str,
    /// The time that the function took to start; in the first invocation of an environment.
    pub(super) init: Option<Duration>,
    /// The time that the invocation took.
    pub(super) whole: Duration,
    /// The end of the invocation, in milliseconds since 1970.
    pub(super) now: i64,
}

/// Returns the lines of an invocation.
pub(super) fn lines(invocation: &Invocation<'_>, report: &InvocationReport) -> Vec<String> {
    let InvocationReport { passes, recovery, upkeep, answer, .. } = report;
    let mut invocation = invocation.clone();
    let mut lines = Vec::new();
    for pass in passes.iter().chain(&recovery.passes) {
        lines.extend(pass_lines(&invocation, pass));
        // An environment starts once.
        invocation.init = None;
    }
    if recovery.batches > 0 {
        lines.push(recovery_line(&invocation, recovery).to_string());
    }
    for (table, report) in upkeep {
        lines.push(upkeep_line(&invocation, table, report).to_string());
        invocation.init = None;
    }
    lines.extend(answer.as_ref().err().map(|error| error_line(&invocation, error).to_string()));
    lines
}

fn pass_lines(invocation: &Invocation<'_>, pass: &Pass) -> Vec<String> {
    let Pass { report, times } = pass;
    let routes = active_routes(report);
    let route_lines = routes.iter().map(|route| {
        let mut line = Map::new();
        line.insert("Route".to_owned(), json!(route));
        let metrics = route_metrics(report, times, route, invocation.now);
        metrics.write(&mut line, ROUTE, invocation.now);
        Value::Object(line).to_string()
    });
    let totals = totals_line(invocation, report, times).to_string();
    std::iter::once(totals).chain(route_lines).collect()
}

/// Returns the line about failed batches. Lost records are an error, each time a notice names them.
fn recovery_line(invocation: &Invocation<'_>, recovery: &RecoveryReport) -> Value {
    let level = match (recovery.gaps.is_empty(), recovery.troubles.is_empty()) {
        (false, _) => "ERROR",
        (true, false) => "WARN",
        (true, true) => "INFO",
    };
    let mut line = heading(invocation, level, "recovered batches", None);
    line.insert("batches".to_owned(), json!(recovery.batches));
    line.insert("trouble".to_owned(), json!(recovery.troubles));
    let gaps = recovery.gaps.iter().map(ToString::to_string);
    line.insert("gaps".to_owned(), json!(gaps.collect::<Vec<_>>()));
    let mut metrics = Metrics::default();
    metrics.set(Metric::Gaps, count(recovery.gaps.len()));
    metrics.write(&mut line, FUNCTION, invocation.now);
    Value::Object(line)
}

/// Returns the line about the upkeep of a table.
fn upkeep_line(invocation: &Invocation<'_>, table: &TableName, report: &UpkeepReport) -> Value {
    let level = if report.trouble.is_some() { "ERROR" } else { "INFO" };
    let mut line = heading(invocation, level, "kept up a table", None);
    line.insert("Table".to_owned(), json!(table.to_string()));
    let sweep = |of: fn(&SweepReport) -> u64| report.sweep.as_ref().map_or(0, of);
    for (name, number) in [
        ("pending_landed", sweep(|it| it.taken.landed)),
        ("pending_refused", sweep(|it| count(it.taken.refused.len()))),
        ("pending_unreadable", sweep(|it| it.unreadable)),
        ("units", report.units),
        ("files_joined", report.files),
        ("bytes_read", report.bytes_read),
        ("bytes_written", report.bytes_written),
        ("removed", report.cleaned.map_or(0, |it| it.removed)),
        ("bytes_removed", report.cleaned.map_or(0, |it| it.bytes)),
    ] {
        line.insert(name.to_owned(), json!(number));
    }
    line.insert("unfinished".to_owned(), json!(report.is_unfinished));
    line.insert("trouble".to_owned(), json!(report.trouble));
    let mut metrics = Metrics::default();
    if let Some(sweep) = &report.sweep {
        metrics.set(Metric::Pending, sweep.waiting);
        let oldest = sweep.oldest.map_or(0, |it| it.as_secs());
        metrics.set(Metric::PendingOldestSeconds, oldest);
    }
    if report.trouble.is_none() && !report.is_unfinished {
        metrics.set(Metric::LiveFiles, report.live_files);
    }
    if let Some(cleaned) = report.cleaned {
        metrics.set(Metric::MetadataBytes, cleaned.metadata_bytes);
    }
    metrics.write(&mut line, TABLE, invocation.now);
    Value::Object(line)
}

/// Returns the beginning of every line about an invocation.
fn heading(
    invocation: &Invocation<'_>,
    level: &str,
    message: &str,
    sort: Option<Duration>,
) -> Map<String, Value> {
    let Invocation { function, request_id, config_hash, init, whole, .. } = invocation;
    let mut line = Map::new();
    let time = Timestamp::from_micros(invocation.now.saturating_mul(1000));
    line.insert("timestamp".to_owned(), json!(time.map(|it| format!("{it}Z"))));
    line.insert("level".to_owned(), json!(level));
    line.insert("message".to_owned(), json!(message));
    line.insert("FunctionName".to_owned(), json!(function));
    line.insert("request_id".to_owned(), json!(request_id));
    line.insert("config_hash".to_owned(), json!(config_hash));
    line.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    let stages = [("init", *init), ("sort", sort), ("whole", Some(*whole))];
    let known = stages.into_iter().filter_map(|(stage, took)| Some((stage, millis(took?))));
    line.insert("ms".to_owned(), json!(BTreeMap::from_iter(known)));
    line
}

fn error_line(invocation: &Invocation<'_>, error: &InvocationError) -> Value {
    let mut line = heading(invocation, "ERROR", "failed an event", None);
    line.insert("kind".to_owned(), json!(error.kind()));
    line.insert("error".to_owned(), json!(error.to_string()));
    let mut metrics = Metrics::default();
    metrics.set(Metric::ColdStart, u64::from(invocation.init.is_some()));
    metrics.write(&mut line, FUNCTION, invocation.now);
    Value::Object(line)
}

fn totals_line(invocation: &Invocation<'_>, report: &Report, times: &Times) -> Value {
    let level = if report.failed > 0 || !report.trouble.is_empty() { "WARN" } else { "INFO" };
    let mut line = heading(invocation, level, "handled an event", Some(times.sort));
    let tables = report.tables.iter().map(|(name, (rows, landed))| {
        let ms = times.land.get(name).copied().map(millis);
        (name.clone(), table_json(report, name, *rows, landed, ms))
    });
    line.insert("tables".to_owned(), Value::Object(tables.collect()));
    let mut rejected: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((route, reason), count) in &report.rejected {
        rejected.entry(route).or_default().insert(reason, *count);
    }
    line.insert("rejected".to_owned(), json!(rejected));
    line.insert("dropped".to_owned(), json!(report.dropped));
    line.insert("failed".to_owned(), json!(report.failed));
    line.insert("trouble".to_owned(), json!(report.trouble));

    let mut totals = Metrics::default();
    for route in active_routes(report) {
        totals.add(route_metrics(report, times, route, invocation.now));
    }
    // These count records that no route took as well.
    totals.set(Metric::Records, report.records);
    totals.set(Metric::Quarantined, report.rejected.values().sum());
    totals.set(Metric::Filtered, report.filtered.values().sum());
    totals.set(Metric::Failed, report.failed);
    totals.set(Metric::ColdStart, u64::from(invocation.init.is_some()));
    totals.write(&mut line, FUNCTION, invocation.now);
    Value::Object(line)
}

fn table_json(
    report: &Report,
    name: &str,
    rows: u64,
    landed: &LandReport,
    ms: Option<f64>,
) -> Value {
    let fills = |it: &RouteCounts| it.tables.iter().any(|it| it == name);
    let routes = report.routes.iter().filter(|(_, it)| fills(it)).map(|(route, _)| route);
    json!({
        "routes": routes.collect::<Vec<_>>(),
        "rows": rows,
        "landed": landed.landed,
        "duplicates": landed.duplicates,
        "pending": landed.pending.len(),
        "taken": landed.taken.landed,
        "snapshot": landed.commit.as_ref().map(|it| it.snapshot.to_string()),
        "commit": landed.commit.as_ref().map(|it| &it.id),
        "attempts": landed.attempts,
        "conflicts": landed.conflicts,
        "files": landed.files,
        "bytes": landed.bytes,
        "files_read": landed.files_read,
        "ms": ms,
    })
}

/// Returns the names of the routes that took, filtered or rejected records.
fn active_routes(report: &Report) -> BTreeSet<&str> {
    let rejected = report.rejected.keys().map(|(route, _)| route);
    let named = report.taken.keys().chain(report.filtered.keys()).chain(report.routes.keys());
    named.chain(rejected).map(String::as_str).filter(|it| !it.is_empty()).collect()
}

/// Returns the metrics of one route.
fn route_metrics(report: &Report, times: &Times, route: &str, now: i64) -> Metrics {
    let none = RouteCounts::default();
    let counts = report.routes.get(route).unwrap_or(&none);
    let landed: Vec<&LandReport> =
        counts.tables.iter().filter_map(|it| report.tables.get(it)).map(|(_, it)| it).collect();
    let sum = |of: fn(&LandReport) -> u64| landed.iter().map(|it| of(it)).sum();
    let rejected = report.rejected.iter().filter(|((it, _), _)| it == route);
    let mut metrics = Metrics::default();
    for (metric, count) in [
        (Metric::Records, report.taken.get(route).copied().unwrap_or_default()),
        (Metric::Landed, counts.landed),
        (Metric::Duplicates, counts.duplicates),
        (Metric::LeftPending, counts.pending),
        (Metric::Quarantined, rejected.map(|(_, count)| *count).sum()),
        (Metric::Filtered, report.filtered.get(route).copied().unwrap_or_default()),
        (Metric::Overflowed, counts.overflowed),
        (Metric::Bytes, sum(|it| it.bytes)),
        (Metric::Files, sum(|it| it.files)),
        (Metric::CommitConflicts, sum(|it| it.conflicts)),
        (Metric::IdFilesRead, sum(|it| it.files_read)),
    ] {
        metrics.set(metric, count);
    }
    let commits = counts.tables.iter().filter_map(|it| times.land.get(it));
    let commits: Vec<f64> = commits.copied().map(millis).collect();
    if !commits.is_empty() {
        metrics.set_all(Metric::CommitMs, commits);
        let attempts = landed.iter().map(|it| number(it.attempts)).collect();
        metrics.set_all(Metric::CommitAttempts, attempts);
    }
    if let Some(oldest) = counts.oldest {
        let lag = now.saturating_sub(oldest.micros().div_euclid(1000)).max(0);
        metrics.set(Metric::LagMs, lag.unsigned_abs());
    }
    metrics
}

/// Returns a duration in milliseconds with one decimal.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::RecoveryReport;

    #[test]
    fn an_invocation_of_several_passes_is_one_cold_start() {
        let invocation = Invocation {
            function: "f",
            request_id: "r",
            config_hash: "h",
            init: Some(Duration::from_millis(30)),
            whole: Duration::from_secs(1),
            now: 0,
        };
        let recovery =
            RecoveryReport { batches: 1, passes: vec![Pass::default()], ..Default::default() };
        let passes = vec![Pass::default(), Pass::default()];
        let (upkeep, records, answer) = (Vec::new(), Vec::new(), Ok(String::new()));
        let report = InvocationReport { passes, recovery, upkeep, records, answer };
        let lines = lines(&invocation, &report);
        let lines: Vec<Value> = lines.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
        let starts: Vec<f64> = lines.iter().filter_map(|it| it["ColdStart"].as_f64()).collect();
        assert_eq!((lines.len(), starts), (4, vec![1.0, 0.0, 0.0]));
    }
}
