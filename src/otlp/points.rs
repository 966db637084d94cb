//! The metrics of `/metrics` as points of OTLP, read from their text.
//!
//! The text is the one form in which the recorder gives its histograms away, and it has what the process adds.
//! Names and labels stay what they are in Prometheus, so that dashboards and alerts fit both.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::messages::{Attributes, Data, Distribution, Metric, Number, Value};

/// Reads the text of `/metrics`. A line that is none of ours is left out.
pub(super) fn read(text: &str) -> Vec<Metric> {
    let mut metrics = Vec::new();
    let mut family = Family::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            metrics.extend(std::mem::take(&mut family).finish());
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            family.name = name.to_owned();
            family.help = help.replace("\\n", "\n").replace("\\\\", "\\");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            if name != family.name {
                metrics.extend(std::mem::take(&mut family).finish());
                family.name = name.to_owned();
            }
            family.kind = kind.to_owned();
        } else if let Some((name, labels, value)) = sample(line) {
            family.take(name, labels, value);
        }
    }
    metrics.extend(family.finish());
    metrics
}

/// The lines of one metric.
#[derive(Debug, Default)]
struct Family {
    name: String,
    help: String,
    kind: String,
    points: Vec<(Attributes, f64)>,
    histograms: BTreeMap<Attributes, Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    /// Bounds with the count up to each, the infinite one among them.
    up_to: Vec<(f64, u64)>,
    sum: f64,
    count: u64,
}

impl Family {
    fn take(&mut self, name: &str, mut labels: Attributes, value: f64) {
        let Some(part) = name.strip_prefix(self.name.as_str()) else { return };
        if self.kind != "histogram" {
            if part.is_empty() {
                self.points.push((labels, value));
            }
            return;
        }
        let bound = labels.iter().position(|(key, _)| key == "le").map(|at| labels.remove(at).1);
        let of = self.histograms.entry(labels).or_default();
        match (part, bound) {
            ("_bucket", Some(Value::Text(bound))) => {
                of.up_to.push((number(&bound).unwrap_or(f64::INFINITY), value as u64));
            }
            ("_sum", _) => of.sum = value,
            ("_count", _) => of.count = value as u64,
            _ => {}
        }
    }

    fn finish(self) -> Option<Metric> {
        let Family { name, help, kind, points, histograms } = self;
        let data = match kind.as_str() {
            "gauge" => {
                let double = |(labels, value)| (labels, Number::Double(value));
                Data::Gauge(points.into_iter().map(double).collect())
            }
            "counter" => {
                // Time of the processor is the one count that is no whole number.
                let is_whole = !name.contains("_seconds");
                let count = |(labels, value)| match is_whole {
                    true => (labels, Number::Int(value as i64)),
                    false => (labels, Number::Double(value)),
                };
                Data::Sum { points: points.into_iter().map(count).collect(), is_monotonic: true }
            }
            "histogram" => {
                let points = histograms.into_iter().map(|(labels, of)| (labels, of.finish()));
                Data::Histogram(points.collect())
            }
            _ => return None,
        };
        Some(Metric { unit: unit(&name), name, description: help, data })
    }
}

impl Buckets {
    fn finish(self) -> Distribution {
        let Buckets { mut up_to, sum, count } = self;
        up_to.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut distribution = Distribution { sum, count, ..Distribution::default() };
        let mut before = 0;
        for (bound, up_to) in up_to.into_iter().filter(|(bound, _)| bound.is_finite()) {
            distribution.bounds.push(bound);
            distribution.counts.push(up_to.saturating_sub(before));
            before = up_to;
        }
        distribution.counts.push(count.saturating_sub(before));
        distribution
    }
}

/// The unit of a metric by its name, which has it by the naming rules.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total");
    match name {
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "By",
        _ => "",
    }
}

/// Reads the line of a sample: name, labels, value.
fn sample(line: &str) -> Option<(&str, Attributes, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(end)?;
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let mut labels = Attributes::new();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((Cow::Owned(key.to_owned()), Value::Text(Cow::Owned(value))));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    Some((name, labels, number(rest.trim())?))
}

/// Reads a quoted value to its quotation mark. Returns it without escapes, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{self, ALL, Kind};

    fn label(key: &'static str, value: &'static str) -> (Cow<'static, str>, Value) {
        (key.into(), Value::Text(value.into()))
    }

    #[test]
    fn the_text_of_prometheus_is_read_whole() {
        let text = concat!(
            "# HELP a_total Lines \\\\ and\\nmore\n# TYPE a_total counter\n",
            "a_total{endpoint=\"x, \\\"y\\\"\\\\}\",code=\"200\"} 7\na_total 0\n\n",
            "# TYPE b_seconds histogram\n",
            "b_seconds_bucket{stage=\"s\",le=\"0.5\"} 2\nb_seconds_bucket{stage=\"s\",le=\"1\"} 2\n",
            "b_seconds_bucket{stage=\"s\",le=\"+Inf\"} 5\nb_seconds_sum{stage=\"s\"} 12.5\n",
            "b_seconds_count{stage=\"s\"} 5\n",
            "# TYPE c_bytes gauge\nc_bytes NaN\nno line of a sample\n",
        );
        let [a, b, c] = &read(text)[..] else { panic!("three: {:?}", read(text)) };
        assert_eq!((&*a.name, &*a.description, a.unit), ("a_total", "Lines \\ and\nmore", ""));
        let labels = vec![label("endpoint", "x, \"y\"\\}"), label("code", "200")];
        let points = vec![(labels, Number::Int(7)), (vec![], Number::Int(0))];
        assert_eq!(a.data, Data::Sum { points, is_monotonic: true });
        assert_eq!((&*b.name, b.unit), ("b_seconds", "s"));
        let of =
            Distribution { bounds: vec![0.5, 1.0], counts: vec![2, 0, 3], sum: 12.5, count: 5 };
        assert_eq!(b.data, Data::Histogram(vec![(vec![label("stage", "s")], of)]));
        assert_eq!(c.unit, "By");
        assert!(matches!(&c.data, Data::Gauge(points) if points.len() == 1));
    }

    #[test]
    fn every_metric_of_ours_is_read_from_what_metrics_answers() {
        let handle = metrics::install();
        ::metrics::histogram!(metrics::ROLL_DURATION, "stage" => "encode").record(0.3);
        let read = read(&handle.render());
        for metric in ALL.iter().filter(|metric| metric.labels.is_empty()) {
            let found = read.iter().find(|found| found.name == metric.name);
            let found = found.unwrap_or_else(|| panic!("{} is missing", metric.name));
            assert_eq!(found.description, metric.help);
            let fits = match (&metric.kind, &found.data) {
                (Kind::Counter, Data::Sum { points, .. }) => points.len() == 1,
                (Kind::Gauge, Data::Gauge(points)) => points.len() == 1,
                (Kind::Histogram(bounds), Data::Histogram(points)) => {
                    points.iter().all(|(_, point)| point.bounds.len() == bounds.len())
                }
                _ => false,
            };
            assert!(fits, "{found:?}");
        }
        let rolls = read.iter().find(|found| found.name == metrics::ROLL_DURATION).unwrap();
        let Data::Histogram(points) = &rolls.data else { panic!("{rolls:?}") };
        let encode = points.iter().find(|(labels, _)| *labels == [label("stage", "encode")]);
        let (_, encode) = encode.unwrap();
        assert!(encode.count >= 1 && encode.counts.iter().sum::<u64>() == encode.count);
        assert!(read.iter().any(|found| found.name == "process_cpu_seconds_total"));
    }
}
