//! Whether a value is as a test expects it.
//!
//! Specification: unified-test-format "Evaluating Matches". Documents at the root may have more
//! fields than expected, nested ones may not; numbers are compared by value; a document whose only
//! key begins with `$$` is an operator. An operator that is not known is an error of the test file.

use bson::{Bson, Document};

/// What operators look up.
pub(crate) trait Names {
    /// The value of a BSON entity (`$$matchesEntity`).
    fn value(&self, name: &str) -> Result<Bson, String>;
    /// The `lsid` of a session entity (`$$sessionLsid`).
    fn lsid(&self, name: &str) -> Result<Bson, String>;
}

/// `Ok` where `actual` is as expected, else where and how it differs.
pub(crate) fn matches(
    expected: &Bson,
    actual: Option<&Bson>,
    root: bool,
    names: &dyn Names,
) -> Result<(), String> {
    at("", expected, actual, root, names)
}

/// The same for documents at the root.
pub(crate) fn matches_root(
    expected: &Document,
    actual: &Document,
    names: &dyn Names,
) -> Result<(), String> {
    document("", expected, actual, true, names)
}

fn at(
    path: &str,
    expected: &Bson,
    actual: Option<&Bson>,
    root: bool,
    names: &dyn Names,
) -> Result<(), String> {
    if let Bson::Document(wanted) = expected
        && let Some((operator, operand)) = operator(wanted)
    {
        return operate(path, operator, operand, actual, root, names);
    }
    let Some(actual) = actual else {
        return Err(format!("{}: expected {expected}, found nothing", shown(path)));
    };
    match (expected, actual) {
        (Bson::Document(expected), Bson::Document(actual)) => {
            document(path, expected, actual, root, names)
        }
        (Bson::Array(expected), Bson::Array(actual)) => {
            array(path, expected, actual, |path, expected, actual| {
                at(path, expected, Some(actual), false, names)
            })
        }
        _ if equal(expected, actual) => Ok(()),
        _ => Err(format!("{}: expected {expected}, found {actual}", shown(path))),
    }
}

fn document(
    path: &str,
    expected: &Document,
    actual: &Document,
    root: bool,
    names: &dyn Names,
) -> Result<(), String> {
    for (key, value) in expected {
        at(&format!("{path}.{key}"), value, actual.get(key), false, names)?;
    }
    if root {
        return Ok(());
    }
    match actual.keys().find(|key| !expected.contains_key(key)) {
        Some(extra) => Err(format!("{}: {extra} was not expected in {actual}", shown(path))),
        None => Ok(()),
    }
}

/// Compares two arrays, element by element.
pub(crate) fn array(
    path: &str,
    expected: &[Bson],
    actual: &[Bson],
    compare: impl Fn(&str, &Bson, &Bson) -> Result<(), String>,
) -> Result<(), String> {
    if expected.len() != actual.len() {
        let (wanted, found) = (expected.len(), actual.len());
        let list = Bson::Array(actual.to_vec());
        return Err(format!("{}: expected {wanted} elements, found {found}: {list}", shown(path)));
    }
    for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        compare(&format!("{path}.{index}"), expected, actual)?;
    }
    Ok(())
}

/// The operator that a document is, if it is one.
fn operator(document: &Document) -> Option<(&str, &Bson)> {
    let mut entries = document.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) if key.starts_with("$$") => Some((key, value)),
        _ => None,
    }
}

