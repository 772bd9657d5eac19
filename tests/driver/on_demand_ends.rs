//! The end of a client on demand, and what it is not: nothing runs that could clean up behind it.

use std::sync::Arc;

use futures_util::StreamExt;
use portolan::bson::{Document, doc};
use portolan::options::ClientOptions;
use portolan::transport::Transport;
use portolan::{Client, ErrorKind};

use super::on_demand::write;
use super::support::{Bed, ms, secs, till};

/// Ends the sessions, closes everything and says so, without a driver to do it.
#[test]
fn a_shutdown_closes_everything() {
    let bed = Bed::set(1);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    let own = client.clone();
    bed.run(async move { own.shutdown().await });
    assert_eq!(bed.named("endSessions").len(), 1);
    for name in ["a:1", "b:1"] {
        assert_eq!(bed.open_connections(name), 0, "{name}");
    }
    let error = write(&bed, &client).expect_err("shut down");
    assert!(matches!(error.kind(), ErrorKind::Shutdown), "{error}");
    drop(client);
    assert!(bed.net.next_at().is_none());
}

/// A dropped client leaves nothing, though its driver refers to it.
#[test]
fn a_dropped_client_closes_everything() {
    let bed = Bed::set(1);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    assert!(bed.open_connections("a:1") > 0);
    drop(client);
    for name in ["a:1", "b:1"] {
        assert_eq!(bed.open_connections(name), 0, "{name}");
    }
}

/// Neither the driver nor what a dropped cursor has left to do keeps a dropped client alive.
#[test]
fn a_dropped_client_is_gone_with_what_it_had_still_to_do() {
    let bed = Bed::standalone();
    let transport: Arc<dyn Transport> = Arc::new(bed.net.clone());
    let alive = Arc::downgrade(&transport);
    let options = ClientOptions::parse(&bed.uri("")).expect("good options");
    let client = Client::on_demand(options, transport).expect("a client");
    let till = till(&client);
    bed.run(async move {
        let mut cursor = till.find(doc! {}).batch_size(1_u32).await.expect("a cursor");
        let first: Option<portolan::Result<Document>> = cursor.next().await;
        first.expect("a document").expect("a document");
    });
    assert_eq!(bed.named("killCursors").len(), 0, "left to the next operation");
    drop(client);
    assert!(alive.upgrade().is_none(), "its transport is still held");
}

/// What a dropped cursor leaves on the server is cleaned up beside the next operation.
#[test]
fn a_dropped_cursor_is_killed_beside_the_next_operation() {
    let bed = Bed::standalone();
    let client = bed.on_demand("");
    let till = till(&client);
    bed.run(async move {
        let mut cursor = till.find(doc! {}).batch_size(1_u32).await.expect("a cursor");
        let first: Option<portolan::Result<Document>> = cursor.next().await;
        first.expect("a document").expect("a document");
    });
    bed.advance(secs(2));
    assert!(bed.named("killCursors").is_empty(), "nobody is there to send it");
    write(&bed, &client).expect("a write");
    bed.advance(ms(10));
    write(&bed, &client).expect("a write");
    assert_eq!(bed.named("killCursors").len(), 1);
}

#[test]
fn what_is_for_clients_with_a_driver_says_so() {
    let bed = Bed::set(1);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    assert!(client.monitors().iter().all(|monitor| !monitor.is_on), "nothing runs by itself");
    let error = client.restart().map(drop).expect_err("there is no driver to hand out");
    assert!(error.to_string().contains("Client::on_demand"), "{error}");
}
