//! Streams: every byte, in order, both ways at once, and an end that is seen.

use std::future::{Future, poll_fn};
use std::io::{Read as _, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;

use futures_util::future::join;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, poll};
use portolan::transport::{BoxStream, Transport};

use crate::peer::{Peer, pattern};

async fn dialled<T: Send + 'static>(transport: &dyn Transport, peer: &Peer<T>) -> BoxStream {
    transport.connect(&peer.address()).await.expect("the peer listens")
}

/// A pool that drops a connection has closed it.
pub async fn a_stream_that_is_dropped_is_closed(transport: Arc<dyn Transport>) {
    let peer = Peer::start(|mut stream| stream.read(&mut [0]));
    let stream = dialled(&*transport, &peer).await;
    drop(stream);
    assert_eq!(peer.end().expect("an orderly end"), 0);
}

/// Small messages and large ones, and a stamp that is not from the future.
pub async fn bytes_come_back_as_they_were_sent(transport: Arc<dyn Transport>) {
    let peer = Peer::start(|stream| std::io::copy(&mut &stream, &mut &stream));
    let mut stream = dialled(&*transport, &peer).await;
    let mut total = 0;
    for length in [1, 16, 4096, 48_000, 1_000_003] {
        let sent = pattern(length);
        let (mut reader, mut writer) = stream.split();
        let write = async {
            writer.write_all(&sent).await?;
            writer.flush().await
        };
        let mut back = vec![0; length];
        let (written, read) = join(write, reader.read_exact(&mut back)).await;
        written.expect("it is open");
        read.expect("it is open");
        assert!(sent == back, "{length} bytes came back changed");
        stream = reader.reunite(writer).expect("two halves of one stream");
        assert!(stream.arrived_at().is_none_or(|at| at <= transport.now()));
        total += length as u64;
    }
    stream.close().await.expect("it is open");
    assert_eq!(stream.read(&mut [0]).await.expect("an orderly end"), 0);
    assert_eq!(peer.end().expect("the peer saw the end"), total);
}

/// Memory must not fill with what a slow server does not take.
pub async fn a_peer_that_does_not_read_stops_the_writer(transport: Arc<dyn Transport>) {
    const LENGTH: usize = 32 << 20;
    let (go, wait) = mpsc::channel();
    let peer = Peer::start(move |mut stream| {
        wait.recv().expect("the writer stops");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut stream = dialled(&*transport, &peer).await;
    let sent = pattern(LENGTH);
    let mut stopped = false;
    {
        let mut writing = pin!(stream.write_all(&sent));
        let writing = poll_fn(|cx| {
            let poll = writing.as_mut().poll(cx);
            if poll.is_pending() && !std::mem::replace(&mut stopped, true) {
                go.send(()).expect("the peer waits");
            }
            poll
        });
        writing.await.expect("it is open");
    }
    assert!(stopped, "{LENGTH} bytes went where nobody reads");
    stream.close().await.expect("it is open");
    assert!(peer.end().expect("all bytes") == sent, "the bytes came changed");
}

/// Both sides write before they read: neither may wait for the other.
pub async fn reads_and_writes_do_not_wait_for_each_other(transport: Arc<dyn Transport>) {
    const LENGTH: usize = 8 << 20;
    let peer = Peer::start(|stream| {
        let reader = stream.try_clone().expect("a second handle");
        let writing = std::thread::spawn(move || (&stream).write_all(&pattern(LENGTH)));
        let mut bytes = vec![0; LENGTH];
        let read = (&reader).read_exact(&mut bytes);
        writing.join().expect("it does not panic").and(read).map(|()| bytes)
    });
    let stream = dialled(&*transport, &peer).await;
    let expected = pattern(LENGTH);
    let (mut reader, mut writer) = stream.split();
    let mut bytes = vec![0; LENGTH];
    let write = async {
        writer.write_all(&expected).await?;
        writer.flush().await
    };
    let (written, read) = join(write, reader.read_exact(&mut bytes)).await;
    written.expect("it is open");
    read.expect("it is open");
    assert!(bytes == expected, "the peer's bytes came changed");
    assert!(peer.end().expect("all bytes") == expected, "the bytes came changed");
}

/// The peer sees the end and can answer still.
pub async fn closing_ends_the_sending_half_only(transport: Arc<dyn Transport>) {
    let peer = Peer::start(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(b"and farewell")?;
        Ok::<_, std::io::Error>(text)
    });
    let mut stream = dialled(&*transport, &peer).await;
    stream.write_all(b"fair winds").await.expect("it is open");
    stream.close().await.expect("it is open");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("the other half is open");
    assert_eq!(text, "and farewell");
    assert_eq!(peer.end().expect("all bytes"), "fair winds");
}

/// The driver waits for bytes and for commands at once, and drops the one that lost.
pub async fn a_read_that_is_dropped_loses_nothing(transport: Arc<dyn Transport>) {
    const COUNT: usize = 200;
    let (ask, asked) = mpsc::channel::<u8>();
    let peer = Peer::start(move |mut stream| {
        for byte in asked {
            stream.write_all(&[byte]).expect("it is open");
        }
    });
    let mut stream = dialled(&*transport, &peer).await;
    for n in 0..COUNT {
        let byte = n as u8;
        {
            let mut early = [0; 1];
            assert!(poll!(stream.read(&mut early)).is_pending(), "nothing was sent yet");
        }
        ask.send(byte).expect("the peer waits");
        let mut read = [0; 1];
        stream.read_exact(&mut read).await.expect("it is open");
        assert_eq!(read, [byte]);
    }
    drop(ask);
    peer.end();
    assert_eq!(stream.read(&mut [0]).await.expect("an orderly end"), 0);
}
