//! A TLS listener with any certificate, behind which nobody answers.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::certificates::Identity;

/// The listener; its thread ends with the test's process.
pub(crate) struct Terminator {
    address: SocketAddr,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl Terminator {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start(identity: &Identity) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let key = provider.key_provider.load_private_key(key).expect("a key of a known kind");
        let key = CertifiedKey::new(vec![certificate.expect("a certificate")], key);
        let names: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let resolver = Resolver { key: Arc::new(key), names: names.clone() };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider knows")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = config.clone();
                thread::spawn(move || serve(config, stream));
            }
        });
        Self { address, names }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The names that clients have sent along, connection by connection.
    pub(crate) fn names(&self) -> Vec<Option<String>> {
        self.names.lock().expect("a thread panicked").clone()
    }
}

/// Shakes hands, reads what comes first, and hangs up.
fn serve(config: Arc<ServerConfig>, mut socket: TcpStream) {
    let mut connection = ServerConnection::new(config).expect("a good configuration");
    let _ = Stream::new(&mut connection, &mut socket).read(&mut [0; 1_000]);
}

#[derive(Debug)]
struct Resolver {
    key: Arc<CertifiedKey>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(ToOwned::to_owned);
        self.names.lock().expect("a thread panicked").push(name);
        Some(self.key.clone())
    }
}
