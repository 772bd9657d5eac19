//! Which documents a filter matches: equality, comparison, `$in`, `$exists`, `$and` and `$or`.

use std::cmp::Ordering;

use bson::{Bson, Document};

/// Whether `document` matches `filter`.
///
/// # Errors
///
/// The name of an operator that this simulated server does not know.
pub(crate) fn matches(document: &Document, filter: &Document) -> Result<bool, String> {
    for (name, wanted) in filter {
        let holds = match (name.as_str(), wanted) {
            ("$and", Bson::Array(parts)) => each(document, parts)?.iter().all(|holds| *holds),
            ("$or", Bson::Array(parts)) => each(document, parts)?.iter().any(|holds| *holds),
            ("$comment", _) => true,
            (name, _) if name.starts_with('$') => return Err(name.to_owned()),
            (path, wanted) => field_matches(lookup(document, path), wanted)?,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn each(document: &Document, parts: &[Bson]) -> Result<Vec<bool>, String> {
    parts.iter().filter_map(Bson::as_document).map(|part| matches(document, part)).collect()
}

fn field_matches(value: Option<&Bson>, wanted: &Bson) -> Result<bool, String> {
    let Bson::Document(operators) = wanted else {
        return Ok(is_equal(value, wanted));
    };
    if !operators.keys().any(|name| name.starts_with('$')) {
        return Ok(is_equal(value, wanted));
    }
    for (name, operand) in operators {
        let order = value.and_then(|value| compare(value, operand));
        let holds = match name.as_str() {
            "$eq" => is_equal(value, operand),
            "$ne" => !is_equal(value, operand),
            "$gt" => order == Some(Ordering::Greater),
            "$gte" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            "$lt" => order == Some(Ordering::Less),
            "$lte" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            "$exists" => value.is_some() == truth(operand),
            "$in" => operand.as_array().is_some_and(|any| any.iter().any(|x| is_equal(value, x))),
            "$nin" => operand.as_array().is_some_and(|any| !any.iter().any(|x| is_equal(value, x))),
            other => return Err(other.to_owned()),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The value at a dotted path.
pub(crate) fn lookup<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => lookup(document.get_document(first).ok()?, rest),
    }
}

/// Null matches a missing field; a value matches an array that holds it.
fn is_equal(value: Option<&Bson>, wanted: &Bson) -> bool {
    match value {
        None => *wanted == Bson::Null,
        Some(Bson::Array(items)) if !matches!(wanted, Bson::Array(_)) => {
            items.iter().any(|item| is_equal(Some(item), wanted))
        }
        Some(value) => value == wanted || compare(value, wanted) == Some(Ordering::Equal),
    }
}

/// The order of two values of one kind, all numbers being one; `None` for different kinds.
pub(crate) fn compare(left: &Bson, right: &Bson) -> Option<Ordering> {
    match (left, right) {
        (Bson::String(left), Bson::String(right)) => Some(left.cmp(right)),
        (Bson::ObjectId(left), Bson::ObjectId(right)) => Some(left.cmp(right)),
        (Bson::DateTime(left), Bson::DateTime(right)) => Some(left.cmp(right)),
        (Bson::Boolean(left), Bson::Boolean(right)) => Some(left.cmp(right)),
        _ => match (whole(left), whole(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => number(left)?.partial_cmp(&number(right)?),
        },
    }
}

fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Int64(value) => Some(*value),
        _ => None,
    }
}

/// A number of any kind but decimals.
pub(crate) fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Double(value) => Some(*value),
        _ => whole(value).map(|value| value as f64),
    }
}

/// What counts as true in an option of a command.
pub(crate) fn truth(value: &Bson) -> bool {
    match value {
        Bson::Boolean(value) => *value,
        Bson::Null | Bson::Undefined => false,
        value => number(value) != Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn equality_comparison_and_paths() {
        let document = doc! { "n": 3, "a": { "b": "x" }, "tags": ["red", "blue"], "gone": null };
        let yes = [
            doc! {},
            doc! { "n": 3_i64 },
            doc! { "n": 3.0, "a.b": "x" },
            doc! { "n": { "$gt": 2, "$lte": 3 } },
            doc! { "tags": "red" },
            doc! { "missing": null },
            doc! { "missing": { "$exists": false } },
            doc! { "n": { "$in": [1, 3] } },
            doc! { "$or": [{ "n": 4 }, { "a": { "b": "x" } }] },
        ];
        for filter in yes {
            assert_eq!(matches(&document, &filter), Ok(true), "{filter}");
        }
        let no = [
            doc! { "n": 4 },
            doc! { "n": "3" },
            doc! { "n": { "$gt": "2" } },
            doc! { "a.c": "x" },
            doc! { "n": { "$exists": 0 } },
            doc! { "$and": [{ "n": 3 }, { "a.b": "y" }] },
        ];
        for filter in no {
            assert_eq!(matches(&document, &filter), Ok(false), "{filter}");
        }
        assert_eq!(matches(&document, &doc! { "n": { "$mod": [2, 1] } }), Err("$mod".into()));
    }
}
