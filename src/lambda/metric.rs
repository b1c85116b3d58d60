//! The metrics of the function, as CloudWatch extracts them from the lines of its log.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const NAMESPACE: &str = "Lakeward";
/// The largest number of values that CloudWatch reads for a metric of one line.
const MAX_VALUES: usize = 100;

/// A metric. The order is that of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    Bytes,
    ColdStart,
    CommitAttempts,
    CommitConflicts,
    CommitMs,
    Duplicates,
    Failed,
    Files,
    Filtered,
    Gaps,
    IdFilesRead,
    LagMs,
    Landed,
    LeftPending,
    LiveFiles,
    MetadataBytes,
    Overflowed,
    Pending,
    PendingOldestSeconds,
    Quarantined,
    Records,
}

/// The way in which the values of several routes become those of the invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Sum,
    /// All values, so that CloudWatch can make percentiles of them.
    List,
}

/// Metrics and their values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics(BTreeMap<Metric, Vec<f64>>);

impl Metric {
    /// Returns the name, the unit of CloudWatch, and the way to total the values.
    fn definition(self) -> (&'static str, &'static str, Total) {
        match self {
            Metric::Bytes => ("Bytes", "Bytes", Total::Sum),
            Metric::ColdStart => ("ColdStart", "Count", Total::Sum),
            Metric::CommitAttempts => ("CommitAttempts", "Count", Total::List),
            Metric::CommitConflicts => ("CommitConflicts", "Count", Total::Sum),
            Metric::CommitMs => ("CommitMs", "Milliseconds", Total::List),
            Metric::Duplicates => ("Duplicates", "Count", Total::Sum),
            Metric::Failed => ("Failed", "Count", Total::Sum),
            Metric::Files => ("Files", "Count", Total::Sum),
            Metric::Filtered => ("Filtered", "Count", Total::Sum),
            Metric::Gaps => ("Gaps", "Count", Total::Sum),
            Metric::IdFilesRead => ("IdFilesRead", "Count", Total::Sum),
            Metric::LagMs => ("LagMs", "Milliseconds", Total::List),
            Metric::Landed => ("Landed", "Count", Total::Sum),
            Metric::LeftPending => ("LeftPending", "Count", Total::Sum),
            Metric::LiveFiles => ("LiveFiles", "Count", Total::Sum),
            Metric::MetadataBytes => ("MetadataBytes", "Bytes", Total::Sum),
            Metric::Overflowed => ("Overflowed", "Count", Total::Sum),
            Metric::Pending => ("Pending", "Count", Total::Sum),
            Metric::PendingOldestSeconds => ("PendingOldestSeconds", "Seconds", Total::List),
            Metric::Quarantined => ("Quarantined", "Count", Total::Sum),
            Metric::Records => ("Records", "Count", Total::Sum),
        }
    }

    fn name(self) -> &'static str {
        self.definition().0
    }
}

impl Metrics {
    /// Sets a metric to a count.
    pub(super) fn set(&mut self, metric: Metric, count: u64) {
        self.0.insert(metric, vec![number(count)]);
    }

    /// Sets a metric to several values. Without values there is no metric.
    pub(super) fn set_all(&mut self, metric: Metric, values: Vec<f64>) {
        if !values.is_empty() {
            self.0.insert(metric, values);
        }
    }

    /// Adds the metrics of another route.
    pub(super) fn add(&mut self, other: Metrics) {
        for (metric, values) in other.0 {
            let (_, _, total) = metric.definition();
            let own = self.0.entry(metric).or_default();
            match total {
                Total::Sum if own.is_empty() => *own = values,
                Total::Sum => own.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                Total::List => own.extend(values),
            }
        }
    }

    /// Writes the metrics into a line, with `now` in milliseconds since 1970:
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
    pub(super) fn write(self, line: &mut Map<String, Value>, dimensions: &[&[&str]], now: i64) {
        let definitions = self.0.keys().map(|metric| {
            let (name, unit, _) = metric.definition();
            json!({"Name": name, "Unit": unit})
        });
        let definitions: Vec<Value> = definitions.collect();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now,
                "CloudWatchMetrics": [
                    {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": definitions}
                ],
            }),
        );
        for (metric, mut values) in self.0 {
            values.truncate(MAX_VALUES);
            let value = match values.as_slice() {
                [one] => json!(one),
                many => json!(many),
            };
            line.insert(metric.name().to_owned(), value);
        }
    }
}

/// Returns a count as JSON's only kind of number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count of an invocation comes near 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_and_times_are_listed() {
        let mut totals = Metrics::default();
        for (landed, times) in [(2, vec![1.5]), (3, vec![2.5, 3.5]), (4, vec![])] {
            let mut route = Metrics::default();
            route.set(Metric::Landed, landed);
            route.set_all(Metric::CommitMs, times);
            totals.add(route);
        }
        let mut line = Map::new();
        totals.write(&mut line, &[&[], &["FunctionName"]], 7);
        let expected = json!({
            "_aws": {"Timestamp": 7, "CloudWatchMetrics": [{
                "Namespace": "Lakeward",
                "Dimensions": [[], ["FunctionName"]],
                "Metrics": [
                    {"Name": "CommitMs", "Unit": "Milliseconds"},
                    {"Name": "Landed", "Unit": "Count"},
                ],
            }]},
            "CommitMs": [1.5, 2.5, 3.5],
            "Landed": 9.0,
        });
        assert_eq!(Value::Object(line), expected);
    }
}
