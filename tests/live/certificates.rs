//! Certificates for tests: made when they are needed, so that none is kept and none expires.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key of a server of these hosts (names and IP addresses).
    pub(crate) fn server(&self, hosts: &[&str]) -> Identity {
        self.sign(hosts, "server", ExtendedKeyUsagePurpose::ServerAuth, |_| {})
    }

    /// The same, expired three days ago.
    pub(crate) fn expired_server(&self, hosts: &[&str]) -> Identity {
        self.sign(hosts, "server", ExtendedKeyUsagePurpose::ServerAuth, |params| {
            let day = Duration::from_secs(24 * 60 * 60);
            params.not_before = (SystemTime::now() - 10 * day).into();
            params.not_after = (SystemTime::now() - 3 * day - day / 2).into();
        })
    }

    /// Certificate and key of a member of a set, which is server and client to the others.
    pub(crate) fn member(&self, hosts: &[&str]) -> Identity {
        self.sign(hosts, "member", ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        })
    }

    /// Certificate and key of a client of this name.
    pub(crate) fn client(&self, name: &str) -> Identity {
        self.sign(&[], name, ExtendedKeyUsagePurpose::ClientAuth, |params| {
            // A subject of the servers' own organization and unit would be one of them.
            params.distinguished_name.push(DnType::OrganizationalUnitName, "clients");
        })
    }

    fn sign(
        &self,
        hosts: &[&str],
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.distinguished_name.push(DnType::OrganizationName, "Portolan tests");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate and its private key, in PEM form.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    /// Both in one text, as `tlsCertificateKeyFile` wants them.
    pub(crate) fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

/// A folder of files that goes with it.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portolan-certificates-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub(crate) fn folder(&self) -> String {
        self.0.to_str().expect("a path of ASCII").to_owned()
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path of ASCII").to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
