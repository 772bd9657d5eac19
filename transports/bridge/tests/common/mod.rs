//! A bridge on loopback with plain TCP servers as members, and a client that is not a browser.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests, not all used by each")]
#![allow(unreachable_pub, reason = "a module of each test program")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, TryStreamExt as _};
use portolan::engine::address::ServerAddress;
use portolan_bridge::{Deployment, FixedMembers, Members, Served, Server, ServerOptions};
use portolan_mux::{ClientTunnel, MessageIo, SUBPROTOCOL, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, http};
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
        let mut request = format!("ws://{}/tunnel", self.address).into_client_request()?;
        let protocol = http::HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    }

    /// A tunnel as the bridge's own page has it.
    pub async fn tunnel(&self) -> ClientTunnel {
        let origin = format!("http://{}", self.address);
        tunnel_over(self.socket(Some(&origin)).await.unwrap())
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

/// A tunnel over an open WebSocket.
pub fn tunnel_over(socket: Socket) -> ClientTunnel {
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
