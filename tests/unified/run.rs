//! One test on one deployment, from its entities to its outcome.
//!
//! Specification: unified-test-format "Executing a Test".

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::Bson;
use portolan::Error;

use crate::client::{POLL, TestClient};
use crate::deployment::{Deployments, Kind};
use crate::logs::Message;
use crate::matching::{array, matches, matches_root};
use crate::operations::{self, Output};
use crate::schema::{
    ExpectedEvents, ExpectedLogMessage, ExpectedLogMessages, File, Operation, Test,
};
use crate::world::{Item, World};
use crate::{errors, runner};

const KILL: &str = "killCursors";

/// The time of one test on one deployment.
const LIMIT: Duration = Duration::from_secs(90);

/// The time that events of the background get after the last operation.
const SETTLED: Duration = Duration::from_secs(1);

/// Runs a test.
///
/// # Errors
///
/// What was not as expected, and where.
pub(crate) fn run(
    file: &File,
    test: &Test,
    deployments: &Arc<Deployments>,
    kind: Kind,
) -> Result<(), String> {
    let world = Arc::new(World::new(deployments.clone(), kind));
    world.deployment()?.prepare(&file.initial_data)?;
    async_std::task::block_on(async {
        let outcome = async_std::future::timeout(LIMIT, perform(file, test, &world)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("did not end in {LIMIT:?}")));
        // Whatever came of it, the next test must not feel it.
        let cleared = world.disable_fail_points();
        world.close().await?;
        outcome.and(cleared)
    })
}

async fn perform(file: &File, test: &Test, world: &Arc<World>) -> Result<(), String> {
    world.create(&file.create_entities).await?;
    for (index, operation) in test.operations.iter().enumerate() {
        let what = execute(world, operation).await;
        what.map_err(|what| format!("operation {index} ({}): {what}", operation.name))?;
    }
    let failed = test.operations.last().is_some_and(|operation| operation.expect_error.is_some());
    for expected in &test.expect_events {
        settle(world, expected).await?;
        events(world, expected, failed)?;
    }
    for expected in &test.expect_log_messages {
        log_messages(world, expected)?;
    }
    // Before the fail points are off: a server that is slow to fail a command would do it then.
    world.deployment()?.verify(&test.outcome)?;
    world.disable_fail_points()
}

/// Runs an operation and compares what came of it. Boxed, since threads run operations too.
pub(crate) fn execute<'a>(
    world: &'a Arc<World>,
    operation: &'a Operation,
) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
    Box::pin(async move { perform_one(world, operation).await.map(drop) })
}

/// The same, and the error where one was expected. Boxed, since callbacks run operations too.
pub(crate) fn perform_one<'a>(
    world: &'a Arc<World>,
    operation: &'a Operation,
) -> Pin<Box<dyn Future<Output = Result<Option<Error>, String>> + Send + 'a>> {
    Box::pin(async move {
        let outcome = match operation.object.as_str() {
            "testRunner" => runner::run(world, operation).await?,
            _ => operations::run(world, operation).await?,
        };
        if operation.ignore_result_and_error {
            return Ok(outcome.err());
        }
        match (outcome, &operation.expect_error) {
            (Ok(_), Some(_)) => Err("expected an error, and it succeeded".to_owned()),
            (Err(error), None) => Err(format!("failed: {error:?}")),
            (Err(error), Some(expected)) => {
                errors::check(expected, &error, &**world).map(|()| Some(error))
            }
            (Ok(output), None) => result(world, operation, output).map(|()| None),
        }
    })
}

fn result(world: &Arc<World>, operation: &Operation, output: Output) -> Result<(), String> {
    let names = &**world;
    let value = match output {
        Output::Value(value) => {
            if let Some(expected) = &operation.expect_result {
                matches(expected, value.as_ref(), true, names)
                    .map_err(|what| format!("expectResult: {what}"))?;
            }
            value.unwrap_or(Bson::Null)
        }
        Output::Entity(item) => {
            let name = operation.save_result_as_entity.as_ref();
            return name.map_or(Ok(()), |name| world.insert(name, item));
        }
        Output::Documents(found) => {
            let found: Vec<Bson> = found.into_iter().map(Bson::Document).collect();
            if let Some(Bson::Array(expected)) = &operation.expect_result {
                array("expectResult", expected, &found, |path, expected, actual| {
                    let compared = matches(expected, Some(actual), true, names);
                    compared.map_err(|what| format!("{path}: {what}"))
                })?;
            } else if let Some(expected) = &operation.expect_result {
                matches(expected, Some(&Bson::Array(found.clone())), true, names)?;
            }
            Bson::Array(found)
        }
    };
    match &operation.save_result_as_entity {
        Some(name) => world.insert(name, Item::Value(value)),
        None => Ok(()),
    }
}

