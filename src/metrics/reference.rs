//! The reference page of the metrics, `docs/metrics.md`. A test holds it to what this makes.

use std::fmt::Write as _;

use super::list::{ALL, Kind};
use super::process;

const HEAD: &str = "\
# Metrics

`GET /metrics` answers in the Prometheus text format, version 0.0.4. This page is made of the \
program's own list.

Every series whose labels are known exists from the start with zero. Labels have values of the \
configuration (`endpoint`, `table`) or of closed lists; `field` has 50 values at most, then `other`. \
Times are Unix times in seconds, and 0 stands for none. Counters begin at zero with the process.

| metric | kind | labels | meaning |
|---|---|---|---|
";

const PROCESS: &str = "
## The process

By the names that every Prometheus client has for them, read from `/proc`; on a system without it \
there are none.

| metric | kind | meaning |
|---|---|---|
";

/// Returns the page as Markdown.
#[must_use]
pub fn reference_page() -> String {
    let mut page = HEAD.to_owned();
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter".to_owned(),
            Kind::Gauge => "gauge".to_owned(),
            Kind::Histogram(bounds) => {
                let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
                format!("histogram: {}", bounds.join(", "))
            }
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, labels, help) = (metric.name, labels.join(", "), metric.help);
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page.push_str(PROCESS);
    for (name, kind, help) in process::ALL {
        let _ = writeln!(page, "| `{name}` | {kind} | {help} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")
    }

    #[test]
    fn the_page_is_that_of_the_list() {
        // There is nothing to compare in a package made of the crate alone.
        if !kept().parent().is_some_and(std::path::Path::is_dir) {
            return;
        }
        assert!(
            std::fs::read_to_string(kept()).unwrap_or_default() == reference_page(),
            "docs/metrics.md is out of date; make it anew with\n  cargo run --release -q -- \
             config-reference --metrics > docs/metrics.md"
        );
    }
}
