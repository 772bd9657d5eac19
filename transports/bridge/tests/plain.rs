//! Plain mode, look-ups, TLS, and a bridge in front of another.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::tokens::{Issuer, STATIC, access};
use common::{Bridge, close_frame, echo, fixed, member, refused, target, tunnel_over};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::{SinkExt as _, StreamExt as _};
use portolan::engine::address::ServerAddress;
use portolan::transport::{DnsRecord, RecordKind, Resolver};
use portolan_bridge::{Origins, Tls};
use portolan_mux::{Question, Record, RecordType, Refusal, RefusalCode, SUBPROTOCOL};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

/// The path of a plain WebSocket to `address`.
fn path(address: &ServerAddress) -> String {
    format!("/tcp/{address}")
}

#[tokio::test]
async fn a_plain_socket_carries_the_bytes_of_one_connection() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let own = bridge.own();
    for headers in
        [&[("origin", &*own)][..], &[("origin", &own), ("sec-websocket-protocol", "binary")]]
    {
        let mut socket = bridge.open(&path(&member), headers).await.unwrap();
        let sent: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        for message in sent.chunks(50_000) {
            socket.send(Message::binary(message.to_vec())).await.unwrap();
        }
        let mut back = Vec::new();
        while back.len() < sent.len() {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                back.extend_from_slice(&bytes);
            }
        }
        assert!(back == sent);
    }
    bridge.settled().await;
}

