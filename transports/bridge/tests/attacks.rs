//! Attacks on the bridge: who is not let in, and what those who are cannot do.
//!
//! After each, nothing is held any more (tasks, connections, streams, bytes put aside), and where
//! it lasts, an honest client is served meanwhile.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::honest::Honest;
use common::tokens::{
    AUDIENCE, Issuer, SECRET, STATIC, access, claims, claims_with, hs256, in_seconds, part, token,
};
use common::{Bridge, echo, fixed, refused, target};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan::engine::address::ServerAddress;
use portolan_bridge::{FixedMembers, Names, Networks};
use portolan_mux::{Refusal, RefusalCode, SUBPROTOCOL};
use serde_json::json;
use tokio::net::TcpListener;

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", SUBPROTOCOL);

/// A bridge that wants tokens.
async fn guarded(issuer: &Issuer) -> Bridge {
    Bridge::start(fixed([]), |options| options.access = access(issuer)).await
}

#[tokio::test]
async fn a_foreign_origin_is_refused_even_with_a_good_token() {
    let bridge = guarded(&Issuer::new()).await;
    let bearer = format!("Bearer {STATIC}");
    let own = bridge.own();
    for origin in ["https://evil.example", "null", "http://localhost", "https://evil.example:443"] {
        let headers = [PROTOCOL, ("origin", origin), ("authorization", &*bearer)];
        for path in ["/tunnel", "/tcp/a:1"] {
            let (status, body) = refused(bridge.open(path, &headers).await);
            assert!(status == 403 && body.contains("may not use this bridge"), "{origin}: {body}");
        }
    }
    bridge
        .open("/tunnel", &[PROTOCOL, ("origin", &own), ("authorization", &bearer)])
        .await
        .unwrap();
    bridge.settled().await;
    assert_eq!(bridge.metric("refused_total{reason=\"origin\"}").await, 8);
}

#[tokio::test]
async fn no_origin_is_refused_where_no_token_stands_for_it() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    let bearer = format!("Bearer {STATIC}");
    for headers in [&[PROTOCOL][..], &[PROTOCOL, ("authorization", &*bearer)]] {
        let (status, body) = refused(bridge.open("/tunnel", headers).await);
        assert!(status == 403 && body.contains("no Origin header"), "{body}");
    }
    bridge.settled().await;
}

#[tokio::test]
async fn no_token_is_refused() {
    let bridge = guarded(&Issuer::new()).await;
    let own = bridge.own();
    for headers in [&[PROTOCOL][..], &[PROTOCOL, ("origin", &own)]] {
        let (status, body) = refused(bridge.open("/tunnel", headers).await);
        assert!(status == 401 && body.contains("wants a token"), "{body}");
    }
    bridge.settled().await;
    assert_eq!(bridge.metric("refused_total{reason=\"token\"}").await, 2);
}