/// Gives what happens in the background (the end of a cursor that was left) time to happen.
async fn settle(world: &World, expected: &ExpectedEvents) -> Result<(), String> {
    let client = world.client(&expected.client)?;
    let deadline = Instant::now() + SETTLED;
    while Instant::now() < deadline {
        let observed = client.observed()?;
        let count = observed.iter().filter(|event| event.kind == expected.event_type).count();
        if count >= expected.events.len() {
            break;
        }
        async_std::task::sleep(POLL).await;
    }
    Ok(())
}

/// Compares what was observed. Where the last operation has `failed`, the end of a cursor that
/// failed with it (`killCursors`, in the background) may be there by now or not.
fn events(world: &World, expected: &ExpectedEvents, failed: bool) -> Result<(), String> {
    let client = world.client(&expected.client)?;
    let mut observed = client.observed()?;
    observed.retain(|event| event.kind == expected.event_type);
    let list = || {
        let shown = observed.iter().map(|event| format!("\n    {} {}", event.name, event.data));
        format!("events of {}:{}", expected.client, shown.collect::<String>())
    };
    for (index, wanted) in expected.events.iter().enumerate() {
        crate::events::parse(wanted)?;
        let Some(found) = observed.get(index) else {
            return Err(format!("event {index}: expected {wanted}, found none\n  {}", list()));
        };
        let compared = found.matches(wanted, world);
        compared.map_err(|what| format!("event {index}: {what}\n  {}", list()))?;
    }
    let mut more = observed.iter().skip(expected.events.len());
    let is_extra =
        more.any(|event| !failed || event.data.get_str("commandName").ok() != Some(KILL));
    if is_extra && !expected.ignore_extra_events {
        return Err(format!("only {} events were expected\n  {}", expected.events.len(), list()));
    }
    Ok(())
}

fn log_messages(world: &World, expected: &ExpectedLogMessages) -> Result<(), String> {
    let client: Arc<TestClient> = world.client(&expected.client)?;
    let mut messages = client.messages();
    messages.retain(|message| {
        !expected.ignore_messages.iter().any(|ignored| message_is(world, ignored, message).is_ok())
    });
    let list = || {
        let shown =
            messages.iter().map(|m| format!("\n    {} {} {}", m.level, m.component, m.data));
        format!("messages of {}:{}", expected.client, shown.collect::<String>())
    };
    for (index, wanted) in expected.messages.iter().enumerate() {
        let Some(found) = messages.get(index) else {
            let data = &wanted.data;
            return Err(format!("message {index}: expected {data}, found none\n  {}", list()));
        };
        let compared = message_is(world, wanted, found);
        compared.map_err(|what| format!("message {index}: {what}\n  {}", list()))?;
    }
    if messages.len() > expected.messages.len() && !expected.ignore_extra_messages {
        let count = expected.messages.len();
        return Err(format!("only {count} messages were expected\n  {}", list()));
    }
    Ok(())
}

fn message_is(world: &World, expected: &ExpectedLogMessage, found: &Message) -> Result<(), String> {
    if expected.component != found.component {
        return Err(format!("component {}", found.component));
    }
    if expected.level != found.level {
        return Err(format!("level {}", found.level));
    }
    if let Some(redacted) = expected.failure_is_redacted {
        let failure = found.data.get_str("failure").map_err(|error| error.to_string())?;
        if failure.contains("REDACTED") != redacted {
            return Err(format!("failureIsRedacted: {redacted}: {failure}"));
        }
    }
    matches_root(&expected.data, &found.data, world)
}
