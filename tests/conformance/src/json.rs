//! Test files as BSON, and their fields by type.

use portolan::SortedMap;

use bson::{Bson, Document};
use portolan::engine::address::ServerAddress;

/// Reads extended JSON.
pub(crate) fn document(json: &str) -> Result<Document, String> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
    match Bson::try_from(value) {
        Ok(Bson::Document(document)) => Ok(document),
        Ok(other) => Err(format!("not an object but {:?}", other.element_type())),
        Err(error) => Err(format!("no extended JSON: {error}")),
    }
}

/// A number of any type; `None` where the field is missing, null or of another type.
pub(crate) fn number(document: &Document, field: &str) -> Option<f64> {
    match document.get(field)? {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        _ => None,
    }
}

/// An integer of any type; `None` where the field is missing, null or of another type.
pub(crate) fn integer(document: &Document, field: &str) -> Option<i64> {
    number(document, field).map(|number| number as i64)
}

pub(crate) fn text<'d>(document: &'d Document, field: &str) -> Result<&'d str, String> {
    document.get_str(field).map_err(|error| format!("{field}: {error}"))
}

/// The documents of an array; empty where it is missing or null.
pub(crate) fn documents<'d>(document: &'d Document, field: &str) -> Vec<&'d Document> {
    let array = document.get_array(field);
    array.map_or_else(|_| Vec::new(), |array| array.iter().filter_map(Bson::as_document).collect())
}

pub(crate) fn address(text: &str) -> Result<ServerAddress, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

pub(crate) fn strings(document: &Document) -> SortedMap<String, String> {
    let pair =
        |(name, value): (&String, &Bson)| Some((name.clone(), value.as_str().map(str::to_owned)?));
    document.iter().filter_map(pair).collect()
}

/// `Ok` where both are equal, else both, named.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    actual: &T,
) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {actual:?}"))
}
