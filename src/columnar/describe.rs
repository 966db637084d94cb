//! Arrow types as text for people. It knows types of files that other programs wrote.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// Returns the members of a record, or of the records of a list.
pub(crate) fn members_of(kind: &DataType) -> Option<&Fields> {
    match kind {
        DataType::Struct(members) => Some(members),
        DataType::List(item) => members_of(item.data_type()),
        _ => None,
    }
}

/// Returns the name of a type, and the members that a description lists below it.
pub(crate) fn describe(kind: &DataType) -> (String, Vec<&Field>) {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ("string".to_owned(), vec![]),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "µs",
                TimeUnit::Nanosecond => "ns",
            };
            (format!("timestamp({unit}, {})", zone.as_deref().unwrap_or("no zone")), vec![])
        }
        DataType::Struct(members) => {
            ("struct".to_owned(), members.iter().map(AsRef::as_ref).collect())
        }
        DataType::List(element) | DataType::LargeList(element) => {
            let (name, members) = describe(element.data_type());
            (format!("list of {name}"), members)
        }
        DataType::Map(entries, _) => match describe(entries.data_type()).1.as_slice() {
            [key, value] => {
                let (value, members) = describe(value.data_type());
                (format!("map of {} to {value}", describe(key.data_type()).0), members)
            }
            _ => ("map".to_owned(), vec![]),
        },
        other => (other.to_string().to_lowercase(), vec![]),
    }
}
