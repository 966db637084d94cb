//! The search: shapes that cost most are changed and crossed, again and again.

use crate::shape::{Form, Node, Setup, Shape, mixed, template};

/// The parts of shapes, besides one another: pieces of documents, of lines, and of what is neither.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[]",
    ",",
    ":",
    "\"",
    "\\",
    "⏎",
    "⏎⏎",
    "«x0d»⏎",
    " ",
    "«x09»",
    "«x00»",
    "«xefbbbf»",
    "«xff»",
    "«xc3»",
    "«xeda080»",
    "«xc3a9»",
    "«xf09f9880»",
    "x",
    "null",
    "true",
    "0",
    "-0.0",
    "1e999",
    "1e-999",
    "0.1",
    "9223372036854775807",
    "9223372036854775808",
    "«n»",
    "«noise»",
    "«day»",
    "«near»",
    "\"\"",
    "\"«n»\"",
    "\"«noise»\"",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\n",
    "\\\\",
    "«1000×9»",
    "«1000× »",
    "«1000×{»",
    "«1000×[»",
    "«1000×⏎»",
    "«1000×x»",
    "«1000×\\u0001»",
    "«100×{}⏎»",
    "\"a\":",
    "\"\":",
    "\"«n»\":",
    "\"«noise»\":1,",
    "\"«n»\":{\"«n»\":[1]},",
    "\"startTime\":«day»",
    "\"startTime\":«near»",
    "\"startTime\":«now»",
    "\"startTime\":\"«n»\"",
    "\"country\":\"«n»\"",
    "\"userId\":\"«noise»\"",
    "\"userSessionId\":\"«noise»\"",
    "\"ip\":\"1.2.3.«n»\"",
    "\"duration\":1.5",
    "\"duration\":«n»",
    "\"bounce\":\"x\"",
    "\"userActions\":[",
    "\"userActions\":[{}",
    ",{}",
    "\"userActions\":[null",
    ",null",
    "{\"name\":\"«noise»\",\"targetUrl\":\"«n»\"},",
    "\"events\":[{\"type\":\"UserTag\",\"name\":\"«n»\"}]",
    "\"errors\":[{}]",
    "\"syntheticEvents\":[{}]",
    "\"stringProperties\":[{\"key\":\"«n»\",\"value\":\"«n»\"}]",
    "\"stringProperties\":[{}",
    "\"stringTags\":{\"«n»\":\"\"}",
    "\"numTags\":{\"«n»\":1}",
    "\"matchingConversionGoals\":[\"\"",
    "{\"index\":{}}⏎",
    "{\"index\":{\"_index\":\"i«n»\"}}⏎",
    "{\"create\":{\"_id\":\"«n»\"}}⏎",
    "{\"delete\":{\"_id\":\"1\"}}⏎",
    "{\"update\":{}}⏎",
    "{\"doc\":{}}⏎",
];

/// A small generator of numbers that are the same for the same seed, everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (mixed(self.0) % end.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Returns a shape that is like `parent`, with something of `other`.
pub(crate) fn child(dice: &mut Dice, parent: &Shape, other: &Shape) -> Shape {
    let mut child = parent.clone();
    for _ in 0..1 + dice.below(3) {
        let field = match dice.below(8) {
            0 => &mut child.before,
            1 => &mut child.after,
            _ => &mut child.unit,
        };
        change(dice, field, &other.unit);
    }
    if dice.one_in(12) {
        child.form = [Form::Ndjson, Form::Elasticsearch][dice.below(2)];
    }
    if dice.one_in(12) {
        child.setup = [Setup::Plain, Setup::Sealed, Setup::ByCountry][dice.below(3)];
    }
    if dice.one_in(10) {
        // Once instead of again and again.
        let size = 1_000 * (1 + dice.below(1_000)) as u32;
        child.unit = vec![Node::Times(size, child.unit)];
    }
    if child.unit.is_empty() {
        child.unit.clone_from(&parent.unit);
    }
    child
}

/// Changes some nodes.
fn change(dice: &mut Dice, nodes: &mut Vec<Node>, other: &[Node]) {
    // Within a repetition as often as around it.
    if dice.one_in(2) {
        let inner = nodes.iter_mut().filter_map(|node| match node {
            Node::Times(_, inside) => Some(inside),
            _ => None,
        });
        let mut inner: Vec<_> = inner.collect();
        if !inner.is_empty() {
            let which = dice.below(inner.len());
            return change(dice, inner[which], other);
        }
    }
    let at = dice.below(nodes.len() + 1);
    let to = (at + 1 + dice.below(12)).min(nodes.len());
    let piece = |dice: &mut Dice| template(PIECES[dice.below(PIECES.len())]).unwrap_or_default();
    match dice.below(9) {
        0 | 1 => drop(nodes.splice(at..at, piece(dice))),
        2 => drop(nodes.splice(at..to, piece(dice))),
        3 => drop(nodes.drain(at..to)),
        4 => {
            let copy = nodes[at..to].to_vec();
            drop(nodes.splice(at..at, copy));
        }
        5 if at < to => {
            let inside = nodes[at..to].to_vec();
            let times = [2, 10, 100, 1_000, 10_000, 100_000][dice.below(6)];
            drop(nodes.splice(at..to, [Node::Times(times, inside)]));
        }
        6 => {
            let from = dice.below(other.len() + 1);
            let until = (from + 1 + dice.below(40)).min(other.len());
            drop(nodes.splice(at..at, other[from..until].to_vec()));
        }
        7 => {
            let pairs = [
                ("{", "}"),
                ("[", "]"),
                ("\"", "\""),
                ("{\"«n»\":", "}"),
                ("[[", "]]"),
                ("{\"userActions\":[", "]}"),
            ];
            let (open, close) = pairs[dice.below(pairs.len())];
            let mut inside = template(open).unwrap_or_default();
            inside.extend_from_slice(&nodes[at..to]);
            inside.extend(template(close).unwrap_or_default());
            drop(nodes.splice(at..to, inside));
        }
        _ => {
            for node in nodes.iter_mut() {
                if let Node::Times(times, _) = node {
                    *times = [*times / 2 + 1, *times * 2, 3, 50_000][dice.below(4)].min(4_000_000);
                }
            }
            nodes.push(Node::Byte(b"\n{}[\",x"[dice.below(7)]));
        }
    }
    // What grows without end says nothing that a shorter one does not.
    nodes.truncate(400);
}
