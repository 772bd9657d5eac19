//! The other side: listeners and threads of the standard library.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use portolan::ServerAddress;

/// Longer than anything here takes; a peer that waits longer is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection's peer, on a thread of its own.
pub(crate) struct Peer<T> {
    pub(crate) port: u16,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Peer<T> {
    /// Accepts one connection on 127.0.0.1 and does `work` with it.
    pub(crate) fn start(work: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        Self::listening(listener, work)
    }

    pub(crate) fn listening(
        listener: TcpListener,
        work: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> Self {
        let port = listener.local_addr().expect("it is bound").port();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
            work(stream)
        });
        Self { port, thread }
    }

    pub(crate) fn address(&self) -> ServerAddress {
        ServerAddress::tcp("127.0.0.1", self.port)
    }

    /// What the work came to.
    pub(crate) fn end(self) -> T {
        self.thread.join().expect("the peer's work does not panic")
    }
}

/// Bytes in which every gap and every swap shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}
