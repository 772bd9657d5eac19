//! Bytes through the bridge, beside direct TCP and websockify, in one run.
//!
//! Client and member are tasks of this process, each bridge a process of its own. The client is the
//! same for all: `tokio-tungstenite`, with the tunnel's protocol above it or without.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, TryStreamExt as _};
use portolan_mux::{ClientTunnel, Limits, MessageIo, SUBPROTOCOL, Target};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use super::rounds;
use crate::peer::Failure;
use crate::table::{Table, fixed, median};

/// Bytes of one transfer.
const BYTES: usize = 256 * 1024 * 1024;
/// Exchanges of 200 bytes in one round.
const EXCHANGES: usize = 2000;
/// Tunnels opened in one round.
const OPENS: usize = 50;

pub fn run() -> Result<(), Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(measure())
}

/// How the member is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Tunnel,
    Plain,
    Websockify,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct TCP",
            Self::Tunnel => "portolan bridge, tunnel",
            Self::Plain => "portolan bridge, plain",
            Self::Websockify => "websockify",
        }
    }
}

/// Where everybody listens.
struct World {
    member: SocketAddr,
    bridge: SocketAddr,
    websockify: SocketAddr,
}

/// What one way has shown, a value for each round.
#[derive(Default)]
struct Figures {
    down: Vec<f64>,
    up: Vec<f64>,
    exchange: Vec<f64>,
    open: Vec<f64>,
}

trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

trait Messages: futures_util::AsyncRead + futures_util::AsyncWrite + Unpin + Send + 'static {}
impl<T> Messages for T where
    T: futures_util::AsyncRead + futures_util::AsyncWrite + Unpin + Send + 'static
{
}

async fn measure() -> Result<(), Failure> {
    let member = member().await?;
    let (bridge, websockify) = (free().await?, free().await?);
    let world = World { member, bridge, websockify };
    let _bridge = start_bridge(&world)?;
    let mut ways = vec![Way::Direct, Way::Tunnel, Way::Plain];
    let websockify = start_websockify(&world);
    match &websockify {
        Ok(_) => ways.push(Way::Websockify),
        Err(reason) => println!("websockify is not measured: {reason}"),
    }
    for way in &ways {
        until_open(&world, *way).await?;
    }
    let mut figures: Vec<Figures> = ways.iter().map(|_| Figures::default()).collect();
    for _ in 0..rounds() {
        for (way, figures) in ways.iter().zip(&mut figures) {
            figures.round(&world, *way).await?;
        }
    }
    print(&ways, &figures);
    Ok(())
}

