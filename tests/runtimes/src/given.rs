//! What a case is given: the addresses, a way to open clients, and the door to the members.

use std::fmt::{Debug, Display};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use portolan::transport::{BoxFuture, Transport};
use portolan::{Client, ClientOptions, Collection, ServerType, bson::Document};

/// A case fails with whatever goes wrong.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

type Open = fn(ClientOptions) -> BoxFuture<'static, portolan::Result<Client>>;

/// Longer than an election and a rediscovery together, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Given {
    uri: String,
    control: String,
    /// A port where nobody listens.
    pub(crate) unused: u64,
    open: Open,
    pub(crate) time: Arc<dyn Transport>,
}

impl Given {
    pub(crate) fn new(
        addresses: &serde_json::Value,
        open: Open,
        time: Arc<dyn Transport>,
    ) -> Outcome<Self> {
        let text = |name: &str| addresses[name].as_str().map(ToOwned::to_owned).ok_or("no address");
        let unused = addresses["unused"].as_u64().ok_or("no unused port")?;
        Ok(Self { uri: text("uri")?, control: text("control")?, unused, open, time })
    }

    pub(crate) fn options(&self) -> Outcome<ClientOptions> {
        Ok(ClientOptions::parse(&self.uri)?)
    }

    pub(crate) async fn open(&self) -> Outcome<Client> {
        self.open_with(self.options()?).await
    }

    pub(crate) async fn open_with(&self, options: ClientOptions) -> Outcome<Client> {
        Ok((self.open)(options).await?)
    }

    pub(crate) async fn pause(&self) {
        self.time.sleep_until(self.time.now() + Duration::from_millis(20)).await;
    }

    /// Waits until `done` holds.
    pub(crate) async fn until(&self, what: &str, done: impl Fn() -> bool) -> Outcome<()> {
        let deadline = self.deadline();
        while !done() {
            if self.time.now() > deadline {
                return Err(format!("not within {PATIENCE:?}: {what}").into());
            }
            self.pause().await;
        }
        Ok(())
    }

    pub(crate) fn deadline(&self) -> portolan::transport::Instant {
        self.time.now() + PATIENCE
    }

    /// Harms or mends a member; returns when it is done.
    pub(crate) fn act(&self, action: &str, address: &str) -> Outcome<()> {
        let host = self.control.trim_start_matches("http://").trim_end_matches('/');
        let mut door = TcpStream::connect(host)?;
        write!(door, "GET /?action={action}&address={address} HTTP/1.0\r\nhost: {host}\r\n\r\n")?;
        let mut answer = String::new();
        door.read_to_string(&mut answer)?;
        let is_done = answer.lines().next().is_some_and(|line| line.contains(" 200 "));
        if is_done { Ok(()) } else { Err(format!("{action} {address}: {answer}").into()) }
    }
}

/// A collection that nobody else uses.
pub(crate) fn fresh(client: &Client) -> Collection<Document> {
    let name = portolan::bson::oid::ObjectId::new().to_hex();
    client.database("runtimes").collection(&name)
}

pub(crate) fn primary(client: &Client) -> Option<String> {
    let topology = client.description();
    let mut servers = topology.servers.values();
    let primary = servers.find(|server| server.server_type == ServerType::RSPrimary)?;
    Some(primary.address.to_string())
}

pub(crate) fn equal<T: PartialEq + Debug>(actual: T, expected: T) -> Outcome<()> {
    match (actual, expected) {
        (actual, expected) if actual == expected => Ok(()),
        (actual, expected) => Err(format!("{actual:?} is not {expected:?}").into()),
    }
}

pub(crate) fn check(holds: bool, what: &(impl Display + ?Sized)) -> Outcome<()> {
    if holds { Ok(()) } else { Err(what.to_string().into()) }
}

pub(crate) fn failure<T: Debug>(result: portolan::Result<T>) -> Outcome<portolan::Error> {
    match result {
        Ok(value) => Err(format!("it succeeded: {value:?}").into()),
        Err(error) => Ok(error),
    }
}
