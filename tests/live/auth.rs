//! Who the client says it is, on servers that want to know (`--keyFile`).
//!
//! The users are made by the support crate's own connection. Specification: auth, "Test Plan".

use std::time::Duration;

use bson::{Document, doc};
use portolan::engine::auth::{AuthError, AuthMechanism};
use portolan::options::{ClientOptions, Credential};
use portolan::{Client, Error, ErrorKind};
use portolan_support::{MemberOptions, MongodBinary, ReplicaSet, Standalone};

use crate::watch::{run, start_with};

const SHA_1: &str = "SCRAM-SHA-1";
const SHA_256: &str = "SCRAM-SHA-256";

fn guarded() -> MemberOptions {
    MemberOptions { access_control: true, ..MemberOptions::default() }
}

fn standalone() -> Standalone {
    let version = std::env::var("PORTOLAN_LIVE_MONGOD").unwrap_or_else(|_| "6.0.5".into());
    let binary = MongodBinary::find(Some(&version)).expect("`cargo xtask setup` installs mongod");
    Standalone::start_with(&binary, guarded()).expect("a server")
}

fn create_user(server: &Standalone, name: &str, password: &str, role: &str, mechanisms: &[&str]) {
    let mut connection = server.connect(Duration::from_secs(30)).expect("a connection");
    let command = doc! {
        "createUser": name, "pwd": password, "roles": [role], "mechanisms": mechanisms,
    };
    connection.run(&command).expect("a new user");
}

async fn client(
    server: &Standalone,
    user: &str,
    password: &str,
    mechanism: Option<AuthMechanism>,
) -> Client {
    let uri = format!("mongodb://{}/?serverSelectionTimeoutMS=10000", server.address());
    let mut options = ClientOptions::parse(&uri).expect("good options");
    options.credential = Some(Credential {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        source: "admin".to_owned(),
        mechanism,
        ..Credential::default()
    });
    portolan_async_std::connect_with(options).await.expect("a client")
}

/// A command that wants a user.
async fn stats(client: &Client) -> Result<Document, Error> {
    client.database("shop").run_command(doc! { "dbStats": 1 }).await
}

/// By what mechanism a connection of the client has authenticated, as the server counts it.
async fn counted(client: &Client, mechanism: &str) -> i64 {
    let status = client.database("admin").run_command(doc! { "serverStatus": 1 }).await;
    let status = status.expect("the server's status");
    let count = || {
        let security = status.get_document("security").ok()?;
        let mechanisms = security.get_document("authentication").ok()?.get_document("mechanisms");
        let authenticate = mechanisms.ok()?.get_document(mechanism).ok()?;
        authenticate.get_document("authenticate").ok()?.get_i64("successful").ok()
    };
    count().unwrap_or_else(|| panic!("no count of {mechanism}: {status}"))
}

/// The test plan's steps 1 to 3; RK-45, RK-48.
#[test]
fn each_user_gets_in_by_each_of_its_mechanisms_and_by_negotiation() {
    let server = standalone();
    create_user(&server, "sha1", "sha1", "root", &[SHA_1]);
    create_user(&server, "sha256", "sha256", "root", &[SHA_256]);
    create_user(&server, "both", "both", "root", &[SHA_1, SHA_256]);
    let (sha_1, sha_256) = (Some(AuthMechanism::ScramSha1), Some(AuthMechanism::ScramSha256));
    run(async {
        for (user, mechanism) in [
            ("sha1", sha_1),
            ("sha1", None),
            ("sha256", sha_256),
            ("sha256", None),
            ("both", sha_1),
            ("both", sha_256),
            ("both", None),
        ] {
            let client = client(&server, user, user, mechanism).await;
            let stats = stats(&client).await;
            assert!(stats.is_ok(), "{user} by {mechanism:?}: {stats:?}");
            client.shutdown().await;
        }
        // Negotiation prefers SCRAM-SHA-256.
        let watcher = client(&server, "sha1", "sha1", None).await;
        let before = counted(&watcher, SHA_256).await;
        let both = client(&server, "both", "both", None).await;
        stats(&both).await.expect("an answer");
        assert_eq!(counted(&watcher, SHA_256).await, before + 1);

        for (user, wrong) in [("sha1", sha_256), ("sha256", sha_1)] {
            let client = client(&server, user, user, wrong).await;
            refused(&stats(&client).await.expect_err("not a mechanism of this user"), user);
        }
    });
}

