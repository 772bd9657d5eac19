//! JSON Web Tokens (RFC 7519): HS256 and EdDSA, with the cryptography of ring.
//!
//! A key is bound to its algorithm: a token whose header asks for another one, `none` included, is
//! not valid. `exp` is required, `nbf` and `aud` are looked at, and a claim `deployments` (a list
//! of names) narrows what the token is for.

use std::fmt;
use std::sync::Once;
use std::time::Duration;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation, get_current_timestamp};
use ring::{hmac, signature};
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::{Denied, Granted};

/// The keys of those who sign tokens, and whom those tokens must be meant for.
#[derive(Clone)]
pub struct JwtKeys {
    keys: Vec<(Algorithm, DecodingKey)>,
    audience: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    deployments: Option<Vec<String>>,
}

impl JwtKeys {
    /// No key yet. A token's `aud` must have `audience`: one that was made for another service
    /// does not open this one.
    pub fn new(audience: &str) -> Self {
        static PROVIDER: Once = Once::new();
        // Where the process has another provider already, that one does the same.
        PROVIDER.call_once(|| {
            let _ = RING.install_default();
        });
        Self { keys: Vec::new(), audience: audience.to_owned() }
    }

    /// Also takes tokens signed by HMAC-SHA-256 with `secret`.
    ///
    /// # Errors
    ///
    /// It is shorter than the 32 bytes of RFC 7518 section 3.2.
    pub fn with_hs256(mut self, secret: &[u8]) -> Result<Self, String> {
        if secret.len() < 32 {
            let bytes = secret.len();
            return Err(format!("a key for HS256 has at least 32 bytes, this one {bytes}"));
        }
        self.keys.push((Algorithm::HS256, DecodingKey::from_secret(secret)));
        Ok(self)
    }

    /// Also takes tokens signed by Ed25519 with the private half of `pem`, a `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn with_eddsa(mut self, pem: &[u8]) -> Result<Self, String> {
        let wrong = || "it has no Ed25519 key as PEM, BEGIN PUBLIC KEY".to_owned();
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| wrong())?;
        let key = info.strip_prefix(&ED25519_INFO).filter(|key| key.len() == 32);
        self.keys.push((Algorithm::EdDSA, DecodingKey::from_ed_der(key.ok_or_else(wrong)?)));
        Ok(self)
    }

    pub(super) fn check(&self, token: &str, deployment: &str) -> Result<Granted, Denied> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Denied::Invalid)?;
        let mut denied = Denied::Invalid;
        for (algorithm, key) in self.keys.iter().filter(|(algorithm, _)| *algorithm == header.alg) {
            match jsonwebtoken::decode::<Claims>(token, key, &self.validation(*algorithm)) {
                Ok(token) => return granted(&token.claims, deployment),
                // Another key may have signed it: the last reason that is not the signature stays.
                Err(error) => match why(error.kind()) {
                    Denied::Invalid => {}
                    other => denied = other,
                },
            }
        }
        Err(denied)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.set_audience(&[&self.audience]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECS;
        validation
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.keys.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("JwtKeys")
            .field("algorithms", &algorithms)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// How far clocks may differ.
const LEEWAY_SECS: u64 = 30;

/// The head of a SubjectPublicKeyInfo for Ed25519 (RFC 8410 section 4); 32 bytes of key follow.
const ED25519_INFO: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn granted(claims: &Claims, deployment: &str) -> Result<Granted, Denied> {
    if claims.deployments.as_ref().is_some_and(|names| names.iter().all(|name| name != deployment))
    {
        return Err(Denied::Deployment);
    }
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
    let left = claims.exp.unwrap_or_default() - get_current_timestamp() as f64 + LEEWAY_SECS as f64;
    let lifetime = Duration::try_from_secs_f64(left.clamp(0.0, LONGEST_SECS));
    Ok(Granted { lifetime: lifetime.ok() })
}

/// As good as without end, and no overflow.
const LONGEST_SECS: f64 = 1e9;

fn why(kind: &ErrorKind) -> Denied {
    match kind {
        ErrorKind::ExpiredSignature => Denied::Expired,
        ErrorKind::ImmatureSignature => Denied::Immature,
        ErrorKind::InvalidAudience => Denied::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => Denied::Expired,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Denied::Audience,
        // Signature, form, algorithm: nothing that a stranger needs to tell apart.
        _ => Denied::Invalid,
    }
}

/// The cryptography of ring. Signing is nobody's business here.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_: &Algorithm, _: &EncodingKey| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    let key = key.try_get_as_bytes()?;
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key)))),
        Algorithm::EdDSA => {
            let key = signature::UnparsedPublicKey::new(&signature::ED25519, key.to_vec());
            Ok(Box::new(EdDsa(key)))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

struct Hs256(hmac::Key);

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), SignatureError> {
        hmac::verify(&self.0, message, tag).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct EdDsa(signature::UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for EdDsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
