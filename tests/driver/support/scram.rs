//! The server's side of SCRAM, and every lie that a server can tell in it.

use std::collections::BTreeMap;

use portolan::bson::spec::BinarySubtype;
use portolan::bson::{Binary, Document, doc};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What a server does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    /// The nonce is not the client's.
    Nonce,
    /// The signature is of another password.
    Signature,
    /// So many iterations.
    Iterations(u64),
    /// It is done before it has proved anything.
    EndsEarly,
    /// It is never done.
    NeverEnds,
    /// No message of SCRAM at all.
    Noise,
    /// A message of a megabyte.
    Flood,
    /// Another conversation's number.
    Stranger,
}

/// The one user of a server that wants to know who is there.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) mechanisms: Vec<&'static str>,
    /// Whether a hello may carry the first message (servers from 4.4 on).
    pub(crate) speculative: bool,
    /// Whether a hello names the user's mechanisms (servers from 4.0 on).
    pub(crate) names_mechanisms: bool,
    /// Whether the conversation ends with an empty exchange (servers before 4.4).
    pub(crate) empty_exchange: bool,
    pub(crate) lie: Lie,
    /// Connections that are in.
    inside: BTreeMap<usize, &'static str>,
    talks: BTreeMap<usize, Talk>,
}

#[derive(Clone, Debug)]
struct Talk {
    mechanism: &'static str,
    /// Everything that was said so far; what both sides sign.
    said: String,
    proved: bool,
}

impl Account {
    pub(crate) fn new(user: &'static str, password: &'static str) -> Self {
        Self {
            user,
            password,
            mechanisms: vec!["SCRAM-SHA-1", "SCRAM-SHA-256"],
            speculative: true,
            names_mechanisms: true,
            empty_exchange: false,
            lie: Lie::None,
            inside: BTreeMap::new(),
            talks: BTreeMap::new(),
        }
    }

