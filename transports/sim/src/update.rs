//! What an update makes of a document: a replacement, `$set`, `$unset`, `$inc`, `$setOnInsert`.

use bson::{Bson, Document};

use crate::filter::{lookup, number};

/// Applies `update` and answers whether anything changed; `inserting` lets `$setOnInsert` count.
///
/// # Errors
///
/// The operator that this simulated server does not know, or cannot apply.
pub(crate) fn apply(
    document: &mut Document,
    update: &Document,
    inserting: bool,
) -> Result<bool, String> {
    let before = document.clone();
    if !update.keys().next().is_some_and(|name| name.starts_with('$')) {
        let id = document.get("_id").cloned();
        *document = update.clone();
        if let (Some(id), false) = (id, update.contains_key("_id")) {
            *document = Document::from_iter([("_id".to_owned(), id)]);
            document.extend(update.clone());
        }
        return Ok(*document != before);
    }
    for (operator, fields) in update {
        let fields = fields.as_document().ok_or_else(|| format!("{operator} wants a document"))?;
        for (path, operand) in fields {
            match operator.as_str() {
                "$set" => set(document, path, operand.clone())?,
                "$setOnInsert" if inserting => set(document, path, operand.clone())?,
                "$setOnInsert" => {}
                "$unset" => unset(document, path),
                "$inc" => increase(document, path, operand)?,
                other => return Err(other.to_owned()),
            }
        }
    }
    Ok(*document != before)
}

fn set(document: &mut Document, path: &str, value: Bson) -> Result<(), String> {
    let Some((first, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return Ok(());
    };
    let inner = document.entry(first.to_owned()).or_insert_with(|| Document::new().into());
    match inner {
        Bson::Document(inner) => set(inner, rest, value),
        _ => Err(format!("{first} is no document")),
    }
}

fn unset(document: &mut Document, path: &str) {
    match path.split_once('.') {
        None => {
            document.remove(path);
        }
        Some((first, rest)) => {
            if let Ok(inner) = document.get_document_mut(first) {
                unset(inner, rest);
            }
        }
    }
}

fn increase(document: &mut Document, path: &str, by: &Bson) -> Result<(), String> {
    let bad = || format!("$inc of {path} wants numbers");
    let sum = match (lookup(document, path), by) {
        (None, by) => by.clone(),
        (Some(Bson::Int32(old)), Bson::Int32(by)) => match old.checked_add(*by) {
            Some(sum) => sum.into(),
            None => (i64::from(*old) + i64::from(*by)).into(),
        },
        (Some(Bson::Int64(old)), Bson::Int32(by)) => (old + i64::from(*by)).into(),
        (Some(Bson::Int32(old)), Bson::Int64(by)) => (i64::from(*old) + by).into(),
        (Some(Bson::Int64(old)), Bson::Int64(by)) => old.wrapping_add(*by).into(),
        (Some(old), by) => (number(old).ok_or_else(bad)? + number(by).ok_or_else(bad)?).into(),
    };
    set(document, path, sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn operators_and_replacements() {
        let mut document = doc! { "_id": 1, "n": 1, "a": { "b": 2 } };
        let update = doc! { "$inc": { "n": 2 }, "$set": { "a.c": 3 }, "$unset": { "a.b": "" } };
        assert_eq!(apply(&mut document, &update, false), Ok(true));
        assert_eq!(document, doc! { "_id": 1, "n": 3, "a": { "c": 3 } });
        assert_eq!(apply(&mut document, &doc! { "$set": { "n": 3 } }, false), Ok(false));
        assert_eq!(apply(&mut document, &doc! { "x": 1 }, false), Ok(true));
        assert_eq!(document, doc! { "_id": 1, "x": 1 });
        assert_eq!(apply(&mut document, &doc! { "$pop": { "x": 1 } }, false), Err("$pop".into()));
    }
}
