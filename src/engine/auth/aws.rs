//! MONGODB-AWS: the server asks Amazon's token service who has signed a request.
//!
//! The client signs (Signature Version 4) and never sends the request itself. Specification: auth,
//! "MONGODB-AWS".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::raw::cstr;
use bson::{DateTime, RawBsonRef, RawDocument, RawDocumentBuf};

use super::AuthError;
use super::hash::{Hash, Hmac};
use super::sasl::binary;

type Sha256 = hmac_sha256::Hash;

/// Access to Amazon's services. `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The access key's id, which is no secret.
    pub access_key_id: String,
    /// The secret of the access key.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl AwsCredentials {
    /// Those of the environment, whose variables `variable` looks up; `None` where it has none.
    /// "The only valid combination of credentials is an access key ID and a secret access key or
    /// (those) and a session token."
    ///
    /// # Errors
    ///
    /// [`AuthError::Credential`] names the variable that is missing.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, AuthError> {
        const NAMES: [&str; 3] =
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
        let values = NAMES.map(|name| variable(name).filter(|value| !value.is_empty()));
        let missing = |name: &str| {
            Err(AuthError::Credential(format!("the environment has no variable {name}")))
        };
        match values {
            [None, None, None] => Ok(None),
            [Some(access_key_id), Some(secret_access_key), session_token] => {
                Ok(Some(Self { access_key_id, secret_access_key, session_token }))
            }
            [None, ..] => missing(NAMES[0]),
            [_, None, _] => missing(NAMES[1]),
        }
    }
}

/// Bytes of each side's nonce.
const NONCE: usize = 32;

/// The integer of 'n': no channel binding.
const GS2_CB_FLAG: i32 = 110;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// The client's nonce is sent.
pub(super) struct AwaitsServerNonce {
    nonce: [u8; NONCE],
}

impl AwaitsServerNonce {
    pub(super) fn new(entropy: &[u8]) -> Self {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&entropy[..NONCE]);
        Self { nonce }
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let mut message = RawDocumentBuf::new();
        message.append(cstr!("r"), binary(self.nonce.to_vec()));
        message.append(cstr!("p"), GS2_CB_FLAG);
        message.into_bytes()
    }

    /// "Drivers MUST validate that the server nonce is exactly 64 bytes and the first 32 bytes are
    /// the same as the client nonce."
    pub(super) fn receive(self, payload: &[u8]) -> Result<AwaitsCredentials, AuthError> {
        let document = RawDocument::from_bytes(payload);
        let document = document.map_err(|_| AuthError::malformed("its payload is no document"))?;
        let Ok(Some(RawBsonRef::Binary(nonce))) = document.get("s") else {
            return Err(AuthError::malformed("it has no nonce"));
        };
        if nonce.bytes.len() != 2 * NONCE || !nonce.bytes.starts_with(&self.nonce) {
            return Err(AuthError::WrongNonce);
        }
        let host = document.get_str("h").unwrap_or_default();
        let region = region(host).ok_or_else(|| AuthError::malformed("its STS host is no name"))?;
        Ok(AwaitsCredentials {
            server_nonce: BASE64.encode(nonce.bytes),
            host: host.to_owned(),
            region: region.to_owned(),
        })
    }
}

/// "Region Calculation"; `None` for a host that is none.
fn region(host: &str) -> Option<&str> {
    // What stands in a header must not end its line.
    let name = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if host.len() > 255 || !host.split('.').all(name) {
        return None;
    }
    if host == "sts.amazonaws.com" {
        return Some("us-east-1");
    }
    Some(host.split('.').nth(1).unwrap_or("us-east-1"))
}

/// The server's nonce is known, the credentials are not.
pub(super) struct AwaitsCredentials {
    server_nonce: String,
    host: String,
    region: String,
}

impl AwaitsCredentials {
    /// The answer, signed at this moment (seconds since 1970).
    pub(super) fn sign(
        &self,
        credentials: &AwsCredentials,
        unix_seconds: i64,
    ) -> Result<Vec<u8>, AuthError> {
        let text = [&credentials.access_key_id, &credentials.secret_access_key];
        if text.iter().any(|text| text.is_empty()) {
            let what = "the access key's id or its secret is empty";
            return Err(AuthError::Credential(what.to_owned()));
        }
        let date = amazon_date(unix_seconds)?;
        let mut message = RawDocumentBuf::new();
        message.append(cstr!("a"), self.authorization(credentials, &date));
        message.append(cstr!("d"), date);
        if let Some(token) = &credentials.session_token {
            message.append(cstr!("t"), token.as_str());
        }
        Ok(message.into_bytes())
    }

    /// The header `Authorization` of the request.
    fn authorization(&self, credentials: &AwsCredentials, date: &str) -> String {
        let headers = self.headers(credentials, date);
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(Sha256::of(BODY.as_bytes())));
        let day = &date[..8];
        let scope = format!("{day}/{}/sts/aws4_request", self.region);
        let hash = hex(Sha256::of(request.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let secret = format!("AWS4{}", credentials.secret_access_key);
        let parts = [day, &self.region, "sts", "aws4_request", &to_sign];
        let signature = parts.iter().fold(secret.into_bytes(), |key, part| {
            Hmac::<Sha256>::new(&key).of(part.as_bytes()).to_vec()
        });
        let id = &credentials.access_key_id;
        let signature = hex(signature);
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// What is signed, in the order of the names.
    fn headers(&self, credentials: &AwsCredentials, date: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-length", BODY.len().to_string()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("host", self.host.clone()),
            ("x-amz-date", date.to_owned()),
        ];
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.clone()));
        }
        headers.push(("x-mongodb-gs2-cb-flag", "n".to_owned()));
        headers.push(("x-mongodb-server-nonce", self.server_nonce.clone()));
        headers
    }
}

