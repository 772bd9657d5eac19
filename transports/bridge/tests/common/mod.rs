//! A bridge on loopback with plain TCP servers as members, and a client that is not a browser.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, not all used by each")]
#![allow(unreachable_pub, reason = "a module of each test program")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

pub mod honest;
pub mod tokens;

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use portolan::engine::address::ServerAddress;
use portolan_bridge::{Deployment, FixedMembers, Members, Served, Server, ServerOptions};
use portolan_mux::{ClientTunnel, MessageIo, SUBPROTOCOL, Target};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A bridge under test; stops when it is told to, or with the test's runtime.
pub struct Bridge {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Bridge {
    /// A bridge for `members`, changed by `change`.
    pub async fn start(members: impl Members, change: impl FnOnce(&mut ServerOptions)) -> Bridge {
        let uri = "mongodb://ann:secret@seed.example/?replicaSet=rs0";
        let served = Served::new(Arc::new(members), uri);
        // The members of tests are on loopback.
        served.networks.learn([127, 0, 0, 1].into());
        let mut options = ServerOptions::new(([127, 0, 0, 1], 0).into(), vec![served]);
        change(&mut options);
        let server = Server::bind(options).await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Bridge { address, stop: Some(stop), served }
    }

    /// Asks it to shut down and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap();
    }

    /// Opens the WebSocket as a page of `origin` would.
    pub async fn socket(&self, origin: Option<&str>) -> Result<Socket, tungstenite::Error> {
        let protocol = ("sec-websocket-protocol", SUBPROTOCOL);
        match origin {
            Some(origin) => self.open("/tunnel", &[protocol, ("origin", origin)]).await,
            None => self.open("/tunnel", &[protocol]).await,
        }
    }

    /// Opens the WebSocket at `path` with these headers.
    pub async fn open(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    }

    /// The bridge's own origin.
    pub fn own(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await;
        let name = format!("portolan_bridge_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().unwrap()
    }

    /// Waits until nothing is held any more, but for the connection that asks.
    pub async fn settled(&self) {
        let started = tokio::time::Instant::now();
        loop {
            let page = self.get("/metrics").await;
            let left: Vec<&str> = page.lines().filter(|line| is_held(line)).collect();
            if left.is_empty() && page.contains("portolan_bridge_tasks") {
                return;
            }
            assert!(started.elapsed().as_secs() < 10, "{left:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// A tunnel as the bridge's own page has it.
    pub async fn tunnel(&self) -> ClientTunnel {
        tunnel_over(self.socket(Some(&self.own())).await.unwrap())
    }

    /// One HTTP request, by hand; the whole answer.
    pub async fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = request.replace('\n', "\r\n").replace("HOST", &self.address.to_string());
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        // A bridge that is full closes without reading, which may reset the connection.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to a GET of `path`.
    pub async fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\nhost: HOST\nconnection: close\n\n")).await
    }
}

/// Whether a line of `/metrics` counts what should be gone.
fn is_held(line: &str) -> bool {
    let Some((name, value)) = line.split_once(' ') else { return false };
    let most = match name.strip_prefix("portolan_bridge_") {
        Some("connections" | "tasks") => 1,
        Some("tunnels" | "plain_sockets" | "streams" | "buffer_reserved_bytes") => 0,
        _ => return false,
    };
    value.parse::<u64>().unwrap() > most
}

/// The answer's status and body, where the WebSocket was refused.
pub fn refused<T>(result: Result<T, tungstenite::Error>) -> (u16, String) {
    match result {
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            (answer.status().as_u16(), String::from_utf8(body).unwrap())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the socket opened"),
    }
}

/// Reads until the close frame; its code and text.
pub async fn close_frame(mut socket: Socket) -> (u16, String) {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
            Message::Close(None) => panic!("no reason"),
            _ => {}
        }
    }
}

/// A tunnel over an open WebSocket.
pub fn tunnel_over<S>(socket: WebSocketStream<S>) -> ClientTunnel
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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
    let (client, driver) = ClientTunnel::new(MessageIo::new(messages), <_>::default());
    tokio::spawn(driver);
    client
}

/// A member that sends back what it gets, and then ends; its address.
pub async fn echo() -> ServerAddress {
    member(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        // A client that is dropped resets the connection.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

/// A member that does `serve` with each connection; its address.
pub async fn member<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> ServerAddress
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    ServerAddress::tcp("127.0.0.1", port)
}

/// These members and no others.
pub fn fixed<const N: usize>(members: [&ServerAddress; N]) -> FixedMembers {
    FixedMembers(members.into_iter().cloned().collect())
}

/// `address` as a tunnel's target.
pub fn target(address: &ServerAddress) -> Target {
    Target::new(address.host(), address.port().unwrap()).unwrap()
}

/// Puts `deployment` behind the demo's buttons.
pub fn demo(options: &mut ServerOptions, deployment: impl Deployment) {
    options.demo = Some(Arc::new(deployment));
}
