//! Shapes: what a body is made of, as text.
//!
//! A shape is a line of five fields with tabs between:
//! `FORM  SETUP  BEFORE  UNIT  AFTER`. A body is `BEFORE`, then `UNIT` once and again until the body has
//! its bytes, then `AFTER`. In the three templates printable ASCII stands for itself and:
//!
//! | text | bytes |
//! |---|---|
//! | `⏎` | a line feed |
//! | `«n»` | a number that is another one each time |
//! | `«day»` | milliseconds of a day that is another one each time, towards the year 9999 |
//! | `«near»` | milliseconds of one of the 400 days before today |
//! | `«now»` | milliseconds of now |
//! | `«noise»` | 16 hexadecimal digits that look random |
//! | `«x00ff»` | the bytes in hexadecimal digits |
//! | `«100×…»` | the template between, so many times |

use std::fmt;

/// Days from 2026 to 9999.
const FAR_DAYS: u64 = 2_900_000;
const DAY_MS: u64 = 86_400_000;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Byte(u8),
    Number,
    Day,
    Near,
    Now,
    Noise,
    Times(u32, Vec<Node>),
}

/// The form in which a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Ndjson,
    Elasticsearch,
}

/// The settings of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// As they come.
    Plain,
    /// With rules of privacy: columns are hashed and cut, rejected lines sealed.
    Sealed,
    /// Partitions by a text of the sender's.
    ByCountry,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    pub(crate) setup: Setup,
    pub(crate) before: Vec<Node>,
    pub(crate) unit: Vec<Node>,
    pub(crate) after: Vec<Node>,
}

impl Shape {
    /// Reads a shape. `None` if the line has none.
    pub(crate) fn parse(line: &str) -> Option<Shape> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [form, setup, before, unit, after] = fields[..] else { return None };
        let form = match form {
            "ndjson" => Form::Ndjson,
            "elasticsearch" => Form::Elasticsearch,
            _ => return None,
        };
        let setup = match setup {
            "plain" => Setup::Plain,
            "sealed" => Setup::Sealed,
            "by country" => Setup::ByCountry,
            _ => return None,
        };
        let [before, unit, after] = [before, unit, after].map(template);
        let unit = unit.filter(|unit| !unit.is_empty())?;
        Some(Shape { form, setup, before: before?, unit, after: after? })
    }

    /// Makes a body of about `size` bytes. `now_ms` is the time.
    pub(crate) fn body(&self, size: usize, now_ms: u64) -> Vec<u8> {
        let mut out = Output { bytes: Vec::with_capacity(size + 64), size, counter: 0, now_ms };
        out.all(&self.before);
        let reserved = 1 + self.after.len();
        loop {
            let before = out.bytes.len();
            out.all(&self.unit);
            if out.bytes.len() == before || out.bytes.len() + reserved >= size {
                break;
            }
        }
        out.size = usize::MAX;
        out.all(&self.after);
        // The form asks for it, and no other does anything else with it.
        if self.form == Form::Elasticsearch && !out.bytes.ends_with(b"\n") {
            out.bytes.push(b'\n');
        }
        out.bytes
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Ndjson => "ndjson",
            Form::Elasticsearch => "elasticsearch",
        };
        let setup = match self.setup {
            Setup::Plain => "plain",
            Setup::Sealed => "sealed",
            Setup::ByCountry => "by country",
        };
        let [before, unit, after] = [&self.before, &self.unit, &self.after].map(|n| text(n));
        write!(f, "{form}\t{setup}\t{before}\t{unit}\t{after}")
    }
}

/// A body that is being made.
struct Output {
    bytes: Vec<u8>,
    size: usize,
    counter: u64,
    now_ms: u64,
}

impl Output {
    fn all(&mut self, nodes: &[Node]) {
        nodes.iter().for_each(|node| self.one(node));
    }

    fn one(&mut self, node: &Node) {
        self.counter += u64::from(!matches!(node, Node::Byte(_) | Node::Times(..)));
        match node {
            Node::Byte(byte) => self.bytes.push(*byte),
            Node::Number => self.bytes.extend(self.counter.to_string().bytes()),
            Node::Day => {
                let day = self.now_ms + self.counter % FAR_DAYS * DAY_MS;
                self.bytes.extend(day.to_string().bytes());
            }
            Node::Near => {
                let day = self.now_ms - self.counter % 400 * DAY_MS;
                self.bytes.extend(day.to_string().bytes());
            }
            Node::Now => self.bytes.extend(self.now_ms.to_string().bytes()),
            Node::Noise => {
                self.bytes.extend(format!("{:016x}", mixed(self.counter)).bytes());
            }
            Node::Times(times, nodes) => {
                for _ in 0..*times {
                    if self.bytes.len() >= self.size {
                        return;
                    }
                    self.all(nodes);
                }
            }
        }
    }
}

/// Splitmix's step.
pub(crate) fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Reads a template.
pub(crate) fn template(text: &str) -> Option<Vec<Node>> {
    let mut rest = text;
    let nodes = nodes(&mut rest)?;
    rest.is_empty().then_some(nodes)
}

/// Reads nodes up to the end or a `»` that closes what is around them.
fn nodes(rest: &mut &str) -> Option<Vec<Node>> {
    let mut out = Vec::new();
    while let Some(next) = rest.chars().next() {
        if next == '»' {
            break;
        }
        *rest = &rest[next.len_utf8()..];
        match next {
            '⏎' => out.push(Node::Byte(b'\n')),
            '«' => out.extend(token(rest)?),
            ' '..='~' => out.push(Node::Byte(u8::try_from(next).ok()?)),
            _ => return None,
        }
    }
    Some(out)
}

/// Reads a token whose `«` was read.
fn token(rest: &mut &str) -> Option<Vec<Node>> {
    let end = rest.find(['×', '»'])?;
    let (word, after) = rest.split_at(end);
    if let Some(mut inner) = after.strip_prefix('×') {
        let inside = nodes(&mut inner)?;
        *rest = inner.strip_prefix('»')?;
        return Some(vec![Node::Times(word.parse().ok()?, inside)]);
    }
    *rest = after.strip_prefix('»')?;
    Some(match word {
        "n" => vec![Node::Number],
        "day" => vec![Node::Day],
        "near" => vec![Node::Near],
        "now" => vec![Node::Now],
        "noise" => vec![Node::Noise],
        _ => {
            let digits = word.strip_prefix('x')?;
            let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2));
            let byte = |pair: Option<&str>| u8::from_str_radix(pair?, 16).ok().map(Node::Byte);
            pairs.map(byte).collect::<Option<_>>()?
        }
    })
}

/// Writes a template.
pub(crate) fn text(nodes: &[Node]) -> String {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Byte(b'\n') => out.push('⏎'),
            Node::Byte(byte @ b' '..=b'~') => out.push(char::from(*byte)),
            Node::Byte(byte) => out.push_str(&format!("«x{byte:02x}»")),
            Node::Number => out.push_str("«n»"),
            Node::Day => out.push_str("«day»"),
            Node::Near => out.push_str("«near»"),
            Node::Now => out.push_str("«now»"),
            Node::Noise => out.push_str("«noise»"),
            Node::Times(times, inside) => out.push_str(&format!("«{times}×{}»", text(inside))),
        }
    }
    out
}
