//! The tunnel of a real bridge on loopback: echo, refusals, limits, ends.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::{Bridge, close_frame, echo, fixed, member, refused, target, tunnel_over};
use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::{SinkExt as _, StreamExt as _};
use portolan::engine::address::ServerAddress;
use portolan_bridge::Origins;
use portolan_mux::{Refusal, RefusalCode, Target};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn bytes_come_back_through_the_tunnel() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let mut stream = bridge.tunnel().await.open(&target(&member)).await.unwrap();
    stream.write_all(b"lead and line").await.unwrap();
    let mut back = [0; 13];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"lead and line");
    bridge.stop().await;
}

#[tokio::test]
async fn many_streams_share_one_socket() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let tunnel = bridge.tunnel().await;
    let target = target(&member);
    join_all((0..60_u8).map(async |number| {
        let stream = tunnel.open(&target).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let sent = vec![number; 10_000 * (1 + usize::from(number))];
        let mut back = Vec::new();
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        };
        let (_, read) = futures_util::join!(write, reader.read_to_end(&mut back));
        read.unwrap();
        assert!(back == sent, "stream {number}");
    }))
    .await;
}

#[tokio::test]
async fn a_target_that_is_no_member_is_refused_with_the_reason() {
    let (member, other) = (echo().await, echo().await);
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let tunnel = bridge.tunnel().await;
    let mut stream = tunnel.open(&target(&other)).await.unwrap();
    stream.write_all(b"optimistic").await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let refusal = error.get_ref().unwrap().downcast_ref::<Refusal>().unwrap();
    assert_eq!(refusal.code, RefusalCode::NotAMember);
    let reason = format!("{other} is not a member of this deployment, which has 1 member");
    assert_eq!(refusal.reason, reason);

    let mut stream = tunnel.open(&target(&member)).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
}

#[tokio::test]
async fn a_member_that_does_not_listen_is_a_failed_dial() {
    let gone = {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        ServerAddress::tcp("127.0.0.1", listener.local_addr().unwrap().port())
    };
    let bridge = Bridge::start(fixed([&gone]), |_| {}).await;
    let mut stream = bridge.tunnel().await.open(&target(&gone)).await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
}

#[tokio::test]
async fn half_closing_reaches_the_member_and_its_answer_comes_back() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let member = member(|mut stream| async move {
        let mut asked = String::new();
        stream.read_to_string(&mut asked).await.unwrap();
        stream.write_all(asked.to_uppercase().as_bytes()).await.unwrap();
    })
    .await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let mut stream = bridge.tunnel().await.open(&target(&member)).await.unwrap();
    futures_util::AsyncWriteExt::write_all(&mut stream, b"where to").await.unwrap();
    futures_util::AsyncWriteExt::close(&mut stream).await.unwrap();
    let mut answer = String::new();
    futures_util::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert_eq!(answer, "WHERE TO");
}

#[tokio::test]
async fn the_last_bytes_of_a_member_are_delivered_before_its_end() {
    use tokio::io::AsyncWriteExt as _;
    let member = member(|mut stream| async move {
        stream.write_all(&vec![5; 500_000]).await.unwrap();
    })
    .await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let mut stream = bridge.tunnel().await.open(&target(&member)).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), 500_000);
}

#[tokio::test]
async fn a_foreign_origin_and_a_missing_one_are_refused() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    let (status, body) = refused(bridge.socket(Some("https://evil.example")).await);
    assert_eq!(status, 403);
    assert!(body.contains("https://evil.example may not use this bridge"), "{body}");
    let (status, body) = refused(bridge.socket(None).await);
    assert_eq!(status, 403);
    assert!(body.contains("no Origin header"), "{body}");
}

#[tokio::test]
async fn allowed_origins_and_allowed_programs_are_served() {
    let allowed = ["https://app.example".to_owned()];
    let bridge = Bridge::start(fixed([]), |options| {
        options.origins = Origins::new(&allowed, true).unwrap();
    })
    .await;
    bridge.socket(Some("https://app.example")).await.unwrap();
    bridge.socket(None).await.unwrap();
    assert_eq!(refused(bridge.socket(Some("https://other.example")).await).0, 403);
}

