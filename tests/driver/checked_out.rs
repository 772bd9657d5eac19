//! One connection of a pool in the hands of a user: what goes back, what is closed, what is told.

use portolan::bson::{Document, doc};
use portolan::options::{ServerChoice, ServerSelector};
use portolan::{Client, ErrorKind, ReadPreference, ServerConnection, ServerType};

use super::support::server::{Act, Port};
use super::support::{Bed, Join, address, ms, pool, secs};

/// An error of the user's own.
#[derive(Debug)]
enum Own {
    DivisionByZero,
    Driver(portolan::Error),
}

impl From<portolan::Error> for Own {
    fn from(error: portolan::Error) -> Self {
        Self::Driver(error)
    }
}

async fn distinct(connection: &mut ServerConnection, n: i32) -> portolan::Result<Document> {
    connection.run_command("shop", doc! { "distinct": n }).await
}

fn primary(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let client = client.clone();
    bed.spawn(async move {
        client.with_primary(async |connection| distinct(connection, 0).await.map(drop)).await
    })
}

/// MT-15, MT-17.
#[test]
fn commands_run_on_one_connection_to_the_primary() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let ran = client.clone();
    let names = bed.run(async move {
        ran.with_primary(async |connection| -> portolan::Result<_> {
            for n in 0..3 {
                distinct(connection, n).await?;
            }
            Ok(connection.address().to_string())
        })
        .await
    });
    assert_eq!(names.expect("no failure"), "a:1");
    let sent = bed.named("distinct");
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|request| request.connection == sent[0].connection));
    assert!(sent.iter().all(|request| request.address == address("a:1")));
    assert_eq!((pool(&client, "a:1").idle, pool(&client, "a:1").connections), (1, 1));
    bed.run(async move { client.with_primary(async |c| distinct(c, 3).await).await }).expect("ok");
    assert_eq!(bed.named("distinct")[3].connection, sent[0].connection, "it went back");
}

/// MT-15, MT-17: what the client prefers by itself, and the primary whatever it prefers.
#[test]
fn the_clients_preference_and_the_primary_are_both_to_be_had() {
    let bed = Bed::set(1);
    let client = bed.settled("readPreference=secondary");
    for (to_primary, expected) in [(false, "b:1"), (true, "a:1")] {
        let client = client.clone();
        let address = bed.run(async move {
            let own = client.options().read_preference.clone();
            let work = async |connection: &mut ServerConnection| {
                distinct(connection, 1).await?;
                Ok::<_, portolan::Error>(connection.address().to_string())
            };
            match to_primary {
                true => client.with_primary(work).await,
                false => client.with_server(own, work).await,
            }
        });
        assert_eq!(address.expect("no failure"), expected);
    }
}

/// MT-16, MT-18.
#[test]
fn the_choice_of_the_server_is_the_callers() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let (near, far) = (client.clone(), client);
    let server = bed.run(async move {
        near.with_server(ReadPreference::secondary(), async |connection| {
            distinct(connection, 1).await?;
            Ok::<_, portolan::Error>(connection.server().server_type)
        })
        .await
    });
    assert_eq!(server.expect("no failure"), ServerType::RSSecondary);
    let sent = &bed.named("distinct")[0].body;
    let mode = sent.get_document("$readPreference").and_then(|document| document.get_str("mode"));
    assert_eq!(mode.ok(), Some("secondary"));
    let choice = ServerChoice {
        local_threshold: Some(secs(1)),
        server_selector: Some(ServerSelector::new(|servers| {
            servers.retain(|server| server.address.to_string() == "c:1");
        })),
        ..ReadPreference::nearest().into()
    };
    let address = bed.run(async move {
        far.with_server(choice, async |c| Ok::<_, portolan::Error>(c.address().to_string())).await
    });
    assert_eq!(address.expect("no failure"), "c:1");
}

/// MT-16: a latency window for one operation.
#[test]
fn the_latency_window_can_be_another_for_one_operation() {
    let bed = Bed::set(1);
    bed.with_server("b:1", |server| server.delay = ms(60));
    let client = bed.settled("");
    let mut met = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let client = client.clone();
        let wide = ServerChoice {
            local_threshold: Some(secs(5)),
            ..ServerChoice::from(ReadPreference::nearest())
        };
        let taken = bed.run(async move { client.connection(wide).await }).expect("a connection");
        met.insert(taken.address().to_string());
    }
    assert_eq!(met.len(), 2, "{met:?}");
    let taken = {
        let client = client;
        bed.run(async move { client.connection(ReadPreference::nearest()).await })
    };
    assert_eq!(taken.expect("a connection").address(), &address("a:1"));
}

