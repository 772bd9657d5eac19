//! MongoTalk's example: a loop that reads, a loop that writes, and a log of the topology.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bson::{Document, doc};
use futures_util::future::join;
use portolan::event::EventKind;
use portolan::{Client, ReadPreference, TopologyDescription};

use crate::mongotalk::{at, scenario};
use crate::watch::{Watch, connect, primary, run};

/// A second there; here the loops are to be in the middle of something whatever happens.
const PAUSE: Duration = Duration::from_millis(20);

/// A line of the log: a change of the topology that is no steady state is labelled.
fn line(belief: &TopologyDescription) -> String {
    let label = if belief.is_steady() { "" } else { " CRISIS STATE" };
    let primary = primary(belief).unwrap_or_else(|| "nobody".to_owned());
    format!("{} led by {primary}{label}", belief.topology_type)
}

/// Logs changes until a primary other than `old` is known.
async fn log_until(watch: &mut Watch, log: &RefCell<Vec<String>>, index: &str) {
    loop {
        let is_change =
            |kind: &EventKind| matches!(kind, EventKind::TopologyDescriptionChanged { .. });
        let change = watch.event("a change of the topology", is_change).await;
        if let EventKind::TopologyDescriptionChanged { new, .. } = &change.kind {
            log.borrow_mut().push(line(new));
            if primary(new).as_deref() == Some(index) {
                return;
            }
        }
    }
}

/// MT-88. The one retry is the driver's own.
#[test]
fn loops_go_on_through_a_crisis_that_the_log_shows() {
    let mut set = scenario(false);
    let [a, b] = [0, 1].map(|index| at(&set, index).to_string());
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=majority", set.uri())).await;
        let (log, ended) = (RefCell::new(Vec::new()), Cell::new(false));
        log_until(&mut watch, &log, &a).await;
        let (written, read) = (Cell::new(0), Cell::new(0));
        let faults = async {
            until_more(&written, &read).await;
            set.member_mut(0).kill().expect("SIGKILL");
            log_until(&mut watch, &log, &b).await;
            until_more(&written, &read).await;
            set.member_mut(0).restart().expect("a restart");
            log_until(&mut watch, &log, &a).await;
            until_more(&written, &read).await;
            ended.set(true);
        };
        let loops = join(write_loop(&client, &written, &ended), read_loop(&client, &read, &ended));
        join(faults, loops).await;

        let log = log.into_inner();
        let steady = |leader: &str| format!("ReplicaSetWithPrimary led by {leader}");
        let position = |line: String| {
            log.iter().position(|told| *told == line).unwrap_or_else(|| panic!("{line}: {log:#?}"))
        };
        assert!(log[0].ends_with("CRISIS STATE"), "nothing is known at first: {log:#?}");
        let (first, next) = (position(steady(&a)), position(steady(&b)));
        let crisis = "ReplicaSetNoPrimary led by nobody CRISIS STATE";
        let between = &log[first..next];
        assert!(between.iter().any(|told| told == crisis), "none between A and B: {log:#?}");
        assert_eq!(log.last(), Some(&steady(&a)), "{log:#?}");
        let notes = client.database("live").collection::<Document>("notes");
        let count = notes.count_documents(doc! {}).await.expect("a count");
        assert_eq!(count, written.get(), "each acknowledged write is there once");
    });
}

/// Waits until each loop has done ten more rounds.
async fn until_more(written: &Cell<u64>, read: &Cell<u64>) {
    let (enough_written, enough_read) = (written.get() + 10, read.get() + 10);
    while written.get() < enough_written || read.get() < enough_read {
        async_std::task::sleep(PAUSE).await;
    }
}

async fn write_loop(client: &Client, written: &Cell<u64>, ended: &Cell<bool>) {
    let notes = client.database("live").collection::<Document>("notes");
    while !ended.get() {
        let n = i64::try_from(written.get()).expect("a few");
        notes.insert_one(doc! { "_id": n }).await.expect("no write fails");
        written.set(written.get() + 1);
        async_std::task::sleep(PAUSE).await;
    }
}

async fn read_loop(client: &Client, read: &Cell<u64>, ended: &Cell<bool>) {
    let notes = client.database("live").collection::<Document>("notes");
    while !ended.get() {
        let preferred = ReadPreference::primary_preferred();
        notes.find_one(doc! {}).read_preference(preferred).await.expect("no read fails");
        read.set(read.get() + 1);
        async_std::task::sleep(PAUSE).await;
    }
}
