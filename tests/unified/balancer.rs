//! A load balancer with servers behind it, made of one real server.
//!
//! A mock, because the servers that a load balancer can stand before (mongos) are not to be had
//! here: it takes each connection for one of its services in turn, carries it to the same real
//! server, takes `loadBalanced` out of the connection's first hello and puts the service's
//! `serviceId` into the answer. That is what the specification's own runners do ("drivers MUST also
//! mock server support for returning a serviceId field"); all the rest is the real server's.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bson::Document;
use bson::oid::ObjectId;

/// A running load balancer; dropping it stops it.
pub(crate) struct Balancer {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Balancer {
    /// Listens for connections to `services` services, all of which are `server`.
    pub(crate) fn start(server: SocketAddr, services: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, closed) = (listener.local_addr()?, Arc::<AtomicBool>::default());
        let services: Vec<ObjectId> = (0..services).map(|_| ObjectId::new()).collect();
        let over = closed.clone();
        thread::spawn(move || {
            let connections = listener.incoming().flatten();
            for (client, service) in connections.zip(services.into_iter().cycle()) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // What breaks is for the client to notice.
                thread::spawn(move || drop(carry(client, server, service)));
            }
        });
        Ok(Self { address, closed })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // One that it waits for no more.
        drop(TcpStream::connect(self.address));
    }
}

fn carry(mut client: TcpStream, server: SocketAddr, service: ObjectId) -> Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut hello = message(&mut client)?;
    let balanced = edit(&mut hello, |hello| hello.remove("loadBalanced").is_some())?;
    server.write_all(&hello)?;
    let mut reply = message(&mut server)?;
    if balanced == Some(true) {
        edit(&mut reply, |reply| {
            if reply.get_f64("ok").is_ok_and(|ok| ok == 1.0) {
                reply.insert("serviceId", service);
            }
        })?;
    }
    client.write_all(&reply)?;
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_server, to_server) = (server.try_clone()?, server);
    thread::spawn(move || pipe(from_client, to_server));
    pipe(from_server, to_client);
    Ok(())
}

/// Carries bytes until either end closes, then closes the other.
fn pipe(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// One message of the wire protocol.
fn message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let size = usize::try_from(i32::from_le_bytes(length)).unwrap_or_default();
    if !(HEADER..=MOST).contains(&size) {
        return Err(Error::new(ErrorKind::InvalidData, format!("a message of {size} bytes")));
    }
    let mut message = vec![0; size];
    message[..4].copy_from_slice(&length);
    stream.read_exact(&mut message[4..])?;
    Ok(message)
}

/// Changes the document of an OP_MSG of one section; leaves other messages as they are.
fn edit<T>(message: &mut Vec<u8>, change: impl FnOnce(&mut Document) -> T) -> Result<Option<T>> {
    if message.get(12..16) != Some(&OP_MSG.to_le_bytes()) || message.get(20) != Some(&0) {
        return Ok(None);
    }
    let invalid = |error: bson::error::Error| Error::new(ErrorKind::InvalidData, error);
    let mut document = Document::from_reader(&message[21..]).map_err(invalid)?;
    let outcome = change(&mut document);
    message.truncate(21);
    message.extend(bson::serialize_to_vec(&document).map_err(invalid)?);
    let length = i32::try_from(message.len()).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    message[..4].copy_from_slice(&length.to_le_bytes());
    Ok(Some(outcome))
}

const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// Longer than any hello.
const MOST: usize = 1 << 20;
