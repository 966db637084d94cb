//! The `OTEL_…` variables of the OpenTelemetry specification that are read.
//!
//! A value that cannot be used is told of, and the default is used, as the specification asks; where there
//! is none, the signal is not exported. Their values may be secrets, and are not repeated.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::sampler::Sampler;
use crate::error_text::shown;

/// Where a signal goes to, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    /// A file of certificates to trust besides the system's.
    pub(super) certificate: Option<PathBuf>,
}

impl Target {
    /// Returns the URL without a name and a password.
    pub(super) fn shown(&self) -> String {
        shown(self.url.as_str())
    }
}

/// How spans are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batches {
    pub(super) most: usize,
    pub(super) delay: Duration,
}

/// What the variables ask for.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) metrics: Option<(Target, Duration)>,
    pub(super) traces: Option<(Target, Batches)>,
    /// Attributes of the resource, `service.name` among them.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    /// Spans that may wait.
    pub(super) queue: usize,
    /// What is wrong with the variables, as lines of the log.
    pub(super) problems: Vec<String>,
}

impl Settings {
    /// Reads the variables.
    pub(super) fn read<'v>(variable: impl Fn(&str) -> Option<&'v OsStr>) -> Settings {
        let mut reader = Reader { variable, problems: Vec::new() };
        let is_off =
            reader.text("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let mut target = |signal: &str, path: &str| match is_off {
            true => None,
            false => reader.target(signal, path),
        };
        let (metrics, traces) = (target("METRICS", "v1/metrics"), target("TRACES", "v1/traces"));
        if metrics.is_none() && traces.is_none() {
            // Variables that only an export would need are nobody's trouble.
            let problems = reader.problems;
            return Settings { problems, ..Settings::off() };
        }
        let every = reader.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000);
        let queue = reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048).clamp(1, 1 << 16);
        let most = reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).clamp(1, queue);
        let delay = reader.millis("OTEL_BSP_SCHEDULE_DELAY", 5000);
        Settings {
            metrics: metrics.map(|target| (target, every)),
            traces: traces.map(|target| (target, Batches { most, delay })),
            resource: reader.resource(),
            sampler: reader.sampler(),
            queue,
            problems: reader.problems,
        }
    }

    fn off() -> Settings {
        Settings {
            metrics: None,
            traces: None,
            resource: Vec::new(),
            sampler: Sampler::USUAL,
            queue: 1,
            problems: Vec::new(),
        }
    }
}

struct Reader<F> {
    variable: F,
    problems: Vec<String>,
}

