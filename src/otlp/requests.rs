//! Requests to the receiver, by the semantic conventions for HTTP: `http.server.request.duration`,
//! `http.server.active_requests`, and a span for each that the sampler takes.
//!
//! A route is a path of the configuration or of the program, never what a client has asked for. Probes and
//! scrapes are counted and have no span.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode, Version};
use parking_lot::Mutex;

use super::messages::{Attributes, Data, Distribution, Kind, Metric, Number, Span, int, text};
use super::sampler::{Parent, Sampler};
use super::spans::{SpanQueue, random};
use crate::clock::{Clock as _, SystemClock};
use crate::record::Micros;

/// The conventions' bounds of durations, in seconds.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The most combinations of attributes that are told apart: routes of a configuration that is reloaded are
/// not bounded by themselves.
const MOST_SERIES: usize = 2000;
/// The methods that the conventions know and that senders use; others are `_OTHER`.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];

/// A request whose head has been read.
pub(crate) struct Begun<'r> {
    pub(crate) method: &'r Method,
    /// The path of the route, if there is one.
    pub(crate) route: Option<&'r str>,
    pub(crate) is_encrypted: bool,
    pub(crate) version: Version,
    pub(crate) traceparent: Option<&'r HeaderValue>,
    /// A probe or a scrape.
    pub(crate) is_watched: bool,
}

/// What requests have in common: attributes of their durations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    method: &'static str,
    scheme: &'static str,
    version: &'static str,
    route: Option<Arc<str>>,
    status: Option<u16>,
}

impl Series {
    fn attributes(&self) -> Attributes {
        let mut attributes = vec![
            text("http.request.method", self.method),
            text("url.scheme", self.scheme),
            text("network.protocol.version", self.version),
        ];
        if let Some(route) = &self.route {
            attributes.push(text("http.route", route.to_string()));
        }
        match self.status {
            Some(status) => {
                attributes.push(int("http.response.status_code", u64::from(status)));
                if status >= 500 {
                    attributes.push(text("error.type", status.to_string()));
                }
            }
            None => attributes.push(text("error.type", NO_ANSWER)),
        }
        attributes
    }
}

/// `error.type` of a request that its client gave up, or that has no answer for another reason.
const NO_ANSWER: &str = "no_answer";

#[derive(Debug, Default)]
struct Counts {
    active: BTreeMap<(&'static str, &'static str), i64>,
    durations: BTreeMap<Series, Durations>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

/// The requests of the process.
#[derive(Debug)]
pub(crate) struct Requests {
    // Held for a few additions, and for a copy at each export.
    counts: Mutex<Counts>,
    spans: Option<(SpanQueue, Sampler)>,
}

impl Requests {
    pub(super) fn new(spans: Option<(SpanQueue, Sampler)>) -> Requests {
        Requests { counts: Mutex::default(), spans }
    }

    /// Takes note of a request. It is over when what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>, begun: &Begun<'_>) -> Request {
        let name = begun.method.as_str();
        let series = Series {
            method: METHODS.into_iter().find(|known| *known == name).unwrap_or("_OTHER"),
            scheme: if begun.is_encrypted { "https" } else { "http" },
            version: match begun.version {
                Version::HTTP_2 => "2",
                Version::HTTP_10 => "1.0",
                _ => "1.1",
            },
            route: begun.route.map(Arc::from),
            status: None,
        };
        *self.counts.lock().active.entry((series.method, series.scheme)).or_default() += 1;
        let has_span = self.spans.is_some() && !begun.is_watched;
        let parent = begun.traceparent.filter(|_| has_span);
        Request {
            requests: Arc::clone(self),
            series,
            began: Instant::now(),
            began_at: SystemClock.now(),
            parent: parent.and_then(|parent| Parent::parse(parent.as_bytes())),
            has_span,
        }
    }

    /// Returns the metrics so far.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let counts = self.counts.lock();
        let active: Vec<_> = counts.active.iter().map(|(key, value)| (*key, *value)).collect();
        let durations: Vec<_> =
            counts.durations.iter().map(|(series, of)| (series.clone(), *of)).collect();
        drop(counts);
        let active = active.into_iter().map(|((method, scheme), count)| {
            let attributes = vec![text("http.request.method", method), text("url.scheme", scheme)];
            (attributes, Number::Int(count))
        });
        let durations = durations.into_iter().map(|(series, of)| {
            let point = Distribution {
                bounds: BOUNDS.to_vec(),
                counts: of.counts.to_vec(),
                sum: of.sum,
                count: of.counts.iter().sum(),
            };
            (series.attributes(), point)
        });
        vec![
            Metric {
                name: "http.server.request.duration".to_owned(),
                description: "Duration of HTTP server requests".to_owned(),
                unit: "s",
                data: Data::Histogram(durations.collect()),
            },
            Metric {
                name: "http.server.active_requests".to_owned(),
                description: "Number of active HTTP server requests".to_owned(),
                unit: "{request}",
                data: Data::Sum { points: active.collect(), is_monotonic: false },
            },
        ]
    }

    fn end(&self, request: &Request) {
        let seconds = request.began.elapsed().as_secs_f64();
        let mut counts = self.counts.lock();
        let series = &request.series;
        if let Some(active) = counts.active.get_mut(&(series.method, series.scheme)) {
            *active -= 1;
        }
        if counts.durations.len() < MOST_SERIES || counts.durations.contains_key(series) {
            let of = counts.durations.entry(series.clone()).or_default();
            let at = BOUNDS.partition_point(|bound| *bound < seconds);
            if let Some(count) = of.counts.get_mut(at) {
                *count += 1;
            }
            of.sum += seconds;
        }
    }

    fn trace(&self, request: &Request, end: Micros) {
        let Some((queue, sampler)) = &self.spans else { return };
        let parent = request.parent;
        let Some(trace) = parent.map(|parent| parent.trace).or_else(random) else { return };
        if !sampler.takes(trace, parent.as_ref()) {
            return;
        }
        let Some(span) = random() else { return };
        let series = &request.series;
        let name = match &series.route {
            Some(route) => Cow::Owned(format!("{} {route}", series.method)),
            None => Cow::Borrowed(series.method),
        };
        let error = match series.status {
            None => Some("there was no answer"),
            Some(status) if status >= 500 => Some("the answer was an error"),
            Some(_) => None,
        };
        queue.put(Span {
            trace,
            span,
            parent: parent.map(|parent| parent.span),
            name,
            kind: Kind::Server,
            begin: request.began_at,
            end,
            attributes: series.attributes(),
            error,
        });
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Request {
    requests: Arc<Requests>,
    series: Series,
    began: Instant,
    began_at: Micros,
    parent: Option<Parent>,
    has_span: bool,
}

impl Request {
    /// Takes note of the answer, and ends.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.series.status = Some(status.as_u16());
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.requests.end(self);
        if self.has_span {
            let us = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(0);
            // By the clock that only goes on: a span never ends before it begins.
            self.requests.trace(self, Micros(self.began_at.0.saturating_add(us)));
        }
    }
}
