//! Who may, and what for: tokens of all kinds, deployments by name, addresses behind a proxy.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::sync::Arc;

use common::tokens::{
    Issuer, ORDERS_ONLY, SECRET, STATIC, access, claims, claims_with, hs256, in_seconds,
};
use common::{Bridge, close_frame, echo, fixed, refused, target, tunnel_over};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan_bridge::{Origins, Served};
use portolan_mux::SUBPROTOCOL;
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", SUBPROTOCOL);

#[tokio::test]
async fn every_kind_of_token_opens_a_tunnel_in_either_header() {
    let (issuer, member) = (Issuer::new(), echo().await);
    let bridge = Bridge::start(fixed([&member]), |options| options.access = access(&issuer)).await;
    let tokens = [STATIC.to_owned(), hs256(&claims(), SECRET), issuer.eddsa(&claims())];
    let own = bridge.own();
    for token in &tokens {
        // A program, without an origin: the token is enough.
        let bearer = format!("Bearer {token}");
        let socket = bridge.open("/tunnel", &[PROTOCOL, ("authorization", &bearer)]).await;
        let mut stream = tunnel_over(socket.unwrap()).open(&target(&member)).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        // A browser.
        let protocols = format!("{SUBPROTOCOL}, portolan.token.{token}");
        let headers = [("sec-websocket-protocol", &*protocols), ("origin", &own)];
        bridge.open("/tunnel", &headers).await.unwrap();
    }
    bridge.settled().await;
}

#[tokio::test]
async fn the_answer_names_the_protocol_and_never_the_token() {
    let issuer = Issuer::new();
    let bridge = Bridge::start(fixed([]), |options| options.access = access(&issuer)).await;
    let protocols = format!("portolan.token.{STATIC}, portolan.v1");
    let mut request = format!("ws://{}/tunnel", bridge.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (_, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "portolan.v1");
    assert!(!format!("{answer:?}").contains(STATIC), "{answer:?}");
    let token = format!("portolan.token.{STATIC}");
    let only = [("sec-websocket-protocol", &*token), ("origin", &bridge.own())];
    let (status, body) = refused(bridge.open("/tunnel", &only).await);
    assert!(status == 400 && body.contains("portolan.v1") && !body.contains(STATIC), "{body}");
    // A token in a query string is none.
    let path = format!("/tunnel?token={STATIC}");
    let own = bridge.own();
    assert_eq!(refused(bridge.open(&path, &[PROTOCOL, ("origin", &own)]).await).0, 401);
}

#[tokio::test]
async fn deployments_are_served_by_name_and_a_token_may_be_for_some_of_them() {
    let (issuer, members) = (Issuer::new(), [echo().await, echo().await]);
    let bridge = Bridge::start(fixed([&members[0]]), |options| {
        options.access = access(&issuer);
        let mut orders = Served::new(Arc::new(fixed([&members[1]])), "mongodb://o:pw@orders/");
        orders.name = "orders".to_owned();
        orders.networks.learn([127, 0, 0, 1].into());
        options.deployments.push(orders);
    })
    .await;
    let open = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        bridge.open(path, &[PROTOCOL, ("authorization", &bearer)]).await
    };
    // Each deployment has its own members only.
    let orders = tunnel_over(open("/tunnel/orders", ORDERS_ONLY).await.unwrap());
    let mut stream = orders.open(&target(&members[0])).await.unwrap();
    assert!(stream.read(&mut [0]).await.unwrap_err().to_string().contains("not a member"));
    let mut stream = orders.open(&target(&members[1])).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();

    assert_eq!(refused(open("/tunnel", ORDERS_ONLY).await).0, 403);
    open("/tunnel/default", STATIC).await.unwrap();
    let narrow = hs256(&claims_with("deployments", json!(["orders", "stock"])), SECRET);
    open("/tunnel/orders", &narrow).await.unwrap();
    let (status, body) = refused(open("/tunnel", &narrow).await);
    assert!(status == 403 && body.contains("does not allow this deployment"), "{body}");
    assert_eq!(refused(open("/tunnel/none", STATIC).await).0, 404);
    // Nobody without a token learns which names there are.
    let own = bridge.own();
    for path in ["/tunnel/none", "/tunnel/orders"] {
        let headers = [PROTOCOL, ("origin", &*own)];
        assert_eq!(refused(bridge.open(path, &headers).await).0, 401);
    }
    let config = bridge.get("/config/orders.json").await;
    assert!(config.starts_with("HTTP/1.1 401"), "{config}");
    let request = format!(
        "GET /config/orders.json HTTP/1.1\nhost: HOST\nconnection: close\n\
         authorization: Bearer {ORDERS_ONLY}\n\n"
    );
    let config = bridge.http(&request).await;
    assert!(config.contains("\"tunnel\":\"/tunnel/orders\"") && !config.contains("pw"), "{config}");
}

#[tokio::test]
async fn a_tunnel_ends_when_its_token_does() {
    let issuer = Issuer::new();
    let bridge = Bridge::start(fixed([]), |options| options.access = access(&issuer)).await;
    // Clocks may differ by 30 seconds.
    let bearer = format!("Bearer {}", issuer.eddsa(&claims_with("exp", json!(in_seconds(-29)))));
    let socket = bridge.open("/tunnel", &[PROTOCOL, ("authorization", &bearer)]).await.unwrap();
    assert_eq!(close_frame(socket).await, (4002, "the token has expired".to_owned()));
    bridge.settled().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_limit_of_its_own() {
    let bridge = Bridge::start(fixed([]), |options| {
        options.origins = Origins::new(&[], true).unwrap();
        options.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        options.limits.connections_per_address = 2;
    })
    .await;
    let from = async |address: &'static str| {
        bridge.open("/tunnel", &[PROTOCOL, ("x-forwarded-for", address)]).await
    };
    let _first = (from("203.0.113.1").await.unwrap(), from("203.0.113.1").await.unwrap());
    let (status, body) = refused(from("203.0.113.1").await);
    assert_eq!((status, &*body), (429, "This address has its 2 connections already.\n"));
    // What the client itself wrote into the header stands left, and counts for nothing.
    assert_eq!(refused(from("192.0.2.9, 203.0.113.1").await).0, 429);
    let _other = from("203.0.113.2").await.unwrap();
}

#[tokio::test]
async fn a_stranger_cannot_choose_the_address_that_is_counted() {
    let bridge = Bridge::start(fixed([]), |options| {
        options.origins = Origins::new(&[], true).unwrap();
        options.limits.connections_per_address = 2;
    })
    .await;
    let from = async |address: &'static str| {
        bridge.open("/tunnel", &[PROTOCOL, ("x-forwarded-for", address)]).await
    };
    let _two = (from("203.0.113.1").await.unwrap(), from("203.0.113.2").await.unwrap());
    assert!(from("203.0.113.3").await.is_err());
}
