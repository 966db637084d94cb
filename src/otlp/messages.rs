//! The messages of OTLP 1: `ExportMetricsServiceRequest` and `ExportTraceServiceRequest`. The numbers are
//! those of opentelemetry-proto, which do not change.

use std::borrow::Cow;

use super::wire::{Fields, Message, Value as Field};
use crate::record::Micros;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Text(Cow<'static, str>),
    Int(i64),
}

pub(super) type Attributes = Vec<(Cow<'static, str>, Value)>;

/// Makes an attribute of a text.
pub(super) fn text(
    key: &'static str,
    value: impl Into<Cow<'static, str>>,
) -> (Cow<'static, str>, Value) {
    (Cow::Borrowed(key), Value::Text(value.into()))
}

/// Makes an attribute of a number.
pub(super) fn int(key: &'static str, value: u64) -> (Cow<'static, str>, Value) {
    (Cow::Borrowed(key), Value::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A metric with its points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: &'static str,
    pub(super) data: Data,
}

/// The points of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Gauge(Vec<(Attributes, Number)>),
    Sum { points: Vec<(Attributes, Number)>, is_monotonic: bool },
    Histogram(Vec<(Attributes, Distribution)>),
}

/// The value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Double(f64),
}

/// The value of a point of a histogram: `counts` has one more than `bounds`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Distribution {
    pub(super) bounds: Vec<f64>,
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) begin: Micros,
    pub(super) end: Micros,
    pub(super) attributes: Attributes,
    /// What failed, in words of ours.
    pub(super) error: Option<&'static str>,
}

/// Who exports: the attributes of the resource.
pub(super) type Resource = [(String, String)];

/// Returns the request that exports `metrics`, counted from `since` to `now`.
pub(super) fn export_metrics(
    resource: &Resource,
    metrics: &[Metric],
    since: Micros,
    now: Micros,
) -> Vec<u8> {
    export(resource, |scope| {
        for metric in metrics {
            scope.message(2, |m| write_metric(m, metric, since, now));
        }
    })
}

/// Returns the request that exports `spans`.
pub(super) fn export_spans(resource: &Resource, spans: &[Span]) -> Vec<u8> {
    export(resource, |scope| {
        for span in spans {
            scope.message(2, |m| write_span(m, span));
        }
    })
}

/// Returns what a collector rejected of a request, and its reason, by its answer.
pub(super) fn rejected(answer: &[u8]) -> (u64, String) {
    let (mut count, mut why) = (0, String::new());
    for field in Fields(answer) {
        let (1, Field::Bytes(partial)) = field else { continue };
        for field in Fields(partial) {
            match field {
                (1, Field::Number(rejected)) => count = rejected,
                (2, Field::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
    }
    (count, why)
}

/// Both requests are a resource, a scope, and what is in it.
fn export(resource: &Resource, scope: impl FnOnce(&mut Message)) -> Vec<u8> {
    Message::of(|request| {
        request.message(1, |of_resource| {
            of_resource.message(1, |m| {
                for (key, value) in resource {
                    write_attribute(m, 1, key, |m| m.member_text(1, value));
                }
            });
            of_resource.message(2, |of_scope| {
                of_scope.message(1, |m| {
                    m.text(1, "sessionlake");
                    m.text(2, env!("CARGO_PKG_VERSION"));
                });
                scope(of_scope);
            });
        });
    })
}

fn write_attribute(m: &mut Message, field: u32, key: &str, value: impl FnOnce(&mut Message)) {
    m.message(field, |m| {
        m.text(1, key);
        m.message(2, value);
    });
}

fn write_attributes(m: &mut Message, field: u32, attributes: &Attributes) {
    for (key, value) in attributes {
        write_attribute(m, field, key, |m| match value {
            Value::Text(text) => m.member_text(1, text),
            Value::Int(number) => m.number(3, *number as u64),
        });
    }
}

fn write_metric(m: &mut Message, metric: &Metric, since: Micros, now: Micros) {
    m.text(1, &metric.name);
    m.text(2, &metric.description);
    m.text(3, metric.unit);
    match &metric.data {
        Data::Gauge(points) => m.message(5, |m| {
            for (attributes, value) in points {
                m.message(1, |m| write_number(m, attributes, *value, None, now));
            }
        }),
        Data::Sum { points, is_monotonic } => m.message(7, |m| {
            for (attributes, value) in points {
                m.message(1, |m| write_number(m, attributes, *value, Some(since), now));
            }
            m.number(2, CUMULATIVE);
            if *is_monotonic {
                m.number(3, 1);
            }
        }),
        Data::Histogram(points) => m.message(9, |m| {
            for (attributes, value) in points {
                m.message(1, |m| write_distribution(m, attributes, value, since, now));
            }
            m.number(2, CUMULATIVE);
        }),
    }
}

fn write_number(
    m: &mut Message,
    attributes: &Attributes,
    value: Number,
    since: Option<Micros>,
    now: Micros,
) {
    if let Some(since) = since {
        m.fixed(2, nanoseconds(since));
    }
    m.fixed(3, nanoseconds(now));
    match value {
        Number::Double(value) => m.double(4, value),
        Number::Int(value) => m.fixed(6, value as u64),
    }
    write_attributes(m, 7, attributes);
}

fn write_distribution(
    m: &mut Message,
    attributes: &Attributes,
    value: &Distribution,
    since: Micros,
    now: Micros,
) {
    m.fixed(2, nanoseconds(since));
    m.fixed(3, nanoseconds(now));
    m.fixed(4, value.count);
    m.double(5, value.sum);
    m.packed(6, value.counts.iter().copied());
    m.packed(7, value.bounds.iter().map(|bound| bound.to_bits()));
    write_attributes(m, 9, attributes);
}

fn write_span(m: &mut Message, span: &Span) {
    m.bytes(1, &span.trace);
    m.bytes(2, &span.span);
    if let Some(parent) = &span.parent {
        m.bytes(4, parent);
    }
    m.text(5, &span.name);
    m.number(6, span.kind as u64);
    m.fixed(7, nanoseconds(span.begin));
    m.fixed(8, nanoseconds(span.end));
    write_attributes(m, 9, &span.attributes);
    if let Some(error) = span.error {
        m.message(15, |m| {
            m.text(2, error);
            m.number(3, ERROR);
        });
    }
}

fn nanoseconds(at: Micros) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1000)
}