/// MT-19: a block that is left early, or dropped between two commands, gives the connection back.
#[test]
fn a_connection_that_is_dropped_goes_back() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let held = {
        let client = client.clone();
        bed.spawn(async move {
            client
                .with_primary(async |connection| -> portolan::Result<()> {
                    distinct(connection, 1).await?;
                    std::future::pending().await
                })
                .await
        })
    };
    bed.advance(ms(50));
    let busy = pool(&client, "a:1");
    assert_eq!((busy.connections, busy.idle), (1, 0));
    assert_eq!(busy.operations, 0, "nothing runs on it now");
    bed.cancel(held.id);
    assert_eq!(pool(&client, "a:1").idle, 1);
}

/// MT-22: as for operations, the connection is closed, the pool cleared, the server doubted.
#[test]
fn a_network_error_closes_the_connection_and_is_told() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    primary(&bed, &client);
    bed.advance(ms(50));
    assert_eq!(pool(&client, "a:1").idle, 1);
    bed.rule("a:1", "distinct", 1, Act::HangUp);
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let ran = client.clone();
    let (first, second, usable) = bed.run(async move {
        let mut connection = ran.connection(ReadPreference::PRIMARY).await.expect("a connection");
        let first = distinct(&mut connection, 1).await;
        let second = distinct(&mut connection, 2).await;
        (first, second, connection.is_usable())
    });
    assert!(matches!(first.expect_err("gone").kind(), ErrorKind::Network { .. }));
    assert!(matches!(second.expect_err("gone").kind(), ErrorKind::Network { .. }));
    assert!(!usable);
    assert_eq!(bed.named("distinct").len(), 2, "nothing is tried again");
    let server = client.topology().description().server(&address("a:1")).cloned();
    assert_eq!(server.expect("a member").server_type, ServerType::Unknown);
    assert_eq!(pool(&client, "a:1").connections, 0);
}

/// MT-24; and an error of the server, which is the caller's too.
#[test]
fn other_errors_touch_neither_pool_nor_topology() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let before = client.topology().description();
    let ran = client.clone();
    let own = bed.run(async move {
        ran.with_primary(async |connection| -> Result<(), Own> {
            distinct(connection, 1).await?;
            Err(Own::DivisionByZero)
        })
        .await
    });
    assert!(matches!(own, Err(Own::DivisionByZero)), "{own:?}");
    let refusal = doc! { "ok": 0, "code": 59, "errmsg": "no such command" };
    bed.rule("a:1", "distinct", 1, Act::Reply(refusal));
    let ran = client.clone();
    let refused = bed.run(async move {
        ran.with_primary(async |connection| -> Result<(), Own> {
            let refused = distinct(connection, 2).await;
            distinct(connection, 3).await?;
            refused?;
            Ok(())
        })
        .await
    });
    let Err(Own::Driver(error)) = refused else { panic!("the server refused") };
    assert_eq!(error.code(), Some(59));
    assert_eq!(pool(&client, "a:1").idle, 1);
    let after = client.topology().description();
    assert_eq!(after.primary(), before.primary());
    let sent = bed.named("distinct");
    assert!(sent.iter().all(|request| request.connection == sent[0].connection));
}

/// MT-20, MT-21: what the server says of its own state is heard, whoever asked.
#[test]
fn a_server_that_is_no_primary_any_more_is_doubted() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    primary(&bed, &client);
    bed.advance(ms(50));
    let stepped_down = doc! { "ok": 0, "code": 10107, "errmsg": "not primary" };
    bed.rule("a:1", "distinct", 1, Act::Reply(stepped_down));
    bed.rule("a:1", "hello", usize::MAX, Act::Silence);
    let join = primary(&bed, &client);
    bed.advance(ms(50));
    let error = join.take().expect("ended").expect_err("nothing is tried again");
    assert_eq!(error.code(), Some(10107));
    let server = client.topology().description().server(&address("a:1")).cloned();
    assert_eq!(server.expect("a member").server_type, ServerType::Unknown);
}

/// What comes next on a connection whose command was abandoned is unknown: it is closed.
#[test]
fn a_command_that_is_abandoned_ends_its_connection() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "distinct", 1, Act::Slow(secs(5)));
    let join = primary(&bed, &client);
    bed.advance(ms(50));
    assert_eq!(pool(&client, "a:1").operations, 1, "it counts while it runs");
    bed.cancel(join.id);
    let after = pool(&client, "a:1");
    assert_eq!((after.connections, after.operations), (0, 0));
    let join = primary(&bed, &client);
    bed.advance(ms(50));
    join.take().expect("ended").expect("on a new connection");
}