/// The error of somebody who is not let in: the server's reason, and no secret.
fn refused(error: &Error, user: &str) {
    let ErrorKind::Authentication { failure, .. } = error.kind() else { panic!("{error:?}") };
    assert!(matches!(failure.error, AuthError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("\"{user}\"")) && text.contains("database \"admin\""), "{text}");
    assert!(error.code().is_some(), "{text}");
}

#[test]
fn a_wrong_password_an_unknown_user_and_a_missing_right_have_the_servers_reason() {
    let server = standalone();
    create_user(&server, "ann", "right", "read", &[SHA_1, SHA_256]);
    run(async {
        for (user, password) in [("ann", "hunter2"), ("nobody", "hunter2")] {
            let client = client(&server, user, password, None).await;
            let error = stats(&client).await.expect_err("not let in");
            refused(&error, user);
            assert_eq!(error.code(), Some(18), "{error}");
            assert!(error.to_string().contains("Authentication failed"), "{error}");
            let shown = format!("{error} {error:?} {:?}", client.options());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        // RK-45: let in, and not allowed.
        let client = client(&server, "ann", "right", None).await;
        let orders = client.database("shop").collection::<Document>("orders");
        let error = orders.insert_one(doc! { "a": 1 }).await.expect_err("ann only reads");
        assert_eq!(error.code(), Some(13), "{error:?}");
        assert!(matches!(error.kind(), ErrorKind::Command(_)), "{error:?}");

        let options = ClientOptions::parse(&format!("mongodb://{}", server.address()));
        let options = options.expect("good options");
        let stranger = portolan_async_std::connect_with(options).await.expect("a client");
        let error = stats(&stranger).await.expect_err("nobody");
        assert_eq!(error.code(), Some(13), "{error:?}");
    });
}

/// The test plan's step 4.
#[test]
fn passwords_are_prepared_and_names_are_not() {
    let server = standalone();
    create_user(&server, "IX", "IX", "root", &[SHA_256]);
    create_user(&server, "\u{2168}", "\u{2163}", "root", &[SHA_256]);
    run(async {
        for (user, password) in [
            ("IX", "IX"),
            ("IX", "I\u{ad}X"),
            ("\u{2168}", "IV"),
            ("\u{2168}", "I\u{ad}V"),
            ("\u{2168}", "\u{2163}"),
        ] {
            let client = client(&server, user, password, None).await;
            let stats = stats(&client).await;
            assert!(stats.is_ok(), "{user} with {password:?}: {stats:?}");
            client.shutdown().await;
        }
    });
}

/// A set that wants a password is discovered, written to and failed over like any other: monitors
/// need none.
#[test]
fn a_guarded_set_fails_over() {
    let mut set: ReplicaSet = start_with(vec![guarded(); 3]);
    let primary = set.wait_for_primary(Duration::from_secs(30)).expect("a primary");
    let user = doc! {
        "createUser": "ann", "pwd": "p@ss:w/rd", "roles": ["root"],
        "writeConcern": { "w": 3 },
    };
    set.command(primary, &user).expect("a new user");
    run(async {
        let uri = set.uri().replace("mongodb://", "mongodb://ann:p%40ss%3Aw%2Frd@");
        // What only the old primary has may be rolled back.
        let uri = format!("{uri}&w=majority");
        let client = portolan_async_std::connect(&uri).await.expect("a client");
        let orders = client.database("shop").collection::<Document>("orders");
        orders.insert_one(doc! { "_id": 1 }).await.expect("a write");
        set.member_mut(primary).kill().expect("killed");
        orders.insert_one(doc! { "_id": 2 }).await.expect("a write on the next primary");
        assert_eq!(orders.count_documents(doc! {}).await.expect("a count"), 2);
    });
}
