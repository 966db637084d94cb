//! The columns of a table against those of its rolls.

use delta_kernel::schema::{ArrayType, DataType, MapType, StructField, StructType};

/// Keys of a field's metadata that say how writers fill a column that they do not have.
const FILLED: [&str; 2] = ["CURRENT_DEFAULT", "delta.generationExpression"];

/// A column that the rolls have and the table lacks: the struct it is in, and the column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    /// Path of the struct; empty for the table itself. `element` and `value` lead into lists and maps.
    pub(super) parent: Vec<String>,
    pub(super) column: StructField,
}

impl Missing {
    /// Returns the path of the column, as people write it.
    pub(super) fn path(&self) -> String {
        [&*self.parent, std::slice::from_ref(&self.column.name)].concat().join(".")
    }
}

/// Returns the columns of `ours`, the rolls, that `theirs`, the table, lacks. Columns that the table has
/// and the rolls lack are null in their rows; the order of columns is no difference.
///
/// # Errors
/// A difference that no added column settles, as the end of a sentence about the table.
pub(super) fn missing(theirs: &StructType, ours: &StructType) -> Result<Vec<Missing>, String> {
    let mut comparison = Comparison { path: Vec::new(), missing: Vec::new() };
    comparison.structs(theirs, ours)?;
    Ok(comparison.missing)
}

struct Comparison {
    path: Vec<String>,
    missing: Vec<Missing>,
}

impl Comparison {
    fn structs(&mut self, theirs: &StructType, ours: &StructType) -> Result<(), String> {
        for column in ours.fields() {
            let found = theirs.fields().find(|field| field.name.eq_ignore_ascii_case(&column.name));
            let Some(found) = found else {
                let (parent, column) = (self.path.clone(), column.clone());
                self.missing.push(Missing { parent, column });
                continue;
            };
            if found.name != column.name {
                return Err(format!(
                    "has the column {}, and the rolls have it as {}: readers look for the exact name \
                     in files and would find nulls. Use the table's spelling in the schema",
                    self.name(&found.name),
                    column.name
                ));
            }
            self.within(&found.name, |all| all.types(&found.data_type, &column.data_type))?;
        }
        let lacks = |field: &&StructField| ours.fields().all(|column| column.name != field.name);
        for field in theirs.fields().filter(lacks) {
            if !field.nullable {
                return Err(format!(
                    "has the column {}, which may not be null, and the rolls lack it. Let it be null",
                    self.name(&field.name)
                ));
            }
            if FILLED.iter().any(|key| field.metadata.contains_key(*key)) {
                return Err(format!(
                    "has the column {} with a default or an expression, and the rolls lack it: their \
                     rows would be null. Drop the default",
                    self.name(&field.name)
                ));
            }
        }
        Ok(())
    }

    fn types(&mut self, theirs: &DataType, ours: &DataType) -> Result<(), String> {
        match (theirs, ours) {
            (DataType::Struct(theirs), DataType::Struct(ours)) => self.structs(theirs, ours),
            (DataType::Array(theirs), DataType::Array(ours)) => {
                let types = |list: &ArrayType| list.element_type().clone();
                self.within("element", |all| all.types(&types(theirs), &types(ours)))
            }
            (DataType::Map(theirs), DataType::Map(ours)) => {
                let keys = |map: &MapType| map.key_type().clone();
                self.within("key", |all| all.types(&keys(theirs), &keys(ours)))?;
                let values = |map: &MapType| map.value_type().clone();
                self.within("value", |all| all.types(&values(theirs), &values(ours)))
            }
            (theirs, ours) if theirs == ours => Ok(()),
            (theirs, ours) => Err(format!(
                "has the column {} as {theirs}, and the rolls have it as {ours}. Give the rolls \
                 another table, or rewrite this one with the other type",
                self.path.join(".")
            )),
        }
    }

    fn within<T>(&mut self, name: &str, work: impl FnOnce(&mut Comparison) -> T) -> T {
        self.path.push(name.to_owned());
        let done = work(self);
        self.path.pop();
        done
    }

    fn name(&self, column: &str) -> String {
        let path = self.path.iter().map(String::as_str);
        path.chain([column]).collect::<Vec<_>>().join(".")
    }
}
