//! Attacks by those who were let in: too much, too fast, too slow, or broken.
//!
//! As in attacks.rs, nothing is held afterwards, and an honest client is served meanwhile. The
//! attacker's frames are written by hand: our own client would not send them.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::time::Duration;

use common::honest::Honest;
use common::{Bridge, Socket, close_frame, echo, fixed, member, target};
use futures_util::{SinkExt as _, StreamExt as _};
use portolan::engine::address::ServerAddress;
use portolan_bridge::ServerOptions;
use portolan_mux::{SUBPROTOCOL, Target};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

const SYN: u8 = 1;
const ACK: u8 = 2;
const RESET: u8 = 8;
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;

/// A frame of the tunnel: kind, flags, stream, length (or credit), body.
fn frame(kind: u8, flags: u8, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, kind, 0, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The frame that opens `stream` to `target`.
fn open(stream: u32, target: &Target) -> Vec<u8> {
    let request = target.encode();
    frame(DATA, SYN, stream, u32::try_from(request.len()).unwrap(), &request)
}

/// A masked WebSocket frame, its head as given: what a client sends, right or wrong.
fn raw(head: &[u8], body: &[u8]) -> Vec<u8> {
    [head, &[0; 4], body].concat()
}

/// Each client has an address of its own, by the proxy that the test is.
fn proxied(options: &mut ServerOptions) {
    options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

async fn attacker(bridge: &Bridge) -> Socket {
    let_in(bridge).await.unwrap()
}

async fn let_in(bridge: &Bridge) -> Result<Socket, tungstenite::Error> {
    let own = bridge.own();
    let headers = [
        ("origin", &*own),
        ("sec-websocket-protocol", SUBPROTOCOL),
        ("x-forwarded-for", "203.0.113.66"),
    ];
    bridge.open("/tunnel", &headers).await
}

/// Waits until the bridge has closed the connection; the code it gave, if any got through.
async fn closed(mut socket: Socket) -> Option<u16> {
    let ended = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    timeout(Duration::from_secs(10), ended).await.expect("the bridge closes it")
}

#[tokio::test]
async fn oversized_frames_are_not_taken() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |options| {
        proxied(options);
        options.limits.frame = 100_000;
    })
    .await;
    let honest = Honest::start(&bridge, &member).await;
    let mut socket = attacker(&bridge).await;
    socket.send(Message::binary(vec![0; 100_001])).await.unwrap();
    assert_eq!(closed(socket).await, Some(1009));
    // One that is said to be of exabytes, and one that grows by fragments.
    let mut socket = attacker(&bridge).await;
    let head = [&[0x82, 0xff][..], &(1_u64 << 62).to_be_bytes()].concat();
    socket.get_mut().write_all(&raw(&head, &[0; 10])).await.unwrap();
    closed(socket).await;
    let mut socket = attacker(&bridge).await;
    let fragment =
        |first: u8| raw(&[&[first, 0xfe][..], &60_000_u16.to_be_bytes()].concat(), &[0; 60_000]);
    let _ = socket.get_mut().write_all(&[fragment(0x02), fragment(0x00)].concat()).await;
    closed(socket).await;
    honest.was_served().await;
    bridge.settled().await;
}

