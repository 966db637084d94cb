//! Faults on request: those of networks, proxies and exporters.

use super::generate::Random;

/// The share of bulks that have each fault, in parts of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The connection is dropped after the body was sent, before the answer: a retry that follows
    /// a success.
    pub drop_ppm: u32,
    /// The body is sent slowly.
    pub slow_ppm: u32,
    /// The bulk has one line more, which is no document.
    pub broken_ppm: u32,
    /// The bulk is sent again although it was acknowledged.
    pub repeat_ppm: u32,
}

impl Faults {
    /// Parses `drop=1%,slow=0.5%`; a name alone is 1 %, `all` is every fault.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Faults, String> {
        let mut faults = Faults::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, share) = part.split_once('=').unwrap_or((part, "1%"));
            let ppm = share_ppm(share)?;
            match name.trim() {
                "drop" => faults.drop_ppm = ppm,
                "slow" => faults.slow_ppm = ppm,
                "broken" => faults.broken_ppm = ppm,
                "repeat" => faults.repeat_ppm = ppm,
                "all" => {
                    faults =
                        Faults { drop_ppm: ppm, slow_ppm: ppm, broken_ppm: ppm, repeat_ppm: ppm }
                }
                other => {
                    return Err(format!("{other:?} is none of drop, slow, broken, repeat and all"));
                }
            }
        }
        Ok(faults)
    }

    /// Draws the faults of the next bulk.
    pub(crate) fn plan(&self, random: &mut Random) -> BulkFaults {
        BulkFaults {
            drop: random.chance(self.drop_ppm),
            slow: random.chance(self.slow_ppm),
            broken: random.chance(self.broken_ppm),
            repeat: random.chance(self.repeat_ppm),
        }
    }
}

/// Parses `1%`, `0.25 %` or `0.0025` into parts of a million.
///
/// # Errors
/// Says what is wrong with the text.
pub fn share_ppm(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 10_000.0),
        None => (text, 1_000_000.0),
    };
    match number.parse::<f64>().map(|number| number * whole) {
        Ok(ppm) if (0.0..=1_000_000.0).contains(&ppm) => Ok(ppm.round() as u32),
        _ => Err(format!("{text:?} is no share, such as 1% or 0.01")),
    }
}

/// The faults of one bulk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BulkFaults {
    pub(crate) drop: bool,
    pub(crate) slow: bool,
    pub(crate) broken: bool,
    pub(crate) repeat: bool,
}

/// Returns a line that is no document, with its line feed; of several kinds, in turn.
pub(crate) fn broken_line(number: u64) -> &'static [u8] {
    const LINES: [&[u8]; 5] = [
        b"{\"tenantId\":\"broken\",\"userSessionId\":\"cut off in the mid\n",
        b"<html>502 Bad Gateway</html>\n",
        b"{\"userSessionId\":\"\xff\xfe not UTF-8\"}\n",
        b"42\n",
        b"{\"startTime\":1622107543233,}\n",
    ];
    LINES[(number % LINES.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        assert_eq!(share_ppm("1%"), Ok(10_000));
        assert_eq!(share_ppm(" 0.25 % "), Ok(2_500));
        assert_eq!(share_ppm("0.5"), Ok(500_000));
        for wrong in ["", "%", "101%", "-1%", "many", "nan"] {
            assert!(share_ppm(wrong).is_err(), "{wrong:?} passed");
        }
    }

    #[test]
    fn faults_are_read() {
        let faults = Faults::parse("drop=2%,slow").unwrap();
        let expected = Faults { drop_ppm: 20_000, slow_ppm: 10_000, ..Faults::default() };
        assert_eq!(faults, expected);
        let all = Faults::parse("all=3%,repeat=0%").unwrap();
        assert_eq!((all.broken_ppm, all.repeat_ppm), (30_000, 0));
        assert!(Faults::parse("droop").is_err());
    }
}
