//! Deployments that cannot be used, and errors that say why.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use portolan::ErrorKind;
use portolan::ReadPreference;
use portolan::engine::selection::{Outcome, Reason};
use portolan::event::EventKind;

use crate::watch::{connect, run, start_with};

#[test]
fn a_set_of_another_name_is_refused() {
    let set = start_with(vec![portolan_support::MemberOptions::default()]);
    run(async {
        let seed = &set.seeds()[0];
        let uri = format!("mongodb://{seed}/?replicaSet=other&serverSelectionTimeoutMS=500");
        let (client, mut watch) = connect(&uri).await;
        let closed = |kind: &EventKind| matches!(kind, EventKind::ServerClosed { .. });
        watch.event("the member leaves", closed).await;
        watch.until("no member", |belief| belief.servers.is_empty()).await;
        let error = client
            .database("live")
            .collection::<Document>("c")
            .find_one(doc! {})
            .await
            .expect_err("no member of that set");
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error:?}");
        assert!(error.to_string().contains("other"), "names the set that was wanted: {error}");
    });
}

#[test]
fn nothing_listening_is_an_error_in_time_that_names_each_server_and_its_reason() {
    run(async {
        let ports = [free_port(), free_port()];
        let uri = format!(
            "mongodb://127.0.0.1:{},127.0.0.1:{}/?replicaSet=rs0&serverSelectionTimeoutMS=700",
            ports[0], ports[1]
        );
        let (client, _watch) = connect(&uri).await;
        let began = Instant::now();
        let error = client.ping(ReadPreference::nearest()).await.expect_err("nobody is there");
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(690), "too early: {took:?}");
        assert!(took < Duration::from_secs(3), "too late: {took:?}");
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error:?}");
        assert_eq!(error.verdicts().len(), 2);
        for (verdict, port) in error.verdicts().iter().zip(sorted(ports)) {
            assert_eq!(verdict.address.to_string(), format!("127.0.0.1:{port}"));
            match &verdict.outcome {
                Outcome::Because(Reason::Unknown { error, .. }) => {
                    assert!(error.to_lowercase().contains("refused"), "{error}");
                }
                other => panic!("{other:?}"),
            }
            assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
        }
    });
}

fn sorted(mut ports: [u16; 2]) -> [u16; 2] {
    ports.sort_unstable();
    ports
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
