//! A mongod of a few lines: it answers the commands of these tests, or does what a rule says.

use std::collections::BTreeMap;
use std::time::Duration;

use portolan::ServerAddress;
use portolan::bson::oid::ObjectId;
use portolan::bson::{Bson, Document, RawDocumentBuf, doc};
use portolan::engine::wire::{Flags, Message, OpMsgBuilder, Reply};
use portolan::transport::Instant;

use super::net::{State, Todo};
use super::scram::Account;

/// What happens to somebody who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Open,
    Refusing,
    /// Neither accepts nor refuses.
    Silent,
    /// Its host's name does not resolve.
    Nameless,
}

/// A request that reached a server.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) address: ServerAddress,
    pub(crate) connection: usize,
    /// The command's name.
    pub(crate) name: String,
    /// The command, with what travelled beside it as arrays.
    pub(crate) body: Document,
    pub(crate) flags: Flags,
}

impl Request {
    /// Whether it is the first hello of its connection.
    pub(crate) fn is_handshake(&self) -> bool {
        self.name == "hello" && self.body.contains_key("client")
    }

    pub(crate) fn lsid(&self) -> Option<String> {
        self.body.get("lsid").map(ToString::to_string)
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this, merged over `ok: 1`.
    Reply(Document),
    /// Does what it would do without a rule, this much later.
    Slow(Duration),
    /// Never answers.
    Silence,
    /// Closes the connection.
    HangUp,
    /// Does what it would do, then closes the connection before it has answered.
    HangUpAfterwards,
    /// Answers twice: the second answer was not asked for.
    Twice,
    /// Sends these bytes.
    Raw(Vec<u8>),
}

struct Rule {
    command: &'static str,
    left: usize,
    act: Act,
}

/// One server.
pub(crate) struct Server {
    pub(crate) port: Port,
    pub(crate) connect_delay: Duration,
    /// What the transport takes to reach it after a connection was given out; its first request
    /// waits for that.
    pub(crate) held_up: Duration,
    /// From a request to its reply.
    pub(crate) delay: Duration,
    /// What hello answers, `ok` and `topologyVersion` aside.
    pub(crate) hello: Document,
    /// The counter of `topologyVersion`; without one the server cannot stream.
    pub(crate) version: Option<i64>,
    process: ObjectId,
    /// As a load balancer: how many servers stand behind it, which get connections in turn.
    pub(crate) services: usize,
    /// How many documents a query finds.
    pub(crate) documents: i32,
    /// The open cursors: what is left of each.
    pub(crate) cursors: BTreeMap<i64, i32>,
    next_cursor: i64,
    next_reply: i32,
    /// Who is let in; `None` where everybody is.
    pub(crate) account: Option<Account>,
    /// Sent with every reply but those to hello.
    pub(crate) cluster_time: Option<Document>,
    rules: Vec<Rule>,
}

impl Server {
    pub(crate) fn new(hello: Document) -> Self {
        Self {
            port: Port::Open,
            connect_delay: Duration::from_millis(1),
            held_up: Duration::ZERO,
            delay: Duration::from_millis(2),
            hello,
            version: Some(1),
            process: ObjectId::new(),
            services: 1,
            documents: 3,
            cursors: BTreeMap::new(),
            next_cursor: 100,
            next_reply: 1_000_000,
            account: None,
            cluster_time: None,
            rules: Vec::new(),
        }
    }

    /// The next `times` commands of this name get `act`; the first rule that fits counts.
    pub(crate) fn rule(&mut self, command: &'static str, times: usize, act: Act) {
        self.rules.push(Rule { command, left: times, act });
    }

    pub(crate) fn forget_rules(&mut self) {
        self.rules.clear();
    }

    fn act(&mut self, request: &Request) -> Option<Act> {
        let handshake = request.is_handshake();
        let fits = |rule: &&mut Rule| {
            rule.left > 0
                && (rule.command == request.name || (handshake && rule.command == "handshake"))
        };
        let rule = self.rules.iter_mut().find(fits)?;
        rule.left -= 1;
        Some(rule.act.clone())
    }

    pub(crate) fn topology_version(&self) -> Option<Document> {
        self.version.map(|counter| doc! { "processId": self.process, "counter": counter })
    }

    fn hello_reply(&self) -> Document {
        let mut reply = self.hello.clone();
        if let Some(version) = self.topology_version() {
            reply.insert("topologyVersion", version);
        }
        reply
    }

