//! SRV and TXT records, from a DNS server that is scripted.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use portolan::transport::{DnsRecord, RecordKind, Transport};
use portolan_dns::Dns;
use simple_dns::rdata::{RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, QTYPE, RCODE, ResourceRecord, TYPE};

const SERVICE: &str = "_mongodb._tcp.cluster.example.com";
const HOST: &str = "cluster.example.com";

/// A DNS server on 127.0.0.1 that knows a service and a text, until it is dropped.
pub struct DnsServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts it with the names of the contract.
    pub fn start() -> Self {
        Self::naming(SERVICE, "a.example.com", 27018)
    }

    /// Starts it with the SRV record `service` of this host and port.
    pub(crate) fn naming(service: &'static str, host: &'static str, port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        let address = socket.local_addr().expect("it is bound");
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).expect("a datagram");
                if &buffer[..length] == STOP {
                    return;
                }
                let answer = answer(&buffer[..length], service, host, port);
                socket.send_to(&answer, client).expect("a client");
            }
        });
        Self { address, thread: Some(thread) }
    }

    /// Look-ups that ask this server.
    pub fn dns(&self) -> Dns {
        Dns::with_servers([self.address], Duration::from_secs(20))
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1");
        socket.send_to(STOP, self.address).expect("it is on this machine");
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

/// No DNS message: it ends the server.
const STOP: &[u8] = b"stop";

fn answer(question: &[u8], service: &str, host: &str, port: u16) -> Vec<u8> {
    let mut packet = Packet::parse(question).expect("a question").into_reply();
    let asked = packet.questions.first().cloned().expect("a question");
    let name = asked.qname.to_string();
    let data = match asked.qtype {
        _ if name != service && name != HOST => {
            *packet.rcode_mut() = RCODE::NameError;
            None
        }
        QTYPE::TYPE(TYPE::SRV) if name == service => {
            let target = Name::new_unchecked(host);
            Some(RData::SRV(SRV { priority: 1, weight: 2, port, target }))
        }
        QTYPE::TYPE(TYPE::TXT) if name == HOST => {
            let text =
                TXT::new().with_string("replica").and_then(|text| text.with_string("Set=rs"));
            Some(RData::TXT(text.expect("two short strings")))
        }
        _ => None,
    };
    let record = |data| ResourceRecord::new(asked.qname.clone(), CLASS::IN, 77, data);
    packet.answers.extend(data.map(record));
    packet.build_bytes_vec().expect("a short message")
}

/// What a `mongodb+srv://` connection string needs.
pub async fn the_records_of_a_name_are_looked_up(transport: Arc<dyn Transport>) {
    let records = transport.resolve(SERVICE, RecordKind::Srv).await.expect("it exists");
    let record = DnsRecord::Srv { host: "a.example.com".into(), port: 27018, ttl: 77 };
    assert_eq!(records, [record]);
    let texts = transport.resolve(HOST, RecordKind::Txt).await.expect("it exists");
    assert_eq!(texts, [DnsRecord::Txt("replicaSet=rs".into())]);
}

/// No TXT record is no error; no such name is one, except for TXT records.
pub async fn a_name_without_records_and_no_such_name_differ(transport: Arc<dyn Transport>) {
    let records = transport.resolve(HOST, RecordKind::Srv).await.expect("it exists");
    assert_eq!(records, []);
    let name = "_mongodb._tcp.other.example.com";
    let error = transport.resolve(name, RecordKind::Srv).await.expect_err("it does not exist");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains(name), "{error}");
}
