//! Properties as columns: the value of one key of the lists of properties, beside the lists.
//!
//! A field with the attribute `"property": ["string", "plan"]` is no member of documents. It has the value
//! of the first entry with the key `plan` in `stringProperties` of its record, or, where none has it, that
//! of the tag `plan` in `stringTags`. Lists and tags stay as they are. [`TableSchema::with_properties`]
//! adds such fields to the session and to its actions, as `prop_plan`.

use super::json::Node;
use super::promote::{Step, get_mut, nullable, object, resolved};
use super::{Field, Kind, SchemaError, TableSchema, render};

/// What the names of the columns begin with.
const PREFIX: &str = "prop_";
/// The list of actions, which have properties as well.
const ACTIONS: &str = "userActions";

/// The type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyType {
    /// Text.
    String,
    /// An integer.
    Long,
    /// A number.
    Double,
    /// A date, as text.
    Date,
}

impl PropertyType {
    /// All types.
    pub const ALL: [PropertyType; 4] =
        [PropertyType::String, PropertyType::Long, PropertyType::Double, PropertyType::Date];

    /// Returns the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PropertyType::String => "string",
            PropertyType::Long => "long",
            PropertyType::Double => "double",
            PropertyType::Date => "date",
        }
    }

    /// Returns the type of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<PropertyType> {
        PropertyType::ALL.into_iter().find(|of| of.as_str() == word)
    }

    /// Returns the name of the lists.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            PropertyType::String => "stringProperties",
            PropertyType::Long => "longProperties",
            PropertyType::Double => "doubleProperties",
            PropertyType::Date => "dateProperties",
        }
    }

    /// Returns the name of the tags of older exports whose values it can be; none for dates, which are
    /// times there.
    #[must_use]
    pub fn tags(self) -> Option<&'static str> {
        match self {
            PropertyType::String => Some("stringTags"),
            PropertyType::Long | PropertyType::Double => Some("numTags"),
            PropertyType::Date => None,
        }
    }

    /// Returns true if tags of this type have values that it can be.
    #[must_use]
    pub fn takes_tags(self, tags: &Kind) -> bool {
        let Kind::Map(values) = tags else { return false };
        match self {
            PropertyType::String => **values == Kind::String,
            PropertyType::Long | PropertyType::Double => **values == Kind::Double,
            PropertyType::Date => false,
        }
    }

    /// Returns the type of the values. A date is a text, as it was sent.
    #[must_use]
    pub fn kind(self) -> &'static Kind {
        match self {
            PropertyType::String | PropertyType::Date => &Kind::String,
            PropertyType::Long => &Kind::Long,
            PropertyType::Double => &Kind::Double,
        }
    }
}

/// A property by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its type.
    pub of: PropertyType,
    /// Its key.
    pub key: String,
}

impl Property {
    /// Returns the name of its column.
    fn column(&self) -> String {
        format!("{PREFIX}{}", self.key)
    }

    fn field(&self) -> Node {
        let text = |text: &str| Node::Text(text.to_owned());
        let kind = match self.of.kind() {
            Kind::Long => "long",
            Kind::Double => "double",
            _ => "string",
        };
        let doc = format!("Value of the first {} property {}.", self.of.as_str(), self.key);
        object([
            ("name", text(&self.column())),
            ("type", nullable(text(kind))),
            ("default", Node::Null),
            ("doc", Node::Text(doc)),
            ("property", Node::List(vec![text(self.of.as_str()), text(&self.key)])),
        ])
    }
}

impl TableSchema {
    /// Returns true for the path of a column that is lifted from properties, members after dots.
    #[must_use]
    pub fn is_property(&self, path: &str) -> bool {
        let mut fields = self.fields.as_slice();
        let mut is_property = false;
        for name in path.split('.') {
            let Some(field) = fields.iter().find(|field| field.name == name) else { return false };
            is_property = field.json.property.is_some();
            fields = match &field.kind {
                Kind::List(item) => match item.as_ref() {
                    Kind::Struct(fields) => fields,
                    _ => &[],
                },
                Kind::Struct(fields) => fields,
                _ => &[],
            };
        }
        is_property
    }

    /// Returns true if the session or its actions have a list, or tags, of properties of the type.
    #[must_use]
    pub fn has_properties(&self, of: PropertyType) -> bool {
        has(&self.fields, of) || has(self.action(), of)
    }

