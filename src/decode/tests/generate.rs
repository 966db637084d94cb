//! Documents made from a string of random bytes, so that proptest can make them smaller.

use crate::schema::{Field, Kind};

/// The source of choices. When its bytes are used up, every choice is the first one.
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Only fields of the schema, each at most once under its current name, with values that fit.
    clean: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], clean: bool) -> Source<'a> {
        Source { bytes, at: 0, clean }
    }

    fn next(&mut self) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() % limit
    }

    fn pick<'b>(&mut self, from: &[&'b str]) -> &'b str {
        from[(self.next() << 8 | self.next()) % from.len()]
    }

    fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// A document for these fields, never one that is a line of the bulk form: `{"index":{}}` is an
    /// action, and the line after it its document.
    pub(super) fn document(&mut self, fields: &[Field]) -> String {
        let document = self.record(fields, 0);
        match crate::bulk_action::read(document.as_bytes()) {
            Some(_) => "{}".to_owned(),
            None => document,
        }
    }

    fn record(&mut self, fields: &[Field], depth: usize) -> String {
        let mut members = Vec::new();
        let (first, step) = (self.next(), 1 + self.below(4));
        // Long lists of fields are run through with gaps, from anywhere.
        for place in first..first + fields.len() {
            if self.done() {
                break;
            }
            let field = &fields[place % fields.len()];
            if self.below(step) == 0 {
                self.member(field, depth, &mut members);
            }
        }
        if self.clean {
            members.dedup_by(|a, b| a.0 == b.0);
        } else {
            for _ in 1..self.below(4) {
                let place = self.below(members.len() + 1);
                let key = self.text(true);
                let value = self.anything(depth);
                members.insert(place, (key, value));
            }
            for _ in 1..self.below(4) {
                let (a, b) = (self.below(members.len().max(1)), self.below(members.len().max(1)));
                if a < members.len() && b < members.len() {
                    members.swap(a, b);
                }
            }
        }
        self.object(members)
    }

    fn member(&mut self, field: &Field, depth: usize, members: &mut Vec<(String, String)>) {
        let times = if self.clean { 1 } else { [1, 1, 1, 1, 1, 1, 2, 3][self.below(8)] };
        for _ in 0..times {
            let names = if self.clean { 0 } else { field.aliases.len() };
            let name = match self.below(names + 2).checked_sub(2) {
                Some(alias) => &field.aliases[alias],
                None => &field.name,
            };
            let key = if self.clean { format!("\"{name}\"") } else { self.quote(name) };
            let value = if self.clean {
                self.fitting(&field.kind, depth)
            } else {
                match self.below(8) {
                    0..6 => self.fitting(&field.kind, depth),
                    6 => "null".into(),
                    _ => self.anything(depth),
                }
            };
            members.push((key, value));
        }
    }

    fn fitting(&mut self, kind: &Kind, depth: usize) -> String {
        match kind {
            Kind::String => self.text(false),
            Kind::Long => self.long(),
            Kind::TimestampMillis => self
                .pick(&[
                    "0",
                    "1622107543233",
                    "-1",
                    "1e12",
                    "1511441593539",
                    "253402300799999",
                    "-62135596800000",
                ])
                .into(),
            Kind::Double => self
                .pick(&["0", "1", "0.5", "-2.25", "1e-7", "3.14159", "123456.789e3", "-0.0", "0.1"])
                .into(),
            Kind::Boolean => self.pick(&["true", "false"]).into(),
            Kind::List(kind) => {
                let count = if depth > 5 { 0 } else { self.below(4) };
                let items = (0..count).map(|_| match self.below(16) {
                    14 => "null".into(),
                    15 if !self.clean => self.anything(depth + 1),
                    _ => self.fitting(kind, depth + 1),
                });
                let items: Vec<String> = items.collect();
                self.array(&items)
            }
            Kind::Struct(fields) => self.record(fields, depth + 1),
            Kind::Map(kind) => {
                let count = self.below(4);
                let mut members = Vec::new();
                for i in 0..count {
                    let key = if self.clean { format!("\"key{i}\"") } else { self.text(true) };
                    let value = match self.below(8) {
                        6 => "null".into(),
                        7 if !self.clean => self.anything(depth + 1),
                        _ => self.fitting(kind, depth + 1),
                    };
                    members.push((key, value));
                }
                self.object(members)
            }
        }
    }

    fn anything(&mut self, depth: usize) -> String {
        match self.below(if depth > 4 { 5 } else { 8 }) {
            0 => "null".into(),
            1 => self.text(false),
            2 => self.number(),
            3 => self.long(),
            4 => self.pick(&["true", "false", "[]", "{}", "[ ]", "{ }", "\"\"", "[null]"]).into(),
            5 => {
                let items: Vec<_> = (0..self.below(3)).map(|_| self.anything(depth + 1)).collect();
                self.array(&items)
            }
            _ => {
                let count = self.below(3);
                let members =
                    (0..count).map(|_| (self.text(true), self.anything(depth + 1))).collect();
                self.object(members)
            }
        }
    }

    fn long(&mut self) -> String {
        match self.below(4) {
            0 => self.next().to_string(),
            1 => (self.next() as i64 * -7_654_321).to_string(),
            2 => {
                let digits = 1 + self.below(18);
                let digits: String =
                    (0..digits).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
                digits.parse::<i64>().unwrap().to_string()
            }
            _ => self
                .pick(&[
                    "9223372036854775807",
                    "-9223372036854775808",
                    "5.0",
                    "1e3",
                    "-0",
                    "12.50e1",
                    "0.0",
                    "-3E+2",
                    "1200e-2",
                ])
                .into(),
        }
    }

    fn number(&mut self) -> String {
        let whole = self.long();
        match self.below(4) {
            0 => whole,
            1 => self
                .pick(&[
                    "9223372036854775808",
                    "-9223372036854775809",
                    "18446744073709551616",
                    "1e300",
                    "-1e-300",
                    "1e25",
                    "5.7",
                    "0.1e1",
                    "9007199254740993",
                    "123456789012345678901234567890",
                    "5e-324",
                    "1.7976931348623157e308",
                ])
                .into(),
            2 if !whole.contains(['.', 'e', 'E']) => format!("{whole}.{}", self.next()),
            _ if !whole.contains(['e', 'E']) => format!("{whole}e{}", self.below(250) as i64 - 125),
            _ => whole,
        }
    }

    /// A string in quotes.
    fn text(&mut self, key: bool) -> String {
        let mut text = String::new();
        for _ in 0..self.below(if key { 3 } else { 5 }) {
            match self.below(8) {
                0 => text.push_str(self.pick(&[
                    "",
                    "a",
                    "click on",
                    "Checkout",
                    "/rest/~validate?x=1&y=2",
                    "x~1/~0",
                ])),
                1 => text.push_str(&"plain text of some length ".repeat(self.below(4))),
                2 => text.push_str(self.pick(&[
                    "ä",
                    "😀",
                    "日本語",
                    "\u{7f}",
                    "\u{2028}",
                    "𐍈e\u{301}",
                ])),
                3 => {
                    text.push_str(self.pick(&[
                        "\"", "\\", "/", "\u{8}", "\u{c}", "\n", "\r", "\t", "\0", "\u{1f}",
                    ]))
                }
                4 => text.push(char::from(b' ' + self.below(95) as u8)),
                5 => text.push_str(self.pick(&[
                    "s",
                    "n",
                    "items",
                    "index",
                    "0",
                    "1",
                    "userActions",
                    "p",
                    "m",
                ])),
                _ => text
                    .push(char::from_u32((self.next() << 8 | self.next()) as u32).unwrap_or('x')),
            }
        }
        self.quote(&text)
    }

    /// The text in quotes, with what must be escaped, and some of what need not be.
    fn quote(&mut self, text: &str) -> String {
        let every = if self.clean { 0 } else { self.below(6) };
        let mut out = String::from("\"");
        for (i, char) in text.chars().enumerate() {
            match char {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '/' if every == 1 => out.push_str("\\/"),
                '\n' if every != 2 => out.push_str("\\n"),
                '\t' if every != 2 => out.push_str("\\t"),
                '\0'..' ' => out.push_str(&format!("\\u{:04x}", char as u32)),
                _ if every > 1 && i % every == 1 => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                _ => out.push(char),
            }
        }
        out.push('"');
        out
    }

    fn space(&mut self) -> &'static str {
        if self.clean { "" } else { ["", "", "", "", "", "", " ", "\t\r "][self.below(8)] }
    }

    fn array(&mut self, items: &[String]) -> String {
        let (open, comma, close) = (self.space(), self.space(), self.space());
        format!("[{open}{}{close}]", items.join(&format!("{close},{comma}")))
    }

    fn object(&mut self, members: Vec<(String, String)>) -> String {
        let (open, colon, comma) = (self.space(), self.space(), self.space());
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("{key}{colon}:{open}{value}")).collect();
        format!("{{{open}{}{colon}}}", members.join(&format!("{open},{comma}")))
    }
}
