//! Credentials of connection strings (auth/tests/legacy).
//!
//! Format: auth/tests/README.md. "If a key is present, but the test value is null, the observed
//! value for that key must be uninitialized."

use bson::{Bson, Document};
use portolan::SortedMap;
use portolan::options::ClientOptions;

use crate::json::{same, text};
use crate::uri::{each, refused};

/// One file.
pub(crate) fn connection_string(file: &Document) -> Result<(), String> {
    each(file, |test| {
        let parsed = ClientOptions::parse(text(test, "uri")?);
        if CONTRADICTED.contains(&text(test, "description")?) {
            return refused("parse", &parsed);
        }
        if !test.get_bool("valid").unwrap_or(true) {
            return refused("parse", &parsed);
        }
        let options = parsed.map_err(|error| format!("refused: {error}"))?;
        let expected = match test.get("credential") {
            None => return Err("the case expects nothing of the credential".to_owned()),
            Some(Bson::Null) => return same("credential", &None, &options.credential),
            Some(Bson::Document(expected)) => expected,
            Some(other) => return Err(format!("credential: {other} is no credential")),
        };
        let found = options.credential.ok_or("there is no credential")?;
        let text = |value: &Bson| value.as_str().map(str::to_owned);
        for (name, value) in expected {
            match name.as_str() {
                "username" => same(name, &text(value), &found.username)?,
                "password" => same(name, &text(value), &found.password)?,
                "source" => same(name, &text(value), &Some(found.source.clone()))?,
                "mechanism" => {
                    let mechanism = found.mechanism.map(|mechanism| mechanism.as_str().to_owned());
                    same(name, &text(value), &mechanism)?;
                }
                "mechanism_properties" => properties(value, &found.mechanism_properties)?,
                other => return Err(format!("this runner does not know {other}")),
            }
        }
        Ok(())
    })
}

/// Two cases that the same file contradicts with two later ones ("should throw an exception if
/// username and password provided", "if AWS_SESSION_TOKEN provided"). The prose decides: "If
/// credentials are provided in the URI or client options, the driver MUST raise an error."
const CONTRADICTED: [&str; 2] = [
    "should use username and password if specified (MONGODB-AWS)",
    "should use username, password and session token if specified (MONGODB-AWS)",
];

/// "A subset of properties that must match"; null where there must be none.
fn properties(expected: &Bson, found: &SortedMap<String, String>) -> Result<(), String> {
    let Bson::Document(expected) = expected else {
        return same("mechanism_properties", &Bson::Null, expected)
            .and_then(|()| same("mechanism_properties", &0, &found.len()));
    };
    for (name, value) in expected {
        let value = match value {
            Bson::String(value) => value.clone(),
            other => other.to_string(),
        };
        same(name, &Some(&value), &found.get(name))?;
    }
    Ok(())
}
