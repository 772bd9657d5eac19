//! How connections are encrypted.

use std::fmt;

/// The TLS options of a connection string (uri-options). `None` where an option is not given.
///
/// Files are named, not read: what can be read depends on where the client runs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether to use TLS (`tls`, `ssl`).
    pub enabled: Option<bool>,
    /// File of the certificate authorities to trust.
    pub ca_file: Option<String>,
    /// File of the client's certificate and private key.
    pub certificate_key_file: Option<String>,
    /// The password of that private key.
    pub certificate_key_file_password: Option<String>,
    /// Accept any certificate. For tests only.
    pub allow_invalid_certificates: Option<bool>,
    /// Accept a certificate of another host. For tests only.
    pub allow_invalid_hostnames: Option<bool>,
    /// Check as little as possible. For tests only.
    pub insecure: Option<bool>,
    /// Do not ask OCSP responders whether a certificate is revoked.
    pub disable_ocsp_endpoint_check: Option<bool>,
    /// Do not check at all whether a certificate is revoked.
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
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.certificate_key_file_password.as_ref().map(|_| "REDACTED");
        f.debug_struct("TlsOptions")
            .field("enabled", &self.enabled)
            .field("ca_file", &self.ca_file)
            .field("certificate_key_file", &self.certificate_key_file)
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

    #[test]
    fn no_text_shows_the_password() {
        let password = Some("hunter2".into());
        let tls = TlsOptions { certificate_key_file_password: password, ..TlsOptions::default() };
        assert!(!format!("{tls:?}").contains("hunter2"));
    }
}
