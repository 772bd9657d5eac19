//! One's own rule of selection, one pooled connection, and a clock that jumps, on real servers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, Document, doc};
use portolan::engine::selection::OperationKind;
use portolan::options::{ClientOptions, ServerSelector};
use portolan::transport::{BoxFuture, BoxStream, Instant, Transport};
use portolan::{Client, ErrorKind, ReadPreference, ServerAddress, ServerConnection, ServerType};
use portolan_async_std::AsyncStd;

use crate::watch::{connect, run, start};

/// SS-55, the prose test "Custom Server Selector": the member with the highest port gets all.
#[test]
fn a_selector_of_the_highest_port_gets_all_ten_queries() {
    let set = start();
    let highest = set.members().iter().map(|member| member.address().port()).max();
    run(async {
        let mut options = ClientOptions::parse(&set.uri()).expect("good options");
        options.server_selector = Some(ServerSelector::new(|servers| {
            let highest = servers.iter().filter_map(|server| server.address.port()).max();
            servers.retain(|server| server.address.port() == highest);
        }));
        let client = portolan_async_std::connect_with(options).await.expect("a client");
        client.ping(ReadPreference::nearest()).await.expect("a server");
        // All three are known, so that there is a choice.
        while client.topology().description().servers.values().any(|s| !s.server_type.is_known()) {
            async_std::task::sleep(Duration::from_millis(20)).await;
        }
        let till = client.database("live").collection::<Document>("till");
        for _ in 0..10 {
            let found = till.find(doc! {}).read_preference(ReadPreference::nearest()).await;
            assert_eq!(found.expect("a cursor").address().port(), highest);
        }
        let explained = client.explain(OperationKind::Read, &ReadPreference::nearest());
        assert_eq!(explained.expect("an explanation").verdicts.len(), 3);
    });
}

/// The server's own name of the connection.
async fn whoami(connection: &mut ServerConnection) -> portolan::Result<Bson> {
    let hello = connection.run_command("admin", doc! { "hello": 1 }).await?;
    Ok(hello.get("connectionId").cloned().expect("servers say it"))
}

/// MT-15, MT-17, MT-22.
#[test]
fn commands_share_one_connection_and_its_end_is_told() {
    let mut set = start();
    let primary = set.primary().expect("a primary");
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        watch.until_complete(3).await;
        let names = client
            .with_primary(async |connection| -> portolan::Result<_> {
                Ok([whoami(connection).await?, whoami(connection).await?])
            })
            .await
            .expect("no failure");
        assert_eq!(names[0], names[1]);
        let mut connection = client.connection(ReadPreference::PRIMARY).await.expect("the same");
        assert_eq!(whoami(&mut connection).await.expect("no failure"), names[0], "it went back");

        let address = connection.address().clone();
        set.member_mut(primary).kill().expect("SIGKILL");
        let error = whoami(&mut connection).await.expect_err("the server is gone");
        assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error}");
        assert!(!connection.is_usable());
        watch
            .until("the server to be Unknown", |belief| {
                belief.server(&address).is_some_and(|s| s.server_type == ServerType::Unknown)
            })
            .await;
    });
}

/// The clock of a process that was stopped: ahead of everything that the runtime knows.
struct Jumping {
    inner: AsyncStd,
    ahead: Arc<AtomicU64>,
}

#[async_trait]
impl Transport for Jumping {
    fn now(&self) -> Instant {
        self.inner.now() + Duration::from_secs(self.ahead.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let ahead = Duration::from_secs(self.ahead.load(Ordering::SeqCst));
        let nanos = u64::try_from(ahead.as_nanos()).expect("some minutes");
        let deadline = Instant::from_nanos(deadline.as_nanos().saturating_sub(nanos));
        self.inner.sleep_until(deadline)
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        self.inner.connect(target).await
    }
}

/// GAP-07: what was open before the jump is open no more, and no operation fails.
#[test]
fn behind_a_jump_of_the_clock_new_connections_are_made() {
    let set = start();
    run(async {
        let ahead = Arc::new(AtomicU64::new(0));
        let transport = Jumping { inner: AsyncStd::new(), ahead: ahead.clone() };
        let options = ClientOptions::parse(&set.uri()).expect("good options");
        let (client, driver) = Client::new(options, Arc::new(transport)).expect("a client");
        async_std::task::spawn(driver);
        let whoami =
            async || client.with_primary(async |connection| whoami(connection).await).await;
        let before = whoami().await.expect("no failure");
        assert_eq!(whoami().await.expect("no failure"), before);
        ahead.store(300, Ordering::SeqCst);
        let after = whoami().await.expect("no error reaches the caller");
        assert_ne!(after, before, "the old connection was not trusted");
        assert_eq!(whoami().await.expect("no failure"), after, "the new one is");
        let belief = client.topology().description();
        assert_eq!(belief.servers.len(), 3);
        assert!(belief.is_steady());
    });
}
