//! The Stable API: what a client declares is in every message that it sends (versioned-api "Sending
//! Declared API Version to the Server").

use futures_util::{StreamExt, TryStreamExt};
use portolan::bson::{Bson, Document, doc};
use portolan::options::{ClientOptions, Credential, RttProbe, ServerApi};
use portolan::{Client, ReadPreference};

use super::support::scram::Account;
use super::support::server::Request;
use super::support::{Bed, ms, secs, till};

const API: ServerApi = ServerApi { strict: Some(false), ..ServerApi::V1 };

fn options(bed: &Bed) -> ClientOptions {
    let mut options = ClientOptions::parse(&bed.uri("")).expect("good options");
    bed.with_server("a:1", |server| server.account = Some(Account::new("ann", "hunter2")));
    options.credential = Some(Credential {
        username: Some("ann".to_owned()),
        password: Some("hunter2".to_owned()),
        source: "admin".to_owned(),
        ..Credential::default()
    });
    options.server_api = Some(API);
    options
}

/// A find with a getMore, a cursor that is left, a write, commands of one's own, and the end.
fn use_it(bed: &Bed, client: &Client) {
    let used = client.clone();
    bed.run(async move {
        let till = till(&used);
        till.insert_one(doc! { "_id": 1 }).await?;
        till.find(doc! {}).batch_size(2_u32).await?.try_collect::<Vec<_>>().await?;
        let mut left = till.find(doc! {}).batch_size(2_u32).await?;
        left.next().await.transpose()?;
        drop(left);
        used.ping(ReadPreference::primary()).await?;
        let mut connection = used.connection(ReadPreference::primary()).await?;
        connection.run_command("shop", doc! { "ping": 1 }).await.map(drop)
    })
    .expect("all is well");
    bed.advance(secs(61));
    let ended = client.clone();
    bed.run(async move { ended.shutdown().await });
}

fn assert_declared(log: &[Request]) {
    let wanted =
        ["hello", "saslContinue", "insert", "find", "getMore", "killCursors", "endSessions"];
    for name in wanted {
        assert!(log.iter().any(|request| request.name == *name), "{name} was not sent");
    }
    for Request { name, body, .. } in log {
        let declared: Document =
            body.iter().filter(|(key, _)| key.starts_with("api")).map(entry).collect();
        assert_eq!(declared, doc! { "apiVersion": "1", "apiStrict": false }, "{name}: {body}");
        assert!(!body.contains_key("isMaster") && !body.contains_key("helloOk"), "{body}");
    }
}

fn entry((key, value): (&String, &Bson)) -> (String, Bson) {
    (key.clone(), value.clone())
}

#[test]
fn what_is_declared_is_in_every_message() {
    for rtt_probe in [RttProbe::Hello, RttProbe::Ping] {
        let bed = Bed::set(0);
        let client = bed.client_of(ClientOptions { rtt_probe, ..options(&bed) });
        bed.advance(ms(600));
        use_it(&bed, &client);
        assert_declared(&bed.net.state().log);
    }
}

#[test]
fn so_it_is_without_background_work() {
    let bed = Bed::set(0);
    let client = bed.on_demand_of(options(&bed));
    use_it(&bed, &client);
    assert_declared(&bed.net.state().log);
}

#[test]
fn where_nothing_is_declared_nothing_is_said() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.documents = 0);
    let client = bed.settled("");
    bed.run(async move { till(&client).find_one(doc! {}).await }).expect("a find");
    let log = bed.net.state().log.clone();
    assert!(log.iter().all(|request| request.body.keys().all(|key| !key.starts_with("api"))));
}
