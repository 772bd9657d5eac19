//! How the member is reached: by itself, through the bridge, through the bridge's peers.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, TryStreamExt as _};
use portolan_mux::{ClientTunnel, Limits, MessageIo, SUBPROTOCOL, Target, TunnelStream};
use portolan_support::cache_dir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::member;
use crate::peer::Failure;
use crate::usage::keep_on;

/// How the member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    Tunnel,
    Plain,
    Websockify,
    Node,
    Websocat,
}

impl Way {
    const ALL: [Self; 6] =
        [Self::Direct, Self::Tunnel, Self::Plain, Self::Websockify, Self::Node, Self::Websocat];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct TCP",
            Self::Tunnel => "portolan bridge, tunnel",
            Self::Plain => "portolan bridge, plain",
            Self::Websockify => "websockify",
            Self::Node => "Node ws",
            Self::Websocat => "websocat",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Tunnel | Self::Plain)
    }

    pub fn is_peer(self) -> bool {
        matches!(self, Self::Websockify | Self::Node | Self::Websocat)
    }
}

/// A stream of bytes to the member, whichever way.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// The member, and every way to it that is there.
pub struct World {
    member: SocketAddr,
    /// The bridge's process carries two ways.
    started: Vec<(Way, SocketAddr, Started)>,
}

impl World {
    /// Starts the member and whichever bridges are installed; says which are not.
    pub async fn start() -> Result<Self, Failure> {
        // They inherit it: each sees the one CPU that it will have, and starts no more threads than
        // that needs.
        keep_on(std::process::id(), 0)?;
        let mut world = Self { member: member::start()?, started: Vec::new() };
        for way in [Way::Tunnel, Way::Websockify, Way::Node, Way::Websocat] {
            let listen = free().await?;
            let started = command(way, listen, world.member)?;
            let Some(mut command) = started else {
                println!("{} is not measured: {}", way.name(), INSTALL);
                continue;
            };
            // As its users have it.
            command.env_remove(super::TUNABLES);
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
            world.started.push((way, listen, Started(child)));
            world.until_open(way).await?;
        }
        Ok(world)
    }

    /// The ways that are there, direct TCP first.
    pub fn ways(&self) -> Vec<Way> {
        Way::ALL
            .into_iter()
            .filter(|way| *way == Way::Direct || self.find(*way).is_some())
            .collect()
    }

    /// The bridge's process.
    pub fn pid(&self, way: Way) -> Option<u32> {
        self.find(way).map(|(_, _, started)| started.0.id())
    }

    /// Client and member on one CPU, and the bridges on another, or on the same.
    pub fn place(&self, bridges_apart: bool) -> Result<(), Failure> {
        keep_on(std::process::id(), 0)?;
        let alone = bridges_apart && two_cpus();
        for (_, _, started) in &self.started {
            keep_on(started.0.id(), usize::from(alone))?;
        }
        Ok(())
    }

    fn find(&self, way: Way) -> Option<&(Way, SocketAddr, Started)> {
        let process = if way == Way::Plain { Way::Tunnel } else { way };
        self.started.iter().find(|(started, _, _)| *started == process)
    }

    /// A new connection, whichever way.
    pub async fn open(&self, way: Way) -> Result<Box<dyn Bytes>, Failure> {
        let member = self.member;
        if way == Way::Direct {
            let stream = TcpStream::connect(member).await?;
            stream.set_nodelay(true)?;
            return Ok(Box::new(stream));
        }
        let (_, listen, _) = self.find(way).ok_or("this way is not there")?;
        Ok(match way {
            Way::Tunnel => Box::new(self.stream(&self.tunnel().await?).await?),
            Way::Plain => {
                let url = format!("ws://{listen}/tcp/{member}");
                Box::new(bytes(socket(&url, Some("binary")).await?))
            }
            Way::Websockify => {
                Box::new(bytes(socket(&format!("ws://{listen}"), Some("binary")).await?))
            }
            _ => Box::new(bytes(socket(&format!("ws://{listen}"), None).await?)),
        })
    }

    /// A new WebSocket for many streams.
    pub async fn tunnel(&self) -> Result<ClientTunnel, Failure> {
        let (_, listen, _) = self.find(Way::Tunnel).ok_or("the bridge is not there")?;
        let io = socket(&format!("ws://{listen}/tunnel"), Some(SUBPROTOCOL)).await?;
        let messages = MessageIo::new(messages::<Vec<u8>>(io));
        let (client, driver) = ClientTunnel::new(messages, Limits::default());
        tokio::spawn(driver);
        Ok(client)
    }

