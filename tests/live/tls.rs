//! TLS against real servers, with certificates that are good, of another host, of nobody trusted,
//! of the client; and against a listener whose certificate has expired: no mongod starts with it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bson::{Bson, Document, doc};
use portolan::engine::sdam::{LinkErrorKind, TlsProblem};
use portolan::engine::selection::{Outcome, Reason};
use portolan::event::EventKind;
use portolan::options::{ClientOptions, OptionsError};
use portolan::transport::{DnsRecord, RecordKind, Resolver};
use portolan::{Client, Error, ErrorKind, ReadPreference, TopologyDescription};
use portolan_support::{MemberOptions, Standalone};

use crate::certificates::{Authority, Files, Identity};
use crate::proxy::Proxy;
use crate::terminator::Terminator;
use crate::watch::{binary, connect, run, start_with};

/// A mongod that speaks nothing but TLS, and what its clients need.
struct Secure {
    server: Standalone,
    authority: Authority,
    files: Files,
    ca: String,
}

/// `--tlsMode requireTLS` with this certificate, and these arguments.
fn start(hosts: &[&str], arguments: &[&str]) -> Secure {
    let (authority, files) = (Authority::new("the tests' authority"), Files::new());
    let ca = files.write("ca.pem", &authority.pem());
    let identity = files.write("server.pem", &authority.server(hosts).pem());
    let mut extra_args: Vec<String> =
        ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", &identity, "--tlsCAFile", &ca]
            .map(str::to_owned)
            .to_vec();
    extra_args.extend(arguments.iter().map(ToString::to_string));
    let options = MemberOptions { extra_args, ..MemberOptions::default() };
    let server = Standalone::start_with(&binary(), options).expect("a server");
    Secure { server, authority, files, ca }
}

const WITHOUT_CLIENT: &str = "--tlsAllowConnectionsWithoutCertificates";

impl Secure {
    fn port(&self) -> u16 {
        self.server.address().port()
    }

    fn uri(&self, host: &str, options: &str) -> String {
        format!("mongodb://{host}:{}/?{options}", self.port())
    }
}

/// Writes and reads, and says by which versions of TLS the server was spoken to.
async fn use_it(uri: &str) -> Document {
    let (client, _watch) = connect(uri).await;
    let notes = client.database("live").collection::<Document>("tls");
    notes.insert_one(doc! { "_id": uri, "text": "sealed" }).await.expect("inserted");
    let found = notes.find_one(doc! { "_id": uri }).await.expect("found").expect("it is there");
    assert_eq!(found.get_str("text").ok(), Some("sealed"));
    let status = client.database("admin").run_command(doc! { "serverStatus": 1 }).await;
    let status = status.expect("a status");
    client.shutdown().await;
    status.get_document("transportSecurity").expect("counters").clone()
}

/// What the first check of the one server finds wrong, and in which words.
async fn failure(uri: &str) -> (LinkErrorKind, String) {
    let (client, mut watch) = connect(uri).await;
    let failed = |kind: &EventKind| matches!(kind, EventKind::ServerHeartbeatFailed { .. });
    watch.event("a failed check", failed).await;
    let unknown =
        |belief: &TopologyDescription| belief.servers.values().all(|server| server.error.is_some());
    let belief = watch.until("the server to be unknown", unknown).await;
    drop(client);
    let error = belief.servers.values().next().and_then(|server| server.error.clone());
    let error = error.expect("a reason");
    (error.kind.expect("a check found it out"), error.message.to_string())
}

/// What an operation says that finds no server.
async fn refusal(uri: &str) -> Error {
    let (client, _watch) = connect(&format!("{uri}&serverSelectionTimeoutMS=1500")).await;
    client.ping(ReadPreference::nearest()).await.expect_err("no server")
}

#[test]
fn a_good_certificate_is_trusted_by_name_and_by_address() {
    let secure = start(&["localhost", "127.0.0.1"], &[WITHOUT_CLIENT]);
    run(async {
        for host in ["localhost", "127.0.0.1"] {
            let counters = use_it(&secure.uri(host, &format!("tlsCAFile={}", secure.ca))).await;
            let count = |version: &str| match counters.get(version) {
                Some(Bson::Int64(count)) => *count,
                Some(Bson::Int32(count)) => i64::from(*count),
                _ => 0,
            };
            // One may have served the monitor and the operation; others follow later.
            assert!(count("1.2") + count("1.3") >= 1, "{counters}");
        }
    });
}

