//! Pointers of privacy rules that most likely mean another one.
//!
//! A rule for a pointer that no column has is no mistake by itself: the field may come. Two kinds of pointer
//! are: one that goes into a list without `*` reaches nothing, and one that is spelled almost as a column
//! is may be meant for it.

use super::privacy_rules::{Rules, field_at, find, paths};
use crate::json::pointer_tokens;
use crate::schema::{Kind, TableSchema};
use crate::spelling;

/// Returns the pointer of the list that `pointer` goes into without `*`, if it does so in every schema of
/// `schemas` that has a column for its first name.
pub(crate) fn list_without_items(schemas: &[&TableSchema], pointer: &str) -> Option<String> {
    if !pointer.starts_with('/') {
        return None;
    }
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let there = schemas.iter().filter(|schema| field_at(&schema.fields, &tokens).is_some());
    let lists: Option<Vec<String>> = there.map(|schema| into_list(schema, pointer)).collect();
    lists?.into_iter().next()
}

fn into_list(schema: &TableSchema, pointer: &str) -> Option<String> {
    let tokens: Vec<String> = pointer_tokens(pointer).collect();
    let (mut rest, mut at) = (tokens.as_slice(), Kind::Struct(schema.fields.clone()));
    while let Some((token, after)) = rest.split_first() {
        (at, rest) = match at {
            Kind::Struct(fields) => {
                let (_, kind, left) = field_at(&fields, rest)?;
                (kind, left)
            }
            Kind::List(element) if token == "*" => (*element, after),
            Kind::List(_) => {
                let before = tokens.len() - rest.len();
                // The text before the first token is empty.
                let parts: Vec<&str> = pointer.split('/').take(before + 1).collect();
                return Some(parts.join("/"));
            }
            _ => return None,
        };
    }
    None
}

impl Rules {
    /// Returns the pointers of rules that `schema` has no column for, each with a column that is spelled
    /// almost so, as a rule names it.
    #[must_use]
    pub fn without_column(&self, schema: &TableSchema) -> Vec<(&str, Option<String>)> {
        let columns = paths(&[schema]);
        let pointers = self.paths().filter(|path| path.starts_with('/'));
        pointers
            .filter(|pointer| find(schema, pointer).is_none())
            .map(|pointer| {
                let tokens: Vec<String> = pointer_tokens(pointer).filter(|t| t != "*").collect();
                let alike = columns.iter().filter(|(path, _)| is_alike(&tokens, path));
                let alike = alike.map(|(path, of)| (path.as_str(), of.as_str()));
                (pointer, spelling::meant(&tokens.join("."), alike).map(str::to_owned))
            })
            .collect()
    }
}

/// Tells whether each token is spelled almost as the name in its place is.
fn is_alike(tokens: &[String], path: &str) -> bool {
    let names = path.split('.');
    names.clone().count() == tokens.len()
        && tokens
            .iter()
            .zip(names)
            .all(|(token, name)| spelling::meant(token, [(name, name)]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_into_a_list_names_its_items() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let said = |pointer: &str| list_without_items(&[&schema], pointer);
        for (pointer, list) in [
            ("/userActions/visitor", "/userActions"),
            ("/userActions/0/visitor", "/userActions"),
            ("/userActions/*/stringProperties/x/y", "/userActions/*/stringProperties"),
        ] {
            assert_eq!(said(pointer).as_deref(), Some(list));
        }
        let other = r#"{"type": "record", "name": "t", "fields": [{"name": "userActions", "type":
            {"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}}]}"#;
        let other = TableSchema::parse(other).unwrap();
        let both = list_without_items(&[&*schema, &other], "/userActions/visitor");
        assert_eq!(both, None, "it is a record in one of the tables");
        for pointer in ["/userActions/*/visitor", "/userActions", "/x/0/y", "/stringTags/a", "/ip"]
        {
            assert_eq!(said(pointer), None, "{pointer}");
        }
    }

    #[test]
    fn a_pointer_without_a_column_is_told_with_the_column_that_is_spelled_alike() {
        let schema = TableSchema::builtin("user_sessions").unwrap();
        let text = r#"{"/userid":"hash","/userActions/*/targetURL":"drop","/_extra":"drop",
            "/userActions/*/visitor":"hash","/userId":"hash","ip":"drop"}"#;
        let rules = Rules::parse(text).unwrap();
        let found = rules.without_column(&schema);
        let found: Vec<_> = found.iter().map(|(path, meant)| (*path, meant.as_deref())).collect();
        let expected = [
            ("/_extra", Some("_extra")),
            ("/userActions/*/targetURL", Some("userActions.targetUrl")),
            ("/userActions/*/visitor", None),
            ("/userid", Some("userId")),
        ];
        assert_eq!(found, expected);
    }
}