fn operate(
    path: &str,
    operator: &str,
    operand: &Bson,
    actual: Option<&Bson>,
    root: bool,
    names: &dyn Names,
) -> Result<(), String> {
    let fail = |what: String| Err(format!("{}: {what}", shown(path)));
    match (operator, actual) {
        ("$$exists", _) => match (operand, actual) {
            (Bson::Boolean(true), Some(_)) | (Bson::Boolean(false), None) => Ok(()),
            (Bson::Boolean(true), None) => fail("expected to exist".to_owned()),
            (Bson::Boolean(false), Some(actual)) => fail(format!("{actual} was not expected")),
            _ => fail(format!("$$exists: {operand} is no boolean")),
        },
        ("$$unsetOrMatches", None) => Ok(()),
        ("$$unsetOrMatches", Some(_)) => at(path, operand, actual, root, names),
        (_, None) => fail(format!("expected {operator}: {operand}, found nothing")),
        ("$$type", Some(actual)) => has_type(path, operand, actual),
        ("$$matchesEntity", Some(actual)) => {
            let name = operand.as_str().ok_or("$$matchesEntity: no name")?;
            at(path, &names.value(name)?, Some(actual), root, names)
        }
        ("$$sessionLsid", Some(actual)) => {
            let name = operand.as_str().ok_or("$$sessionLsid: no name")?;
            at(path, &names.lsid(name)?, Some(actual), root, names)
        }
        ("$$matchesHexBytes", Some(actual)) => match actual {
            Bson::Binary(binary) if Some(hex(&binary.bytes).as_str()) == operand.as_str() => Ok(()),
            _ => fail(format!("expected bytes {operand}, found {actual}")),
        },
        ("$$lte", Some(actual)) => match (number(operand), number(actual)) {
            (Some(most), Some(value)) if value <= most => Ok(()),
            _ => fail(format!("expected at most {operand}, found {actual}")),
        },
        ("$$matchAsRoot", Some(actual)) => at(path, operand, Some(actual), true, names),
        ("$$matchAsDocument", Some(actual)) => {
            let parsed = actual.as_str().ok_or("no text").and_then(|text| {
                let value = serde_json::from_str::<serde_json::Value>(text);
                value.ok().and_then(|value| Bson::try_from(value).ok()).ok_or("no extended JSON")
            });
            match parsed {
                Ok(parsed) => at(path, operand, Some(&parsed), false, names),
                Err(what) => fail(format!("{what}: {actual}")),
            }
        }
        (unknown, _) => fail(format!("{unknown} is no operator that this runner knows")),
    }
}

fn has_type(path: &str, operand: &Bson, actual: &Bson) -> Result<(), String> {
    let wanted: Vec<&str> = match operand {
        Bson::String(one) => vec![one],
        Bson::Array(several) => several.iter().filter_map(Bson::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(unknown) = wanted.iter().find(|name| !TYPES.contains(name)) {
        return Err(format!("{}: $$type: {unknown} is no type", shown(path)));
    }
    let found = type_name(actual);
    let number = matches!(found, "int" | "long" | "double" | "decimal");
    if wanted.contains(&found) || (number && wanted.contains(&"number")) {
        return Ok(());
    }
    Err(format!("{}: expected type {operand}, found {found}: {actual}", shown(path)))
}

/// The server's aliases (operator `$type`).
const TYPES: [&str; 22] = [
    "double",
    "string",
    "object",
    "array",
    "binData",
    "undefined",
    "objectId",
    "bool",
    "date",
    "null",
    "regex",
    "dbPointer",
    "javascript",
    "symbol",
    "javascriptWithScope",
    "int",
    "timestamp",
    "long",
    "decimal",
    "minKey",
    "maxKey",
    "number",
];

fn type_name(value: &Bson) -> &'static str {
    match value {
        Bson::Double(_) => "double",
        Bson::String(_) => "string",
        Bson::Document(_) => "object",
        Bson::Array(_) => "array",
        Bson::Binary(_) => "binData",
        Bson::Undefined => "undefined",
        Bson::ObjectId(_) => "objectId",
        Bson::Boolean(_) => "bool",
        Bson::DateTime(_) => "date",
        Bson::Null => "null",
        Bson::RegularExpression(_) => "regex",
        Bson::DbPointer(_) => "dbPointer",
        Bson::JavaScriptCode(_) => "javascript",
        Bson::Symbol(_) => "symbol",
        Bson::JavaScriptCodeWithScope(_) => "javascriptWithScope",
        Bson::Int32(_) => "int",
        Bson::Timestamp(_) => "timestamp",
        Bson::Int64(_) => "long",
        Bson::Decimal128(_) => "decimal",
        Bson::MinKey => "minKey",
        Bson::MaxKey => "maxKey",
    }
}

/// "Flexible Numeric Comparisons"; everything else exactly.
pub(crate) fn equal(expected: &Bson, actual: &Bson) -> bool {
    match (expected, actual) {
        (Bson::Int64(expected), Bson::Int64(actual)) => expected == actual,
        _ => match (number(expected), number(actual)) {
            (Some(expected), Some(actual)) => expected == actual,
            _ => expected == actual,
        },
    }
}

fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(value) => Some(f64::from(*value)),
        Bson::Int64(value) => Some(*value as f64),
        Bson::Double(value) => Some(*value),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the value" } else { path.trim_start_matches('.') }
}