    /// By what the connection has got in.
    pub(crate) fn mechanism_of(&self, connection: usize) -> Option<&'static str> {
        self.inside.get(&connection).copied()
    }

    /// What a hello's reply has more.
    pub(crate) fn greet(&mut self, connection: usize, hello: &Document) -> Document {
        let mut more = Document::new();
        let me = format!("admin.{}", self.user);
        if self.names_mechanisms && hello.get_str("saslSupportedMechs").is_ok_and(|n| n == me) {
            more.insert("saslSupportedMechs", self.mechanisms.clone());
        }
        if let Ok(first) = hello.get_document("speculativeAuthenticate")
            && self.speculative
        {
            assert_eq!(first.get_str("db").expect("a database"), "admin");
            let reply = self.start(connection, first);
            if !reply.contains_key("code") {
                more.insert("speculativeAuthenticate", reply);
            }
        }
        more
    }

    /// `saslStart`.
    pub(crate) fn start(&mut self, connection: usize, command: &Document) -> Document {
        let wanted = command.get_str("mechanism").expect("a mechanism");
        let known = self.mechanisms.iter().find(|name| **name == wanted).copied();
        if known == Some("MONGODB-AWS") {
            return self.start_aws(connection, command);
        }
        let message = message(command);
        let bare = message.strip_prefix("n,,").expect("no channel binding");
        let (name, nonce) = bare.split_once(',').expect("a name and a nonce");
        let Some(mechanism) = known.filter(|_| name == format!("n={}", self.user)) else {
            return refusal();
        };
        let options = command.get_document("options").expect("options");
        assert_eq!(options, &doc! { "skipEmptyExchange": true });
        let nonce = nonce.strip_prefix("r=").expect("a nonce");
        assert!(nonce.len() >= 24, "{nonce}");
        let nonce = match self.lie {
            Lie::Nonce => "somebody+else".to_owned(),
            _ => format!("{nonce}+server"),
        };
        let count = match self.lie {
            Lie::Iterations(count) => count,
            _ => u64::from(ITERATIONS),
        };
        let first = match self.lie {
            Lie::Noise => "\u{1}\u{2}\u{3}".to_owned(),
            Lie::Flood => "r=".repeat(500_000),
            _ => format!("r={nonce},s={},i={count}", BASE64.encode(SALT)),
        };
        let said = format!("{bare},{first}");
        self.talks.insert(connection, Talk { mechanism, said, proved: false });
        reply(1, &first, self.lie == Lie::EndsEarly)
    }

    /// `saslContinue`.
    pub(crate) fn go_on(&mut self, connection: usize, command: &Document) -> Document {
        let Some(mut talk) = self.talks.remove(&connection) else {
            return doc! { "ok": 0, "code": 17, "errmsg": "No SASL session state found" };
        };
        if talk.mechanism == "MONGODB-AWS" {
            return self.end_aws(connection, command);
        }
        let message = message(command);
        if talk.proved {
            assert_eq!(message, "", "the empty exchange");
            let ends = self.lie != Lie::NeverEnds;
            if ends {
                self.inside.insert(connection, talk.mechanism);
            }
            return reply(1, "", ends);
        }
        let (without_proof, proof) = message.rsplit_once(",p=").expect("a proof");
        assert!(without_proof.starts_with("c=biws,r="), "{without_proof}");
        let signed = format!("{},{without_proof}", talk.said);
        let salted = self.salted(talk.mechanism, self.password);
        let client_key = hmac(talk.mechanism, &salted, b"Client Key");
        let stored = hash(talk.mechanism, &client_key);
        let signature = hmac(talk.mechanism, &stored, signed.as_bytes());
        let expected: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        if BASE64.decode(proof).expect("base64") != expected {
            return refusal();
        }
        let password = if self.lie == Lie::Signature { "another" } else { self.password };
        let salted = self.salted(talk.mechanism, password);
        let server_key = hmac(talk.mechanism, &salted, b"Server Key");
        let signature = hmac(talk.mechanism, &server_key, signed.as_bytes());
        let number = if self.lie == Lie::Stranger { 2 } else { 1 };
        let last = format!("v={}", BASE64.encode(signature));
        let longer = self.empty_exchange || self.lie == Lie::NeverEnds;
        if longer {
            talk.proved = true;
            self.talks.insert(connection, talk);
        } else {
            self.inside.insert(connection, talk.mechanism);
        }
        reply(number, &last, !longer)
    }

    fn start_aws(&mut self, connection: usize, command: &Document) -> Document {
        let first = document(command);
        let mut nonce = first.get_binary_generic("r").expect("a nonce").clone();
        assert_eq!(nonce.len(), 32);
        nonce.extend([7; 32]);
        let (mechanism, said) = ("MONGODB-AWS", String::new());
        self.talks.insert(connection, Talk { mechanism, said, proved: false });
        let nonce = Binary { subtype: BinarySubtype::Generic, bytes: nonce };
        let answer = doc! { "s": nonce, "h": "sts.amazonaws.com" };
        let bytes = portolan::bson::serialize_to_vec(&answer).expect("BSON");
        let payload = Binary { subtype: BinarySubtype::Generic, bytes };
        doc! { "conversationId": 1, "done": false, "payload": payload }
    }

    /// Signatures are tested where they are made; here the id is all.
    fn end_aws(&mut self, connection: usize, command: &Document) -> Document {
        let last = document(command);
        let header = last.get_str("a").expect("a signature");
        let expected = format!("AWS4-HMAC-SHA256 Credential={}/", self.user);
        if !header.starts_with(&expected) {
            return refusal();
        }
        self.inside.insert(connection, "MONGODB-AWS");
        reply(1, "", true)
    }

    fn salted(&self, mechanism: &str, password: &str) -> Vec<u8> {
        let password = match mechanism {
            "SCRAM-SHA-1" => {
                format!("{:x}", md5::compute(format!("{}:mongo:{password}", self.user)))
            }
            _ => password.to_owned(),
        };
        let password = password.as_bytes();
        let mut last = hmac(mechanism, password, &[SALT, &1_u32.to_be_bytes()].concat());
        let mut sum = last.clone();
        for _ in 1..ITERATIONS {
            last = hmac(mechanism, password, &last);
            sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

const SALT: &[u8] = b"salt of the sea";
const ITERATIONS: u32 = 4096;

fn hmac(mechanism: &str, key: &[u8], message: &[u8]) -> Vec<u8> {
    match mechanism {
        "SCRAM-SHA-1" => hmac_sha1_compact::HMAC::mac(message, key).to_vec(),
        _ => hmac_sha256::HMAC::mac(message, key).to_vec(),
    }
}

fn hash(mechanism: &str, bytes: &[u8]) -> Vec<u8> {
    match mechanism {
        "SCRAM-SHA-1" => hmac_sha1_compact::Hash::hash(bytes).to_vec(),
        _ => hmac_sha256::Hash::hash(bytes).to_vec(),
    }
}

fn message(command: &Document) -> String {
    let payload = command.get_binary_generic("payload").expect("a payload").clone();
    String::from_utf8(payload).expect("SCRAM is text")
}

fn document(command: &Document) -> Document {
    let payload = command.get_binary_generic("payload").expect("a payload");
    Document::from_reader(&payload[..]).expect("a document")
}

fn reply(number: i32, message: &str, done: bool) -> Document {
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: message.as_bytes().to_vec() };
    doc! { "conversationId": number, "done": done, "payload": payload }
}

/// What a real server says to a wrong password and to an unknown user alike.
pub(crate) fn refusal() -> Document {
    doc! {
        "ok": 0, "code": 18, "codeName": "AuthenticationFailed",
        "errmsg": "Authentication failed.",
    }
}
