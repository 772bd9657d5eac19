//! Dropping any future at any point leaks nothing: the connection is closed, counts are right, the
//! session is dirty, the next operation works.

use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use portolan::bson::{Document, doc};
use portolan::options::{ClientOptions, Credential};
use portolan::{Client, ReadPreference};

use super::support::scram::Account;
use super::support::server::Act;
use super::support::{Bed, Cut, ms, pool, secs, till};

type Operation = fn(Client) -> Pin<Box<dyn Future<Output = portolan::Result<()>>>>;

/// Each kind of operation; what it gives does not matter here.
const OPERATIONS: [(&str, Operation); 13] = [
    ("find_one", |client| Box::pin(async move { till(&client).find_one(doc! {}).await.map(drop) })),
    ("find", |client| {
        Box::pin(async move { till(&client).find(doc! {}).batch_size(2_u32).await.map(drop) })
    }),
    ("insert_one", |client| {
        Box::pin(async move { till(&client).insert_one(doc! { "_id": 1 }).await.map(drop) })
    }),
    ("insert_many", |client| {
        let documents = (0..3).map(|n| doc! { "_id": n });
        Box::pin(async move { till(&client).insert_many(documents).await.map(drop) })
    }),
    ("update_one", |client| {
        let update = doc! { "$set": { "a": 1 } };
        Box::pin(async move { till(&client).update_one(doc! {}, update).await.map(drop) })
    }),
    ("count_documents", |client| {
        Box::pin(async move { till(&client).count_documents(doc! {}).await.map(drop) })
    }),
    ("run_command", |client| {
        let command = doc! { "buildInfo": 1 };
        Box::pin(async move { client.database("shop").run_command(command).await.map(drop) })
    }),
    ("ping", |client| {
        Box::pin(async move { client.ping(ReadPreference::nearest()).await.map(drop) })
    }),
    ("cursor", |client| {
        Box::pin(async move {
            let mut cursor = till(&client).find(doc! {}).batch_size(1_u32).await?;
            while cursor.next().await.transpose()?.is_some() {}
            Ok(())
        })
    }),
    ("timed find_one", |client| {
        let find = till(&client).find_one(doc! {}).timeout(secs(60));
        Box::pin(async move { find.await.map(drop) })
    }),
    ("transaction", |client| {
        Box::pin(async move {
            let session = client.start_session().await?;
            session.start_transaction().await?;
            till(&client).insert_one(doc! { "_id": 1 }).session(&session).await?;
            let mut cursor =
                till(&client).find(doc! {}).batch_size(2_u32).session(&session).await?;
            while cursor.next().await.transpose()?.is_some() {}
            session.commit_transaction().await
        })
    }),
    ("with_transaction", |client| {
        Box::pin(async move {
            let session = client.start_session().await?;
            let callback = async |session| {
                till(&client).insert_one(doc! { "_id": 1 }).session(&session).await?;
                session.abort_transaction().await
            };
            session.with_transaction(callback).await
        })
    }),
    ("close", |client| {
        Box::pin(async move {
            let find = till(&client).find(doc! {}).batch_size(1_u32).timeout(secs(60));
            find.await?.close().await
        })
    }),
];

/// Drops `operation` after its first poll, its second, and so on until it completes, each time in a
/// bed of its own; returns how many polls it took.
fn at_each_poll(
    name: &str,
    operation: Operation,
    make: impl Fn() -> (Bed, Client),
    check: impl Fn(&Bed, &Client, &str),
) -> usize {
    for woken in [false, true] {
        for polls in 1.. {
            let (bed, client) = make();
            let cut = if woken { Cut::WokenAfter(polls) } else { Cut::After(polls) };
            let join = bed.spawn_cut(operation(client.clone()), Some(cut));
            for _ in 0..200_000 {
                bed.settle();
                if bed.is_gone(join.id) || !bed.net.step() {
                    break;
                }
            }
            assert!(bed.is_gone(join.id), "{name} hangs at {cut:?}");
            check(&bed, &client, &format!("{name} dropped at {cut:?}"));
            if let Some(outcome) = join.take() {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                if woken {
                    return polls;
                }
                break;
            }
        }
    }
    unreachable!("every operation completes")
}

/// Nothing is in use, and the client works with all the room that it has.
fn is_whole(bed: &Bed, client: &Client, what: &str) {
    bed.with_server("a:1", |server| server.forget_rules());
    bed.advance(secs(1));
    let status = pool(client, "a:1");
    assert_eq!(status.connections, status.idle, "{what}: {status:?}");
    assert_eq!((status.waiting, status.operations), (0, 0), "{what}");
    // No cursor stays open, except one whose number the client never learned.
    let open = bed.with_server("a:1", |server| server.cursors.len());
    let told = !bed.named("getMore").is_empty() || !bed.named("killCursors").is_empty();
    assert!(open == 0 || !told, "{what}: {open} cursors are open");
    let ping = client.clone();
    bed.run(async move { ping.ping(ReadPreference::primary()).await }).expect(what);
    assert_cadence(bed, what);
}

