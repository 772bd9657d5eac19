//! A client that does nothing wrong, while others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan::engine::address::ServerAddress;
use portolan_mux::{ClientTunnel, SUBPROTOCOL};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Bridge, target, tunnel_over};

/// Sends 200 bytes to an echo and waits for them, again and again; every fifth time on a stream of
/// its own.
pub struct Honest {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(u32, Duration)>,
}

/// The address that honest clients come from, where the bridge trusts its proxy.
pub const ADDRESS: &str = "198.51.100.7";

impl Honest {
    /// Starts with a tunnel of its own.
    pub async fn start(bridge: &Bridge, echo: &ServerAddress) -> Self {
        Self::start_with(bridge, echo, &[]).await
    }

    /// The same with these headers.
    pub async fn start_with(
        bridge: &Bridge,
        echo: &ServerAddress,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let own = bridge.own();
        let mut all = vec![
            ("origin", &*own),
            ("x-forwarded-for", ADDRESS),
            ("sec-websocket-protocol", SUBPROTOCOL),
        ];
        all.extend(headers);
        let tunnel = tunnel_over(bridge.open("/tunnel", &all).await.unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(rounds(tunnel, echo.clone(), stop.clone()));
        Self { stop, task }
    }

    /// Stops it; it was served all the time.
    pub async fn was_served(self) {
        // What is true from now on is not what was asked.
        self.stop.store(true, Ordering::Relaxed);
        let (rounds, slowest) = self.task.await.unwrap();
        assert!(rounds >= 3, "{rounds} rounds");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    }
}

async fn rounds(
    tunnel: ClientTunnel,
    echo: ServerAddress,
    stop: Arc<AtomicBool>,
) -> (u32, Duration) {
    let mut stream = tunnel.open(&target(&echo)).await.unwrap();
    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while rounds < 3 || !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        if rounds % 5 == 4 {
            stream = tunnel.open(&target(&echo)).await.unwrap();
        }
        stream.write_all(&[7; 200]).await.unwrap();
        stream.read_exact(&mut [0; 200]).await.unwrap();
        slowest = slowest.max(started.elapsed());
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (rounds, slowest)
}