    /// Returns the fields of an action; none if there are no actions.
    fn action(&self) -> &[Field] {
        let actions = self.fields.iter().find(|field| field.name == ACTIONS);
        match actions.map(|field| &field.kind) {
            Some(Kind::List(item)) => match item.as_ref() {
                Kind::Struct(fields) => fields,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Returns this schema with columns for these properties, at the end of the session and of its
    /// actions; of each, where it has a list or tags of the type. Without any, it is this schema.
    ///
    /// # Errors
    /// A key cannot be part of a column's name, or there is a column of that name.
    pub fn with_properties(&self, properties: &[Property]) -> Result<TableSchema, SchemaError> {
        let text = self.avsc.strip_prefix('\u{feff}').unwrap_or(&self.avsc);
        let mut root: Node = serde_json::from_str(text).map_err(SchemaError::Json)?;
        let place_of_actions = place_of_actions(&root, &self.fields);
        let mut is_changed = false;
        let mut extend = |place: &[Step], fields: &[Field]| {
            let there = properties.iter().filter(|property| has(fields, property.of));
            let new: Vec<Node> = there.map(Property::field).collect();
            is_changed |= !new.is_empty();
            if let Some(Node::List(fields)) = get_mut(&mut root, place) {
                fields.extend(new);
            }
        };
        if let Some(place) = place_of_actions {
            extend(&place, self.action());
        }
        extend(&[Step::Member("fields")], &self.fields);
        match is_changed {
            true => TableSchema::parse(&render::pretty(&root)),
            false => Ok(self.clone()),
        }
    }
}

/// Returns the place of the fields of an action in the Avro text, if there are actions.
fn place_of_actions(root: &Node, fields: &[Field]) -> Option<Vec<Step>> {
    let at = fields.iter().position(|field| field.name == ACTIONS)?;
    let kind = vec![Step::Member("fields"), Step::Item(at), Step::Member("type")];
    let mut items = resolved(root, kind);
    items.push(Step::Member("items"));
    let mut place = resolved(root, items);
    place.push(Step::Member("fields"));
    Some(place)
}

/// Tells whether a column `name`, which is none of `fields`, is one that [`TableSchema::with_properties`]
/// adds to a record of these.
#[must_use]
pub fn is_lifted(name: &str, fields: &[Field]) -> bool {
    name.starts_with(PREFIX) && PropertyType::ALL.into_iter().any(|of| has(fields, of))
}

/// Returns true for a record with a list or with tags of properties of the type.
fn has(fields: &[Field], of: PropertyType) -> bool {
    let is = |name: &str, is: &dyn Fn(&Kind) -> bool| {
        fields.iter().any(|field| field.name == name && is(&field.kind))
    };
    is(of.list(), &|kind| is_list(kind, of))
        || of.tags().is_some_and(|tags| is(tags, &|kind| of.takes_tags(kind)))
}

fn is_list(kind: &Kind, of: PropertyType) -> bool {
    let Kind::List(item) = kind else { return false };
    let Kind::Struct(fields) = item.as_ref() else { return false };
    let is = |name, kind: &Kind| fields.iter().any(|f| f.name == name && f.kind == *kind);
    is("key", &Kind::String) && is("value", of.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(of: PropertyType, key: &str) -> Property {
        Property { of, key: key.to_owned() }
    }

    fn sessions(properties: &[Property]) -> Result<TableSchema, SchemaError> {
        TableSchema::builtin("user_sessions").unwrap().with_properties(properties)
    }

    #[test]
    fn columns_are_at_the_end_of_sessions_and_of_actions_and_read_back() {
        let properties =
            [property(PropertyType::String, "plan"), property(PropertyType::Double, "basket")];
        let schema = sessions(&properties).unwrap();
        let plain = TableSchema::builtin("user_sessions").unwrap();
        for (fields, before) in
            [(&*schema.fields, &*plain.fields), (schema.action(), plain.action())]
        {
            let (same, new) = fields.split_at(before.len());
            let names = |fields: &[Field]| -> Vec<String> {
                fields.iter().map(|field| field.name.clone()).collect()
            };
            assert_eq!(names(same), names(before));
            assert_eq!(names(new), ["prop_plan", "prop_basket"]);
            assert_eq!((&new[0].kind, &new[1].kind), (&Kind::String, &Kind::Double));
            assert_eq!(new[0].json.property.as_ref(), Some(&properties[0]));
            assert!(new[0].json_path().is_empty(), "it is no member of documents");
        }
        assert!(schema.is_property("prop_plan") && schema.is_property("userActions.prop_basket"));
        assert!(!schema.is_property("userActions") && !schema.is_property("prop_x"));
        // Earlier builds would fill the columns from members of their names.
        assert!(schema.has_members() && schema.fingerprint != plain.fingerprint);
        let other = sessions(&[property(PropertyType::Date, "plan")]).unwrap();
        let date = sessions(&[property(PropertyType::String, "plan")]).unwrap();
        assert_ne!(other.fingerprint, date.fingerprint);
        assert_eq!(sessions(&[]).unwrap(), *plain);
    }

    #[test]
    fn a_record_without_such_properties_gets_no_column() {
        let avsc = r#"{"type": "record", "name": "t", "fields": [
            {"name": "numTags", "type": {"type": "map", "values": "double"}},
            {"name": "userActions", "type": {"type": "array", "items": "string"}}]}"#;
        let schema = TableSchema::parse(avsc).unwrap();
        let text = property(PropertyType::String, "a");
        assert!(!schema.has_properties(PropertyType::String));
        assert_eq!(schema.with_properties(std::slice::from_ref(&text)).unwrap(), schema);
        let lifted = schema.with_properties(&[text, property(PropertyType::Long, "b")]).unwrap();
        assert_eq!(lifted.fields.last().unwrap().name, "prop_b");
        assert_eq!(lifted.fields.len(), 3);
        let other = TableSchema::parse(&avsc.replace("double", "long")).unwrap();
        assert!(!other.has_properties(PropertyType::Long), "its tags have values of another type");
    }

    #[test]
    fn names_that_are_taken_or_differ_only_in_case_are_refused() {
        let twice =
            [property(PropertyType::String, "plan"), property(PropertyType::String, "Plan")];
        let why = sessions(&twice).unwrap_err().to_string();
        assert!(why.contains("prop_Plan") && why.contains("only in case"), "{why}");
        let why = sessions(&[property(PropertyType::String, "a b")]).unwrap_err().to_string();
        assert!(why.contains("prop_a b"), "{why}");
    }

    #[test]
    fn the_attribute_is_two_words_that_fit_the_column() {
        for (attribute, why) in [
            (r#""plan""#, "has two words"),
            (r#"["text", "plan"]"#, "has two words"),
            (r#"["long", "plan"]"#, "in no such column"),
            (r#"["string", "plan"], "json": "x""#, "no member of its own"),
        ] {
            let avsc = format!(
                r#"{{"type": "record", "name": "t", "fields": [
                    {{"name": "p", "type": "string", "property": {attribute}}}]}}"#
            );
            let told = TableSchema::parse(&avsc).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
