//! The contract can be broken: transports with one fault each, and the clause that sees it.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::future::block_on;
use futures_util::{AsyncRead, AsyncWrite};
use portolan::ServerAddress;
use portolan::transport::{BoxFuture, BoxStream, DnsRecord, Instant, Plain, RecordKind, Transport};
use portolan_async_io::AsyncIo;

use crate::{self as contract, DnsServer};

/// What is wrong with a transport.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ClockRunsBackwards,
    SleepsEndEarly,
    RefusalsSayNothing,
    ConnectsGoOn,
    BytesAreLost,
    CloseEndsBothHalves,
    ReadsEnd,
    NoDns,
}

struct Faulty {
    fault: Fault,
    sound: Arc<AsyncIo>,
    calls: AtomicU64,
}

#[async_trait::async_trait]
impl Transport for Faulty {
    fn now(&self) -> Instant {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::ClockRunsBackwards if calls % 1000 == 999 => Instant::ZERO,
            _ => self.sound.now(),
        }
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let early = Duration::from_micros(500).as_nanos() as u64;
        match self.fault {
            Fault::SleepsEndEarly => {
                self.sound.sleep_until(Instant::from_nanos(deadline.as_nanos() - early))
            }
            _ => self.sound.sleep_until(deadline),
        }
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        let stream = match self.fault {
            Fault::ConnectsGoOn => {
                let (sound, target) = (self.sound.clone(), target.clone());
                let (sender, receiver) = async_channel::bounded(1);
                std::thread::spawn(move || {
                    let _ = sender.try_send(block_on(sound.connect(&target)));
                });
                receiver.recv().await.map_err(io::Error::other)??
            }
            _ => self.sound.connect(target).await.map_err(|error| match self.fault {
                Fault::RefusalsSayNothing => io::Error::other(""),
                _ => error,
            })?,
        };
        Ok(Box::new(Plain(FaultyStream { fault: self.fault, stream: Some(stream) })))
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        match self.fault {
            Fault::NoDns => Ok(Vec::new()),
            _ => self.sound.resolve(name, kind).await,
        }
    }
}

/// A stream with a fault; what is not at fault passes through.
struct FaultyStream {
    fault: Fault,
    stream: Option<BoxStream>,
}

impl FaultyStream {
    fn inner(&mut self) -> Pin<&mut BoxStream> {
        Pin::new(self.stream.as_mut().expect("it is there until it is dropped"))
    }
}

impl AsyncRead for FaultyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.fault {
            Fault::ReadsEnd => Poll::Ready(Ok(0)),
            _ => self.inner().poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for FaultyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.fault {
            Fault::BytesAreLost if buf.len() > 4096 => Poll::Ready(Ok(buf.len())),
            _ => self.inner().poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fault {
            Fault::CloseEndsBothHalves => {
                let closed = self.inner().poll_close(cx);
                self.fault = Fault::ReadsEnd;
                closed
            }
            _ => self.inner().poll_close(cx),
        }
    }
}

/// Runs one clause against one fault: it must panic.
fn sees<F: Future<Output = ()>>(fault: Fault, clause: fn(Arc<dyn Transport>) -> F) {
    let server = DnsServer::start();
    let sound = Arc::new(AsyncIo::new("faulty", server.dns()));
    let transport = Arc::new(Faulty { fault, sound, calls: AtomicU64::new(0) });
    let judged = catch_unwind(AssertUnwindSafe(|| block_on(clause(transport))));
    assert!(judged.is_err(), "{fault:?} was not seen");
}

#[test]
fn a_transport_without_a_name_is_seen() {
    sees(Fault::NoDns, contract::it_names_its_runtime);
}

#[test]
fn a_clock_that_runs_backwards_is_seen() {
    let clause = contract::the_clock_starts_near_zero_and_does_not_run_backwards;
    sees(Fault::ClockRunsBackwards, clause);
}

#[test]
fn an_early_sleep_is_seen() {
    sees(Fault::SleepsEndEarly, contract::a_sleep_is_never_early);
}

#[test]
fn an_error_without_words_is_seen() {
    sees(Fault::RefusalsSayNothing, contract::nothing_listening_is_connection_refused);
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_that_goes_on_is_seen() {
    sees(Fault::ConnectsGoOn, contract::a_connect_that_is_dropped_is_released);
}

#[test]
fn a_close_of_both_halves_is_seen() {
    sees(Fault::CloseEndsBothHalves, contract::closing_ends_the_sending_half_only);
}

#[test]
fn a_writer_that_never_stops_is_seen() {
    sees(Fault::BytesAreLost, contract::a_peer_that_does_not_read_stops_the_writer);
}

#[test]
fn a_transport_without_dns_is_seen() {
    sees(Fault::NoDns, contract::the_records_of_a_name_are_looked_up);
}