#[tokio::test]
async fn expired_and_forged_tokens_are_refused() {
    let (issuer, forger) = (Issuer::new(), Issuer::new());
    let bridge = guarded(&issuer).await;
    let unsigned = |algorithm: &str| token(&json!({ "alg": algorithm }), &claims(), |_| Vec::new());
    let good = issuer.eddsa(&claims());
    let [header, _, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut no_expiry = claims();
    no_expiry.as_object_mut().unwrap().remove("exp");
    let mut no_audience = claims();
    no_audience.as_object_mut().unwrap().remove("aud");
    let not_valid = "not valid here";
    for (token, said) in [
        (issuer.eddsa(&claims_with("exp", json!(in_seconds(-60)))), "expired"),
        (hs256(&claims_with("exp", json!(in_seconds(-60))), SECRET), "expired"),
        (hs256(&no_expiry, SECRET), "expired"),
        (issuer.eddsa(&claims_with("exp", json!("4102444800"))), "not valid"),
        (issuer.eddsa(&claims_with("nbf", json!(in_seconds(90)))), "not valid yet"),
        (issuer.eddsa(&claims_with("nbf", json!("soon"))), not_valid),
        (issuer.eddsa(&claims_with("aud", json!("another-service"))), "another audience"),
        (issuer.eddsa(&claims_with("aud", json!([]))), "another audience"),
        (hs256(&no_audience, SECRET), "another audience"),
        // Signed by somebody else, or by nobody.
        (forger.eddsa(&claims()), not_valid),
        (hs256(&claims(), b"thirty-two bytes of another secret"), not_valid),
        (unsigned("none"), not_valid),
        (unsigned("None"), not_valid),
        (unsigned("HS256"), not_valid),
        (unsigned("EdDSA"), not_valid),
        (unsigned("RS256"), not_valid),
        // The public key as a shared secret: a header does not choose what a key is for.
        (hs256(&claims(), &issuer.public_key()), not_valid),
        (hs256(&claims(), issuer.public_pem().as_bytes()), not_valid),
        // Other claims under a good signature.
        (format!("{header}.{}.{signature}", part(&claims_with("sub", json!("root")))), not_valid),
        (format!("{good}x"), not_valid),
        ("..".to_owned(), not_valid),
        ("a".repeat(8000), not_valid),
        (STATIC[..STATIC.len() - 1].to_owned(), not_valid),
    ] {
        let bearer = format!("Bearer {token}");
        let answer = bridge.open("/tunnel", &[PROTOCOL, ("authorization", &bearer)]).await;
        let (status, body) = refused(answer);
        assert!(status == 401 && body.contains(said), "{token}: {body}");
        assert!(!body.contains(&*token), "an answer repeats no token");
    }
    // The same claims, honestly signed.
    let bearer = format!("Bearer {}", issuer.eddsa(&claims_with("aud", json!([AUDIENCE, "b"]))));
    bridge.open("/tunnel", &[PROTOCOL, ("authorization", &bearer)]).await.unwrap();
    bridge.settled().await;
}

/// What a stream to `address` is refused with.
async fn refusal(tunnel: &portolan_mux::ClientTunnel, address: &ServerAddress) -> Refusal {
    let mut stream = tunnel.open(&target(address)).await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    error.get_ref().unwrap().downcast_ref::<Refusal>().unwrap().clone()
}

#[tokio::test]
async fn a_target_outside_the_deployment_is_not_dialled() {
    let (member, other) = (echo().await, counted("127.0.0.1").await);
    let bridge = Bridge::start(fixed([&member]), |_| {}).await;
    let honest = Honest::start(&bridge, &member).await;
    let tunnel = bridge.tunnel().await;
    let port = member.port().unwrap();
    for address in [
        ServerAddress::tcp("127.0.0.1", other.port),
        // The member's port under other names of the same machine.
        ServerAddress::tcp("localhost", port),
        ServerAddress::tcp("127.1", port),
        ServerAddress::tcp("2130706433", port),
        ServerAddress::tcp("::ffff:127.0.0.1", port),
        ServerAddress::tcp("127.0.0.1.", port),
        ServerAddress::tcp("169.254.169.254", 80),
    ] {
        let refusal = refusal(&tunnel, &address).await;
        assert_eq!(refusal.code, RefusalCode::NotAMember, "{address}");
    }
    assert_eq!(other.count(), 0);
    honest.was_served().await;
    drop(tunnel);
    bridge.settled().await;
}

/// A listener that counts who comes.
struct Counted {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Counted {
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

async fn counted(address: &str) -> Counted {
    counted_at(address, 0).await
}

async fn counted_at(address: &str, port: u16) -> Counted {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counter = count.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    Counted { port, count }
}

/// A resolver that gives one answer after the other, and the last one for ever.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Names for Scripted {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host, "db.rebind.example");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_gains_nothing() {
    // One port, at an address that the deployment has and at one that it has not.
    let allowed = counted("127.0.0.1").await;
    let internal = counted_at("127.0.0.2", allowed.port).await;
    let member = ServerAddress::tcp("db.rebind.example", allowed.port);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let (good, bad) = (address("127.0.0.1"), address("127.0.0.2"));
    let asked = Arc::<AtomicUsize>::default();
    let names = Scripted {
        answers: Mutex::new(vec![
            vec![good],
            vec![bad],
            vec![bad, address("169.254.169.254"), address("10.0.0.1"), address("::1")],
            vec![bad, good],
        ]),
        asked: asked.clone(),
    };
    let bridge = Bridge::start(FixedMembers([member.clone()].into()), |options| {
        options.names = Arc::new(names);
        options.deployments[0].networks = Networks::named(vec!["127.0.0.1/32".parse().unwrap()]);
    })
    .await;
    let tunnel = bridge.tunnel().await;
    // The name is asked for once, and what was checked is what is dialled: were it asked again for
    // the dial, the second answer would be taken.
    let mut stream = tunnel.open(&target(&member)).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    assert_eq!((asked.load(Ordering::Relaxed), allowed.count(), internal.count()), (1, 1, 0));
    drop(stream);
    // From now on it leads elsewhere.
    for _ in 0..2 {
        let refusal = refusal(&tunnel, &member).await;
        assert_eq!(refusal.code, RefusalCode::AddressForbidden);
        assert!(!refusal.reason.contains("127.0.0.2"), "where it leads is not told: {refusal}");
    }
    // Of several addresses the allowed ones are dialled.
    let mut stream = tunnel.open(&target(&member)).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    assert_eq!((asked.load(Ordering::Relaxed), allowed.count(), internal.count()), (4, 2, 0));
    assert_eq!(bridge.metric("refused_total{reason=\"address\"}").await, 2);
    drop((stream, tunnel));
    bridge.settled().await;
}

#[tokio::test]
async fn a_member_whose_name_leads_into_a_private_network_is_not_dialled() {
    for address in ["10.0.0.1", "192.168.1.1", "169.254.169.254", "fd00::1", "0.0.0.0", "127.0.0.1"]
    {
        let member = ServerAddress::tcp("db.rebind.example", 27017);
        let names = Scripted {
            answers: Mutex::new(vec![vec![address.parse().unwrap()]]),
            asked: Arc::default(),
        };
        let bridge = Bridge::start(FixedMembers([member.clone()].into()), |options| {
            options.names = Arc::new(names);
            options.deployments[0].networks = Networks::default();
        })
        .await;
        let tunnel = bridge.tunnel().await;
        let mut stream = tunnel.open(&target(&member)).await.unwrap();
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{address}: {error}");
        drop((stream, tunnel));
        bridge.settled().await;
    }
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let member = echo().await;
    let bridge = Bridge::start(fixed([&member]), |options| {
        options.limits.handshake = Duration::from_millis(300);
    })
    .await;
    let honest = Honest::start(&bridge, &member).await;
    let slow = (0..80).map(async |number: u32| {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(bridge.address).await.unwrap();
        let started = tokio::time::Instant::now();
        let head = "GET /tunnel HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ";
        // Some say nothing at all, the others a byte at a time, without end.
        let mut bytes = head.bytes().chain(std::iter::repeat(b'a'));
        while number % 2 == 1 && stream.write_all(&[bytes.next().unwrap()]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if started.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
        started.elapsed()
    });
    for elapsed in futures_util::future::join_all(slow).await {
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    }
    honest.was_served().await;
    bridge.settled().await;
}
