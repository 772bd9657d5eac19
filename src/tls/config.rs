//! What rustls is told: whom to trust, who the client is, how strict to be.

use std::fs;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::verify::{AnyCertificate, AnyHost};
use crate::options::{OptionsError, TlsOptions};

/// The configuration that `options` ask for.
pub(super) fn client(options: &TlsOptions) -> Result<ClientConfig, OptionsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| OptionsError::conflict(&["tls"], error.to_string()))?;
    let insecure = options.insecure == Some(true);
    let wants_client = if insecure || options.allow_invalid_certificates == Some(true) {
        let any = AnyCertificate(provider.signature_verification_algorithms);
        versions.dangerous().with_custom_certificate_verifier(Arc::new(any))
    } else {
        let verifier = verifier(options, provider)?;
        if options.allow_invalid_hostnames == Some(true) {
            let any = AnyHost(verifier);
            versions.dangerous().with_custom_certificate_verifier(Arc::new(any))
        } else {
            versions.with_webpki_verifier(verifier)
        }
    };
    let (file, pem) = match (&options.certificate_key, &options.certificate_key_file) {
        (Some(text), _) => (GIVEN, text.clone().into_bytes()),
        (None, Some(file)) => (file.as_str(), read("tlsCertificateKeyFile", file)?),
        (None, None) => return Ok(wants_client.with_no_client_auth()),
    };
    // The key first: what is said of one that is encrypted is of more use.
    let key = private_key(file, &pem, options.certificate_key_file_password.as_deref())?;
    let chain = certificates("tlsCertificateKeyFile", file, &pem)?;
    wants_client.with_client_auth_cert(chain, key).map_err(|error| {
        let expected = format!("a certificate with its own private key ({error})");
        bad("tlsCertificateKeyFile", file, expected)
    })
}

fn verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, OptionsError> {
    let roots = Arc::new(match (&options.ca, &options.ca_file) {
        (Some(text), _) => roots_of(GIVEN, text.as_bytes())?,
        (None, Some(file)) => roots_of(file, &read("tlsCAFile", file)?)?,
        (None, None) => roots_of_the_system()?,
    });
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
    verifier.build().map_err(|error| OptionsError::conflict(&["tlsCAFile"], error.to_string()))
}

/// What a file is called in messages whose text was given in its place.
const GIVEN: &str = "the text in its place";

/// The authorities of `file`, whose content is `pem`, and no others.
fn roots_of(file: &str, pem: &[u8]) -> Result<RootCertStore, OptionsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tlsCAFile", file, pem)? {
        roots.add(certificate).map_err(|error| {
            bad("tlsCAFile", file, format!("a file of certificates of authorities ({error})"))
        })?;
    }
    Ok(roots)
}

/// wasm32 has no system: those of Mozilla's list.
#[cfg(target_arch = "wasm32")]
fn roots_of_the_system() -> Result<RootCertStore, OptionsError> {
    Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
}

#[cfg(not(target_arch = "wasm32"))]
fn roots_of_the_system() -> Result<RootCertStore, OptionsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems keep what no parser accepts beside what is good.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(OptionsError::conflict(
            &["tls", "tlsCAFile"],
            format!(
                "this system has no list of certificate authorities{why}; install one \
                 (ca-certificates), or name a file of authorities in tlsCAFile"
            ),
        ));
    }
    Ok(roots)
}

fn read(option: &'static str, file: &str) -> Result<Vec<u8>, OptionsError> {
    if cfg!(target_arch = "wasm32") {
        let expected = "given as text (ca, certificateKey): files are not read here".to_owned();
        return Err(bad(option, file, expected));
    }
    fs::read(file).map_err(|error| bad(option, file, format!("a file that can be read ({error})")))
}

fn certificates(
    option: &'static str,
    file: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, OptionsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(bad(option, file, "a file with a certificate in PEM form".to_owned())),
        Err(error) => {
            Err(bad(option, file, format!("a file of certificates in PEM form ({error})")))
        }
    }
}

fn private_key(
    file: &str,
    pem: &[u8],
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, OptionsError> {
    const OPTION: &str = "tlsCertificateKeyFile";
    if contains(pem, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return decrypted(file, pem, password);
    }
    if contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        let expected = "a file whose private key is encrypted in the form of PKCS #8 (`openssl \
                        pkcs8 -topk8` makes it so)";
        return Err(bad(OPTION, file, expected.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let expected = "a file with a certificate and its private key in PEM form";
        bad(OPTION, file, expected.to_owned())
    })
}

fn decrypted(
    file: &str,
    pem: &[u8],
    password: Option<&str>,
) -> Result<PrivateKeyDer<'static>, OptionsError> {
    let Some(password) = password else {
        return Err(OptionsError::conflict(
            &["tlsCertificateKeyFile", "tlsCertificateKeyFilePassword"],
            format!("the private key in {file} is encrypted; give tlsCertificateKeyFilePassword"),
        ));
    };
    #[cfg(feature = "tls-key-password")]
    return super::encrypted_key::decrypt(pem, password).map_err(|reason| OptionsError::BadValue {
        option: "tlsCertificateKeyFilePassword",
        value: None,
        expected: format!("the password of the private key in {file} ({reason})"),
    });
    #[cfg(not(feature = "tls-key-password"))]
    {
        let _ = (pem, password);
        Err(OptionsError::conflict(
            &["tlsCertificateKeyFilePassword"],
            format!(
                "the private key in {file} is encrypted, and portolan was built without its \
                 feature \"tls-key-password\"; switch it on, also by the same name in the \
                 transport's crate"
            ),
        ))
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn bad(option: &'static str, file: &str, expected: String) -> OptionsError {
    OptionsError::BadValue { option, value: Some(file.to_owned()), expected }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
