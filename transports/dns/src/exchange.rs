//! Asking one server after the other, blocking.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use portolan::transport::{DnsRecord, RecordKind};

use crate::config::Config;
use crate::message::{Answer, Query};

/// The records of `name`, from the first server that knows. `given_up` is asked before each
/// attempt.
pub(crate) fn look_up(
    config: &Config,
    name: &str,
    kind: RecordKind,
    given_up: &dyn Fn() -> bool,
) -> io::Result<Vec<DnsRecord>> {
    let mut problem = io::Error::other("there is no DNS server to ask");
    for _ in 0..config.attempts {
        for server in &config.servers {
            if given_up() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let query = Query::new(name, kind, random_id());
            let deadline = Instant::now() + config.timeout;
            match ask(*server, &query, deadline) {
                Ok(Answer::Records(records)) => return Ok(records),
                Ok(Answer::NoSuchName) => {
                    let text = format!("{name} does not exist (says the DNS server {server})");
                    return Err(io::Error::new(io::ErrorKind::NotFound, text));
                }
                Ok(Answer::Refused(what)) => {
                    problem = io::Error::other(format!("the DNS server {server} {what}"));
                }
                Ok(Answer::Truncated | Answer::Stray) => {
                    problem = io::Error::other(format!("the DNS server {server} cut its answer"));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                Err(error) => problem = explained(*server, &error, config.timeout),
            }
        }
    }
    Err(problem)
}

fn explained(server: SocketAddr, error: &io::Error, timeout: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer from the DNS server {server} within {timeout:?}"),
        ),
        kind => io::Error::new(kind, format!("the DNS server {server}: {error}")),
    }
}

fn ask(server: SocketAddr, query: &Query<'_>, deadline: Instant) -> io::Result<Answer> {
    let message = query.encode()?;
    match by_udp(server, query, &message, deadline)? {
        Answer::Truncated => by_tcp(server, query, &message, deadline),
        answer => Ok(answer),
    }
}

fn by_udp(
    server: SocketAddr,
    query: &Query<'_>,
    message: &[u8],
    deadline: Instant,
) -> io::Result<Answer> {
    let socket = match server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    // Connected: the system drops what comes from elsewhere, and reports a closed port at once.
    socket.connect(server)?;
    socket.send(message)?;
    let mut buffer = [0; 4096];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let length = socket.recv(&mut buffer)?;
        match query.read(&buffer[..length]) {
            Answer::Stray => {}
            answer => return Ok(answer),
        }
    }
}

fn by_tcp(
    server: SocketAddr,
    query: &Query<'_>,
    message: &[u8],
    deadline: Instant,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, deadline)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    read_exact(&mut stream, &mut answer, deadline)?;
    Ok(query.read(&answer))
}

/// Reads all of `buffer` before `deadline`, however slowly the bytes come.
fn read_exact(stream: &mut TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A number that others cannot foretell: the standard library's hashes are keyed by the system.
fn random_id() -> u16 {
    let [high, low, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    u16::from_be_bytes([high, low])
}
