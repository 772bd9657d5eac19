//! From the parts of a connection string to a credential.
//!
//! Specification: auth, "Connection String Options" and "Supported Authentication Methods".

use super::OptionsError;
use crate::engine::auth::{AuthMechanism, Credential};
use crate::engine::map::SortedMap;

/// What a connection string says of a credential.
#[derive(Clone, Default)]
pub(crate) struct CredentialParts {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) auth_source: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) mechanism: Option<AuthMechanism>,
    pub(crate) properties: SortedMap<String, String>,
}

impl CredentialParts {
    /// The credential with the mechanism's defaults; `None` where the client does not authenticate
    /// (a database or an authSource alone asks for nothing).
    pub(crate) fn build(self) -> Result<Option<Credential>, OptionsError> {
        if self.username.is_some() || self.mechanism.is_some() {
            self.check()?;
        }
        Ok(self.assemble())
    }

    /// The same without checks. What is missing fails when the client authenticates: it must not be
    /// forgotten that it was to.
    pub(crate) fn assemble(mut self) -> Option<Credential> {
        if self.username.is_none() && self.mechanism.is_none() {
            return None;
        }
        if self.mechanism == Some(AuthMechanism::Gssapi) {
            let name = "SERVICE_NAME".to_owned();
            self.properties.get_or_insert_with(name, || "mongodb".to_owned());
        }
        Some(Credential {
            source: self.source(),
            username: self.username,
            password: self.password,
            prepared_password: None,
            mechanism: self.mechanism,
            mechanism_properties: self.properties,
        })
    }

    fn check(&self) -> Result<(), OptionsError> {
        use AuthMechanism as M;
        self.check_user()?;
        match self.mechanism {
            Some(mechanism @ (M::MongoDbX509 | M::Gssapi | M::MongoDbAws | M::MongoDbOidc))
                if self.auth_source.as_deref().is_some_and(|source| source != EXTERNAL) =>
            {
                let name = mechanism.as_str();
                invalid(format!("{name} works with authSource=$external only"))
            }
            Some(M::Gssapi) => check_gssapi(&self.properties),
            Some(M::MongoDbOidc) => check_oidc(&self.properties, self.username.is_some()),
            _ => Ok(()),
        }
    }

    fn check_user(&self) -> Result<(), OptionsError> {
        use AuthMechanism as M;
        let (user, password) = (self.username.is_some(), self.password.is_some());
        let Some(mechanism) = self.mechanism else { return Ok(()) };
        let name = mechanism.as_str();
        match mechanism {
            M::ScramSha1 | M::ScramSha256 | M::Plain | M::Gssapi if !user => {
                invalid(format!("{name} needs a user name; write mongodb://user:password@host"))
            }
            M::MongoDbX509 | M::MongoDbOidc if password => {
                invalid(format!("{name} takes no password; remove it"))
            }
            // "If credentials are provided in the URI or client options, the driver MUST raise an
            // error."
            M::MongoDbAws if user || self.properties.contains_key("AWS_SESSION_TOKEN") => {
                invalid(format!(
                    "{name} takes its credentials from the environment (AWS_ACCESS_KEY_ID and so \
                     on) or from a provider (aws_credentials), not from the connection string; \
                     remove them"
                ))
            }
            _ => Ok(()),
        }
    }

    /// authSource, else what the mechanism defaults to.
    fn source(&self) -> String {
        use AuthMechanism as M;
        let given = self.auth_source.as_deref();
        let source = match self.mechanism {
            Some(M::MongoDbX509 | M::Gssapi | M::MongoDbAws | M::MongoDbOidc) => EXTERNAL,
            Some(M::Plain) => given.or(self.database.as_deref()).unwrap_or(EXTERNAL),
            None | Some(M::ScramSha1 | M::ScramSha256) => {
                given.or(self.database.as_deref()).unwrap_or("admin")
            }
        };
        source.to_owned()
    }
}

/// The source of users that another system knows.
const EXTERNAL: &str = "$external";

fn invalid<T>(message: String) -> Result<T, OptionsError> {
    Err(OptionsError::Credential(message))
}

fn check_gssapi(properties: &SortedMap<String, String>) -> Result<(), OptionsError> {
    const NAME: &str = "CANONICALIZE_HOST_NAME";
    const ALLOWED: [&str; 5] = ["none", "forward", "forwardAndReverse", "true", "false"];
    if properties.get(NAME).is_some_and(|value| !ALLOWED.contains(&value.as_str())) {
        return invalid(format!("{NAME} must be one of {}", ALLOWED.join(", ")));
    }
    Ok(())
}

fn check_oidc(properties: &SortedMap<String, String>, user: bool) -> Result<(), OptionsError> {
    const KNOWN: [&str; 2] = ["ENVIRONMENT", "TOKEN_RESOURCE"];
    if let Some(name) = properties.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return invalid(format!(
            "MONGODB-OIDC has no property {name}; it has {}",
            KNOWN.join(", ")
        ));
    }
    let resource = properties.contains_key("TOKEN_RESOURCE");
    match properties.get("ENVIRONMENT").map(String::as_str) {
        Some("azure" | "gcp") if !resource => {
            invalid("MONGODB-OIDC on azure and gcp needs the property TOKEN_RESOURCE".to_owned())
        }
        Some("azure") => Ok(()),
        Some("test" | "gcp" | "k8s") if user => {
            invalid("MONGODB-OIDC takes a user name with ENVIRONMENT:azure only".to_owned())
        }
        Some("test" | "gcp" | "k8s") => Ok(()),
        _ => invalid("MONGODB-OIDC needs ENVIRONMENT:azure, gcp, k8s or test".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(mechanism: Option<AuthMechanism>) -> CredentialParts {
        CredentialParts {
            username: Some("ann".into()),
            password: Some("secret".into()),
            mechanism,
            ..CredentialParts::default()
        }
    }

    #[test]
    fn no_text_shows_the_password() {
        let mut credential = parts(None).build().unwrap().unwrap();
        credential.mechanism_properties.insert("AWS_SESSION_TOKEN".into(), "secret".into());
        let text = format!("{credential:?}");
        assert!(text.contains("ann") && text.contains("AWS_SESSION_TOKEN"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn the_source_follows_the_mechanism() {
        let source = |mechanism, database: Option<&str>| {
            let parts = CredentialParts { database: database.map(Into::into), ..parts(mechanism) };
            parts.build().unwrap().unwrap().source
        };
        assert_eq!(source(None, None), "admin");
        assert_eq!(source(None, Some("db")), "db");
        assert_eq!(source(Some(AuthMechanism::Plain), None), "$external");
        assert_eq!(source(Some(AuthMechanism::Gssapi), Some("db")), "$external");
    }

    #[test]
    fn a_database_alone_is_no_request_to_authenticate() {
        let parts = CredentialParts { database: Some("db".into()), ..CredentialParts::default() };
        assert_eq!(parts.build(), Ok(None));
    }
}