#[tokio::test]
async fn a_socket_too_many_is_refused_until_one_ends() {
    let bridge = Bridge::start(fixed([]), |options| options.limits.sockets = 1).await;
    let own = format!("http://{}", bridge.address);
    let mut first = bridge.socket(Some(&own)).await.unwrap();
    let (status, body) = refused(bridge.socket(Some(&own)).await);
    assert_eq!((status, body.as_str()), (503, "This bridge has its 1 sockets already.\n"));
    first.close(None).await.unwrap();
    while first.next().await.is_some() {}
    while bridge.socket(Some(&own)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_too_many_is_refused_and_the_others_live() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |options| options.limits.streams = 1).await;
    let tunnel = bridge.tunnel().await;
    let mut first = tunnel.open(&target(&member)).await.unwrap();
    first.write_all(b"a").await.unwrap();
    first.read_exact(&mut [0]).await.unwrap();
    let mut second = tunnel.open(&target(&member)).await.unwrap();
    let error = second.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    first.write_all(b"b").await.unwrap();
    first.read_exact(&mut [0]).await.unwrap();
}

#[tokio::test]
async fn garbage_closes_the_socket_with_a_protocol_error() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    let own = format!("http://{}", bridge.address);
    for garbage in [Message::binary(vec![0xff; 100]), Message::text("hello")] {
        let mut socket = bridge.socket(Some(&own)).await.unwrap();
        socket.send(garbage).await.unwrap();
        assert_eq!(close_frame(socket).await.0, 1002);
    }
}

#[tokio::test]
async fn a_silent_socket_is_closed_as_idle_and_one_that_answers_pings_is_not() {
    let idle = Duration::from_millis(300);
    let bridge = Bridge::start(fixed([]), |options| options.limits.idle = idle).await;
    let own = format!("http://{}", bridge.address);
    // Reading answers pings: this one stays open until the silent one was closed.
    let mut lively = bridge.socket(Some(&own)).await.unwrap();
    let lively = tokio::spawn(async move {
        while let Some(Ok(message)) = lively.next().await {
            if message.is_close() {
                return;
            }
        }
    });
    let mut silent = bridge.socket(Some(&own)).await.unwrap();
    // The bytes below the WebSocket, which nothing answers.
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(silent.get_mut(), &mut bytes).await.unwrap();
    let close = [&[0x88, 32][..], &4000_u16.to_be_bytes(), b"nothing was heard for too long"];
    assert!(bytes.ends_with(&close.concat()), "{bytes:?}");
    assert!(bytes.starts_with(&[0x89, 0, 0x89, 0]), "pings come first: {bytes:?}");
    assert!(!lively.is_finished());
}

#[tokio::test]
async fn a_stream_without_an_open_request_is_dropped() {
    let bridge =
        Bridge::start(fixed([]), |options| options.limits.handshake = Duration::from_millis(50))
            .await;
    let own = format!("http://{}", bridge.address);
    let mut socket = bridge.socket(Some(&own)).await.unwrap();
    // A data frame of no bytes that opens stream 1, and then silence.
    socket.send(Message::binary(vec![0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])).await.unwrap();
    loop {
        match socket.next().await.unwrap().unwrap() {
            // The flags of a data frame for stream 1: reset.
            Message::Binary(frame) if frame[1] == 0 => {
                assert_eq!(frame[3] & 8, 8, "{frame:?}");
                return;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn shutting_down_tells_the_socket_and_ends_the_streams() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let own = format!("http://{}", bridge.address);
    let idle = bridge.socket(Some(&own)).await.unwrap();
    let tunnel = tunnel_over(bridge.socket(Some(&own)).await.unwrap());
    let mut stream = tunnel.open(&target(&member)).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    let started = tokio::time::Instant::now();
    let ((), frame) = tokio::join!(bridge.stop(), close_frame(idle));
    assert_eq!(frame, (1001, "the bridge is shutting down".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(stream.read(&mut [0]).await.is_err());
    assert!(tunnel.open(&Target::new("a", 1).unwrap()).await.is_err());
}
