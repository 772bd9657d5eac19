//! Commands: which there are, who may run them, and how they fail.

use std::borrow::Cow;
use std::time::Duration;

use bson::{Bson, Document, doc};
use portolan::engine::time::Instant;

use crate::cluster::Cluster;
use crate::codec::Request;
use crate::filter::number;
use crate::hello::Awaiting;
use crate::node::State;

/// Why a command failed: the server's code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: i32,
    name: Cow<'static, str>,
    message: String,
}

impl Failure {
    pub(crate) fn new(
        code: i32,
        name: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, name: name.into(), message: message.into() }
    }

    /// The whole reply.
    pub(crate) fn reply(&self) -> Document {
        doc! {
            "ok": 0.0,
            "errmsg": &self.message,
            "code": self.code,
            "codeName": &*self.name,
        }
    }

    /// An operator or argument that this simulated server does not know.
    pub(crate) fn unknown(what: impl AsRef<str>) -> Self {
        let what = what.as_ref();
        Self::new(2, "BadValue", format!("the simulated server does not know {what}"))
    }
}

type Answer = Result<Document, Failure>;

impl Cluster {
    /// Runs a command on `member` and answers its whole reply.
    pub(crate) fn run(&mut self, now: Instant, member: usize, request: &Request) -> Document {
        match self.dispatch(now, member, request) {
            Ok(mut reply) => {
                if !reply.contains_key("ok") {
                    reply.insert("ok", 1.0);
                }
                reply
            }
            Err(failure) => self.failed(member, request, &failure),
        }
    }

    fn dispatch(&mut self, now: Instant, member: usize, request: &Request) -> Answer {
        let body = &request.body;
        let name = body.keys().next().map_or("", String::as_str);
        match name {
            "hello" | "isMaster" | "ismaster" => {
                if let Some(awaiting) = Awaiting::read(body)? {
                    let node = &self.nodes[member];
                    awaiting.is_up_to_date(node.process_id, node.counter)?;
                }
                Ok(self.hello(now, member, name != "hello", body))
            }
            "ping" | "endSessions" | "refreshSessions" => Ok(Document::new()),
            "buildInfo" | "buildinfo" => Ok(build_info()),
            "replSetGetStatus" => Ok(self.status(now, member)),
            "replSetStepDown" => {
                let seconds = body.get(name).and_then(number).unwrap_or(60.0).clamp(0.0, 1e6);
                self.step_down(now, member, Duration::from_secs_f64(seconds))
                    .map(|()| Document::new())
                    .map_err(|_| not_primary())
            }
            // The cursor was opened by a read that was allowed.
            "getMore" | "killCursors" => self.read(name, body),
            "find" | "count" | "aggregate" => {
                self.may_read(member, body)?;
                self.read(name, body)
            }
            "insert" | "update" | "delete" | "create" | "drop" => {
                self.may_write(member)?;
                self.last_write = now;
                self.write(name, body)
            }
            other => Err(Failure::new(
                59,
                "CommandNotFound",
                format!("the simulated server has no command '{other}'"),
            )),
        }
    }

    /// Errors of a state change carry the topology version; those of a retryable write its label.
    fn failed(&self, member: usize, request: &Request, failure: &Failure) -> Document {
        let mut reply = failure.reply();
        if STATE_CHANGES.contains(&failure.code) {
            let node = &self.nodes[member];
            let version = doc! { "processId": node.process_id, "counter": node.counter };
            reply.insert("topologyVersion", version);
            if request.body.contains_key("txnNumber") {
                reply.insert("errorLabels", vec!["RetryableWriteError"]);
            }
        }
        reply
    }

    fn may_write(&self, member: usize) -> Result<(), Failure> {
        let is_primary = self.nodes[member].believes == Some(member);
        if is_primary { Ok(()) } else { Err(not_primary()) }
    }

    fn may_read(&self, member: usize, body: &Document) -> Result<(), Failure> {
        let mode = body.get_document("$readPreference").and_then(|rp| rp.get_str("mode"));
        let primary_only = mode.unwrap_or("primary") == "primary";
        if self.nodes[member].believes == Some(member) || !primary_only {
            return Ok(());
        }
        let message = "not primary and secondaryOk=false";
        Err(Failure::new(13435, "NotPrimaryNoSecondaryOk", message))
    }

    fn status(&self, now: Instant, asked: usize) -> Document {
        let believes = self.nodes[asked].believes;
        let members: Vec<Bson> = (0..)
            .zip(&self.nodes)
            .map(|(id, node)| {
                let index = usize::try_from(id).unwrap_or(usize::MAX);
                let (state, text) = match node.state {
                    State::Running if believes == Some(index) => (1, "PRIMARY"),
                    State::Running => (2, "SECONDARY"),
                    State::Frozen | State::Stopped => (8, "(not reachable/healthy)"),
                };
                let health = if state == 8 { 0.0 } else { 1.0 };
                let mut member = doc! { "_id": id, "name": &node.address, "health": health };
                member.extend(doc! { "state": state, "stateStr": text });
                if index == asked {
                    member.insert("self", true);
                }
                member.into()
            })
            .collect();
        let state = if believes == Some(asked) { 1 } else { 2 };
        doc! {
            "set": &self.name,
            "date": self.date(now),
            "myState": state,
            "term": self.term,
            "members": members,
        }
    }
}

fn not_primary() -> Failure {
    Failure::new(10107, "NotWritablePrimary", "not primary")
}

fn build_info() -> Document {
    doc! {
        "version": "portolan-sim",
        "versionArray": [6, 0, 0, 0],
        "maxBsonObjectSize": 16_777_216,
    }
}

/// `database.collection`, the collection being the value of the argument `name`.
pub(crate) fn namespace(body: &Document, name: &str) -> Result<String, Failure> {
    let collection = body.get_str(name).map_err(|_| Failure::unknown(format!("this {name}")))?;
    Ok(format!("{}.{collection}", body.get_str("$db").unwrap_or("test")))
}

const STATE_CHANGES: [i32; 2] = [10107, 13435];
