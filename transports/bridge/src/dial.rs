//! Dialling: may it be, where is it, may that be, and then exactly there.
//!
//! A name is resolved once. The addresses found are checked, and one of those that passed is
//! dialled, as an address: nobody asks for the name again, so a name that changes between check and
//! dial (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use portolan::transport::connect_to_any;
use portolan_mux::{RefusalCode, Target};
use portolan_tokio::Tokio;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::address::AddressKind;
use crate::metrics::Cause;
use crate::served::Served;
use crate::server::Shared;

/// Where host names lead.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// The addresses of `host`, the preferred one first.
    ///
    /// # Errors
    ///
    /// There are none, or they cannot be known now.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why nothing was dialled.
#[derive(Debug)]
pub(crate) struct Undialled {
    pub(crate) code: RefusalCode,
    pub(crate) cause: Cause,
    /// For the client.
    pub(crate) text: String,
    /// For the log: addresses that are nobody else's business.
    pub(crate) detail: String,
}

impl Undialled {
    fn new(code: RefusalCode, cause: Cause, text: String) -> Self {
        Self { code, cause, detail: text.clone(), text }
    }
}

/// Connects to `target`, if `served` has it.
pub(crate) async fn dial(
    shared: &Shared,
    served: &Served,
    target: &Target,
) -> Result<TcpStream, Undialled> {
    served
        .check_target(target)
        .map_err(|text| Undialled::new(RefusalCode::NotAMember, Cause::Target, text))?;
    let limit = shared.limits.dial;
    match timeout(limit, resolved(shared, served, target)).await {
        Ok(dialled) => dialled,
        Err(_) => {
            let text = format!("{target} did not answer within {limit:?}");
            Err(Undialled::new(RefusalCode::DialTimedOut, Cause::Dial, text))
        }
    }
}

async fn resolved(
    shared: &Shared,
    served: &Served,
    target: &Target,
) -> Result<TcpStream, Undialled> {
    let failed = |error: io::Error| {
        Undialled::new(RefusalCode::DialFailed, Cause::Dial, format!("{target}: {error}"))
    };
    let found = match target.host().parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => shared.names.addresses(target.host()).await.map_err(failed)?,
    };
    let mut allowed: Vec<SocketAddr> = Vec::new();
    for address in &found {
        if served.allows_address(target, *address) {
            allowed.push((*address, target.port()).into());
        }
    }
    if allowed.is_empty() && !found.is_empty() {
        return Err(forbidden(target, &found));
    }
    let clock = Tokio::new();
    let stream = connect_to_any(&clock, allowed, TcpStream::connect).await.map_err(failed)?;
    portolan_tokio::prepare(&stream).map_err(failed)?;
    Ok(stream)
}

fn forbidden(target: &Target, found: &[IpAddr]) -> Undialled {
    let listed: Vec<String> = found
        .iter()
        .map(|address| format!("{address} ({})", AddressKind::of(*address).as_str()))
        .collect();
    Undialled {
        code: RefusalCode::AddressForbidden,
        cause: Cause::Resolved,
        text: format!("{target} resolves to an address that this bridge may not dial"),
        detail: format!("{target} resolves to {}", listed.join(", ")),
    }
}