impl<'v, F: Fn(&str) -> Option<&'v OsStr>> Reader<F> {
    fn text(&mut self, name: &str) -> Option<String> {
        let value = (self.variable)(name)?;
        match value.to_str() {
            Some(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            None => {
                self.problems.push(format!("{name} is not UTF-8 and is ignored"));
                None
            }
        }
    }

    /// Returns the name and value of the signal's own variable, or of the one for all signals.
    fn of_exporter(&mut self, signal: &str, what: &str) -> Option<(String, String)> {
        let names =
            [format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.text(&name).map(|value| (name, value)))
    }

    fn target(&mut self, signal: &str, path: &str) -> Option<Target> {
        let exporter = format!("OTEL_{signal}_EXPORTER");
        match self.text(&exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(_) => {
                self.problems.push(format!(
                    "{exporter} is neither otlp nor none: {} are not exported",
                    signal.to_lowercase()
                ));
                return None;
            }
        }
        let (name, text) = self.of_exporter(signal, "ENDPOINT")?;
        let url = Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|h| !h.is_empty())
        });
        let Some(mut url) = url else {
            self.problems.push(format!(
                "{name} is no URL of http or https: {} are not exported; an example is \
                 http://localhost:4318",
                signal.to_lowercase()
            ));
            return None;
        };
        // The variable for all signals has the base; that of a signal is taken as it is.
        if !name.contains(signal) {
            let base = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{base}/{path}"));
        }
        if let Some((name, protocol)) = self.of_exporter(signal, "PROTOCOL")
            && protocol != "http/protobuf"
        {
            self.problems.push(format!(
                "{name} is not http/protobuf, the one protocol that is spoken: {} are not exported; \
                 collectors take it at port 4318",
                signal.to_lowercase()
            ));
            return None;
        }
        let timeout = self.of_exporter(signal, "TIMEOUT");
        let timeout = self.parsed(timeout, 10_000_u64).max(1);
        let compression = self.of_exporter(signal, "COMPRESSION");
        let gzip = match compression.as_ref().map(|(_, value)| value.as_str()) {
            None | Some("none") => false,
            Some("gzip") => true,
            Some(_) => {
                let name = compression.map(|(name, _)| name).unwrap_or_default();
                self.problems.push(format!("{name} is neither gzip nor none, and is ignored"));
                false
            }
        };
        Some(Target {
            url,
            headers: self.headers(signal),
            timeout: Duration::from_millis(timeout),
            gzip,
            certificate: self.of_exporter(signal, "CERTIFICATE").map(|(_, path)| path.into()),
        })
    }

    fn headers(&mut self, signal: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.of_exporter(signal, "HEADERS") else { return headers };
        for (key, value) in self.pairs(&name, &text) {
            let key = HeaderName::from_str(&key).ok();
            let value = HeaderValue::from_str(&value).ok();
            match key.zip(value) {
                Some((key, mut value)) => {
                    value.set_sensitive(true);
                    headers.append(key, value);
                }
                None => self.problems.push(format!("{name} has a header that cannot be sent")),
            }
        }
        headers
    }

    fn resource(&mut self) -> Vec<(String, String)> {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let text = self.text(name).unwrap_or_default();
        let mut pairs = self.pairs(name, &text);
        if let Some(service) = self.text("OTEL_SERVICE_NAME") {
            pairs.retain(|(key, _)| key != "service.name");
            pairs.push(("service.name".to_owned(), service));
        }
        for (key, value) in
            [("service.name", "sessionlake"), ("service.version", env!("CARGO_PKG_VERSION"))]
        {
            if !pairs.iter().any(|(given, _)| given == key) {
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        pairs
    }

    /// Reads `key=value,key=value`, values percent-encoded.
    fn pairs(&mut self, name: &str, text: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let read = pair.split_once('=').and_then(|(key, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                Some((key.trim().to_owned(), value.into_owned())).filter(|(key, _)| !key.is_empty())
            });
            match read {
                Some(pair) => pairs.push(pair),
                None => self.problems.push(format!(
                    "{name} is to be key=value,key=value, each value percent-encoded: a part of it is \
                     ignored"
                )),
            }
        }
        pairs
    }

    fn sampler(&mut self) -> Sampler {
        let Some(name) = self.text("OTEL_TRACES_SAMPLER") else { return Sampler::USUAL };
        let argument = self.text("OTEL_TRACES_SAMPLER_ARG");
        Sampler::parse(&name, argument.as_deref()).unwrap_or_else(|why| {
            self.problems.push(format!(
                "OTEL_TRACES_SAMPLER is not used: {why}; parentbased_always_on is used"
            ));
            Sampler::USUAL
        })
    }

    fn parsed<T: FromStr>(&mut self, given: Option<(String, String)>, default: T) -> T {
        let Some((name, text)) = given else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problems.push(format!("{name} is no whole number, and is ignored"));
            default
        })
    }

    fn number(&mut self, name: &str, default: usize) -> usize {
        let given = self.text(name).map(|text| (name.to_owned(), text));
        self.parsed(given, default)
    }

    fn millis(&mut self, name: &str, default: usize) -> Duration {
        let ms = self.number(name, default).clamp(10, 86_400_000);
        Duration::from_millis(ms as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &'static str)]) -> Settings {
        Settings::read(|name| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| OsStr::new(*value))
        })
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported_or_told() {
        let settings = read(&[("OTEL_TRACES_SAMPLER", "x"), ("OTEL_SERVICE_NAME", "s")]);
        assert!(settings.metrics.is_none() && settings.traces.is_none());
        assert_eq!(settings.problems, [""; 0]);
        let off = read(&[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
        ]);
        assert!(off.metrics.is_none() && off.traces.is_none());
    }

    #[test]
    fn the_base_gets_the_paths_and_a_signals_own_url_stays() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318/base/"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other/spans"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Api-Token%20abc%3D, x-y = z "),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "250"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,deployment.environment.name=b%2Cc"),
            ("OTEL_SERVICE_NAME", "lake"),
        ]);
        assert_eq!(settings.problems, [""; 0]);
        let (metrics, every) = settings.metrics.unwrap();
        let (traces, batches) = settings.traces.unwrap();
        assert_eq!(metrics.url.as_str(), "https://collector:4318/base/v1/metrics");
        assert_eq!(traces.url.as_str(), "http://other/spans");
        assert_eq!(metrics.headers["authorization"], "Api-Token abc=");
        assert_eq!(metrics.headers["x-y"], "z");
        assert!(!format!("{:?}", metrics.headers).contains("abc"));
        assert_eq!(
            (traces.headers.len(), &traces.headers["a"]),
            (1, &HeaderValue::from_static("b"))
        );
        assert!(metrics.gzip && traces.gzip);
        assert_eq!(metrics.timeout, Duration::from_millis(250));
        assert_eq!(traces.timeout, Duration::from_secs(10));
        assert_eq!((every, batches.most), (Duration::from_secs(1), 512));
        let of = |key: &str| settings.resource.iter().find(|(k, _)| k == key).map(|(_, v)| &**v);
        assert_eq!(of("service.name"), Some("lake"));
        assert_eq!(of("deployment.environment.name"), Some("b,c"));
        assert_eq!(of("service.version"), Some(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_its_value() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let grpc = read(&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(grpc.metrics.is_none() && grpc.traces.is_none());
        assert!(grpc.problems[0].contains("4318"), "{:?}", grpc.problems);
        let traces_only = read(&[base, ("OTEL_METRICS_EXPORTER", "none")]);
        assert!(traces_only.metrics.is_none() && traces_only.traces.is_some());
        let wrong = read(&[
            base,
            ("OTEL_EXPORTER_OTLP_HEADERS", "SECRET"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "SECRET"),
            ("OTEL_TRACES_SAMPLER", "SECRET"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=SECRET"),
        ]);
        assert!(wrong.metrics.is_some());
        assert_eq!(wrong.problems.len(), 6, "{:?}", wrong.problems);
        assert!(wrong.problems.iter().all(|p| !p.contains("SECRET") && p.contains("OTEL_")));
        let no_url = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")]);
        assert!(no_url.metrics.is_none() && no_url.problems.len() == 2, "{:?}", no_url.problems);
    }
}