/// Nobody waits: servers are asked as seldom as the options say.
fn assert_cadence(bed: &Bed, what: &str) {
    bed.advance(secs(1));
    bed.forget_log();
    bed.advance(secs(20));
    let checks = bed.named("hello").len();
    let servers = bed.net.state().servers.len();
    assert!(checks <= 3 * servers, "{what}: {checks} checks of {servers} servers in 20 s");
}

fn polling() -> Bed {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    bed
}

#[test]
fn at_work() {
    for (name, operation) in OPERATIONS {
        let polls = at_each_poll(
            name,
            operation,
            || {
                let bed = polling();
                let client = bed.settled("maxPoolSize=2");
                // Many polls: reads and writes of a few bytes.
                bed.net.state().chunk = Some(97);
                (bed, client)
            },
            |bed, client, what| {
                bed.net.state().chunk = None;
                is_whole(bed, client, what);
            },
        );
        assert!(polls > 5, "{name} was polled {polls} times only");
    }
}

#[test]
fn while_waiting_for_selection() {
    for (name, operation) in OPERATIONS {
        at_each_poll(
            name,
            operation,
            || {
                let bed = polling();
                bed.with_server("a:1", |server| {
                    server.hello.insert("isWritablePrimary", false);
                    server.hello.insert("secondary", true);
                });
                // Nobody is primary for three seconds.
                let client = bed.client("readPreference=primary&serverSelectionTimeoutMS=9000");
                bed.advance(ms(600));
                let (net, later) = (bed.net.clone(), client.clone());
                bed.spawn(async move {
                    let until = portolan::transport::Transport::now(&net) + secs(3);
                    portolan::transport::Transport::sleep_until(&net, until).await;
                    net.state().change(&super::support::address("a:1"), |hello| {
                        hello.insert("isWritablePrimary", true);
                        hello.insert("secondary", false);
                    });
                    drop(later);
                });
                (bed, client)
            },
            |bed, client, what| {
                bed.advance(secs(4));
                is_whole(bed, client, what);
            },
        );
    }
}

#[test]
fn while_waiting_in_the_pool_s_queue() {
    for (name, operation) in OPERATIONS {
        at_each_poll(
            name,
            operation,
            || {
                let bed = polling();
                let client = bed.settled("maxPoolSize=1");
                // The one connection is busy for 300 ms; two wait for it.
                bed.rule("a:1", "distinct", 3, Act::Slow(ms(300)));
                for _ in 0..2 {
                    let database = client.database("shop");
                    bed.spawn(async move {
                        database.run_command(doc! { "distinct": "till" }).await.expect("slow");
                    });
                }
                bed.advance(ms(20));
                assert_eq!(pool(&client, "a:1").waiting, 1, "the queue");
                (bed, client)
            },
            |bed, client, what| {
                bed.advance(secs(1));
                is_whole(bed, client, what);
            },
        );
    }
}

#[test]
fn a_session_is_lost_only_while_its_operation_is_under_way() {
    let bed = polling();
    let client = bed.settled("");
    let ping = || {
        let client = client.clone();
        async move { client.ping(ReadPreference::primary()).await.expect("a ping") }
    };
    let last = || bed.named("ping").last().and_then(super::support::server::Request::lsid);
    bed.run(ping());
    let first = last().expect("a session");
    bed.run(ping());
    assert_eq!(last().as_ref(), Some(&first), "given back");

    bed.rule("a:1", "ping", 1, Act::Silence);
    let lost = bed.spawn(ping());
    bed.advance(ms(50));
    assert_eq!(last().as_ref(), Some(&first), "taken again");
    bed.cancel(lost.id);
    bed.run(ping());
    let second = last().expect("a session");
    assert_ne!(second, first, "an operation may still run in it");

    // Dropped before anything was sent: nothing is lost.
    bed.with_server("a:1", |server| server.connect_delay = ms(100));
    bed.rule("a:1", "distinct", 1, Act::Slow(secs(1)));
    let database = client.database("shop");
    let busy = bed.spawn(async move { database.run_command(doc! { "distinct": "till" }).await });
    bed.advance(ms(10));
    let early = bed.spawn(ping());
    bed.advance(ms(50));
    bed.cancel(early.id);
    bed.advance(secs(2));
    assert!(busy.is_done());
    bed.run(ping());
    assert_eq!(last(), Some(second));
}

