//! Seed lists from DNS: a connection string, scripted DNS records, scripted servers.
//!
//! Format and records: the README file of initial-dns-seedlist-discovery/tests. The real resolution
//! runs over a transport that answers from [`SRV`] and [`TXT`], then the real topology machine over
//! the seeds, with the deployment that each folder asks for.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bson::{Bson, Document, bson, doc};
use portolan::engine::address::ServerAddress;
use portolan::engine::sdam::TopologyDescription;
use portolan::engine::selection::{Criteria, ReadPreference, suitable};
use portolan::options::ClientOptions;
use portolan::transport::{BoxFuture, BoxStream, DnsRecord, Instant, RecordKind, Transport};

use crate::json::{address, integer, same, text};
use crate::sdam::Rig;
use crate::uri;

/// Name, port and target of each SRV record.
///
/// The README gives test22 one record; its file expects these two, as the other tests that use it.
const SRV: &[(&str, u16, &str)] = &[
    ("_mongodb._tcp.test1.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test1.test.build.10gen.cc", 27018, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test2.test.build.10gen.cc", 27018, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test2.test.build.10gen.cc", 27019, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test3.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test5.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test6.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test7.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test8.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test10.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test11.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test12.test.build.10gen.cc", 27017, "localhost.build.10gen.cc."),
    ("_mongodb._tcp.test13.test.build.10gen.cc", 27017, "test.build.10gen.cc."),
    ("_mongodb._tcp.test14.test.build.10gen.cc", 27017, "localhost.not-test.build.10gen.cc."),
    ("_mongodb._tcp.test15.test.build.10gen.cc", 27017, "localhost.test.not-build.10gen.cc."),
    ("_mongodb._tcp.test16.test.build.10gen.cc", 27017, "localhost.test.build.not-10gen.cc."),
    ("_mongodb._tcp.test17.test.build.10gen.cc", 27017, "localhost.test.build.10gen.not-cc."),
    ("_mongodb._tcp.test18.test.build.10gen.cc", 27017, "localhost.sub.test.build.10gen.cc."),
    ("_mongodb._tcp.test19.test.build.10gen.cc", 27017, "localhost.evil.build.10gen.cc."),
    ("_mongodb._tcp.test19.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test20.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test21.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_customname._tcp.test22.test.build.10gen.cc", 27017, "localhost.test.build.10gen.cc."),
    ("_customname._tcp.test22.test.build.10gen.cc", 27018, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test23.test.build.10gen.cc", 8000, "localhost.test.build.10gen.cc."),
    ("_mongodb._tcp.test24.test.build.10gen.cc", 8000, "localhost.test.build.10gen.cc."),
];

/// Name and text of each TXT record, its strings joined.
const TXT: &[(&str, &str)] = &[
    ("test5.test.build.10gen.cc", "replicaSet=repl0&authSource=thisDB"),
    ("test6.test.build.10gen.cc", "replicaSet=repl0"),
    ("test6.test.build.10gen.cc", "authSource=otherDB"),
    ("test7.test.build.10gen.cc", "ssl=false"),
    ("test8.test.build.10gen.cc", "authSource"),
    ("test10.test.build.10gen.cc", "socketTimeoutMS=500"),
    ("test11.test.build.10gen.cc", concat!("replicaS", "et=rep", "l0")),
    ("test20.test.build.10gen.cc", "loadBalanced=true"),
    ("test21.test.build.10gen.cc", "loadBalanced=false"),
    ("test24.test.build.10gen.cc", "loadBalanced=true"),
];

/// One file whose deployment is a load balancer.
pub(crate) fn load_balanced(test: &Document) -> Result<(), String> {
    run(test, &|_| Err("a load balancer is not asked what it is".to_owned()))
}

/// One file whose deployment is the set `repl0`, whose members know themselves as `localhost`.
pub(crate) fn replica_set(test: &Document) -> Result<(), String> {
    run(test, &|server| {
        let port = server.port().ok_or("a member has a port")?;
        Ok(doc! {
            "ok": 1, "setName": "repl0", "setVersion": 1, "me": format!("localhost:{port}"),
            "hosts": ["localhost:27017", "localhost:27018", "localhost:27019"],
            "primary": "localhost:27017",
            "isWritablePrimary": port == 27017, "secondary": port != 27017,
            "minWireVersion": 0, "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30,
        })
    })
}

/// One file whose deployment is a sharded cluster.
pub(crate) fn sharded(test: &Document) -> Result<(), String> {
    run(test, &|_| {
        Ok(doc! {
            "ok": 1, "isWritablePrimary": true, "msg": "isdbgrid",
            "minWireVersion": 0, "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30,
        })
    })
}

/// What a server says of itself.
type Deployment<'d> = &'d dyn Fn(&ServerAddress) -> Result<Document, String>;

fn run(test: &Document, deployment: Deployment<'_>) -> Result<(), String> {
    let parsed = ClientOptions::parse(text(test, "uri")?);
    let resolved = match parsed {
        Ok(options) => at_once(options.resolve(&Script))?.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if test.get_bool("error").ok() == Some(true) {
        return match resolved {
            Err(_) => Ok(()),
            Ok(options) => Err(format!("expected an error, got the seeds {:?}", options.hosts)),
        };
    }
    let options = resolved.map_err(|error| format!("refused: {error}"))?;
    hosts(test, "seeds", "numSeeds", &options.hosts.iter().cloned().collect())?;
    compare_options(test, &options)?;
    let topology = scan(options, deployment)?;
    hosts(test, "hosts", "numHosts", &topology.servers.keys().cloned().collect())?;
    if test.get_bool("ping").ok() == Some(false) {
        return Ok(());
    }
    let primary = ReadPreference::PRIMARY;
    let servers = suitable(&topology, &Criteria::read(&primary));
    match servers.map_err(|error| error.to_string())?.is_empty() {
        false => Ok(()),
        true => Err("no server could be pinged".to_owned()),
    }
}

/// What is believed when every server that was heard of has answered.
fn scan(options: ClientOptions, deployment: Deployment<'_>) -> Result<TopologyDescription, String> {
    let load_balanced = options.load_balanced == Some(true);
    let mut rig = Rig::new(options);
    let mut answered = BTreeSet::new();
    let unheard = |rig: &Rig, answered: &BTreeSet<ServerAddress>| {
        let mut servers = rig.topology().servers.keys();
        servers.find(|server| !load_balanced && !answered.contains(*server)).cloned()
    };
    while let Some(server) = unheard(&rig, &answered) {
        rig.reply(&server, &deployment(&server)?)?;
        answered.insert(server);
    }
    Ok(TopologyDescription::clone(rig.topology()))
}

fn hosts(
    test: &Document,
    field: &str,
    number: &str,
    actual: &BTreeSet<ServerAddress>,
) -> Result<(), String> {
    if let Ok(expected) = test.get_array(field) {
        let read = |host: &Bson| address(host.as_str().unwrap_or_default());
        let expected: Result<BTreeSet<_>, String> = expected.iter().map(read).collect();
        same(field, &expected?, actual)?;
    }
    match integer(test, number) {
        Some(expected) => same(number, &expected, &(actual.len() as i64)),
        None => Ok(()),
    }
}

fn compare_options(test: &Document, options: &ClientOptions) -> Result<(), String> {
    if let Ok(expected) = test.get_document("options") {
        for (name, value) in expected {
            let actual = match name.as_str() {
                "ssl" => Some(bson!(options.tls_enabled())),
                // Most files name no user, whose credential would have it.
                "authSource" => options.auth_source.clone().map(Bson::from),
                name => uri::option(options, name)?,
            };
            same(name, &Some(value.clone()), &actual)?;
        }
    }
    let Ok(expected) = test.get_document("parsed_options") else { return Ok(()) };
    let credential = options.credential.clone().unwrap_or_default();
    for (name, value) in expected {
        let actual = match name.as_str() {
            "user" => credential.username.clone(),
            "password" => credential.password.clone(),
            "db" | "defaultDatabase" | "auth_database" => options.default_database.clone(),
            other => return Err(format!("this runner does not know the parsed option {other}")),
        };
        same(name, &value.as_str(), &actual.as_deref())?;
    }
    Ok(())
}

/// What `future` gives without waiting for anything.
fn at_once<F: Future>(future: F) -> Result<F::Output, String> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err("it waits for something that is not scripted".to_owned()),
    }
}

/// A transport that has the scripted DNS records and nothing else.
struct Script;

#[cfg_attr(not(target_arch = "wasm32"), async_trait::async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait::async_trait(?Send))]
impl Transport for Script {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn sleep_until(&self, _deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        Err(io::Error::other(format!("{target} must not be dialled to find the seeds")))
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        let records: Vec<_> = match kind {
            RecordKind::Srv => SRV
                .iter()
                .filter(|(own, ..)| *own == name)
                .map(|&(_, port, host)| DnsRecord::Srv { host: host.into(), port, ttl: 86_400 })
                .collect(),
            RecordKind::Txt => TXT
                .iter()
                .filter(|(own, _)| *own == name)
                .map(|&(_, record)| DnsRecord::Txt(record.into()))
                .collect(),
        };
        let is_known = |suffix: &str| SRV.iter().any(|(own, ..)| own.ends_with(suffix));
        match records.is_empty() && !is_known(name) {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name does not exist")),
            false => Ok(records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(uri: &str, seed: &str) -> Document {
        doc! { "uri": uri, "seeds": [seed], "hosts": [seed] }
    }

    #[test]
    fn a_wrong_expectation_fails() {
        let seed = "localhost.test.build.10gen.cc:27017";
        let uri = "mongodb+srv://test3.test.build.10gen.cc/";
        assert_eq!(sharded(&file(uri, seed)), Ok(()));
        assert!(sharded(&file(uri, "localhost:27017")).is_err());
        assert!(replica_set(&file(uri, seed)).is_err());
        let mut error = file(uri, seed);
        error.insert("error", true);
        assert!(sharded(&error).is_err());
    }

    /// Whom the connection string names, DNS cannot rename.
    #[test]
    fn the_connection_string_counts_more_than_dns() {
        let resolve = |uri: &str| {
            let options = ClientOptions::parse(uri).expect("a connection string");
            at_once(options.resolve(&Script)).expect("at once")
        };
        let host = "test24.test.build.10gen.cc";
        let options = resolve(&format!("mongodb+srv://{host}/?loadBalanced=false")).unwrap();
        assert_eq!(options.load_balanced, Some(false));
        let source = |user: &str, query: &str| {
            let uri = format!("mongodb+srv://{user}@test5.test.build.10gen.cc/db?{query}");
            resolve(&uri).unwrap().credential.unwrap().source
        };
        assert_eq!(source("u:p", ""), "thisDB");
        assert_eq!(source("u:p", "authSource=mine"), "mine");
        assert_eq!(source("u", "authMechanism=MONGODB-X509"), "$external");
        let name = |query: &str| {
            resolve(&format!("mongodb+srv://test5.test.build.10gen.cc/?{query}")).unwrap()
        };
        assert_eq!(name("replicaSet=mine").repl_set_name.as_deref(), Some("mine"));
        let error = resolve("mongodb+srv://test4.test.build.10gen.cc").unwrap_err().to_string();
        assert!(error.contains("_mongodb._tcp.test4.test.build.10gen.cc"), "{error}");
        assert!(error.contains("the name does not exist"), "{error}");
    }
}
