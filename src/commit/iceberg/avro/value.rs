//! Values, by the schema of their writer.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::commit::iceberg) enum Value {
    Null,
    Boolean(bool),
    Long(i64),
    Double(f64),
    /// Bytes, a fixed value, or a text.
    Bytes(Vec<u8>),
    /// The items of an array, or the values of a map.
    Items(Vec<Value>),
    /// The fields that have an id, by it.
    Record(BTreeMap<i64, Value>),
}

/// The reason that a file cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no Avro file that this version reads: {0}")]
pub(in crate::commit::iceberg) struct Unreadable(String);

pub(super) fn unreadable<T>(why: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(why.into()))
}

/// The bytes that are left.
pub(super) struct Input<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return unreadable("it is cut");
        };
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn long(&mut self) -> Result<i64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let &[byte] = self.take(1)? else { return unreadable("it is cut") };
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        unreadable("a number has too many bytes")
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = self.long()?;
        let length = self.count(length)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String, Unreadable> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => unreadable("a text is no UTF-8"),
        }
    }

    /// Checks a number of bytes or items: each item has a byte at least, in what is read here.
    pub(super) fn count(&self, count: i64) -> Result<usize, Unreadable> {
        match usize::try_from(count) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => unreadable("a length is past its end"),
        }
    }

    /// Reads the blocks of an array or a map, item by item.
    pub(super) fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Input<'a>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // Followed by the bytes of the block, for those who pass over it.
                count = count.checked_neg().unwrap_or(i64::MAX);
                self.long()?;
            }
            for _ in 0..self.count(count)? {
                let before = self.rest.len();
                item(self)?;
                if self.rest.len() == before {
                    return unreadable("an item has no bytes");
                }
            }
        }
    }
}

/// A type of a writer's schema.
#[derive(Debug)]
pub(super) enum Type {
    Null,
    Boolean,
    Long,
    Float,
    Double,
    Bytes,
    Fixed(usize),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Record(Vec<(Option<i64>, Type)>),
}

impl Type {
    /// Parses a type. References to named types are refused: manifests have none.
    pub(super) fn parse(json: &Json) -> Result<Type, Unreadable> {
        if let Json::Array(branches) = json {
            return Ok(Type::Union(branches.iter().map(Type::parse).collect::<Result<_, _>>()?));
        }
        // The name of a type, an object of that type, or an object around another one.
        let name = if json.is_object() { json.get("type").unwrap_or(&Json::Null) } else { json };
        let part = |key: &str| Type::parse(json.get(key).unwrap_or(&Json::Null)).map(Box::new);
        Ok(match name.as_str() {
            Some("null") => Type::Null,
            Some("boolean") => Type::Boolean,
            Some("int" | "long" | "enum") => Type::Long,
            Some("float") => Type::Float,
            Some("double") => Type::Double,
            Some("bytes" | "string") => Type::Bytes,
            Some("fixed") => {
                let size = json.get("size").and_then(Json::as_u64);
                match size.and_then(|size| usize::try_from(size).ok()) {
                    Some(size) => Type::Fixed(size),
                    None => return unreadable("a fixed type has no size"),
                }
            }
            Some("array") => Type::Array(part("items")?),
            Some("map") => Type::Map(part("values")?),
            Some("record") => {
                let fields = json.get("fields").and_then(Json::as_array);
                let field = |field: &Json| -> Result<(Option<i64>, Type), Unreadable> {
                    let of = field.get("type").unwrap_or(&Json::Null);
                    Ok((field.get("field-id").and_then(Json::as_i64), Type::parse(of)?))
                };
                let fields = fields.into_iter().flatten().map(field);
                Type::Record(fields.collect::<Result<_, _>>()?)
            }
            None if !name.is_null() && json.is_object() => Type::parse(name)?,
            _ => {
                let name = crate::error_text::shown(&name.to_string());
                return unreadable(format!("it has the type {name}"));
            }
        })
    }

    pub(super) fn read(&self, input: &mut Input<'_>) -> Result<Value, Unreadable> {
        Ok(match self {
            Type::Null => Value::Null,
            Type::Boolean => Value::Boolean(input.take(1)? != [0]),
            Type::Long => Value::Long(input.long()?),
            Type::Float => Value::Double(match input.take(4)?.try_into() {
                Ok(bytes) => f64::from(f32::from_le_bytes(bytes)),
                Err(_) => return unreadable("it is cut"),
            }),
            Type::Double => Value::Double(match input.take(8)?.try_into() {
                Ok(bytes) => f64::from_le_bytes(bytes),
                Err(_) => return unreadable("it is cut"),
            }),
            Type::Bytes => Value::Bytes(input.bytes()?.to_vec()),
            Type::Fixed(size) => Value::Bytes(input.take(*size)?.to_vec()),
            Type::Array(of) => {
                let mut items = Vec::new();
                input.blocks(|input| of.read(input).map(|item| items.push(item)))?;
                Value::Items(items)
            }
            Type::Map(of) => {
                let mut items = Vec::new();
                input.blocks(|input| {
                    input.bytes()?;
                    of.read(input).map(|item| items.push(item))
                })?;
                Value::Items(items)
            }
            Type::Union(branches) => {
                let branch = usize::try_from(input.long()?).ok().and_then(|at| branches.get(at));
                match branch {
                    Some(branch) => branch.read(input)?,
                    None => return unreadable("a union has no such branch"),
                }
            }
            Type::Record(fields) => {
                let mut values = BTreeMap::new();
                for (id, of) in fields {
                    let value = of.read(input)?;
                    if let Some(id) = id {
                        values.insert(*id, value);
                    }
                }
                Value::Record(values)
            }
        })
    }
}
