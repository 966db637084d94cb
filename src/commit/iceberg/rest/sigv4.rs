//! AWS Signature Version 4, for the catalogs of AWS (Glue, S3 Tables).
//!
//! ```text
//!  canonical request = method ⏎ path ⏎ query ⏎ headers ⏎ names of the headers ⏎ SHA-256 of the body
//!  string to sign    = AWS4-HMAC-SHA256 ⏎ time ⏎ date/region/service/aws4_request ⏎ SHA-256 of it
//!  signature         = HMAC of it, by a key that is derived from secret, date, region and service
//! ```
//! The path is encoded once more for the signature than in the request, as every service but S3 wants it.
//! A signature is of one time: every attempt is signed anew.
//!
//! Format: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use aws_lc_rs::{digest, hmac};
use chrono::DateTime;

use super::names;
use crate::record::Micros;

/// Keys that sign.
#[derive(Clone)]
pub struct Keys {
    /// Name of the access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of keys that are valid for some time.
    pub session_token: Option<String>,
    /// Region of the catalog.
    pub region: String,
    /// `glue` or `s3tables`.
    pub service: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys([hidden])")
    }
}

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// As it is sent, encoded.
    pub(super) path: &'a str,
    /// As it is sent, encoded, without the `?`.
    pub(super) query: &'a str,
    /// Host, with the port if it is not the scheme's.
    pub(super) host: &'a str,
    pub(super) body: &'a [u8],
}

/// Returns the headers that sign `request` at `now`: beside `host`, which the client sends.
pub(super) fn headers(
    keys: &Keys,
    request: Request<'_>,
    now: Micros,
) -> Option<Vec<(&'static str, String)>> {
    let time = DateTime::from_timestamp_micros(now.0)?.format("%Y%m%dT%H%M%SZ").to_string();
    let path = names::encode_again(request.path);
    let mut signed = vec![
        ("host", request.host.to_owned()),
        ("x-amz-content-sha256", sha256_hex(request.body)),
        ("x-amz-date", time.clone()),
    ];
    signed.extend(keys.session_token.clone().map(|token| ("x-amz-security-token", token)));
    let canonical = Request { path: &path, ..request };
    let authorization = authorization(keys, canonical, &time, &signed);
    signed.remove(0);
    signed.push(("authorization", authorization));
    Some(signed)
}

/// Returns the header `authorization` of a request whose path is canonical, with `headers` in the order of
/// their names.
fn authorization(
    keys: &Keys,
    request: Request<'_>,
    time: &str,
    headers: &[(&'static str, String)],
) -> String {
    let date = time.get(..8).unwrap_or_default();
    let scope = format!("{date}/{}/{}/aws4_request", keys.region, keys.service);
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = canonical(request, headers, &names);
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let signature = hex(&mac(&signing_key(keys, date), &to_sign));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        keys.access_key_id
    )
}

fn canonical(request: Request<'_>, headers: &[(&'static str, String)], names: &str) -> String {
    let mut query: Vec<(&str, &str)> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let header = |(name, value): &(&str, String)| {
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        format!("{name}:{}\n", words.join(" "))
    };
    let headers: String = headers.iter().map(header).collect();
    let (method, path, body) = (request.method, request.path, sha256_hex(request.body));
    format!("{method}\n{path}\n{}\n{headers}\n{names}\n{body}", query.join("&"))
}

fn signing_key(keys: &Keys, date: &str) -> Vec<u8> {
    let secret = format!("AWS4{}", keys.secret_access_key).into_bytes();
    let parts = [date, &keys.region, &keys.service, "aws4_request"];
    parts.into_iter().fold(secret, |key, part| mac(&key, part))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "20150830T123600Z";

    fn keys(service: &str) -> Keys {
        Keys {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
        }
    }

    fn request<'a>(method: &'a str, path: &'a str, query: &'a str) -> Request<'a> {
        Request { method, path, query, host: "example.amazonaws.com", body: b"" }
    }

    #[test]
    fn the_example_of_the_documentation_is_signed_as_there() {
        let keys = keys("iam");
        let key = hex(&signing_key(&keys, "20150830"));
        assert_eq!(key, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
        let request = request("GET", "/", "Action=ListUsers&Version=2010-05-08");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
            ("host", "iam.amazonaws.com".to_owned()),
            ("x-amz-date", TIME.to_owned()),
        ];
        let canonical = canonical(request, &headers, "content-type;host;x-amz-date");
        assert_eq!(
            sha256_hex(canonical.as_bytes()),
            "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
        );
        assert_eq!(
            authorization(&keys, request, TIME, &headers),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn the_test_suite_of_aws_is_signed_as_there() {
        let headers =
            [("host", "example.amazonaws.com".to_owned()), ("x-amz-date", TIME.to_owned())];
        for (name, request, signature) in [
            (
                "get-vanilla",
                request("GET", "/", ""),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                request("POST", "/", ""),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "get-vanilla-query-order-key-case",
                request("GET", "/", "Param2=value2&Param1=value1"),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-utf8-query",
                request("GET", "/", "%E1%88%B4=bar"),
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-utf8",
                request("GET", "/%E1%88%B4", ""),
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "get-space",
                request("GET", "/example%20space/", ""),
                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            ),
        ] {
            let header = authorization(&keys("service"), request, TIME, &headers);
            assert_eq!(header.rsplit_once("Signature=").unwrap().1, signature, "{name}");
        }
    }

    #[test]
    fn a_session_token_and_the_body_are_signed() {
        let keys = Keys { session_token: Some("TOKEN".to_owned()), ..keys("s3tables") };
        let now = Micros(1_440_938_160_000_000);
        let body = Request { body: b"{}", ..request("POST", "/iceberg/v1/a%1Fb", "") };
        let signed = headers(&keys, body, now).unwrap();
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let expected =
            ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "authorization"];
        assert_eq!(names, expected);
        assert_eq!(signed[1].1, TIME);
        assert_eq!(signed[0].1, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        let names = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(signed[3].1.contains(names), "{}", signed[3].1);
        // As computed by hmac and hashlib of Python, with the path encoded twice.
        assert!(
            signed[3]
                .1
                .ends_with("e629030d5ca69045ae8ebca9fb21d95aedc7d59cdec5b49ece9d9d44992d02f3"),
            "{}",
            signed[3].1
        );
        assert_eq!(format!("{keys:?}"), "Keys([hidden])");
    }
}
