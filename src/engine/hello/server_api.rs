//! The Stable API: the version of the server's behaviour that a client declares with every command.
//!
//! Specification: versioned-api "Sending Declared API Version to the Server".

use bson::RawDocumentBuf;
use bson::raw::cstr;
use serde::{Deserialize, Serialize};

/// A version of the Stable API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ServerApiVersion {
    /// Version 1, of servers from 5.0 on.
    #[serde(rename = "1")]
    V1,
}

impl ServerApiVersion {
    /// The version as the server writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
        }
    }
}

impl std::str::FromStr for ServerApiVersion {
    /// What is wrong.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" => Ok(Self::V1),
            other => Err(format!("\"{other}\" is no version of the Stable API; there is \"1\"")),
        }
    }
}

/// The Stable API that a client declares: the server behaves by that version, whatever its own.
///
/// It is set once for a client ([`ClientOptions::server_api`](crate::ClientOptions::server_api)),
/// never by a connection string, and goes with every command (versioned-api). A command of one's
/// own that says `apiVersion` itself, by a client that declares one too, is not defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerApi {
    /// The version.
    pub version: ServerApiVersion,
    /// Whether the server refuses commands outside the version (`apiStrict`); `None` for its
    /// default, which is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Whether the server refuses what is deprecated in the version (`apiDeprecationErrors`);
    /// `None` for its default, which is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecation_errors: Option<bool>,
}

impl From<ServerApiVersion> for ServerApi {
    fn from(version: ServerApiVersion) -> Self {
        Self { version, strict: None, deprecation_errors: None }
    }
}

impl ServerApi {
    /// Version 1, and nothing else declared.
    pub const V1: Self =
        Self { version: ServerApiVersion::V1, strict: None, deprecation_errors: None };

    /// Whether the server refuses commands outside the version.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = Some(strict);
        self
    }

    /// Whether the server refuses what is deprecated in the version.
    #[must_use]
    pub fn deprecation_errors(mut self, errors: bool) -> Self {
        self.deprecation_errors = Some(errors);
        self
    }

    /// Declares it in a command: what was set, "even when the specified value is equal to the
    /// server default", and nothing that was not.
    pub fn append_to(self, command: &mut RawDocumentBuf) {
        command.append(cstr!("apiVersion"), self.version.as_str());
        if let Some(strict) = self.strict {
            command.append(cstr!("apiStrict"), strict);
        }
        if let Some(errors) = self.deprecation_errors {
            command.append(cstr!("apiDeprecationErrors"), errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;

    #[test]
    fn only_what_was_set_is_declared() {
        let declared = |api: ServerApi| {
            let mut command = RawDocumentBuf::new();
            api.append_to(&mut command);
            Document::try_from(command).unwrap()
        };
        assert_eq!(declared(ServerApi::V1), doc! { "apiVersion": "1" });
        let all = ServerApi::from(ServerApiVersion::V1).strict(false).deprecation_errors(true);
        let expected = doc! { "apiVersion": "1", "apiStrict": false, "apiDeprecationErrors": true };
        assert_eq!(declared(all), expected);
        assert_eq!("1".parse(), Ok(ServerApiVersion::V1));
        assert!("2".parse::<ServerApiVersion>().is_err());
    }
}