#[tokio::test]
async fn the_end_of_the_connection_is_the_end_of_the_socket_and_the_other_way_round() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (gone, mut heard) = tokio::sync::mpsc::channel(4);
    let member = member(move |mut stream| {
        let gone = gone.clone();
        async move {
            let mut first = [0];
            while stream.read_exact(&mut first).await.is_ok() {
                if first == *b"q" {
                    stream.write_all(b"last words").await.unwrap();
                    return;
                }
            }
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let own = bridge.own();
    let mut socket = bridge.open(&path(&member), &[("origin", &own)]).await.unwrap();
    socket.send(Message::binary(b"q".to_vec())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(b"last words".to_vec()));
    assert_eq!(close_frame(socket).await, (1000, "the other side has ended".to_owned()));

    let mut socket = bridge.open(&path(&member), &[("origin", &own)]).await.unwrap();
    socket.send(Message::binary(b"a".to_vec())).await.unwrap();
    socket.close(None).await.unwrap();
    heard.recv().await.unwrap();
    bridge.settled().await;
}

#[tokio::test]
async fn plain_sockets_are_guarded_as_tunnels_are() {
    let (issuer, member, other) = (Issuer::new(), echo().await, echo().await);
    let bridge = Bridge::start(fixed([&member]), |options| options.access = access(&issuer)).await;
    let bearer = format!("Bearer {STATIC}");
    let good = [("authorization", &*bearer)];
    let own = bridge.own();
    assert_eq!(refused(bridge.open(&path(&member), &[("origin", &own)]).await).0, 401);
    let (status, body) = refused(bridge.open(&path(&other), &good).await);
    assert!(status == 403 && body.contains("not a member"), "{body}");
    for wrong in ["/tcp/a", "/tcp/a:0", "/tcp/a:b", "/tcp/:1", "/tcp/a%20b:1"] {
        assert_eq!(refused(bridge.open(wrong, &good).await).0, 400, "{wrong}");
    }
    let named = format!("/tcp/{member}/none");
    assert_eq!(refused(bridge.open(&named, &good).await).0, 404);
    let chat = [("authorization", &*bearer), ("sec-websocket-protocol", "chat")];
    assert_eq!(refused(bridge.open(&path(&member), &chat).await).0, 400);
    // A browser's: the token beside the protocol.
    let protocols = format!("binary, portolan.token.{STATIC}");
    let browser = [("origin", &*own), ("sec-websocket-protocol", &*protocols)];
    bridge.open(&format!("/tcp/{member}/default"), &browser).await.unwrap();
    let mut text = bridge.open(&path(&member), &good).await.unwrap();
    text.send(Message::text("hello")).await.unwrap();
    assert_eq!(close_frame(text).await.0, 1002);
    bridge.settled().await;
}

#[tokio::test]
async fn a_member_that_cannot_be_dialled_is_an_http_error() {
    let gone = {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        ServerAddress::tcp("127.0.0.1", listener.local_addr().unwrap().port())
    };
    let bridge = Bridge::start(fixed([&gone]), |_| {}).await;
    let own = bridge.own();
    let (status, body) = refused(bridge.open(&path(&gone), &[("origin", &own)]).await);
    assert!(status == 502 && body.contains(&gone.to_string()), "{body}");
    bridge.settled().await;
}

/// The records of one cluster.
struct Records;

#[async_trait]
impl Resolver for Records {
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        match (name, kind) {
            ("_mongodb._tcp.cluster.example", RecordKind::Srv) => {
                let host = "db0.cluster.example".to_owned();
                Ok(vec![DnsRecord::Srv { host, port: 27017, ttl: 60 }])
            }
            ("cluster.example", RecordKind::Txt) => {
                Ok(vec![DnsRecord::Txt("replicaSet=rs0".to_owned())])
            }
            ("gone.example", RecordKind::Txt) => Err(io::ErrorKind::NotFound.into()),
            _ => panic!("{name} must not be asked for"),
        }
    }
}

#[tokio::test]
async fn configured_names_are_looked_up_through_the_tunnel_and_no_others() {
    let bridge = Bridge::start(fixed([]), |options| {
        options.records = Arc::new(Records);
        options.deployments[0].look_ups =
            vec!["cluster.example".to_owned(), "gone.example".to_owned()];
    })
    .await;
    let tunnel = bridge.tunnel().await;
    let ask = async |name: &str, record_type| {
        tunnel.look_up(&Question::new(name, record_type).unwrap()).await
    };
    let srv = ask("_mongodb._tcp.cluster.example", RecordType::Srv).await.unwrap();
    let host = "db0.cluster.example".to_owned();
    assert_eq!(srv, [Record::Srv { host, port: 27017, ttl: 60 }]);
    let txt = ask("Cluster.example", RecordType::Txt).await.unwrap();
    assert_eq!(txt, [Record::Txt("replicaSet=rs0".to_owned())]);
    for (name, code) in [
        ("internal.example", RefusalCode::LookUpForbidden),
        ("gone.example", RefusalCode::DialFailed),
    ] {
        let error = ask(name, RecordType::Txt).await.unwrap_err();
        let refusal = error.get_ref().unwrap().downcast_ref::<Refusal>().unwrap();
        assert_eq!(refusal.code, code, "{name}");
    }
    assert_eq!(bridge.metric("look_ups_total").await, 3);
    drop(tunnel);
    bridge.settled().await;
}

/// A certificate for localhost, and who trusts it.
fn certificate() -> (Tls, TlsConnector) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (tls, TlsConnector::from(Arc::new(config)))
}

#[tokio::test]
async fn with_a_certificate_the_bridge_speaks_tls_and_nothing_else() {
    let member = echo().await;
    let (tls, connector) = certificate();
    let bridge = Bridge::start(fixed([&member]), |options| {
        options.tls = Some(tls);
        options.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let connect = async || {
        let stream = tokio::net::TcpStream::connect(bridge.address).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    };
    let port = bridge.address.port();
    let request = |origin: String| {
        let mut request = format!("wss://localhost:{port}/tunnel").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", origin.parse().unwrap());
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        request
    };
    let own = request(format!("https://localhost:{port}"));
    let (socket, _) = tokio_tungstenite::client_async(own, connect().await).await.unwrap();
    let tunnel = tunnel_over(socket);
    let mut stream = tunnel.open(&target(&member)).await.unwrap();
    stream.write_all(b"encrypted").await.unwrap();
    let mut back = [0; 9];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"encrypted");
    // A page that came without TLS may be anybody's on the way.
    let plain = request(format!("http://localhost:{port}"));
    let (status, _) = refused(tokio_tungstenite::client_async(plain, connect().await).await);
    assert_eq!(status, 403);
    assert!(!bridge.get("/healthz").await.contains("200 OK"), "there is no plain HTTP");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_without_its_key() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().signing_key;
    let broken = key.replace("-----END", "!!!-----END");
    for (cert, key, said) in [
        ("", &key, "no CERTIFICATE"),
        (&cert, &cert, "no unencrypted PRIVATE KEY"),
        (&cert, &broken, "no unencrypted PRIVATE KEY"),
        (&cert, &other.serialize_pem(), "do not go together"),
    ] {
        let error = Tls::from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.contains(said), "{error}");
        let body = key.lines().nth(1).unwrap();
        assert!(!error.contains(body), "{error}");
    }
}

