//! How connections are encrypted.

use std::fmt;

use super::OptionsError;

/// The TLS options of a connection string (uri-options). `None` where an option is not given.
///
/// Files are in PEM form. They are read when a client is made of the options, once.
///
/// ```
/// use portolan::ClientOptions;
///
/// let options = ClientOptions::parse("mongodb://db.example/?tls=true&tlsCAFile=ca.pem")?;
/// assert_eq!(options.tls.ca_file.as_deref(), Some("ca.pem"));
/// # Ok::<_, portolan::options::OptionsError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether to use TLS (`tls`, `ssl`); by default only for SRV connection strings, and where
    /// another option of TLS is given.
    pub enabled: Option<bool>,
    /// File of the certificate authorities to trust, and no others (`tlsCAFile`); those of the
    /// system by default.
    pub ca_file: Option<String>,
    /// Those authorities as text in PEM form, in place of the file: for what comes out of a
    /// secret store, and for runtimes without files.
    pub ca: Option<String>,
    /// File of the client's certificate, with those that lead to its authority, and private key
    /// (`tlsCertificateKeyFile`).
    pub certificate_key_file: Option<String>,
    /// That certificate and its private key as text in PEM form, in place of the file.
    pub certificate_key: Option<String>,
    /// The password of that private key, where it is encrypted by PKCS #8; needs the crate's
    /// feature `tls-key-password` (`tlsCertificateKeyFilePassword`).
    pub certificate_key_file_password: Option<String>,
    /// Accept any certificate, also one of another host (`tlsAllowInvalidCertificates`). Anybody
    /// can read and change what is sent: for tests only.
    pub allow_invalid_certificates: Option<bool>,
    /// Accept a certificate of another host (`tlsAllowInvalidHostnames`). Whoever has a certificate
    /// can read and change what is sent: for tests only.
    pub allow_invalid_hostnames: Option<bool>,
    /// Check as little as possible: accept any certificate (`tlsInsecure`). For tests only.
    pub insecure: Option<bool>,
    /// Do not ask OCSP responders whether a certificate is revoked
    /// (`tlsDisableOCSPEndpointCheck`). This driver never does.
    pub disable_ocsp_endpoint_check: Option<bool>,
    /// Do not check at all whether a certificate is revoked
    /// (`tlsDisableCertificateRevocationCheck`). This driver never does.
    pub disable_certificate_revocation_check: Option<bool>,
}

impl TlsOptions {
    /// Whether connections use TLS, where the deployment is found through SRV records or not.
    ///
    /// `tls` (or `ssl`) decides where it is given. Else TLS is on for SRV connection strings, and
    /// where any other TLS option is given.
    pub fn is_enabled(&self, srv: bool) -> bool {
        let other = Self { enabled: None, ..self.clone() } != Self::default();
        self.enabled.unwrap_or(srv || other)
    }

