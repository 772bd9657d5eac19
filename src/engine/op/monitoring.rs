//! Which commands carry secrets (command-logging-and-monitoring "Security").

use bson::RawDocument;

/// Whether neither this command nor its reply may be shown.
pub fn is_sensitive(name: &str, command: &RawDocument) -> bool {
    match name.to_ascii_lowercase().as_str() {
        "authenticate" | "saslstart" | "saslcontinue" | "getnonce" | "createuser"
        | "updateuser" | "copydbgetnonce" | "copydbsaslstart" | "copydb" => true,
        "hello" | "ismaster" => matches!(command.get("speculativeAuthenticate"), Ok(Some(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn commands_with_secrets_are_known_in_any_case() {
        for name in ["saslStart", "SASLSTART", "createUser", "copydb"] {
            assert!(is_sensitive(name, &rawdoc! {}), "{name}");
        }
        assert!(!is_sensitive("find", &rawdoc! { "find": "authenticate" }));
    }

    #[test]
    fn a_hello_is_sensitive_only_with_an_authentication() {
        let speculative = rawdoc! { "hello": 1, "speculativeAuthenticate": { "saslStart": 1 } };
        assert!(is_sensitive("hello", &speculative));
        assert!(is_sensitive("isMaster", &speculative) && is_sensitive("ismaster", &speculative));
        assert!(!is_sensitive("hello", &rawdoc! { "hello": 1 }));
    }
}
