//! The driver against the simulated set: it discovers, writes, reads and fails over.

use std::future::Future;
use std::time::Duration;

use async_std::future::timeout;
use bson::{Document, doc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use portolan::event::EventKind;
use portolan::{Client, ReadPreference, ServerType, Topology, TopologyDescription};
use portolan_sim::{Fault, SimulatedSet};

fn run(test: impl Future<Output = ()>) {
    async_std::task::block_on(timeout(Duration::from_secs(60), test)).expect("in time");
}

async fn connect(set: &SimulatedSet) -> (Client, Topology) {
    let client = portolan_async_std::connect(&set.uri()).await.expect("a client");
    let topology = client.topology();
    (client, topology)
}

/// The first belief that is as wanted, from the events.
async fn until(
    topology: &mut Topology,
    wanted: impl Fn(&TopologyDescription) -> bool,
) -> std::sync::Arc<TopologyDescription> {
    loop {
        let event = topology.next().await.expect("an event");
        if let EventKind::TopologyDescriptionChanged { new, .. } = event.kind
            && wanted(&new)
        {
            return new;
        }
    }
}

fn is_complete(belief: &TopologyDescription) -> bool {
    let secondaries =
        belief.servers.values().filter(|s| s.server_type == ServerType::RSSecondary).count();
    belief.primary().is_some() && secondaries == 2
}

#[test]
fn it_is_discovered_written_and_read() {
    let set = SimulatedSet::start("rs0", 3, None).expect("a set");
    run(async {
        let (client, mut topology) = connect(&set).await;
        let belief = until(&mut topology, is_complete).await;
        assert_eq!(belief.set_name.as_deref(), Some("rs0"));
        let ports = client.database("demo").collection::<Document>("ports");
        let documents: Vec<Document> =
            (0..250).map(|n| doc! { "_id": n, "even": n % 2 == 0 }).collect();
        let inserted = ports.insert_many(&documents).await.expect("an insert");
        assert_eq!(inserted.inserted_ids.len(), 250);
        let found: Vec<Document> = ports
            .find(doc! { "even": true })
            .sort(doc! { "_id": -1 })
            .batch_size(10_u32)
            .read_preference(ReadPreference::secondary())
            .await
            .expect("a cursor")
            .try_collect()
            .await
            .expect("all batches");
        assert_eq!(found.len(), 125);
        assert_eq!(found[0].get_i32("_id").ok(), Some(248));
        let updated = ports.update_one(doc! { "_id": 1 }, doc! { "$set": { "x": 1 } }).await;
        assert_eq!(updated.expect("an update").modified_count, 1);
        assert_eq!(ports.delete_one(doc! { "_id": 2 }).await.expect("a delete").deleted_count, 1);
        assert_eq!(ports.count_documents(doc! {}).await.expect("a count"), 249);
        let missing = ports.find_one(doc! { "_id": 2 }).await.expect("a reply");
        assert_eq!(missing, None);
    });
}

#[test]
fn writes_survive_every_fault_of_the_primary() {
    let set = SimulatedSet::start("rs0", 3, None).expect("a set");
    run(async {
        let (client, mut topology) = connect(&set).await;
        until(&mut topology, is_complete).await;
        let counter = client.database("demo").collection::<Document>("counter");
        counter.insert_one(doc! { "_id": 1, "count": 0 }).await.expect("an insert");
        for (fault, cure) in [(Fault::Kill, Some(Fault::Restart)), (Fault::StepDown, None)] {
            let primary = set.primary().expect("a primary");
            let old = set.members()[primary].address.clone();
            set.fault(primary, fault).expect("the fault applies");
            for _ in 0..20 {
                let update = doc! { "$inc": { "count": 1 } };
                let result = counter.update_one(doc! { "_id": 1 }, update).await;
                assert_eq!(result.expect("no error reaches the caller").modified_count, 1);
            }
            if let Some(cure) = cure {
                set.fault(primary, cure).expect("the cure applies");
            }
            let belief = until(&mut topology, |belief| {
                is_complete(belief)
                    && belief.primary().is_some_and(|p| p.address.to_string() != old)
            });
            belief.await;
        }
        let counted = counter.find_one(doc! {}).await.expect("a reply").expect("the counter");
        assert_eq!(counted.get_i32("count").ok(), Some(40));
    });
}
