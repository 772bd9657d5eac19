//! Both ends of a tunnel over messages in memory, on one thread.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::mpsc;
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::future::LocalBoxFuture;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::task::LocalSpawnExt as _;
use futures_util::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use portolan_mux::{ClientTunnel, Limits, MessageIo, Request, ServerTunnel, Target};

/// One end of a WebSocket of bounded depth, and how many bytes it has sent.
pub(crate) struct Messages {
    pub(crate) incoming: mpsc::Receiver<Vec<u8>>,
    pub(crate) outgoing: mpsc::Sender<Vec<u8>>,
    pub(crate) sent: Rc<RefCell<Vec<usize>>>,
}

pub(crate) fn messages() -> (Messages, Messages) {
    let (to_server, from_client) = mpsc::channel(4);
    let (to_client, from_server) = mpsc::channel(4);
    let end = |incoming, outgoing| Messages { incoming, outgoing, sent: Rc::default() };
    (end(from_server, to_server), end(from_client, to_client))
}

impl Stream for Messages {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_next_unpin(cx).map(|message| message.map(Ok))
    }
}

pub(crate) fn gone(_: mpsc::SendError) -> io::Error {
    ErrorKind::ConnectionReset.into()
}

impl Sink<Vec<u8>> for Messages {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_ready_unpin(cx).map_err(gone)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<u8>) -> io::Result<()> {
        self.sent.borrow_mut().push(message.len());
        self.outgoing.start_send_unpin(message).map_err(gone)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush_unpin(cx).map_err(gone)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_close_unpin(cx).map_err(gone)
    }
}

/// What the server side does with each request.
pub(crate) type Serve = Rc<dyn Fn(Request) -> LocalBoxFuture<'static, ()>>;

pub(crate) struct World {
    pub(crate) pool: LocalPool,
    pub(crate) client: ClientTunnel,
    pub(crate) client_sent: Rc<RefCell<Vec<usize>>>,
    pub(crate) server_ended: Rc<RefCell<Option<io::Result<()>>>>,
}

pub(crate) fn world(limits: Limits, serve: Serve) -> World {
    let pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let client_sent = client_end.sent.clone();
    let (client, driver) = ClientTunnel::new(MessageIo::new(client_end), limits);
    pool.spawner().spawn_local(driver.map(drop)).unwrap();
    let server_ended = Rc::<RefCell<Option<io::Result<()>>>>::default();
    let (spawner, ended) = (pool.spawner(), server_ended.clone());
    let server = serve_all(server_end, limits, spawner, serve);
    let server = server.map(move |result| drop(ended.replace(Some(result))));
    pool.spawner().spawn_local(server).unwrap();
    World { pool, client, client_sent, server_ended }
}

pub(crate) async fn serve_all(
    io: Messages,
    limits: Limits,
    spawner: LocalSpawner,
    serve: Serve,
) -> io::Result<()> {
    let mut tunnel = ServerTunnel::new(MessageIo::new(io), limits);
    while let Some(incoming) = tunnel.accept().await? {
        let serve = serve.clone();
        let served = async move {
            if let Ok(request) = incoming.request().await {
                serve(request).await;
            }
        };
        spawner.spawn_local(served).unwrap();
    }
    Ok(())
}

pub(crate) fn echo() -> Serve {
    Rc::new(|request| {
        Box::pin(async move {
            let stream = request.accept(Duration::ZERO).await.unwrap();
            let (reader, mut writer) = stream.split();
            // A client that drops its stream resets this one; what arrived before was echoed.
            if futures_util::io::copy(reader, &mut writer).await.is_ok() {
                writer.close().await.unwrap();
            }
        })
    })
}

/// Bytes of a yamux frame before its body.
pub(crate) const FRAME_HEADER: usize = 12;

pub(crate) fn target() -> Target {
    Target::new("db0.example", 27017).unwrap()
}
