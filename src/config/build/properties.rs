//! Properties that become columns.

use std::sync::Arc;

use super::builder::Builder;
use crate::schema::{Property, PropertyType};
use crate::table::Spec;

impl Builder<'_> {
    /// Adds the columns of `[properties]` to the tables that have such properties.
    pub(super) fn lift_properties(&mut self, tables: Vec<&mut Spec>) {
        let layers = self.layers;
        let Some(section) = &layers.sections.properties else { return };
        let mut properties: Vec<Property> = Vec::new();
        for (key, source) in &section.lines {
            let Some(word) = section.values.0.get(key) else { continue };
            let place = format!("{source}: properties.{key}");
            let Some(of) = PropertyType::parse(word) else {
                let why =
                    format!("`{word}` is no type of a property: string, long, double and date are");
                self.refuse(place, why);
                continue;
            };
            let property = Property { of, key: key.clone() };
            if key.is_empty()
                || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                let why =
                    "the key cannot be part of a column's name, which has letters, digits and _";
                self.refuse(place, why);
            } else if let Some(other) =
                properties.iter().find(|other| other.key.eq_ignore_ascii_case(key))
            {
                let why =
                    format!("differs from {} only in case, which engines do not see", other.key);
                self.refuse(place, why);
            } else if !tables.iter().any(|table| table.schema.has_properties(of)) {
                let word = of.as_str();
                self.refuse(place, format!("no table has {word} properties"));
            } else {
                properties.push(property);
            }
        }
        if properties.is_empty() {
            return;
        }
        for table in tables {
            match table.schema.with_properties(&properties) {
                Ok(schema) => table.schema = Arc::new(schema),
                Err(error) => {
                    let why = format!("table {} cannot have these columns: {error}", table.name);
                    self.refuse(format!("{}: [properties]", section.source), why);
                }
            }
        }
    }
}
