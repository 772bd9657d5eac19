//! A real server behind a SOCKS5 proxy, and at a Unix domain socket.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bson::{Document, doc};
use portolan::engine::sdam::LinkErrorKind;
use portolan::engine::selection::{Outcome, Reason};
use portolan::{ErrorKind, ReadPreference};
use portolan_support::{MemberOptions, Standalone};

use crate::certificates::Files;
use crate::watch::{binary, connect, run};

/// A SOCKS5 proxy that leads everybody to one server, whatever the name; its threads end with the
/// test's process.
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(
        server: SocketAddr,
        credentials: Option<(&'static str, &'static str)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let names = asked.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let names = names.clone();
                // A client that leaves ends the exchange with an error, which is no one's fault.
                thread::spawn(move || serve(client, server, credentials, &names).ok());
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a thread panicked").clone()
    }

    /// The options of a connection string.
    pub(crate) fn options(&self) -> String {
        format!("proxyHost=127.0.0.1&proxyPort={}", self.address.port())
    }
}

fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    credentials: Option<(&str, &str)>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let [version, count] = read(&mut client)?;
    assert_eq!(version, 5);
    let mut methods = vec![0; usize::from(count)];
    client.read_exact(&mut methods)?;
    match credentials {
        None => client.write_all(&[5, 0])?,
        Some(_) if !methods.contains(&2) => return client.write_all(&[5, 255]),
        Some((username, password)) => {
            client.write_all(&[5, 2])?;
            let [1] = read(&mut client)? else { panic!("RFC 1929 has version 1") };
            let sent = (counted(&mut client)?, counted(&mut client)?);
            let good = sent == (username.to_owned(), password.to_owned());
            client.write_all(&[1, u8::from(!good)])?;
            if !good {
                return Ok(());
            }
        }
    }
    let [5, 1, 0, kind] = read(&mut client)? else { panic!("a request to connect") };
    let host = match kind {
        1 => read::<4>(&mut client)?.map(|byte| byte.to_string()).join("."),
        3 => counted(&mut client)?,
        other => panic!("kind {other}"),
    };
    let port = u16::from_be_bytes(read(&mut client)?);
    asked.lock().expect("a thread panicked").push(format!("{host}:{port}"));
    if host == "forbidden.example" {
        return client.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let upstream = TcpStream::connect(server)?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (upstream, client);
    let _ = std::io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)
}

fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn counted(stream: &mut TcpStream) -> std::io::Result<String> {
    let [length] = read(stream)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

async fn use_it(uri: &str) {
    let (client, _watch) = connect(uri).await;
    let notes = client.database("live").collection::<Document>("proxy");
    notes.insert_one(doc! { "_id": uri }).await.expect("inserted");
    assert!(notes.find_one(doc! { "_id": uri }).await.expect("found").is_some());
    client.shutdown().await;
}

/// "Drivers MUST NOT attempt to perform DNS A or AAAA record resolution of the destination
/// hostname": the name exists for the proxy alone.
#[test]
fn a_proxy_leads_to_a_server_whose_name_only_it_knows() {
    let server = Standalone::start(&binary()).expect("a server");
    let proxy = Proxy::start(server.address(), None);
    let guarded = Proxy::start(server.address(), Some(("nemo", "naut:ilus@")));
    run(async {
        use_it(&format!("mongodb://db.inside.invalid:27018/?{}", proxy.options())).await;
        use_it(&format!("mongodb://127.0.0.1:9/?{}", proxy.options())).await;
        let user = "proxyUsername=nemo&proxyPassword=naut%3Ailus%40";
        use_it(&format!("mongodb://guarded.invalid/?{}&{user}", guarded.options())).await;
        // Both methods are offered, and a proxy may want neither name nor password.
        use_it(&format!("mongodb://open.invalid/?{}&{user}", proxy.options())).await;
    });
    let asked = proxy.asked();
    for name in ["db.inside.invalid:27018", "127.0.0.1:9", "open.invalid:27017"] {
        assert!(asked.iter().any(|asked| asked == name), "{name}: {asked:?}");
    }
    let asked = guarded.asked();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|asked| asked == "guarded.invalid:27017"), "{asked:?}");
}

/// CP-10: "MUST treat a connection failure when connecting to the SOCKS5 proxy (...) the same as a
/// network error which does not indicate server overload".
#[test]
fn what_a_proxy_refuses_is_no_overload() {
    let server = Standalone::start(&binary()).expect("a server");
    let proxy = Proxy::start(server.address(), Some(("nemo", "nautilus")));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("it is bound").port()
    };
    let good = "proxyUsername=nemo&proxyPassword=nautilus";
    run(async {
        for (host, options, word) in [
            ("a.invalid", proxy.options(), "proxyUsername and proxyPassword"),
            (
                "a.invalid",
                format!("{}&proxyUsername=nemo&proxyPassword=s3cret", proxy.options()),
                "refuses proxyUsername",
            ),
            ("forbidden.example", format!("{}&{good}", proxy.options()), "rules do not allow"),
            ("a.invalid", format!("proxyHost=127.0.0.1&proxyPort={closed}"), "SOCKS5 proxy"),
        ] {
            let uri = format!("mongodb://{host}/?serverSelectionTimeoutMS=800&{options}");
            let (client, _watch) = connect(&uri).await;
            let error = client.ping(ReadPreference::nearest()).await.expect_err(word);
            let outcome = &error.verdicts()[0].outcome;
            let Outcome::Because(Reason::Unknown { kind, error: text, .. }) = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(*kind, Some(LinkErrorKind::Proxy), "{text}");
            assert!(text.contains(word), "{text}");
            assert!(!error.to_string().contains("s3cret"), "{error}");

            let uri = format!("mongodb://{host}/?loadBalanced=true&{options}");
            let (client, _watch) = connect(&uri).await;
            let error = client.ping(ReadPreference::primary()).await.expect_err(word);
            assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
            assert!(!error.has_label("SystemOverloadedError"), "{error:?}");
        }
    });
}

#[cfg(unix)]
#[test]
fn a_unix_domain_socket_leads_to_a_server() {
    let files = Files::new();
    let folder = files.folder();
    let extra_args = vec!["--unixSocketPrefix".to_owned(), folder.clone()];
    let options = MemberOptions { extra_args, ..MemberOptions::default() };
    let server = Standalone::start_with(&binary(), options).expect("a server");
    let path = format!("{folder}/mongodb-{}.sock", server.address().port());
    let host = path.replace('/', "%2F");
    run(async {
        let uri = format!("mongodb://{host}/?appName=socket");
        use_it(&uri).await;
        let (client, _watch) = connect(&uri).await;
        let ping = client.ping(ReadPreference::primary()).await.expect("a server");
        assert_eq!(ping.address.to_string(), path);
        let missing = format!("mongodb://{host}.sock/?serverSelectionTimeoutMS=300");
        let (client, _watch) = connect(&missing).await;
        let error = client.ping(ReadPreference::primary()).await.expect_err("no such socket");
        assert!(error.to_string().contains(".sock.sock"), "{error}");
    });
}
