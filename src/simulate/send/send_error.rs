//! Errors of sending a bulk, explained for somebody who meets them for the first time.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Url;

/// The reason why a bulk was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The answer had another status; with the beginning of its text.
    Status(u16, String),
    /// No answer came in time.
    Timeout(Duration),
    /// The connection was refused.
    Refused,
    /// The host has no address.
    NoHost,
    /// The TLS handshake failed.
    Tls(String),
    /// The connection ended before the answer.
    Closed,
    /// The sender itself dropped the connection, as it was asked to.
    Dropped,
    /// The token could not be fetched.
    Token(String),
    /// Any other error.
    Other(String),
}

impl SendError {
    /// Classifies an error of the HTTP client.
    pub(crate) fn of(error: &reqwest::Error, timeout: Duration) -> SendError {
        if error.is_timeout() {
            return SendError::Timeout(timeout);
        }
        // Of the causes only: the error itself quotes the URL, which may say anything.
        let mut texts = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::ConnectionRefused
            {
                return SendError::Refused;
            }
            texts.push(cause.to_string());
            source = cause.source();
        }
        let all = texts.join(": ");
        if all.is_empty() {
            return SendError::Other(error.to_string());
        }
        let lower = all.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let deepest = texts.pop().unwrap_or_default();
        if says(&["certificate", "tls", "corrupt message", "alert"]) {
            SendError::Tls(deepest)
        } else if says(&["dns error", "failed to lookup", "name or service not known"]) {
            SendError::NoHost
        } else if says(&[
            "connection closed",
            "connection reset",
            "broken pipe",
            "incomplete message",
            "channel closed",
            "stream closed",
            "goaway",
            "go away",
            "invalid http",
            "frame",
        ]) {
            SendError::Closed
        } else {
            SendError::Other(all)
        }
    }

    /// Tells whether trying again is of no use until somebody changes something, provided that nothing
    /// has ever got through.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            SendError::Status(status, _) => !matches!(status, 408 | 429 | 500..),
            SendError::Refused | SendError::NoHost | SendError::Tls(_) | SendError::Token(_) => {
                true
            }
            // The other side speaks something else.
            SendError::Closed => true,
            SendError::Timeout(_) | SendError::Dropped | SendError::Other(_) => false,
        }
    }

    /// Returns the kind, of which the first is logged and all are counted.
    pub(crate) fn kind(&self) -> String {
        match self {
            SendError::Status(status, _) => format!("status {status}"),
            SendError::Timeout(_) => "no answer in time".to_owned(),
            SendError::Refused => "connection refused".to_owned(),
            SendError::NoHost => "unknown host".to_owned(),
            SendError::Tls(_) => "TLS".to_owned(),
            SendError::Closed => "connection closed".to_owned(),
            SendError::Dropped => "dropped on request".to_owned(),
            SendError::Token(_) => "no token".to_owned(),
            SendError::Other(_) => "other".to_owned(),
        }
    }

    /// Returns what happened and what to do.
    pub(crate) fn explain(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        match self {
            SendError::Status(status, said) => {
                let said = match said.trim() {
                    "" => String::new(),
                    said => format!("; it said: {said}"),
                };
                format!("{url} answered {status}{said}\n  {}", status_advice(*status))
            }
            SendError::Timeout(timeout) => format!(
                "{url} gave no answer within {}\n  The exporter cancels a request then and sends \
                 the bulk again. The receiver hangs or is too slow.",
                humantime::format_duration(*timeout)
            ),
            SendError::Refused => format!(
                "nobody listens at {host}, port {port} (connection refused)\n  Is the receiver \
                 running, and is this the port it said at its start? Start one with \
                 `sessionlake serve`."
            ),
            SendError::NoHost => {
                format!("there is no host {host}\n  Is the name in {url} spelled right?")
            }
            SendError::Tls(said) => {
                format!("no TLS with {host}, port {port}: {said}\n  {}", tls_advice(said, url))
            }
            SendError::Closed => {
                let (scheme, other) = match url.scheme() {
                    "https" => ("TLS", "http"),
                    _ => ("no TLS", "https"),
                };
                format!(
                    "{url} closed the connection without an answer\n  Was the receiver stopped? This \
                     URL means {scheme}: does it have to begin with {other}://? With --http 2, does \
                     the receiver speak HTTP/2?"
                )
            }
            SendError::Dropped => "a connection was dropped before its answer, as asked".to_owned(),
            SendError::Token(said) => {
                format!("no access token: {said}\n  Are --oauth-url, the id and the secret right?")
            }
            SendError::Other(said) => format!("{url}: {said}"),
        }
    }
}