/// "20191107T002607Z".
fn amazon_date(unix_seconds: i64) -> Result<String, AuthError> {
    let moment = DateTime::from_millis(unix_seconds.saturating_mul(1_000));
    let text = moment.try_to_rfc3339_string();
    let text = text.map_err(|_| AuthError::Credential("the clock shows no date".to_owned()))?;
    Ok(text.chars().filter(|c| !matches!(c, '-' | ':')).collect())
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn begun() -> AwaitsServerNonce {
        let entropy: Vec<u8> = (0..64).collect();
        AwaitsServerNonce::new(&entropy)
    }

    fn answer(nonce: Vec<u8>, host: &str) -> Result<AwaitsCredentials, AuthError> {
        let payload = rawdoc! { "s": binary(nonce), "h": host };
        begun().receive(payload.as_bytes())
    }

    /// Signatures that Amazon's own library makes of the same request at the same moment.
    #[test]
    fn signatures_are_those_of_amazon_s_library() {
        let sign = |host: &str, token: Option<&str>| {
            let credentials = AwsCredentials {
                access_key_id: "AKIDEXAMPLE".to_owned(),
                secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                session_token: token.map(str::to_owned),
            };
            let awaits = answer((0..64).collect(), host).unwrap_or_else(|e| panic!("{e}"));
            let bytes = awaits.sign(&credentials, 1_573_086_367).unwrap();
            RawDocumentBuf::from_bytes(bytes).unwrap()
        };
        let plain = sign("sts.amazonaws.com", None);
        assert_eq!(plain.get_str("d").unwrap(), "20191107T002607Z");
        assert!(plain.get("t").unwrap().is_none());
        assert_eq!(
            plain.get_str("a").unwrap(),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20191107/us-east-1/sts/aws4_request, \
             SignedHeaders=content-length;content-type;host;x-amz-date;x-mongodb-gs2-cb-flag;\
             x-mongodb-server-nonce, \
             Signature=8f7d03168086ba4f07d2ae731d339e0494074ed075258e75c48519b7406a039d"
        );
        let temporary = sign("sts.us-west-2.amazonaws.com", Some("token+/="));
        assert_eq!(temporary.get_str("t").unwrap(), "token+/=");
        let header = temporary.get_str("a").unwrap();
        let end = "Signature=d1678d5c963e31d12b340e70a99fc4c685f590cde3ace1c3362bd342ec736124";
        assert!(header.ends_with(end) && header.contains("/us-west-2/sts/"), "{header}");
    }

    /// The table of "Region Calculation".
    #[test]
    fn a_region_follows_from_the_host() {
        for (host, expected) in [
            ("sts.amazonaws.com", Some("us-east-1")),
            ("sts.us-west-2.amazonaws.com", Some("us-west-2")),
            ("sts.us-west-2.amazonaws.com.ch", Some("us-west-2")),
            ("example.com", Some("com")),
            ("localhost", Some("us-east-1")),
            ("sts..com", None),
            (".amazonaws.com", None),
            ("sts.amazonaws.", None),
            ("", None),
            ("host\nx-evil:1", None),
        ] {
            assert_eq!(region(host), expected, "{host}");
        }
        assert_eq!(region(&"h".repeat(256)), None);
    }

    #[test]
    fn a_lie_of_the_server_ends_it() {
        let host = "sts.amazonaws.com";
        let error = |nonce: Vec<u8>| answer(nonce, host).err();
        assert_eq!(error((0..63).collect()), Some(AuthError::WrongNonce));
        assert_eq!(error((1..65).collect()), Some(AuthError::WrongNonce));
        assert_eq!(error((0..64).collect()), None);
        let malformed = answer((0..64).collect(), "a..b").err();
        assert!(matches!(malformed, Some(AuthError::Malformed { .. })));
        assert!(matches!(begun().receive(b"noise").err(), Some(AuthError::Malformed { .. })));
        let message = RawDocumentBuf::from_bytes(begun().message()).unwrap();
        assert_eq!(message.get_i32("p").unwrap(), 110);
    }

    #[test]
    fn the_environment_has_both_or_neither() {
        let of = |set: &'static [&'static str]| {
            AwsCredentials::from_environment(|name| {
                set.contains(&name).then(|| format!("the {name}"))
            })
        };
        assert_eq!(of(&[]), Ok(None));
        let both = of(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).unwrap().unwrap();
        assert_eq!(both.session_token, None);
        assert!(!format!("{both:?}").contains("SECRET"), "{both:?}");
        let error = of(&["AWS_ACCESS_KEY_ID"]).unwrap_err().to_string();
        assert!(error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
        let error = of(&["AWS_SECRET_ACCESS_KEY"]).unwrap_err().to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