#[tokio::test]
async fn malformed_frames_end_the_tunnel_that_sent_them_and_no_other() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), proxied).await;
    let honest = Honest::start(&bridge, &member).await;
    let target = target(&member);
    let opened = open(1, &target);
    // Frames of the WebSocket: reserved bits and opcodes, no mask, a fragmented ping, a lonely
    // continuation, a text.
    for (head, body) in [
        (&[0xf2, 0x80][..], &[][..]),
        (&[0x83, 0x80], &[]),
        (&[0x8b, 0x80], &[]),
        (&[0x09, 0x80], &[]),
        (&[0x80, 0x80], &[]),
        (&[0x81, 0x81], b"a"),
        (&[0x81, 0x81], &[0xff]),
    ] {
        let mut socket = attacker(&bridge).await;
        socket.get_mut().write_all(&raw(head, body)).await.unwrap();
        closed(socket).await;
    }
    let mut socket = attacker(&bridge).await;
    socket.get_mut().write_all(&[0x82, 1, 0]).await.unwrap();
    closed(socket).await;
    // Frames of the tunnel: another version, an unknown kind, an even stream, one that is opened
    // twice, a body that is longer than any may be.
    for bytes in [
        vec![9; 12],
        frame(7, 0, 1, 0, &[]),
        open(2, &target),
        [opened.clone(), opened.clone()].concat(),
        frame(DATA, SYN, 1, u32::MAX, &[]),
        frame(WINDOW_UPDATE, SYN, 1, u32::MAX, &[]),
        [opened.clone(), frame(WINDOW_UPDATE, 0, 1, u32::MAX, &[])].concat(),
    ] {
        let mut socket = attacker(&bridge).await;
        socket.send(Message::binary(bytes.clone())).await.unwrap();
        assert_eq!(closed(socket).await, Some(1002), "{bytes:?}");
    }
    // Open requests that make no sense end their stream only.
    for request in
        [&[9, 1, 0, 1, b'a'][..], &[1, 0, 0, 1], &[1, 1, 0, 0, b'a'], &[2, 1, 0, 1, b'a']]
    {
        let mut socket = attacker(&bridge).await;
        let length = u32::try_from(request.len()).unwrap();
        socket.send(Message::binary(frame(DATA, SYN, 1, length, request))).await.unwrap();
        socket.send(Message::binary(open(3, &target))).await.unwrap();
        answered(&mut socket, 3).await;
    }
    honest.was_served().await;
    bridge.settled().await;
}

/// Reads until `stream` has its first data.
async fn answered(socket: &mut Socket, stream: u32) {
    loop {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
            let mut rest = &bytes[..];
            while rest.len() >= 12 {
                let length = u32::from_be_bytes(rest[8..12].try_into().unwrap());
                let body = if rest[1] == DATA { length as usize } else { 0 };
                if rest[1] == DATA && rest[4..8] == stream.to_be_bytes() && body > 0 {
                    assert_eq!(rest[12], 0, "accepted");
                    return;
                }
                rest = &rest[12 + body..];
            }
        }
    }
}

#[tokio::test]
async fn who_overruns_his_credit_is_cut_off() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), proxied).await;
    let honest = Honest::start(&bridge, &member).await;
    // 256 KiB are granted; these are one frame, and many.
    let body = vec![1; 400_000];
    let mut socket = attacker(&bridge).await;
    socket.send(Message::binary(open(1, &target(&member)))).await.unwrap();
    let whole = frame(DATA, 0, 1, 400_000, &body);
    socket.send(Message::binary(whole)).await.unwrap();
    assert_eq!(closed(socket).await, Some(1002));
    // To a member that never reads: the credit is all that is ever held.
    let stopped = stopped().await;
    let bridge = Bridge::start(fixed([&member, &stopped]), proxied).await;
    let mut socket = attacker(&bridge).await;
    socket.send(Message::binary(open(1, &target(&stopped)))).await.unwrap();
    let piece = frame(DATA, 0, 1, 16_000, &[1; 16_000]);
    for _ in 0..4000 {
        if socket.send(Message::binary(piece.clone())).await.is_err() {
            break;
        }
    }
    closed(socket).await;
    honest.was_served().await;
    bridge.settled().await;
}

