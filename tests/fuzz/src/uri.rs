//! Connection strings.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portolan::ClientOptions;
use portolan::uri::{ConnectionString, Scheme};

/// A string that is understood says the same when it is written again; none shows its password, in
/// a log or in an error.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = match ConnectionString::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let written = write(&parsed);
    let read = ConnectionString::parse(&written);
    assert_eq!(read.as_ref(), Ok(&parsed), "{written:?}");
    let mut other = parsed.clone();
    other.password = Some("another password".to_owned());
    assert_eq!(parsed.to_string(), other.to_string(), "the password is shown");
    let outcomes = [parsed.to_options(), parsed.to_options_leniently()];
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(!error.to_string().is_empty());
    }
    secret(&other);
    let _ = ClientOptions::parse(text).map(|options| options.validate());
}

/// Nothing that is said of `parsed` shows its password.
fn secret(parsed: &ConnectionString) {
    const PASSWORD: &str = "0c4f3aSecret";
    let mut parsed = parsed.clone();
    if parsed.username.is_some() {
        parsed.password = Some(PASSWORD.to_owned());
    }
    let said = match parsed.to_options() {
        Ok(options) => format!("{options:?} {:?}", options.warnings),
        Err(error) => error.to_string(),
    };
    assert!(!said.contains(PASSWORD), "{said}");
}

/// All that a host does not have as it is.
const HOST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'[').remove(b']').remove(b':').remove(b'.');

fn write(parsed: &ConnectionString) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut text = match parsed.scheme {
        Scheme::Standard => "mongodb://".to_owned(),
        Scheme::Srv => "mongodb+srv://".to_owned(),
    };
    if let Some(username) = &parsed.username {
        text.push_str(&encoded(username));
        if let Some(password) = &parsed.password {
            let _ = write!(text, ":{}", encoded(password));
        }
        text.push('@');
    }
    for (index, host) in parsed.hosts.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        match (parsed.scheme, host.port()) {
            (Scheme::Srv, _) | (Scheme::Standard, None) => text.push_str(&encoded(host.host())),
            (Scheme::Standard, Some(_)) => {
                // A name may have needed its percent signs; what parts it from the port is plain.
                text.push_str(&utf8_percent_encode(&host.to_string(), HOST).to_string());
            }
        }
    }
    let _ = write!(text, "/{}", parsed.database.as_deref().map(encoded).unwrap_or_default());
    for (index, (key, value)) in parsed.options.iter().enumerate() {
        let mark = if index == 0 { '?' } else { '&' };
        let _ = write!(text, "{mark}{key}={}", encoded(value));
    }
    text
}
