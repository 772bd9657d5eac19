//! The operations of the test runner itself (object `testRunner`), and of its threads.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Bson, Document};
use portolan::engine::transaction::TransactionState;

use crate::client::{POLL, TestClient};
use crate::existence;
use crate::operations::{Outcome, Output, required};
use crate::run::execute;
use crate::schema::{Entity, Operation};
use crate::world::{Item, World, number};

/// The operations of the test runner, with their arguments.
pub(crate) const BUILT: &[(&str, &[&str])] = &[
    ("createEntities", &["entities"]),
    ("failPoint", &["client", "failPoint", "session"]),
    ("waitForEvent", &["client", "event", "count"]),
    ("assertEventCount", &["client", "event", "count"]),
    ("recordTopologyDescription", &["client", "id"]),
    ("assertTopologyType", &["topologyDescription", "topologyType"]),
    ("waitForPrimaryChange", &["client", "priorTopologyDescription", "timeoutMS"]),
    ("runOnThread", &["thread", "operation"]),
    ("waitForThread", &["thread"]),
    ("wait", &["ms"]),
    ("assertNumberConnectionsCheckedOut", &["client", "connections"]),
    ("assertSameLsidOnLastTwoCommands", &["client"]),
    ("assertDifferentLsidOnLastTwoCommands", &["client"]),
    ("assertSessionDirty", &["session"]),
    ("assertSessionTransactionState", &["session", "state"]),
    ("assertSessionPinned", &["session"]),
    ("assertSessionUnpinned", &["session"]),
    ("assertSessionNotDirty", &["session"]),
    ("assertCollectionExists", &["collectionName", "databaseName"]),
    ("assertCollectionNotExists", &["collectionName", "databaseName"]),
    ("assertIndexExists", &["collectionName", "databaseName", "indexName"]),
    ("assertIndexNotExists", &["collectionName", "databaseName", "indexName"]),
];

/// How long an event, a thread or a primary is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: &Arc<World>, operation: &Operation) -> Outcome {
    let arguments = &operation.arguments;
    match operation.name.as_str() {
        "createEntities" => {
            let entities: Vec<Entity> =
                bson::deserialize_from_bson(required(arguments, "entities")?.clone())
                    .map_err(|error| format!("createEntities: {error}"))?;
            world.create(&entities).await?;
        }
        "failPoint" => return fail_point(world, arguments).await,
        "waitForEvent" => wait_for_event(world, arguments).await?,
        "assertEventCount" => {
            let (count, wanted) = (count(world, arguments)?, expected_count(arguments)?);
            if count != wanted {
                return Err(format!("assertEventCount: expected {wanted}, found {count}"));
            }
        }
        "recordTopologyDescription" => {
            let client = client(world, arguments)?;
            let described = client.client.topology().description();
            world.insert(text(arguments, "id")?, Item::Topology(described))?;
        }
        "assertTopologyType" => {
            let wanted = text(arguments, "topologyType")?;
            let found = topology(world, arguments, "topologyDescription")?.topology_type;
            if found.to_string() != wanted {
                return Err(format!("assertTopologyType: expected {wanted}, found {found}"));
            }
        }
        "waitForPrimaryChange" => wait_for_primary_change(world, arguments).await?,
        "runOnThread" => run_on_thread(world, arguments)?,
        "waitForThread" => wait_for_thread(world, arguments).await?,
        "wait" => {
            let pause = Duration::from_millis(number(required(arguments, "ms")?)?);
            async_std::task::sleep(pause).await;
        }
        "assertNumberConnectionsCheckedOut" => {
            let found = client(world, arguments)?.checked_out()?;
            let wanted = number(required(arguments, "connections")?)?;
            if u64::try_from(found) != Ok(wanted) {
                return Err(format!("connections checked out: expected {wanted}, found {found}"));
            }
        }
        "assertSameLsidOnLastTwoCommands" => compare_lsids(world, arguments, true)?,
        "assertDifferentLsidOnLastTwoCommands" => compare_lsids(world, arguments, false)?,
        name @ ("assertSessionDirty" | "assertSessionNotDirty") => {
            let dirty = world.session(text(arguments, "session")?)?.is_dirty();
            if dirty != (name == "assertSessionDirty") {
                return Err(format!("{name}: dirty is {dirty}"));
            }
        }
        name @ ("assertSessionPinned" | "assertSessionUnpinned") => {
            let pinned = world.session(text(arguments, "session")?)?.is_pinned();
            if pinned != (name == "assertSessionPinned") {
                return Err(format!("{name}: pinned is {pinned}"));
            }
        }
        "assertSessionTransactionState" => transaction_state(world, arguments)?,
        name @ ("assertCollectionExists" | "assertCollectionNotExists") => {
            let wanted = name == "assertCollectionExists";
            existence::assert_collection(world.deployment()?, arguments, wanted)?;
        }
        name @ ("assertIndexExists" | "assertIndexNotExists") => {
            existence::assert_index(world.deployment()?, arguments, name == "assertIndexExists")?;
        }
        unknown => return Err(format!("testRunner has no operation {unknown}")),
    }
    Ok(Ok(Output::Value(None)))
}

async fn fail_point(world: &World, arguments: &Document) -> Outcome {
    let command = required(arguments, "failPoint")?.as_document().ok_or("no failPoint")?;
    let name = command.get_str("configureFailPoint").map_err(|error| error.to_string())?;
    world.fail_point_set(name)?;
    let client = client(world, arguments)?;
    let set = client.client.database("admin").run_command(command.clone()).await;
    set.map_err(|error| format!("failPoint: {error}"))?;
    Ok(Ok(Output::Value(None)))
}

