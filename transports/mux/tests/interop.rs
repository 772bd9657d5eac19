//! The bridge's end of a tunnel, and at the other end another implementation of its frames.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[expect(dead_code, reason = "of what these files share, each uses a part")]
mod common;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use common::{Messages, echo, messages, serve_all, target};
use futures_executor::LocalPool;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use futures_util::task::LocalSpawnExt as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use portolan_mux::Limits;

/// Messages as bytes: what the other implementation wants.
struct Bytes {
    messages: Messages,
    rest: Vec<u8>,
}

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.rest.is_empty() {
            match ready!(self.messages.poll_next_unpin(cx)) {
                Some(message) => self.rest = message?,
                None => return Poll::Ready(Ok(0)),
            }
        }
        let count = self.rest.len().min(buf.len());
        buf[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.messages.poll_ready_unpin(cx))?;
        self.messages.start_send_unpin(buf.to_vec())?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.messages.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.messages.poll_close_unpin(cx)
    }
}

/// What is read of the answer to an open request.
const STATUS: usize = 5;

#[test]
fn another_implementation_of_the_frames_is_served() {
    let mut pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let server = serve_all(server_end, Limits::default(), pool.spawner(), echo());
    pool.spawner().spawn_local(server.map(drop)).unwrap();
    let io = Bytes { messages: client_end, rest: Vec::new() };
    let mut connection = yamux::Connection::new(io, <_>::default(), yamux::Mode::Client);
    for length in [0, 1, 100_000, 3_000_000] {
        let stream = pool.run_until(poll_fn(|cx| connection.poll_new_outbound(cx))).unwrap();
        let (mut reader, mut writer) = AsyncReadExt::split(stream);
        let sent: Vec<u8> = (0..length).map(|number: u32| (number / 7) as u8).collect();
        let mut back = Vec::new();
        let exchange = async {
            let write = async {
                writer.write_all(&target().encode()).await.unwrap();
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let read = reader.read_to_end(&mut back);
            futures_util::future::join(write, read).await.1.unwrap();
        };
        // Whoever polls the connection carries its bytes.
        let carry = poll_fn(|cx| connection.poll_next_inbound(cx)).map(|end| panic!("{end:?}"));
        pool.run_until(async {
            let ended = futures_util::future::select(Box::pin(exchange), carry).await;
            let ((), _) = ended.factor_first();
        });
        assert_eq!(back[STATUS..], sent, "{length} bytes");
    }
    pool.run_until(poll_fn(|cx| connection.poll_close(cx))).unwrap();
}
