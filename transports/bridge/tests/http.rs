//! What the bridge serves over plain HTTP, and to whom.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::sync::Mutex;

use common::{Bridge, fixed};
use portolan::engine::address::ServerAddress;
use portolan_bridge::{ActionError, Deployment, MemberAction, MemberState, MemberStatus};

#[tokio::test]
async fn the_configuration_names_the_members_and_no_secret() {
    let members = [ServerAddress::tcp("127.0.0.1", 27101), ServerAddress::tcp("127.0.0.1", 27102)];
    let bridge = Bridge::start(fixed([&members[0], &members[1]]), |_| {}).await;
    let answer = bridge.get("/config.json").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let config: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "uri": "mongodb://127.0.0.1:27101,127.0.0.1:27102/?replicaSet=rs0",
        "tunnel": "/tunnel",
        "demo": false,
        "kind": null,
    });
    assert_eq!(config, expected);
    assert!(bridge.get("/healthz").await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_foreign_host_is_refused_everywhere() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    for path in ["/config.json", "/", "/healthz"] {
        let request = format!("GET {path} HTTP/1.1\nhost: evil.example\nconnection: close\n\n");
        let answer = bridge.http(&request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("evil.example is not known"), "{answer}");
    }
}

#[tokio::test]
async fn pages_are_served_with_their_types_and_security_headers() {
    let folder = std::env::temp_dir().join(format!("portolan-http-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index.html"), "<title>chart</title>").unwrap();
    std::fs::write(folder.join("core.wasm"), b"\0asm").unwrap();
    std::fs::write(folder.join("main.js"), "0").unwrap();
    let dashboard = folder.clone();
    let bridge = Bridge::start(fixed([]), |options| options.dashboard = Some(dashboard)).await;
    for (path, kind) in
        [("/", "text/html"), ("/core.wasm", "application/wasm"), ("/main.js", "text/javascript")]
    {
        let answer = bridge.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.contains(&format!("content-type: {kind}")), "{path}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
        assert!(answer.contains("script-src 'self' 'wasm-unsafe-eval';"), "{path}: {answer}");
    }
    assert!(bridge.get("/missing").await.starts_with("HTTP/1.1 404"));
    let outside = bridge.get("/../../../../../etc/hostname").await;
    assert!(outside.starts_with("HTTP/1.1 404"), "{outside}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn without_a_dashboard_the_page_says_how_to_build_it() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    let answer = bridge.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("cargo xtask web"), "{answer}");
    assert!(bridge.get("/demo/members").await.starts_with("HTTP/1.1 404"), "no demo mode");
}

#[tokio::test]
async fn a_tunnel_needs_an_upgrade_and_the_subprotocol() {
    let bridge = Bridge::start(fixed([]), |_| {}).await;
    let plain = "GET /tunnel HTTP/1.1\nhost: HOST\norigin: http://HOST\nconnection: close\n\n";
    assert!(bridge.http(plain).await.starts_with("HTTP/1.1 4"));
    let other = "GET /tunnel HTTP/1.1\nhost: HOST\norigin: http://HOST\n\
                 connection: upgrade, close\nupgrade: websocket\nsec-websocket-version: 13\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-protocol: chat\n\n";
    let answer = bridge.http(other).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("portolan.v1"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    use tokio::io::AsyncReadExt as _;
    let handshake = std::time::Duration::from_millis(50);
    let bridge = Bridge::start(fixed([]), |options| options.limits.handshake = handshake).await;
    let mut stream = tokio::net::TcpStream::connect(bridge.address).await.unwrap();
    // Without the limit this would never end.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!(bridge.get("/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_too_many_is_not_served_until_another_ends() {
    let bridge = Bridge::start(fixed([]), |options| options.limits.connections = 1).await;
    let first = tokio::net::TcpStream::connect(bridge.address).await.unwrap();
    let answer = bridge.get("/healthz").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(first);
    while !bridge.get("/healthz").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
}

/// Remembers what was done to it; its member 2 refuses everything.
struct Recorded(&'static Mutex<Vec<(usize, MemberAction)>>);

impl Deployment for Recorded {
    fn kind(&self) -> String {
        "recorded".to_owned()
    }

    fn uri(&self) -> String {
        "mongodb://127.0.0.1:1".to_owned()
    }

    fn members(&self) -> Vec<MemberStatus> {
        let status = |id, state| MemberStatus { id, address: format!("127.0.0.1:{id}"), state };
        vec![status(0, MemberState::Running), status(1, MemberState::Frozen)]
    }

    fn act(&self, id: usize, action: MemberAction) -> Result<(), ActionError> {
        match id {
            0 | 1 => self.0.lock().unwrap().push((id, action)),
            2 => return Err(ActionError::Refused("it is stopped".to_owned())),
            _ => return Err(ActionError::NoSuchMember),
        }
        Ok(())
    }
}

fn action(path: &str, headers: &str) -> String {
    format!(
        "POST /demo/members/{path} HTTP/1.1\nhost: HOST\nconnection: close\ncontent-length: 2\n\
         {headers}\n\n{{}}"
    )
}

#[tokio::test]
async fn the_demo_lists_members_and_does_what_its_own_page_asks() {
    static DONE: Mutex<Vec<(usize, MemberAction)>> = Mutex::new(Vec::new());
    let bridge = Bridge::start(fixed([]), |options| common::demo(options, Recorded(&DONE))).await;
    assert!(bridge.get("/config.json").await.contains("\"kind\":\"recorded\""));
    let members = bridge.get("/demo/members").await;
    let expected = "[{\"id\":0,\"address\":\"127.0.0.1:0\",\"state\":\"running\"},\
                    {\"id\":1,\"address\":\"127.0.0.1:1\",\"state\":\"frozen\"}]";
    assert!(members.ends_with(expected), "{members}");

    let own = "origin: http://HOST\ncontent-type: application/json";
    let answer = bridge.http(&action("0/step-down", own)).await;
    assert!(answer.ends_with("{\"ok\":true}"), "{answer}");
    for (path, status, text) in [
        ("2/kill", 409, "it is stopped"),
        ("7/kill", 404, "no member 7"),
        ("0/explode", 400, "explode"),
    ] {
        let answer = bridge.http(&action(path, own)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        assert!(answer.contains(text), "{path}: {answer}");
    }
    for (headers, status) in [
        ("origin: http://evil.example\ncontent-type: application/json", 403),
        ("content-type: application/json", 403),
        ("origin: http://HOST\ncontent-type: text/plain", 415),
        ("origin: http://HOST", 415),
    ] {
        let answer = bridge.http(&action("0/kill", headers)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
    }
    assert_eq!(*DONE.lock().unwrap(), [(0, MemberAction::StepDown)]);
}
