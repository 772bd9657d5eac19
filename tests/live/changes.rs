//! Sets that become others: members under new host names, and a new set on the old ports.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Document, doc};
use portolan::engine::selection::Hint;
use portolan::{Client, ErrorKind, ReadPreference, TopologyDescription};
use portolan_support::{MemberOptions, ReplicaSet};

use crate::watch::{addresses, connect, run, start, start_calm};

/// The addresses of all members, their host called `host`.
fn named(set: &ReplicaSet, host: &str) -> BTreeSet<String> {
    set.members().iter().map(|m| format!("{host}:{}", m.address().port())).collect()
}

fn rename(set: &ReplicaSet, host: &str) {
    set.reconfig(|config| {
        for member in config.get_array_mut("members").into_iter().flatten() {
            let Some(member) = member.as_document_mut() else { continue };
            let port = member.get_str("host").ok().and_then(|old| old.rsplit_once(':'));
            let name = port.map(|(_, port)| format!("{host}:{port}"));
            member.insert("host", name);
        }
    })
    .expect("a change of the configuration");
}

fn is_complete(belief: &TopologyDescription, members: &BTreeSet<String>) -> bool {
    addresses(belief) == *members
        && belief.primary().is_some()
        && belief.servers.values().all(|server| server.server_type.is_known())
}

/// The hosts get other names, and their old ones back: the client follows, and no write fails.
#[test]
fn renamed_hosts_are_followed_and_no_write_is_lost() {
    let set = start_calm(vec![MemberOptions::default(); 3]);
    let (old, new) = (named(&set, "127.0.0.1"), named(&set, "localhost"));
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=majority", set.uri())).await;
        watch.until("the first names", |belief| is_complete(belief, &old)).await;
        let (written, ended) = (Cell::new(0), Cell::new(false));
        let changes = async {
            until_more(&written).await;
            rename(&set, "localhost");
            watch.until("the new names", |belief| is_complete(belief, &new)).await;
            until_more(&written).await;
            // Whoever has only an old name follows too.
            let (late, mut late_watch) = connect(&format!("mongodb://{}/", first(&old))).await;
            late_watch.until("the new names", |belief| is_complete(belief, &new)).await;
            late.ping(ReadPreference::PRIMARY).await.expect("an answer");
            rename(&set, "127.0.0.1");
            watch.until("the old names", |belief| is_complete(belief, &old)).await;
            until_more(&written).await;
            ended.set(true);
        };
        futures_util::future::join(changes, write_loop(&client, &written, &ended)).await;
        let log = client.database("live").collection::<Document>("log");
        assert_eq!(log.count_documents(doc! {}).await.expect("a count"), written.get());
        assert!(client.pools().iter().all(|pool| old.contains(&pool.address.to_string())));
    });
}

fn first(names: &BTreeSet<String>) -> &str {
    names.first().expect("members")
}

/// Waits until twenty more documents are written.
async fn until_more(written: &Cell<u64>) {
    let enough = written.get() + 20;
    while written.get() < enough {
        async_std::task::sleep(Duration::from_millis(5)).await;
    }
}

async fn write_loop(client: &Client, written: &Cell<u64>, ended: &Cell<bool>) {
    let log = client.database("live").collection::<Document>("log");
    while !ended.get() {
        let n = i64::try_from(written.get()).expect("a few");
        log.insert_one(doc! { "_id": n }).await.expect("no write fails");
        written.set(written.get() + 1);
    }
}

/// GAP-06: whoever looks for a set that is no more is told which one is there, with and without
/// the name in the connection string.
#[test]
fn another_set_on_the_same_ports_is_named_with_what_differs() {
    let mut set = start();
    let members = named(&set, "127.0.0.1");
    let uris = [set.uri(), format!("mongodb://{}/", set.seeds().join(","))]
        .map(|uri| with_option(&uri, "serverSelectionTimeoutMS=700"));
    run(async {
        let mut clients = Vec::new();
        for uri in &uris {
            let (client, mut watch) = connect(uri).await;
            watch.until_complete(3).await;
            clients.push((client, watch));
        }
        set.reinitiate("rs1").expect("another set");
        for (client, mut watch) in clients {
            let belief = watch.until("nobody of the old set", |b| b.servers.is_empty()).await;
            let left: BTreeSet<_> = belief.left_out.keys().map(ToString::to_string).collect();
            assert_eq!(left, members);
            let error = client.ping(ReadPreference::nearest()).await.expect_err("rs0 is no more");
            let ErrorKind::ServerSelection { hints, .. } = error.kind() else { panic!("{error}") };
            assert!(hints.iter().all(|hint| matches!(hint, Hint::LeftOut(_))), "{error}");
            for member in &members {
                let said = format!(
                    "{member} was left out: it is a member of replica set \"rs1\", not of \"rs0\""
                );
                assert!(error.to_string().contains(&said), "{error}");
            }
        }
        let (client, mut watch) = connect(&set.uri()).await;
        let belief = watch.until_complete(3).await;
        assert_eq!(belief.set_name.as_deref(), Some("rs1"));
        client.ping(ReadPreference::PRIMARY).await.expect("the new set answers");
    });
}

fn with_option(uri: &str, option: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{option}")
}
