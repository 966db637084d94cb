//! Evolution: the columns that rolls have and a table lacks.

use super::{Field, Ids, Nested, Schema, Type};

impl Schema {
    /// Returns this schema, a table's, with the columns of `ours` that it lacks, whose ids follow
    /// `last_id`, and the last id then; none when it has them all. Numbers of schemas are the catalog's to
    /// give.
    ///
    /// # Errors
    /// The reason for which the table cannot take rows of `ours`.
    pub(in crate::commit::iceberg) fn evolved(
        &self,
        ours: &Schema,
        last_id: i32,
    ) -> Result<Option<(Schema, i32)>, String> {
        let (mut schema, mut ids) = (self.clone(), Ids(last_id));
        merge("", &mut schema.fields, &ours.fields, &mut ids)?;
        if ids.0 == last_id {
            return Ok(None);
        }
        Ok(Some((schema, ids.0)))
    }
}

fn merge(at: &str, theirs: &mut Vec<Field>, ours: &[Field], ids: &mut Ids) -> Result<(), String> {
    for column in ours {
        let path =
            if at.is_empty() { column.name.clone() } else { format!("{at}.{}", column.name) };
        if let Some(found) = theirs.iter_mut().find(|field| field.name == column.name) {
            merge_types(&path, &mut found.kind, &column.kind, ids)?;
            continue;
        }
        // Engines do not tell the case of names apart.
        let alike = |field: &&Field| field.name.eq_ignore_ascii_case(&column.name);
        if let Some(found) = theirs.iter().find(alike) {
            return Err(format!("its column {} is {path} in the rolls", found.name));
        }
        let added =
            Field { id: ids.next(), kind: Type::Primitive(String::new()), ..column.clone() };
        let kind = ids.renewed(&column.kind);
        theirs.push(Field { kind, ..added });
    }
    // Our files have no value for it.
    let missing = |field: &&Field| field.required && !ours.iter().any(|o| o.name == field.name);
    match theirs.iter().find(missing) {
        Some(field) => Err(format!("its column {} is required, and no roll has it", field.name)),
        None => Ok(()),
    }
}

fn merge_types(at: &str, theirs: &mut Type, ours: &Type, ids: &mut Ids) -> Result<(), String> {
    match (&mut *theirs, ours) {
        (Type::Primitive(theirs), Type::Primitive(ours)) if theirs == ours => Ok(()),
        (
            Type::Nested(Nested::Struct { fields }),
            Type::Nested(Nested::Struct { fields: ours }),
        ) => merge(at, fields, ours, ids),
        (
            Type::Nested(Nested::List { element, .. }),
            Type::Nested(Nested::List { element: ours, .. }),
        ) => merge_types(&format!("{at}.element"), element, ours, ids),
        (
            Type::Nested(Nested::Map { key, value, .. }),
            Type::Nested(Nested::Map { value: ours, .. }),
        ) if **key == Type::Primitive("string".to_owned()) => {
            merge_types(&format!("{at}.value"), value, ours, ids)
        }
        (theirs, ours) => {
            Err(format!("its column {at} is {}, and the rolls have {}", theirs.name(), ours.name()))
        }
    }
}
