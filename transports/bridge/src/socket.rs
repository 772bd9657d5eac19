//! A server's WebSocket that sends data from where they are.
//!
//! tungstenite reads, answers pings and closes. What it sends it copies behind its header, and
//! moves again whenever the operating system takes a part of it; so the frames of data, which are
//! most of what a bridge sends, go past it, header and payload in one system call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::poll_read_buf;

use crate::limits::AHEAD_BYTES;

/// One WebSocket.
pub(crate) struct Socket<S = TokioIo<Upgraded>> {
    inner: WebSocketStream<Past<S>>,
    /// A close frame was said or heard: no data follow it.
    closing: bool,
}

impl Socket {
    pub(crate) async fn new(upgraded: Upgraded, config: WebSocketConfig) -> Self {
        Self::over(TokioIo::new(upgraded), config).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    async fn over(io: S, config: WebSocketConfig) -> Self {
        let past = Past {
            io,
            ahead: BytesMut::new(),
            in_bulk: false,
            frames: VecDeque::new(),
            unsent: 0,
            mid_frame: false,
        };
        let inner = WebSocketStream::from_raw_socket(past, Role::Server, Some(config)).await;
        Self { inner, closing: false }
    }

    /// The next message, control frames among them.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        let next = ready!(self.inner.poll_next_unpin(cx));
        self.closing |= matches!(next, Some(Ok(Message::Close(_))) | None);
        Poll::Ready(next)
    }

    /// Bytes of data that are still to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.inner.get_ref().unsent
    }

    /// Takes a binary message, `head` and then `payload`, to send it when it is flushed.
    ///
    /// # Errors
    ///
    /// The WebSocket is closing.
    pub(crate) fn send(&mut self, head: &[u8; HEAD], payload: Bytes) -> Result<(), Error> {
        self.push(Frame::new(head, payload))
    }

    /// Takes a binary message of `payload` alone.
    ///
    /// # Errors
    ///
    /// The WebSocket is closing.
    pub(crate) fn send_bare(&mut self, payload: Bytes) -> Result<(), Error> {
        self.push(Frame::new(&[], payload))
    }

    fn push(&mut self, frame: Frame) -> Result<(), Error> {
        if self.closing {
            return Err(Error::AlreadyClosed);
        }
        self.inner.get_mut().push(frame);
        Ok(())
    }

    /// Says `message`, a control frame, and sends it as far as that goes at once.
    pub(crate) fn poll_say(
        &mut self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if message.is_some() {
            ready!(self.inner.poll_ready_unpin(cx))?;
            if let Some(message) = message.take() {
                self.closing |= message.is_close();
                self.inner.start_send_unpin(message)?;
            }
        }
        self.poll_flush(cx)
    }

    /// Sends everything.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.inner.get_ref().mid_frame {
            ready!(self.inner.poll_flush_unpin(cx))?;
        }
        ready!(self.inner.get_mut().poll_drain(cx))?;
        self.inner.poll_flush_unpin(cx)
    }
}

/// The connection below, and the frames of data that go past the WebSocket's own.
struct Past<S> {
    io: S,
    /// What was read before the WebSocket asked for it.
    ahead: BytesMut,
    /// The last read took all that there was room for.
    in_bulk: bool,
    frames: VecDeque<Frame>,
    unsent: usize,
    /// The last that the WebSocket itself sent went in part: nothing may come between.
    mid_frame: bool,
}

/// A binary message in one frame, from a server: not masked.
struct Frame {
    /// The frame's header, and the beginning of the message.
    head: [u8; MOST_HEADER + HEAD],
    /// What of that is still to be sent.
    left: Range<u8>,
    payload: Bytes,
}

/// Bytes of a message that may be apart from the others.
const HEAD: usize = 12;
const MOST_HEADER: usize = 10;
/// FIN and the opcode of binary data (RFC 6455, section 5.2).
const BINARY: u8 = 0x82;

