//! Look-ups of scripted DNS servers on the loopback interface, by UDP and TCP.

#![allow(clippy::unwrap_used, reason = "the scripted servers are as much a test as their callers")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once};
use portolan::transport::{DnsRecord, RecordKind};
use portolan_dns::Dns;
use simple_dns::rdata::{RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

const NAME: &str = "_mongodb._tcp.cluster.example.com";

/// What a server does with a question: the datagrams that it sends back.
type Script = dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync;

/// A DNS server on 127.0.0.1 until it is dropped.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

const STOP: &[u8] = b"stop";

impl Server {
    fn start(script: Box<Script>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).unwrap();
                if &buffer[..length] == STOP {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                for answer in script(&buffer[..length]) {
                    socket.send_to(&answer, client).unwrap();
                }
            }
        });
        Self { address, asked, thread: Some(thread) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(STOP, self.address).unwrap();
        self.thread.take().expect("dropped once").join().unwrap();
    }
}

/// The answer with two SRV records or one text, after `change`.
fn answer(question: &[u8], change: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    let asked = packet.questions[0].clone();
    let mut add =
        |data| packet.answers.push(ResourceRecord::new(asked.qname.clone(), CLASS::IN, 300, data));
    match asked.qtype {
        QTYPE::TYPE(TYPE::SRV) => {
            for (port, target) in [(27017, "a.example.com"), (27018, "b.example.com")] {
                let target = Name::new_unchecked(target);
                add(RData::SRV(SRV { priority: 0, weight: 5, port, target }));
            }
        }
        _ => add(RData::TXT(TXT::new().with_string("replicaSet=rs").unwrap())),
    }
    change(&mut packet);
    packet.build_bytes_vec_compressed().unwrap()
}

fn refusal(question: &[u8], code: RCODE) -> Vec<u8> {
    answer(question, |packet| {
        packet.answers.clear();
        *packet.rcode_mut() = code;
    })
}

fn expected() -> Vec<DnsRecord> {
    let srv = |host: &str, port| DnsRecord::Srv { host: host.to_owned(), port, ttl: 300 };
    vec![srv("a.example.com", 27017), srv("b.example.com", 27018)]
}

fn dns(servers: &[&Server], timeout: Duration) -> Dns {
    Dns::with_servers(servers.iter().map(|server| server.address).collect::<Vec<_>>(), timeout)
}

fn look_up(dns: &Dns, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
    block_on(dns.look_up(NAME, kind))
}

const PATIENT: Duration = Duration::from_secs(20);
const IMPATIENT: Duration = Duration::from_millis(50);

#[test]
fn records_come_with_host_port_and_time_to_live() {
    let server = Server::start(Box::new(|question| vec![answer(question, |_| {})]));
    let dns = dns(&[&server], PATIENT);
    assert_eq!(look_up(&dns, RecordKind::Srv).unwrap(), expected());
    let text = DnsRecord::Txt("replicaSet=rs".to_owned());
    assert_eq!(look_up(&dns, RecordKind::Txt).unwrap(), [text]);
    assert_eq!(server.asked(), 2);
}

#[test]
fn the_question_asks_for_recursion_and_every_id_differs() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = Server::start(Box::new(move |question| {
        log.lock().unwrap().push(question.to_vec());
        vec![answer(question, |_| {})]
    }));
    for _ in 0..8 {
        look_up(&dns(&[&server], PATIENT), RecordKind::Srv).unwrap();
    }
    let questions = seen.lock().unwrap();
    let packets: Vec<_> = questions.iter().map(|bytes| Packet::parse(bytes).unwrap()).collect();
    assert!(packets.iter().all(|packet| packet.has_flags(PacketFlag::RECURSION_DESIRED)));
    assert!(packets.iter().all(|packet| packet.questions[0].qname.to_string() == NAME));
    assert!(packets.iter().all(|packet| packet.opt().unwrap().udp_packet_size == 1232));
    let mut ids: Vec<_> = packets.iter().map(Packet::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 4, "{ids:?}");
}

#[test]
fn no_records_and_no_such_name_differ() {
    let empty = Server::start(Box::new(|question| vec![refusal(question, RCODE::NoError)]));
    assert_eq!(look_up(&dns(&[&empty], PATIENT), RecordKind::Srv).unwrap(), []);
    let unknown = Server::start(Box::new(|question| vec![refusal(question, RCODE::NameError)]));
    let error = look_up(&dns(&[&unknown], PATIENT), RecordKind::Srv).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains(NAME), "{error}");
}

#[test]
fn a_stray_answer_is_ignored() {
    let server = Server::start(Box::new(|question| {
        let forged = answer(question, |packet| packet.set_id(packet.id().wrapping_add(1)));
        vec![forged, b"noise".to_vec(), answer(question, |_| {})]
    }));
    assert_eq!(look_up(&dns(&[&server], PATIENT), RecordKind::Srv).unwrap(), expected());
}

#[test]
fn the_next_server_is_asked_where_one_fails() {
    let silent = Server::start(Box::new(|_| Vec::new()));
    let failing = Server::start(Box::new(|question| vec![refusal(question, RCODE::ServerFailure)]));
    let good = Server::start(Box::new(|question| vec![answer(question, |_| {})]));
    let dns = dns(&[&silent, &failing, &good], Duration::from_secs(1));
    assert_eq!(look_up(&dns, RecordKind::Srv).unwrap(), expected());
    assert_eq!((silent.asked(), failing.asked(), good.asked()), (1, 1, 1));
}

#[test]
fn silence_ends_after_every_attempt() {
    let silent = Server::start(Box::new(|_| Vec::new()));
    let error = look_up(&dns(&[&silent], IMPATIENT), RecordKind::Srv).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.contains(&silent.address.to_string()) && text.contains("50ms"), "{text}");
    assert_eq!(silent.asked(), 2);
}

#[test]
fn nobody_at_the_port_is_an_error_by_address() {
    let port = {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap()
    };
    let error = look_up(&Dns::with_servers([port], PATIENT), RecordKind::Srv).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[test]
fn a_long_answer_comes_by_tcp() {
    // What is free for UDP may be somebody's by TCP: another port then.
    let (udp, listener) = (0..20)
        .find_map(|_| {
            let udp = Server::start(Box::new(|question| {
                vec![answer(question, |packet| {
                    packet.answers.clear();
                    packet.set_flags(PacketFlag::TRUNCATION);
                })]
            }));
            let listener = TcpListener::bind(udp.address).ok()?;
            Some((udp, listener))
        })
        .unwrap();
    let tcp = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).unwrap();
        let answer = answer(&question, |_| {});
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        // Byte for byte: the reader must put them together.
        for byte in length.iter().chain(&answer) {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    assert_eq!(look_up(&dns(&[&udp], PATIENT), RecordKind::Srv).unwrap(), expected());
    tcp.join().unwrap();
}

/// The look-up has a thread of its own: it must not go on asking for nobody.
#[test]
fn dropping_the_future_ends_the_look_up() {
    let (told, heard) = mpsc::channel();
    let silent = Server::start(Box::new(move |_| {
        told.send(()).unwrap();
        Vec::new()
    }));
    let began = Instant::now();
    let asking = dns(&[&silent], Duration::from_millis(500));
    let mut future = Box::pin(asking.look_up(NAME, RecordKind::Srv));
    assert!(block_on(poll_once(&mut future)).is_none());
    heard.recv_timeout(PATIENT).unwrap();
    drop(future);
    assert!(heard.recv_timeout(Duration::from_millis(900)).is_err(), "it asked again");
    assert!(began.elapsed() < PATIENT);
}
