//! Files of TLS: what is accepted, and what is said of the rest.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A file that goes with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portolan-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn name(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A client that trusts nobody and has this file.
fn identified(file: &File, password: Option<&str>) -> Result<ClientConfig, OptionsError> {
    client(&TlsOptions {
        insecure: Some(true),
        certificate_key_file: Some(file.name()),
        certificate_key_file_password: password.map(str::to_owned),
        ..TlsOptions::default()
    })
}

fn identity() -> (String, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key)
}

#[test]
fn an_identity_is_a_certificate_and_its_key_in_any_order() {
    let (certificate, key) = identity();
    let key = key.serialize_pem();
    for (name, text) in
        [("first.pem", format!("{certificate}{key}")), ("last.pem", format!("{key}{certificate}"))]
    {
        let file = File::new(name, &text);
        assert!(identified(&file, None).unwrap().client_auth_cert_resolver.has_certs());
        // A password that nothing needs does no harm.
        assert!(identified(&file, Some("unneeded")).is_ok());
    }
}

#[test]
fn the_old_form_of_encrypted_keys_is_named() {
    let (certificate, _) = identity();
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    let file = File::new("old.pem", &format!("{certificate}{key}"));
    let error = identified(&file, Some("nautilus")).unwrap_err();
    assert!(error.to_string().contains("openssl pkcs8 -topk8"), "{error}");
}

#[cfg(feature = "tls-key-password")]
mod with_a_password {
    use pkcs8::PrivateKeyInfoRef;
    use pkcs8::der::pem::LineEnding;
    use pkcs8::pkcs5::pbes2::Parameters;

    use super::*;

    fn encrypted(key: &rcgen::KeyPair, password: &str) -> String {
        let info = PrivateKeyInfoRef::try_from(key.serialized_der()).unwrap();
        let parameters =
            Parameters::generate_pbkdf2_sha256_aes256cbc(1_000, b"saltsalt", [7; 16]).unwrap();
        let document = info.encrypt_with_params(parameters, password).unwrap();
        document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().to_string()
    }

    #[test]
    fn an_encrypted_key_needs_its_password() {
        let (certificate, key) = identity();
        let text = format!("{certificate}{}", encrypted(&key, "nautilus"));
        let file = File::new("encrypted.pem", &text);
        let config = identified(&file, Some("nautilus")).unwrap();
        assert!(config.client_auth_cert_resolver.has_certs());

        let error = identified(&file, Some("trieste")).unwrap_err();
        assert_eq!(error.options(), ["tlsCertificateKeyFilePassword"]);
        assert!(error.to_string().contains(&file.name()), "{error}");
        assert!(!error.to_string().contains("trieste"), "{error}");
        let error = identified(&file, None).unwrap_err().to_string();
        assert!(error.contains("give tlsCertificateKeyFilePassword"), "{error}");

        let cut = File::new("cut.pem", text.rsplit_once("-----END").unwrap().0);
        let error = identified(&cut, Some("nautilus")).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }

    /// As OpenSSL writes it by default: PBKDF2 with HMAC-SHA-256, AES-256-CBC.
    #[test]
    fn a_key_of_openssl_is_decrypted() {
        let key = super::super::super::encrypted_key::decrypt(OPENSSL.as_bytes(), "nautilus");
        let key = key.unwrap();
        let provider = rustls::crypto::ring::default_provider();
        assert!(provider.key_provider.load_private_key(key).is_ok());
    }

    /// `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkcs8 -topk8`
    const OPENSSL: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhi1LoOsuipDQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECDsioVxCmFesD6oNmTRATAEgZAS
8G2MBBJifULN/wmxO7peF8EVmx6YCUYb1OvZdKW0QN3VyxRyXjuJYco9WC+w5nzW
xSt44XRTVNMx1ybsTYhVo9fQLtKi8Z3s346CHoonS9dQVziFVnh4MzwgGTJWFRQY
q7UttIFW3YvAbKf8XHlRz8F9GLHSp+2M2Qp5ICrKKwPOR3iEvs4oqhFWN89pLDw=
-----END ENCRYPTED PRIVATE KEY-----
";
}

#[test]
fn authorities_are_read_from_their_file_alone() {
    let (certificate, _) = identity();
    let file = File::new("ca.pem", &format!("{certificate}{certificate}"));
    let options = TlsOptions { ca_file: Some(file.name()), ..TlsOptions::default() };
    assert!(!client(&options).unwrap().client_auth_cert_resolver.has_certs());
    let empty = File::new("empty.pem", "");
    let options = TlsOptions { ca_file: Some(empty.name()), ..TlsOptions::default() };
    let error = client(&options).unwrap_err();
    assert_eq!(error.options(), ["tlsCAFile"]);
    assert!(error.to_string().contains("a certificate in PEM form"), "{error}");
}

#[test]
fn text_stands_in_for_both_files() {
    let (certificate, key) = identity();
    let options = TlsOptions {
        ca: Some(certificate.clone()),
        certificate_key: Some(format!("{certificate}{}", key.serialize_pem())),
        // They are not looked at.
        ca_file: Some("missing.pem".to_owned()),
        certificate_key_file: Some("missing.pem".to_owned()),
        ..TlsOptions::default()
    };
    assert!(options.is_enabled(false));
    assert!(client(&options).unwrap().client_auth_cert_resolver.has_certs());
    let error = client(&TlsOptions { ca: Some("no PEM".to_owned()), ..options }).unwrap_err();
    assert_eq!(error.options(), ["tlsCAFile"]);
}
