//! A leaf's own `connect_with`: from a name in DNS to a server's answer.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use portolan::bson::rawdoc;
use portolan::engine::wire::{Flags, Header, OpMsgBuilder};
use portolan::{Client, ClientOptions, ReadPreference, Result, ServerAddress, ServerType};

use crate::DnsServer;

/// `mongodb+srv://` through DNS, TCP and the wire protocol, with the driver spawned by the leaf.
///
/// The record names 127.0.0.1, which is below the domain `0.0.1` of the host `srv.0.0.1`.
pub async fn a_name_in_dns_leads_to_a_server<F: Future<Output = Result<Client>>>(
    connect_with: impl Fn(ClientOptions) -> F,
) {
    let server = Standalone::start();
    let port = server.address.port();
    let dns = DnsServer::naming("_mongodb._tcp.srv.0.0.1", "127.0.0.1", port);
    let uri = "mongodb+srv://srv.0.0.1/?tls=false&serverSelectionTimeoutMS=20000";
    let mut options = ClientOptions::parse(uri).expect("a connection string");
    options.resolver = Some(dns.dns().into());
    let client = connect_with(options.clone()).await.expect("DNS names a seed");
    let ping = client.ping(ReadPreference::primary()).await.expect("the server answers");
    assert_eq!(ping.address, ServerAddress::tcp("127.0.0.1", port));
    assert_eq!(ping.server_type, ServerType::Standalone);
    client.shutdown().await;
    // And what DNS does not know is an error of connecting, not of the first operation.
    options.srv_host = Some("other.0.0.1".to_owned());
    let error = connect_with(options).await.expect_err("there is no such name").to_string();
    assert!(error.contains("_mongodb._tcp.other.0.0.1"), "{error}");
}

/// A server on 127.0.0.1 that says `ok` to everything, until it is dropped.
struct Standalone {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Standalone {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        let address = listener.local_addr().expect("it is bound");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = stopping.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // Ends when the client closes the connection.
                std::thread::spawn(move || converse(stream));
            }
        });
        Self { address, stopping, thread: Some(thread) }
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Lets the listener look.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    let reply = rawdoc! {
        "ok": 1, "isWritablePrimary": true, "helloOk": true, "minWireVersion": 0,
        "maxWireVersion": 21,
    };
    loop {
        let mut frame = vec![0; 16];
        stream.read_exact(&mut frame)?;
        let length = frame.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes));
        let rest = usize::try_from(length - 16).map_err(io::Error::other)?;
        frame.resize(16 + rest, 0);
        stream.read_exact(&mut frame[16..])?;
        let header = Header::of_frame(&frame).map_err(io::Error::other)?;
        let mut message = Vec::new();
        let mut builder = OpMsgBuilder::begin(&mut message, 1, header.request_id, Flags::NONE);
        builder.body(&reply);
        builder.finish().map_err(io::Error::other)?;
        stream.write_all(&message)?;
    }
}
