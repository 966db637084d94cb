//! One request to the collector.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Certificate, Client, StatusCode};

use super::messages::rejected;
use super::settings::Target;
use crate::error_text::{one_line, shown};

/// The most that is read of an answer, in bytes.
const ANSWER_BYTES: usize = 64 << 10;
/// The longest time to connect. The target's own limits the whole request.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// An export that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The fault, and what to do about it.
    pub(super) why: String,
    /// The same request may succeed later.
    pub(super) is_passing: bool,
}

/// Sends to one target.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    target: Target,
}

impl Sender {
    /// Makes a sender.
    ///
    /// # Errors
    /// The file of certificates cannot be used.
    pub(super) fn new(target: Target) -> Result<Sender, Failure> {
        let lasting = |why| Failure { why, is_passing: false };
        let mut client = Client::builder()
            .timeout(target.timeout)
            .connect_timeout(CONNECT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sessionlake/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &target.certificate {
            let told = |why: String| {
                lasting(format!(
                    "{}: {why}; OTEL_EXPORTER_OTLP_CERTIFICATE names a file of PEM certificates",
                    path.display()
                ))
            };
            let pem = std::fs::read(path).map_err(|error| told(error.to_string()))?;
            let found =
                Certificate::from_pem_bundle(&pem).map_err(|error| told(one_line(&error)))?;
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|error| lasting(one_line(&error)))?;
        Ok(Sender { client, target })
    }

    /// Sends an export. Returns how much of it the collector rejected.
    ///
    /// # Errors
    /// The collector cannot be reached, or did not take it.
    pub(super) async fn send(&self, body: Vec<u8>) -> Result<u64, Failure> {
        let Target { url, headers, gzip, .. } = &self.target;
        let at = self.target.shown();
        let request = self.client.post(url.clone()).headers(headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        let request = match gzip {
            true => request.header(CONTENT_ENCODING, "gzip").body(compressed(&body)),
            false => request.body(body),
        };
        let unreachable = |error: reqwest::Error| Failure {
            why: format!(
                "the collector at {at} does not answer: {}; is OTEL_EXPORTER_OTLP_ENDPOINT right, and \
                 does it listen for OTLP over HTTP (port 4318)?",
                one_line(&error.without_url())
            ),
            is_passing: true,
        };
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(&at, status));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES {
                // It took the request, whatever it says at such length.
                return Ok(0);
            }
            bytes.extend_from_slice(&chunk);
        }
        let (count, why) = rejected(&bytes);
        if count > 0 {
            tracing::warn!("the collector at {at} rejected {count} of an export: {}", shown(&why));
        }
        Ok(count)
    }
}

fn refused(at: &str, status: StatusCode) -> Failure {
    let advice = match status.as_u16() {
        401 | 403 => "check the credentials in OTEL_EXPORTER_OTLP_HEADERS",
        404 | 405 => {
            "OTEL_EXPORTER_OTLP_ENDPOINT is the base, to which /v1/metrics and /v1/traces are added"
        }
        415 => "it has to take http/protobuf",
        429 | 502..=504 => "it is overloaded, or not ready",
        _ => "its log may say why",
    };
    Failure {
        why: format!("the collector at {at} answers {status}: {advice}"),
        // The list of the specification.
        is_passing: matches!(status.as_u16(), 429 | 502..=504),
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // A write into memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