    fn answer(&mut self, request: &Request) -> Document {
        if let Some(account) = &mut self.account {
            let (connection, body) = (request.connection, &request.body);
            match request.name.as_str() {
                "hello" => {
                    let more = account.greet(connection, body);
                    let mut reply = self.hello_reply();
                    reply.extend(more);
                    return reply;
                }
                "saslStart" => return account.start(connection, body),
                "saslContinue" => return account.go_on(connection, body),
                _ if account.mechanism_of(connection).is_none() => {
                    return doc! { "ok": 0, "code": 13, "errmsg": "requires authentication" };
                }
                _ => {}
            }
        }
        match request.name.as_str() {
            "hello" if request.body.get_bool("loadBalanced").unwrap_or(false) => {
                let mut reply = self.hello_reply();
                let service = 1 + u8::try_from(request.connection % self.services).expect("few");
                reply.insert("serviceId", ObjectId::from_bytes([service; 12]));
                reply
            }
            "hello" => self.hello_reply(),
            "find" => {
                let wanted = batch_size(&request.body, self.documents);
                let single = request.body.get_bool("singleBatch").unwrap_or(false);
                self.cursor("firstBatch", None, self.documents, wanted, single)
            }
            "getMore" => {
                let id = request.body.get_i64("getMore").expect("the cursor's id");
                match self.cursors.get(&id).copied() {
                    Some(left) => {
                        let wanted = batch_size(&request.body, left);
                        self.cursor("nextBatch", Some(id), left, wanted, false)
                    }
                    None => doc! { "ok": 0, "code": 43, "errmsg": "cursor not found" },
                }
            }
            "killCursors" => {
                for id in request.body.get_array("cursors").expect("the cursors") {
                    self.cursors.remove(&id.as_i64().expect("the cursor's id"));
                }
                doc! {}
            }
            "commitTransaction" | "abortTransaction" => {
                self.cursors.clear();
                doc! {}
            }
            "insert" => {
                let documents = request.body.get_array("documents").map_or(0, Vec::len);
                doc! { "n": i32::try_from(documents).expect("few") }
            }
            "update" => doc! { "n": 1, "nModified": 1 },
            "delete" => doc! { "n": 1 },
            "aggregate" => {
                doc! { "cursor": { "id": 0_i64, "ns": "shop.till", "firstBatch": [{ "n": 3 }] } }
            }
            _ => doc! {},
        }
    }

    fn cursor(
        &mut self,
        batch: &str,
        id: Option<i64>,
        left: i32,
        wanted: i32,
        single: bool,
    ) -> Document {
        let sent = wanted.min(left);
        let first = self.documents - left;
        let documents: Vec<Bson> =
            (first..first + sent).map(|n| Bson::from(doc! { "_id": n })).collect();
        let left = left - sent;
        let id = if left == 0 || single {
            id.map(|id| self.cursors.remove(&id));
            0
        } else {
            let id = id.unwrap_or_else(|| {
                self.next_cursor += 1;
                self.next_cursor
            });
            self.cursors.insert(id, left);
            id
        };
        doc! { "cursor": { "id": id, "ns": "shop.till", batch: documents } }
    }
}

fn batch_size(command: &Document, most: i32) -> i32 {
    let number = |key| command.get_i64(key).ok().and_then(|n| i32::try_from(n).ok());
    let size = number("batchSize").unwrap_or(most);
    number("limit").filter(|limit| *limit > 0).map_or(size, |limit| limit.min(size))
}

impl State {
    /// A whole message has reached the server of connection `id`.
    pub(crate) fn serve(&mut self, id: usize, frame: Vec<u8>) {
        let (request, number) = parse(self.now, id, &self.connections[id].address, frame);
        if request.name != "hello" {
            self.connections[id].of_application = true;
        }
        self.log.push(request.clone());
        let address = request.address.clone();
        let server = self.servers.get_mut(&address).expect("only servers are connected to");
        if server.port == Port::Silent {
            return;
        }
        let held_up = if request.is_handshake() { server.held_up } else { Duration::ZERO };
        let (act, delay) = (server.act(&request), server.delay + held_up);
        let awaited = request.body.contains_key("maxAwaitTimeMS");
        if act.is_none() && awaited {
            return self.await_change(id, &request, number);
        }
        let silent = request.flags.contains(Flags::MORE_TO_COME);
        match act {
            Some(Act::Silence) => {}
            Some(Act::HangUp) => self.hang_up(id, delay),
            Some(Act::HangUpAfterwards) => {
                self.servers.get_mut(&address).expect("as above").answer(&request);
                self.hang_up(id, delay);
            }
            Some(Act::Raw(bytes)) => self.deliver(id, delay, bytes),
            Some(Act::Reply(reply)) => {
                self.reply(id, delay, number, Flags::NONE, reply);
            }
            Some(Act::Slow(time)) => {
                let reply = self.servers.get_mut(&address).expect("as above").answer(&request);
                self.reply(id, time, number, Flags::NONE, reply);
            }
            None | Some(Act::Twice) => {
                let reply = self.servers.get_mut(&address).expect("as above").answer(&request);
                if !silent {
                    self.reply(id, delay, number, Flags::NONE, reply.clone());
                }
                if matches!(act, Some(Act::Twice)) {
                    self.reply(id, delay, number, Flags::NONE, reply);
                }
            }
        }
    }

