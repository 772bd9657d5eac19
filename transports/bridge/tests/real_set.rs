//! The driver through the tunnel of a real bridge to a real replica set, as in a browser but for
//! the WebSocket, which is not ours.
//!
//! Needs a mongod (`cargo xtask setup` installs one) and fails without.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use common::{Bridge, target};
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::{StreamExt as _, TryStreamExt as _};
use portolan::bson::{Document, doc};
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport};
use portolan::{Client, ClientOptions, ReadPreference, ServerAddress, ServerType};
use portolan_bridge::Believed;
use portolan_mux::{ClientTunnel, TunnelStream};
use portolan_support::{MongodBinary, ReplicaSet, ReplicaSetOptions};
use portolan_tokio::Tokio;

/// tokio's time, the tunnel's streams.
struct Tunnelled {
    clock: Tokio,
    tunnel: ClientTunnel,
}

#[async_trait]
impl Transport for Tunnelled {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }

    async fn connect(&self, address: &ServerAddress) -> io::Result<BoxStream> {
        Ok(Box::new(Through(self.tunnel.open(&target(address)).await?)))
    }
}

struct Through(TunnelStream);

impl ByteStream for Through {}

impl AsyncRead for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Through {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

async fn replica_set() -> ReplicaSet {
    let start = || {
        let binary = MongodBinary::find(None).expect("a mongod");
        ReplicaSet::start(ReplicaSetOptions::new(binary, 3)).unwrap()
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// A bridge that runs the driver on `uri`, and that driver's client.
async fn bridge(uri: &str) -> (Bridge, Client) {
    let client = portolan_tokio::connect(uri).await.unwrap();
    let members = Believed::follow(client.topology());
    // From here on the bridge knows the members and no longer only the seeds.
    client.ping(ReadPreference::primary()).await.unwrap();
    (Bridge::start(members, |_| {}).await, client)
}

/// A client whose streams all go through one WebSocket of `bridge`.
async fn tunnelled(bridge: &Bridge, uri: &str) -> Client {
    let transport = Tunnelled { clock: Tokio::new(), tunnel: bridge.tunnel().await };
    let options = ClientOptions::parse(uri).unwrap();
    let (client, driver) = Client::new(options, Arc::new(transport)).unwrap();
    tokio::spawn(driver);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_discovers_reads_and_writes_through_the_tunnel_and_survives_the_primary() {
    let mut set = replica_set().await;
    let (bridge, _own) = bridge(&set.uri()).await;
    let seed = set.seeds().remove(1);
    let client = tunnelled(&bridge, &format!("mongodb://{seed}/?replicaSet=rs0")).await;
    let mut topology = client.topology();
    while topology.description().servers.values().filter(|s| s.server_type.is_known()).count() < 3 {
        topology.next().await.unwrap();
    }

    let sailors = client.database("bridge").collection::<Document>("sailors");
    for number in 0..300 {
        let sailor = doc! { "_id": number, "log": "all well ".repeat(100) };
        sailors.insert_one(&sailor).await.unwrap();
    }
    // About 290 KB: more than one window of the stream.
    let read: Vec<Document> =
        sailors.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.len(), 300);
    assert!(read.iter().zip(0..).all(|(sailor, n)| sailor.get_i32("_id").unwrap() == n));

    let primary = set.primary().unwrap();
    set.member_mut(primary).kill().unwrap();
    sailors.insert_one(&doc! { "_id": 300 }).await.unwrap();
    assert_eq!(sailors.count_documents(doc! {}).await.unwrap(), 301);
    let ping = client.ping(ReadPreference::primary()).await.unwrap();
    assert_eq!(ping.server_type, ServerType::RSPrimary);
    assert_ne!(ping.address.to_string(), set.member(primary).address().to_string());
    client.shutdown().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_outside_the_deployment_is_an_error_that_says_why() {
    let set = replica_set().await;
    let (bridge, _own) = bridge(&set.uri()).await;
    let stranger = common::echo().await;
    let uri = format!("mongodb://{stranger}/?serverSelectionTimeoutMS=500&directConnection=true");
    let client = tunnelled(&bridge, &uri).await;
    let error = client.ping(ReadPreference::primary()).await.unwrap_err().to_string();
    let reason = format!("{stranger} is not a member of this deployment, which has 3 members");
    assert!(error.contains(&reason), "{error}");
}
