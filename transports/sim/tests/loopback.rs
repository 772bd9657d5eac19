//! The set as a client sees it, over real sockets.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use portolan_sim::{Fault, SimulatedSet, State};
use portolan_support::Connection;

const SOON: Duration = Duration::from_secs(10);

fn connect(set: &SimulatedSet, member: usize) -> Connection {
    Connection::open(address(set, member), SOON).expect("the member listens")
}

fn address(set: &SimulatedSet, member: usize) -> SocketAddr {
    set.members()[member].address.parse().expect("an address")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_set_is_written_loses_its_primary_and_is_read() {
    let set = SimulatedSet::start("rs0", 3, None).expect("a set");
    let mut client = connect(&set, 0);
    let hello = client.run(&doc! { "hello": 1 }).expect("hello");
    assert_eq!(hello.get_array("hosts").expect("hosts").len(), 3);
    let version = client.run(&doc! { "buildInfo": 1 }).expect("buildInfo");
    assert_eq!(version.get_str("version").ok(), Some("portolan-sim"));
    let insert = doc! { "insert": "c", "documents": [{ "_id": 1 }], "$db": "d" };
    client.run(&insert).expect("insert");

    set.fault(0, Fault::Kill).expect("kill");
    assert_eq!(set.members()[0].state, State::Stopped);
    assert!(client.run(&doc! { "ping": 1 }).is_err());
    let gone = address(&set, 0);
    until("a refused connection", || TcpStream::connect(gone).is_err());
    until("a new primary", || set.primary().is_some());

    let mut client = connect(&set, set.primary().expect("a primary"));
    let find = doc! { "find": "c", "filter": { "_id": 1 }, "$db": "d" };
    let reply = client.run(&find).expect("find");
    let batch = reply.get_document("cursor").and_then(|c| c.get_array("firstBatch"));
    assert_eq!(batch.expect("a batch").len(), 1);

    set.fault(0, Fault::Restart).expect("restart");
    let hello = connect(&set, 0).run(&doc! { "hello": 1 }).expect("hello");
    assert_eq!(hello.get_bool("secondary").ok(), Some(true));
}

#[test]
fn a_frozen_member_is_silent_until_it_thaws() {
    let set = SimulatedSet::start("rs0", 3, None).expect("a set");
    set.fault(2, Fault::Freeze).expect("freeze");
    let mut impatient = Connection::open(address(&set, 2), Duration::from_millis(100)).unwrap();
    assert!(impatient.run(&doc! { "ping": 1 }).is_err());
    let mut patient = connect(&set, 2);
    let answer = std::thread::spawn(move || patient.run(&doc! { "ping": 1 }));
    set.fault(2, Fault::Thaw).expect("thaw");
    answer.join().expect("no panic").expect("an answer");
}

#[test]
fn a_broken_message_closes_its_connection_alone() {
    use std::io::{Read as _, Write as _};

    let set = SimulatedSet::start("rs0", 1, None).expect("a set");
    let mut socket = TcpStream::connect(address(&set, 0)).expect("the member listens");
    socket.set_read_timeout(Some(SOON)).expect("a time-out");
    socket.write_all(&[0xff; 64]).expect("sent");
    assert!(matches!(socket.read(&mut [0; 16]), Ok(0) | Err(_)));
    let pong: Document = connect(&set, 0).run(&doc! { "ping": 1 }).expect("others go on");
    assert_eq!(pong.get_f64("ok").ok(), Some(1.0));
}
