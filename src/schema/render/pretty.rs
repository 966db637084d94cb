//! JSON laid out for reading: a value that fits a line is on one, others are broken, one member or
//! item a line. Order is kept.

use serde_json::Value;

use crate::schema::json::Node;

/// The longest line, in characters, unless a single string is longer.
const WIDTH: usize = 160;

/// Returns `node` as text, ending in a newline.
pub(in crate::schema) fn pretty(node: &Node) -> String {
    let mut text = String::new();
    write(&mut text, node, 0, 0, 0);
    text.push('\n');
    text
}

/// Appends `node`. `indent` is that of the line that it begins on, `used` the number of characters
/// before it on that line, and `tail` the number of those that will follow it there.
fn write(text: &mut String, node: &Node, indent: usize, used: usize, tail: usize) {
    let line = one_line(node);
    if used + line.chars().count() + tail <= WIDTH {
        text.push_str(&line);
        return;
    }
    let (open, close, members): (_, _, Vec<(String, &Node)>) = match node {
        Node::Object(members) => {
            let members = members.iter().map(|(key, value)| (format!("{}: ", quoted(key)), value));
            ('{', '}', members.collect())
        }
        Node::List(items) => ('[', ']', items.iter().map(|i| (String::new(), i)).collect()),
        _ => {
            text.push_str(&line);
            return;
        }
    };
    text.push(open);
    let inner = indent + 2;
    let mut members = members.into_iter().peekable();
    while let Some((key, value)) = members.next() {
        let comma = members.peek().is_some();
        text.push('\n');
        text.push_str(&" ".repeat(inner));
        text.push_str(&key);
        write(text, value, inner, inner + key.chars().count(), usize::from(comma));
        if comma {
            text.push(',');
        }
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

/// Returns `node` on one line.
pub(in crate::schema) fn one_line(node: &Node) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Number(value) => value.to_string(),
        Node::Text(value) => quoted(value),
        Node::List(items) => {
            format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        Node::Object(members) => {
            let members = members.iter().map(|(k, v)| format!("{}: {}", quoted(k), one_line(v)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
