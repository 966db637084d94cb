//! Metrics: their names, their descriptions, and the recorder that renders them for Prometheus.
//!
//! [`ALL`] names and describes every metric; `docs/metrics.md` is made of it ([`reference_page`]).
//! Stations record with the macros of the `metrics` crate and the constants here. Every series whose
//! labels are known exists from the start with a zero, so that a rate or an alert never meets a
//! missing one. Labels have values of the configuration (endpoints, tables) or of closed lists, and
//! fields of documents up to a limit: no sender makes series.
//!
//! The `metrics` crate has one recorder for a process: [`install`] makes it once, and servers that
//! share a process share its counts. A thread empties the histograms' sample buffers, which would
//! otherwise grow until the next scrape.

mod list;
mod names;
mod process;
mod reference;
mod series;

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use list::{ALL, Kind, Metric};
pub use names::*;
pub use reference::reference_page;
pub use series::{NO_ENDPOINT, start_endpoint, start_refused, start_rolls, start_table};

/// A handle that renders the metrics. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Handle(PrometheusHandle);

impl Handle {
    /// Renders all metrics, and those of the process, in the Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        process::render(&mut text);
        text
    }
}

/// Makes the process-wide recorder, describes every metric, and returns the handle that renders it.
/// Called again, it returns the same handle and changes nothing.
///
/// If another recorder was installed before, the handle renders nothing, and a warning is logged.
pub fn install() -> Handle {
    // A recorder is process-wide by the nature of the macros; so is this.
    static INSTALLED: OnceLock<Handle> = OnceLock::new();
    INSTALLED.get_or_init(make).clone()
}

fn make() -> Handle {
    let builder = ALL.iter().fold(PrometheusBuilder::new(), with_bounds);
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics will be empty");
        return Handle(handle);
    }
    describe();
    series::start();
    keep_up(handle.clone());
    Handle(handle)
}

fn with_bounds(builder: PrometheusBuilder, metric: &Metric) -> PrometheusBuilder {
    let Kind::Histogram(bounds) = metric.kind else { return builder };
    let name = Matcher::Full(metric.name.to_owned());
    match builder.set_buckets_for_metric(name, bounds) {
        Ok(builder) => builder,
        // The only error is an empty list, and a test reads the lists.
        Err(_) => PrometheusBuilder::new(),
    }
}

/// Tells the recorder the help text and the unit of every metric.
fn describe() {
    for metric in ALL {
        let Metric { name, unit, help, .. } = *metric;
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, help),
            Kind::Gauge => metrics::describe_gauge!(name, unit, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
    }
}

/// Starts the thread that empties the histograms' buffers every few seconds.
fn keep_up(handle: PrometheusHandle) {
    let work = move || {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            handle.run_upkeep();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".into()).spawn(work) {
        tracing::warn!(%error, "no thread for the metrics: histograms are tidied when scraped");
    }
}

/// Returns a time as the value of a gauge: seconds since the epoch.
#[must_use]
pub fn timestamp(at: crate::record::Micros) -> f64 {
    at.0 as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_one_recorder_that_shows_every_metric_from_the_start() {
        let (first, second) = (install(), install());
        start_endpoint("default", ["rate"]);
        start_refused(NO_ENDPOINT, ["tls"]);
        start_table("t", ["not_json"]);
        start_rolls(["age"]);
        metrics::gauge!(READY, "part" => "receive").set(1.0);
        let text = second.render();
        for metric in ALL {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            for line in [
                format!("# HELP {} {}\n", metric.name, metric.help),
                format!("# TYPE {} {kind}\n", metric.name),
            ] {
                assert!(text.contains(&line), "{line:?} is missing in\n{text}");
            }
        }
        let bucket = "sessionlake_ack_duration_seconds_bucket{endpoint=\"default\",le=\"0.005\"}";
        assert!(text.contains(bucket), "{text}");
        assert!(first.render().contains(HTTP_REQUESTS));
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let mut names: Vec<_> = ALL.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let (name, is_counter) = (metric.name, metric.kind == Kind::Counter);
            assert!(name.starts_with("sessionlake_"), "{name}");
            assert_eq!(is_counter, name.ends_with("_total"), "{name}");
            let base = name.trim_end_matches("_total");
            match metric.unit {
                metrics::Unit::Bytes => assert!(base.ends_with("_bytes"), "{name}"),
                metrics::Unit::Seconds => assert!(base.ends_with("_seconds"), "{name}"),
                _ => assert!(!base.ends_with("_bytes") && !base.ends_with("_seconds"), "{name}"),
            }
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(!bounds.is_empty() && bounds.is_sorted(), "{name}");
            }
        }
    }
}