#[test]
fn a_certificate_of_another_host_is_refused_unless_hosts_do_not_matter() {
    let secure = start(&["db.example", "10.1.2.3"], &[WITHOUT_CLIENT]);
    let ca = format!("tlsCAFile={}", secure.ca);
    run(async {
        for host in ["localhost", "127.0.0.1"] {
            let (kind, message) = failure(&secure.uri(host, &ca)).await;
            assert_eq!(kind, LinkErrorKind::Tls(TlsProblem::WrongHost), "{message}");
            assert!(message.contains("for db.example, 10.1.2.3"), "{message}");
            assert!(message.contains(host), "{message}");
        }
        let options = format!("{ca}&tlsAllowInvalidHostnames=true");
        use_it(&secure.uri("localhost", &options)).await;
        // Everything but the name still counts.
        let other = Authority::new("another authority").pem();
        let other = secure.files.write("other.pem", &other);
        let options = format!("tlsCAFile={other}&tlsAllowInvalidHostnames=true");
        let (kind, message) = failure(&secure.uri("localhost", &options)).await;
        assert_eq!(kind, LinkErrorKind::Tls(TlsProblem::Untrusted), "{message}");
    });
}

#[test]
fn an_authority_that_nobody_trusts_is_refused_unless_certificates_do_not_matter() {
    let secure = start(&["localhost"], &[WITHOUT_CLIENT]);
    let other = secure.files.write("other.pem", &Authority::new("another authority").pem());
    run(async {
        let uri = secure.uri("localhost", &format!("tlsCAFile={other}"));
        let (kind, message) = failure(&uri).await;
        assert_eq!(kind, LinkErrorKind::Tls(TlsProblem::Untrusted), "{message}");
        assert!(message.contains("tlsCAFile"), "{message}");

        let error = refusal(&uri).await;
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error:?}");
        let outcome = &error.verdicts()[0].outcome;
        let Outcome::Because(Reason::Unknown { kind, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(*kind, Some(LinkErrorKind::Tls(TlsProblem::Untrusted)));
        assert!(!error.has_label("SystemOverloadedError"), "{error:?}");

        for options in ["tlsInsecure=true", "tls=true&tlsAllowInvalidCertificates=true"] {
            let uri = secure.uri("127.0.0.1", options);
            use_it(&uri).await;
            let (client, _watch) = connect(&uri).await;
            let warnings = &client.options().warnings;
            assert!(warnings.iter().any(|text| text.contains("is not checked")), "{warnings:?}");
        }
    });
}

#[test]
fn a_server_that_wants_a_certificate_gets_the_client_s() {
    let secure = start(&["localhost"], &[]);
    let ca = format!("tlsCAFile={}", secure.ca);
    let file = |name: &str, identity: &Identity| {
        format!("tlsCertificateKeyFile={}", secure.files.write(name, &identity.pem()))
    };
    let own = file("client.pem", &secure.authority.client("nemo"));
    let stranger = Authority::new("another authority");
    let foreign = file("foreign.pem", &stranger.client("nemo"));
    run(async {
        use_it(&secure.uri("localhost", &format!("{ca}&{own}"))).await;
        for options in [ca.clone(), format!("{ca}&{foreign}")] {
            // Some servers send an alert, others just close the connection.
            let error = refusal(&secure.uri("localhost", &options)).await.to_string();
            assert!(error.contains("tlsCertificateKeyFile"), "{error}");
        }
    });
}

#[test]
fn tls_and_no_tls_that_meet_are_told_apart() {
    let secure = start(&["localhost"], &[WITHOUT_CLIENT]);
    let plain = Standalone::start(&binary()).expect("a server");
    run(async {
        let error = refusal(&secure.uri("localhost", "tls=false")).await.to_string();
        assert!(error.contains("it may expect TLS (tls=true)"), "{error}");
        let uri = format!("mongodb://{}/?tls=true&tlsInsecure=true", plain.address());
        let error = refusal(&uri).await.to_string();
        assert!(error.contains("it may not speak TLS at all (tls=false)"), "{error}");
        let (kind, _) = failure(&uri).await;
        assert!(
            matches!(kind, LinkErrorKind::Tls(TlsProblem::BrokenOff | TlsProblem::NotTls)),
            "{kind:?}"
        );
    });
}

/// RK-47, GAP-12: what is found and survived is the same behind TLS. The members accept both, for
/// the sake of the set's own test tools; this client speaks TLS alone.
#[test]
fn a_set_behind_tls_is_discovered_and_survives_its_primary() {
    let (authority, files) = (Authority::new("the tests' authority"), Files::new());
    let ca = files.write("ca.pem", &authority.pem());
    let identity = files.write("member.pem", &authority.member(&["127.0.0.1"]).pem());
    let extra_args: Vec<String> = [
        "--tlsMode",
        "preferTLS",
        "--tlsCertificateKeyFile",
        &identity,
        "--tlsCAFile",
        &ca,
        WITHOUT_CLIENT,
    ]
    .map(str::to_owned)
    .to_vec();
    let member = MemberOptions { extra_args, ..MemberOptions::default() };
    let mut set = start_with(vec![member; 3]);
    let primary = set.primary().expect("a primary");
    run(async {
        let uri = format!("{}&w=majority&tls=true&tlsCAFile={ca}", set.uri());
        let (client, mut watch) = connect(&uri).await;
        let belief = watch.until_complete(3).await;
        let old = belief.primary().expect("a primary").address.clone();
        let notes = client.database("live").collection::<Document>("tls");
        notes.insert_one(doc! { "_id": 1 }).await.expect("inserted");
        set.member_mut(primary).kill().expect("SIGKILL");
        notes.insert_one(doc! { "_id": 2 }).await.expect("inserted after the election");
        assert_eq!(notes.count_documents(doc! {}).await.expect("counted"), 2);
        let new = watch.belief().primary().expect("a primary").address.clone();
        assert_ne!(new, old);
    });
}

/// Who listens there is on this machine, and must have a certificate that says so.
#[cfg(unix)]
#[test]
fn a_unix_domain_socket_is_localhost_to_tls() {
    let sockets = Files::new();
    let folder = sockets.folder();
    let secure = start(&["localhost"], &[WITHOUT_CLIENT, "--unixSocketPrefix", &folder]);
    let path = format!("{folder}/mongodb-{}.sock", secure.port());
    let uri = format!("mongodb://{}/?tlsCAFile={}", path.replace('/', "%2F"), secure.ca);
    run(async {
        use_it(&uri).await;
    });
}

/// Whoever asks for a service learns of one host.
struct Records;

#[async_trait]
impl Resolver for Records {
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        let host = "node.tests.invalid".to_owned();
        Ok(match kind {
            RecordKind::Srv if name == "_mongodb._tcp.cluster.tests.invalid" => {
                vec![DnsRecord::Srv { host, port: 27017, ttl: 60 }]
            }
            _ => Vec::new(),
        })
    }
}

