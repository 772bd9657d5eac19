//! The model on a virtual clock: elections, faults, awaitable hello and retried writes.

use bson::{DateTime, Document, doc};
use portolan::engine::time::Instant;
use portolan_sim::{Action, Cluster, Event, Fault, Reply, Request, State};

struct World {
    cluster: Cluster,
    now: Instant,
}

fn world(members: usize) -> World {
    let addresses = (0..members).map(|n| format!("sim:{}", 27017 + n)).collect();
    World { cluster: Cluster::new("rs0", addresses, DateTime::MIN, 7), now: Instant::ZERO }
}

impl World {
    /// What the set answers now, on connection `member`.
    fn ask(&mut self, member: usize, body: Document) -> Vec<Reply> {
        let request = Request { id: 9, legacy: false, exhaust: false, silent: false, body };
        self.send(member, request)
    }

    fn send(&mut self, member: usize, request: Request) -> Vec<Reply> {
        let connection = member as u64;
        self.cluster.handle(self.now, Event::Request { connection, member, request });
        self.replies()
    }

    fn one(&mut self, member: usize, body: Document) -> Document {
        let mut replies = self.ask(member, body);
        assert_eq!(replies.len(), 1);
        replies.remove(0).body
    }

    fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(action) = self.cluster.poll_action() {
            if let Action::Send { reply, .. } = action {
                replies.push(reply);
            }
        }
        replies
    }

    fn fault(&mut self, member: usize, fault: Fault) -> Vec<Reply> {
        self.cluster.fault(self.now, member, fault).expect("the fault applies");
        self.replies()
    }

    /// Goes to the next deadline and answers what is sent there.
    fn wake(&mut self) -> Vec<Reply> {
        self.now = self.cluster.poll_timeout().expect("a deadline");
        self.cluster.handle(self.now, Event::Wake);
        self.replies()
    }
}

#[test]
fn a_killed_primary_is_replaced_after_the_election_timeout_in_a_higher_term() {
    let mut world = world(3);
    let before = world.one(0, doc! { "hello": 1 });
    assert_eq!(before.get_bool("isWritablePrimary").ok(), Some(true));
    world.fault(0, Fault::Kill);
    assert_eq!(world.cluster.member(0).unwrap().1, State::Stopped);
    world.wake();
    let waited = world.now.as_millis_f64();
    assert!((1000.0..1150.0).contains(&waited), "{waited}");
    let primary = world.cluster.primary().expect("a primary");
    assert_ne!(primary, 0);
    let after = world.one(primary, doc! { "hello": 1 });
    let id = |hello: &Document| hello.get_object_id("electionId").expect("an id");
    assert!(id(&after) > id(&before));
    world.fault(0, Fault::Restart);
    let back = world.one(0, doc! { "hello": 1 });
    assert_eq!(back.get_bool("secondary").ok(), Some(true));
    let known = world.cluster.member(primary).unwrap().0.to_owned();
    assert_eq!(back.get_str("primary").ok(), Some(known.as_str()));
}

#[test]
fn a_minority_has_no_primary() {
    let mut world = world(3);
    world.fault(1, Fault::Kill);
    world.fault(2, Fault::Freeze);
    assert_eq!(world.cluster.primary(), Some(0));
    world.wake();
    assert_eq!(world.cluster.primary(), None);
    assert_eq!(world.one(0, doc! { "hello": 1 }).get_bool("secondary").ok(), Some(true));
    world.fault(2, Fault::Thaw);
    world.wake();
    assert!(world.cluster.primary().is_some());
}

#[test]
fn a_frozen_primary_answers_nothing_and_finds_itself_deposed() {
    let mut world = world(3);
    world.fault(0, Fault::Freeze);
    assert!(world.ask(0, doc! { "insert": "c", "documents": [{ "_id": 1 }] }).is_empty());
    world.wake();
    let late = world.fault(0, Fault::Thaw);
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].body.get_i32("code").ok(), Some(10107));
}

#[test]
fn a_stepped_down_primary_is_replaced_by_another() {
    let mut world = world(3);
    assert!(world.cluster.fault(world.now, 1, Fault::StepDown).is_err());
    world.fault(0, Fault::StepDown);
    assert_eq!(world.cluster.primary(), None);
    world.wake();
    assert!(matches!(world.cluster.primary(), Some(1 | 2)));
    assert!(world.now.as_millis_f64() < 1000.0);
}

#[test]
fn an_exhaust_hello_is_answered_at_each_change_and_each_deadline() {
    let mut world = world(3);
    let version =
        world.one(1, doc! { "hello": 1 }).get_document("topologyVersion").unwrap().clone();
    let body = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 10_000_i64 };
    let request = Request { id: 5, legacy: false, exhaust: true, silent: false, body };
    assert!(world.send(1, request).is_empty());
    let first = world.wake();
    assert_eq!(world.now, Instant::from_millis(10_000));
    assert_eq!((first[0].response_to, first[0].more_to_come), (5, true));
    let second = world.fault(0, Fault::StepDown);
    assert_eq!(second[0].response_to, first[0].id);
    assert!(!second[0].body.contains_key("primary"));
    let third = world.wake();
    assert_eq!(third[0].response_to, second[0].id);
    assert!(third[0].body.contains_key("primary"));
}