    pub(crate) fn reply(
        &mut self,
        id: usize,
        after: Duration,
        response_to: i32,
        flags: Flags,
        reply: Document,
    ) -> i32 {
        let mut bytes = Vec::new();
        let number = self.encode(&mut bytes, id, response_to, flags, reply);
        self.deliver(id, after, bytes);
        number
    }

    fn encode(
        &mut self,
        into: &mut Vec<u8>,
        id: usize,
        response_to: i32,
        flags: Flags,
        reply: Document,
    ) -> i32 {
        let server = self.servers.get_mut(&self.connections[id].address).expect("it answers");
        server.next_reply += 1;
        let number = server.next_reply;
        let mut whole = doc! { "ok": 1 };
        if let Some(time) = &server.cluster_time {
            whole.insert("$clusterTime", time.clone());
        }
        whole.extend(reply);
        let body = RawDocumentBuf::try_from(&whole).expect("a test's document");
        let mut message = OpMsgBuilder::begin(into, number, response_to, flags);
        message.body(&body);
        message.finish().expect("a short message");
        number
    }

    /// A hello that may wait: answered at once if the client knows less, else held back.
    fn await_change(&mut self, id: usize, request: &Request, number: i32) {
        assert!(request.flags.contains(Flags::EXHAUST_ALLOWED), "an awaitable hello streams");
        let wait = request.body.get_i64("maxAwaitTimeMS").expect("an awaitable hello");
        let wait = Duration::from_millis(u64::try_from(wait).expect("a time"));
        self.connections[id].stream = Some((number, wait));
        let server = &self.servers[&request.address];
        let known = request.body.get_document("topologyVersion").ok();
        if known.and_then(|version| version.get_i64("counter").ok()) == server.version {
            self.hold(id, wait);
        } else {
            self.stream_reply(id);
        }
    }

    fn hold(&mut self, id: usize, wait: Duration) {
        let at = self.now + wait;
        let streamed = self.connections[id].streamed;
        self.later(at, Todo::StreamExpired(id, streamed));
    }

    /// The next reply of a stream, after which the server holds the one behind it back.
    pub(crate) fn stream_reply(&mut self, id: usize) {
        let connection = &self.connections[id];
        if connection.hung_up || !connection.held {
            return;
        }
        let Some((answered, wait)) = connection.stream else { return };
        let server = &self.servers[&connection.address];
        if server.port != Port::Open {
            return;
        }
        let (reply, delay) = (server.hello_reply(), server.delay / 2);
        let number = self.reply(id, delay, answered, Flags::MORE_TO_COME, reply);
        self.connections[id].streamed += 1;
        self.connections[id].stream = Some((number, wait));
        self.hold(id, wait);
    }

    /// So many replies of a stream, all at once.
    pub(crate) fn flood(&mut self, id: usize, replies: usize) {
        let (mut answered, wait) = self.connections[id].stream.expect("a stream");
        let reply = self.servers[&self.connections[id].address].hello_reply();
        let mut bytes = Vec::new();
        for _ in 0..replies {
            let flags = Flags::MORE_TO_COME;
            answered = self.encode(&mut bytes, id, answered, flags, reply.clone());
        }
        self.connections[id].stream = Some((answered, wait));
        self.deliver(id, Duration::ZERO, bytes);
    }

    /// Changes what a server says of itself; streams hear of it at once.
    pub(crate) fn change(&mut self, address: &ServerAddress, change: impl FnOnce(&mut Document)) {
        let server = self.servers.get_mut(address).expect("a server");
        change(&mut server.hello);
        server.version = server.version.map(|counter| counter + 1);
        let streams: Vec<usize> = (0..self.connections.len())
            .filter(|id| self.connections[*id].stream.is_some())
            .filter(|id| self.connections[*id].address == *address)
            .collect();
        for id in streams {
            self.stream_reply(id);
        }
    }
}

fn parse(at: Instant, id: usize, address: &ServerAddress, frame: Vec<u8>) -> (Request, i32) {
    let message = Reply::parse(frame).expect("the client speaks the protocol");
    let Message::Msg(op_msg) = message.message else { panic!("the client speaks OP_MSG") };
    let mut body = Document::try_from(&*op_msg.body).expect("a command is BSON");
    for sequence in &op_msg.sequences {
        let documents = sequence
            .iter()
            .map(|document| Bson::from(Document::try_from(document).expect("BSON")))
            .collect::<Vec<_>>();
        body.insert(sequence.identifier.clone(), documents);
    }
    let name = body.keys().next().expect("a command has a name").clone();
    let name = if name == "isMaster" { "hello".to_owned() } else { name };
    let (connection, address) = (id, address.clone());
    let flags = op_msg.flags;
    (Request { at, address, connection, name, body, flags }, message.header.request_id)
}