impl Frame {
    fn new(first: &[u8], payload: Bytes) -> Self {
        let mut head = [0; MOST_HEADER + HEAD];
        head[0] = BINARY;
        let length = first.len() + payload.len();
        let header = if let Ok(short @ ..126) = u8::try_from(length) {
            head[1] = short;
            2
        } else if let Ok(medium) = u16::try_from(length) {
            head[1] = 126;
            head[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            head[1] = 127;
            head[2..MOST_HEADER].copy_from_slice(&(length as u64).to_be_bytes());
            MOST_HEADER
        };
        let end = header + first.len();
        head[header..end].copy_from_slice(first);
        Self { head, left: 0..end as u8, payload }
    }

    fn head(&self) -> &[u8] {
        &self.head[usize::from(self.left.start)..usize::from(self.left.end)]
    }

    fn len(&self) -> usize {
        self.left.len() + self.payload.len()
    }

    /// Forgets the first `count` bytes, or all; how many it has forgotten.
    fn advance(&mut self, count: usize) -> usize {
        let count = count.min(self.len());
        let head = count.min(self.left.len());
        self.left.start += head as u8;
        drop(self.payload.split_to(count - head));
        count
    }
}

/// Parts in one system call, at most.
const PARTS: usize = 32;

impl<S: AsyncWrite + Unpin> Past<S> {
    fn push(&mut self, frame: Frame) {
        self.unsent += frame.len();
        self.frames.push_back(frame);
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent > 0 {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let mut count = 0;
            for frame in self.frames.iter().take(PARTS / 2) {
                for part in [frame.head(), &frame.payload] {
                    parts[count] = IoSlice::new(part);
                    count += usize::from(!part.is_empty());
                }
            }
            let io = Pin::new(&mut self.io);
            let mut sent = ready!(io.poll_write_vectored(cx, &parts[..count]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent -= sent;
            while let Some(frame) = self.frames.front_mut() {
                sent -= frame.advance(sent);
                if frame.len() > 0 {
                    break;
                }
                self.frames.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Past<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            if !this.in_bulk {
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                this.in_bulk = buf.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            this.ahead.reserve(AHEAD_BYTES);
            let mut room = (&mut this.ahead).limit(AHEAD_BYTES);
            let read = poll_read_buf(Pin::new(&mut this.io), cx, &mut room);
            if read.is_pending() {
                // It may be long until more comes.
                this.ahead = BytesMut::new();
            }
            let count = ready!(read)?;
            this.in_bulk = count > buf.remaining();
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        if this.ahead.is_empty() && !this.in_bulk {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// The WebSocket's own frames, each after the data that were there before it began.
impl<S: AsyncWrite + Unpin> AsyncWrite for Past<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.mid_frame {
            ready!(self.poll_drain(cx))?;
        }
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.mid_frame = count < buf.len();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;
    use crate::tunnel::{ANSWER_BYTES, sized};

    type Client = WebSocketStream<DuplexStream>;

    /// Both ends of a WebSocket whose connection takes few bytes at a time.
    async fn ends() -> (Socket<DuplexStream>, Client) {
        let (server, client) = tokio::io::duplex(700);
        let server = Socket::over(server, sized(100_000)).await;
        (server, Client::from_raw_socket(client, Role::Client, None).await)
    }

    /// A message of each length of header, some with a head of their own.
    fn message(number: usize) -> (Option<[u8; HEAD]>, Vec<u8>) {
        let length = [0, 5, 125, 126, 3000, 65_536][number % 6];
        let head = number.is_multiple_of(4).then_some([number as u8; HEAD]);
        (head, vec![number as u8; length])
    }

    #[tokio::test]
    async fn data_and_answers_to_pings_share_a_connection_that_takes_few_bytes_at_a_time() {
        const MESSAGES: usize = 60;
        let (mut server, mut client) = ends().await;
        let serve = async {
            for number in 0..MESSAGES {
                match message(number) {
                    (Some(head), rest) => server.send(&head, rest.into()).unwrap(),
                    (None, whole) => server.send_bare(whole.into()).unwrap(),
                }
                // What arrives is answered meanwhile.
                poll_fn(|cx| {
                    while let Poll::Ready(Some(ping)) = server.poll_next(cx) {
                        assert!(ping.unwrap().is_ping());
                    }
                    server.poll_flush(cx)
                })
                .await
                .unwrap();
                assert_eq!(server.unsent(), 0);
            }
            let mut goodbye = Some(Message::Close(None));
            poll_fn(|cx| server.poll_say(&mut goodbye, cx)).await.unwrap();
            assert!(server.send_bare(Bytes::new()).is_err(), "no data follow a close");
        };
        let hear = async {
            let (mut heard, mut pongs) = (0, 0);
            loop {
                client.send(Message::Ping(vec![heard as u8; 3].into())).await.unwrap();
                match client.next().await.unwrap().unwrap() {
                    Message::Binary(bytes) => {
                        let (head, rest) = message(heard);
                        let sent = [head.as_ref().map_or(&[][..], |head| head), &rest].concat();
                        assert_eq!(bytes, sent, "message {heard}");
                        heard += 1;
                    }
                    Message::Pong(_) => pongs += 1,
                    Message::Close(_) => return (heard, pongs),
                    other => panic!("{other:?}"),
                }
            }
        };
        let ((), (heard, pongs)) = tokio::join!(serve, hear);
        assert_eq!(heard, MESSAGES);
        assert!(pongs > 0);
    }

    #[tokio::test]
    async fn answers_to_pings_that_nobody_takes_are_held_up_to_a_bound() {
        const PINGS: usize = 5000;
        let (mut server, mut client) = ends().await;
        let listen = async {
            let mut heard = 0;
            while heard < PINGS {
                let message = poll_fn(|cx| server.poll_next(cx)).await.unwrap();
                heard += usize::from(message.unwrap().is_ping());
            }
        };
        let ask = async {
            for _ in 0..PINGS {
                client.send(Message::Ping(vec![0; 100].into())).await.unwrap();
            }
        };
        tokio::join!(listen, ask);
        let goodbye = async {
            let mut goodbye = Some(Message::Close(None));
            poll_fn(|cx| server.poll_say(&mut goodbye, cx)).await.unwrap();
        };
        let count = async {
            let mut bytes = 0;
            while let Some(Ok(Message::Pong(pong))) = client.next().await {
                bytes += pong.len();
            }
            bytes
        };
        let ((), held) = tokio::join!(goodbye, count);
        assert!(held > 0 && held <= ANSWER_BYTES + 1000, "{held} bytes of answers");
    }

    #[tokio::test]
    async fn what_is_read_ahead_is_heard_in_its_order_and_then_let_go() {
        let (server, client) = tokio::io::duplex(300_000);
        let mut server = Socket::over(server, sized(100_000)).await;
        let mut client = Client::from_raw_socket(client, Role::Client, None).await;
        // More than a read takes and less, more than is read ahead and less, twice.
        let lengths = [10, 9_000, 30_000, 8_178, 0, 90_000, 1, 70_000, 65_536, 3].repeat(2);
        let say = async {
            for (number, length) in lengths.iter().enumerate() {
                client.send(Message::Binary(vec![number as u8; *length].into())).await.unwrap();
            }
        };
        let (mut most, mut heard) = (0, Vec::new());
        let hear = async {
            while heard.len() < lengths.len() {
                match poll_fn(|cx| server.poll_next(cx)).await.unwrap().unwrap() {
                    Message::Binary(bytes) => {
                        assert!(bytes.iter().all(|byte| usize::from(*byte) == heard.len()));
                        heard.push(bytes.len());
                    }
                    other => panic!("{other:?}"),
                }
                most = most.max(server.inner.get_ref().ahead.len());
            }
        };
        tokio::join!(say, hear);
        assert_eq!(heard, lengths);
        assert!(most > 0 && most <= AHEAD_BYTES, "{most} bytes were read ahead");
        for length in [50_000, 200] {
            client.send(Message::Binary(vec![0; length].into())).await.unwrap();
            poll_fn(|cx| server.poll_next(cx)).await.unwrap().unwrap();
            let rests = poll_fn(|cx| Poll::Ready(server.poll_next(cx).is_pending())).await;
            let kept = server.inner.get_ref().ahead.capacity();
            assert_eq!((rests, kept), (true, 0), "nothing is kept behind {length} bytes");
        }
    }

    #[tokio::test]
    async fn a_close_that_is_heard_is_the_end_of_data() {
        let (mut server, mut client) = ends().await;
        let reason = CloseFrame { code: 1000.into(), reason: "done".into() };
        client.send(Message::Close(Some(reason))).await.unwrap();
        let heard = poll_fn(|cx| server.poll_next(cx)).await.unwrap().unwrap();
        assert!(heard.is_close());
        assert!(server.send_bare(Bytes::from_static(b"more")).is_err());
    }
}