#[test]
fn a_dropped_cursor_is_killed() {
    let bed = polling();
    let client = bed.settled("");
    let cursor = {
        let till = till(&client);
        bed.run(async move { till.find(doc! {}).batch_size(1_u32).await }).expect("a cursor")
    };
    assert_eq!(bed.with_server("a:1", |server| server.cursors.len()), 1);
    let lsid = bed.named("find")[0].lsid();
    drop(cursor);
    bed.advance(ms(50));
    assert_eq!(bed.with_server("a:1", |server| server.cursors.len()), 0);
    assert_eq!(bed.named("killCursors")[0].lsid(), lsid, "in the cursor's own session");
}

#[test]
fn a_cursor_dropped_at_work_is_killed_on_another_connection() {
    let bed = polling();
    let client = bed.settled("");
    bed.rule("a:1", "getMore", 1, Act::Silence);
    let till = till(&client);
    let join = bed.spawn(async move {
        let mut cursor = till.find(doc! {}).batch_size(1_u32).await.expect("a cursor");
        while cursor.next().await.is_some() {}
    });
    bed.advance(ms(50));
    assert_eq!(bed.named("getMore").len(), 1);
    bed.cancel(join.id);
    bed.advance(ms(50));
    assert_eq!(bed.with_server("a:1", |server| server.cursors.len()), 0);
    let (more, kill) = (&bed.named("getMore")[0], &bed.named("killCursors")[0]);
    assert_ne!(more.connection, kill.connection, "the first waits for its reply");
    is_whole(&bed, &client, "the cursor");
}

#[test]
fn a_cursor_that_failed_for_want_of_a_connection_is_killed() {
    let bed = polling();
    let client = bed.settled("maxPoolSize=1&waitQueueTimeoutMS=50");
    let till = till(&client);
    let mut cursor =
        bed.run(async move { till.find(doc! {}).batch_size(1_u32).await }).expect("a cursor");
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(200)));
    let database = client.database("shop");
    bed.spawn(async move { database.run_command(doc! { "distinct": "till" }).await.map(drop) });
    bed.settle();
    let seen: Vec<portolan::Result<Document>> = bed.run(async move {
        let mut seen = Vec::new();
        while let Some(next) = cursor.next().await {
            seen.push(next);
        }
        // Held until the connection is free again: it is the error that kills, not the drop.
        futures_util::future::ready(seen).await
    });
    assert_eq!(seen.len(), 2);
    assert!(seen[1].as_ref().is_err_and(|error| error.to_string().contains("50ms")));
    assert_eq!(bed.named("killCursors").len(), 0, "nobody can be asked yet");
    bed.advance(secs(1));
    assert_eq!(bed.with_server("a:1", |server| server.cursors.len()), 0);
    is_whole(&bed, &client, "the cursor");
}

#[test]
fn a_client_that_is_dropped_ends_its_driver() {
    let bed = polling();
    let client = bed.settled("");
    bed.rule("a:1", "ping", 1, Act::Silence);
    let ping = client.clone();
    let join = bed.spawn(async move { ping.ping(ReadPreference::primary()).await.map(drop) });
    bed.advance(ms(50));
    drop(client);
    bed.settle();
    assert!(!bed.driver_ended(), "an operation holds a client");
    bed.cancel(join.id);
    bed.settle();
    assert!(bed.driver_ended());
    assert_eq!(bed.open_connections("a:1"), 0);
}

/// On a connection whose login has begun and not ended nothing else is sent: it is closed.
#[test]
fn while_logging_in() {
    for options in ["maxPoolSize=1", "maxPoolSize=1&timeoutMS=60000"] {
        let (name, operation) = OPERATIONS[0];
        let polls = at_each_poll(
            name,
            operation,
            || {
                let bed = polling();
                let account = Account::new("ann", "secret");
                bed.with_server("a:1", |server| server.account = Some(account));
                let mut options = ClientOptions::parse(&bed.uri(options)).expect("options");
                options.credential = Some(Credential {
                    username: Some("ann".to_owned()),
                    password: Some("secret".to_owned()),
                    source: "admin".to_owned(),
                    ..Credential::default()
                });
                // Nobody has looked around before: the login begins in the monitor's hello.
                let client = bed.client_of(options);
                bed.net.state().chunk = Some(41);
                (bed, client)
            },
            |bed, client, what| {
                is_whole(bed, client, what);
                assert!(pool(client, "a:1").connections <= 1, "{what}");
            },
        );
        assert!(polls > 10, "{name} was dropped at {polls} places only");
    }
}
