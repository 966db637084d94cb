//! The end of a certificate's validity, read from its DER (RFC 5280, 4.1).
//!
//! rustls checks certificates of peers and does not tell when its own expires. What is read here is
//! shown and decides nothing.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime};

use crate::record::Micros;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Returns the time at which a certificate expires; none if it cannot be read.
pub(super) fn expires(certificate: &[u8]) -> Option<Micros> {
    let (mut certificate, _) = value(SEQUENCE, certificate)?;
    let (mut body, _) = value(SEQUENCE, std::mem::take(&mut certificate))?;
    if let Some((_, rest)) = value(VERSION, body) {
        body = rest;
    }
    // Serial number, signature algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, body) = value(tag, body)?;
    }
    let (validity, _) = value(SEQUENCE, body)?;
    let (_, rest) = time(validity)?;
    let (expires, _) = time(rest)?;
    Some(Micros(expires.and_utc().timestamp_micros()))
}

/// Splits the value with the tag `tag` off the front of `der`.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first != tag {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // The number of bytes that hold the length.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Splits a time off the front of `der`.
fn time(der: &[u8]) -> Option<(NaiveDateTime, &[u8])> {
    let (format, (text, rest)) = match der.first()? {
        &UTC_TIME => ("%y%m%d%H%M%SZ", value(UTC_TIME, der)?),
        _ => ("%Y%m%d%H%M%SZ", value(GENERALIZED_TIME, der)?),
    };
    let time = NaiveDateTime::parse_from_str(std::str::from_utf8(text).ok()?, format).ok()?;
    let date = match time.year() {
        // Two digits from 50 on are of the last century here, and from 69 on to chrono.
        year @ 2050..2069 if format.starts_with("%y") => {
            NaiveDate::from_ymd_opt(year - 100, time.month(), time.day())?
        }
        _ => time.date(),
    };
    Some((date.and_time(time.time()), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_of_certificates_of_both_forms_of_time_is_read() {
        for (year, expected) in [(2031, "2031-02-03"), (2049, "2049-02-03"), (2731, "2731-02-03")] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 2, 3);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let expires = expires(certificate.der()).and_then(Micros::rfc3339).unwrap();
            assert!(expires.starts_with(expected), "{expires}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        for length in 0..whole.len() {
            let _ = expires(&whole[..length]);
        }
        assert_eq!(expires(b""), None);
        assert_eq!(expires(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(expires(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
