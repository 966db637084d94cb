//! Which requests have a span: `OTEL_TRACES_SAMPLER`.

/// What a request says of the trace that it belongs to: `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent`. Returns `None` for one that is wrong, as the specification asks.
    pub(super) fn parse(text: &[u8]) -> Option<Parent> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next()?)?;
        let (trace, span, [flags]) =
            (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?, hex::<1>(parts.next()?)?);
        let is_whole = parts.next().is_none() || version != [0];
        let is_known = version != [0xff] && trace != [0; 16] && span != [0; 8];
        (is_whole && is_known).then_some(Parent { trace, span, is_sampled: flags & 1 == 1 })
    }
}

/// Reads `N` bytes of small hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// A sampler: a share of all traces, and whether a request's own trace decides first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    share: f64,
    follows_parent: bool,
}

impl Sampler {
    /// The specification's default: all, unless the caller says otherwise.
    pub(super) const USUAL: Sampler = Sampler { share: 1.0, follows_parent: true };

    /// Reads the name of a sampler and its argument.
    ///
    /// # Errors
    /// The reason for which they cannot be used.
    pub(super) fn parse(name: &str, argument: Option<&str>) -> Result<Sampler, String> {
        let (of, follows_parent) = match name.strip_prefix("parentbased_") {
            Some(of) => (of, true),
            None => (name, false),
        };
        let share = match of {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => {
                let share = argument.map_or(Ok(1.0), str::parse::<f64>).ok();
                let share = share.filter(|share| (0.0..=1.0).contains(share));
                share.ok_or("its argument OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1")?
            }
            _ => {
                return Err("it is none of always_on, always_off, traceidratio, and these with \
                            parentbased_ before them"
                    .to_owned());
            }
        };
        Ok(Sampler { share, follows_parent })
    }

    /// Returns whether traces that begin here may be taken.
    pub(super) fn takes_any(self) -> bool {
        self.share > 0.0
    }

    /// Returns whether the trace is taken. All who ask about one trace get the same answer.
    pub(super) fn takes(self, trace: [u8; 16], parent: Option<&Parent>) -> bool {
        if let Some(parent) = parent
            && self.follows_parent
        {
            return parent.is_sampled;
        }
        let [.., a, b, c, d, e, f, g, h] = trace;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        self.share >= 1.0 || (number as f64) < self.share * (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_taken_whole_or_not_at_all() {
        let parent = Parent::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((parent.trace[0], parent.span[7], parent.is_sampled), (0x4b, 0xb7, true));
        assert!(
            Parent::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-x").is_some()
        );
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let more = format!("{GOOD}-x");
        for wrong in [
            "",
            "00",
            &GOOD[1..],
            zeros,
            &GOOD.to_uppercase(),
            &more,
            &GOOD.replacen("00", "ff", 1),
        ] {
            assert_eq!(Parent::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Parent::parse(b"\xff\xfe"), None);
    }

    #[test]
    fn samplers_take_their_share_and_follow_a_parent_when_they_say_so() {
        let parent = Parent::parse(GOOD.as_bytes()).unwrap();
        let unsampled = Parent { is_sampled: false, ..parent };
        let of = |name, argument| Sampler::parse(name, argument).unwrap();
        let (low, high) = ([0; 16], [0xff; 16]);
        assert!(of("always_on", None).takes(high, Some(&unsampled)));
        assert!(!of("parentbased_always_on", None).takes(high, Some(&unsampled)));
        assert!(!of("always_off", None).takes(low, Some(&parent)));
        assert!(of("parentbased_always_off", None).takes(low, Some(&parent)));
        assert!(!of("parentbased_always_off", None).takes_any());
        let half = of("traceidratio", Some("0.5"));
        assert!(half.takes(low, None) && !half.takes(high, None));
        assert!(of("traceidratio", None).takes(high, None));
        for (name, argument) in [("jaeger_remote", None), ("traceidratio", Some("2")), ("", None)] {
            assert!(Sampler::parse(name, argument).is_err(), "{name}");
        }
    }
}