impl Figures {
    async fn round(&mut self, world: &World, way: Way) -> Result<(), Failure> {
        let mega = BYTES as f64 / 1e6;
        let mut stream = world.open(way).await?;
        let began = Instant::now();
        stream.write_all(b"d").await?;
        stream.flush().await?;
        let mut buffer = vec![0; 64 * 1024];
        let mut left = BYTES;
        while left > 0 {
            left -= match stream.read(&mut buffer).await? {
                0 => return Err("the transfer ended early".into()),
                count => count,
            };
        }
        self.down.push(mega / began.elapsed().as_secs_f64());

        let mut stream = world.open(way).await?;
        let began = Instant::now();
        stream.write_all(b"u").await?;
        for _ in 0..BYTES / buffer.len() {
            stream.write_all(&buffer).await?;
        }
        stream.flush().await?;
        stream.read_exact(&mut [0]).await?;
        self.up.push(mega / began.elapsed().as_secs_f64());

        let mut stream = world.open(way).await?;
        stream.write_all(b"e").await?;
        let mut times = Vec::with_capacity(EXCHANGES);
        for _ in 0..EXCHANGES {
            let began = Instant::now();
            stream.write_all(&[7; 200]).await?;
            stream.flush().await?;
            stream.read_exact(&mut [0; 200]).await?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        self.exchange.push(median(times));

        let mut times = Vec::with_capacity(OPENS);
        for _ in 0..OPENS {
            let began = Instant::now();
            let mut stream = world.open(way).await?;
            stream.write_all(&[b'e'; 201]).await?;
            stream.flush().await?;
            stream.read_exact(&mut [0]).await?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        self.open.push(median(times));
        Ok(())
    }
}

fn print(ways: &[Way], figures: &[Figures]) {
    let mut table = Table::new([
        "way",
        "down MB/s",
        "of direct",
        "up MB/s",
        "of direct",
        "200 bytes us",
        "added us",
        "open us",
    ]);
    let of = |values: &[f64]| median(values.iter().copied());
    let direct = &figures[0];
    for (way, figures) in ways.iter().zip(figures) {
        table.row([
            way.name().to_owned(),
            fixed(of(&figures.down), 0),
            fixed(of(&figures.down) / of(&direct.down), 2),
            fixed(of(&figures.up), 0),
            fixed(of(&figures.up) / of(&direct.up), 2),
            fixed(of(&figures.exchange), 1),
            fixed(of(&figures.exchange) - of(&direct.exchange), 1),
            fixed(of(&figures.open), 0),
        ]);
    }
    table.print();
    println!(
        "Medians of {} rounds, all on this machine. Open: from nothing to the first byte of an\n\
         answer, over a new connection. To reach: 0.60 of direct, at most 40 us added.\n",
        rounds()
    );
}

impl World {
    async fn open(&self, way: Way) -> Result<Box<dyn Bytes>, Failure> {
        let member = self.member;
        Ok(match way {
            Way::Direct => {
                let stream = TcpStream::connect(member).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Way::Tunnel => {
                let io = socket(&format!("ws://{}/tunnel", self.bridge), SUBPROTOCOL).await?;
                let (client, driver) = ClientTunnel::new(io, Limits::default());
                tokio::spawn(driver);
                let target = Target::new(&member.ip().to_string(), member.port())?;
                Box::new(client.open(&target).await?.compat())
            }
            Way::Plain => {
                let url = format!("ws://{}/tcp/{member}", self.bridge);
                Box::new(socket(&url, "binary").await?.compat())
            }
            Way::Websockify => {
                Box::new(socket(&format!("ws://{}", self.websockify), "binary").await?.compat())
            }
        })
    }
}

/// A WebSocket's binary messages as bytes.
async fn socket(url: &str, protocol: &str) -> Result<impl Messages, Failure> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse()?);
    let (socket, _) = tokio_tungstenite::connect_async_with_config(request, None, true).await?;
    let messages = socket
        .map_err(io::Error::other)
        .try_filter_map(|message| {
            ready(Ok(match message {
                Message::Binary(bytes) => Some(bytes),
                _ => None,
            }))
        })
        .sink_map_err(io::Error::other)
        .with(|bytes: Vec<u8>| ready(Ok::<_, io::Error>(Message::binary(bytes))));
    Ok(MessageIo::new(messages))
}

/// Sends, swallows or returns bytes, as the first one says.
async fn member() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    match stream.read_u8().await? {
        b'd' => {
            for _ in 0..BYTES / buffer.len() {
                stream.write_all(&buffer).await?;
            }
        }
        b'u' => {
            let mut left = BYTES;
            while left > 0 {
                left -= match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    count => count,
                };
            }
            stream.write_u8(0).await?;
        }
        _ => {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
        }
    }
    // The client ends it.
    stream.read_u8().await.map(drop)
}

/// A port that was free a moment ago.
pub(super) async fn free() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()
}

/// A bridge's process; it ends with this.
pub(super) struct Started(pub(super) Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_bridge(world: &World) -> Result<Started, Failure> {
    let program = std::env::var("PORTOLAN_BIN").map_err(|_| {
        "PORTOLAN_BIN does not name the program `portolan`; `cargo xtask bench bridge` builds it"
    })?;
    // The member answers no hello: it is named instead.
    let child = Command::new(program)
        .args(["bridge", "--listen", &world.bridge.to_string(), "--uri", "mongodb://127.0.0.1:1"])
        .args(["--allow-target", &world.member.to_string(), "--allow-no-origin"])
        .args(["--opens-per-second", "100000", "--opens-burst", "100000"])
        .args(["--log-level", "off"])
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Started(child))
}

fn start_websockify(world: &World) -> Result<Started, Failure> {
    let python = std::env::var("PORTOLAN_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let known = Command::new(&python)
        .args(["-c", "import websockify"])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("{python}: {error}"))?;
    if !known.success() {
        return Err(format!(
            "{python} has no websockify (pip install websockify; PORTOLAN_BENCH_PYTHON names \
             another python)"
        )
        .into());
    }
    let child = Command::new(&python)
        .args(["-m", "websockify", &world.websockify.to_string(), &world.member.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Started(child))
}

async fn until_open(world: &World, way: Way) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        match world.open(way).await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > Duration::from_secs(10) => {
                return Err(format!("{}: {error}", way.name()).into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
