//! Connecting: errors that say what happened, and nothing left behind.

use std::io::{self, ErrorKind, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan::ServerAddress;
use portolan::transport::{Transport, Unresolved};

use crate::peer::Peer;

async fn refused(transport: &dyn Transport, target: &ServerAddress) -> io::Error {
    match transport.connect(target).await {
        Ok(_) => panic!("connected to {target}"),
        Err(error) => {
            // It becomes the reason in the server's description.
            assert!(error.to_string().len() > 8, "{error}");
            error
        }
    }
}

/// The reason that people see most.
pub async fn nothing_listening_is_connection_refused(transport: Arc<dyn Transport>) {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        listener.local_addr().expect("it is bound").port()
    };
    let error = refused(&*transport, &ServerAddress::tcp("127.0.0.1", port)).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

/// No stream goes to the broadcast address, on any network.
pub async fn an_address_without_a_route_is_an_error(transport: Arc<dyn Transport>) {
    let error = refused(&*transport, &ServerAddress::tcp("255.255.255.255", 27017)).await;
    assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

/// RFC 2606: no name below `.invalid` exists.
pub async fn a_name_that_does_not_resolve_is_an_error(transport: Arc<dyn Transport>) {
    let error = refused(&*transport, &ServerAddress::tcp("no-such-host.invalid", 27017)).await;
    assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    // CP-10: no server is overloaded, and the core must be able to tell.
    assert!(error.get_ref().is_some_and(|cause| cause.is::<Unresolved>()), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid does not resolve"), "{error}");
}

/// `localhost` may be `::1` first, where nobody listens.
pub async fn a_host_name_is_tried_at_each_of_its_addresses(transport: Arc<dyn Transport>) {
    let peer = Peer::start(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    let target = ServerAddress::tcp("localhost", peer.port);
    let mut stream = transport.connect(&target).await.expect("localhost has 127.0.0.1");
    stream.write_all(b"harbour").await.expect("it is open");
    stream.close().await.expect("it is open");
    assert_eq!(peer.end().expect("seven bytes"), "harbour");
}

/// Addresses keep IPv6 literals without brackets.
pub async fn an_ipv6_literal_is_dialled(transport: Arc<dyn Transport>) {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port of ::1");
    let peer = Peer::listening(listener, |stream| stream.peer_addr().expect("a peer").is_ipv6());
    let target: ServerAddress = format!("[::1]:{}", peer.port).parse().expect("an address");
    let _stream = transport.connect(&target).await.expect("::1 is dialled");
    assert!(peer.end());
}

#[cfg(unix)]
fn socket_path() -> std::path::PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("portolan-contract-{}-{number}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

#[cfg(unix)]
fn unix(path: &std::path::Path) -> ServerAddress {
    path.to_str().expect("a path of text").parse().expect("a path that ends in .sock")
}

/// Unix domain sockets are addresses too.
#[cfg(unix)]
pub async fn a_unix_socket_carries_bytes(transport: Arc<dyn Transport>) {
    use std::io::Write as _;
    let path = socket_path();
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a new path");
    let peer = std::thread::spawn(move || -> io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut text = [0; 4];
        stream.read_exact(&mut text)?;
        stream.write_all(b"line")?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    let mut stream = transport.connect(&unix(&path)).await.expect("somebody listens");
    stream.write_all(b"lead").await.expect("it is open");
    stream.flush().await.expect("it is open");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("four bytes and the end");
    assert_eq!(text, "line");
    let heard = peer.join().expect("the peer does not panic").expect("four bytes");
    assert_eq!(heard, "lead");
    std::fs::remove_file(path).expect("the socket is there");
}

/// A wrong path is an error that says so.
#[cfg(unix)]
pub async fn a_unix_socket_that_is_not_there_is_an_error(transport: Arc<dyn Transport>) {
    let error = refused(&*transport, &unix(&socket_path())).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// The core bounds a connect by dropping it: nothing may go on in the background.
///
/// The listener's queue is full, so that the connect hangs; the kernel's table tells whether its
/// socket is owned still.
#[cfg(target_os = "linux")]
pub async fn a_connect_that_is_dropped_is_released(transport: Arc<dyn Transport>) {
    use std::time::Duration;

    use futures_util::poll;

    let (listener, _queued) = full_listener();
    let port = listener.local_addr().expect("bound").as_socket().expect("an address").port();
    let target = ServerAddress::tcp("127.0.0.1", port);
    let mut connecting = transport.connect(&target);
    let mut waited = 0;
    while connects_to(port) == 0 {
        assert!(poll!(&mut connecting).is_pending(), "the queue is not full");
        transport.sleep_until(transport.now() + Duration::from_millis(5)).await;
        waited += 1;
        assert!(waited < 2000, "it does not dial");
    }
    drop(connecting);
    let mut waited = 0;
    while connects_to(port) > 0 {
        transport.sleep_until(transport.now() + Duration::from_millis(5)).await;
        waited += 1;
        assert!(waited < 400, "it dials on though nobody waits");
    }
}

/// A listener that lets nobody in any more, and those who are in its queue.
#[cfg(target_os = "linux")]
fn full_listener() -> (socket2::Socket, std::net::TcpStream) {
    use std::net::{SocketAddr, TcpStream};

    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    listener.listen(0).expect("it is bound");
    let address = listener.local_addr().expect("bound").as_socket().expect("an address");
    let queued = TcpStream::connect(address).expect("the queue holds one");
    (listener, queued)
}

/// The sockets of this machine that are dialling `port` of 127.0.0.1 (SYN_SENT).
#[cfg(target_os = "linux")]
fn connects_to(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let remote = format!("0100007F:{port:04X}");
    let dialling = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next() == Some(&remote) && columns.next() == Some(SYN_SENT)
    };
    table.lines().filter(dialling).count()
}