async fn wait_for_event(world: &World, arguments: &Document) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let wanted = expected_count(arguments)?;
    loop {
        let count = count(world, arguments)?;
        if count >= wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            let event = required(arguments, "event")?;
            return Err(format!("waitForEvent {event}: {count} of {wanted} in {PATIENCE:?}"));
        }
        async_std::task::sleep(POLL).await;
    }
}

/// How many of the client's events match.
fn count(world: &World, arguments: &Document) -> Result<u64, String> {
    let event = required(arguments, "event")?.as_document().ok_or("event: no document")?;
    let client = client(world, arguments)?;
    crate::events::parse(event)?;
    let observed = client.observed()?;
    Ok(observed.iter().filter(|observed| observed.matches(event, world).is_ok()).count() as u64)
}

fn expected_count(arguments: &Document) -> Result<u64, String> {
    number(required(arguments, "count")?)
}

async fn wait_for_primary_change(world: &World, arguments: &Document) -> Result<(), String> {
    let prior = topology(world, arguments, "priorTopologyDescription")?;
    let prior = prior.primary().map(|server| server.address.clone());
    let patience = arguments.get("timeoutMS").map(number).transpose()?;
    let patience = patience.map_or(PATIENCE, Duration::from_millis);
    let client = client(world, arguments)?;
    let deadline = Instant::now() + patience;
    loop {
        let now = client.client.topology().description();
        match now.primary() {
            Some(primary) if Some(&primary.address) != prior.as_ref() => return Ok(()),
            _ if Instant::now() > deadline => {
                return Err(format!("waitForPrimaryChange: none in {patience:?}"));
            }
            _ => async_std::task::sleep(POLL).await,
        }
    }
}

fn run_on_thread(world: &Arc<World>, arguments: &Document) -> Result<(), String> {
    let operation: Operation =
        bson::deserialize_from_bson(required(arguments, "operation")?.clone())
            .map_err(|error| format!("runOnThread: {error}"))?;
    let Item::Thread(thread) = world.item(text(arguments, "thread")?)? else {
        return Err("runOnThread: the entity is no thread".to_owned());
    };
    let mut last = thread.lock().map_err(|error| error.to_string())?;
    let before = last.take();
    let world = world.clone();
    let work: Pin<Box<dyn Future<Output = Result<(), String>> + Send>> = Box::pin(async move {
        if let Some(before) = before {
            before.await?;
        }
        execute(&world, &operation).await
    });
    *last = Some(async_std::task::spawn(work));
    Ok(())
}

async fn wait_for_thread(world: &World, arguments: &Document) -> Result<(), String> {
    let name = text(arguments, "thread")?;
    let Item::Thread(thread) = world.item(name)? else {
        return Err(format!("waitForThread: {name} is no thread"));
    };
    let last = thread.lock().map_err(|error| error.to_string())?.take();
    let Some(last) = last else { return Ok(()) };
    match async_std::future::timeout(PATIENCE, last).await {
        Ok(outcome) => outcome.map_err(|what| format!("{name}: {what}")),
        Err(_) => Err(format!("waitForThread: {name} did not end in {PATIENCE:?}")),
    }
}

fn compare_lsids(world: &World, arguments: &Document, same: bool) -> Result<(), String> {
    let observed = client(world, arguments)?.observed()?;
    let mut lsids = observed
        .iter()
        .rev()
        .filter(|event| event.name == "commandStartedEvent")
        .map(|event| event.data.get_document("command").ok()?.get("lsid").cloned());
    let (Some(Some(last)), Some(Some(before))) = (lsids.next(), lsids.next()) else {
        return Err("there are no two commands with an lsid".to_owned());
    };
    if (last == before) == same {
        return Ok(());
    }
    Err(format!("the lsids of the last two commands are {before} and {last}"))
}

fn transaction_state(world: &World, arguments: &Document) -> Result<(), String> {
    let found = match world.session(text(arguments, "session")?)?.transaction_state() {
        TransactionState::None => "none",
        TransactionState::Starting => "starting",
        TransactionState::InProgress => "in_progress",
        TransactionState::Committed | TransactionState::CommittedEmpty => "committed",
        TransactionState::Aborted => "aborted",
    };
    let wanted = text(arguments, "state")?;
    if found == wanted {
        return Ok(());
    }
    Err(format!("assertSessionTransactionState: expected {wanted}, found {found}"))
}

fn client(world: &World, arguments: &Document) -> Result<Arc<TestClient>, String> {
    world.client(text(arguments, "client")?)
}

fn topology(
    world: &World,
    arguments: &Document,
    name: &str,
) -> Result<Arc<portolan::TopologyDescription>, String> {
    match world.item(text(arguments, name)?)? {
        Item::Topology(topology) => Ok(topology),
        _ => Err(format!("{name}: the entity is no topology description")),
    }
}

fn text<'a>(arguments: &'a Document, name: &str) -> Result<&'a str, String> {
    required(arguments, name)?.as_str().ok_or_else(|| format!("argument {name} is no text"))
}

/// The operation inside a `runOnThread`, for those who look what a test needs.
pub(crate) fn nested(operation: &Operation) -> Result<Option<Operation>, String> {
    match (operation.name.as_str(), operation.arguments.get("operation")) {
        ("runOnThread", Some(Bson::Document(inner))) => {
            bson::deserialize_from_bson(Bson::Document(inner.clone()))
                .map(Some)
                .map_err(|error| format!("runOnThread: {error}"))
        }
        _ => Ok(None),
    }
}
