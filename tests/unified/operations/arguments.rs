//! Arguments as the driver's types.

use std::time::Duration;

use bson::{Bson, Document};
use portolan::{Hint, ReturnDocument, UpdateModifications};

use crate::world::number;

/// An argument that an operation cannot do without.
pub(crate) fn required<'a>(arguments: &'a Document, name: &str) -> Result<&'a Bson, String> {
    arguments.get(name).ok_or_else(|| format!("argument {name} is missing"))
}

pub(super) fn filter(arguments: &Document) -> Result<Document, String> {
    document(required(arguments, "filter")?)
}

pub(super) fn update(arguments: &Document) -> Result<UpdateModifications, String> {
    match required(arguments, "update")? {
        Bson::Array(_) => Ok(UpdateModifications::from(documents(&arguments["update"])?)),
        other => Ok(UpdateModifications::from(document(other)?)),
    }
}

pub(super) fn document(value: &Bson) -> Result<Document, String> {
    value.as_document().cloned().ok_or_else(|| format!("{value} is no document"))
}

pub(super) fn documents(value: &Bson) -> Result<Vec<Document>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no array"))?;
    list.iter().map(document).collect()
}

pub(super) fn hint(value: &Bson) -> Result<Hint, String> {
    match value {
        Bson::String(name) => Ok(Hint::Name(name.clone())),
        keys => document(keys).map(Hint::from),
    }
}

pub(super) fn return_document(value: &Bson) -> Result<ReturnDocument, String> {
    match value.as_str() {
        Some("Before") => Ok(ReturnDocument::Before),
        Some("After") => Ok(ReturnDocument::After),
        _ => Err(format!("returnDocument: {value}")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the others, for the macro")]
pub(super) fn any(value: &Bson) -> Result<Bson, String> {
    Ok(value.clone())
}

pub(super) fn string(value: &Bson) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text"))
}

pub(super) fn truth(value: &Bson) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{value} is no boolean"))
}

pub(super) fn signed(value: &Bson) -> Result<i64, String> {
    match value {
        Bson::Int32(value) => Ok(i64::from(*value)),
        Bson::Int64(value) => Ok(*value),
        other => Err(format!("{other} is no integer")),
    }
}

pub(super) fn size(value: &Bson) -> Result<u32, String> {
    u32::try_from(number(value)?).map_err(|error| error.to_string())
}

pub(crate) fn millis(value: &Bson) -> Result<Duration, String> {
    number(value).map(Duration::from_millis)
}

pub(super) fn integer(value: u64) -> Bson {
    Bson::Int64(i64::try_from(value).unwrap_or(i64::MAX))
}