/// A member that takes connections and never reads.
async fn stopped() -> ServerAddress {
    member(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await
}

#[tokio::test]
async fn a_thousand_opens_a_second_are_not_served_and_others_are() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |options| {
        proxied(options);
        options.limits.opens_per_second = 20;
        options.limits.opens_burst = 50;
    })
    .await;
    let honest = Honest::start(&bridge, &member).await;
    let mut socket = attacker(&bridge).await;
    let (mut stream, started) = (1, Instant::now());
    let mut opens = 0;
    while opens < 3000 && started.elapsed() < Duration::from_secs(6) {
        for _ in 0..100 {
            let bytes = open(stream, &target(&member));
            let reset = frame(DATA, RESET, stream, 0, &[]);
            if socket.send(Message::binary([bytes, reset].concat())).await.is_err() {
                // So many were left open at once that the tunnel is closed: that is fine too.
                socket = match let_in(&bridge).await {
                    Ok(socket) => socket,
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                stream = 1;
            }
            stream += 2;
            opens += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(socket);
    honest.was_served().await;
    bridge.settled().await;
    assert!(opens >= 1000, "{opens}");
    let refused = bridge.metric("refused_total{reason=\"rate\"}").await;
    assert!(refused > 500, "{refused}");
}

/// A member that sends without end.
async fn fountain() -> ServerAddress {
    member(|mut stream| async move { while stream.write_all(&[5; 65536]).await.is_ok() {} }).await
}

#[tokio::test]
async fn a_reader_that_never_reads_is_let_go_and_holds_little_meanwhile() {
    let (member, fountain) = (echo().await, fountain().await);
    let idle = Duration::from_millis(800);
    let bridge = Bridge::start(fixed([&member, &fountain]), |options| {
        proxied(options);
        options.limits.idle = idle;
    })
    .await;
    let honest = Honest::start(&bridge, &member).await;
    // With credit for gigabytes on each of 20 streams; one is silent, the other pings all the time
    // and so is heard.
    for pings in [false, true] {
        let mut socket = attacker(&bridge).await;
        for stream in (1..40).step_by(2) {
            let credit = frame(WINDOW_UPDATE, 0, stream, 1 << 30, &[]);
            let bytes = [open(stream, &target(&fountain)), credit].concat();
            socket.send(Message::binary(bytes)).await.unwrap();
        }
        let started = Instant::now();
        let ping = raw(&[0x89, 0x80], &[]);
        while bridge.metric("tunnels").await > 1 {
            assert!(started.elapsed() < Duration::from_secs(8), "pings: {pings}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            if pings && socket.get_mut().write_all(&ping).await.is_err() {
                break;
            }
        }
        assert!(started.elapsed() >= idle / 2);
    }
    honest.was_served().await;
    bridge.settled().await;
}

#[tokio::test]
async fn half_open_connections_and_half_closed_streams_do_not_stay() {
    let member = echo().await;
    let stopped = stopped().await;
    let limit = Duration::from_millis(400);
    let bridge = Bridge::start(fixed([&member, &stopped]), |options| {
        proxied(options);
        options.limits.idle = limit;
        options.limits.handshake = limit;
    })
    .await;
    let honest = Honest::start(&bridge, &member).await;
    // As if the other end had lost its power: open, and never heard of again.
    let mut lost = Vec::new();
    for _ in 0..30 {
        lost.push(attacker(&bridge).await);
    }
    // Alive, but with streams that were only begun, and with one whose member does not end.
    let mut alive = attacker(&bridge).await;
    for stream in (1..101).step_by(2) {
        alive.send(Message::binary(frame(DATA, SYN, stream, 1, &[1]))).await.unwrap();
    }
    let ended = [open(201, &target(&stopped)), frame(DATA, 4, 201, 0, &[])].concat();
    alive.send(Message::binary(ended)).await.unwrap();
    let alive = tokio::spawn(async move { while let Some(Ok(_)) = alive.next().await {} });
    let started = Instant::now();
    // The honest one, and the one that lives.
    while bridge.metric("tunnels").await > 2 || bridge.metric("streams").await > 1 {
        assert!(started.elapsed() < Duration::from_secs(8));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!alive.is_finished(), "its tunnel has done nothing wrong");
    alive.abort();
    drop(lost);
    honest.was_served().await;
    bridge.settled().await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_tunnel_that_sends_it() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), proxied).await;
    let honest = Honest::start(&bridge, &member).await;
    let flood = (4001, "too many pings or empty frames".to_owned());
    let pings: [Message; 5] = [
        Message::Ping(Bytes::new()),
        Message::Pong(Bytes::from_static(b"nobody asked")),
        Message::binary(frame(PING, SYN, 0, 1, &[])),
        Message::binary(frame(DATA, 0, 1, 0, &[])),
        Message::binary(Vec::new()),
    ];
    for ping in pings {
        let mut socket = attacker(&bridge).await;
        for _ in 0..200 {
            if socket.feed(ping.clone()).await.is_err() {
                break;
            }
        }
        let _ = socket.flush().await;
        assert_eq!(close_frame(socket).await, flood, "{ping:?}");
    }
    // A few are what they are for.
    let mut socket = attacker(&bridge).await;
    for _ in 0..5 {
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        socket.send(Message::binary(frame(PING, SYN, 0, 7, &[]))).await.unwrap();
    }
    let mut pongs = 0;
    while pongs < 10 {
        match socket.next().await.unwrap().unwrap() {
            Message::Pong(_) => pongs += 1,
            Message::Binary(bytes) if bytes[..] == frame(PING, ACK, 0, 7, &[]) => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    drop(socket);
    honest.was_served().await;
    bridge.settled().await;
}