    /// One more stream to the member.
    pub async fn stream(&self, tunnel: &ClientTunnel) -> Result<Compat<TunnelStream>, Failure> {
        let target = Target::new(&self.member.ip().to_string(), self.member.port())?;
        Ok(tunnel.open(&target).await?.compat())
    }

    async fn until_open(&self, way: Way) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match self.open(way).await {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > Duration::from_secs(10) => {
                    return Err(format!("{}: {error}", way.name()).into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Whichever bridge: the client's buffer is filled with zeros before each look at the socket, and
/// at its usual 128 KiB that is a tenth of a round trip.
const READ_BYTES: usize = 32 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn socket(url: &str, protocol: Option<&str>) -> Result<Socket, Failure> {
    let mut request = url.into_client_request()?;
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse()?);
    }
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    Ok(tokio_tungstenite::connect_async_with_config(request, Some(config), true).await?.0)
}

/// A WebSocket's binary messages.
fn messages<T>(socket: Socket) -> impl Messages<T>
where
    T: Send + 'static,
    bytes::Bytes: From<T>,
{
    socket
        .map_err(io::Error::other)
        .try_filter_map(|message| {
            ready(Ok(match message {
                Message::Binary(bytes) => Some(bytes),
                _ => None,
            }))
        })
        .sink_map_err(io::Error::other)
        .with(|bytes: T| ready(Ok::<_, io::Error>(Message::binary(bytes))))
}

trait Messages<T>:
    Stream<Item = io::Result<bytes::Bytes>> + Sink<T, Error = io::Error> + Unpin + Send + 'static
{
}
impl<S, T> Messages<T> for S where
    S: Stream<Item = io::Result<bytes::Bytes>>
        + Sink<T, Error = io::Error>
        + Unpin
        + Send
        + 'static
{
}

/// The same as a stream of bytes.
fn bytes(socket: Socket) -> impl Bytes {
    let (sink, stream) = messages::<bytes::Bytes>(socket).split();
    tokio::io::join(StreamReader::new(stream), SinkWriter::new(CopyToBytes::new(sink)))
}

/// Whether there are two, which a thread that is kept on one no longer sees.
fn two_cpus() -> bool {
    Path::new("/sys/devices/system/cpu/cpu1").exists()
}

/// A port that was free a moment ago.
pub(in crate::bench) async fn free() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()
}

/// A bridge's process; it ends with this.
pub(in crate::bench) struct Started(pub(in crate::bench) Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const INSTALL: &str = "`cargo xtask setup --bridges` installs it";

/// How it is started, where it is installed.
fn command(way: Way, listen: SocketAddr, member: SocketAddr) -> Result<Option<Command>, Failure> {
    let (listen, member) = (listen.to_string(), member.to_string());
    Ok(match way {
        Way::Direct => None,
        Way::Tunnel | Way::Plain => {
            let program = std::env::var("PORTOLAN_BIN").map_err(|_| {
                "PORTOLAN_BIN does not name the program `portolan`; `cargo xtask bench bridge` \
                 builds it"
            })?;
            Some(bridge(&program, &listen, &member))
        }
        Way::Websockify => installed("websockify/bin/python").map(|python| {
            let mut command = Command::new(python);
            command.args(["-m", "websockify", &listen, &member]).stderr(Stdio::null());
            command
        }),
        Way::Node => installed("ws/node_modules/ws").map(|_| {
            let mut command = Command::new("node");
            command.args(["-e", NODE_BRIDGE, &listen, &member]).current_dir(peers().join("ws"));
            command
        }),
        Way::Websocat => installed("websocat/bin/websocat").map(|program| {
            let mut command = Command::new(program);
            command.args(["--binary", &format!("ws-l:{listen}"), &format!("tcp:{member}")]);
            command.stderr(Stdio::null());
            command
        }),
    })
}

fn bridge(program: &str, listen: &str, member: &str) -> Command {
    let mut command = Command::new(program);
    // The member answers no hello: it is named instead.
    command.args(["bridge", "--listen", listen, "--uri", "mongodb://127.0.0.1:1"]);
    command.args(["--allow-target", member, "--allow-no-origin", "--log-level", "off"]);
    command.args(["--opens-per-second", "100000", "--opens-burst", "100000"]);
    command.args(["--max-connections", "4096", "--max-connections-per-address", "4096"]);
    command.args(["--max-sockets", "4096", "--max-buffered", "8GiB"]);
    command
}

const NODE_BRIDGE: &str = include_str!("../../peer/ws_bridge.js");

/// Where `cargo xtask setup --bridges` puts them.
fn peers() -> PathBuf {
    cache_dir().join("peers")
}

fn installed(place: &str) -> Option<PathBuf> {
    Some(peers().join(place)).filter(|place| Path::exists(place))
}
