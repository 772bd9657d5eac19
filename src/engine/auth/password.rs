//! A password as a mechanism wants it.

use std::fmt::Write as _;

use super::AuthError;

/// What SCRAM-SHA-1 takes for the password: neither name nor password are prepared.
pub(super) fn digest(username: &str, password: &str) -> String {
    let digest = md5::compute(format!("{username}:mongo:{password}"));
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether SASLprep leaves it as it is: nothing in printable ASCII is changed or prohibited.
pub(super) fn is_plain(password: &str) -> bool {
    password.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether [`prepare`] has the tables of Unicode; without them the host is to prepare what is no
/// printable ASCII.
pub(super) const HAS_TABLES: bool = cfg!(not(target_arch = "wasm32"));

/// The same without the tables: whatever gets here was to be prepared before.
#[cfg(target_arch = "wasm32")]
pub(super) fn prepare(_password: &str) -> Result<String, AuthError> {
    let problem = "the password is not printable ASCII, and nobody has prepared it by SASLprep \
                   (RFC 4013); set Credential::prepared_password";
    Err(AuthError::Credential(problem.to_owned()))
}

/// What SCRAM-SHA-256 takes for the password: SASLprep (RFC 4013) of it.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn prepare(password: &str) -> Result<String, AuthError> {
    let prepared = stringprep::saslprep(password);
    // The library's own text shows a character of the password.
    prepared.map(std::borrow::Cow::into_owned).map_err(|_| {
        let problem = "the password has characters that SASLprep (RFC 4013) prohibits, such as \
                       control characters or mixed text directions";
        AuthError::Credential(problem.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha_1_takes_a_digest() {
        assert_eq!(digest("user", "pencil"), "1c33006ec1ffd90f9cadcbcc0e118200");
    }

    /// RFC 4013 section 3, and the specification's test plan.
    #[test]
    fn sha_256_takes_the_prepared_password() {
        let prepared = |text: &str| prepare(text).unwrap();
        assert_eq!(prepared("plain ASCII, as it is"), "plain ASCII, as it is");
        assert_eq!(prepared("I\u{ad}X"), "IX", "a soft hyphen is nothing");
        assert_eq!(prepared("\u{2168}"), "IX", "compatible characters are the same");
        assert_eq!(prepared("\u{2163}"), "IV");
        assert_eq!(prepared("\u{aa}"), "a");
        assert_eq!(prepared("a\u{a0}b"), "a b", "any space is a space");
        for prohibited in ["\u{7}", "\u{627}1", "a\u{0}"] {
            let error = prepare(prohibited).unwrap_err();
            assert!(!error.to_string().contains(prohibited), "{error}");
        }
    }
}
