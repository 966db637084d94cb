//! A reading of the program's own metrics, so that a status page and a scrape say the same.

use std::collections::BTreeMap;

/// Values of all series at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading(BTreeMap<String, Vec<Series>>);

/// A series: its labels in their order, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Reading {
    /// Reads the Prometheus text that [`crate::metrics::Handle::render`] makes.
    pub(super) fn of(text: &str) -> Reading {
        let mut values: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels_of(labels)),
                None => (series, Vec::new()),
            };
            values.entry(name.to_owned()).or_default().push(Series { labels, value });
        }
        Reading(values)
    }

    /// Returns the series of a metric.
    pub(super) fn series(&self, name: &str) -> &[Series] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the sum of the series of a metric; 0 without any.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.series(name).iter().map(|series| series.value).sum()
    }

    /// Returns the counts of a histogram by upper bound, over all of its series, without the last bound,
    /// and the count of all.
    fn buckets(&self, name: &str) -> (Vec<(f64, f64)>, f64) {
        let mut counts: Vec<(f64, f64)> = Vec::new();
        for series in self.series(&format!("{name}_bucket")) {
            let bound = series.label("le").and_then(|le| le.parse::<f64>().ok());
            let Some(bound) = bound.filter(|bound| bound.is_finite()) else { continue };
            match counts.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += series.value,
                None => counts.push((bound, series.value)),
            }
        }
        (counts, self.sum(&format!("{name}_count")))
    }

    /// Returns the quantile `q` of a histogram since an earlier reading, between its bounds by proportion;
    /// none if nothing was recorded since. What lies beyond the last bound is the last bound.
    pub(super) fn quantile_since(&self, before: &Reading, name: &str, q: f64) -> Option<f64> {
        let ((now, all), (then, all_then)) = (self.buckets(name), before.buckets(name));
        let wanted = (all - all_then) * q;
        if all - all_then < 1.0 {
            return None;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in now {
            let earlier = then.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, n)| *n);
            let upto = count - earlier;
            if upto >= wanted && upto > below {
                return Some(low + (bound - low) * ((wanted - below) / (upto - below)));
            }
            (low, below) = (bound, upto);
        }
        Some(low)
    }
}

impl Series {
    /// Returns the value of a label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }
}

/// Reads `a="b",c="d"}`.
fn labels_of(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut rest) = (Vec::new(), text);
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in quoted.char_indices() {
            match (escaped, c) {
                (true, 'n') => value.push('\n'),
                (true, c) => value.push(c),
                (false, '\\') => {}
                (false, '"') => {
                    end = Some(at + 1);
                    break;
                }
                (false, c) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
        let Some(end) = end else { break };
        rest = quoted.get(end..).unwrap_or_default();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_and_their_labels_are_read() {
        let text = "# HELP a b\n# TYPE a counter\na{t=\"x,y\",f=\"/q\\\"\\\\\\n\"} 3\na{t=\"z\"} 4\n\nb 1.5\n";
        let reading = Reading::of(text);
        assert_eq!((reading.sum("a"), reading.sum("b"), reading.sum("c")), (7.0, 1.5, 0.0));
        let series = &reading.series("a")[0];
        assert_eq!((series.label("t"), series.label("f")), (Some("x,y"), Some("/q\"\\\n")));
    }

    #[test]
    fn quantiles_are_of_what_was_recorded_since() {
        let text = |counts: [u32; 3]| {
            let [one, two, all] = counts;
            Reading::of(&format!(
                "h_bucket{{le=\"1\"}} {one}\nh_bucket{{le=\"2\"}} {two}\nh_bucket{{le=\"+Inf\"}} {all}\n\
                 h_count {all}\n"
            ))
        };
        let (before, now) = (text([100, 100, 100]), text([110, 120, 120]));
        assert_eq!(now.quantile_since(&before, "h", 0.5), Some(1.0));
        assert_eq!(now.quantile_since(&before, "h", 0.75), Some(1.5));
        assert_eq!(now.quantile_since(&now, "h", 0.5), None);
        assert_eq!(text([0, 0, 5]).quantile_since(&Reading::default(), "h", 0.5), Some(2.0));
    }
}
