//! Carries bytes for the SOCKS5 machine (socks5-support "Connection Establishment").

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};

use super::open::OpenError;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::LinkErrorKind;
use crate::engine::socks5::{Socks5, Step};
use crate::options::ProxyOptions;
use crate::transport::{BoxStream, Transport};

/// A stream to `port` of `host`, through `proxy`.
///
/// Every failure is the proxy's, which "does not indicate server overload for backpressure
/// purposes".
pub(crate) async fn connect(
    transport: &dyn Transport,
    proxy: &ProxyOptions,
    host: &str,
    port: u16,
) -> Result<BoxStream, OpenError> {
    let address = ServerAddress::tcp(proxy.host.trim_matches(['[', ']']), proxy.port);
    let failed = |what: &dyn std::fmt::Display| {
        OpenError::new(LinkErrorKind::Proxy, format!("SOCKS5 proxy {address}: {what}"))
    };
    let mut stream = transport.connect(&address).await.map_err(|error| failed(&error))?;
    let credentials = proxy.username.as_deref().zip(proxy.password.as_deref());
    let (mut machine, mut step) =
        Socks5::begin(host, port, credentials).map_err(|error| failed(&error))?;
    let mut received = Vec::new();
    while let Step::Exchange { send, read } = step {
        stream.write_all(&send).await.map_err(|error| failed(&error))?;
        stream.flush().await.map_err(|error| failed(&error))?;
        received.resize(read, 0);
        stream.read_exact(&mut received).await.map_err(|error| failed(&error))?;
        step = machine.advance(&received).map_err(|error| failed(&error))?;
    }
    Ok(stream)
}