    /// uri-options "Conflicting TLS options": these may not be given together, whatever their
    /// values. That `tls` and `ssl` differ can only be seen in a connection string.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        const INSECURE: &str = "tlsInsecure";
        const CERTIFICATES: &str = "tlsAllowInvalidCertificates";
        const HOSTNAMES: &str = "tlsAllowInvalidHostnames";
        const OCSP: &str = "tlsDisableOCSPEndpointCheck";
        const REVOCATION: &str = "tlsDisableCertificateRevocationCheck";
        const CONFLICTS: [[&str; 2]; 7] = [
            [INSECURE, CERTIFICATES],
            [INSECURE, HOSTNAMES],
            [INSECURE, OCSP],
            [INSECURE, REVOCATION],
            [CERTIFICATES, OCSP],
            [CERTIFICATES, REVOCATION],
            [OCSP, REVOCATION],
        ];
        let given = |name| match name {
            INSECURE => self.insecure.is_some(),
            CERTIFICATES => self.allow_invalid_certificates.is_some(),
            HOSTNAMES => self.allow_invalid_hostnames.is_some(),
            OCSP => self.disable_ocsp_endpoint_check.is_some(),
            _ => self.disable_certificate_revocation_check.is_some(),
        };
        for [one, other] in CONFLICTS {
            if given(one) && given(other) {
                let message =
                    format!("{one} and {other} must not be given together; remove either");
                return Err(OptionsError::conflict(&[one, other], message));
            }
        }
        Ok(())
    }

    /// What is not checked, in a sentence for the log; `None` where everything is.
    pub(crate) fn danger(&self) -> Option<&'static str> {
        if self.insecure == Some(true) {
            Some(
                "tlsInsecure=true: the server's certificate is not checked; anybody can read and \
                 change what is sent",
            )
        } else if self.allow_invalid_certificates == Some(true) {
            Some(
                "tlsAllowInvalidCertificates=true: the server's certificate is not checked; \
                 anybody can read and change what is sent",
            )
        } else if self.allow_invalid_hostnames == Some(true) {
            Some(
                "tlsAllowInvalidHostnames=true: the server's name is not checked; whoever has a \
                 certificate can read and change what is sent",
            )
        } else {
            None
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.certificate_key_file_password.as_ref().map(|_| "REDACTED");
        let key = self.certificate_key.as_ref().map(|_| "REDACTED");
        f.debug_struct("TlsOptions")
            .field("enabled", &self.enabled)
            .field("ca_file", &self.ca_file)
            .field("ca", &self.ca)
            .field("certificate_key_file", &self.certificate_key_file)
            .field("certificate_key", &key)
            .field("certificate_key_file_password", &password)
            .field("allow_invalid_certificates", &self.allow_invalid_certificates)
            .field("allow_invalid_hostnames", &self.allow_invalid_hostnames)
            .field("insecure", &self.insecure)
            .field("disable_ocsp_endpoint_check", &self.disable_ocsp_endpoint_check)
            .field(
                "disable_certificate_revocation_check",
                &self.disable_certificate_revocation_check,
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_follows_from_srv_and_from_its_options() {
        let none = TlsOptions::default();
        assert!(!none.is_enabled(false) && none.is_enabled(true));
        let file = TlsOptions { ca_file: Some("ca.pem".into()), ..TlsOptions::default() };
        assert!(file.is_enabled(false));
        let off = TlsOptions { enabled: Some(false), ..file };
        assert!(!off.is_enabled(true));
    }

    /// UO-05, for options made by hand.
    #[test]
    fn options_that_contradict_each_other_are_named() {
        type Set = fn(&mut TlsOptions);
        let set: [(&str, Set); 5] = [
            ("tlsInsecure", |tls| tls.insecure = Some(true)),
            ("tlsAllowInvalidCertificates", |tls| tls.allow_invalid_certificates = Some(true)),
            ("tlsAllowInvalidHostnames", |tls| tls.allow_invalid_hostnames = Some(false)),
            ("tlsDisableOCSPEndpointCheck", |tls| tls.disable_ocsp_endpoint_check = Some(false)),
            ("tlsDisableCertificateRevocationCheck", |tls| {
                tls.disable_certificate_revocation_check = Some(true);
            }),
        ];
        let mut conflicts = 0;
        for (i, (one, set_one)) in set.iter().enumerate() {
            for (other, set_other) in &set[i + 1..] {
                let mut tls = TlsOptions::default();
                set_one(&mut tls);
                assert_eq!(tls.check(), Ok(()), "{one} alone");
                set_other(&mut tls);
                if let Err(error) = tls.check() {
                    assert_eq!(error.options(), [*one, *other]);
                    conflicts += 1;
                } else {
                    assert_eq!([*one, *other].concat().matches("Hostnames").count(), 1);
                }
            }
        }
        assert_eq!(conflicts, 7);
    }

    #[test]
    fn what_is_not_checked_is_said() {
        assert_eq!(TlsOptions::default().danger(), None);
        let set: [fn(&mut TlsOptions); 3] = [
            |tls| tls.insecure = Some(true),
            |tls| tls.allow_invalid_certificates = Some(true),
            |tls| tls.allow_invalid_hostnames = Some(true),
        ];
        let mut texts: Vec<_> = set
            .iter()
            .map(|set| {
                let mut tls = TlsOptions::default();
                set(&mut tls);
                tls.danger().unwrap()
            })
            .collect();
        texts.dedup();
        assert_eq!(texts.len(), 3);
    }

    #[test]
    fn no_text_shows_the_password_or_the_key() {
        let secret = Some("hunter2".to_owned());
        let tls = TlsOptions {
            certificate_key_file_password: secret.clone(),
            certificate_key: secret,
            ..TlsOptions::default()
        };
        assert!(!format!("{tls:?}").contains("hunter2"));
    }
}