/// RK-40, SRV-02: a name in DNS leads to a server behind TLS, without another word. A proxy stands
/// in for the network in which the host has an address.
#[test]
fn a_name_in_dns_leads_to_a_server_behind_tls() {
    let secure = start(&["node.tests.invalid"], &[WITHOUT_CLIENT]);
    let proxy = Proxy::start(secure.server.address(), None);
    run(async {
        let uri = format!(
            "mongodb+srv://cluster.tests.invalid/?{}&tlsCAFile={}",
            proxy.options(),
            secure.ca
        );
        let mut options = ClientOptions::parse(&uri).expect("good options");
        assert_eq!(options.tls.enabled, None);
        options.resolver = Some(Records.into());
        let client = portolan_async_std::connect_with(options).await.expect("a client");
        let ping = client.ping(ReadPreference::nearest()).await.expect("a server");
        assert_eq!(ping.address.to_string(), "node.tests.invalid:27017");
    });
}

/// Behind a load balancer nobody checks servers: the operation's own connection finds it out.
async fn operation_failure(address: SocketAddr, options: &str) -> Error {
    let uri = format!("mongodb://localhost:{}/?loadBalanced=true&{options}", address.port());
    let options = ClientOptions::parse(&uri).expect("good options");
    let client = portolan_async_std::connect_with(options).await.expect("a client");
    client.ping(ReadPreference::primary()).await.expect_err("no connection")
}

