//! Questions to DNS servers, and what their answers mean.

use std::io;

use portolan::transport::{DnsRecord, RecordKind};
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

/// A question.
pub(crate) struct Query<'q> {
    name: &'q str,
    kind: RecordKind,
    id: u16,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The records.
    Records(Vec<DnsRecord>),
    /// The name does not exist.
    NoSuchName,
    /// It is too long for a datagram: ask by TCP.
    Truncated,
    /// The server cannot, or will not, answer.
    Refused(String),
    /// It is no answer to the question: go on waiting.
    Stray,
}

/// Bytes of an answer by UDP: what passes everywhere unfragmented (DNS flag day 2020).
const DATAGRAM: u16 = 1232;

impl<'q> Query<'q> {
    pub(crate) fn new(name: &'q str, kind: RecordKind, id: u16) -> Self {
        Self { name: name.strip_suffix('.').unwrap_or(name), kind, id }
    }

    /// The question as a message.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let invalid = |error| {
            let text = format!("{} cannot be a name in DNS: {error}", self.name);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let name = Name::new(self.name).map_err(invalid)?;
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(name, self.kind().into(), CLASS::IN.into(), false));
        *packet.opt_mut() =
            Some(OPT { opt_codes: Vec::new(), udp_packet_size: DATAGRAM, version: 0 });
        packet.build_bytes_vec().map_err(invalid)
    }

    /// What `message` says to the question.
    pub(crate) fn read(&self, message: &[u8]) -> Answer {
        let Ok(packet) = Packet::parse(message) else {
            return match self.is_answer_header(message) {
                true => Answer::Refused("sent an answer that is no DNS message".to_owned()),
                false => Answer::Stray,
            };
        };
        let is_mine = |question: &Question<'_>| {
            question.qtype == self.kind().into()
                && question.qname.to_string().eq_ignore_ascii_case(self.name)
        };
        if packet.id() != self.id
            || !packet.has_flags(PacketFlag::RESPONSE)
            || !packet.questions.first().is_some_and(is_mine)
        {
            return Answer::Stray;
        }
        match packet.rcode() {
            _ if packet.has_flags(PacketFlag::TRUNCATION) => Answer::Truncated,
            RCODE::NoError => {
                // An alias's records are the name's; the answer holds both.
                let answers = packet.answers.iter();
                Answer::Records(answers.filter_map(|answer| self.record(answer)).collect())
            }
            RCODE::NameError => Answer::NoSuchName,
            code => Answer::Refused(format!("answered {code:?}")),
        }
    }

    fn record(&self, answer: &simple_dns::ResourceRecord<'_>) -> Option<DnsRecord> {
        match (&answer.rdata, self.kind) {
            (RData::SRV(srv), RecordKind::Srv) => Some(DnsRecord::Srv {
                host: srv.target.to_string(),
                port: srv.port,
                ttl: answer.ttl,
            }),
            // "Concatenate them as if they were one single string."
            (RData::TXT(txt), RecordKind::Txt) => {
                let joined = String::try_from(txt.clone());
                let lossy = |error: std::string::FromUtf8Error| {
                    String::from_utf8_lossy(error.as_bytes()).into_owned()
                };
                Some(DnsRecord::Txt(joined.unwrap_or_else(lossy)))
            }
            _ => None,
        }
    }

    /// Whether `message` begins as an answer to this question does.
    fn is_answer_header(&self, message: &[u8]) -> bool {
        matches!(message, [high, low, flags, ..]
            if [*high, *low] == self.id.to_be_bytes() && flags & 0x80 != 0)
    }

    fn kind(&self) -> TYPE {
        match self.kind {
            RecordKind::Srv => TYPE::SRV,
            RecordKind::Txt => TYPE::TXT,
        }
    }
}

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{CNAME, SRV, TXT};

    use super::*;

    const NAME: &str = "_mongodb._tcp.A.example.com";

    fn query() -> Query<'static> {
        Query::new(NAME, RecordKind::Srv, 7)
    }

    /// An answer to [`query`] with one record behind an alias, changed by `change`.
    fn answer(change: impl FnOnce(&mut Packet<'_>)) -> Vec<u8> {
        let question = query().encode().unwrap();
        let mut packet = Packet::parse(&question).unwrap().into_reply();
        let mut record = |data| {
            let name = Name::new_unchecked(NAME);
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, 90, data));
        };
        record(RData::CNAME(CNAME(Name::new_unchecked("b.example.com"))));
        let target = Name::new_unchecked("h.example.com");
        record(RData::SRV(SRV { priority: 1, weight: 2, port: 27018, target }));
        change(&mut packet);
        packet.build_bytes_vec_compressed().unwrap()
    }

    #[test]
    fn an_answer_gives_host_port_and_time_to_live() {
        let record = DnsRecord::Srv { host: "h.example.com".into(), port: 27018, ttl: 90 };
        assert_eq!(query().read(&answer(|_| {})), Answer::Records(vec![record]));
    }

    #[test]
    fn what_answers_something_else_is_ignored() {
        assert_eq!(query().read(&answer(|packet| packet.set_id(8))), Answer::Stray);
        assert_eq!(query().read(&query().encode().unwrap()), Answer::Stray);
        assert_eq!(query().read(&answer(|packet| packet.questions.clear())), Answer::Stray);
        let other = Query::new("_mongodb._tcp.b.example.com", RecordKind::Srv, 7);
        assert_eq!(other.read(&answer(|_| {})), Answer::Stray);
        let other = Query::new(NAME, RecordKind::Txt, 7);
        assert_eq!(other.read(&answer(|_| {})), Answer::Stray);
        // The case of letters is no difference.
        let upper = Query::new("_MONGODB._tcp.a.example.COM.", RecordKind::Srv, 7);
        assert!(matches!(upper.read(&answer(|_| {})), Answer::Records(_)));
    }

    #[test]
    fn refusals_are_told_apart() {
        let code = |code| query().read(&answer(|packet| *packet.rcode_mut() = code));
        assert_eq!(code(RCODE::NameError), Answer::NoSuchName);
        assert_eq!(code(RCODE::ServerFailure), Answer::Refused("answered ServerFailure".into()));
        let cut = answer(|packet| packet.set_flags(PacketFlag::TRUNCATION));
        assert_eq!(query().read(&cut), Answer::Truncated);
    }

    #[test]
    fn the_strings_of_a_text_are_joined() {
        let query = Query::new("a.example.com", RecordKind::Txt, 1);
        let question = query.encode().unwrap();
        let mut packet = Packet::parse(&question).unwrap().into_reply();
        let mut text = TXT::new();
        for part in ["replicaS", "et=rep", "l0"] {
            text.add_string(part).unwrap();
        }
        let name = Name::new_unchecked("a.example.com");
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 1, RData::TXT(text)));
        let bytes = packet.build_bytes_vec().unwrap();
        let joined = DnsRecord::Txt("replicaSet=repl0".into());
        assert_eq!(query.read(&bytes), Answer::Records(vec![joined]));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in [&"a".repeat(64), &"a.".repeat(200)] {
            let error = Query::new(name, RecordKind::Srv, 1).encode().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    /// Whatever a server sends: a meaning, no panic.
    #[test]
    fn hostile_answers_are_read() {
        let good = answer(|_| {});
        let mut seed = 1_u64;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=draw(4) {
                let at = 2 + draw(bytes.len() - 2);
                bytes[at] = draw(256) as u8;
            }
            bytes.truncate(draw(bytes.len() + 1));
            let _ = query().read(&bytes);
        }
        assert_eq!(
            query().read(&[0, 7, 0x80]),
            Answer::Refused("sent an answer that is no DNS message".into())
        );
    }
}