fn status_advice(status: u16) -> &'static str {
    match status {
        201..=299 => {
            "The exporter takes nothing but 200 for an acknowledgement: it sends the bulk again \
             and then discards it, although the receiver may have kept it, even several times."
        }
        300..=399 => "The exporter follows no redirects: give the URL that it leads to.",
        400 => "The receiver does not take this body. Is the content type or the form another?",
        401 => {
            "The receiver wants credentials, or other ones: --user NAME:PASSWORD, --bearer TOKEN, \
             or --oauth-url with --client-id and --client-secret."
        }
        403 => "The receiver knows who this is and does not let it in.",
        404 => {
            "There is nothing at this path. The receiver says its URL at the start; the \
             documented one ends in /export/events."
        }
        405 => "This path does not take the method: try --method POST, or PUT.",
        408 => "The body took longer than the receiver waits.",
        413 => "The body is larger than the receiver takes.",
        415 => "The receiver does not take this content type: see --content-type.",
        429 | 503 => "The receiver is full or busy, and asks for a pause.",
        500..=599 => "Something is wrong at the receiver: its log will say what.",
        _ => "The exporter takes nothing but 200 for an acknowledgement.",
    }
}

fn tls_advice(said: &str, url: &Url) -> String {
    let lower = said.to_lowercase();
    let has = |word: &str| lower.contains(word);
    if has("corrupt message") || has("invalidcontenttype") || has("unexpected eof") {
        "This port speaks no TLS: does the URL begin with http:// rather?".to_owned()
    } else if has("unknownissuer") || has("unknown issuer") || has("unable to get local issuer") {
        "Its certificate is signed by nobody whom this machine trusts. Give the certificate of \
         the authority, or a self-signed one itself, by --ca FILE."
            .to_owned()
    } else if has("badsignature") || has("bad signature") {
        "It names an authority as --ca has it, and another one has signed it: the file of --ca is \
         of an older or another certificate. Take the one that the receiver has now."
            .to_owned()
    } else if has("notvalidforname") || has("not valid for name") || has("not valid for") {
        format!("Its certificate is for another name than {}.", url.host_str().unwrap_or_default())
    } else if has("expired") {
        "Its certificate has expired.".to_owned()
    } else if has("certificaterequired") || has("certificate required") {
        "It asks the sender for a certificate, which the exporter has none of.".to_owned()
    } else {
        "The receiver's certificate, its name and its authority are worth a look.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_come_with_advice() {
        let url = Url::parse("http://localhost:3000/export/event").unwrap();
        let explained = |status| SendError::Status(status, "no\n".into()).explain(&url);
        assert!(explained(204).contains("nothing but 200"));
        assert!(explained(401).contains("--bearer"));
        assert!(explained(404).contains("ends in /export/events"));
        assert!(explained(302).contains("redirects"));
        assert!(
            explained(404)
                .starts_with("http://localhost:3000/export/event answered 404; it said: no\n")
        );
    }

    #[test]
    fn another_certificate_of_the_same_name_comes_with_advice() {
        let url = Url::parse("https://localhost:3000/export/events").unwrap();
        let explained =
            SendError::Tls("invalid peer certificate: BadSignature".into()).explain(&url);
        assert!(explained.contains("--ca"), "{explained}");
    }

    #[test]
    fn what_may_pass_is_no_lasting_error() {
        for passing in [408, 429, 500, 503] {
            assert!(!SendError::Status(passing, String::new()).is_lasting(), "{passing}");
        }
        for lasting in [201, 204, 301, 401, 404, 413] {
            assert!(SendError::Status(lasting, String::new()).is_lasting(), "{lasting}");
        }
    }
}
