//! The progress of a run: a line that changes on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::feed::{Made, RunLimits};
use super::Lane;
use super::figures::Figures;
use crate::error_text::{self, without_userinfo};

pub(crate) struct Progress {
    /// The terminal's line; none when there is no terminal, or nothing is to be printed.
    bar: Option<ProgressBar>,
    quiet: bool,
}

/// The pause between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(10);
const REDRAW: Duration = Duration::from_millis(200);

impl Progress {
    pub(crate) fn new(quiet: bool, limits: RunLimits) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(limits.sessions, target);
            let template = match limits.sessions {
                Some(_) => "{elapsed} {bar:40} {percent}%\n{msg}",
                None => "{elapsed} {spinner}\n{msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, quiet }
    }

    pub(crate) fn pause(&self) -> Duration {
        if self.bar.is_some() { REDRAW } else { LINES }
    }

    /// Prints a line that stays. Errors are printed even without progress.
    pub(crate) fn say(&self, text: &str) {
        // Receivers answer with any text.
        let text = error_text::printable_error(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Prints the state of each endpoint.
    pub(crate) fn tell(&self, lanes: &[Arc<Lane>], elapsed: Duration) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => {
                let farthest = lanes.iter().map(|lane| count(&lane.figures.acked_sessions)).max();
                bar.set_position(farthest.unwrap_or(0));
                let lines: Vec<String> = lanes.iter().map(|lane| line(lane, elapsed)).collect();
                bar.set_message(lines.join("\n"));
            }
            None => lanes.iter().for_each(|lane| {
                if lanes.len() > 1 {
                    eprintln!("{}", without_userinfo(lane.endpoint.url.as_str()));
                }
                eprintln!("{}", line(lane, elapsed));
            }),
        }
    }

    /// Ends the progress and prints the summary.
    pub(crate) fn end(&self, lanes: &[Arc<Lane>], made: Made, elapsed: Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.quiet {
            return;
        }
        let bytes = made.bytes as f64 / 1e6;
        eprintln!("{} sessions, {bytes:.1} MB, in {:.1} s", made.sessions, elapsed.as_secs_f64());
        for lane in lanes {
            let url = without_userinfo(lane.endpoint.url.as_str());
            eprintln!("{url}\n{}", summary(&lane.figures, elapsed));
            for (kind, times) in lane.figures.errors() {
                eprintln!("  {kind}: {times} times");
            }
        }
    }
}

fn count(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Returns the state of an endpoint as one line of a terminal, shorter than its width.
fn line(lane: &Lane, elapsed: Duration) -> String {
    let figures = &lane.figures;
    format!(
        "{} sent, {} acked, {} retried, {} discarded, {}",
        count(&figures.sent_bulks),
        count(&figures.acked_bulks),
        count(&figures.retried),
        count(&figures.discarded_bulks),
        rate(figures, elapsed)
    )
}

/// Returns the figures of an endpoint in full, in lines of at most 80 columns.
fn summary(figures: &Figures, elapsed: Duration) -> String {
    let unsent = match count(&figures.unsent_bulks) {
        0 => String::new(),
        unsent => format!(", {unsent} never sent"),
    };
    format!(
        "  {} bulks sent, {} acked ({} sessions),\n  {} retried, {} discarded{unsent}, {}",
        count(&figures.sent_bulks),
        count(&figures.acked_bulks),
        count(&figures.acked_sessions),
        count(&figures.retried),
        count(&figures.discarded_bulks),
        rate(figures, elapsed)
    )
}

fn rate(figures: &Figures, elapsed: Duration) -> String {
    let rate = count(&figures.acked_bytes) as f64 / 1e6 / elapsed.as_secs_f64().max(1e-3);
    let latency = match figures.ack(50).zip(figures.ack(99)) {
        Some((p50, p99)) => format!(", p50 {} p99 {}", show(p50), show(p99)),
        None => String::new(),
    };
    format!("{rate:.1} MB/s{latency}")
}

fn show(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_adds_up_and_fits_a_terminal() {
        let figures = Figures::default();
        figures.sent_bulks.store(123_456, Ordering::Relaxed);
        figures.retried.store(123_456, Ordering::Relaxed);
        figures.unsent_bulks.store(5, Ordering::Relaxed);
        (0..4).for_each(|_| figures.discarded(1000));
        figures.acked(123_000_000, 987_654_321, Duration::from_millis(9_999));
        let text = summary(&figures, Duration::from_secs(1));
        assert!(text.contains("123456 bulks sent, 1 acked (123000000 sessions),\n"), "{text}");
        assert!(text.contains("123456 retried, 4 discarded, 5 never sent, 987.7 MB/s"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