/// CP-10: what is wrong with a certificate is no overload of the server.
#[test]
fn an_expired_certificate_is_refused_and_no_overload() {
    let (authority, files) = (Authority::new("the tests' authority"), Files::new());
    let ca = files.write("ca.pem", &authority.pem());
    let terminator = Terminator::start(&authority.expired_server(&["localhost", "127.0.0.1"]));
    run(async {
        let port = terminator.address().port();
        let options = format!("tlsCAFile={ca}");
        let (kind, message) = failure(&format!("mongodb://localhost:{port}/?{options}")).await;
        assert_eq!(kind, LinkErrorKind::Tls(TlsProblem::Expired), "{message}");
        assert!(message.contains("localhost expired 3 days ago"), "{message}");

        let error = operation_failure(terminator.address(), &options).await;
        let ErrorKind::Tls { problem, message, .. } = error.kind() else { panic!("{error:?}") };
        assert_eq!(*problem, TlsProblem::Expired, "{message}");
        assert!(!error.has_label("SystemOverloadedError"), "{error:?}");
        assert!(!error.has_label("RetryableError"), "{error:?}");
        assert!(!error.is_retryable());
    });
}

/// CP-10: "if an I/O error (for example, an EOF error) occurs during the TLS handshake, the driver
/// MUST treat it as a potential overload condition".
#[test]
fn a_handshake_that_breaks_off_may_be_overload() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    // Accepts and hangs up, until the test's process ends.
    std::thread::spawn(move || while listener.accept().map(drop).is_ok() {});
    run(async {
        let error = operation_failure(address, "tlsInsecure=true").await;
        let ErrorKind::Tls { problem, .. } = error.kind() else { panic!("{error:?}") };
        assert_eq!(*problem, TlsProblem::BrokenOff);
        assert!(error.has_label("SystemOverloadedError"), "{error:?}");
        assert!(error.is_retryable());
    });
}

/// The name is sent where it is one: an IP address is not (RFC 6066 section 3).
#[test]
fn the_host_s_name_is_sent_along_and_an_address_is_not() {
    let authority = Authority::new("the tests' authority");
    let terminator = Terminator::start(&authority.server(&["localhost", "127.0.0.1"]));
    let port = terminator.address().port();
    run(async {
        for host in ["localhost", "127.0.0.1"] {
            let uri = format!("mongodb://{host}:{port}/?tls=true&tlsInsecure=true");
            // Behind the handshake nobody answers.
            failure(&uri).await;
        }
    });
    let names = terminator.names();
    assert!(names.contains(&Some("localhost".to_owned())) && names.contains(&None), "{names:?}");
    assert!(names.iter().flatten().all(|name| name == "localhost"), "{names:?}");
}

/// RK-31, and the handshake is within connectTimeoutMS.
#[test]
fn a_server_that_does_not_shake_hands_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    run(async {
        let began = Instant::now();
        let uri = format!("mongodb://127.0.0.1:{port}/?tlsInsecure=true&connectTimeoutMS=400");
        let (kind, message) = failure(&uri).await;
        assert_eq!(kind, LinkErrorKind::Timeout, "{message}");
        assert!(began.elapsed() >= Duration::from_millis(400));
    });
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_they_should_be() {
    let (authority, files) = (Authority::new("the tests' authority"), Files::new());
    let client = authority.client("nemo");
    let ca = files.write("ca.pem", &authority.pem());
    let key_alone = files.write("key.pem", &client.key);
    let certificate_alone = files.write("certificate.pem", &client.certificate);
    let mixed = format!("{}{}", client.certificate, authority.client("other").key);
    let mixed = files.write("mixed.pem", &mixed);
    let nonsense = files.write("nonsense.pem", "sea");
    let (ca_option, key_option) = ("tlsCAFile", "tlsCertificateKeyFile");
    run(async {
        for (option, file, word) in [
            (ca_option, &format!("{ca}.not"), "a file that can be read"),
            (ca_option, &nonsense, "a certificate in PEM form"),
            (ca_option, &key_alone, "a certificate in PEM form"),
            (key_option, &nonsense, "a certificate and its private key"),
            (key_option, &certificate_alone, "its private key"),
            (key_option, &mixed, "its own private key"),
        ] {
            let ca = if option == key_option { format!("tlsCAFile={ca}&") } else { String::new() };
            let uri = format!("mongodb://localhost/?{ca}{option}={file}");
            let error = portolan_async_std::connect(&uri).await.map(|_: Client| ());
            let error = error.expect_err(file);
            assert!(error.to_string().contains(word), "{option} {file}: {error}");
            assert!(error.to_string().contains(file.as_str()), "{error}");
            let ErrorKind::Options(options) = error.kind() else { panic!("{error:?}") };
            assert!(matches!(options, OptionsError::BadValue { .. }), "{error:?}");
            assert_eq!(options.options(), [option]);
        }
    });
}
