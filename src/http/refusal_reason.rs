//! Reasons of refusals, as labels of the log and of metrics.

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// Another path.
    NotFound,
    /// Another method.
    Method,
    /// A head that is malformed or too long.
    Head,
    /// A Content-Type that is not taken.
    MediaType,
    /// An encoding that is not taken, not named, or broken.
    Encoding,
    /// A body of another format or charset, or a bulk that cannot be split.
    Format,
    /// Too long, as sent or inflated, or for the journal.
    TooLarge,
    /// A head, a body or the reading of an answer that took too long.
    Timeout,
    /// A body that ended early.
    Interrupted,
    /// Credentials that are missing or wrong.
    Credentials,
    /// Too many wrong credentials.
    FailedAttempts,
    /// An address that may not send here.
    Address,
    /// A web page.
    WebPage,
    /// A host name that is not one of the receiver's.
    Host,
    /// Too many requests in a second.
    Rate,
    /// No memory, turn or connection for the request.
    Capacity,
    /// The journal does not take it.
    Journal,
    /// Too many connections of a peer.
    Connections,
    /// A TLS handshake that failed.
    Tls,
    /// A request for a token that is none of RFC 6749's.
    TokenRequest,
}

impl Reason {
    /// Every reason.
    pub(super) const ALL: [Reason; 20] = [
        Reason::NotFound,
        Reason::Method,
        Reason::Head,
        Reason::MediaType,
        Reason::Encoding,
        Reason::Format,
        Reason::TooLarge,
        Reason::Timeout,
        Reason::Interrupted,
        Reason::Credentials,
        Reason::FailedAttempts,
        Reason::Address,
        Reason::WebPage,
        Reason::Host,
        Reason::Rate,
        Reason::Capacity,
        Reason::Journal,
        Reason::Connections,
        Reason::Tls,
        Reason::TokenRequest,
    ];

    /// Returns the label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Reason::NotFound => "not_found",
            Reason::Method => "method",
            Reason::Head => "head",
            Reason::MediaType => "media_type",
            Reason::Encoding => "encoding",
            Reason::Format => "format",
            Reason::TooLarge => "too_large",
            Reason::Timeout => "timeout",
            Reason::Interrupted => "interrupted",
            Reason::Credentials => "credentials",
            Reason::FailedAttempts => "failed_attempts",
            Reason::Address => "address",
            Reason::WebPage => "web_page",
            Reason::Host => "host",
            Reason::Rate => "rate",
            Reason::Capacity => "capacity",
            Reason::Journal => "journal",
            Reason::Connections => "connections",
            Reason::Tls => "tls",
            Reason::TokenRequest => "token_request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_plain() {
        let mut labels = Reason::ALL.map(Reason::label);
        labels.sort_unstable();
        assert!(labels.windows(2).all(|pair| pair[0] != pair[1]));
        let plain = |label: &str| label.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(labels.iter().all(|label| plain(label)));
    }
}
