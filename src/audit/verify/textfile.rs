//! The verdict of a verification as a file of metrics, for the textfile collector of `node_exporter`: with the
//! names that a server has for its own verifications.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::report::{ProblemKind, Report};
use super::verdict::Verdict;
use crate::metrics::{self as names, Kind, Metric, timestamp};
use crate::record::Micros;

/// Writes the metrics of a verification that ended at `now` and took `took` to `file`, as a whole. None for
/// one that failed. The time of the last success is kept from the file before.
///
/// # Errors
/// The file cannot be written.
pub fn write_textfile(
    file: &Path,
    report: Option<&Report>,
    now: Micros,
    took: Duration,
) -> io::Result<()> {
    let before = fs::read_to_string(file).unwrap_or_default();
    let text = textfile(&before, report, now, took);
    // Readers take what ends with .prom; they never see a half.
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let mut out = fs::File::create(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&new, file)
}

fn textfile(before: &str, report: Option<&Report>, now: Micros, took: Duration) -> String {
    let verdict = match report {
        // As the exit code says: it is no lake, or nothing is known of it.
        Some(report) if !report.is_empty() => report.verdict(),
        _ => Verdict::Failed,
    };
    let earlier = || {
        let value = |line: &str| line.strip_prefix(names::VERIFY_LAST_SUCCESS)?.trim().parse().ok();
        before.lines().find_map(value).unwrap_or(0.0)
    };
    let success = if verdict == Verdict::Ok { timestamp(now) } else { earlier() };
    let mut out = String::new();
    add(&mut out, names::VERIFY_LAST_RUN, [("", "", timestamp(now))]);
    add(&mut out, names::VERIFY_LAST_SUCCESS, [("", "", success)]);
    add(&mut out, names::VERIFY_DURATION, [("", "", took.as_secs_f64())]);
    let verdicts = Verdict::ALL.map(|one| {
        let is_it = f64::from(u8::from(one == verdict));
        ("verdict", one.as_str(), is_it)
    });
    add(&mut out, names::VERIFY_VERDICT, verdicts);
    if let Some(report) = report {
        let (rolls, lines) = report.sums();
        add(&mut out, names::VERIFY_ROLLS, [("", "", rolls as f64)]);
        add(&mut out, names::VERIFY_LINES, [("", "", lines as f64)]);
        let kinds = ProblemKind::ALL.map(|kind| ("kind", kind.as_str(), report.count(kind) as f64));
        add(&mut out, names::VERIFY_PROBLEMS, kinds);
    }
    out
}

/// Adds the series of a gauge: label, its value, and the value.
fn add<const N: usize>(out: &mut String, name: &str, series: [(&str, &str, f64); N]) {
    let of = |metric: &&Metric| metric.name == name && metric.kind == Kind::Gauge;
    let help = names::ALL.iter().find(of).map_or("", |metric| metric.help);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (label, of, value) in series {
        let _ = match label {
            "" => writeln!(out, "{name} {value}"),
            _ => writeln!(out, "{name}{{{label}=\"{of}\"}} {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::NodeReport;

    #[test]
    fn the_last_success_is_kept_and_a_failure_says_nothing_of_problems() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("sessionlake.prom");
        let write = |report: Option<&Report>, at: i64| {
            let took = Duration::from_millis(1500);
            write_textfile(&file, report, Micros(at * 1_000_000), took).expect("written");
            fs::read_to_string(&file).expect("there")
        };
        let node = NodeReport { rolls: 2, lines: 11, ..NodeReport::default() };
        let mut report = Report { nodes: vec![node], ..Report::default() };
        let text = write(Some(&report), 100);
        for line in [
            "sessionlake_verify_last_success_timestamp_seconds 100\n",
            "sessionlake_verify_last_duration_seconds 1.5\n",
            "# TYPE sessionlake_verify_verdict gauge\nsessionlake_verify_verdict{verdict=\"ok\"} 1\n",
            "sessionlake_verify_lines 11\n",
            "sessionlake_verify_problems{kind=\"gap\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        report.problem(ProblemKind::Gap, "p", "why");
        let text = write(Some(&report), 200);
        assert!(text.contains("sessionlake_verify_problems{kind=\"gap\"} 1\n"), "{text}");
        assert!(text.contains("sessionlake_verify_verdict{verdict=\"damaged\"} 1\n"), "{text}");
        for nothing in [None, Some(&Report::default())] {
            let text = write(nothing, 300);
            assert!(text.contains("last_run_timestamp_seconds 300\n"), "{text}");
            assert!(text.contains("last_success_timestamp_seconds 100\n"), "{text}");
            assert!(text.contains("{verdict=\"failed\"} 1\n"), "{text}");
        }
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1);
    }
}