#[tokio::test]
async fn a_bridge_in_front_of_another_works() {
    let member = echo().await;
    let inner = Bridge::start(fixed([&member]), |_| {}).await;
    // The outer one has no members, and allows the inner one as a target.
    let outer = Bridge::start(fixed([]), |options| {
        options.deployments[0].targets = vec![inner.address.to_string().parse().unwrap()];
        options.origins = Origins::new(&[inner.own()], false).unwrap();
    })
    .await;
    let outer_tunnel = outer.tunnel().await;
    let address = ServerAddress::tcp("127.0.0.1", inner.address.port());
    let through = outer_tunnel.open(&target(&address)).await.unwrap().compat();
    let mut request = format!("ws://{}/tunnel", inner.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", inner.own().parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    let (socket, _) = tokio_tungstenite::client_async(request, through).await.unwrap();
    let tunnel = tunnel_over(socket);
    let echoes = (0..20_u8).map(async |number| {
        let stream = tunnel.open(&target(&member)).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let sent = vec![number; 100_000];
        let mut back = Vec::new();
        let write = async {
            writer.write_all(&sent).await.unwrap();
            writer.close().await.unwrap();
        };
        let (_, read) = futures_util::join!(write, reader.read_to_end(&mut back));
        read.unwrap();
        assert!(back == sent, "stream {number}");
    });
    futures_util::future::join_all(echoes).await;
    // The inner bridge's own rules hold: the outer one vouches for nobody.
    let mut outside = tunnel.open(&target(&ServerAddress::tcp("10.0.0.1", 22))).await.unwrap();
    assert!(outside.read(&mut [0]).await.unwrap_err().to_string().contains("not a member"));
    drop((tunnel, outside));
    inner.settled().await;
    drop(outer_tunnel);
    outer.settled().await;
}

#[tokio::test]
async fn draining_waits_for_the_answer_that_is_awaited_and_for_nothing_else() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let slow = member(|mut stream| async move {
        let mut first = [0];
        while stream.read_exact(&mut first).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(600)).await;
            stream.write_all(b"answer").await.unwrap();
        }
    })
    .await;
    let echo = echo().await;
    let bridge = Bridge::start(fixed([&slow, &echo]), |options| {
        options.limits.drain = Duration::from_secs(5);
        options.limits.notice = Duration::from_millis(300);
    })
    .await;
    let tunnel = bridge.tunnel().await;
    let mut idle = tunnel.open(&target(&echo)).await.unwrap();
    futures_util::AsyncWriteExt::write_all(&mut idle, b"a").await.unwrap();
    futures_util::AsyncReadExt::read_exact(&mut idle, &mut [0]).await.unwrap();
    let address = bridge.address;
    let ready = async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse::<u16>().ok()
    };
    assert_eq!(ready().await, Some(200));
    let mut waiting = tunnel.open(&target(&slow)).await.unwrap();
    let started = tokio::time::Instant::now();
    let stopped = tokio::spawn(bridge.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    // It says that it leaves, and still serves.
    assert_eq!(ready().await, Some(503));
    futures_util::AsyncWriteExt::write_all(&mut waiting, b"q").await.unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    // Now it takes nothing new: not a connection, not a stream.
    assert_eq!(ready().await, None);
    let mut late = tunnel.open(&target(&echo)).await.unwrap();
    let error = futures_util::AsyncReadExt::read(&mut late, &mut [0]).await.unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");
    // The idle one is gone, the one that waits has its answer.
    let mut answer = [0; 6];
    futures_util::AsyncReadExt::read_exact(&mut waiting, &mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
    assert!(futures_util::AsyncReadExt::read(&mut idle, &mut [0]).await.is_err());
    stopped.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}
