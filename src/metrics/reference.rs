//! The reference page of the metrics, `docs/metrics.md`. A test holds it to what this makes.

use std::fmt::Write as _;

use super::list::{ALL, Kind};
use super::process;

const HEAD: &str = "\
# Metrics

`GET /metrics` answers in the Prometheus text format, version 0.0.4, on the listener of senders and \
on that of `status_listen`: scrape one of them. This page is made of the program's own list; \
[alerts.md](alerts.md) has rules that stand on it, and [operations.md](operations.md#watching) a dashboard.

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

/// Values of labels that are closed lists, or come from the configuration.
const LABELS: &str = "
## Values of labels

| label | of | values |
|---|---|---|
| `endpoint` | | `default`, or the names of `[[endpoint]]` sections; `none` for refusals before one was known |
| `table` | | tables of the configuration, flat ones among them |
| `part` | `ready` | `receive`: 0 while the receiver starts or stops; `journal`: 0 while it is full, its disk is, or a write has failed |
| `part` | `trouble` | `lake`: requests of rolls fail; `lake_at_start`: it could not be written at the start; `landing`: no roll can be made, between two attempts; `overdue`: a body has waited longer than `overdue_after`; `set_aside`: no roll could be made of a body; `tables`: a Delta or Iceberg table cannot be committed to; `verify`: what landed is not whole |
| `reason` | `requests_refused_total` | of the sender: `head`, `host`, `web_page`, `not_found`, `method`, `media_type`, `encoding`, `format`, `too_large`, `address`, `credentials`, `failed_attempts`, `rate`, `token_request`; of the network: `timeout`, `interrupted`, `tls`, `connections` (too many of one peer); of the receiver, with 503: `capacity` (memory, turns or connections), `journal` |
| `reason` | `auth_refused_total` | `credentials`: none or wrong ones; `failed_attempts`: too many wrong ones; `busy`: no turn to check them |
| `reason` | `limited_total` | `connections`, `in_flight`, `rate`, `failed_attempts`, `answer_unread` |
| `reason` | `rejects_total` | the codes of the quarantine ([http.md](http.md)), and `unknown` |
| `cause` | `rolls_total` | `age`, `bytes`, `rows`: the settings `roll_…`; `drain`: a stop; `asked`: an operator; `source`: a quarter of the journal's quota; `footers`, `spilled`, `disk`: memory or disk; `doubles`: room of dedup; `apart`: a roll that could not be made is divided; `redone`: sealed by an earlier attempt |
| `stage` | `roll_…` | `prepare`, `encode`, `upload`, `commit` |
| `op`, `result` | `store_…` | `get`, `head`, `put`, `list`, `delete`, `copy`; `ok`, `not_found`, `conflict`, `denied`, `error`. Commits look for what is there before they put it: `not_found` and `conflict` are no failures |
| `field` | `unknown_field_rows_total` | JSON Pointers with `*` for indexes, 50 a table; `other` |
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
    page.push_str(LABELS);
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
