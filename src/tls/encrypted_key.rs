//! Private keys that a password protects (PKCS #8, RFC 5958).

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The key in `pem`, which has an encrypted one; the reason, where there is none to be had.
pub(super) fn decrypt(pem: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(pem);
    let from = text.find(BEGIN).ok_or("there is none")?;
    let to = text[from..].find(END).ok_or("it is cut off")? + END.len();
    let (_, document) =
        SecretDocument::from_pem(&text[from..from + to]).map_err(|error| error.to_string())?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| error.to_string())?;
    let key = encrypted.decrypt(password).map_err(|error| error.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
