//! The log of an invocation: counts, names and times, never anything of a record.
//!
//! One line covers all of it and carries the totals as metrics; one short line for each route
//! carries that route's. An invocation that takes several passes, or recovers failed batches, has
//! these for each pass, and one line about the batches. CloudWatch extracts metrics from the lines:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::handler::{InvocationError, Pass, Report, RouteCounts, Times};
use crate::intake::Processed;
use crate::recovery::Recovered;
use crate::store::LandReport;
use crate::time::Timestamp;

const NAMESPACE: &str = "Lakeward";
/// Dimensions of what counts for whole invocations: none, and a function's own, for its alarms.
const WHOLE: &[&[&str]] = &[&[], &["FunctionName"]];

/// What is known of an invocation beside what it did.
#[derive(Debug, Clone)]
pub(super) struct Invocation<'a> {
    pub(super) function: &'a str,
    pub(super) request_id: &'a str,
    pub(super) config_hash: &'a str,
    /// How long it took to start, in the first invocation of an environment.
    pub(super) init: Option<Duration>,
    pub(super) whole: Duration,
    /// When it ended, in milliseconds since 1970.
    pub(super) now: i64,
}

/// The lines of an invocation.
pub(super) fn lines(invocation: &Invocation<'_>, processed: &Processed) -> Vec<String> {
    let Processed { passes, recovered, answer, .. } = processed;
    let mut invocation = invocation.clone();
    let mut lines = Vec::new();
    for pass in passes.iter().chain(&recovered.passes) {
        lines.extend(pass_lines(&invocation, pass));
        // An environment starts once.
        invocation.init = None;
    }
    if recovered.batches > 0 {
        lines.push(batches_line(&invocation, recovered).to_string());
    }
    lines.extend(answer.as_ref().err().map(|error| error_line(&invocation, error).to_string()));
    lines
}

fn pass_lines(invocation: &Invocation<'_>, pass: &Pass) -> Vec<String> {
    let Pass { report, times } = pass;
    let routes = routes_of(report);
    let of_routes = routes.iter().map(|route| {
        let mut line = Map::new();
        line.insert("Route".to_owned(), json!(route));
        metrics(
            &mut line,
            &[&["Route"]],
            route_metrics(report, times, route, invocation.now),
            invocation,
        );
        Value::Object(line).to_string()
    });
    std::iter::once(totals_line(invocation, report, times).to_string()).chain(of_routes).collect()
}

/// What became of failed batches. Lost records are an error, each time that a notice names them.
fn batches_line(invocation: &Invocation<'_>, done: &Recovered) -> Value {
    let level = match (done.gaps.is_empty(), done.troubles.is_empty()) {
        (false, _) => "ERROR",
        (true, false) => "WARN",
        (true, true) => "INFO",
    };
    let mut line = heading(invocation, level, "recovered batches", None);
    line.insert("batches".to_owned(), json!(done.batches));
    line.insert("trouble".to_owned(), json!(done.troubles));
    let gaps = done.gaps.iter().map(ToString::to_string);
    line.insert("gaps".to_owned(), json!(gaps.collect::<Vec<_>>()));
    let gaps = u64::try_from(done.gaps.len()).unwrap_or(u64::MAX);
    metrics(&mut line, WHOLE, [("Gaps", vec![number(gaps)])].into(), invocation);
    Value::Object(line)
}

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
    let cold = [("ColdStart", vec![f64::from(u8::from(invocation.init.is_some()))])];
    metrics(&mut line, WHOLE, cold.into(), invocation);
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

    let mut totals: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for route in routes_of(report) {
        for (name, values) in route_metrics(report, times, route, invocation.now) {
            match (totals.get_mut(name), name) {
                (Some(sum), "CommitMs" | "CommitAttempts") => sum.extend(values),
                (Some(sum), "LagMs") => sum.extend(values),
                (Some(sum), _) => {
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
                (None, _) => drop(totals.insert(name, values)),
            }
        }
    }
    totals.insert("Records", vec![number(report.records)]);
    totals.insert("Quarantined", vec![number(report.rejected.values().sum())]);
    totals.insert("Filtered", vec![number(report.filtered.values().sum())]);
    totals.insert("Failed", vec![number(report.failed)]);
    totals.insert("ColdStart", vec![f64::from(u8::from(invocation.init.is_some()))]);
    metrics(&mut line, WHOLE, totals, invocation);
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

/// Names of the routes that did something.
fn routes_of(report: &Report) -> BTreeSet<&str> {
    let rejected = report.rejected.keys().map(|(route, _)| route);
    let named = report.taken.keys().chain(report.filtered.keys()).chain(report.routes.keys());
    named.chain(rejected).map(String::as_str).filter(|it| !it.is_empty()).collect()
}

/// The metrics of one route, or of the records that no route took.
fn route_metrics(
    report: &Report,
    times: &Times,
    route: &str,
    now: i64,
) -> BTreeMap<&'static str, Vec<f64>> {
    let none = RouteCounts::default();
    let counts = report.routes.get(route).unwrap_or(&none);
    let landed: Vec<&LandReport> =
        counts.tables.iter().filter_map(|it| report.tables.get(it)).map(|(_, it)| it).collect();
    let sum = |of: fn(&LandReport) -> u64| number(landed.iter().map(|it| of(it)).sum());
    let rejected = report.rejected.iter().filter(|((it, _), _)| it == route);
    let rejected = rejected.map(|(_, count)| *count).sum();
    let mut metrics = BTreeMap::from([
        ("Records", vec![number(report.taken.get(route).copied().unwrap_or_default())]),
        ("Landed", vec![number(counts.landed)]),
        ("Duplicates", vec![number(counts.duplicates)]),
        ("Quarantined", vec![number(rejected)]),
        ("Filtered", vec![number(report.filtered.get(route).copied().unwrap_or_default())]),
        ("Overflowed", vec![number(counts.overflowed)]),
        ("Bytes", vec![sum(|it| it.bytes)]),
        ("Files", vec![sum(|it| it.files)]),
        ("CommitConflicts", vec![sum(|it| it.conflicts)]),
        ("IdFilesRead", vec![sum(|it| it.files_read)]),
    ]);
    let committed = counts.tables.iter().filter_map(|it| times.land.get(it));
    let committed: Vec<f64> = committed.copied().map(millis).collect();
    if !committed.is_empty() {
        metrics.insert("CommitMs", committed);
        metrics.insert("CommitAttempts", landed.iter().map(|it| number(it.attempts)).collect());
    }
    if let Some(oldest) = counts.oldest {
        let lag = now.saturating_sub(oldest.micros().div_euclid(1000)).max(0);
        metrics.insert("LagMs", vec![number(lag.unsigned_abs())]);
    }
    metrics
}

/// Adds metrics to a line. A metric has at most a hundred values in one line.
fn metrics(
    line: &mut Map<String, Value>,
    dimensions: &[&[&str]],
    metrics: BTreeMap<&str, Vec<f64>>,
    invocation: &Invocation<'_>,
) {
    let unit = |name: &str| match name {
        "Bytes" => "Bytes",
        _ if name.ends_with("Ms") => "Milliseconds",
        _ => "Count",
    };
    let named: Vec<Value> =
        metrics.keys().map(|name| json!({"Name": name, "Unit": unit(name)})).collect();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": invocation.now,
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": named}
            ],
        }),
    );
    for (name, mut values) in metrics {
        values.truncate(100);
        let value = match values.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        line.insert(name.to_owned(), value);
    }
}

/// Milliseconds with their tenths.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// A count as JSON's only number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count of an invocation comes near 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