#[test]
fn a_retried_write_is_done_once() {
    let mut world = world(3);
    let session = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![1; 16] };
    let insert = doc! {
        "insert": "c", "documents": [{ "n": 1 }], "$db": "d",
        "lsid": { "id": session }, "txnNumber": 1_i64,
    };
    assert_eq!(world.one(0, insert.clone()).get_i32("n").ok(), Some(1));
    let refused = world.one(1, insert.clone());
    assert_eq!(refused.get_array("errorLabels").unwrap().len(), 1);
    world.fault(0, Fault::Kill);
    world.wake();
    let primary = world.cluster.primary().expect("a primary");
    assert_eq!(world.one(primary, insert).get_i32("n").ok(), Some(1));
    let count = world.one(primary, doc! { "count": "c", "query": { "n": 1 }, "$db": "d" });
    assert_eq!(count.get_i32("n").ok(), Some(1));
}

#[test]
fn cursors_give_batches_and_secondaries_want_to_be_asked() {
    let mut world = world(3);
    let documents: Vec<_> = (0..5).map(|n| doc! { "_id": n }).collect();
    world.one(0, doc! { "insert": "c", "documents": documents, "$db": "d" });
    let find = doc! { "find": "c", "batchSize": 2, "sort": { "_id": -1 }, "$db": "d" };
    assert_eq!(world.one(1, find.clone()).get_i32("code").ok(), Some(13435));
    let reply = world.one(0, find);
    let cursor = reply.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("firstBatch").unwrap()[0], doc! { "_id": 4 }.into());
    let id = cursor.get_i64("id").unwrap();
    let more = world.one(0, doc! { "getMore": id, "collection": "c", "$db": "d" });
    let cursor = more.get_document("cursor").unwrap();
    assert_eq!(cursor.get_array("nextBatch").unwrap().len(), 3);
    assert_eq!(cursor.get_i64("id").ok(), Some(0));
    let again = world.one(0, doc! { "getMore": id, "collection": "c", "$db": "d" });
    assert_eq!(again.get_i32("code").ok(), Some(43));
}

fn version(hello: &Document) -> (bson::oid::ObjectId, i64) {
    let version = hello.get_document("topologyVersion").expect("a version");
    let process = version.get_object_id("processId").expect("a process");
    (process, version.get_i64("counter").expect("a counter"))
}

// SM-23
#[test]
fn a_topology_version_counts_changes_of_one_process() {
    let mut world = world(3);
    let (process, first) = version(&world.one(0, doc! { "hello": 1 }));
    assert_eq!(version(&world.one(0, doc! { "hello": 1 })), (process, first), "no change");
    world.fault(0, Fault::StepDown);
    let (same, second) = version(&world.one(0, doc! { "hello": 1 }));
    assert_eq!((same, second), (process, first + 1));
    world.fault(0, Fault::Kill);
    world.fault(0, Fault::Restart);
    assert_ne!(version(&world.one(0, doc! { "hello": 1 })).0, process, "a new process");
}

// SM-25, SM-26
#[test]
fn another_process_is_told_at_once_and_a_reply_alone_is_the_last() {
    let mut world = world(3);
    let hello = world.one(1, doc! { "hello": 1 });
    let (_, counter) = version(&hello);
    let stranger =
        doc! { "processId": bson::oid::ObjectId::from_bytes([9; 12]), "counter": counter };
    let other = doc! { "hello": 1, "topologyVersion": stranger, "maxAwaitTimeMS": 10_000_i64 };
    assert_eq!(world.ask(1, other).len(), 1, "it does not wait");
    let known = hello.get_document("topologyVersion").expect("a version").clone();
    let body = doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": 10_000_i64 };
    assert!(world.ask(1, body).is_empty(), "it waits");
    let replies = world.wake();
    assert_eq!((replies.len(), replies[0].more_to_come), (1, false), "exhaust was not allowed");
    assert!(world.fault(0, Fault::StepDown).is_empty(), "nobody waits any more");
}

// SM-24: codes as mongod 6.0 has them.
#[test]
fn a_topology_version_and_a_wait_come_together_or_not_at_all() {
    let mut world = world(3);
    let hello = world.one(1, doc! { "hello": 1 });
    assert_eq!(hello.get_f64("ok").ok(), Some(1.0), "with neither it is answered at once");
    let known = hello.get_document("topologyVersion").expect("a version").clone();
    let process = known.get_object_id("processId").expect("a process");
    let mut future = known.clone();
    future.insert("counter", 1_000_i64);
    let refused = [
        (doc! { "topologyVersion": &known }, 31368),
        (doc! { "maxAwaitTimeMS": 10_000_i64 }, 31368),
        (doc! { "topologyVersion": &known, "maxAwaitTimeMS": -1_i64 }, 51024),
        (doc! { "topologyVersion": 7, "maxAwaitTimeMS": 10_000_i64 }, 14),
        (doc! { "topologyVersion": { "counter": 0_i64 }, "maxAwaitTimeMS": 10_000_i64 }, 40414),
        (doc! { "topologyVersion": future, "maxAwaitTimeMS": 10_000_i64 }, 51764),
        (
            doc! {
                "topologyVersion": { "processId": process, "counter": -1_i64 },
                "maxAwaitTimeMS": 10_000_i64,
            },
            31372,
        ),
    ];
    for (arguments, code) in refused {
        for name in ["hello", "isMaster"] {
            let mut body = doc! { name: 1 };
            body.extend(arguments.clone());
            let request = Request { id: 9, legacy: false, exhaust: true, silent: false, body };
            let replies = world.send(1, request);
            let what = format!("{name} {arguments}");
            assert_eq!(replies.len(), 1, "{what}: it is answered at once");
            assert_eq!(replies[0].body.get_i32("code").ok(), Some(code), "{what}");
            assert!(!replies[0].more_to_come, "{what}: an error ends a stream");
        }
    }
    // Who sends both waits.
    let body = doc! { "hello": 1, "topologyVersion": known, "maxAwaitTimeMS": 10_000_i64 };
    assert!(world.ask(1, body).is_empty(), "nothing has changed");
}
