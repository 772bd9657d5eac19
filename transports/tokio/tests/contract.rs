//! What the core relies on: a sleep is never early, a refusal is an error, bytes arrive as sent.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan::engine::address::ServerAddress;
use portolan::transport::{Instant, Transport as _};
use portolan_tokio::Tokio;
use tokio::net::TcpListener;

#[test]
fn the_clock_starts_near_zero_and_does_not_run_backwards() {
    let transport = Tokio::new();
    let mut last = transport.now();
    assert!(last - Instant::ZERO < Duration::from_secs(5));
    for _ in 0..1000 {
        let now = transport.now();
        assert!(now >= last);
        last = now;
    }
}

#[tokio::test]
async fn a_sleep_is_never_early() {
    let transport = Tokio::new();
    for micros in [0, 1, 700, 1000, 1300, 2999, 20_001] {
        let deadline = transport.now() + Duration::from_micros(micros);
        transport.sleep_until(deadline).await;
        assert!(transport.now() >= deadline, "early by {:?}", deadline - transport.now());
    }
}

#[tokio::test]
async fn a_deadline_that_never_comes_does_not_fire() {
    let transport = Tokio::new();
    tokio::select! {
        () = transport.sleep_until(Instant::from_nanos(u64::MAX)) => panic!("the end of time"),
        () = transport.sleep_until(transport.now() + Duration::from_millis(5)) => {}
    }
}

#[tokio::test]
async fn nothing_listening_is_connection_refused() {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = match Tokio::new().connect(&ServerAddress::tcp("127.0.0.1", port)).await {
        Ok(_) => panic!("connected to nothing"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_an_error() {
    let target = ServerAddress::tcp("no-such-host.invalid", 27017);
    assert!(Tokio::new().connect(&target).await.is_err());
}

#[tokio::test]
async fn bytes_come_back_from_a_host_name_and_the_end_is_seen() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    let mut stream = Tokio::new().connect(&ServerAddress::tcp("localhost", port)).await.unwrap();
    assert_eq!(stream.arrived_at(), None);
    stream.write_all(b"harbour").await.unwrap();
    stream.flush().await.unwrap();
    let mut back = [0; 7];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"harbour");
    stream.close().await.unwrap();
    assert_eq!(stream.read(&mut back).await.unwrap(), 0);
    echo.await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_carries_bytes() {
    let name = format!("portolan-tokio-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"lead line").await.unwrap();
    });
    let target: ServerAddress = path.to_str().unwrap().parse().unwrap();
    let mut stream = Tokio::new().connect(&target).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "lead line");
    server.await.unwrap();
    std::fs::remove_file(path).unwrap();
}
